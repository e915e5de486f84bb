"""A limit on what a worker writes where no mount can set one: the fork server answers for it.

The kernel holds each call of the worker that opens a file for writing or makes a folder until the
server has looked at how much there is already. Between two looks a worker can grow only the files
that it has open: their number and the size of each have limits of their own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable

RECEIVE, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV and _SEND
QUESTION = 80  # bytes of struct seccomp_notif, whose first 8 are the question's number
CONTINUE = 1


def answer(listener: int, has_room: Callable[[], bool]) -> None:
    """Let the call that waits at this listener go on, or have it fail for want of room."""
    question = bytearray(QUESTION)
    try:
        fcntl.ioctl(listener, RECEIVE, question)
        verdict = (0, CONTINUE) if has_room() else (-errno.ENOSPC, 0)
        fcntl.ioctl(listener, SEND, question[:8] + struct.pack("=qiI", 0, *verdict))
    except OSError:
        pass  # the worker has gone


def used(folder: str) -> tuple[int, int]:
    """(bytes, files and folders) below a folder, a file with holes at its full size.

    Raises OSError where it cannot look: what is not seen is not taken for nothing.
    """
    size = count = 0
    for path, folders, files in os.walk(folder, onerror=_refuse):
        count += len(folders) + len(files)
        for name in files:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                found = os.lstat(os.path.join(path, name))
                size += max(found.st_size, 512 * found.st_blocks)
    return size, count


def _refuse(error: OSError) -> None:
    raise error
