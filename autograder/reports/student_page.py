"""results.json of one student -> what their page shows. Nothing of staff.json is read here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from autograder.authoring.course import Assignment
from autograder.errors import CourseError
from autograder.reports import origin
from autograder.reports.excerpt import Excerpt, Sources
from autograder.reports.handout import Handout, Section

REMARK = "remark.txt"
# Sign and words of each verdict: whoever cannot tell the colours apart reads the signs.
SIGNS = {"passed": "✓", "failed": "✗", "not_written": "○", "ungraded": "?"}
WORDS = {
    "passed": "passed",
    "failed": "failed",
    "not_written": "not written yet",
    "ungraded": "could not be graded",
}
# The first line of a test's text where the page's own column says the same.
SAID = ("Passed.", "Failed.", "Not written yet.")
# What feedback says of the failures that known mistakes explain, and of each of these mistakes.
_EXPLAINS = re.compile(r"[\w-]+ mistakes? explains? .*failed tests?:")
_MISTAKE = re.compile(r"- (.*) \(([^()]*)\)")
# How the text of a test begins that a mistake elsewhere explains.
FOLLOWS = "This follows from a mistake that another test is about:"
QUOTED = "  | "  # how feedback begins a line that is the student's own text


@dataclass(frozen=True)
class Explained:
    """A mistake that explains failures; ``where``: words and, at odd places, numbers of tests."""

    says: str
    where: tuple[str, ...]


@dataclass(frozen=True)
class Test:
    """One test. ``points`` is None where it could not be graded; ``text`` may be empty."""

    number: str
    says: str
    verdict: str
    points: float | None
    worth: float
    text: str
    curve: tuple[float, ...]
    excerpt: Excerpt | None

    @property
    def to_do(self) -> bool:
        """Whether something is to be done here, and not only where another test says so."""
        open_ = self.verdict in ("failed", "not_written")
        return open_ and not self.text.startswith(FOLLOWS)


@dataclass(frozen=True)
class Part:
    """The tests of one part, its section of the handout, and the student's functions of it."""

    name: str
    title: str
    section: Section | None
    tests: tuple[Test, ...]
    code: tuple[Excerpt, ...]

    @property
    def earned(self) -> float:
        """Points before lateness."""
        return sum(test.points or 0.0 for test in self.tests)

    @property
    def worth(self) -> float:
        """Points that can be earned; of tests that could not be graded too."""
        return sum(test.worth for test in self.tests)

    def count(self, verdict: str) -> int:
        """How many tests have this verdict."""
        return sum(test.verdict == verdict for test in self.tests)

    @property
    def right(self) -> bool:
        """Whether everything in it passed."""
        return self.count("passed") == len(self.tests)


class StudentPage:
    """What the page of one student shows. ``remark``: a word by the instructor."""

    def __init__(
        self,
        assignment: Assignment,
        handout: Handout,
        student: str,
        results: Mapping[str, Any],
        sources: Sources,
        remark: str = "",
    ) -> None:
        self.student, self.remark = student, remark
        self._title, self._results, self._sources = assignment.title, results, sources
        # Where this student asks for a second look; empty if the course has no such address.
        self.regrade = (
            assignment.regrade.replace("{assignment}", quote(assignment.name, safe=""))
            .replace("{student}", quote(student, safe=""))
            .replace(" ", "%20")
        )
        more = results["extra_data"]
        self.points: float | None = results.get("score")
        self.worth: float = more["max_score"]
        self.before: float | None = more.get("points_before_lateness")
        self.late_days: int = more.get("late_days", 0)
        self.tested: bool = more.get("state", "tested") == "tested"
        self.complete: bool = more.get("complete", True)
        self.by_hand = handout.by_hand
        received = origin.received_at(more.get("provenance"))
        zone = assignment.due.tzinfo if assignment.due else None
        self.received = (
            origin.shown(received.astimezone(zone) if zone else received) if received else ""
        )
        self.due = origin.shown(assignment.due) if assignment.due else ""
        self.parts = self._parts(assignment, handout)
        self.excerpt = None if self.tested else self._excerpt(results["output"])

    def _parts(self, assignment: Assignment, handout: Handout) -> tuple[Part, ...]:
        tests: dict[str, list[Any]] = {}
        for test in self._results["tests"]:
            tests.setdefault(test["tags"][0], []).append(test)
        return tuple(
            Part(
                name,
                assignment.parts.get(name, name),
                handout.of_part(name),
                tuple(self._test(test) for test in found),
                self._sources.of_part(self.student, self._digest, name),
            )
            for name, found in tests.items()
        )

    def _test(self, data: Mapping[str, Any]) -> Test:
        more, text = data["extra_data"], data["output"]
        first, _, rest = text.partition("\n")
        return Test(
            data["number"],
            data["name"],
            more["verdict"],
            data.get("score"),
            data.get("max_score", 0.0),
            rest if first in SAID else text,
            tuple(more.get("curve", ())),
            self._excerpt(text),
        )

    def _excerpt(self, text: str) -> Excerpt | None:
        return self._sources.excerpt(self.student, self._digest, text)

    @property
    def _digest(self) -> object:
        return self._results["extra_data"].get("provenance", {}).get("submission")

    @property
    def cost_of_lateness(self) -> float | None:
        """Points that lateness took; None where the points are open."""
        late = self.late_days and self.points is not None and self.before is not None
        return self.before - self.points if late else None  # type: ignore[operator]

    @property
    def counts(self) -> dict[str, int]:
        """How many tests passed, failed, ...; the passed first, and nothing that is nobody's."""
        found = {verdict: sum(part.count(verdict) for part in self.parts) for verdict in SIGNS}
        return {verdict: count for verdict, count in found.items() if count}

    @property
    def said(self) -> list[tuple[bool, str]]:
        """The text above the tests: (the student's own text, text); not what the cards say."""
        points = f"{self._title}: {self.points or 0.0:g} of {self.worth:g} points."
        left = {points, self.summary, *(line for line, _ in self._mistakes)}
        lines = self._results["output"].split("\n")
        return paragraphs("\n".join(line for line in lines if line not in left))

    @property
    def summary(self) -> str:
        """How many mistakes explain how many failures; empty if none is known."""
        lines = self._results["output"].split("\n")
        return next((line for line in lines if _EXPLAINS.fullmatch(line)), "")

    @property
    def explained(self) -> list[Explained]:
        """The mistakes of the summary."""
        return [Explained(f[1], tuple(re.split(r"(\d+)", f[2]))) for _, f in self._mistakes]

    @property
    def _mistakes(self) -> list[tuple[str, re.Match[str]]]:
        """The lines right after the summary that name a mistake each."""
        lines = self._results["output"].split("\n")
        after = lines[lines.index(self.summary) + 1 :] if self.summary else []
        found = itertools.takewhile(
            lambda pair: pair[1], ((x, _MISTAKE.fullmatch(x)) for x in after)
        )
        return [(line, match) for line, match in found if match]

    @property
    def all_right(self) -> bool:
        """Nothing that a machine marks is left to do."""
        return self.tested and bool(self.parts) and all(part.right for part in self.parts)

    @property
    def first(self) -> Part | None:
        """Where to begin: the first part, in teaching order, with something failed or missing.

        What only follows from a mistake elsewhere is no beginning.
        """
        failing = [p for p in self.parts if p.count("failed") or p.count("not_written")]
        to_do = [part for part in failing if any(test.to_do for test in part.tests)]
        return next(iter([*to_do, *failing]), None)

    @property
    def quotes(self) -> bool:
        """Whether lines of the student's own program are on the page."""
        shown = [
            self._results["output"],
            *(test.text for part in self.parts for test in part.tests),
        ]
        return any(line.startswith(QUOTED) for text in shown for line in text.split("\n"))


def paragraphs(text: str) -> list[tuple[bool, str]]:
    """Lines of ours one by one, lines of the student's together: (theirs, text)."""
    groups = itertools.groupby(text.split("\n"), lambda line: line.startswith(QUOTED))
    found = [
        (theirs, text)
        for theirs, lines in groups
        for text in (["\n".join(lines)] if theirs else lines)
    ]
    return [(theirs, text) for theirs, text in found if text.strip()]


def remark(folder: Path) -> str:
    """What an instructor wrote in remark.txt beside a student's results.

    Raises CourseError if it is not UTF-8.
    """
    path = folder / REMARK
    try:
        return path.read_text(encoding="utf-8-sig").strip() if path.is_file() else ""
    except UnicodeDecodeError:
        raise CourseError(f"{path}: this is not UTF-8: save it as UTF-8") from None
