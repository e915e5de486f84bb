"""Tries: leave files, links, pipes and shared memory for the next worker to find, outside its own folder.

Deserves: full
Base: solution
Control: works
"""

import os
from multiprocessing import shared_memory

left = []


def attempt(function):
    try:
        left.append(function())
    except (OSError, PermissionError, FileNotFoundError):
        pass


def shared():
    block = shared_memory.SharedMemory(name=f"autograder-attack-{os.getpid()}", create=True, size=16)
    block.unlink()
    return True


for folder in ("/tmp", "/dev/shm", "/var/tmp"):
    name = f"{folder}/autograder-attack-{os.getpid()}"
    attempt(lambda name=name: open(name, "w").close() or os.unlink(name) or True)
    attempt(lambda name=name: os.mkdir(name) or os.rmdir(name) or True)
    attempt(lambda name=name: os.symlink("/etc/passwd", name) or os.unlink(name) or True)
    attempt(lambda name=name: os.mkfifo(name) or os.unlink(name) or True)
attempt(lambda: os.memfd_create("autograder-attack") and True)
attempt(shared)
if any(left):
    raise SystemExit("the attack worked")
