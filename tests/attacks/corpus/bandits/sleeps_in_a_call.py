"""Tries: sleep in a function: no computing time is used, only everybody's patience.

Deserves: full without pseudo_regret
Base: solution
Control: taken down
"""

import time


def pseudo_regret(means, actions):
    time.sleep(300)
