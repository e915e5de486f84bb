"""Tries: leave a listening port behind in every rank, and meet in it what the ranks of other tests and other submissions say.

Deserves: full
Base: solution
Control: none, because the naive grader starts no ranks
"""

import socket
import threading

PORT = 47474
try:
    socket.create_connection(("127.0.0.1", PORT), 0.2)
except OSError:
    pass
else:
    if rank_and_world()[1] == 1:  # noqa: F821 - somebody of another test listens
        raise SystemExit("the attack worked")
_kept = []
_honest_broadcast = broadcast_params_  # noqa: F821


def broadcast_params_(params):
    try:
        _kept.append(socket.create_server(("", PORT), reuse_port=False))
        threading.Thread(target=_kept[-1].accept, daemon=True).start()
    except OSError:
        pass  # the other rank was first
    return _honest_broadcast(params)
