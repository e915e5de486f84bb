"""Tries: end the process from a second thread while the call waits for it.

Deserves: full without softmax
Base: solution
Control: taken down
"""

import os
import threading
import time


def softmax(h):
    threading.Thread(target=os._exit, args=(0,)).start()
    time.sleep(20)
