"""Pairs of submissions that have much text in common.

The method is winnowing (Schleimer, Wilkerson and Aiken, 2003) as copydetect does it. It says where
to look, never what to conclude. What the starter contains, and what half of the class writes the
same way, does not count; names of variables and comments do not count either.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
class Passage:
    """Neighbouring lines of one submission that the other one has too; ``first`` counts from 1."""

    first: int
    text: str

    @property
    def last(self) -> int:
        """The number of the last line."""
        return self.first + self.text.count("\n")


@dataclass(frozen=True)
class Pair:
    """Two submissions, and for each one the share of its own text that is in the other.

    ``passages``: those of either one. ``earlier``: the folder of an earlier term in which the
    second one is.
    """

    first: str
    second: str
    shares: tuple[float, float]
    passages: tuple[tuple[Passage, ...], tuple[Passage, ...]]
    earlier: str = ""

    @property
    def share(self) -> float:
        """The larger of the two shares."""
        return max(self.shares)

    @property
    def lines(self) -> int:
        """How many lines with something on them are in the passages, in the one that has fewer."""
        texts = ("\n".join(one.text for one in own).split("\n") for own in self.passages)
        return min(sum(bool(line.strip()) for line in lines) for lines in texts)


def of_class(assignment: Assignment, submissions: Path, against: Sequence[Path] = ()) -> list[Pair]:
    """The pairs among the submissions in a folder, with the assignment's starter left out.

    ``against``: folders of earlier terms. Theirs are compared with those of this term, and not with
    each other.
    """
    given = assignment.starter / assignment.main
    starter = given.read_text(encoding="utf-8") if given.is_file() else ""
    read = read_all(submissions, assignment.main, assignment.starter)
    earlier = {
        str(folder): read_all(folder, assignment.main, assignment.starter) for folder in against
    }
    return pairs(read, assignment.main, starter, earlier)


def pairs(
    submissions: Sequence[Submission],
    main: str,
    starter: str,
    earlier: Mapping[str, Sequence[Submission]] | None = None,
) -> list[Pair]:
    """The pairs to look at, those with most lines in common first.

    ``earlier``: folder -> submissions of an earlier term. Only this term's count in what half of
    the class wrote. Raises CourseError without copydetect.
    """
    read, compare_files = _tools(main)
    texts = {("", one.student): _text(one, main) for one in submissions if not one.problem}
    given = set(read(starter, (), 1).hashes)
    once = [read(text, given, 1) for text in texts.values()]
    shared = Counter(value for found in once for value in set(found.hashes))
    limit = COMMON * len(texts) if len(texts) >= SMALL else len(texts)
    ignored = given | {value for value, count in shared.items() if count > limit}
    for folder, others in (earlier or {}).items():
        texts |= {(folder, one.student): _text(one, main) for one in others if not one.problem}
    prints = {key: read(text, ignored) for key, text in texts.items()}
    found = [
        _pair(compare_files, first, second, prints)
        for first, second in combinations(sorted(prints), 2)
        if not first[0] and len(set(prints[first].hashes) & set(prints[second].hashes)) >= LEAST
    ]
    listed = (pair for pair in found if pair.share >= THRESHOLD)
    return sorted(listed, key=lambda pair: (-pair.lines, -pair.share))


def _tools(main: str) -> tuple[Callable[..., Any], Any]:
    """What reads a text's fingerprints, and what compares two."""
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

    return read, compare_files


def _pair(
    compare_files: Any, first: tuple[str, str], second: tuple[str, str], prints: dict[Any, Any]
) -> Pair:
    _, shares, slices = compare_files(prints[first], prints[second])
    own, theirs = (
        _passages(prints[key].raw_code, found)
        for key, found in zip((first, second), slices, strict=True)
    )
    one, other = (min(1.0, float(share)) for share in shares)
    return Pair(first[1], second[1], (one, other), (own, theirs), second[0])


def _passages(text: str, slices: Any) -> tuple[Passage, ...]:
    """Whole lines; what overlaps or touches is one passage."""
    lines = text.split("\n")
    wanted: set[int] = set()
    for a, b in slices.T if np.size(slices) else ():
        last = text.count("\n", 0, int(b))
        wanted |= set(range(text.count("\n", 0, int(a)), last + 1))
    found: list[Passage] = []
    for number in sorted(wanted):
        if found and found[-1].last == number:
            found[-1] = Passage(found[-1].first, f"{found[-1].text}\n{lines[number]}")
        else:
            found.append(Passage(number + 1, lines[number]))
    return tuple(found)


def _text(submission: Submission, main: str) -> str:
    """The main file, then the others."""
    names = sorted(submission.files, key=lambda name: (name != main, name))
    return "\n".join(submission.files[name].decode("utf-8", "replace") for name in names)
