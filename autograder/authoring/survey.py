"""The survey at the end of a starter: how many minutes each part took.

It is a comment in the file that is submitted, so that nobody fills in a form. It is never marked.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

HEAD = "# How many minutes did each part take? The answer is never marked; it helps the next class."
# The question with its answers is shorter than this.
REACH = 2000


def question(parts: Iterable[str]) -> str:
    """The lines at the end of a starter."""
    names = textwrap.fill(
        "  ".join(f"{part}=" for part in parts),
        100,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
    )
    return f"\n\n{HEAD}\n{names}\n"


def minutes(text: str, parts: Iterable[str]) -> dict[str, float]:
    """What a submission answers, for the parts that it tells about."""
    _, head, rest = text.partition(HEAD)
    answer = rest[:REACH] if head else ""
    found = {part: re.search(rf"\b{re.escape(part)} ?= ?(\d{{1,4}})\b", answer) for part in parts}
    return {part: float(match[1]) for part, match in found.items() if match}
