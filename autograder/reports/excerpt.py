"""The student's own lines around the one that a traceback names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from autograder.isolation.cells import MARK, OWN_LINE
from autograder.marking.submission import Submission

AROUND = 4  # lines above and below
# A line of a traceback as feedback quotes it: "gae.py:12 in f", or "cell 3, line 2 in f".
_FRAME = re.compile(r"^  \|   (?:(cell \d+), line |(\S.*?):)(\d+) in ", re.MULTILINE)


@dataclass(frozen=True)
class Excerpt:
    """Lines of one file or notebook cell: number, text and whether it is the one that is named."""

    where: str
    lines: tuple[tuple[int, str, bool], ...]


class Sources:
    """The submissions as they were marked, to quote from; none where they are not at hand."""

    def __init__(self, submissions: Mapping[str, Submission] | None = None) -> None:
        self._submissions = submissions or {}

    def excerpt(self, student: str, digest: object, text: str) -> Excerpt | None:
        """The lines around the innermost one that ``text`` names.

        ``digest``: of what was marked; nothing is quoted from a submission that has changed since.
        """
        submission = self._submissions.get(student)
        frames = _FRAME.findall(text)
        if submission is None or not frames or submission.digest != digest:
            return None
        cell, file, number = frames[-1]
        for name, data in submission.files.items():
            lines = data.decode("utf-8", "replace").split("\n")
            if cell:
                numbered = _of_cell(lines, int(cell.removeprefix("cell ")))
            elif name.rpartition("/")[2] == file:
                numbered = dict(enumerate(lines, 1))
            else:
                continue
            if int(number) in numbered:
                return Excerpt(cell or file, _around(numbered, int(number)))
        return None


def _of_cell(lines: list[str], cell: int) -> dict[int, str]:
    """The lines of one cell of a notebook, by their numbers in it; without those of ours."""
    own, here = [], False
    for line in lines:
        if found := MARK.fullmatch(line):
            here = int(found[1]) == cell
        elif here and not OWN_LINE.match(line):
            own.append(line)
    return dict(enumerate(own, 1))


def _around(lines: Mapping[int, str], number: int) -> tuple[tuple[int, str, bool], ...]:
    return tuple(
        (one, "".join(c for c in text if c.isprintable() or c == "\t"), one == number)
        for one, text in sorted(lines.items())
        if abs(one - number) <= AROUND
    )
