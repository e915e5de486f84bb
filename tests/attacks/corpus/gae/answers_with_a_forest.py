"""Tries: return lists of lists that take the reader a long time: millions of small things, and one thing a thousand levels deep.

Deserves: full without td_residuals, lambda_returns
Base: solution
Control: none, because where nothing is read back, nothing takes long to read
"""


def td_residuals(*arguments):
    return [[float(i)] * 100 for i in range(20000)]


def lambda_returns(*arguments):
    nested = []
    for _ in range(1000):
        nested = [nested]
    return nested
