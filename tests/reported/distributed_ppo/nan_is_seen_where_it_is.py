# The check for nan is local, and raises on one rank alone.
# Source: https://github.com/ai2cm/ace/pull/850
# True: nan-raises-alone


def check_finite(values):
    rank, _ = rank_and_world()
    if not all(bool(value.isfinite().all()) for value in values):
        raise FloatingPointError(f"values that are not finite on rank {rank}.")
