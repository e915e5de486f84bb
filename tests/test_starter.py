"""The starter folder is generated from solution and handout; what differs from that is stale."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import nbformat
import pytest
from toy import MAIN, NAME

from autograder import starter
from autograder.errors import SourceError
from autograder.submission import read_all

FILES = {"README.md", "test_local.py", "report.py", MAIN, "conftest.py", "requirements.txt", "sequences.ipynb"}


def test_a_starter_holds_the_handout_the_stub_and_a_notebook(toy):
    found = starter.files(toy.assignment)
    assert found.keys() == FILES
    assert found[MAIN] == toy.source.stub()
    assert found["requirements.txt"] == "numpy>=1.26\npytest>=8\n"
    for name in ("README.md", "test_local.py", "report.py"):
        assert found[name] == (toy.assignment.handout / name).read_text()


def test_nothing_of_the_solution_is_in_it(toy):
    for text in starter.files(toy.assignment).values():
        for secret in ("np.arange", "logits.max", "BUG", "WHEN", "no-discount", "gamma is never used", "### BEGIN"):
            assert secret not in text


def test_the_notebook_is_valid_and_holds_each_definition(toy):
    text = starter.files(toy.assignment)["sequences.ipynb"]
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert all(f"def {name}(" in source for name in ("discounted", "centred", "softmax"))
    assert "### " not in source and text.endswith("\n")


def test_the_same_stub_gives_the_same_bytes(toy):
    assert starter.files(toy.assignment) == starter.files(toy.assignment)
    ids = [cell["id"] for cell in json.loads(starter.files(toy.assignment)["sequences.ipynb"])["cells"]]
    assert ids == [f"cell-{number}" for number in range(len(ids))]


def test_a_filled_notebook_can_be_handed_in(toy, tmp_path):
    path = tmp_path / "ada.ipynb"
    path.write_text(starter.notebook(toy.assignment, toy.source.solution()))
    (one,) = read_all(path, MAIN)
    names: dict[str, object] = {}
    exec(one.files[MAIN], names)
    assert names["softmax"](__import__("numpy").zeros(2)).tolist() == [0.5, 0.5]


def test_a_fresh_starter_is_not_stale_and_writing_it_changes_nothing(toy):
    before = {path.name: path.stat().st_mtime_ns for path in toy.assignment.starter.iterdir()}
    assert before.keys() == FILES
    assert starter.stale(toy.assignment) == starter.write(toy.assignment) == []
    assert {path.name: path.stat().st_mtime_ns for path in toy.assignment.starter.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (lambda toy: toy.edit_solution("subtract the mean.", "take the mean away."), ["sequences.ipynb", MAIN]),
        (lambda toy: toy.edit(f"assignments/{NAME}/README.md", "# Sequences", "# New"), ["README.md"]),
        (lambda toy: toy.edit(f"assignments/{NAME}/assignment.yml", "pytest>=8", "pytest>=9"), ["requirements.txt"]),
        (lambda toy: (toy.assignment.starter / MAIN).unlink(), [MAIN]),
        (lambda toy: toy.write(f"starter/{NAME}/leftover.py", "x = 1\n"), ["leftover.py"]),
        (lambda toy: toy.write(f"starter/{NAME}/report.py", "edited by hand\n"), ["report.py"]),
    ],
)
def test_what_differs_is_stale_and_writing_mends_it(toy, change, stale):
    change(toy)
    assert starter.stale(toy.assignment) == stale
    assert [path.name for path in starter.write(toy.assignment)] == stale
    assert starter.stale(toy.assignment) == []
    assert {path.name for path in toy.assignment.starter.iterdir()} == FILES


def test_a_change_that_students_cannot_see_makes_nothing_stale(toy):
    toy.edit_solution("gamma is never used.", "gamma is forgotten.")
    assert starter.stale(toy.assignment) == []


def test_a_starter_that_was_never_written_is_stale_as_a_whole(toy):
    for path in toy.assignment.starter.iterdir():
        path.unlink()
    toy.assignment.starter.rmdir()
    assert set(starter.stale(toy.assignment)) == FILES
    starter.write(toy.assignment)
    assert starter.stale(toy.assignment) == []


def test_a_wrong_marker_is_found_before_anything_is_written(toy):
    toy.edit_solution("# TODO(means): subtract the mean.", "# TODO: subtract the mean.")
    with pytest.raises(SourceError):
        starter.write(toy.assignment)
    assert (toy.assignment.starter / MAIN).is_file()


def test_students_see_one_short_line_for_each_function_that_is_not_written(toy):
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(command, cwd=toy.assignment.starter, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "3 failed" in done.stdout and "Traceback" not in done.stdout
    ending = done.stdout[done.stdout.index("what to write next") :]
    wanted = ["TODO(sums): weigh each reward by a power of gamma.", "TODO(means): subtract the mean.", "TODO(means): exponentiate and normalise."]
    assert [line for line in ending.splitlines() if line.startswith("TODO")] == wanted
