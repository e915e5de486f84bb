# The average token loss is taken over padding as well.
# Source: https://github.com/NovaSky-AI/SkyRL/pull/462
# True: token-mean-over-padding


_given_aggregate = aggregate


def aggregate(losses, mask, agg="seq-mean-token-mean", max_len=None):
    value = _given_aggregate(losses, mask, agg, max_len)
    return losses.masked_fill(~mask.bool(), 0.0).mean() if agg == "token-mean" else value
