"""Tries: become another program in the middle of a call.

Deserves: full without stopping_sweeps, bellman_expectation
Base: solution
Control: taken down
"""

import os


def bellman_expectation(*arguments):
    os.execv("/bin/true", ["true"])


stopping_sweeps = bellman_expectation
