"""The five routes to marks, each as a function.

It takes submissions (name -> text of the main file) and returns {name: {test's id: points}}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import nbformat

from autograder.authoring import notebook, starter
from autograder.authoring.course import Assignment
from autograder.authoring.source import Source
from autograder.export import master
from autograder.export.nbgrader import STUB

Marks = dict[str, dict[str, float]]
BIN = Path(sys.executable).parent
ENVIRONMENT = os.environ | {
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # nbgrader calls alembic
    "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
}
HARDENED = (
    "--read-only --tmpfs /tmp:rw,nosuid,nodev,size=256m --cap-drop=ALL "
    "--cap-add=SETUID --cap-add=SETGID --cap-add=KILL "
    "--security-opt no-new-privileges --memory=4g --pids-limit=256"
).split()


def run(
    *command: object, cwd: Path | None = None, limit: float = 900, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command, with its output; what goes wrong in it is for the caller to see."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )


def must(*command: object, cwd: Path | None = None, **environment: str) -> str:
    """A command that has to succeed; its output."""
    done = run(*command, cwd=cwd, **environment)
    assert done.returncode == 0, (
        f"{command} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )
    return done.stdout + done.stderr


def read(results: Path) -> dict[str, float]:
    """Our results.json as {id: points}."""
    tests = json.loads(results.read_text(encoding="utf-8"))["tests"]
    names = master.ids(test["extra_data"]["test"] for test in tests)
    return {name: test["score"] for name, test in zip(names, tests, strict=True)}


def as_notebook(assignment: Assignment, text: str) -> str:
    """A submission as the student edition of the notebook, filled in."""
    return starter.notebook(assignment, text)


def command_line(assignment: Assignment, submitted: Mapping[str, str], folder: Path) -> Marks:
    for name, text in submitted.items():
        place = folder / "submitted" / f"{name}.ipynb"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(as_notebook(assignment, text))
    command = [sys.executable, "-m", "autograder", "grade", assignment.name, folder / "submitted"]
    must(*command, "--out", folder / "marks", "--course", assignment.root, "--quiet")
    return {
        name: read(folder / "marks" / assignment.name / name / "results.json") for name in submitted
    }


def gradescope(assignment: Assignment, submitted: Mapping[str, str], folder: Path) -> Marks:
    """The zip as Gradescope unpacks it: everything to source/, run_autograder beside it, cwd
    there."""
    export(assignment, "gradescope", folder)
    marks = {}
    for name, text in submitted.items():
        root = laid_out(folder / name, folder / f"{assignment.name}-gradescope.zip")
        (root / "submission" / f"{Path(assignment.main).stem}.ipynb").write_text(
            as_notebook(assignment, text)
        )
        must(root / "run_autograder", cwd=root, GRADER_PYTHON=sys.executable, PYTHONPATH="")
        marks[name] = read(root / "results" / "results.json")
    return marks


def laid_out(root: Path, archive: Path) -> Path:
    """A folder as Gradescope's /autograder is before a run."""
    for part in ("source", "submission", "results"):
        (root / part).mkdir(parents=True)
    with zipfile.ZipFile(archive) as file:
        file.extractall(root / "source")
    (root / "source" / "run_autograder").rename(root / "run_autograder")
    (root / "run_autograder").chmod(0o755)
    (root / "submission_metadata.json").write_text(
        json.dumps({"created_at": "2027-01-01T10:00:00.000000+00:00"})
    )
    return root


def otter(assignment: Assignment, submitted: Mapping[str, str], folder: Path) -> Marks:
    export(assignment, "otter", folder)
    stem = Path(assignment.main).stem
    place = folder / f"{assignment.name}-otter"
    must("otter", "assign", place / f"{stem}.ipynb", place / "dist")
    (archive,) = (place / "dist" / "autograder").glob("*.zip")
    released = place / "dist" / "student" / f"{stem}.ipynb"
    marks = {}
    for name, text in submitted.items():
        results = folder / name
        results.mkdir()
        (results / f"{stem}.ipynb").write_text(filled(assignment, released, text))
        must("otter", "run", results / f"{stem}.ipynb", "-a", archive, "-o", results, cwd=results)
        found = json.loads((results / "results.json").read_text())["tests"]
        marks[name] = {
            test["name"]: test["score"]
            for test in found
            if "score" in test and test["name"] != "Public Tests"
        }
    return marks


def nbgrader(assignment: Assignment, submitted: Mapping[str, str], folder: Path) -> Marks:
    export(assignment, "nbgrader", folder)
    place, stem = folder / "nbgrader", Path(assignment.main).stem
    must("nbgrader", "generate_assignment", assignment.name, cwd=place)
    released = place / "release" / assignment.name / f"{stem}.ipynb"
    for name, text in submitted.items():
        own = place / "submitted" / name / assignment.name
        own.mkdir(parents=True)
        (own / f"{stem}.ipynb").write_text(filled(assignment, released, text))
    must("nbgrader", "autograde", assignment.name, cwd=place)
    must("nbgrader", "generate_feedback", assignment.name, cwd=place)
    for name in submitted:
        assert (place / "feedback" / name / assignment.name / f"{stem}.html").is_file()
    return _from_the_database(place / "gradebook.db", assignment, submitted)


def _from_the_database(path: Path, assignment: Assignment, submitted: Mapping[str, str]) -> Marks:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{path}") as book:
        marks = {}
        for name in submitted:
            (submitted,) = book.find_submission(assignment.name, name).notebooks
            marks[name] = {grade.name: float(grade.score) for grade in submitted.grades}
    return marks


def image(
    assignment: Assignment,
    submitted: Mapping[str, str],
    folder: Path,
    options: tuple[str, ...] = (),
) -> Marks:
    """A container for each submission, from $GRADER_IMAGE by $GRADER_ENGINE."""
    marks = {}
    for name, text in submitted.items():
        for part in ("submission", "results"):
            (folder / name / part).mkdir(parents=True)
        (folder / name / "submission" / assignment.main).write_text(text)
        must(*in_a_container(assignment.name, folder / name, options))
        marks[name] = read(folder / name / "results" / "results.json")
    return marks


def in_a_container(name: str, root: Path, options: tuple[str, ...] = ()) -> list[str]:
    """The command that an instructor types."""
    mounts = [
        "-v",
        f"{root}/submission:/autograder/submission:ro",
        "-v",
        f"{root}/results:/autograder/results",
    ]
    engine, tag = os.environ["GRADER_ENGINE"], os.environ["GRADER_IMAGE"]
    return [
        engine,
        "run",
        "--rm",
        "--network=none",
        *options,
        "-e",
        f"ASSIGNMENT={name}",
        *mounts,
        tag,
        "/autograder/run_autograder",
    ]


def export(assignment: Assignment, kind: str, folder: Path) -> None:
    must(
        sys.executable,
        "-m",
        "autograder",
        "export",
        kind,
        assignment.name,
        "--out",
        folder,
        "--course",
        assignment.root,
    )


def filled(assignment: Assignment, released: Path, text: str) -> str:
    """A released notebook with the work in it: the cells to fill hold the definitions of ``text``,
    a new one imports and helpers."""
    pieces = {
        _defines(source): source
        for kind, source in notebook.split(text)
        if kind == "code" and _defines(source)
    }
    given = [
        source
        for kind, source in notebook.split(Source(assignment.solution).stub())
        if kind == "code"
    ]
    names = {_defines(source) for source in given} - {""}
    helpers = [source for name, source in pieces.items() if name not in names]
    others = [
        source for kind, source in notebook.split(text) if kind == "code" and not _defines(source)
    ]
    document = nbformat.read(released, 4)
    first = next(place for place, cell in enumerate(document.cells) if cell.source in given)
    for cell in document.cells:
        name = (
            _defines(cell.source) if cell.cell_type == "code" and STUB not in cell.metadata else ""
        )
        if name in names and name in pieces:
            cell.source = pieces[name]
            cell.outputs = [nbformat.v4.new_output("stream", text="what it printed\n")]
    first += not _defines(document.cells[first].source)  # after the imports, before any definition
    document.cells.insert(first, nbformat.v4.new_code_cell("\n\n\n".join([*others, *helpers])))
    document.cells.insert(0, nbformat.v4.new_code_cell("%matplotlib inline\n!date"))
    return nbformat.writes(document)


def _defines(source: str) -> str:
    """The name that a cell defines at top level."""
    for line in source.split("\n"):
        for word in ("def ", "class "):
            if line.startswith(word):
                return line[len(word) :].split("(")[0].split(":")[0].strip()
    return ""
