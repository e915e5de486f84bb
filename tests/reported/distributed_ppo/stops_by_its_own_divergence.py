# Each process decides by its own divergence whether to stop early.
# Source: https://github.com/huggingface/trl/pull/254
# True: stops-alone


def should_stop(local_kl, local_count, target, factor=1.5):
    return bool(local_kl > target * factor)
