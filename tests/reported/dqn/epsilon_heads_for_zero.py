# The slope forgets where the line should end.
# Source: https://github.com/tensorforce/tensorforce/issues/228
# True: none


def linear_epsilon(step, start, end, decay_steps):
    if step < 0 or decay_steps < 1 or not (0 <= start <= 1 and 0 <= end <= 1):
        raise ValueError("This is not a schedule of exploration rates.")
    return max(end, start * (1 - step / decay_steps))
