"""grading/NAME/equivalent.yml, and the judgement on the mutants that survive.

A mutant is equivalent if no answer of the solution changes, or none that the handout promises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from autograder.authoring import yaml_file
from autograder.authoring.course import Assignment
from autograder.authoring.source import Source
from autograder.errors import CourseError
from autograder.judging.hidden_test import HiddenTest
from autograder.proof.inputs import code_digest, given_modules
from autograder.proof.survivors import Hunt, hunt

FILE = "equivalent.yml"
# Of the mutants that are not equivalent, at least this share must be killed.
LEAST_KILLED = 0.97


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    mutant: str
    because: str

    @field_validator("because")
    @classmethod
    def _is_a_sentence(cls, text: str) -> str:
        if len(text.split()) < 3 or not text.endswith("."):
            raise ValueError("one sentence is expected, with a full stop")
        return text


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    equivalent: tuple[_Entry, ...]


@dataclass
class Tried:
    """What is printed of all mutants, and what the proof keeps.

    ``counts``: how many were made and killed, and of what. ``survivors``: by a mutant's name, that
    it is equivalent or that it survives.
    """

    counts: dict[str, Any] = field(default_factory=dict)
    survivors: dict[str, str] = field(default_factory=dict)
    shortcomings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def path_of(assignment: Assignment) -> Path:
    """Where an assignment lists its equivalent mutants."""
    return assignment.hidden_tests.with_name(FILE)


def reasons(assignment: Assignment) -> dict[str, str]:
    """By an equivalent mutant's name, why it is equivalent.

    Raises CourseError for a file that has another form, or has a mutant twice.
    """
    path = path_of(assignment)
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    for entry in yaml_file.parse(_File, path, yaml_file.read_yaml(path)).equivalent:
        if entry.mutant in found:
            raise CourseError(f"{path}: '{entry.mutant}' is there twice: keep one of them")
        found[entry.mutant] = entry.because
    return found


def try_all(
    assignment: Assignment, tests: Sequence[HiddenTest], tell: Callable[[str], None]
) -> Tried:
    """Run all mutants against these tests, and judge what survives."""
    known = reasons(assignment)
    found = hunt(assignment, tests, tell)
    tried = judged(assignment, found, known)
    tried.counts["of"] = _digest(assignment)
    return tried


def judged(assignment: Assignment, found: Hunt, known: Mapping[str, str]) -> Tried:
    """The judgement on a hunt, given the reasons why some mutants are equivalent."""
    where = path_of(assignment).relative_to(assignment.root).as_posix()
    solution = assignment.solution.relative_to(assignment.root).as_posix()
    tried = Tried()
    made = {mutant.name for mutant in found.made}
    for name in known:
        if name not in made:
            tried.shortcomings.append(f"{where}: no mutant is called '{name}': drop this entry")
        elif name in found.killers:
            tried.shortcomings.append(
                f"{where}: '{name}' is not equivalent, {found.killers[name]} kills it: "
                "drop this entry"
            )
    for mutant in found.survivors:
        tried.survivors[mutant.name] = "equivalent" if mutant.name in known else "survives"
        if mutant.name not in known:
            tried.notes.append(f"{solution}:{mutant.line} survives: {mutant.name}")
    killed, equal = len(found.killers), len(made & known.keys() - found.killers.keys())
    tried.counts = {"made": len(made), "killed": killed, "equivalent": equal}
    asked = len(made) - equal
    if killed < LEAST_KILLED * asked:
        tried.shortcomings.append(
            f"{killed} of {asked} mutants are killed, which is {_percent(killed / asked)}, but at "
            f"least {LEAST_KILLED:.0%} must be: kill more with tests, or say in {where} why a "
            "mutant is equivalent"
        )
    return tried


def missing_or_stale(assignment: Assignment, counts: Mapping[str, Any]) -> list[str]:
    """A sentence if the mutants were never tried, or if something has changed since."""
    renew = f"python -m autograder verify {assignment.name} --mutants"
    if not counts:
        return [f"no mutants have been tried: {renew}"]
    if counts["of"] != _digest(assignment):
        return [
            "the solution, the hidden tests or the equivalent mutants have changed since the "
            f"mutants were tried: {renew}"
        ]
    return []


def _percent(share: float) -> str:
    """Rounded down, so that what is below a bar does not look as if it were on it."""
    return f"{int(1000 * share) / 10:g}%"


def _digest(assignment: Assignment) -> str:
    """A digest of all that decides which mutants there are and which survive."""
    given = [path.read_text(encoding="utf-8") for path in given_modules(assignment)]
    hidden = assignment.hidden_tests.read_text(encoding="utf-8")
    names = sorted(reasons(assignment))
    return code_digest([Source(assignment.solution).solution(), *given, hidden, repr(names)])
