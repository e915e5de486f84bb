"""The Sphinx extension that turns this repository's Markdown into the course's site.

Read in this order: navigation (which pages), stage (what Sphinx gets), facts (hours, prerequisites
and sources), formulas and katex, explorers and live, editor, colours, access.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from autograder.authoring.course import find_root, load_course
from course_pages import access, colours, editor, explorers, facts, formulas


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    course = load_course(find_root())
    facts.setup(app, course)
    formulas.setup(app)
    colours.setup(app, course.root)
    explorers.setup(app)
    editor.setup(app)
    access.setup(app)
    return {"parallel_read_safe": False}
