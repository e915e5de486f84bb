"""Which known mistakes have a board in the site's museum, and where it hangs."""

from __future__ import annotations

import ast
import hashlib

from autograder.authoring.course import Assignment
from autograder.authoring.markers import bug_of
from autograder.authoring.source import Source


def board_name(assignment: str, bug: str) -> str:
    """The same as long as the bug has its name: links and scores refer to it."""
    return hashlib.sha256(f"{assignment}/{bug}".encode()).hexdigest()[:6]


def boards(assignment: Assignment) -> dict[str, str]:
    """When one makes a mistake -> its board, as an address below the site's.

    The scenes are read, not run: a board is a key that names a bug. Without them there is none.
    """
    scenes = assignment.root / "site" / "museum" / f"{assignment.name}.py"
    if not scenes.is_file() or not assignment.solution.is_file():
        return {}
    tree = ast.parse(scenes.read_text(encoding="utf-8"))
    keys = {
        bug_of(key.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
    page = f"museum/{assignment.name}.html"
    return {
        bug.when: f"{page}#board-{board_name(assignment.name, bug.name)}"
        for bug in Source(assignment.solution).bugs
        if bug.name in keys
    }
