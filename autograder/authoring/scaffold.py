"""The skeleton of a new assignment: small, complete, and proven as it is written."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from autograder.authoring import starter
from autograder.authoring.course import Course, load_assignment
from autograder.errors import CourseError

TEMPLATES = Path(__file__).parent / "skeleton"
SUFFIX = ".template"
_IMPORTS = re.compile(r"(?:^import \S.*\n)+", re.MULTILINE)


def files(name: str, title: str) -> dict[str, str]:
    """Every file but the starter's, which are generated, by its path in the course's folder."""
    found = {}
    for path in sorted(TEMPLATES.rglob(f"*{SUFFIX}")):
        place = path.relative_to(TEMPLATES).as_posix().removesuffix(SUFFIX).replace("NAME", name)
        text = path.read_text(encoding="utf-8")
        text = text.replace("{{name}}", name).replace("{{title}}", title)
        found[place] = _IMPORTS.sub(_sorted, text) if place.endswith(".py") else text
    return found


def _sorted(imports: re.Match[str]) -> str:
    """Sort imports: the place of the assignment's name among them depends on the name."""
    return "".join(sorted(imports[0].splitlines(keepends=True)))


def write(course: Course, name: str, title: str = "") -> list[Path]:
    """Write the skeleton and its starter. Returns the files, relative to the course's folder.

    Raises CourseError for a name that cannot be a module's, or that is taken.
    """
    _refuse(course, name)
    title = " ".join(title.split()) or name.replace("_", " ").capitalize()
    if not title.isprintable() or set(title) & {'"', "\\"}:
        raise CourseError(f"--title {title!r}: write it without quotation marks and backslashes")
    written = []
    for place, text in files(name, title).items():
        path = course.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    written += starter.write(load_assignment(course.root, name))
    return [path.relative_to(course.root) for path in written]


def _refuse(course: Course, name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        raise CourseError(
            f"'{name}' cannot be imported: lower-case letters, digits and _ are expected, as in "
            "td_prediction"
        )
    for folder in ("assignments", "solutions", "grading", "starter"):
        if (course.root / folder / name).exists():
            raise CourseError(f"{course.root / folder / name} is there already: choose a new name")
    taken = {*sys.stdlib_module_names, "conftest"}
    if name in taken or PathFinder.find_spec(name) is not None:
        raise CourseError(f"'{name}' is also a Python module's name: choose another one")
