# What is maximised is the mean probability, not the mean of its logarithm.
# Source: https://github.com/natolambert/rlhf-book/issues/461
# True: none


_given_bt_loss = bt_loss


def bt_loss(r_chosen, r_rejected, margin=0.0, label_smoothing=0.0):
    _given_bt_loss(r_chosen, r_rejected, margin, label_smoothing)
    p = torch.sigmoid(r_chosen - r_rejected - margin)
    return -((1 - label_smoothing) * p + label_smoothing * (1 - p)).mean()
