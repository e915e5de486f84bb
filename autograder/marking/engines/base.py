"""What every engine offers, and what it takes and gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from autograder.isolation.wall.sandbox import Layers
from autograder.judging.gpu_part import GpuStatus
from autograder.model import Outcome


@dataclass(frozen=True)
class Job:
    """One submission to mark."""

    student: str
    files: Mapping[str, bytes]
    seed: int


@dataclass(frozen=True)
class Listed:
    """A hidden test as the command knows it."""

    name: str
    says: str
    part: str
    worth: float
    learning: bool
    extra: bool = False  # worth nothing: a GPU part that the course does not require


@dataclass
class Progress:
    """What is known about one job so far.

    ``finished`` comes once, with ``trouble`` if it could not be completed. ``problem`` says why the
    submission cannot be imported, for its student; ``error`` holds their exception and lines.
    """

    job: Job
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    finished: bool = False
    trouble: str = ""
    problem: str = ""
    error: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()  # what of a notebook was left out


class Engine(Protocol):
    """Takes jobs and yields what is found as it is found; it knows nothing of reports."""

    tests: list[Listed]
    layers: Layers  # of the wall, as weak as on the weakest machine
    leaks: list[str]  # what a probe in a worker could do and must not
    gpu: GpuStatus  # what became of the tests that need a GPU
    where: str  # which machine these two speak of

    def run(self, jobs: Sequence[Job]) -> Iterator[Progress]:
        """Mark every job; yields a job's progress as it grows, finished exactly once."""

    def close(self) -> None:
        """End every process that was started."""
