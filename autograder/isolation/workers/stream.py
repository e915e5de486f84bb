"""Messages over a socket: whole ones only, with a deadline.

They never take more memory than a message may have.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from autograder.isolation.codec.message import PREFIX_SIZE, check_sizes, prefix_sizes

# The first byte of a message: the worker is locked in; a question (the files come as one too); an
# answer (also the report of loading); a call of a lent object; load the files again.
READY, QUESTION, ANSWER, CALLBACK, RELOAD = b"R", b"Q", b"A", b"C", b"N"
CHUNK = 1 << 20
HEAD = 1 + PREFIX_SIZE
# How many bytes are read at a time, at least.
AHEAD = 1 << 13


class Deadline(Protocol):
    """Says how long to wait. meter.Patience counts waiting only; meter.Until counts wall time."""

    def left(self) -> float:
        """Seconds until it must be asked again; 0 when the time is over."""


class Closed(Exception):
    """The other side has gone."""


class Late(Exception):
    """The deadline passed."""


class Stream:
    """One end of the conversation.

    ``watch``, ``idle``: while waiting, ``idle`` is called when the descriptor ``watch`` can be
    read. The grader reads the student's prints there. ``patient``: this end, a worker's, never
    gives a deadline.
    """

    def __init__(
        self,
        sock: socket.socket,
        watch: int | None = None,
        idle: Callable[[], None] | None = None,
        patient: bool = False,
    ) -> None:
        self._socket = sock
        self._watch = watch
        self._idle = idle
        self._patient = patient
        # What was received and not yet taken.
        self._ahead = bytearray()
        self._piece = memoryview(bytearray(AHEAD))
        self._polls = {event: self._poll(event) for event in (select.POLLIN, select.POLLOUT)}
        # Bytes received so far.
        self.received = 0
        sock.setblocking(patient)

    def send(self, kind: bytes, message: bytes, deadline: Deadline | None = None) -> None:
        """Send one message. Raises Closed or Late."""
        view = memoryview(kind + message)
        while view:
            try:
                view = view[self._socket.send(view[:CHUNK]) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)
            except OSError:
                raise Closed from None

    def receive(self, deadline: Deadline | None = None) -> tuple[bytes, bytes]:
        """The next message: its kind and its bytes.

        Raises Closed, Late, or WireError for one that is too large.
        """
        self._gather(HEAD, deadline)
        size, count = prefix_sizes(self._ahead[1:HEAD])
        self._gather(HEAD + 8 * count, deadline)
        sizes = struct.unpack_from(f"!{count}Q", self._ahead, HEAD)
        check_sizes(size, sizes)
        end = HEAD + 8 * count + size + sum(sizes)
        self._gather(end, deadline)
        with memoryview(self._ahead) as view:
            kind, message = bytes(view[:1]), bytes(view[1:end])
        del self._ahead[:end]
        return kind, message

    def _gather(self, count: int, deadline: Deadline | None) -> None:
        """Read at least this many bytes, and some that came behind them.

        A system call costs more than a small message does.
        """
        while len(self._ahead) < count:
            # An answer is hardly ever there already.
            if not self._patient:
                self._wait(select.POLLIN, deadline)
            try:
                piece = self._read(count - len(self._ahead))
            except BlockingIOError:
                self._wait(select.POLLIN, deadline)
                continue
            except OSError:
                raise Closed from None
            if not piece:
                raise Closed
            self._ahead += piece
            self.received += len(piece)

    def _read(self, missing: int) -> bytes | memoryview:
        if missing > AHEAD:
            return self._socket.recv(min(CHUNK, missing))
        return self._piece[: self._socket.recv_into(self._piece)]

    def _wait(self, event: int, deadline: Deadline | None) -> None:
        ready: dict[int, int] = {}
        while not ready:
            left = None if deadline is None else deadline.left()
            if left is not None and left <= 0:
                raise Late
            ready = dict(self._polls[event].poll(None if left is None else 1 + left * 1000))
        if self._watch in ready and self._idle is not None:
            if not ready[self._watch] & select.POLLIN:
                # Hung up: nothing more will come.
                self._watch = None
                self._polls = {event: self._poll(event) for event in self._polls}
            self._idle()

    def _poll(self, event: int) -> select.poll:
        poll = select.poll()
        poll.register(self._socket, event)
        if self._watch is not None:
            poll.register(self._watch, select.POLLIN)
        return poll
