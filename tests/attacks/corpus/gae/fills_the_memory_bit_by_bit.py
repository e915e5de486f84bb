"""Tries: keep small objects until no byte is left (3 GiB at most), so that not even the error can be reported.

Deserves: full without lambda_returns
Base: solution
Control: works
"""

kept = []


def lambda_returns(*arguments):
    for _ in range(3 << 11):
        kept.extend(bytes(4064) for _ in range(128))
    raise SystemExit("the attack worked")
