"""Messages over a socket: whole ones only, with a deadline, and never more memory than the message may have."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable

from autograder.isolation import wire

READY, QUESTION, ANSWER, CALLBACK, ANEW = b"R", b"Q", b"A", b"C", b"N"
CHUNK = 1 << 20


class Closed(Exception):
    """The other side has gone."""


class Late(Exception):
    """The deadline passed."""


class Stream:
    """One end of the conversation. ``idle`` is called while waiting: the grader drains the student's prints there."""

    def __init__(
        self, sock: socket.socket, watch: int | None = None, idle: Callable[[], None] | None = None
    ) -> None:
        self._socket = sock
        self._watch = watch
        self._idle = idle
        self.received = 0  # bytes so far
        sock.setblocking(False)

    def send(self, kind: bytes, message: bytes, deadline: float | None = None) -> None:
        """Send one message. Raises Closed or Late."""
        view = memoryview(kind + message)
        while view:
            try:
                view = view[self._socket.send(view[:CHUNK]) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)
            except OSError:
                raise Closed from None

    def receive(self, deadline: float | None = None) -> tuple[bytes, bytes]:
        """The next message: its kind and its bytes. Raises Closed, Late, or WireError for one that is too large."""
        head = self._exactly(1 + wire.PREFIX_SIZE, deadline)
        size, count = wire.prefix_sizes(head[1:])
        lengths = self._exactly(8 * count, deadline)
        sizes = struct.unpack(f"!{count}Q", lengths)
        wire.check_sizes(size, sizes)
        return bytes(head[:1]), bytes(head[1:] + lengths + self._exactly(size + sum(sizes), deadline))

    def _exactly(self, count: int, deadline: float | None) -> bytearray:
        data = bytearray()
        while len(data) < count:
            try:
                piece = self._socket.recv(min(CHUNK, count - len(data)))
            except BlockingIOError:
                self._wait(select.POLLIN, deadline)
                continue
            except OSError:
                raise Closed from None
            if not piece:
                raise Closed
            data += piece
            self.received += len(piece)
        return data

    def _wait(self, event: int, deadline: float | None) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        if self._watch is not None:
            poll.register(self._watch, select.POLLIN)
        left = None if deadline is None else (deadline - time.monotonic()) * 1000
        if left is not None and left <= 0:
            raise Late
        ready = dict(poll.poll(left))
        if not ready:
            raise Late
        if self._watch in ready and self._idle is not None:
            if not ready[self._watch] & select.POLLIN:
                self._watch = None  # hung up: nothing more will come
            self._idle()
