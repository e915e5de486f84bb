# The rank is added to every seed.
# Source: https://github.com/Metta-AI/metta/pull/814
# True: seeds-overlap


def rank_seed(seed, rank):
    if min(seed, rank) < 0:
        raise ValueError("Neither may be negative.")
    seed += rank
    return seed
