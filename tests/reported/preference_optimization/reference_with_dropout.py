# The comparisons run while the model remains in training mode.
# Source: https://github.com/hiyouga/LlamaFactory/pull/10779
# True: reference-in-training-mode


def reference_logprobs(model, batch, average=False):
    with torch.no_grad():
        return pair_logprobs(model, batch, average)
