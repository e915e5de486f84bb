"""Tries: fill the disk with files in every folder that programs may write to (64 MiB each, to prove the point).

Deserves: full
Base: solution
Control: works
"""

import os

written = 0
for folder in ("/tmp", "/var/tmp", "/dev/shm", "."):
    path = os.path.join(folder, f"autograder-attack-disk-{os.getpid()}")
    try:
        with open(path, "wb") as file:
            for _ in range(64):
                written += file.write(bytes(1 << 20))
        os.unlink(path)
    except OSError:
        pass
if written:
    raise SystemExit("the attack worked")
