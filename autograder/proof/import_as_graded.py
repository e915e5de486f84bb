"""The import of a file as grading does it, on a machine that can have a wall."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from autograder.authoring.course import Assignment
from autograder.authoring.given import with_given
from autograder.errors import IsolationError, StudentError

SENTENCE = (
    "Your file cannot be imported where it is graded. There it may write only in its own small "
    "folder, and it finds no network and no files but those that are submitted."
)


@dataclass(frozen=True)
class Trial:
    """What an import behind the wall has shown.

    failure   what it raised, with its lines; empty if nothing, or where there is no wall
    left_out  the statements of a notebook that were left out, a line each
    """

    failure: str = ""
    left_out: tuple[str, ...] = ()


def trial(assignment: Assignment, files: Mapping[str, bytes]) -> Trial:
    """Import these files as grading does."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return Trial()
    # This module cannot be imported on every system.
    from autograder.isolation.workers.walled import WorkerServer

    try:
        server = WorkerServer.start(assignment.libraries, profile=assignment.isolation)
    except IsolationError:
        return Trial()
    try:
        if not server.layers.strong:
            return Trial()
        whole = with_given(assignment, files)
        candidate = server.candidate(whole, assignment.main, assignment.limits)
        candidate.open(lambda event: None, None).close()
        return Trial(left_out=tuple(candidate.shared.left_out))
    except StudentError as error:
        return Trial(f"{SENTENCE}\n\n{error.story()}")
    except IsolationError:
        # `doctor` says what is missing.
        return Trial()
    finally:
        server.close()
