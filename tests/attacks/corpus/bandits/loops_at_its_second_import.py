"""Tries: loop for ever when a process imports it for the second time, which costs the grader a time limit for every test.

Deserves: full
Base: solution
Control: none, because the naive grader imports it once
"""

import sys

while hasattr(sys, "imported_before"):
    pass
sys.imported_before = True
