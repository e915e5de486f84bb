"""What students get: the starters of the term, the syllabus, one environment, and no solution."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from autograder.authoring import starter, syllabus
from autograder.authoring.course import Assignment, Course
from autograder.authoring.source import Source
from autograder.errors import CourseError

# So many lines in a row of a solution, and an assertion so long, are not there by chance.
RUN, LEAST_CHARACTERS, LEAST_ASSERTION = 3, 60, 50
# Zip files have no older time. With one time for all, the same release has the same bytes.
TIME = (1980, 1, 1, 0, 0, 0)

README = """\
# {title}

{term}. What there is, when it is due and what it builds on: [SYLLABUS.md](SYLLABUS.md).

## Set up once

Python 3.11, 3.12 or 3.13 is needed. One environment serves all assignments. On Linux and macOS:

```sh
python3 -m venv .venv
. .venv/bin/activate
pip install -r requirements.txt
```

On Windows:

```sh
py -m venv .venv
.venv\\Scripts\\activate
pip install -r requirements.txt
```
{torch}
## Work

Go into the folder of an assignment and read its `README.md`. Fill the functions in `{main}`, or in
the notebook beside it. `pytest` says what to write next, and `python report.py` draws the plots.
Submit the file or the notebook.
"""
TORCH = """
On Linux pip installs torch with CUDA, which takes several GB. The build for CPUs is enough, and has
200 MB: choose "CPU" on [PyTorch's page](https://pytorch.org/get-started/locally/), and run the
command shown there before the last line.
"""


def files(course: Course) -> dict[str, bytes]:
    """Every file of the release: path -> content.

    Raises CourseError where a file would show a part of a solution or of the hidden tests.
    """
    found: dict[str, bytes] = {}
    for assignment in course.assignments:
        mine = {f"{assignment.name}/{n}": data for n, data in starter.files(assignment).items()}
        _refuse_leaks(assignment, mine)
        found |= mine
    found["SYLLABUS.md"] = syllabus.text(course, "").encode()
    found["requirements.txt"] = "".join(f"{one}\n" for one in _requirements(course)).encode()
    needs_torch = any(line.startswith("torch") for line in _requirements(course))
    found["README.md"] = README.format(
        title=course.title,
        term=course.term,
        torch=TORCH if needs_torch else "",
        main=course.assignments[0].main,
    ).encode()
    return found


def write(course: Course, destination: Path) -> int:
    """Write the release into a new or empty folder, or into a zip file; how many files it has.

    Raises CourseError where the destination holds something already.
    """
    release = files(course)
    if destination.suffix.lower() == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted(release.items()):
                archive.writestr(zipfile.ZipInfo(name, TIME), data, zipfile.ZIP_DEFLATED)
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.write_bytes(packed.getvalue())
        return len(release)
    # A repository of the students is updated: what git keeps of it stays.
    there = [one.name for one in destination.iterdir()] if destination.is_dir() else []
    if set(there) - {".git"} - {name.split("/")[0] for name in release}:
        raise CourseError(
            f"{destination} holds files that are not of a release: give an empty folder, the "
            "folder of an earlier release, or a name that ends with .zip"
        )
    for name, data in release.items():
        path = destination / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return len(release)


def _requirements(course: Course) -> list[str]:
    """The requirements of all starters, one line for each library."""
    merged: dict[str, Requirement] = {}
    for assignment, line in (
        (one, line) for one in course.assignments for line in starter.requirements(one)
    ):
        try:
            new = Requirement(line)
        except InvalidRequirement:
            raise CourseError(
                f"{assignment.name}: '{line}' is not a requirement: write one as numpy>=1.26"
            ) from None
        if new.name in merged:
            merged[new.name].specifier &= new.specifier
        else:
            merged[new.name] = new
    return sorted(str(one) for one in merged.values())


def _refuse_leaks(assignment: Assignment, release: Mapping[str, bytes]) -> None:
    """Look for lines in a row that only the solution has, and for the hidden tests' assertions."""
    source = Source(assignment.solution)
    stub = set(_lines(source.stub()))
    secret = set(_runs([line for line in _lines(source.solution()) if line not in stub]))
    hidden = assignment.hidden_tests.read_text(encoding="utf-8")
    asserted = {line for line in _lines(hidden) if _is_telling(line)}
    for name, data in release.items():
        lines = list(_lines(data.decode(errors="replace")))
        for path, shown in (
            (assignment.solution, [run[0] for run in _runs(lines) if run in secret]),
            (assignment.hidden_tests, [line for line in lines if line in asserted]),
        ):
            if shown:
                raise CourseError(
                    f"{name} shows lines of {path.relative_to(assignment.root)}, from "
                    f"'{shown[0]}' on: take them out before you release it"
                )


def _is_telling(line: str) -> bool:
    return line.startswith("assert") and len(line) >= LEAST_ASSERTION


def _lines(text: str) -> Iterator[str]:
    """The lines without blanks around them; empty ones and imports say nothing."""
    for line in text.splitlines():
        if (bare := line.strip()) and not bare.startswith(("import ", "from ", "#")):
            yield bare


def _runs(lines: list[str]) -> Iterator[tuple[str, ...]]:
    for at in range(len(lines) - RUN + 1):
        run = tuple(lines[at : at + RUN])
        if sum(map(len, run)) >= LEAST_CHARACTERS:
            yield run
