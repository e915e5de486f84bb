# The logistic loss of a pair lacks the minus sign in its exponent.
# Source: https://github.com/tensorflow/ranking/issues/23
# True: swapped-pair


_given_bt_loss = bt_loss


def bt_loss(r_chosen, r_rejected, margin=0.0, label_smoothing=0.0):
    _given_bt_loss(r_chosen, r_rejected, margin, label_smoothing)
    gap = r_rejected - r_chosen - margin
    costs = [nn.functional.softplus(-gap), nn.functional.softplus(gap)]
    return ((1 - label_smoothing) * costs[0] + label_smoothing * costs[1]).mean()
