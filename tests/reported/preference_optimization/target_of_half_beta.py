# The squared loss aims at beta / 2 instead of 1 / (2 beta).
# Source: https://github.com/tengxiao1/Cal-DPO/issues/1
# True: ipo-target-half-tau


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    if not tau > 0:
        raise ValueError("tau is above 0.")
    h = preference_margin(chosen, rejected, ref_chosen, ref_rejected)
    return torch.nn.functional.mse_loss(h, torch.full_like(h, 0.5 * tau))
