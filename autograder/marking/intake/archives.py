"""The files of a folder or a zip, read safely: nothing is executed, unpacked or followed out of it.

Links, devices and pipes are refused, sizes are bounded before anything is read, and environments
that came along (venv, env with its pyvenv.cfg, site-packages) are passed over.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from autograder.errors import SubmissionError
from autograder.marking.intake.names import SKIPPED_FOLDERS, kind

# Bytes of one file, and of one notebook.
MAX_FILE, MAX_NOTEBOOK = 2 << 20, 32 << 20
# Bytes in all, number of files, and number of entries of a zip.
MAX_TOTAL, MAX_FILES, MAX_ENTRIES = 64 << 20, 200, 10_000
TOO_MUCH = "submit only what the assignment asks for"
CLEAR = 'clear the outputs ("Restart and clear all outputs"), save it and submit it again'
OTHER_PACKERS = {b"Rar!": "RAR", b"7z\xbc\xaf": "7-Zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2"}

# Reads at most this many bytes.
_Read = Callable[[int], bytes]


@dataclass
class Contents:
    """Python files and notebooks by their path, and the paths of everything else."""

    files: dict[str, bytes] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def of_folder(folder: Path) -> Contents:
    """What a folder holds."""
    found = Contents()
    found.files = dict(_within_limits(_walk(folder, found.others)))
    return found


def of_zip(path: Path) -> Contents:
    """What a zip holds."""
    found = Contents()
    found.files = dict(_within_limits(_unzip(path, found.others)))
    return found


def regular(path: Path, name: str, limit: int) -> bytes:
    """A regular file's bytes; links, devices and pipes are not followed, opened or waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise SubmissionError(
            f"{name} cannot be read ({error.strerror}): submit a regular file"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise SubmissionError(f"{name} is not a regular file: submit {name} itself")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _too_large(name, limit)
    return data


def limit_of(name: str) -> int:
    """How many bytes a file of this kind may have."""
    return MAX_NOTEBOOK if kind(name)[1] == ".ipynb" else MAX_FILE


def _too_large(name: str, limit: int) -> SubmissionError:
    remedy = CLEAR if kind(name)[1] == ".ipynb" else TOO_MUCH
    return SubmissionError(f"{name} is larger than {limit >> 20} MiB: {remedy}")


def _within_limits(entries: Iterable[tuple[str, _Read]]) -> Iterator[tuple[str, bytes]]:
    total = 0
    for count, (name, read) in enumerate(entries, 1):
        if count > MAX_FILES:
            raise SubmissionError(f"more than {MAX_FILES} files: {TOO_MUCH}")
        limit = limit_of(name)
        data = read(limit + 1)
        total += len(data)
        if len(data) > limit:
            raise _too_large(name, limit)
        if total > MAX_TOTAL:
            raise SubmissionError(f"more than {MAX_TOTAL >> 20} MiB in all: {TOO_MUCH}")
        yield name, data


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "_" for c in name)


# -- folders --------------------------------------------------------------------------------------


def is_environment(folder: Path) -> bool:
    """A virtual environment or a tool's folder, whatever its name."""
    return folder.name in SKIPPED_FOLDERS or (folder / "pyvenv.cfg").is_file()


def _walk(folder: Path, others: list[str]) -> Iterator[tuple[str, _Read]]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not is_environment(Path(root, name))
        )
        for name in sorted(names):
            path = Path(root, name)
            relative = _printable(path.relative_to(folder).as_posix())
            if name.startswith("._") or kind(name)[1] not in (".py", ".ipynb"):
                others.append(relative)
            else:
                yield relative, partial(_beginning, path, relative)


def _beginning(path: Path, name: str, limit: int) -> bytes:
    return regular(path, name, limit - 1)


# -- zips -----------------------------------------------------------------------------------------


def _unzip(path: Path, others: list[str]) -> Iterator[tuple[str, _Read]]:
    archive = _opened(path)
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise SubmissionError(f"{path.name} holds more than {MAX_ENTRIES} entries: {TOO_MUCH}")
    paths = [PurePosixPath(entry.filename.replace("\\", "/")) for entry in entries]
    environments = {name.parent for name in paths if name.name == "pyvenv.cfg"}
    for entry, name in zip(entries, paths, strict=True):
        if name.is_absolute() or ".." in name.parts or (name.parts and ":" in name.parts[0]):
            raise SubmissionError(
                f"{path.name} holds a name that points out of it ({entry.filename[:80]!r}): "
                "pack it again"
            )
        skipped = SKIPPED_FOLDERS & set(name.parts) or environments & set(name.parents)
        if entry.is_dir() or skipped or name.name.startswith("._"):
            continue
        if kind(name.name)[1] not in (".py", ".ipynb"):
            others.append(_printable(str(name)))
            continue
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise SubmissionError(
                f"{entry.filename[:80]} in {path.name} is a link: pack the file itself"
            )
        yield _printable(str(name)), partial(_member, archive, entry)


def _opened(path: Path) -> zipfile.ZipFile:
    raw = regular(path, path.name, MAX_NOTEBOOK)
    for data in (raw, _names_as_bytes(raw)):
        try:
            return zipfile.ZipFile(io.BytesIO(data))
        except UnicodeDecodeError:
            continue
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, struct.error):
            break
    packer = next((name for head, name in OTHER_PACKERS.items() if raw.startswith(head)), "")
    if packer:
        raise SubmissionError(f"{path.name} is a {packer} archive: pack a zip, or submit the file")
    if not raw:
        raise SubmissionError(f"{path.name} is empty: the upload broke off; submit it again")
    raise SubmissionError(
        f"{path.name} is not a zip file that can be opened: "
        "pack it again, or submit the .py file itself"
    )


def _names_as_bytes(raw: bytes) -> bytes:
    """The zip with names that claim to be UTF-8, and are not, read byte by byte.

    The flag is bit 11 of two bytes: at offset 8 in each record of the directory, which lies before
    the end record, and at offset 6 in the file's own header (PKWARE, APPNOTE.TXT 4.3.7, 4.3.12,
    4.3.16, 4.4.4).
    """
    data = bytearray(raw)
    end = data.rfind(b"PK\x05\x06")
    if end < 0 or len(data) < end + 22:
        return raw
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    at = max(0, end - size)
    while data[at : at + 4] == b"PK\x01\x02" and at + 46 <= end:
        data[at + 9] &= 0xF7
        local = int.from_bytes(data[at + 42 : at + 46], "little")
        if data[local : local + 4] == b"PK\x03\x04":
            data[local + 7] &= 0xF7
        lengths = struct.unpack_from("<HHH", data, at + 28)
        at += 46 + sum(lengths)
    return bytes(data)


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    name = _printable(entry.filename[:80])
    try:
        with archive.open(entry) as file:
            return file.read(limit)
    except Exception as error:
        # The errors of zlib and other packers have no common base class.
        if entry.flag_bits & 1:
            reason, remedy = "it is encrypted", "pack it again without a password"
        elif isinstance(error, NotImplementedError):
            reason, remedy = "it is packed in an uncommon way", "pack it again as an ordinary zip"
        else:
            reason, remedy = "the zip is damaged", "submit it again, or the .py file itself"
        raise SubmissionError(f"{name} cannot be unpacked ({reason}): {remedy}") from None
