"""Tries: make links in its own folder that lead out of it: to files, to folders, to what others wrote.

Deserves: full
Base: solution
Control: works
"""

import os
import sys

made = []
for link in (os.symlink, os.link):
    for target in ("/etc/passwd", "/etc", "..", os.__file__, sys.executable, __file__):
        name = f"autograder-attack-link-{os.getpid()}-{len(made)}"
        try:
            link(target, name)
        except OSError:
            continue
        made.append(name)
for name in made:
    os.unlink(name)
if made:
    raise SystemExit("the attack worked")
