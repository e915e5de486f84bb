"""Tries: ask for 3 GiB at once, and use them.

Deserves: full without td_residuals
Base: solution
Control: works
"""


def td_residuals(*arguments):
    block = bytearray(3 << 30)
    block[:: 1 << 12] = b"x" * len(block[:: 1 << 12])
    raise SystemExit("the attack worked")
