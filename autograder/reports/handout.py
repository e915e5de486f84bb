"""Where the handout speaks of a part: the section to read again."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autograder.authoring.course import Assignment

_HEADING = re.compile(r"##+ +(.+?)\s*#*$")
_TASKS = re.compile(r"\btasks\b", re.IGNORECASE)
# The two tasks of a handout that no machine marks.
_BY_HAND = re.compile(r"^(?:\d+\. +)?(?:the )?(?:plots|questions)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """A heading of the handout, and the anchor that GitHub gives it."""

    title: str

    @property
    def anchor(self) -> str:
        """Lower case, hyphens for spaces, no other signs."""
        return re.sub(r"[^\w\- ]", "", self.title.lower()).replace(" ", "-")


class Handout:
    """The sections of assignments/NAME/README.md; none where there is no such file."""

    def __init__(self, assignment: Assignment) -> None:
        path = assignment.handout / "README.md"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self._titles = assignment.parts
        self._sections: list[Section] = []
        fenced = False
        for line in lines:
            fenced ^= line.startswith("```")
            if not fenced and (found := _HEADING.match(line)):
                self._sections.append(Section(found[1]))

    def of_part(self, part: str) -> Section | None:
        """The section with the part's title, otherwise the one with the tasks."""
        title = self._titles.get(part, part).casefold()
        named = [one for one in self._sections if title in one.title.casefold()]
        tasks = [one for one in self._sections if _TASKS.search(one.title)]
        return next(iter([*named, *tasks]), None)

    @property
    def by_hand(self) -> list[Section]:
        """The sections with plots and questions, which no machine marks."""
        return [section for section in self._sections if _BY_HAND.match(section.title)]
