"""Tries: compute for ever and ignore every signal that could end it.

Deserves: full without pseudo_regret
Base: solution
Control: taken down
"""

import signal


def pseudo_regret(means, actions):
    for number in signal.valid_signals():
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    while True:
        pass
