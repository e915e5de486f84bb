"""Boards: a broken run beside the right one, and four sentences of which one is true."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from autograder.authoring.course import Assignment
from autograder.authoring.markers import bug_of
from autograder.errors import CourseError
from autograder.reports.museum import board_name
from course_pages.museum.laws import law_of
from course_pages.museum.runs import Runs
from course_pages.museum.scenes import Scene, path_of, scenes
from course_pages.museum.shown import Shown, difference, first_difference, look_alike, text

CHOICES = 4
# So many other mistakes are run in search of those that can be told apart.
TRIES = 12


@dataclass(frozen=True)
class Choice:
    """A sentence, and what its mistake would show instead ("" for the true one)."""

    bug: str
    when: str
    would: str = ""


@dataclass(frozen=True)
class Board:
    """One question of the museum.

    number   in its assignment, from 1
    name     the same as long as the bug has its name: links and scores refer to it
    choices  four, one of them the bug's own
    law      what the hidden test that finds it demands, as students read it
    """

    assignment: str
    number: int
    name: str
    scene: Scene
    spelling: str
    right: Shown
    broken: Shown
    choices: tuple[Choice, ...]
    law: str

    @property
    def answer(self) -> int:
        """Which of the choices is true."""
        return next(i for i, one in enumerate(self.choices) if one.bug == bug_of(self.spelling))


def boards(assignment: Assignment) -> list[Board]:
    """All boards of an assignment. Raises CourseError that lists those which nobody could solve."""
    found: list[Board] = []
    wrong: list[str] = []
    runs = Runs(assignment)
    parts, written = list(assignment.parts), scenes(assignment.name)
    wrong += [
        f"'{one.part}' is no part of assignment.yml" for one in written if one.part not in parts
    ]
    known = [one for one in written if one.part in parts]
    for scene in sorted(known, key=lambda one: parts.index(one.part)):
        view = View(runs, scene)
        for spelling in scene.mistakes:
            if finding := view.unfit(spelling):
                wrong.append(f"'{spelling}' of {scene.calls} {finding}")
            else:
                found.append(_board(assignment, view, spelling, len(found) + 1))
        if difference(view.right, runs.run(scene)) > 0.0:
            wrong.append(f"{scene.calls}: a mistake changes its inputs: make them in the function")
    names = [one.name for one in found]
    wrong += [f"'{one.spelling}' has two boards" for one in found if names.count(one.name) > 1]
    if wrong:
        raise CourseError("\n".join(f"{path_of(assignment.name)}: {finding}" for finding in wrong))
    return found


class View:
    """A scene with the right run, and with the sentences that one may choose from."""

    def __init__(self, runs: Runs, scene: Scene) -> None:
        self.runs, self.scene = runs, scene
        right = runs.shown(scene)
        assert right
        self.right = right
        self.reach = runs.within_reach(scene)

    def unfit(self, spelling: str) -> str:
        """Why a mistake makes no board of this scene; "" if it makes one."""
        if spelling not in self.runs.key.texts:
            return "is no known bug"
        broken = self.runs.shown(self.scene, spelling)
        if broken is None:
            return "stops with an error: it shows nothing"
        if look_alike(self.right, broken):
            return "looks like the right run: take other inputs"
        if len(self.others(bug_of(spelling), broken)) < CHOICES - 1:
            return "has too few other mistakes to choose from"
        if not self.runs.key.kills.get(bug_of(spelling)):
            return "is found by no hidden test, as far as the proof says"
        return ""

    def others(self, bug: str, broken: Shown) -> list[Choice]:
        """Other mistakes that show something else than the board, those that show most first."""
        seen, hidden = [], []
        for other in self._candidates(bug)[:TRIES]:
            spellings = [one for one in self.runs.key.texts if bug_of(one) == other]
            views = [self._shown(one) for one in spellings]
            # A sentence that is true of the board, too, would be a second right answer.
            if any(view is not None and look_alike(broken, view) for view in views):
                continue
            text = self.runs.key.texts[spellings[0]]
            shows = views[0] is not None and not look_alike(self.right, views[0])
            (seen if shows else hidden).append(Choice(other, text, _would(broken, views[0])))
            if len(seen) == CHOICES - 1:
                break
        return (seen + hidden)[: CHOICES - 1]

    def _shown(self, spelling: str) -> Shown | None:
        """What is out of reach shows what is right."""
        return self.runs.shown(self.scene, spelling) if spelling in self.reach else self.right

    def _candidates(self, bug: str) -> list[str]:
        """Other bugs: of the same function, of others that are called, of others of the part."""
        changed, todos = self.runs.key.changed, self.runs.key.source.todos
        part = {todo.function for todo in todos if todo.part == self.scene.part}
        own = changed.get(bug) or frozenset()

        def far(name: str) -> int:
            functions = changed.get(name) or frozenset()
            if own & functions:
                return 0
            if functions and name in self.reach:
                return 1
            if {one.rsplit(".", 1)[-1] for one in functions} & part:
                return 2
            # It changes no function, but a constant that all of them may use.
            return 3 if name in self.reach else 4

        names = {bug_of(one) for one in self.runs.key.texts} - {bug}
        near = [name for name in names if far(name) < 4]
        return sorted(near, key=lambda name: (far(name), _digest(bug, name)))


def _board(assignment: Assignment, view: View, spelling: str, number: int) -> Board:
    bug, texts = bug_of(spelling), view.runs.key.texts
    broken = view.runs.shown(view.scene, spelling)
    assert broken
    choices = [Choice(bug, texts[spelling]), *view.others(bug, broken)]
    choices.sort(key=lambda one: _digest(assignment.name, bug, one.bug))
    law = law_of(assignment, view.runs.key.kills, bug)
    name = board_name(assignment.name, bug)
    return Board(
        assignment.name, number, name, view.scene, spelling, view.right, broken, tuple(choices), law
    )


def _would(broken: Shown, other: Shown | None) -> str:
    """What tells another mistake from the one of the board."""
    if other is None:
        return "With it, this call would stop with an error."
    if broken.is_curve:
        return _would_on_curve(broken, other)
    cell = first_difference(broken, other)
    assert cell
    column, row = cell
    mine, theirs = broken.found[column], other.found[column]
    if len(mine) != len(theirs):
        return f"With it, {column} would have {len(theirs)} rows."
    where = f"{column} in row {row + 1}" if len(mine) > 1 else column
    return f"With it, {where} would be {text(theirs[row])}, not {text(mine[row])}."


def _would_on_curve(broken: Shown, other: Shown) -> str:
    """Where the two curves are furthest apart, and how."""
    (x_name, x), mine, theirs = *broken.given.items(), *broken.found.values(), *other.found.values()
    if len(mine) != len(theirs) or any(isinstance(one, str) for one in theirs):
        return "With it, the results would have another shape."
    gaps = [abs(one - two) for one, two in zip(mine, theirs, strict=True)]
    finite = [gap if math.isfinite(gap) else math.inf for gap in gaps]
    at = finite.index(max(finite))
    heights = f"{text(theirs[at])}, not at {text(mine[at])}"
    return f"With it, where {x_name} is {text(x[at])} the curve would be at {heights}."


def _digest(*names: str) -> str:
    return hashlib.sha256("/".join(names).encode()).hexdigest()
