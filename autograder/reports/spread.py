"""How scores are spread, and how well a test tells strong work from weak."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

BINS = 10  # of the histogram, each 10 per cent wide; full marks are apart
LEAST = 8  # students from whom on a correlation is shown


@dataclass(frozen=True)
class Spread:
    """Percentages in five numbers and their standard deviation (of a sample)."""

    lowest: float
    lower: float
    median: float
    upper: float
    highest: float
    mean: float
    deviation: float | None


def spread(percents: Sequence[float]) -> Spread | None:
    """None of nothing. The quartiles of one value are that value, and it has no deviation."""
    if not percents:
        return None
    several = len(percents) > 1
    lower, median, upper = (
        statistics.quantiles(percents, n=4, method="inclusive") if several else 3 * [percents[0]]
    )
    return Spread(
        min(percents),
        lower,
        median,
        upper,
        max(percents),
        statistics.fmean(percents),
        statistics.stdev(percents) if several else None,
    )


def bin_of(percent: float) -> int:
    """The number of the bin: ten of ten per cent each, and the eleventh for full marks."""
    return BINS if percent >= 100 else int(percent / 100 * BINS)


def bin_labels() -> list[str]:
    """What the bins are called: "0 to 9", ..., "90 to 99", "100" (in per cent)."""
    width = 100 // BINS
    labels = [f"{number * width} to {(number + 1) * width - 1}" for number in range(BINS)]
    return [*labels, "100"]


def discrimination(passed: Sequence[bool], rest: Sequence[float]) -> float | None:
    """The point-biserial correlation of a test with the rest of the score, from -1 to 1.

    ``rest``: each student's share of the points of all other tests. None where there are too few
    students, or where all passed, all failed or all have the same rest.
    """
    if len(passed) < LEAST:
        return None
    try:
        return statistics.correlation([float(one) for one in passed], rest)
    except statistics.StatisticsError:
        return None
