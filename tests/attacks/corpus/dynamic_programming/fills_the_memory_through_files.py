"""Tries: fill memory that no limit of its own counts: files in memory, held open without a name.

Deserves: full
Base: solution
Control: works
"""

import os
import tempfile

held, size = [], 0
for folder in (tempfile.gettempdir(), os.path.expanduser("~"), "/dev/shm", "."):
    for number in range(16):
        name = os.path.join(folder, f"autograder-attack-memory-{os.getpid()}-{number}")
        try:
            held.append(open(name, "wb"))  # noqa: SIM115
            os.unlink(name)
            os.posix_fallocate(held[-1].fileno(), 0, 16 << 20)
            size += 16 << 20
        except OSError:
            break
for file in held:
    file.close()
if size > 600 << 20:
    raise SystemExit("the attack worked")
