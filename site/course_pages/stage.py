"""Collect what Sphinx reads: the Markdown that is there, its pictures, and the first page.

python -m course_pages.stage FOLDER
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from autograder.authoring.course import Course, find_root, load_course
from autograder.authoring.markers import bug_of
from autograder.errors import CourseError
from course_pages import course_map, editor, navigation, papers, progress
from course_pages.museum import pages as museum
from course_pages.museum.boards import boards

PICTURE = re.compile(r"!\[[^]]*\]\(([^):]+)\)")


def main(folder: Path) -> None:
    """Copy every page under the path that it has in the repository, so that its links work."""
    course = load_course(find_root())
    shutil.rmtree(folder, ignore_errors=True)
    for document in navigation.documents(course):
        _copy(course.root, Path(f"{document}.md"), folder)
    _write_generated(course, folder)
    (folder / "index.md").write_text(first_page(course), encoding="utf-8")


def _write_generated(course: Course, folder: Path) -> None:
    found = {one.name: boards(one) for one in course.catalogue}
    museum.write(course, found, folder)
    editor.write(course, folder)
    places = {
        (name, bug_of(board.spelling)): f"museum/{name}.html#board-{board.name}"
        for name, some in found.items()
        for board in some
    }
    texts = {
        "map": course_map.page(course),
        "papers": papers.page(course, places),
        "progress": progress.page(course, found),
    }
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def _copy(root: Path, page: Path, folder: Path) -> None:
    text = (root / page).read_text(encoding="utf-8")
    for path in (page, *(page.parent / name for name in PICTURE.findall(text))):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, folder / path)


def first_page(course: Course) -> str:
    """The course at a glance: what it teaches, in order, and how students begin."""
    hours = sum(one.hours for one in course.assignments)
    lines = [
        f"# {course.title}",
        "",
        f"{course.term}: {len(course.assignments)} assignments, about {hours:g} hours of work.",
        "",
    ]
    for track, names in course.tracks.items():
        lines += [f"## {track.capitalize()}", ""]
        for name in names:
            one = course.assignment(name)
            link = f"[{one.title}]({navigation.handout(name)}.md)"
            lines += [f"- **{link}**, {one.hours:g} hours: {' · '.join(one.parts.values())}"]
        lines += [""]
    # The README says how students begin, between two of its headings.
    start, end = "## Students", "## Instructors"
    lines += ["## How to begin", ""]
    lines += ["```{include} README.md", f":start-after: '{start}'", f":end-before: '{end}'", "```"]
    for heading, documents in navigation.groups(course):
        listed = [_listed(document) for document in documents]
        lines += ["", "```{toctree}", ":hidden:", f":caption: '{heading}'", "", *listed, "```"]
    return "\n".join(lines) + "\n"


def _listed(document: str) -> str:
    title = navigation.TITLES.get(document)
    return f"{title} <{document}>" if title else document


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except CourseError as error:
        sys.exit(f"site: {error}")
