"""Reference numbers for <rl-surgery>: quantiles by NumPy, and counts."""

from __future__ import annotations

import numpy as np
from recorded import packed
from vectors import Vectors, entry

DRAWS = 60


def vectors() -> Vectors:
    """All of them, on DRAWS sets of runs."""
    rng = np.random.default_rng(8)
    found: Vectors = {"unpacked": [], "quantile": [], "band": [], "reached": []}
    for _ in range(DRAWS):
        seeds, updates = int(rng.integers(2, 12)), int(rng.integers(2, 20))
        runs = rng.integers(0, 501, (seeds, updates))
        numbers, q = runs[:, 0], rng.uniform()
        found["unpacked"].append(entry(numbers.tolist(), packed(numbers.tolist())))
        found["quantile"].append(entry(float(np.quantile(numbers, q)), numbers.tolist(), q))
        low, middle, high = np.quantile(runs, [0.1, 0.5, 0.9], axis=0)
        rows = zip(low, middle, high, strict=True)
        shown = [dict(zip(("low", "middle", "high"), row, strict=True)) for row in rows]
        found["band"].append(entry(shown, runs.tolist()))
        level, update = int(rng.integers(100, 500)), int(rng.integers(updates))
        count = int((runs[:, : update + 1].max(axis=1) >= level).sum())
        found["reached"].append(entry(count, runs.tolist(), level, update))
    return found
