"""The map of the course: what each assignment builds on, drawn from its declarations."""

from __future__ import annotations

import textwrap
from html import escape

from autograder.authoring.course import Assignment, Course
from course_pages import navigation

WIDTH, ROW, BOX, GAP = 440, 104, 62, 16
WIDEST = 204
LETTER = 7.6  # pixels of an average letter


def page(course: Course) -> str:
    """The map, and the same in words."""
    lines = [
        "# The map of the course",
        "",
        "Each assignment stands below those that it builds on. A dashed frame: not taught this"
        " term. Each box leads to its handout.",
        "",
        _drawing(course),
        "",
        "## The same in words",
        "",
    ]
    for one in course.catalogue:
        needs = ", ".join(_link(course, name) for name in one.prerequisites) or "nothing"
        leads = ", ".join(_link(course, name) for name in _after(course, one.name)) or "none"
        lines += [
            f"- **{_link(course, one.name)}** ({_track(course, one.name)}, {one.hours:g} hours)",
            f"  - builds on: {needs}",
            f"  - leads to: {leads}",
        ]
    lines += ["", "## Ways through", "", "The shortest way to each end of the map:", ""]
    for end in course.catalogue:
        if not _after(course, end.name):
            way = [one for one in course.catalogue if one.name in _before(course, end.name)]
            hours = sum(one.hours for one in way)
            steps = " → ".join(one.title for one in way)
            lines.append(f"- {steps}: {hours:g} hours")
    return "\n".join(lines) + "\n"


def _link(course: Course, name: str) -> str:
    return f"[{course.assignment(name).title}]({navigation.handout(name)}.md)"


def _track(course: Course, name: str) -> str:
    return next((track for track, names in course.tracks.items() if name in names), "")


def _after(course: Course, name: str) -> list[str]:
    """The assignments that name this one as a prerequisite."""
    return [one.name for one in course.catalogue if name in one.prerequisites]


def _before(course: Course, name: str) -> set[str]:
    """An assignment with all that it builds on."""
    needs = course.assignment(name).prerequisites
    return {name}.union(*(_before(course, one) for one in needs))


def _direct(course: Course, one: Assignment) -> list[str]:
    """Prerequisites that no other prerequisite implies: the map draws these alone."""
    needs = one.prerequisites
    implied = {far for near in needs for far in _before(course, near) - {near}}
    return [name for name in needs if name not in implied]


def _depth(course: Course, name: str) -> int:
    """How many assignments must come before, one after the other."""
    return max(
        (1 + _depth(course, one) for one in course.assignment(name).prerequisites), default=0
    )


def _drawing(course: Course) -> str:
    rows: dict[int, list[Assignment]] = {}
    for one in course.catalogue:
        rows.setdefault(_depth(course, one.name), []).append(one)
    places = {
        one.name: ((at + 0.5) * WIDTH / len(rows[row]), row * ROW + GAP, len(rows[row]))
        for row in rows
        for at, one in enumerate(rows[row])
    }
    edges = [
        _edge(places[name], places[one.name])
        for one in course.catalogue
        for name in _direct(course, one)
    ]
    taught = {one.name for one in course.assignments}
    boxes = [
        _box(one, _track(course, one.name), places[one.name], one.name in taught)
        for one in course.catalogue
    ]
    height = len(rows) * ROW
    return (
        f'<svg class="course-map" viewBox="0 0 {WIDTH} {height}" role="group"'
        f' aria-label="Map of the course: the list below says the same in words">'
        f"{''.join(edges)}{''.join(boxes)}</svg>"
    )


def _edge(start: tuple[float, float, int], end: tuple[float, float, int]) -> str:
    """From a box down to one that builds on it. A long way passes between the boxes of its rows."""
    x0, y0 = start[0], start[1] + BOX
    x1, y1 = end[0], end[1]
    if y1 - y0 < ROW:
        middle = (y0 + y1) / 2
        path = f"M{x0:.0f} {y0:.0f}C{x0:.0f} {middle:.0f} {x1:.0f} {middle:.0f} {x1:.0f} {y1:.0f}"
    else:
        lane = WIDTH / 2
        path = (
            f"M{x0:.0f} {y0:.0f}C{x0:.0f} {y0 + 30:.0f} {lane:.0f} {y0 + 10:.0f}"
            f" {lane:.0f} {y0 + 42:.0f}V{y1 - 42:.0f}"
            f"C{lane:.0f} {y1 - 10:.0f} {x1:.0f} {y1 - 30:.0f} {x1:.0f} {y1:.0f}"
        )
    return f'<path class="map-edge" d="{path}"/>'


def _box(one: Assignment, track: str, place: tuple[float, float, int], is_taught: bool) -> str:
    x, y, several = place
    width = min(WIDEST, WIDTH / several - GAP)
    lines = textwrap.wrap(one.title, int(width / LETTER))[:2]
    top = y + (22 if len(lines) == 2 else 28)
    words = "".join(
        f'<text x="{x:.0f}" y="{top + 16 * at:.0f}">{escape(line)}</text>'
        for at, line in enumerate(lines)
    )
    note = (
        f'<text class="map-note" x="{x:.0f}" y="{y + BOX - 7:.0f}">{track}, {one.hours:g} h</text>'
    )
    dashed = "" if is_taught else ' class="map-optional"'
    return (
        f'<a href="{navigation.handout(one.name)}.html">'
        f'<rect x="{x - width / 2:.0f}" y="{y:.0f}" width="{width:.0f}" height="{BOX}" rx="6"'
        f"{dashed}/>{words}{note}</a>"
    )
