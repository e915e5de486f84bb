"""Tries: use up all files that a disk can have, in its home, its temporary and its current folder
(4000 in each, to prove the point).

Deserves: full
Base: solution
Control: works
"""

import os
import tempfile

made = []
for folder in (os.path.expanduser("~"), tempfile.gettempdir(), "."):
    for number in range(4000):
        name = os.path.join(folder, f"autograder-attack-file-{os.getpid()}-{number}")
        try:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        except OSError:
            break
        made.append(name)
for name in made:
    os.unlink(name)
if len(made) > 3000:
    raise SystemExit("the attack worked")
