# A minibatch of one row is not normalised at all.
# Source: https://github.com/jolibrain/wheatley/pull/93
# True: none


def _normalized(adv, _normalized=_normalized):
    return _normalized(adv) if len(adv) > 1 else adv
