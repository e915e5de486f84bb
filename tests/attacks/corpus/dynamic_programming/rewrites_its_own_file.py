"""Tries: rewrite the file that it was imported from, and what Python may have compiled of it, so that
its next import is another one.

Deserves: full
Base: solution
Control: none, because the naive grader imports it once
"""

import os
from pathlib import Path

remembers = object()  # so that the file is imported again for each test
evil = "raise SystemExit('the attack worked')\n"
try:
    Path(__file__).write_text(evil)
    Path(__file__).with_name("numpy.py").write_text(evil)
    os.makedirs("numpy")
    Path("numpy/__init__.py").write_text(evil)
except OSError:
    pass
