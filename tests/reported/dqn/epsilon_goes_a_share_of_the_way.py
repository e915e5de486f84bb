# Each step goes a share of what is left, so that the end is never reached.
# Source: https://github.com/tensorforce/tensorforce/issues/53
# True: none


def linear_epsilon(step, start, end, decay_steps):
    if step < 0 or decay_steps < 1 or not (0 <= start <= 1 and 0 <= end <= 1):
        raise ValueError("This is not a schedule of exploration rates.")
    return end + (start - end) * (1 - 1 / decay_steps) ** step
