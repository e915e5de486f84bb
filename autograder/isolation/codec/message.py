"""Whole messages as bytes: count and lengths, header, buffers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgpack

from autograder.isolation.codec.limits import (
    MAX_BUFFER_COUNT,
    MAX_BUFFERS,
    MAX_HEADER,
    MAX_NODES,
    WireError,
)

_PREFIX = struct.Struct("!II")


def pack(header: Any, buffers: Sequence[bytes | memoryview]) -> bytes:
    """One message as bytes: count and lengths, header, buffers.

    Raises WireError for what the other side would refuse.
    """
    head = msgpack.packb(header)
    sizes = [len(buffer) for buffer in buffers]
    check_sizes(len(head), sizes)
    lengths = struct.pack(f"!{len(sizes)}Q", *sizes)
    return b"".join((_PREFIX.pack(len(head), len(sizes)), lengths, head, *buffers))


def unpack(message: bytes | memoryview) -> tuple[Any, list[memoryview]]:
    """The header and the buffers of one whole message."""
    view = memoryview(message)
    try:
        head_size, count = _PREFIX.unpack_from(view)
        check_sizes(head_size, [0] * min(count, MAX_BUFFER_COUNT + 1))
        sizes = struct.unpack_from(f"!{count}Q", view, _PREFIX.size)
    except struct.error:
        raise WireError("a message cut short") from None
    check_sizes(head_size, sizes)
    start = _PREFIX.size + 8 * count
    if len(view) != start + head_size + sum(sizes):
        raise WireError("a message of the wrong length")
    header = unpack_header(view[start : start + head_size])
    buffers, at = [], start + head_size
    for size in sizes:
        buffers.append(view[at : at + size])
        at += size
    return header, buffers


def unpack_header(head: bytes | memoryview) -> Any:
    """The msgpack part of a message: lists and scalars only."""
    try:
        return msgpack.unpackb(
            head,
            strict_map_key=True,
            max_map_len=0,
            max_ext_len=0,
            max_bin_len=0,
            max_array_len=MAX_NODES,
            max_str_len=MAX_HEADER,
        )
    except Exception as error:
        raise WireError(f"malformed message ({type(error).__name__})") from None


def check_sizes(head: int, sizes: Sequence[int]) -> None:
    """Raise WireError where a message is larger than may cross, before memory is taken for it."""
    if head > MAX_HEADER:
        raise WireError(
            f"a message with {head} bytes of structure, more than {MAX_HEADER}: "
            "return arrays instead of long lists"
        )
    if len(sizes) > MAX_BUFFER_COUNT or sum(sizes) > MAX_BUFFERS:
        raise WireError(
            f"more than {MAX_BUFFERS >> 20} MiB of data, or more than {MAX_BUFFER_COUNT} arrays, "
            "in one message"
        )


def prefix_sizes(prefix: bytes | bytearray) -> tuple[int, int]:
    """Header length and number of buffers of the message that begins with these bytes; checked."""
    head, count = _PREFIX.unpack(prefix)
    check_sizes(head, [0] * min(count, MAX_BUFFER_COUNT + 1))
    return head, count


PREFIX_SIZE = _PREFIX.size
