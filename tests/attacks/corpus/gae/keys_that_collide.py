"""Tries: return sets and dicts of numbers that all have the same hash, so that building them takes the grader forever.

Deserves: full without explained_variance, k_step_advantage
Base: solution
Control: none, because an in-process grader does not build the answers anew
"""

M = 2**61 - 1  # hash(k * M) == 0


def explained_variance(*arguments):
    return [{k * M for k in range(10, 4000)} for _ in range(10)]


def k_step_advantage(*arguments):
    return [{tuple(-1 - int(bit) for bit in f"{k:012b}") for k in range(4000)} for _ in range(3)]  # hash(-1) == hash(-2)
