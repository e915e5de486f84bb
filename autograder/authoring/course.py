"""course.yml and assignment.yml -> frozen Course and Assignment. Every mistake is a CourseError that names file and key."""

from __future__ import annotations

import difflib
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from autograder.errors import CourseError
from autograder.isolation.limits import Limits

COURSE_FILE = "course.yml"
SECRET_VARIABLE = "AUTOGRADER_SECRET"
SECRET_FILE = "course.secret"
Model = TypeVar("Model", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LateRule(_Frozen):
    """After the grace period each started day costs ``per_day`` of the points; after ``max_days`` nothing is left."""

    grace_minutes: Annotated[float, Field(ge=0)] = 0
    per_day: Annotated[float, Field(ge=0, le=1)] = 0.1
    max_days: Annotated[int, Field(ge=0)] = 5


Scale = Literal["required", "optional"]  # whether the points of tests that need a GPU count
# What a submission counts that cannot be opened or imported: zero points, or an empty cell.
Unreadable = Literal["zero", "empty"]
Visibility = Literal["visible", "hidden", "after_due_date", "after_published"]  # Gradescope's words


class GradescopeRules(_Frozen):
    """What Gradescope is told: when students see results, and whose late rule counts there."""

    visibility: Visibility = "visible"
    late: Literal["gradescope", "course"] = "gradescope"


class Entry(_Frozen):
    """One line of course.yml's assignments."""

    weight: Annotated[float, Field(ge=0)] = 1
    due: datetime | None = None
    visibility: Visibility | None = None  # on Gradescope, where it differs from the course's
    scale: Scale | None = None  # where it differs from the course's

    @field_validator("due")
    @classmethod
    def _with_a_zone(cls, due: datetime | None) -> datetime | None:
        if due is not None and due.tzinfo is None:
            raise ValueError("a due date needs a time zone, as in 2027-02-01T23:59:00+01:00")
        return due


class _CourseFile(_Frozen):
    title: str
    term: str
    late: LateRule = LateRule()
    gradescope: GradescopeRules = GradescopeRules()
    scale: Scale = "optional"
    unreadable: Unreadable = "zero"
    assignments: dict[str, Entry]


class _AssignmentFile(_Frozen):
    title: str
    submit: Annotated[tuple[str, ...], Field(min_length=1)]
    parts: dict[str, str]
    libraries: tuple[str, ...] = ("numpy",)
    requirements: tuple[str, ...] = ("numpy", "pytest")
    files: tuple[
        str, ...
    ] = ()  # further files in the handout's folder that students get as they are
    prerequisites: tuple[str, ...] = ()
    hours: float = 5
    limits: Limits = Limits()
    isolation: Literal["standard", "distributed"] = (
        "standard"  # distributed: tests may have ranks (lab.ranks)
    )
    sources: tuple[str, ...] = ()

    @field_validator("submit")
    @classmethod
    def _plain_names(cls, submit: tuple[str, ...]) -> tuple[str, ...]:
        if not all(Path(name).name == name and name.endswith(".py") for name in submit):
            raise ValueError(
                "names of .py files without a folder are expected, the one with the functions first"
            )
        return submit

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
        """What students get; generated."""
        return self.root / "starter" / self.name


class Course(_Frozen):
    """The whole course: course.yml with its assignments in teaching order."""

    root: Path
    title: str
    term: str
    late: LateRule
    gradescope: GradescopeRules = GradescopeRules()
    assignments: tuple[Assignment, ...]

    def assignment(self, name: str) -> Assignment:
        """The assignment of this name. Raises CourseError naming the near ones."""
        names = [assignment.name for assignment in self.assignments]
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            guess = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(names)}"
            raise CourseError(f"{self.root / COURSE_FILE}: no assignment is called '{name}'{guess}")
        return self.assignments[names.index(name)]

    @property
    def secret(self) -> bytes:
        """The key from which hidden inputs are drawn: $AUTOGRADER_SECRET, or the file course.secret, or none (empty)."""
        if value := os.environ.get(SECRET_VARIABLE):
            return value.encode()
        path = self.root / SECRET_FILE
        return path.read_bytes().strip() if path.is_file() else b""


def find_root(start: Path | None = None) -> Path:
    """The folder with course.yml: ``start`` if given; else the nearest one from here upwards, or the one this package lies in."""
    here = (start or Path.cwd()).resolve()
    for folder in (here,) if start else (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / COURSE_FILE).is_file():
            return folder
    raise CourseError(
        f"{here}: there is no {COURSE_FILE}: call from inside the course's folder, or give it with --course DIR"
    )


def load_course(root: Path) -> Course:
    """Read course.yml and every assignment.yml that it names."""
    path = root / COURSE_FILE
    file = _parse(_CourseFile, path, _read_yaml(path))
    assignments = tuple(
        _assignment(root, name, entry, file) for name, entry in file.assignments.items()
    )
    return Course(
        root=root,
        title=file.title,
        term=file.term,
        late=file.late,
        gradescope=file.gradescope,
        assignments=assignments,
    )


def load_assignment(root: Path, name: str) -> Assignment:
    """One assignment, whether course.yml names it already or not."""
    path = root / COURSE_FILE
    file = (
        _parse(_CourseFile, path, _read_yaml(path))
        if path.is_file()
        else _CourseFile(title="", term="", assignments={})
    )
    return _assignment(root, name, file.assignments.get(name, Entry()), file)


def _assignment(root: Path, name: str, entry: Entry, course: _CourseFile) -> Assignment:
    path = root / "assignments" / name / "assignment.yml"
    data = _read_yaml(path)
    _parse(_AssignmentFile, path, data)
    said = dict(entry) | {
        "late": course.late,
        "scale": entry.scale or course.scale,
        "unreadable": course.unreadable,
    }
    return _parse(Assignment, path, data | {"name": name, "root": root} | said)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(
            f"{path}: this file is missing: docs/AUTHORING.md says what stands in it"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise CourseError(
            f"{place}: this is not YAML: {getattr(error, 'problem', error)}"
        ) from None
    if not isinstance(data, dict):
        raise CourseError(f"{path}: keys and values are expected, as in 'title: ...'")
    return data


def _parse(model: type[Model], path: Path, data: dict[str, Any]) -> Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise CourseError(
            "\n".join(f"{path}: {_sentence(model, problem)}" for problem in error.errors())
        ) from None


def _sentence(model: type[BaseModel], problem: Any) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"'{key}' is missing"
    if problem["type"] == "extra_forbidden":
        known = {
            name
            for file in (model, Entry, LateRule, GradescopeRules, Limits)
            for name in file.model_fields
        }
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        return f"'{key}' is not a known key" + (f"; did you mean '{near[0]}'?" if near else "")
    if problem["type"] == "literal_error":
        words = re.findall(r"'(\w+)'", problem["ctx"]["expected"])
        near = difflib.get_close_matches(str(problem["input"]), words, n=1)
        guess = f"; did you mean '{near[0]}'?" if near else ""
        return f"{key} is {problem['input']!r}: {problem['ctx']['expected']} is expected{guess}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key} is {problem['input']!r}: {message[0].lower()}{message[1:]}"
