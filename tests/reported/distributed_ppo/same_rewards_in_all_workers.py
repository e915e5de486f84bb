# All workers have the same seed, and so the same episodes.
# Source: https://github.com/IntelLabs/coach/issues/111
# True: one-seed-for-all


def rank_seed(seed, rank):
    if min(seed, rank) < 0:
        raise ValueError("Neither may be negative.")
    return seed
