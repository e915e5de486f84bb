"""Tries: end the process while it is imported, with exit code 0.

Deserves: 0
Base: solution
Control: taken down
"""

import os

os._exit(0)
