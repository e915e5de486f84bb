"""Where gradings run: base.py (the interface), local.py (this machine), ray.py (a Ray cluster)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.authoring.course import Assignment
from autograder.errors import CourseError
from autograder.marking.engines.base import Engine, Job, Listed, Progress
from autograder.marking.engines.local import LocalEngine

if TYPE_CHECKING:
    from autograder.isolation import doctor

__all__ = ["Engine", "Job", "Listed", "LocalEngine", "Progress", "inspect", "start"]


def start(
    name: str, assignment: Assignment, jobs: int, address: str, notice: Callable[[str], None]
) -> Engine:
    """The engine called ``name``; ``jobs`` 0: one for each core.

    Raises CourseError, IsolationError.
    """
    if name == "local":
        return LocalEngine(assignment, jobs or os.cpu_count() or 1)
    if name == "ray":
        from autograder.marking.engines.ray import RayEngine

        return RayEngine(assignment, jobs, address, notice)
    raise _unknown(name)


def inspect(name: str, root: Path, address: str) -> dict[str, list[doctor.Finding]]:
    """What `doctor` finds on each machine that the engine would use, by the machine's name."""
    # It imports numpy, which grading one submission has no time for.
    from autograder.isolation import doctor

    if name == "local":
        return {LocalEngine.where: doctor.inspect(root)}
    if name == "ray":
        from autograder.marking.engines import ray

        return {f"node {node}": findings for node, findings in ray.inspect(root, address).items()}
    raise _unknown(name)


def _unknown(name: str) -> CourseError:
    return CourseError(f"--engine {name}: there are local and ray")
