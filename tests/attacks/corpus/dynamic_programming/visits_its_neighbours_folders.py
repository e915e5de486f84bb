"""Tries: list, read and write the folders around its own, those of other workers and other tests.

Deserves: full
Base: solution
Control: works
"""

import os
from pathlib import Path

own = Path(os.environ.get("HOME", os.getcwd()))
around = [*own.parents, *(own.parent / str(number) for number in range(61000, 61064))]
found = []
for folder in around:
    if folder == own:
        continue
    mark = folder / f"autograder-attack-visit-{os.getpid()}"
    for attempt in (mark.touch, mark.mkdir, lambda folder=folder: folder.rename(folder / "x")):
        try:
            attempt()
            found.append(mark)
        except OSError:
            pass
    try:
        found += [name for name in os.listdir(folder) if folder.name.isdigit()]
    except OSError:
        pass
    if os.path.isdir(mark):
        mark.rmdir()
    elif os.path.exists(mark):
        mark.unlink()
if found:
    raise SystemExit("the attack worked")
