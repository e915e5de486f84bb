"""The people behind the numbers: names and sections from the roster, and who submitted nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from autograder.marking.roster import Person, Roster
from autograder.model import Grade


class People:
    """Who is who, for the students that have a grade. Without a roster only logins are known."""

    def __init__(self, roster: Roster | None, grades: Iterable[Grade]) -> None:
        self.known = roster is not None
        self._persons: dict[str, Person] = {}
        self.strangers: list[str] = []
        self.missing: list[Person] = []
        if roster is None:
            return
        there: set[str] = set()
        for grade in grades:
            owners = roster.owners(grade.student, *_known_as(grade))
            there |= {person.student for person in owners}
            if owners:
                self._persons[grade.student] = owners[0]
            else:
                self.strangers.append(grade.student)
        absent = [person for person in roster.people if person.student not in there]
        self.missing = sorted(absent, key=_by_name)

    def name(self, student: str) -> str:
        """The name as the roster has it, or the login."""
        person = self._persons.get(student)
        return called(person) if person else student

    def section(self, student: str) -> str:
        """The section, or nothing."""
        person = self._persons.get(student)
        return person.section if person else ""

    @property
    def sections(self) -> list[str]:
        """All sections, of those who submitted nothing too."""
        people = [*self._persons.values(), *self.missing]
        return sorted({person.section for person in people if person.section})


def called(person: Person) -> str:
    """What to call somebody: the full name, or what work is submitted under."""
    return person.name or f"{person.first} {person.last}".strip() or person.student


def in_order(name: str) -> str:
    """What names are sorted by: É is beside E, and case does not matter."""
    letters = unicodedata.normalize("NFKD", name)
    return "".join(c for c in letters if not unicodedata.combining(c)).casefold()


def _by_name(person: Person) -> tuple[str, str]:
    return person.section, in_order(called(person))


def _known_as(grade: Grade) -> tuple[str, ...]:
    names = grade.provenance.get("known_as")
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()
