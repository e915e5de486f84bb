"""The page on which a student's results.json shows progress, mistakes, and what to read next."""

from __future__ import annotations

import json
from typing import Any

from autograder.authoring.course import Course
from autograder.reports.handout import Handout
from course_pages import navigation
from course_pages.museum.boards import Board

WORDS = """\
# How far have I come?

Drop one or more files `results.json` here, such as those that Gradescope or your instructor gives
back. You see how far each assignment has come, which known mistakes were recognised, and what to
read next. The files are read in this tab and sent nowhere; when you leave the page, they are
forgotten.

"""
WITHOUT = """\
<noscript><p>This page needs scripts. The file is text: under <code>tests</code> each entry has its
points, and <code>output</code> says what was found.</p></noscript>
"""


def page(course: Course, found: dict[str, list[Board]]) -> str:
    """The page in Markdown, with what the script must know of the course."""
    told = json.dumps({one.name: _told(course, one.name, found) for one in course.catalogue})
    # A sentence may hold anything, and ends the element nowhere.
    data = told.replace("</", "<\\/")
    return (
        f'{WORDS}<div class="progress" data-script="progress"></div>\n'
        f'<script type="application/json" id="course-data">{data}</script>\n\n{WITHOUT}'
    )


def _told(course: Course, name: str, found: dict[str, list[Board]]) -> dict[str, Any]:
    assignment = course.assignment(name)
    handout = Handout(assignment)
    sections = {part: handout.of_part(part) for part in assignment.parts}
    link = f"{navigation.handout(name)}.html"
    return {
        "title": assignment.title,
        "handout": link,
        "parts": {
            part: [title, f"{link}#{section.anchor}" if (section := sections[part]) else link]
            for part, title in assignment.parts.items()
        },
        "next": [one.name for one in course.catalogue if name in one.prerequisites],
        "mistakes": {
            board.choices[board.answer].when: f"museum/{name}.html#board-{board.name}"
            for board in found.get(name, [])
        },
    }
