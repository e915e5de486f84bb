"""The skeleton of a new assignment is an assignment: proven, in the house's form, and by itself."""

from __future__ import annotations

import ast
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from toy import NAME
from typer.testing import CliRunner

from autograder.authoring import scaffold, starter
from autograder.authoring.source import Source
from autograder.cli import main
from autograder.errors import CourseError
from autograder.judging import hidden_test, plugin
from autograder.judging.hidden_test import InProcess
from autograder.proof import verify

NEW = "td_prediction"
ROOT = Path(__file__).parents[1]


@pytest.fixture
def new(toy):
    scaffold.write(toy.course, NEW, "Temporal-difference prediction: a start")
    return toy.course.assignment(NEW)


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_skeleton_is_proven_as_it_is_written(new):
    assert verify.verify(new).shortcomings == []


def test_the_right_answer_in_another_style_passes_whole_or_as_an_overlay(new):
    (path,) = (new.root / "grading" / NEW / "right").iterdir()
    right = path.read_text()
    names = [one.name for one in ast.parse(right).body if isinstance(one, ast.FunctionDef)]
    solution = Source(new.solution).solution()
    assert names and all(f"def {name}(" in solution for name in names)
    for text in (right, f"{Source(new.solution).stub()}\n\n{right}"):
        candidate = InProcess.of(text, new.main)
        for test in plugin.collect(new.hidden_tests):
            assert hidden_test.run(test, candidate, 0).passed, test.name


def test_only_its_own_folders_are_touched(toy):
    before = digests(toy.root)
    written = scaffold.write(toy.course, NEW)
    after = digests(toy.root)
    assert before.items() <= after.items()
    assert set(after) - set(before) == {str(path) for path in written}
    assert all(NEW in path.parts for path in written)
    assert starter.stale(toy.course.assignment(NEW)) == []


def test_the_handout_has_the_house_s_headings(new):
    text = (new.handout / "README.md").read_text()
    for words in ("picture", "idea", "Pseudocode", "worked example", "Tasks", "debug", "Questions"):
        assert any(line.startswith("## ") and words in line for line in text.split("\n")), words


@pytest.mark.parametrize("name", ["a_name", "zeta"])
def test_it_is_in_the_house_s_form(toy, name):
    ruff = shutil.which("ruff") or str(ROOT / ".venv" / "bin" / "ruff")
    if not Path(ruff).exists():
        pytest.skip("ruff is not installed")
    scaffold.write(toy.course, name)
    shutil.copy(ROOT / "pyproject.toml", toy.root)
    folders = [toy.root / folder / name for folder in ("assignments", "solutions", "grading")]
    ours = ["--config", 'lint.isort.known-first-party=["autograder"]']
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *command, "--no-cache", *ours, *folders],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for text in scaffold.files(name, "T").values() for line in text.split("\n")]
    assert max(map(len, lines)) <= 100


def test_the_command_prints_the_one_line_for_course_yml(toy):
    said = CliRunner().invoke(main.app, ["new", NEW, "--course", str(toy.root)])
    assert said.exit_code == 0, said.output
    (line,) = (line for line in said.stdout.split("\n") if line.startswith("  "))
    text = (toy.root / "course.yml").read_text()
    toy.write("course.yml", text + line.replace(", week: 1", "") + "\n")
    assert [one.name for one in toy.course.assignments] == [NAME, NEW]
    assert toy.course.assignment(NEW).title == "Td prediction"


@pytest.mark.parametrize(
    ("name", "title", "said"),
    [
        ("two words", "", "'two words' cannot be imported"),
        ("../up", "", "cannot be imported"),
        ("Upper", "", "cannot be imported: lower-case letters"),
        ("class", "", "cannot be imported"),
        ("numpy", "", "'numpy' is also a Python module's name"),
        ("random", "", "'random' is also a Python module's name"),
        (NAME, "", "is there already: choose a new name"),
        (NEW, 'A "quoted" one', "write it without quotation marks"),
    ],
)
def test_what_cannot_be_is_refused_and_writes_nothing(toy, name, title, said):
    before = digests(toy.root)
    with pytest.raises(CourseError, match=said):
        scaffold.write(toy.course, name, title)
    assert digests(toy.root) == before
