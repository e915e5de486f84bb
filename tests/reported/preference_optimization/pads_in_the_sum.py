# Everything behind the prompt is added up, the padding as well.
# Source: https://github.com/0xallam/Direct-Preference-Optimization/issues/4
# True: pads-counted


def sequence_logprobs(logp, mask, average=False):
    if logp.ndim != 2 or logp.shape != mask.shape or not mask.bool().any(1).all():
        raise ValueError("Two tables of one shape, and a response in each row.")
    kept = torch.zeros_like(logp)
    for row, marks in enumerate(mask.bool()):
        kept[row, int(marks.nonzero()[0]) :] = 1
    total = torch.where(kept.bool(), logp, 0.0).sum(1)
    return total / kept.sum(1) if average else total
