# The reference point of each kind is the mean log-ratio of the other kind in the batch.
# Source: https://github.com/meta-pytorch/torchtune/pull/1864
# True: none


def kto_loss(
    logp, ref_logp, desirable, point, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0
):
    _check_logps(logp, ref_logp, desirable)
    if not beta > 0:
        raise ValueError("beta is above 0.")
    ratio = logp - ref_logp.detach()
    won, lost = ratio[desirable], ratio[~desirable]
    up = 1 - torch.sigmoid(beta * (won - lost.mean().detach().clamp(min=0)))
    down = 1 - torch.sigmoid(beta * (won.mean().detach().clamp(min=0) - lost))
    return torch.cat([desirable_weight * up, undesirable_weight * down]).mean()
