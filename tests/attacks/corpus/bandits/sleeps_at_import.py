"""Tries: sleep while it is imported: no computing time is used, only everybody's patience.

Deserves: 0
Base: solution
Control: taken down
"""

import time

time.sleep(300)
