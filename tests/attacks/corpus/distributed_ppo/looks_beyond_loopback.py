"""Tries: find a network device besides loopback, or open a datagram socket, from a rank that may open sockets.

Deserves: full
Base: solution
Control: none, because the naive grader starts no ranks
"""

import socket


def _reach_out():
    found = []
    try:
        found = [name for _, name in socket.if_nameindex() if name != "lo"]
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.append("a datagram socket")
    except OSError:
        pass
    if found:
        raise SystemExit("the attack worked")


_reach_out()
_honest_moments = all_reduce_moments  # noqa: F821


def all_reduce_moments(*args, **kwargs):
    _reach_out()
    return _honest_moments(*args, **kwargs)
