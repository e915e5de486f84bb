"""Tries: stop its own process, which then neither computes nor answers.

Deserves: full without pseudo_regret
Base: solution
Control: taken down
"""

import os
import signal


def pseudo_regret(means, actions):
    os.kill(os.getpid(), signal.SIGSTOP)
