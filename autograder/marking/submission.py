"""What was handed in -> Submission: a file, a folder, a zip or a notebook, opened safely.

Nothing is executed, unpacked to disk or followed out of its folder. What cannot be opened becomes a Submission with a ``problem``: one
sentence for its student, and nobody else notices.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath

from autograder.authoring.notebook import code_of
from autograder.errors import CourseError, SubmissionError
from autograder.marking.names import safe
from autograder.marking.received import RECEIVED, times

MAX_FILE, MAX_NOTEBOOK, MAX_TOTAL, MAX_FILES = (
    2 << 20,
    32 << 20,
    64 << 20,
    200,
)  # bytes, bytes, bytes, files
RESERVED = {"gradebook.csv", "report.html"}  # what stands beside the students' folders
KINDS = (".py", ".ipynb", ".zip")
SKIPPED_FOLDERS = {"__MACOSX", "__pycache__", ".ipynb_checkpoints", ".git", ".venv", "venv"}


@dataclass(frozen=True)
class Submission:
    """One student's hand-in: its Python files by name, or the problem that kept us from reading them."""

    student: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    received: datetime | None = None
    problem: str = ""
    undecided: bool = False  # Only a person can say which of several submissions counts.

    @property
    def digest(self) -> str:
        """SHA-256 of names and contents: the same content, the same digest, whatever it was packed in."""
        total = hashlib.sha256()
        for name in sorted(self.files):
            total.update(f"{name}\0{len(self.files[name])}\0".encode() + self.files[name])
        return total.hexdigest()


def read_all(path: Path, main: str) -> list[Submission]:
    """The submissions under ``path``, by student: one file or zip, one folder with ``main`` in it, or a folder of such things.

    Raises CourseError where there is nothing to mark.
    """
    if not path.exists():
        raise CourseError(f"{path}: there is no such file or folder")
    single = not path.is_dir() or (path / main).is_file()
    entries = (
        [path] if single else [entry for entry in sorted(path.iterdir()) if _is_a_hand_in(entry)]
    )
    if not entries:
        raise CourseError(
            f"{path}: no submissions here: one {', '.join(KINDS)} or folder for each student is expected"
        )
    by_stem: dict[str, list[Path]] = {}
    for entry in entries:
        by_stem.setdefault(entry.stem if entry.suffix in KINDS else entry.name, []).append(entry)
    names: dict[
        str, str
    ] = {}  # student -> stem; whoever's name is safe as it is has the first claim to it
    for stem in sorted(by_stem, key=lambda stem: (safe(stem) != stem, stem)):
        names[_student(stem, names)] = stem
    read = (_read_one(student, by_stem[stem], main) for student, stem in sorted(names.items()))
    stems = {student: (stem,) for student, stem in names.items()}
    received = {} if single else times(path, stems).by_student
    return [replace(one, received=received.get(one.student)) for one in read]


def read_one(student: str, path: Path, main: str, received: datetime | None = None) -> Submission:
    """One student's hand-in, whatever ``path`` is: a file, a zip, or a folder with the file, a notebook or one zip in it."""
    inside = [entry for entry in path.iterdir() if _is_a_hand_in(entry)] if path.is_dir() else []
    place = inside[0] if len(inside) == 1 and inside[0].suffix == ".zip" else path
    return replace(_read_one(student, [place], main), received=received)


def _is_a_hand_in(entry: Path) -> bool:
    if (
        entry.name.startswith(".")
        or entry.name.upper().startswith("README")
        or entry.name == RECEIVED
    ):
        return False
    return entry.name not in SKIPPED_FOLDERS


def _student(stem: str, taken: Mapping[str, object]) -> str:
    """A name that is safe as a folder's, and nobody else's: letters, digits, and . _ @ + -."""
    name = safe(stem)
    if name.casefold() in {other.casefold() for other in taken} | RESERVED:
        name += f"-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:6]}"
    return name


def _read_one(student: str, paths: list[Path], main: str) -> Submission:
    try:
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            problem = (
                f"there are two submissions under this name, {names}: keep the one that counts"
            )
            return Submission(student, problem=problem, undecided=True)
        return Submission(student, _files(paths[0], main))
    except SubmissionError as error:
        return Submission(student, problem=str(error))
    except OSError as error:
        return Submission(
            student,
            problem=f"{paths[0].name} cannot be read ({error.strerror or error}): hand it in again",
        )
    except (
        Exception
    ) as error:  # parsers of hostile files run out of stack or memory; nobody else may suffer
        return Submission(
            student,
            problem=f"{paths[0].name} cannot be read ({type(error).__name__}): hand in one plain .py file",
        )


def _files(path: Path, main: str) -> dict[str, bytes]:
    if path.is_dir() and not path.is_symlink():
        return _chosen(dict(_within_limits(_walk(path))), main)
    if path.suffix == ".zip":
        return _chosen(dict(_within_limits(_unzip(path))), main)
    if path.suffix in (".py", ".ipynb"):
        data = _regular(path, path.name, MAX_NOTEBOOK if path.suffix == ".ipynb" else MAX_FILE)
        return {main: code_of(path.name, data)}
    raise SubmissionError(
        f"{path.name} is neither a .py file, nor a notebook, a zip or a folder: hand in {main}"
    )


def _chosen(files: dict[str, bytes], main: str) -> dict[str, bytes]:
    """The file that is asked for (or the one notebook or file that can only be it), at top level, with its neighbours."""
    found = sorted(
        (name for name in files if PurePosixPath(name).name == main),
        key=lambda name: name.count("/"),
    )
    as_notebook = main.removesuffix(".py") + ".ipynb"
    found = (
        found
        or [name for name in files if PurePosixPath(name).name == as_notebook]
        or (list(files) if len(files) == 1 else [])
    )
    if not found:
        names = sorted({PurePosixPath(name).name for name in files})
        near = difflib.get_close_matches(main, names, n=1)
        has = (
            f"the nearest name is {near[0]}"
            if near
            else f"it holds {', '.join(names[:5]) or 'no Python file'}"
        )
        raise SubmissionError(f"{main} is missing ({has}): name the file {main}")
    if len(found) > 1 and found[0].count("/") == found[1].count("/"):
        raise SubmissionError(
            f"{main} is there more than once ({', '.join(found[:3])}): keep the one that counts"
        )
    folder = PurePosixPath(found[0]).parent
    beside = {
        name: data
        for name, data in files.items()
        if PurePosixPath(name).is_relative_to(folder) and name.endswith(".py")
    }
    chosen = {str(PurePosixPath(name).relative_to(folder)): data for name, data in beside.items()}
    return {name: data for name, data in chosen.items() if name != main} | {
        main: code_of(found[0], files[found[0]])
    }


# -- reading safely --------------------------------------------------------------------------------------------------

_Read = Callable[[int], bytes]  # reads at most so many bytes


def _within_limits(entries: Iterable[tuple[str, _Read]]) -> Iterator[tuple[str, bytes]]:
    total = 0
    for count, (name, read) in enumerate(entries, 1):
        if count > MAX_FILES:
            raise SubmissionError(
                f"more than {MAX_FILES} files: hand in only what the assignment asks for"
            )
        if not name.isprintable():
            raise SubmissionError(f"the file name {name[:80]!r} is not plain text: rename it")
        limit = MAX_NOTEBOOK if name.endswith(".ipynb") else MAX_FILE
        data = read(limit + 1)
        total += len(data)
        if len(data) > limit:
            raise SubmissionError(
                f"{name} is larger than {limit >> 20} MiB: hand in only what the assignment asks for"
            )
        if total > MAX_TOTAL:
            raise SubmissionError(
                f"more than {MAX_TOTAL >> 20} MiB in all: hand in only what the assignment asks for"
            )
        yield name, data


def _walk(folder: Path) -> Iterator[tuple[str, _Read]]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".")
        )
        for name in sorted(names):
            path = Path(root, name)
            if path.suffix in (".py", ".ipynb"):
                relative = path.relative_to(folder).as_posix()
                yield relative, partial(_beginning, path, relative)


def _regular(path: Path, name: str, limit: int) -> bytes:
    """The contents of a regular file; links, devices and pipes are not followed, opened or waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise SubmissionError(
            f"{name} cannot be read ({error.strerror}): hand in a regular file"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise SubmissionError(f"{name} is not a regular file: hand in {name} itself")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise SubmissionError(
            f"{name} is larger than {limit >> 20} MiB: hand in only what the assignment asks for"
        )
    return data


def _beginning(path: Path, name: str, limit: int) -> bytes:
    return _regular(path, name, limit - 1)


def _unzip(path: Path) -> Iterator[tuple[str, _Read]]:
    raw = _regular(path, path.name, MAX_NOTEBOOK)
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        raise SubmissionError(
            f"{path.name} is not a zip file that can be opened: pack it again, or hand in the .py file itself"
        ) from None
    if len(archive.infolist()) > 10_000:
        raise SubmissionError(
            f"{path.name} holds more than 10000 entries: hand in only what the assignment asks for"
        )
    for entry in archive.infolist():
        name = PurePosixPath(entry.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or (name.parts and ":" in name.parts[0]):
            raise SubmissionError(
                f"{path.name} holds a name that points out of it ({entry.filename[:80]!r}): pack it again"
            )
        if (
            entry.is_dir()
            or SKIPPED_FOLDERS & set(name.parts)
            or name.suffix not in (".py", ".ipynb")
        ):
            continue
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise SubmissionError(
                f"{entry.filename[:80]} in {path.name} is a link: pack the file itself"
            )
        yield str(name), partial(_member, archive, entry)


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    try:
        with archive.open(entry) as file:
            return file.read(limit)
    except (
        zipfile.BadZipFile,
        RuntimeError,
        NotImplementedError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        reason = "it is encrypted" if entry.flag_bits & 1 else f"{type(error).__name__}"
        raise SubmissionError(
            f"{entry.filename[:80]} cannot be unpacked ({reason}): pack it again without a password"
        ) from None
    except Exception as error:  # zlib.error and its kin have no common base
        raise SubmissionError(
            f"{entry.filename[:80]} cannot be unpacked ({type(error).__name__}): pack it again"
        ) from None
