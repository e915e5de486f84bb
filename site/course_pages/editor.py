"""Pages on which one writes an assignment and runs its public tests, in the browser alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from autograder.authoring.course import Assignment, Course
from course_pages import navigation
from course_pages.katex import SITE

# What fetch_python.py has fetched. Without it, the pages only let one write.
PYTHON = SITE.parent / "build" / "site-python"
# What runs there. An assignment that needs more is written on the student's own machine.
LIBRARIES = {"numpy", "gymnasium"}
TESTS = ("test_local.py", "conftest.py", "pytest.ini")
SCRIPTS = SITE / "scripts" / "editor"
WITHOUT = """\
<noscript><p>This page needs scripts. Without them, take the starter's folder that your instructor
gives out, and run its tests on your own machine.</p></noscript>
"""
KEPT = """\
What you type stays in this browser, on this machine, and is sent nowhere. The file that you
download is the one to hand in. The public tests carry no points: hidden tests mark what you hand
in.
"""


def setup(app: Sphinx) -> None:
    """Give these pages their style sheet, and ship Python with what runs it."""

    def style(app: Sphinx, page: str, template: str, context: dict[str, Any], _: Any) -> None:
        if 'class="write"' in context.get("body", ""):
            app.add_css_file("editor.css")

    def copy(app: Sphinx, error: Exception | None) -> None:
        if error is None and _wheels():
            there = app.outdir / "_static" / "python"
            shutil.copytree(PYTHON, there, ignore=shutil.ignore_patterns("pins"))
            for name in ("worker.js", "run.py"):
                shutil.copy2(SCRIPTS / name, there)

    app.connect("html-page-context", style)
    app.connect("build-finished", copy)


def in_browser(assignment: Assignment) -> bool:
    """Whether an assignment can be written and tested in a browser."""
    return len(assignment.submit) == 1 and set(assignment.libraries) <= LIBRARIES


def write(course: Course, folder: Path) -> None:
    """Write the pages below a folder, and one that leads to them."""
    there = folder / "write"
    there.mkdir(parents=True, exist_ok=True)
    shown = [one for one in course.catalogue if in_browser(one)]
    for assignment in shown:
        (there / f"{assignment.name}.md").write_text(page(assignment), encoding="utf-8")
    (there / "index.md").write_text(first_page(shown), encoding="utf-8")


def first_page(shown: list[Assignment]) -> str:
    """Which assignments can be written here, and what one needs for the others."""
    lines = [
        "# Write in your browser",
        "",
        "These assignments need NumPy and Gymnasium at most. Write them here and run their public"
        " tests, with nothing to install and no account.",
        "",
        *(
            f"- **[{one.title}]({one.name}.md)**, {one.hours:g} hours:"
            f" {' · '.join(one.parts.values())}"
            for one in shown
        ),
        "",
        KEPT,
        "The other assignments need more, such as PyTorch: take their starters, and write on your"
        " own machine.",
        "",
        "```{toctree}",
        ":hidden:",
        "",
        *(f"{one.title} <{one.name}>" for one in shown),
        "```",
    ]
    return "\n".join(lines) + "\n"


def page(assignment: Assignment) -> str:
    """One assignment's page in Markdown, with what the script must know."""
    told = {
        "name": assignment.name,
        "file": assignment.main,
        "starter": _starter(assignment, assignment.main),
        "tests": {name: _starter(assignment, name) for name in TESTS},
        "wheels": _wheels(),
        "megabytes": round(sum(path.stat().st_size for path in PYTHON.glob("*")) / 1e6),
    }
    # Code may hold anything, and ends the element nowhere.
    data = json.dumps(told).replace("</", "<\\/")
    handout = f"../{navigation.handout(assignment.name)}.md"
    return (
        "---\nhide-toc: true\n---\n"
        f"# Write and test: {assignment.title}\n\n"
        f"The [handout]({handout}) explains each task. Fill in what the starter leaves open, part"
        " by part.\n\n"
        '<div class="write" data-script="editor"></div>\n'
        f'<script type="application/json" id="write-data">{data}</script>\n\n'
        f"{WITHOUT}\n{KEPT}"
    )


def _starter(assignment: Assignment, name: str) -> str:
    return (assignment.starter / name).read_text(encoding="utf-8")


def _wheels() -> list[str]:
    """The packages to load; none without Python."""
    is_whole = (PYTHON / "pins").is_file()
    return sorted(path.name for path in PYTHON.glob("*.whl")) if is_whole else []
