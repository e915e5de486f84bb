"""course.yml and assignment.yml -> frozen Course and Assignment.

Every mistake is a CourseError that names file and key.
"""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from autograder.authoring.dates import moment
from autograder.authoring.yaml_file import guess, parse, read_yaml
from autograder.errors import CourseError
from autograder.isolation.limits import Limits

COURSE_FILE = "course.yml"
SECRET_VARIABLE = "AUTOGRADER_SECRET"
SECRET_FILE = "course.secret"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LateRule(_Frozen):
    """After the grace period each started day costs ``per_day`` of the points.

    After ``max_days`` nothing is left.
    """

    grace_minutes: Annotated[float, Field(ge=0, le=60 * 24 * 366)] = 0
    per_day: Annotated[float, Field(ge=0, le=1)] = 0.1
    max_days: Annotated[int, Field(ge=0)] = 5


# Whether the points of tests that need a GPU count.
Scale = Literal["required", "optional"]
# What a submission that cannot be opened or imported counts: zero points, or an empty cell.
Unreadable = Literal["zero", "empty"]
# Gradescope's words.
Visibility = Literal["visible", "hidden", "after_due_date", "after_published"]
Moment = Annotated[datetime, BeforeValidator(moment)]


class GradescopeRules(_Frozen):
    """What Gradescope is told: when students see results, and whose late rule counts there."""

    visibility: Visibility = "visible"
    late: Literal["gradescope", "course"] = "gradescope"


class Entry(_Frozen):
    """What a term says of one assignment: a line of course.yml's assignments.

    ``week`` n means a due date n - 1 weeks after ``first_due``. ``visibility`` and ``scale`` are
    written where they differ from the course's.
    """

    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1
    due: Moment | None = None
    week: Annotated[int, Field(ge=1, le=60)] | None = None
    visibility: Visibility | None = None
    scale: Scale | None = None


class _CourseFile(_Frozen):
    title: str
    term: str
    first_due: Moment | None = None
    late: LateRule = LateRule()
    gradescope: GradescopeRules = GradescopeRules()
    scale: Scale = "optional"
    unreadable: Unreadable = "zero"
    # Where students ask for a second look, with {assignment} and {student}.
    regrade: Annotated[str, Field(pattern=r"^(mailto:|https?://).+|^$")] = ""
    tracks: dict[str, tuple[str, ...]] = {}
    assignments: dict[str, Entry]

    @model_validator(mode="after")
    def _makes_sense(self) -> _CourseFile:
        counts = Counter(name for names in self.tracks.values() for name in names)
        for name in [name for name, count in counts.items() if count > 1]:
            where = " and ".join(track for track, names in self.tracks.items() if name in names)
            raise ValueError(f"tracks: '{name}' is there more than once ({where}): keep one")
        for name, entry in self.assignments.items():
            if entry.week is not None and entry.due is not None:
                raise ValueError(f"assignments.{name} has both 'due' and 'week': keep one")
            if entry.week is not None and self.first_due is None:
                raise ValueError(
                    f"assignments.{name} has a 'week', so 'first_due' is needed: when the work of "
                    "week 1 is due, as in first_due: 2027-02-05 23:59 Europe/Berlin"
                )
        return self

    def due(self, entry: Entry) -> datetime | None:
        """A week's due date has the weekday and the hour of the first one, whatever clocks do."""
        if entry.week is None or self.first_due is None:
            return entry.due
        due = self.first_due + timedelta(weeks=entry.week - 1)
        return due.replace(fold=self.first_due.fold)


class _AssignmentFile(_Frozen):
    title: str
    submit: Annotated[tuple[str, ...], Field(min_length=1)]
    parts: dict[str, str]
    libraries: tuple[str, ...] = ("numpy",)
    requirements: tuple[str, ...] = ("numpy", "pytest")
    # Further files in the handout's folder that students get as they are.
    files: tuple[str, ...] = ()
    # Modules of assignments/given that students import.
    given: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()
    hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5
    limits: Limits = Limits()
    # Distributed: tests may have ranks (lab.ranks).
    isolation: Literal["standard", "distributed"] = "standard"
    sources: tuple[str, ...] = ()

    @field_validator("submit")
    @classmethod
    def _plain_names(cls, submit: tuple[str, ...]) -> tuple[str, ...]:
        if not all(Path(name).name == name and name.endswith(".py") for name in submit):
            raise ValueError(
                "names of .py files without a folder are expected, the one with the functions first"
            )
        return submit

    @field_validator("given")
    @classmethod
    def _names_of_modules(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        submitted = {Path(name).stem for name in info.data.get("submit", ())}
        if not all(name.isidentifier() for name in given) or submitted & set(given):
            raise ValueError(
                "names of modules in assignments/given are expected, without '.py', "
                "and none that students submit"
            )
        return given

    @field_validator("files")
    @classmethod
    def _beside_the_handout(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        if not all(Path(name).name == name for name in files):
            raise ValueError("names of files beside assignment.yml are expected, without a folder")
        return files


class Assignment(_AssignmentFile):
    """One assignment: what assignment.yml says, its course.yml entry, and where its files are."""

    name: str
    root: Path
    weight: float = 1
    due: datetime | None = None
    visibility: Visibility | None = None
    late: LateRule = LateRule()
    scale: Scale = "optional"
    unreadable: Unreadable = "zero"
    regrade: str = ""

    @property
    def main(self) -> str:
        """The file whose functions are tested."""
        return self.submit[0]

    @property
    def solution(self) -> Path:
        """The reference solution, with its markers."""
        return self.root / "solutions" / self.name / self.main

    @property
    def hidden_tests(self) -> Path:
        """What earns points."""
        return self.root / "grading" / self.name / "test_hidden.py"

    @property
    def scale_tests(self) -> Path:
        """What needs a GPU; not every assignment has it."""
        return self.hidden_tests.with_name("test_scale.py")

    @property
    def handout(self) -> Path:
        """The folder that students read."""
        return self.root / "assignments" / self.name

    @property
    def starter(self) -> Path:
        """What students get. It is generated."""
        return self.root / "starter" / self.name


class Course(_Frozen):
    """The whole course: its term's assignments in teaching order, and the tracks of all that exist.

    ``tracks``: track -> names of assignments in teaching order; a term need not teach all of them.
    """

    root: Path
    title: str
    term: str
    late: LateRule
    gradescope: GradescopeRules = GradescopeRules()
    tracks: dict[str, tuple[str, ...]] = {}
    assignments: tuple[Assignment, ...]

    def assignment(self, name: str) -> Assignment:
        """The assignment of this name, taught in this term or not.

        Raises CourseError naming the near ones.
        """
        known = {assignment.name: assignment for assignment in self.assignments}
        if name in known:
            return known[name]
        if name in self._names or _declaration(self.root, name).is_file():
            return load_assignment(self.root, name)
        near = guess(name, self._names) or f"; there are {', '.join(self._names)}"
        raise CourseError(f"{self.root / COURSE_FILE}: no assignment is called '{name}'{near}")

    @property
    def catalogue(self) -> tuple[Assignment, ...]:
        """All that exists: the tracks in their order, then what only the term names."""
        return tuple(self.assignment(name) for name in self._names)

    @property
    def _names(self) -> list[str]:
        tracks = [name for names in self.tracks.values() for name in names]
        return list(dict.fromkeys([*tracks, *(one.name for one in self.assignments)]))

    @property
    def secret(self) -> bytes:
        """The key from which hidden inputs are drawn.

        $AUTOGRADER_SECRET, or the file course.secret, or none (empty).
        """
        if value := os.environ.get(SECRET_VARIABLE):
            return value.encode()
        path = self.root / SECRET_FILE
        return path.read_bytes().strip() if path.is_file() else b""


def find_root(start: Path | None = None) -> Path:
    """The folder with course.yml.

    It is ``start`` if given; otherwise the nearest one from here upwards, or the one that contains
    this package.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here,) if start else (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / COURSE_FILE).is_file():
            return folder
    raise CourseError(
        f"{here}: there is no {COURSE_FILE}: call from inside the course's folder, or give it with "
        "--course DIR"
    )


def load_course(root: Path) -> Course:
    """Read course.yml and every assignment.yml that its term names."""
    file = _course_file(root)
    exist = sorted(path.parent.name for path in root.glob("assignments/*/assignment.yml"))
    for track, names in file.tracks.items():
        for name in names:
            if name not in exist:
                raise CourseError(
                    f"{root / COURSE_FILE}: tracks.{track} names '{name}', and there is no "
                    f"assignments/{name}/assignment.yml{guess(name, exist)}"
                )
    for name in file.assignments:
        near = guess(name, set(exist) - file.assignments.keys())
        if near and name not in exist:
            raise CourseError(
                f"{root / COURSE_FILE}: assignments.{name}: there is no "
                f"assignments/{name}/assignment.yml{near}"
            )
    return Course(
        root=root,
        title=file.title,
        term=file.term,
        late=file.late,
        gradescope=file.gradescope,
        tracks=file.tracks,
        assignments=tuple(_assignment(root, name, file) for name in file.assignments),
    )


def load_assignment(root: Path, name: str) -> Assignment:
    """One assignment, whether course.yml names it or not."""
    there = (root / COURSE_FILE).is_file()
    file = _course_file(root) if there else _CourseFile(title="", term="", assignments={})
    return _assignment(root, name, file)


def course_of_one(root: Path, name: str) -> dict[str, Any]:
    """What course.yml says, reduced to one assignment: for machines that have no other."""
    data = read_yaml(root / COURSE_FILE)
    data.pop("tracks", None)
    return data | {"assignments": {name: data["assignments"].get(name, {})}}


def _course_file(root: Path) -> _CourseFile:
    path = root / COURSE_FILE
    return parse(_CourseFile, path, read_yaml(path))


def _declaration(root: Path, name: str) -> Path:
    return root / "assignments" / name / "assignment.yml"


def _assignment(root: Path, name: str, course: _CourseFile) -> Assignment:
    entry, path = course.assignments.get(name, Entry()), _declaration(root, name)
    data = read_yaml(path)
    parse(_AssignmentFile, path, data)
    said = {
        "name": name,
        "root": root,
        "weight": entry.weight,
        "due": course.due(entry),
        "visibility": entry.visibility,
        "late": course.late,
        "scale": entry.scale or course.scale,
        "unreadable": course.unreadable,
        "regrade": course.regrade,
    }
    found = parse(Assignment, path, data | said)
    # A machine that only exports or shows marks may have no solutions.
    there = [one.name for one in found.solution.parent.glob("*.py")]
    if there and found.main not in there:
        raise CourseError(
            f"{path}: submit is {found.main}, and solutions/{name} has no such file"
            f"{guess(found.main, there)}"
        )
    return found
