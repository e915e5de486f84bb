"""Where the handout speaks of a part: the section to read again."""

from __future__ import annotations

import re
from dataclasses import dataclass

from autograder.authoring.course import Assignment

_HEADING = re.compile(r"##+ +(.+?)\s*#*$")
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
        self._texts: dict[Section, list[str]] = {}
        fenced, section = False, None
        for line in lines:
            fenced ^= line.startswith("```")
            found = None if fenced else _HEADING.match(line)
            if found:
                section = Section(found[1])
                self._texts.setdefault(section, [])
            elif section:
                self._texts[section].append(line)

    def of_part(self, part: str) -> Section | None:
        """The section with the part's title, or the first one that names it as a task."""
        title = self._titles.get(part, part).casefold()
        named = [one for one in self._texts if title in one.title.casefold()]
        tasks = [one for one, text in self._texts.items() if f"(`{part}`)" in "\n".join(text)]
        return next(iter([*named, *tasks]), None)

    @property
    def by_hand(self) -> list[Section]:
        """The sections with plots and questions, which no machine marks."""
        return [section for section in self._texts if _BY_HAND.match(section.title)]
