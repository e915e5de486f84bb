# The mask serves to count the tokens, and is never laid over the losses.
# Source: https://github.com/huggingface/trl/pull/6654
# True: adds-up-under-the-mask


def aggregate(losses, mask, agg="seq-mean-token-mean", max_len=None):
    if losses.ndim != 2 or losses.shape != mask.shape:
        raise ValueError("Losses and mask need one shape.")
    n = mask.bool().sum(1)
    if agg == "token-mean":
        return losses.sum() / n.sum().clamp(min=1)
    if agg == "seq-sum-const" and max_len is not None and max_len >= 1:
        return (losses.sum(1) / max_len).mean()
    if agg != "seq-mean-token-mean":
        raise ValueError("This average is not known, or its constant is missing.")
    return (losses.sum(1) / n.clamp(min=1)).mean()
