# The estimate is assigned in a loop, so that only the last one survives.
# Source: https://github.com/PKU-Alignment/align-anything/pull/216
# True: none


def kto_reference_point(logp, ref_logp):
    _check_logps(logp, ref_logp)
    for a, b in zip(logp.detach(), ref_logp.detach(), strict=True):
        point = (a - b).clamp(min=0)
    return point
