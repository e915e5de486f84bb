"""Tries: raise SystemExit while it is imported.

Deserves: 0
Base: solution
Control: taken down
"""

raise SystemExit(0)
