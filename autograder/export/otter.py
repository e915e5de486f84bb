"""otter-grader: a master notebook for `otter assign`.

Each hidden test is a question. Its test cell holds no test: `otter run` loads otter_plugin.py,
which marks the submission behind our wall and gives otter the verdicts. So scores are those of the
command line, and student code never runs in otter's kernel. This package must be installed where
otter runs. Otherwise the questions fail rather than pass.
"""

from __future__ import annotations

import re
from typing import Any

import nbformat
import yaml

from autograder.authoring import notebook, starter
from autograder.authoring.course import Assignment
from autograder.authoring.markers import BEGIN, END, TODO
from autograder.export import master

PLUGIN = "autograder.export.otter_plugin.Walled"


def files(assignment: Assignment) -> dict[str, bytes]:
    """NAME.ipynb, the master notebook, and the handout's files."""
    beside = master.handout(assignment)
    stem = assignment.main.removesuffix(".py")
    cells = [
        _raw(
            "# ASSIGNMENT CONFIG\n"
            + yaml.safe_dump(_config(assignment, sorted(beside)), sort_keys=False)
        ),
        notebook.markdown(f"# {assignment.title}\n\n{master.INTRODUCTION}"),
        *(_cell(cell) for cell in master.cells(assignment)),
        *starter.last_cells(assignment),
    ]
    for name, test in master.hidden_tests(assignment):
        cells += _question(name, test.says, test.worth)
    return beside | {f"{stem}.ipynb": notebook.new(cells).encode()}


def _config(assignment: Assignment, beside: list[str]) -> dict[str, Any]:
    return {
        "name": assignment.name,
        "strip_solutions_from_all_cells": True,
        "export_cell": {"pdf": False, "run_tests": False},
        "tests": {"ok_format": False},
        "files": beside,
        "plugins": [{PLUGIN: {"assignment": assignment.name, "course": str(assignment.root)}}],
    }


def _raw(source: str) -> Any:
    return nbformat.v4.new_raw_cell(source.rstrip())  # type: ignore[no-untyped-call]


def _cell(cell: master.Cell) -> Any:
    return (
        notebook.markdown(cell.source) if cell.kind == "markdown" else notebook.code(_marked(cell))
    )


def _marked(cell: master.Cell) -> str:
    """Our markers as otter's: each block without a prompt.

    After a function's block, the stub's two lines are the prompt.
    """
    if cell.stub is None:
        return cell.source
    prompts = iter(re.findall(r"^[ \t]+# YOUR CODE HERE\n.*$", cell.stub, re.MULTILINE))
    lines: list[str] = []
    for line in cell.source.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        if line.strip() == BEGIN:
            in_a_function = bool(lines) and TODO.fullmatch(lines[-1].strip()) is not None
            lines.append(f"{indent}# BEGIN SOLUTION NO PROMPT")
        elif line.strip() == END:
            lines.append(f"{indent}# END SOLUTION")
            if in_a_function:
                lines += [
                    f'{indent}r""" # BEGIN PROMPT',
                    next(prompts),
                    f'{indent}""" # END PROMPT',
                ]
        else:
            lines.append(line)
    return "\n".join(lines)


def _question(name: str, says: str, worth: float) -> list[Any]:
    question = {"name": name, "points": worth, "check_cell": False}
    test = f'''""" # BEGIN TEST CONFIG
hidden: true
points: {worth:g}
""" # END TEST CONFIG
def test_{name.removeprefix("test_")}(env):
    raise AssertionError({master.NOT_HERE!r})'''
    return [
        _raw("# BEGIN QUESTION\n" + yaml.safe_dump(question, sort_keys=False)),
        notebook.markdown(f"**{says}** ({worth:g} points)"),
        _raw("# BEGIN TESTS"),
        notebook.code(test),
        _raw("# END TESTS"),
        _raw("# END QUESTION"),
    ]
