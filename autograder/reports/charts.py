"""Geometry of the report's charts, in the coordinates of an SVG; the templates draw them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 420, 220  # of a chart with its labels
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 36, 44
APART = 10  # between the last bar of a histogram, full marks, and the others


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram."""

    x: float
    y: float
    width: float
    height: float
    label: str
    count: int


@dataclass(frozen=True)
class Tick:
    """A labelled line across the chart."""

    y: float
    label: str


@dataclass(frozen=True)
class LineChart:
    """Polylines as the attribute ``points`` wants them, the median of them, and ticks."""

    lines: tuple[str, ...]
    median: str
    ticks: tuple[Tick, ...]


def histogram(counts: Sequence[tuple[str, int]]) -> list[Bar]:
    """Bars side by side, the highest one as high as the chart, the last one a little apart."""
    step = (WIDTH - LEFT - RIGHT - APART) / len(counts)
    high = max([count for _, count in counts] + [1])
    room = HEIGHT - TOP - BOTTOM
    bars = []
    for number, (label, count) in enumerate(counts):
        height = room * count / high
        apart = APART if number == len(counts) - 1 else 0
        left = LEFT + number * step + apart + 2
        bars.append(Bar(left, TOP + room - height, step - 4, height, label, count))
    return bars


def place(bars: Sequence[Bar], percent: float) -> float:
    """Where a score is on the histogram's axis; full marks are in the middle of the last bar."""
    if percent >= 100:
        return bars[-1].x + bars[-1].width / 2
    first, last = bars[0].x - 2, bars[-2].x + bars[-2].width + 2
    return first + (last - first) * percent / 100


def line_chart(curves: Iterable[Sequence[float]]) -> LineChart:
    """Curves of any length over the same width: from the training's beginning to its end."""
    drawn = [curve for curve in curves if len(curve) > 1]
    if not drawn:
        return LineChart((), "", ())
    low, high = min(map(min, drawn)), max(map(max, drawn))
    if low == high:
        low, high = low - 0.5, high + 0.5
    middle = [statistics.median(_at(curve, share / 50) for curve in drawn) for share in range(51)]
    ticks = tuple(
        Tick(_y(value, low, high), f"{value:.3g}") for value in (low, (low + high) / 2, high)
    )
    lines = tuple(_points(curve, low, high) for curve in drawn)
    return LineChart(lines, _points(middle, low, high), ticks)


def _at(curve: Sequence[float], share: float) -> float:
    """The value after this share of the training, between two points if need be."""
    place = share * (len(curve) - 1)
    before, after = math.floor(place), math.ceil(place)
    return curve[before] + (curve[after] - curve[before]) * (place - before)


def _points(curve: Sequence[float], low: float, high: float) -> str:
    step = (WIDTH - LEFT - RIGHT) / (len(curve) - 1)
    return " ".join(
        f"{LEFT + step * n:.1f},{_y(value, low, high):.1f}" for n, value in enumerate(curve)
    )


def _y(value: float, low: float, high: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low))
