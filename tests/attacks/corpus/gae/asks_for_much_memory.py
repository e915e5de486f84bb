"""Tries: ask for 3 GiB at once, and use them.

Deserves: full without lambda_returns
Base: solution
Control: works
"""


def lambda_returns(*arguments):
    block = bytearray(3 << 30)
    block[:: 1 << 12] = b"x" * len(block[:: 1 << 12])
    raise SystemExit("the attack worked")
