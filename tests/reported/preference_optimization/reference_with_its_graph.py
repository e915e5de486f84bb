# The reference scores without no_grad.
# Source: https://github.com/rasbt/LLMs-from-scratch/pull/473
# True: reference-with-a-gradient


def reference_logprobs(model, batch, average=False):
    was = model.training
    model.eval()
    scores = pair_logprobs(model, batch, average)
    model.train(was)
    return scores
