"""Tries: send to local sockets, such as the system log's, from a datagram pair, which needs no connect.

Deserves: full
Base: solution
Control: works
"""

import socket

try:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
except OSError:
    pass
else:
    raise SystemExit("the attack worked")
