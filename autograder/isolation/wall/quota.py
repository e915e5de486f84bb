"""A limit on what a worker writes where no mount can set one: the fork server answers for it.

The kernel holds each call of the worker that opens a file for writing or makes a folder until the
server has looked at how much there is already. Between two looks a worker can grow only the files
that it has open, and their number and the size of each are limited too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable

# SECCOMP_IOCTL_NOTIF_RECV and SECCOMP_IOCTL_NOTIF_SEND.
RECEIVE, SEND = 0xC0502100, 0xC0182101
# The size of struct seccomp_notif, whose first 8 bytes are the question's number.
QUESTION = 80
CONTINUE = 1


def answer(listener: int, has_room: Callable[[], bool]) -> None:
    """Let the call that waits at this listener go on, or have it fail because there is no room."""
    question = bytearray(QUESTION)
    try:
        fcntl.ioctl(listener, RECEIVE, question)
        verdict = (0, CONTINUE) if has_room() else (-errno.ENOSPC, 0)
        fcntl.ioctl(listener, SEND, question[:8] + struct.pack("=qiI", 0, *verdict))
    except OSError:
        # The worker has gone.
        pass


def used(folder: str) -> tuple[int, int]:
    """(bytes, files and folders) below a folder, a file with holes at its full size.

    Raises OSError if it cannot look everywhere: what it cannot see may be large.
    """
    size = count = 0
    for path, folders, files in os.walk(folder, onerror=_refuse):
        count += len(folders) + len(files)
        for name in files:
            # The worker may remove a file meanwhile.
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(os.path.join(path, name))
                size += max(found.st_size, 512 * found.st_blocks)
    return size, count


def _refuse(error: OSError) -> None:
    raise error
