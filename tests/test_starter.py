"""The starter folder is generated from solution and handout; what differs from that is stale."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from toy import MAIN, NAME

from autograder.authoring import starter
from autograder.errors import CourseError, SourceError
from autograder.isolation.limits import WORLD_BYTES
from autograder.marking.submission import read_all
from autograder.proof.public import run_public_tests

FILES = {
    "README.md",
    "test_local.py",
    "report.py",
    MAIN,
    "conftest.py",
    "pytest.ini",
    "requirements.txt",
    "sequences.ipynb",
}


def test_a_starter_holds_the_handout_the_stub_and_a_notebook(toy):
    found = starter.files(toy.assignment)
    assert found.keys() == FILES
    assert found[MAIN].decode().startswith(toy.source.stub())
    assert found["requirements.txt"] == b"numpy>=1.26\npytest>=8\npytest-timeout>=2.3\n"
    for name in ("test_local.py", "report.py"):
        assert found[name] == (toy.assignment.handout / name).read_bytes()


def test_its_readme_says_what_the_grading_machine_is_like(toy):
    told = starter.files(toy.assignment)["README.md"]
    handout, heading, machine = told.partition(b"\n## The machine that grades\n")
    assert handout == (toy.assignment.handout / "README.md").read_bytes() and heading
    assert f"up to {WORLD_BYTES >> 20} MB" in machine.decode()


def test_nothing_of_the_solution_is_in_it(toy):
    for content in starter.files(toy.assignment).values():
        text = content.decode()
        for secret in (
            "np.arange",
            "logits.max",
            "BUG",
            "WHEN",
            "no-discount",
            "gamma is never used",
            "### BEGIN",
        ):
            assert secret not in text


def test_the_notebook_is_valid_and_holds_each_definition(toy):
    text = starter.files(toy.assignment)["sequences.ipynb"].decode()
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    source = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert all(f"def {name}(" in source for name in ("discounted", "centred", "softmax"))
    assert "### " not in source and text.endswith("\n")


def test_the_same_stub_gives_the_same_bytes(toy):
    assert starter.files(toy.assignment) == starter.files(toy.assignment)
    ids = [
        cell["id"] for cell in json.loads(starter.files(toy.assignment)["sequences.ipynb"])["cells"]
    ]
    assert ids == [f"cell-{number}" for number in range(len(ids))]


def test_a_filled_notebook_can_be_submitted(toy, tmp_path):
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
    assert {
        path.name: path.stat().st_mtime_ns for path in toy.assignment.starter.iterdir()
    } == before


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (
            lambda toy: toy.edit_solution("subtract the mean.", "take the mean away."),
            ["sequences.ipynb", MAIN],
        ),
        (
            lambda toy: toy.edit(f"assignments/{NAME}/README.md", "# Sequences", "# New"),
            ["README.md"],
        ),
        (
            lambda toy: toy.edit(f"assignments/{NAME}/assignment.yml", "pytest>=8", "pytest>=9"),
            ["requirements.txt"],
        ),
        (lambda toy: (toy.assignment.starter / MAIN).unlink(), [MAIN]),
        (lambda toy: toy.write(f"starter/{NAME}/leftover.py", "x = 1\n"), ["leftover.py"]),
        (lambda toy: toy.write(f"starter/{NAME}/report.py", "edited by hand\n"), ["report.py"]),
    ],
)
def test_what_differs_is_stale_and_writing_fixes_it(toy, change, stale):
    change(toy)
    assert starter.stale(toy.assignment) == stale
    assert [path.name for path in starter.write(toy.assignment)] == stale
    assert starter.stale(toy.assignment) == []
    assert {path.name for path in toy.assignment.starter.iterdir()} == FILES


WEIGHTS = b"\x00\xffnot\r\ntext\x93"


@pytest.fixture
def generous(toy):
    """The toy course, whose assignment gives students two further files, one of them binary."""
    toy.edit(
        f"assignments/{NAME}/assignment.yml",
        "limits:",
        "files: [weights.bin, make_weights.py]\nlimits:",
    )
    toy.write(f"assignments/{NAME}/make_weights.py", "print('made')\n")
    (toy.assignment.handout / "weights.bin").write_bytes(WEIGHTS)
    return toy


def test_further_files_are_copied_byte_for_byte(generous):
    assert starter.stale(generous.assignment) == ["make_weights.py", "weights.bin"]
    starter.write(generous.assignment)
    assert starter.stale(generous.assignment) == []
    assert {path.name for path in generous.assignment.starter.iterdir()} == FILES | {
        "weights.bin",
        "make_weights.py",
    }
    assert (generous.assignment.starter / "weights.bin").read_bytes() == WEIGHTS


def test_a_further_file_that_has_changed_or_is_no_longer_given_is_stale(generous):
    starter.write(generous.assignment)
    (generous.assignment.handout / "weights.bin").write_bytes(WEIGHTS[:-1] + b"\x94")
    assert starter.stale(generous.assignment) == ["weights.bin"]
    generous.edit(f"assignments/{NAME}/assignment.yml", "weights.bin, ", "")
    assert [path.name for path in starter.write(generous.assignment)] == ["weights.bin"]
    assert not (generous.assignment.starter / "weights.bin").exists()


def test_public_tests_find_the_further_files(generous):
    generous.edit(
        f"assignments/{NAME}/test_local.py",
        "def test_centred",
        "def test_weights():\n    open('weights.bin').close()\n\n\ndef test_centred",
    )
    code, output = run_public_tests(generous.assignment, {MAIN: generous.submission().encode()})
    assert (code, "4 passed" in output) == (0, True)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ("[lost.bin]", "lost.bin cannot be copied ("),
        (
            "[conftest.py]",
            "conftest.py is copied from the handout's folder, but it is also generated",
        ),
        ("[../secret.txt]", "names of files beside assignment.yml are expected, without a folder"),
    ],
)
def test_a_file_that_cannot_be_given_is_explained(toy, files, sentence):
    toy.edit(f"assignments/{NAME}/assignment.yml", "limits:", f"files: {files}\nlimits:")
    toy.write(f"assignments/{NAME}/conftest.py", "")
    with pytest.raises(CourseError, match=re.escape(sentence)) as caught:
        starter.stale(toy.assignment)
    assert "assignment.yml" in str(caught.value)


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
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        "-p",
        "no:cacheprovider",
        "-q",
    ]
    done = subprocess.run(
        command,
        cwd=toy.assignment.starter,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "3 failed" in done.stdout and "Traceback" not in done.stdout
    ending = done.stdout[done.stdout.index("what to write next") :]
    wanted = [
        "TODO(sums): weigh each reward by a power of gamma.",
        "TODO(means): subtract the mean.",
        "TODO(means): exponentiate and normalise.",
    ]
    assert [line for line in ending.splitlines() if line.startswith("TODO")] == wanted


def test_students_get_the_list_of_changes_where_there_is_one(toy):
    toy.write(f"assignments/{NAME}/CHANGES.md", "# Changes\n")
    assert starter.stale(toy.assignment) == ["CHANGES.md"]
    assert starter.files(toy.assignment)["CHANGES.md"] == b"# Changes\n"


def test_an_endless_loop_in_a_public_test_is_stopped_and_named(toy, tmp_path):
    folder = tmp_path / "starter"
    folder.mkdir()
    for name, data in starter.files(toy.assignment).items():
        (folder / name).write_bytes(data)
    (folder / "pytest.ini").write_bytes(b"[pytest]\ntimeout = 1\n")
    text = toy.submission("return numbers - numbers.mean()", "while True: pass")
    (folder / "sequences.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "test_centred - Failed: Timeout (>1.0s)" in done.stdout
    assert "2 passed" in done.stdout
