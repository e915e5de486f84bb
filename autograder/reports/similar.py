"""Pairs of submissions that have much text in common.

The method is winnowing (Schleimer, Wilkerson and Aiken, 2003) as copydetect does it. It says where
to look, never what to conclude. What the starter contains, and what half of the class writes the
same way, does not count; names of variables and comments do not count either.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from autograder.authoring.course import Assignment
from autograder.errors import CourseError
from autograder.marking.submission import Submission, read_all

GRAM = 25  # Characters of normalised code in a fingerprint.
WINDOW = 6  # Of so many neighbouring fingerprints one is kept.
COMMON = 0.5  # What this share of a class has in common is the assignment, not copying.
SMALL = 8  # In a smaller class nothing is common.
THRESHOLD = 0.6  # A pair is listed from this share of the smaller one's own text on.
LEAST = 4  # Fingerprints that a listed pair has in common at least.


@dataclass(frozen=True)
class Pair:
    """Two submissions, and for each one the share of its own text that is in the other.

    ``lines`` are those of the passages in either.
    """

    first: str
    second: str
    shares: tuple[float, float]
    lines: tuple[str, str]

    @property
    def share(self) -> float:
        """The larger of the two shares."""
        return max(self.shares)


def of_class(assignment: Assignment, submissions: Path) -> list[Pair]:
    """The pairs among the submissions in a folder, with the assignment's starter left out."""
    given = assignment.starter / assignment.main
    starter = given.read_text(encoding="utf-8") if given.is_file() else ""
    read = read_all(submissions, assignment.main, assignment.starter)
    return pairs(read, assignment.main, starter)


def pairs(submissions: Sequence[Submission], main: str, starter: str) -> list[Pair]:
    """The pairs to look at, the most alike first. Raises CourseError without copydetect."""
    try:
        from copydetect import CodeFingerprint, compare_files
    except ImportError:
        raise CourseError(
            "--similar needs copydetect: pip install -r requirements/similar.txt"
        ) from None

    def read(text: str, ignored: Iterable[int], window: int = WINDOW) -> Any:
        boilerplate = np.array(sorted(ignored), dtype=np.int64)
        return CodeFingerprint(
            main, GRAM, window, boilerplate, fp=io.StringIO(text), language="python"
        )

    texts = {one.student: _text(one, main) for one in submissions if not one.problem}
    given = set(read(starter, (), 1).hashes)
    once = {student: read(text, given, 1) for student, text in texts.items()}
    shared = Counter(value for found in once.values() for value in set(found.hashes))
    limit = COMMON * len(texts) if len(texts) >= SMALL else len(texts)
    ignored = given | {value for value, count in shared.items() if count > limit}
    prints = {student: read(text, ignored) for student, text in texts.items()}
    found = [
        _pair(compare_files, first, second, prints)
        for first, second in combinations(sorted(prints), 2)
        if len(set(prints[first].hashes) & set(prints[second].hashes)) >= LEAST
    ]
    return sorted((pair for pair in found if pair.share >= THRESHOLD), key=lambda pair: -pair.share)


def _pair(compare_files: Any, first: str, second: str, prints: dict[str, Any]) -> Pair:
    _, shares, slices = compare_files(prints[first], prints[second])
    lines = [
        _lines(prints[student].raw_code, found)
        for student, found in zip((first, second), slices, strict=True)
    ]
    one, other = (min(1.0, float(share)) for share in shares)
    return Pair(first, second, (one, other), (lines[0], lines[1]))


def _lines(text: str, slices: Any) -> str:
    """The lines of the passages: "12-30, 41-44"."""
    if not np.size(slices):
        return ""
    spans = [
        (text.count("\n", 0, int(a)) + 1, text.count("\n", 0, int(b)) + 1) for a, b in slices.T
    ]
    return ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in dict.fromkeys(spans))


def _text(submission: Submission, main: str) -> str:
    """The main file, then the others."""
    names = sorted(submission.files, key=lambda name: (name != main, name))
    return "\n".join(submission.files[name].decode("utf-8", "replace") for name in names)
