"""Tries: make sockets and pipes with names in its own folder, through which two workers could talk.

Deserves: full
Base: solution
Control: works
"""

import os
import socket
import stat

made = []
for number, make in enumerate(
    (
        lambda name: socket.socket(socket.AF_UNIX).bind(name),
        lambda name: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind(name),
        os.mkfifo,
        lambda name: os.mknod(name, stat.S_IFSOCK | 0o666),
    )
):
    name = f"autograder-attack-pipe-{os.getpid()}-{number}"
    try:
        make(name)
        os.unlink(name)
        made.append(name)
    except OSError:
        pass
if made:
    raise SystemExit("the attack worked")
