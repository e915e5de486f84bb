"""Tries: break the meeting point and the other rank's lines: rank 1 writes garbage to every port of loopback that answers.

Deserves: anything
Base: solution
Control: none, because the naive grader starts no ranks
"""

import socket


def hierarchical_all_reduce_(tensor, ranks_per_node):
    for port in range(32768, 61000):
        line = socket.socket()
        line.settimeout(0.01)
        if line.connect_ex(("127.0.0.1", port)) == 0:
            line.sendall(b"\xff" * 4096)
        line.close()
    dist.all_reduce(tensor)  # noqa: F821
    return tensor
