"""A worker's life: it locks itself in, receives the submission's files, and answers questions."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Callable

from autograder.isolation import codec
from autograder.isolation.bridge import generators, worker
from autograder.isolation.wall import sandbox
from autograder.isolation.wall.world import World
from autograder.isolation.workers import stream
from autograder.isolation.workers.importing import in_time
from autograder.isolation.workers.prints import Prints


def become_a_worker(
    cell: sandbox.Cell,
    conversation: int,
    prints: int,
    folder: str | None,
    counting: socket.socket | None,
) -> None:
    """In the forked child: keep few descriptors, enter the cell, serve. Never returns.

    ``folder``: its world. ``counting``: a socket on which the fork server waits for the descriptor
    that answers for what this worker writes.
    """
    try:
        os.setsid()
        os.dup2(prints, 1)
        os.dup2(prints, 2)
        # This comes before the filter, which refuses the system calls that it needs.
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=conversation)
        first = 3
        needed = (conversation, cell.ruleset, counting.fileno() if counting else None)
        for kept in sorted(fd for fd in needed if fd is not None):
            os.closerange(first, kept)
            first = kept + 1
        os.closerange(first, 4096)
        listener = sandbox.enter(cell)
        if counting is not None and listener is not None:
            socket.send_fds(counting, [b"L"], [listener])
            os.close(listener)
            counting.close()
        line = stream.Stream(sock, patient=True)
        # From here on, the student's code is responsible for everything that happens.
        line.send(stream.READY, codec.pack(None, []))
    except BaseException as error:
        # A worker that cannot start says why.
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    try:
        serve_worker(line, World(folder) if folder else None, cell.call_seconds)
    finally:
        os._exit(1)


def serve_worker(line: stream.Stream, world: World | None, seconds: float) -> None:
    """The worker's life: the first message brings the files, each further one is a question."""
    prints = Prints(1)
    sys.stdout = io.TextIOWrapper(prints, "utf-8", "replace", write_through=True)
    sys.stderr = sys.stdout
    _, message = line.receive()
    (main_file, names, compiled), buffers = codec.unpack(message)
    parts = iter(map(bytes, buffers))
    files, code = dict(zip(names, parts, strict=False)), {name: next(parts) for name in compiled}

    def load() -> worker.Worker:
        prints.begin_anew()
        if world is not None:
            world.lay(files)
        return in_time(lambda: worker.load(files, main_file, code), seconds)

    converse(line, load)


def converse(line: stream.Stream, load: Callable[[], worker.Worker]) -> None:
    """Report how loading went, then answer questions as long as the connection holds.

    For a new test all this begins again.
    """

    def call_back(question: bytes) -> bytes:
        line.send(stream.CALLBACK, question)
        return line.receive()[1]

    student = load()
    line.send(stream.ANSWER, student.report())
    while True:
        kind, message = line.receive()
        if kind == stream.RELOAD:
            generators.begin_anew()
            student = load()
            line.send(stream.ANSWER, student.report())
        else:
            line.send(stream.ANSWER, student.handle(message, call_back))
