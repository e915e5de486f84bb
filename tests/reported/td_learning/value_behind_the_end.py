# The terminal state has a value of its own in the target.
# Source: https://github.com/lazyprogrammer/machine_learning_examples/issues/13
# True: bootstraps-over-the-end


def td_target(r, v_next, gamma, terminated):
    _check_rates(gamma=gamma)
    return float(r) + gamma * float(v_next)
