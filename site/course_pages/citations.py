"""Which paper builds on which, as arcs beside a list in order of years."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from course_pages.vault import Paper

WIDTH, ROW, LIST = 440, 26, 168
# The longest arc bulges so far.
REACH = LIST - 16


def drawing(title: str, papers: Mapping[str, Paper]) -> str:
    """The papers of one track. What they build on in other tracks is said in words only."""
    order = sorted(papers, key=lambda key: papers[key].year)
    height = {key: ROW * at + ROW / 2 for at, key in enumerate(order)}
    arcs = [
        _arc(height[other], height[key], len(order))
        for key in order
        for other in papers[key].builds_on
        if other in papers
    ]
    names = [
        f'<a href="#paper-{key}"><circle cx="{LIST}" cy="{height[key]:.0f}" r="4"/>'
        f'<text x="{LIST + 12}" y="{height[key] + 5:.0f}">{escape(papers[key].short)}</text></a>'
        for key in order
    ]
    label = escape(f"{title}: which paper builds on which. The list below says the same in words.")
    return (
        f'<svg class="citations" viewBox="0 0 {WIDTH} {ROW * len(order)}" role="group"'
        f' aria-label="{label}">{"".join(arcs)}{"".join(names)}</svg>'
    )


def _arc(start: float, end: float, rows: int) -> str:
    out = LIST - 8 - REACH * min(1.0, abs(end - start) / (ROW * rows)) ** 0.6
    x = LIST - 6
    return (
        f'<path class="map-edge" d="M{x} {start:.0f}C{out:.0f} {start:.0f} {out:.0f} {end:.0f}'
        f' {x} {end:.0f}"/>'
    )
