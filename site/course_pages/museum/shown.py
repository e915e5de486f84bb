"""What a run shows: columns of a table or a curve. And whether two runs look different."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Two runs look the same unless a cell differs by this share, or a curve by this share of its
# height.
VISIBLE = 0.05
MINUS = "\N{MINUS SIGN}"

Column = tuple[Any, ...]


@dataclass(frozen=True)
class Shown:
    """What a run shows. ``given`` are its inputs, the same in every run; ``found`` its results."""

    given: Mapping[str, Column]
    found: Mapping[str, Column]
    is_curve: bool = False


def table(given: Mapping[str, Any], found: Mapping[str, Any]) -> Shown:
    """A table: a column for each name, the inputs first. Tensors, arrays and lists are columns."""
    return Shown(_columns(given), _columns(found))


def curve(x: Mapping[str, Any], y: Mapping[str, Any]) -> Shown:
    """A curve: the name and the numbers of each axis."""
    return Shown(_columns(x), _columns(y), is_curve=True)


def difference(one: Shown, other: Shown) -> float:
    """The largest difference between results, as a share of what is seen; inf for other shapes."""
    if {n: len(c) for n, c in one.found.items()} != {n: len(c) for n, c in other.found.items()}:
        return math.inf
    return max(_gap(one.found[name], other.found[name], one.is_curve) for name in one.found)


def look_alike(one: Shown, other: Shown) -> bool:
    """Whether nobody could tell the two apart by looking."""
    if difference(one, other) < VISIBLE:
        return True
    return not one.is_curve and not any(_different_cells(one, other))


def first_difference(one: Shown, other: Shown) -> tuple[str, int] | None:
    """Column and row of the first cell that reads differently, or None."""
    return next(_different_cells(one, other), None)


def text(value: Any) -> str:
    """An entry as a person reads it: three digits, a real minus sign."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return typeset(value)
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else f"{MINUS}\N{INFINITY}"
    if abs(value) >= 1e6:
        digits = f"{value:.0e}"
    elif isinstance(value, int) or value == int(value):
        digits = str(int(value))
    elif abs(value) >= 100:
        digits = f"{value:.0f}"
    elif abs(value) < 0.001:
        digits = f"{value:.0e}"
    else:
        digits = f"{float(f'{value:.3g}'):g}"
    digits = re.sub(r"e\+?(-?)0*", r"e\1", digits)
    return digits.replace("-", MINUS) if digits != "-0" else "0"


def typeset(words: str) -> str:
    """Words with a real minus sign before numbers."""
    return re.sub(r"(?<![\w)])-(?=[\d.\N{INFINITY}])", MINUS, words)


def _columns(named: Mapping[str, Any]) -> dict[str, Column]:
    return {name: tuple(_plain(entries)) for name, entries in named.items()}


def _plain(entries: Any) -> Sequence[Any]:
    """Python's own numbers, out of a tensor, an array or a list of either."""
    if hasattr(entries, "tolist"):
        entries = entries.detach() if hasattr(entries, "detach") else entries
        entries = entries.tolist()
    found = [one.item() if hasattr(one, "item") else one for one in entries]
    # A wrong shape is something to see, too.
    return [", ".join(map(text, _plain(one))) if isinstance(one, list) else one for one in found]


def _gap(one: Column, other: Column, is_curve: bool) -> float:
    if any(isinstance(x, str) for x in (*one, *other)):
        return 0.0 if one == other else math.inf
    pairs = [(float(x), float(y)) for x, y in zip(one, other, strict=True)]
    if any(math.isfinite(x) != math.isfinite(y) for x, y in pairs):
        return math.inf
    pairs = [(x, y) for x, y in pairs if math.isfinite(x) and x != y]
    if not pairs:
        return 0.0
    numbers = [float(x) for x in (*one, *other) if math.isfinite(x)]
    if is_curve:
        return max(abs(x - y) for x, y in pairs) / (max(numbers) - min(numbers))
    # Beside a thousand nobody sees that 0.1 is not 0.2.
    least = 0.01 * max(map(abs, numbers))
    return max(abs(x - y) / max(abs(x), abs(y), least) for x, y in pairs)


def _different_cells(one: Shown, other: Shown) -> Iterator[tuple[str, int]]:
    for name, column in one.found.items():
        for row, (x, y) in enumerate(zip(column, other.found[name], strict=False)):
            if text(x) != text(y):
                yield name, row
