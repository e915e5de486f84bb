"""Messages between the command and its grader: eight bytes of length, then msgpack."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

import msgpack

# Bytes of the length of a message.
HEAD = 8
# Bytes that are read at a time.
CHUNK = 1 << 20

Message = dict[str, Any]


def send(line: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send one message, and descriptors with it. Raises OSError if the other end has gone."""
    data = msgpack.packb(message)
    head = len(data).to_bytes(HEAD, "big")
    if descriptors:
        socket.send_fds(line, [head], list(descriptors))
        line.sendall(data)
    else:
        line.sendall(head + data)


class Reader:
    """Splits what arrives on one line into messages; descriptors wait until they are taken."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._data = bytearray()
        self._descriptors: list[int] = []

    def read(self) -> list[Message]:
        """Read once; the messages that are whole by now. Raises ConnectionResetError at the end."""
        piece, descriptors, _, _ = socket.recv_fds(self._line, CHUNK, 1)
        self._descriptors += descriptors
        if not piece:
            raise ConnectionResetError
        self._data += piece
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def first(self) -> Message:
        """Wait for the first message. Raises ConnectionResetError if none comes."""
        while not (messages := self.read()):
            pass
        return messages[0]

    def take_descriptor(self) -> int:
        """The descriptor that came with the oldest message whose descriptor was not taken."""
        return self._descriptors.pop(0)

    def close(self) -> None:
        """Close descriptors that were not taken."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _next(self) -> Message | None:
        size = int.from_bytes(self._data[:HEAD], "big")
        if len(self._data) < HEAD or len(self._data) < HEAD + size:
            return None
        message: Message = msgpack.unpackb(bytes(self._data[HEAD : HEAD + size]))
        del self._data[: HEAD + size]
        return message
