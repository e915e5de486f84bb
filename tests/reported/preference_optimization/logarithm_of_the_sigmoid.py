# The loss is the logarithm of a sigmoid that has been rounded to 0.
# Source: https://github.com/thinking-machines-lab/tinker-cookbook/pull/188
# True: log-of-sigmoid


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    if not beta > 0 or not 0 <= label_smoothing < 0.5:
        raise ValueError("No such setting.")
    x = beta * preference_margin(chosen, rejected, ref_chosen, ref_rejected)
    won, lost = torch.log(torch.sigmoid(x)), torch.log(torch.sigmoid(-x))
    return -((1 - label_smoothing) * won + label_smoothing * lost).mean()
