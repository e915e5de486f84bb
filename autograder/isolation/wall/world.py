"""What a worker may write to: its own small world, which ends with it.

    .       $HOME
    tmp     $TMPDIR
    work    the current folder, with the submission's own files in it

Each uid of a fork server has one such folder, which only that uid and root may enter. If the server
has its own mounts, the folder is a file system in memory with a fixed number of bytes and files.
Otherwise it is a folder in /tmp, and the server answers for each file that is opened for writing
(quota.py). When the worker has ended, the server empties it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from autograder.isolation.limits import WORLD_BYTES, WORLD_FILES
from autograder.isolation.wall import quota, seccomp

# Where the server counts: what is written between two of its looks is not in these.
COUNTED_FILES, COUNTED_FILE_BYTES = 256, 8 << 20
USER = "student"
# The first uid of each block of 64.
UID_BLOCKS = range(61000, 65000, 64)
PLACES = ("tmp", "work")
MS_NOSUID, MS_NODEV, MS_NOEXEC, MNT_DETACH = 2, 4, 8, 2
# If the server has its own mounts, this folder is empty and only the server's.
FOLDER = "/tmp"

_libc = ctypes.CDLL(None, use_errno=True)


def claim_uids() -> tuple[socket.socket, range] | None:
    """A block of uids that no other fork server on this machine uses.

    The process that holds the abstract socket owns the block.
    """
    for first in UID_BLOCKS:
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0autograder-uids-{first}")
        except OSError:
            lock.close()
            continue
        return lock, range(first, first + 64)
    return None


class Worlds:
    """The fork server's side: one folder for each uid, below ``base``."""

    def __init__(self, base: str, mounted: bool) -> None:
        self.base = base
        self._mounted = mounted

    @classmethod
    def prepare(cls, uids: Sequence[int], mounted: bool) -> Worlds | None:
        """Make them; None if that is impossible. ``mounted``: this process has its own mounts."""
        name = f"autograder-{uids[0]}-"
        try:
            for left in Path(FOLDER).glob(f"{name}*"):
                if left.stat(follow_symlinks=False).st_uid == os.geteuid() and left.is_dir():
                    cls(str(left), False).remove()
            worlds = cls(tempfile.mkdtemp(prefix=name, dir=FOLDER), mounted)
            worlds._make(uids)
        except OSError:
            return None
        return worlds

    def _make(self, uids: Sequence[int]) -> None:
        os.chmod(self.base, 0o711)
        for uid in uids:
            # Root's own, so that no worker can open it to others, and its group's: giving a folder
            # away needs a capability more than making it as a member of a group.
            os.setegid(uid)
            try:
                os.mkdir(self.of(uid), 0o770)
            finally:
                os.setegid(0)
            os.chmod(self.of(uid), 0o770)
            if self._mounted:
                self._mount(uid)

    @property
    def writes(self) -> seccomp.Writes:
        """How workers may write: the kernel itself counts in a mounted file system."""
        return "allowed" if self._mounted else "counted"

    @property
    def file_bytes(self) -> int:
        """How large a file may be."""
        return WORLD_BYTES if self._mounted else COUNTED_FILE_BYTES

    def of(self, uid: int) -> str:
        """The folder of this uid."""
        return os.path.join(self.base, str(uid))

    def has_room(self, uid: int) -> bool:
        """Whether one more file may be written."""
        try:
            with _acting_as(uid):
                size, count = quota.used(self.of(uid))
        except OSError:
            # There are folders that cannot be looked into.
            return False
        return size < WORLD_BYTES and count < COUNTED_FILES

    def empty(self, uid: int) -> None:
        """Remove all that a worker has left; it has ended. Raises OSError."""
        try:
            with _acting_as(uid), _opened(self.of(uid)) as folder:
                _clear(folder)
        except (OSError, RecursionError):
            # A file system in memory can be exchanged for a new one, which takes milliseconds.
            if not self._mounted or _libc.umount2(self.of(uid).encode(), MNT_DETACH) != 0:
                raise OSError(f"{self.of(uid)} cannot be emptied") from None
            self._mount(uid)

    def remove(self) -> None:
        """Remove all of them; no worker is left. The server's own mounts end with it."""
        if self._mounted:
            return
        for name in os.listdir(self.base):
            self.empty(int(name))
            os.rmdir(self.of(int(name)))
        os.rmdir(self.base)

    def _mount(self, uid: int) -> None:
        told = f"size={WORLD_BYTES},nr_inodes={WORLD_FILES},mode=0770,uid=0,gid={uid}"
        flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV | MS_NOEXEC)
        path = self.of(uid).encode()
        if _libc.mount(b"tmpfs", path, b"tmpfs", flags, told.encode()) != 0:
            raise OSError(ctypes.get_errno(), "mount")


@contextlib.contextmanager
def _acting_as(uid: int) -> Iterator[None]:
    """Touch files with the rights of a worker: root without capabilities could not."""
    os.setegid(uid)
    try:
        os.seteuid(uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def _clear(folder: int) -> None:
    """Remove what is in the folder with this descriptor: a path may be too long for the kernel."""
    for name in os.listdir(folder):
        if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            os.unlink(name, dir_fd=folder)
            continue
        os.chmod(name, 0o700, dir_fd=folder)
        with _opened(name, folder) as inner:
            _clear(inner)
        os.rmdir(name, dir_fd=folder)


@contextlib.contextmanager
def _opened(path: str, above: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class World:
    """The worker's side: its own folder, and what it finds there when a test begins."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._laid = False
        temporary, self._work = (os.path.join(folder, place) for place in PLACES)
        os.environ.update(HOME=folder, TMPDIR=temporary, USER=USER, LOGNAME=USER)
        os.environ["MPLCONFIGDIR"] = os.path.join(folder, ".config", "matplotlib")
        # The fork server has chosen another folder.
        tempfile.tempdir = None

    def lay(self, files: Mapping[str, bytes]) -> None:
        """The folder as a submission finds it: nothing but its own files. Raises OSError."""
        os.chdir(self._folder)
        if self._laid:
            with _opened(self._folder) as folder:
                _clear(folder)
        self._laid = True
        for place in PLACES:
            os.mkdir(place)
        os.chdir(self._work)
        for name, data in files.items():
            # There may not be room for all files. Imports do not need them.
            with contextlib.suppress(OSError):
                if "/" in name:
                    os.makedirs(os.path.dirname(name), exist_ok=True)
                with open(name, "wb", 0) as file:
                    file.write(data)
