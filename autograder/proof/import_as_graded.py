"""The import of a file as grading does it, on a machine that can have a wall."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from autograder.authoring.course import Assignment
from autograder.errors import IsolationError, StudentError

SENTENCE = (
    "Your file cannot be imported where it is graded. There it may write only in its own small "
    "folder, and it finds no network and no files but those that are submitted."
)


def failure(assignment: Assignment, files: Mapping[str, bytes]) -> str:
    """What the import raises behind the wall, with its lines; empty if nothing, or no wall."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return ""
    # This module cannot be imported on every system.
    from autograder.isolation.workers.walled import WorkerServer

    try:
        server = WorkerServer.start(assignment.libraries, profile=assignment.isolation)
    except IsolationError:
        return ""
    try:
        if server.layers.strong:
            candidate = server.candidate(files, assignment.main, assignment.limits)
            candidate.open(lambda event: None, None).close()
    except StudentError as error:
        return f"{SENTENCE}\n\n{error.story()}"
    except IsolationError:
        # `doctor` says what is missing.
        return ""
    finally:
        server.close()
    return ""
