# A small number is added to the sigmoid before the logarithm.
# Source: https://github.com/catalyst-team/catalyst/pull/1253
# True: none


_given_bt_loss = bt_loss


def bt_loss(r_chosen, r_rejected, margin=0.0, label_smoothing=0.0):
    _given_bt_loss(r_chosen, r_rejected, margin, label_smoothing)
    d = r_chosen - r_rejected - margin
    right, wrong = (-torch.log(1e-10 + torch.sigmoid(x)) for x in (d, -d))
    return ((1 - label_smoothing) * right + label_smoothing * wrong).mean()
