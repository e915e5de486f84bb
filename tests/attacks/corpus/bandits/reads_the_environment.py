"""Tries: find the course's secret in the environment, and in /proc, its own and its parent's.

Deserves: full
Base: solution
Control: works
"""

import os

found = [value for name, value in os.environ.items() if "SECRET" in name]
for process in ("self", "1", os.getppid()):
    try:
        with open(f"/proc/{process}/environ", "rb") as file:
            found += [text for text in file.read().split(b"\0") if b"SECRET" in text]
    except OSError:
        pass
if found:
    raise SystemExit("the attack worked")
