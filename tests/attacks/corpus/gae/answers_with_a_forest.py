"""Tries: return lists of lists that take the reader a long time: millions of small things, and one thing a thousand levels deep.

Deserves: full without k_step_advantage, lambda_returns
Base: solution
Control: none, because where nothing is read back, nothing takes long to read
"""


def k_step_advantage(*arguments):
    return [[float(i)] * 100 for i in range(20000)]


def lambda_returns(*arguments):
    nested = []
    for _ in range(1000):
        nested = [nested]
    return nested
