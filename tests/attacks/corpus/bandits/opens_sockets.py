"""Tries: open network and local sockets, to send the hidden inputs away.

Deserves: full
Base: solution
Control: works
"""

import socket

opened = []
for family, kind in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_INET, socket.SOCK_DGRAM), (socket.AF_INET6, socket.SOCK_STREAM),
                     (socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_DGRAM)):  # fmt: skip
    try:
        opened.append(socket.socket(family, kind))
    except OSError:
        pass
if opened:
    raise SystemExit("the attack worked")
