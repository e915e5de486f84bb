"""Tries: fill the disk with files in every folder that programs may write to, its own among them
(16 MiB each, 48 of them, to prove the point).

Deserves: full
Base: solution
Control: works
"""

import os
import tempfile

written, names = 0, []
for folder in ("/tmp", "/var/tmp", "/dev/shm", tempfile.gettempdir(), os.path.expanduser("~"), "."):
    for number in range(8):
        name = os.path.join(folder, f"autograder-attack-disk-{os.getpid()}-{number}")
        try:
            with open(name, "wb") as file:
                names.append(name)
                for _ in range(16):
                    written += file.write(bytes(1 << 20))
        except OSError:
            pass
for name in names:
    if os.path.exists(name):
        os.unlink(name)
if written > 100 << 20:
    raise SystemExit("the attack worked")
