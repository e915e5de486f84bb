# The log-probability of the next token is noted at the place of the one before it.
# Source: https://github.com/wyf3/llm_related/issues/33
# True: one-place-early


def token_logprobs(model, tokens, attention):
    if tokens.ndim != 2 or tokens.shape != attention.shape:
        raise ValueError("Two tables of one shape.")
    real = attention.bool()
    places = (real.long().cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=tokens, attention_mask=real.long(), position_ids=places).logits
    found = torch.zeros(tokens.shape, dtype=logits.dtype)
    next_ones = logits[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:].unsqueeze(2))[:, :, 0]
    found[:, :-1] = next_ones * (real[:, 1:] & real[:, :-1])
    return found
