"""Tries: make files of a TiB and of 200 MiB that take no room, and map them.

Deserves: full
Base: solution
Control: works
"""

import mmap
import tempfile

made = []
for size in (1 << 40, 200 << 20):
    with tempfile.NamedTemporaryFile() as file:
        try:
            file.truncate(size)
            mmap.mmap(file.fileno(), size).close()
            made.append(size)
        except (OSError, ValueError, OverflowError):
            pass
if made:
    raise SystemExit("the attack worked")
