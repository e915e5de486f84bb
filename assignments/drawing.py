"""A small SVG drawing board for assignments/pictures.py.

A quantity has one colour through the whole course: ratio blue, advantage vermilion, value green,
KL purple, reward ochre. The colours are told apart by the colour-blind and have a lighter twin for
pages with a dark background. No colour is the only cue: every coloured thing has its name beside
it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

# Quantity: colour on a light page, colour on a dark one.
COLOURS = {
    "ink": ("#24292f", "#d7dde3"),
    "faint": ("#6a737d", "#8b949e"),
    "ratio": ("#0072b2", "#56b4e9"),
    "advantage": ("#c04e00", "#ff9d5c"),
    "value": ("#007a59", "#3fc59a"),
    "kl": ("#8f3f97", "#d79adf"),
    "reward": ("#8a6500", "#e6c84f"),
}


def style() -> str:
    """The style sheet: fill and stroke of each quantity, in both modes."""

    def rules(mode: int) -> str:
        return "".join(
            f".{name}{{fill:{pair[mode]}}}.{name}-line{{stroke:{pair[mode]};fill:none}}"
            for name, pair in COLOURS.items()
        )

    letters = "text{font-family:Helvetica,Arial,sans-serif}"
    return f"<style>{letters}{rules(0)}@media (prefers-color-scheme:dark){{{rules(1)}}}</style>"


class Picture:
    """An SVG drawing of 720 columns; every method adds one thing, colours are names of COLOURS."""

    def __init__(self, height: int, title: str) -> None:
        self.height = height
        self.title = title
        self.parts: list[str] = []

    def text(
        self, x: float, y: float, words: str, colour: str = "ink", anchor: str = "middle", size=14
    ) -> None:
        """Words whose base line is at y."""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" class="{colour}" text-anchor="{anchor}"'
            f' font-size="{size}">{escape(words)}</text>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, colour: str = "ink", full=False
    ) -> None:
        """A rectangle, filled lightly if full."""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4"'
            f' class="{colour}-line" stroke-width="1.5"/>'
        )
        if full:
            self.parts.append(
                f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4"'
                f' class="{colour}" opacity="0.25"/>'
            )

    def dot(self, x: float, y: float, radius: float, colour: str = "ink", full=True) -> None:
        """A circle: full for actions, empty for states, as in backup diagrams."""
        kind = f'class="{colour}"' if full else f'class="{colour}-line" stroke-width="1.8"'
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" {kind}/>')

    def path(
        self, points: Iterable[tuple[float, float]], colour: str = "ink", width=1.8, dashed=False
    ) -> None:
        """A line through points."""
        ends = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<path d="{ends}" class="{colour}-line" stroke-width="{width:g}"{dashes}/>'
        )

    def arrow(
        self, x0: float, y0: float, x1: float, y1: float, colour: str = "ink", dashed=False
    ) -> None:
        """A straight arrow from the first point to the second."""
        angle = math.atan2(y1 - y0, x1 - x0)
        wings = [
            (x1 - 9 * math.cos(angle + turn), y1 - 9 * math.sin(angle + turn))
            for turn in (-0.4, 0.4)
        ]
        self.path(
            [(x0, y0), (x1 - 7 * math.cos(angle), y1 - 7 * math.sin(angle))], colour, 1.8, dashed
        )
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(x1, y1), *wings])
        self.parts.append(f'<polygon points="{corners}" class="{colour}"/>')

    def svg(self) -> str:
        """The whole file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {self.height}" width="720"'
            f' height="{self.height}" role="img"><title>{escape(self.title)}</title>'
        )
        return "\n".join([head, style(), *self.parts, "</svg>"]) + "\n"
