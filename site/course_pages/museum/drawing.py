"""A board's two runs as HTML: a table in which differences stand out, or two curves as SVG."""

from __future__ import annotations

import math
from html import escape

from course_pages.museum.shown import Column, Shown, text

# Narrow, so that letters stay readable where a phone makes it smaller.
WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 12, 46


def picture(right: Shown, broken: Shown) -> str:
    """Both runs in one picture."""
    return _chart(right, broken) if right.is_curve else _table(right, broken)


def _table(right: Shown, broken: Shown) -> str:
    heads = [f'<th scope="col">{escape(name)}</th>' for name in right.given]
    columns = [[text(x) for x in column] for column in right.given.values()]
    for name in right.found:
        heads += [f'<th scope="col">{escape(name)}, {which}</th>' for which in ("right", "here")]
    rows = []
    for row in range(len(columns[0])):
        first, *others = (escape(column[row]) for column in columns)
        cells = [f'<th scope="row">{first}</th>', *(f"<td>{one}</td>" for one in others)]
        for name, column in right.found.items():
            cells += _pair(column, broken.found[name], row)
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        '<div class="table-wrapper"><table class="board-table"><thead><tr>'
        f"{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _pair(right: Column, here: Column, row: int) -> list[str]:
    """The two cells of a result. What differs is bold, and underlined."""
    is_there = row < len(here)
    one, other = text(right[row]), text(here[row]) if is_there else "nothing"
    if one == other:
        return [f"<td>{escape(one)}</td>", f"<td>{escape(other)}</td>"]
    return [f"<td>{escape(one)}</td>", f'<td class="off"><b>{escape(other)}</b></td>']


def _chart(right: Shown, broken: Shown) -> str:
    (x_name, x), (y_name, y) = *right.given.items(), *right.found.items()
    here = broken.found[y_name]
    finite = [float(one) for one in (*y, *here) if math.isfinite(one)]
    low, high = min(finite), max(finite)
    across = _Scale(float(x[0]), float(x[-1]), LEFT, WIDTH - RIGHT)
    up = _Scale(low, high, HEIGHT - BOTTOM, TOP)
    axes = [_line(LEFT, up(one), WIDTH - RIGHT, up(one)) for one in (low, high)]
    if low < 0 < high:
        axes.append(_line(LEFT, up(0.0), WIDTH - RIGHT, up(0.0)))
    marks = [_words(LEFT - 6, up(one) + 4, text(one), "end") for one in (low, high)]
    marks += [_words(across(float(one)), HEIGHT - 26, text(one), "middle") for one in _ends(x)]
    marks.append(_words((LEFT + WIDTH) / 2, HEIGHT - 8, x_name, "middle"))
    curves = [_path(x, y, across, up, "board-right"), _path(x, here, across, up, "board-here")]
    told = f"{_told('right', y)}; {_told('this run', here)}"
    label = escape(f"{y_name} against {x_name}. {told}.")
    return (
        '<figure class="board-figure">'
        f'<figcaption>{escape(y_name)}: <span class="key-right">right</span>,'
        ' <span class="key-here">this run</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(axes)}{''.join(curves)}{''.join(marks)}</svg></figure>"
    )


class _Scale:
    """From numbers to pixels."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.span = low, (high - low) or 1.0
        self.start, self.length = start, end - start

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / self.span * self.length


def _ends(x: Column) -> tuple[float, float, float]:
    return x[0], x[len(x) // 2], x[-1]


def _told(who: str, y: Column) -> str:
    """A curve in words, for who does not see it."""
    low, high = min(y), max(y)
    ends = f"begins at {text(y[0])}, ends at {text(y[-1])}"
    return f"{who} {ends}, between {text(low)} and {text(high)}"


def _path(x: Column, y: Column, across: _Scale, up: _Scale, name: str) -> str:
    parts, pen = [], "M"
    for one, other in zip(x, y, strict=True):
        if math.isfinite(other):
            parts.append(f"{pen}{across(float(one)):.1f} {up(float(other)):.1f}")
            pen = "L"
        else:
            pen = "M"
    return f'<path class="{name}" d="{"".join(parts)}"/>'


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path class="board-axis" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>'


def _words(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
