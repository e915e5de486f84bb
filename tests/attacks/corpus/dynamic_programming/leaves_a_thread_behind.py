"""Tries: leave a thread behind that changes what the functions return after a while: what was right becomes wrong later.

Deserves: full
Base: solution
Control: none, because the naive grader is done before anything has changed
"""

import threading
import time


def later():
    time.sleep(5)
    globals().clear()


threading.Thread(target=later, daemon=True).start()
