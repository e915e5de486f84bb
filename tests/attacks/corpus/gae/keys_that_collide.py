"""Tries: return sets and dicts of numbers that all have the same hash, so that building them takes the grader forever.

Deserves: full without td_residuals, lambda_returns
Base: solution
Control: none, because an in-process grader does not build the answers anew
"""

M = 2**61 - 1  # hash(k * M) == 0


def td_residuals(*arguments):
    return [{k * M for k in range(10, 4000)} for _ in range(30)]


def lambda_returns(*arguments):
    return [{tuple(-1 - int(bit) for bit in f"{k:012b}") for k in range(4000)} for _ in range(3)]  # hash(-1) == hash(-2)
