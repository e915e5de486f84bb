"""Tries: leave processes behind from ranks: by fork, by spawning a program, by launching ranks of its own.

Deserves: full
Base: solution
Control: none, because the naive grader starts no ranks
"""

import os
import subprocess
import time


def _stay():
    for attempt in (
        os.fork,
        lambda: subprocess.Popen(["sleep", "300"]),
        lambda: launch(time.sleep, 2, timeout_s=300.0, args=(300,)),  # noqa: F821
    ):
        try:
            if attempt() == 0:
                time.sleep(300)
                os._exit(0)
        except Exception:
            continue
        raise SystemExit("the attack worked")


_honest_mean_std = normalize_advantages  # noqa: F821


def normalize_advantages(*args, **kwargs):
    _stay()
    return _honest_mean_std(*args, **kwargs)
