"""What a student sent -> Submission: a file, a folder, a zip or a notebook, opened safely.

Nothing is executed, unpacked to disk or followed out of its folder. What cannot be opened becomes a
Submission with a ``problem``, which is one sentence for its student. Other students' work is not
affected. The parts are in `marking.intake`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from autograder.errors import CourseError, SubmissionError
from autograder.marking.intake import archives, layouts, names
from autograder.marking.intake.choose import Chosen, Undecided, Wanted, choose, read
from autograder.marking.intake.names import KINDS
from autograder.marking.names import safe
from autograder.marking.received import RECEIVED, times


@dataclass(frozen=True)
class Submission:
    """One student's work: its Python files by name, or the problem that kept us from reading them.

    ``notes``: what its student should know about what was marked, a line each. ``known_as``:
    further names of the same person that a learning platform gives (numbers, addresses).
    """

    student: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    received: datetime | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()
    known_as: tuple[str, ...] = ()
    # Only a person can say which of several submissions counts.
    undecided: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of names and contents, whatever they were packed in."""
        total = hashlib.sha256()
        for name in sorted(self.files):
            total.update(f"{name}\0{len(self.files[name])}\0".encode() + self.files[name])
        return total.hexdigest()


def read_all(
    path: Path, main: str, starter: Path | None = None, layout: str = "auto"
) -> list[Submission]:
    """The submissions under ``path``, by student, as `read_class` finds them."""
    return read_class(path, main, starter, layout)[0]


def read_class(
    path: Path, main: str, starter: Path | None = None, layout: str = "auto"
) -> tuple[list[Submission], list[str]]:
    """The submissions under ``path``, by student, and the names of what is not a submission.

    ``path``: one file or zip, one folder with ``main`` in it, or a folder of such things.
    ``starter``: the folder that students began with; a file as it is there is not an answer.
    ``layout``: see `intake.layouts`. Raises CourseError if there is nothing to mark.
    """
    if not path.exists():
        raise CourseError(f"{path}: there is no such file or folder")
    wanted = Wanted(main, starter)
    if not path.is_dir() or (path / main).is_file():
        stem = names.stem(path.name, path.is_dir())
        return [_read_one(names.student(stem, {}), {path.name: path}, wanted)], []
    found = layouts.read(path, layout)
    if not found.entries:
        raise CourseError(
            f"{path}: no submissions here: "
            f"one {', '.join(KINDS)} or folder for each student is expected"
        )
    by_stem = {entry.stem: entry for entry in found.entries}
    # Student -> stem. Names that are safe as they are come first, so they stay as they are.
    claimed: dict[str, str] = {}
    for stem in sorted(by_stem, key=lambda stem: (safe(stem) != stem, stem)):
        claimed[names.student(stem, claimed)] = stem
    known = {student: (stem, *by_stem[stem].known_as) for student, stem in claimed.items()}
    received = times(path, known).by_student
    result = []
    for student, stem in sorted(claimed.items()):
        entry = by_stem[stem]
        time = received.get(student, entry.received)
        one = _read_one(student, entry.paths, wanted)
        notes = one.notes if time or not entry.late else (*one.notes, LATE)
        result.append(replace(one, received=time, known_as=known[student], notes=notes))
    return result, found.passed_over


LATE = f"the platform marked this as late, and no time of receipt is known: write it in {RECEIVED}"


def read_one(
    student: str,
    path: Path,
    main: str,
    received: datetime | None = None,
    starter: Path | None = None,
) -> Submission:
    """One student's work, whatever ``path`` is: a file, a zip or a folder."""
    one = _read_one(student, {path.name: path}, Wanted(main, starter))
    return replace(one, received=received)


def _read_one(student: str, paths: Mapping[str, Path], wanted: Wanted) -> Submission:
    shown = next(iter(paths), student)
    try:
        chosen = _files(paths, wanted)
        return Submission(student, chosen.files, notes=chosen.notes)
    except SubmissionError as error:
        undecided = isinstance(error, Undecided)
        return Submission(student, problem=str(error), undecided=undecided)
    except OSError as error:
        reason, remedy = error.strerror or error, "submit it again"
        return Submission(student, problem=f"{shown} cannot be read ({reason}): {remedy}")
    except Exception as error:
        # A hostile file may exhaust a parser's stack or memory. Other students' work still counts.
        reason, remedy = type(error).__name__, "submit one plain .py file"
        return Submission(student, problem=f"{shown} cannot be read ({reason}): {remedy}")


def _files(paths: Mapping[str, Path], wanted: Wanted) -> Chosen:
    """The files of one student. ``paths``: by the names that the student gave them."""
    if not paths:
        raise SubmissionError(f"nothing was submitted: submit {wanted.main}")
    if len(paths) == 1:
        ((name, path),) = paths.items()
        return _opened(name, path, wanted)
    contents = archives.Contents()
    for name, path in paths.items():
        if path.is_dir() or names.kind(name)[1] == ".zip":
            _refuse_two(paths)
        elif names.kind(name)[1]:
            contents.files[name] = archives.regular(path, name, archives.limit_of(name))
        else:
            contents.others.append(name)
    return _of_one_name(contents, paths, wanted)


def _of_one_name(contents: archives.Contents, paths: Mapping[str, Path], wanted: Wanted) -> Chosen:
    """Files of a student side by side: ada.py and ada.ipynb, or all that a platform kept."""
    stems = {names.kind(name)[0] for name in contents.files}
    if len(stems) > 1 or wanted.module in stems or not contents.files:
        return choose(contents, wanted)
    left = {n: d for n, d in contents.files.items() if not wanted.is_untouched(n, d)}
    if len(left) != 1:
        _refuse_two(paths)
    ((name, data),) = left.items()
    chosen = read(name, data, wanted)
    note = f"{name} was marked; the other files are the starter as it was given"
    return Chosen(chosen.files, (note, *chosen.notes))


def _refuse_two(paths: Mapping[str, Path]) -> None:
    raise Undecided(
        f"there are two submissions under this name, {' and '.join(paths)}: "
        "keep the one that counts"
    )


def _opened(name: str, path: Path, wanted: Wanted) -> Chosen:
    """One file, zip or folder. A folder that holds only a zip, as Moodle packs it, is that zip."""
    if path.is_dir() and not path.is_symlink():
        contents = archives.of_folder(path)
        zips = [one for one in contents.others if names.kind(one)[1] == ".zip"]
        if not contents.files and len(zips) == 1:
            return _opened(Path(zips[0]).name, path / zips[0], wanted)
        return choose(contents, wanted)
    suffix = names.kind(name)[1]
    if suffix == ".zip":
        return choose(archives.of_zip(path), wanted)
    if suffix:
        return read(name, archives.regular(path, path.name, archives.limit_of(name)), wanted)
    raise SubmissionError(
        f"{path.name} is neither a .py file, nor a notebook, a zip or a folder: "
        f"submit {wanted.main}"
    )
