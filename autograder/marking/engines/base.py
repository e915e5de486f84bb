"""What every engine offers, and what it takes and gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from autograder.isolation.wall.sandbox import Layers
from autograder.model import GpuStatus, Outcome


@dataclass(frozen=True)
class Job:
    """One submission to mark. ``share``: the part of the course's CPU seconds that it gets."""

    student: str
    files: Mapping[str, bytes]
    seed: int
    share: float = 1.0


@dataclass(frozen=True)
class Listed:
    """A hidden test as the command knows it.

    ``extra``: it is worth nothing, because it is in a GPU part that the course does not require.
    """

    name: str
    says: str
    part: str
    worth: float
    learning: bool
    extra: bool = False


@dataclass
class Progress:
    """What is known about one job so far.

    ``finished`` comes once, with ``trouble`` if the job could not be completed. ``problem`` tells
    the student why the submission cannot be imported. ``error`` holds the student's exception and
    lines. ``notes`` say what of a notebook was left out.
    """

    job: Job
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    finished: bool = False
    trouble: str = ""
    problem: str = ""
    error: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


class Engine(Protocol):
    """Takes jobs and yields results as they come; it knows nothing of reports.

    Attributes:
        tests: the hidden tests.
        layers: the layers of the wall, as weak as on the weakest machine.
        leaks: what a probe in a worker could do and must not.
        gpu: what happens to the tests that need a GPU.
        where: the machines that ``layers`` and ``leaks`` describe.
    """

    tests: list[Listed]
    layers: Layers
    leaks: list[str]
    gpu: GpuStatus
    where: str

    def run(self, jobs: Sequence[Job]) -> Iterator[Progress]:
        """Mark every job; yields a job's progress as it grows, finished exactly once."""

    def close(self) -> None:
        """End every process that was started."""
