"""Notebooks out: every definition in a cell, the tests and plots at the end."""

from __future__ import annotations

import ast
from pathlib import Path

from autograder.authoring import notebook
from autograder.authoring.course import load_assignment
from autograder.authoring.markers import BEGIN
from autograder.authoring.source import Source
from autograder.export import master

GAE = load_assignment(Path(__file__).resolve().parents[1], "gae")


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
