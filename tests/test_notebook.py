"""Notebooks in: code cells only, magics and outputs dropped. Notebooks out: every definition in a cell, the tests and plots at the end."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

from autograder.authoring import notebook
from autograder.authoring.course import load_assignment
from autograder.authoring.source import BEGIN, Source
from autograder.export import master

GAE = load_assignment(Path(__file__).resolve().parents[1], "gae")


def handed_in(*cells) -> str:
    made = [notebook.code(cell) if isinstance(cell, str) else cell for cell in cells]
    return notebook.code_of("work.ipynb", notebook.new(made).encode()).decode()


def test_magics_outputs_and_experiments_are_dropped():
    cell = notebook.code(
        "%matplotlib inline\n!pip install x\ndef f():\n    return 1\nprint(f())\nf?"
    )
    cell.outputs = [nbformat.v4.new_output("stream", text="1\n")]
    names: dict = {}
    exec(handed_in(cell, "for i in range(10**12): pass"), names)
    assert names["f"]() == 1 and "i" not in names


@pytest.mark.parametrize("magic", ["%%time", "%%capture out", "%%prun"])
def test_a_definition_under_a_cell_magic_counts(magic):
    names: dict = {}
    exec(handed_in(f"{magic}\ndef f():\n    return 1"), names)
    assert names["f"]() == 1


@pytest.mark.parametrize("magic", ["%%bash", "%%html", "%%writefile f.py", "%%timeit"])
def test_a_cell_in_another_language_does_not(magic):
    assert "hello" not in handed_in(f"{magic}\nhello = 1")


def test_imports_from_the_future_may_stand_in_any_cell():
    cells = (
        "import math",
        "from __future__ import annotations\n\nx = math.pi",
        "from __future__ import annotations, division\ny = 2",
    )
    text, names = handed_in(*cells), {}
    exec(compile(text, "work.py", "exec"), names)
    assert (names["x"], names["y"]) == (names["math"].pi, 2)
    assert text.startswith("from __future__ import annotations, division\n")
    assert (
        text.split("\n").index("y = 2") - text.split("\n").index("x = math.pi") == 4
    )  # a marker and the emptied line between: no line moves


def test_what_otter_and_nbgrader_put_in_is_no_work_of_the_student_s():
    test = notebook.code("x = 1 / 0", nbgrader={"grade": True, "solution": False})
    text = handed_in("import otter\ngrader = otter.Notebook()", test, "y = 2")
    assert "otter" not in text and "1 / 0" not in text and "y = 2" in text


def test_the_cells_of_a_file_say_what_it_says():
    source = Source(GAE.solution)
    for text in (source.solution(), source.stub(), source.marked()):
        body = ast.parse(text).body
        code = "\n\n\n".join(cell for kind, cell in notebook.split(text) if kind == "code")
        assert ast.dump(ast.parse(code)) == ast.dump(ast.Module(body[1:], []))
    for cell in master.cells(GAE):
        assert (cell.stub is not None) == (BEGIN in cell.source)


def test_the_stubs_of_the_cells_are_the_stub():
    code = "\n\n\n".join(
        cell.source if cell.stub is None else cell.stub
        for cell in master.cells(GAE)
        if cell.kind == "code"
    )
    stub = ast.parse(Source(GAE.solution).stub())
    assert ast.dump(ast.parse(code)) == ast.dump(ast.Module(stub.body[1:], []))


def test_ids_are_plain_and_different():
    assert master.ids(["test_a[1-x]", "test_a[1.x]", "test_b"]) == [
        "test_a_1_x",
        "test_a_1_x_1",
        "test_b",
    ]
