"""The museum's pages in Markdown: one for each assignment, and one that leads to them."""

from __future__ import annotations

from html import escape
from itertools import groupby
from pathlib import Path

from autograder.authoring.course import Assignment, Course
from autograder.authoring.source import Source
from autograder.reports.handout import Handout
from course_pages.museum.boards import Board
from course_pages.museum.drawing import picture
from course_pages.museum.shown import typeset

HOW = """\
Each board shows what the course's solution finds, and beside it what the same code finds with one
known mistake in it, on the same inputs. Which mistake is it? Look first, then read the four
sentences: each is true of *some* mistake in these functions, and one is true of this run.
"""


def write(course: Course, found: dict[str, list[Board]], folder: Path) -> None:
    """Write all pages below a folder; assignments without a board have none."""
    there = folder / "museum"
    there.mkdir(parents=True, exist_ok=True)
    shown = [one for one in course.catalogue if found[one.name]]
    for assignment in shown:
        page = assignment_page(assignment, found[assignment.name])
        (there / f"{assignment.name}.md").write_text(page, encoding="utf-8")
    (there / "index.md").write_text(first_page(shown, found), encoding="utf-8")


def first_page(shown: list[Assignment], found: dict[str, list[Board]]) -> str:
    """What the museum is, and how far one has come."""
    count = sum(map(len, found.values()))
    known = sum(len(Source(one.solution).bugs) for one in shown)
    lines = [
        "# The museum of mistakes",
        "",
        f"The graders of this course know {known} mistakes by name, and can run each. Here are"
        f" {count} that one can see.",
        "",
        HOW,
        _score({name: [one.name for one in some] for name, some in found.items()}),
        "",
    ]
    for assignment in shown:
        names = [one.name for one in found[assignment.name]]
        lines += [
            f"- [{assignment.title}]({assignment.name}.md): {len(names)} boards"
            f'<span data-part="{assignment.name}"></span>'
        ]
    lines += [
        "",
        "The runs are made when this site is built, from inputs that are written for these boards:"
        " nothing here shows what a hidden test asks.",
        "",
        "```{toctree}",
        ":hidden:",
        "",
        *(f"{one.title} <{one.name}>" for one in shown),
        "```",
    ]
    return "\n".join(lines) + "\n"


def assignment_page(assignment: Assignment, found: list[Board]) -> str:
    """The boards of one assignment, by its parts."""
    names = {assignment.name: [one.name for one in found]}
    title = f"# Which mistake is this? {assignment.title}"
    lines = [title, "", HOW, _score(names), ""]
    handout = Handout(assignment)
    for part, some in groupby(found, key=lambda one: one.scene.part):
        lines += [f"## {assignment.parts[part]}", ""]
        for board in some:
            lines += [f"### Board {board.number}: {board.scene.calls}", ""]
            lines += [_board(board, assignment, handout), ""]
    return "\n".join(lines) + "\n"


def _score(names: dict[str, list[str]]) -> str:
    """Where the script writes the score; without scripts there is none."""
    listed = " ".join(f"{name}:{','.join(some)}" for name, some in names.items())
    return f'<p class="museum-score" data-script="museum" data-boards="{listed}"></p>'


def _board(board: Board, assignment: Assignment, handout: Handout) -> str:
    """One board. There must be no empty line in it, at which Markdown would begin again."""
    choices = "".join(
        f'<li data-would="{escape(one.would)}"><span>{escape(one.when)}</span></li>'
        for one in board.choices
    )
    return (
        f'<section class="board" id="board-{board.name}" data-answer="{board.answer}">\n'
        f"<p>{escape(typeset(board.scene.words))}</p>\n"
        f"{picture(board.right, board.broken)}\n"
        '<p class="board-ask">These are the numbers one gets when …</p>\n'
        f'<ol class="board-choices" type="A">{choices}</ol>\n'
        '<p class="board-verdict" role="status"></p>\n'
        f"{_answer(board, assignment, handout)}\n</section>"
    )


def _answer(board: Board, assignment: Assignment, handout: Handout) -> str:
    letter = "ABCD"[board.answer]
    told = board.choices[board.answer].when
    others = "".join(
        f"<li><b>{'ABCD'[at]}.</b> {escape(one.would)}</li>"
        for at, one in enumerate(board.choices)
        if at != board.answer
    )
    section = handout.of_part(board.scene.part)
    link = f"../assignments/{assignment.name}/README.html"
    link += f"#{section.anchor}" if section else ""
    return (
        '<details class="board-answer"><summary>The answer</summary>'
        f"<p><b>{letter}.</b> These are the numbers one gets when {escape(told)}</p>"
        f"<p>Where to look: {escape(typeset(board.scene.mistakes[board.spelling]))}</p>"
        f"<p>What the grader demands, and finds broken: <q>{escape(board.law)}</q></p>"
        f"<p>The other three:</p><ul>{others}</ul>"
        f'<p><a href="{link}">Read again in the handout:'
        f" {escape(assignment.parts[board.scene.part])}</a></p></details>"
    )
