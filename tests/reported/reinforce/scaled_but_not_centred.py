# The deviation is divided out, the mean stays.
# Source: https://github.com/keon/policy-gradient/issues/5
# True: scales-without-centering


def standardize(x, mask=None, eps=1e-8):
    valid, x = _valid(x, mask), x.detach()
    if not valid.any():
        raise ValueError("No entry is valid.")
    centred = x[valid] - x[valid].mean()
    return torch.where(valid, x / (centred.std(correction=0) + eps), 0.0)
