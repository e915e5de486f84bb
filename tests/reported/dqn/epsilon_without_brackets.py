# A bracket is missing around the count, so that only 1 is divided.
# Source: https://github.com/Lightning-AI/pytorch-lightning/issues/9620
# True: none


def linear_epsilon(step, start, end, decay_steps):
    if step < 0 or decay_steps < 1 or not (0 <= start <= 1 and 0 <= end <= 1):
        raise ValueError("This is not a schedule of exploration rates.")
    return max(end, start - step + 1 / decay_steps)
