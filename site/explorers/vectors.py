"""What the reference numbers of all explorers have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

Vectors = dict[str, list[dict[str, Any]]]


def entry(result: Any, *args: Any) -> dict[str, Any]:
    """One vector. Rounding goes through JSON unharmed: 17 digits are written."""
    return {"args": list(args), "result": result}


class Told:
    """A generator for a solution that takes its numbers from lists."""

    def __init__(self, uniform: list[float], normal: list[float] | None = None) -> None:
        self.uniform, self.normals = iter(uniform), iter(normal or [])

    def random(self) -> float:
        return next(self.uniform)

    def integers(self, n: int) -> int:
        return int(next(self.uniform) * n)

    def choice(self, n: int, p: np.ndarray) -> int:
        return min(int(np.searchsorted(np.cumsum(p), next(self.uniform), side="right")), n - 1)

    def normal(self, mean: float, sd: float) -> float:
        return mean + sd * next(self.normals)
