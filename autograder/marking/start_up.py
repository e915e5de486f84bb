"""The process that a command starts: it imports the libraries, then becomes two processes.

The child is the grader (grader.py), the parent the fork server (isolation/workers/server.py), so
the libraries are imported once. This process is exec'ed with an empty environment, and what the
grader must know arrives after the fork. So the memory that workers inherit holds no secret.
"""

from __future__ import annotations

import os
import socket
import sys

from autograder.isolation.wall import sandbox
from autograder.isolation.workers import server
from autograder.isolation.workers.launch import Wanted
from autograder.isolation.workers.walled import Parent, WorkerServer
from autograder.isolation.workers.warm import allow_nondeterminism


def main() -> None:
    """Serve until the command closes its line. Argument: the line's descriptor.

    Standard input brings what the fork server must know; the line's first message is the grader's.
    """
    line = socket.socket(fileno=int(sys.argv[1]))
    wanted = Wanted.unpacked(sys.stdin.buffer.read())
    failures = server.prepare(wanted)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    grader = os.fork()
    if grader == 0:
        theirs.close()
        _become_the_grader(line, WorkerServer(ours, Parent()))
    line.close()
    ours.close()
    code = 1
    try:
        server.serve(theirs, wanted, failures)
        code = 0
    except Exception as error:
        print(f"the fork server ended: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        theirs.close()
        os.waitpid(grader, 0)
        # Tidying up what the libraries have made would take a tenth of a second.
        os._exit(code)


def _become_the_grader(line: socket.socket, workers: WorkerServer) -> None:
    """In the forked child. Never returns."""
    code = 1
    try:
        # Without the fork server nothing can be marked.
        sandbox.die_with_parent()
        # A group of its own, which it can end without the fork server.
        os.setsid()
        # That is for workers; tests compute what they like.
        allow_nondeterminism()
        from autograder.marking import grader

        grader.main(line, workers)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
