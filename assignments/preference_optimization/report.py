"""Draws the plots that the handout of `preference_optimization` asks for, from your own preference_optimization.py.

    python report.py              saves PNG files beside this one
    python report.py --out DIR    saves them in DIR

What is not written yet is left out and named.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import preference_optimization as work

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot_targets(path: Path) -> None:
    """Rewards and targets of twenty steps, of which every fifth ends an episode."""
    rng = np.random.default_rng(0)
    rewards, next_values = rng.normal(size=20), np.full(20, 2.0)
    terminated = np.arange(20) % 5 == 4
    targets = work.td_targets(rewards, next_values, terminated, 0.9)
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    axis.plot(rewards, "o", label="rewards")
    axis.plot(targets, "x", label="targets")
    axis.set(xlabel="step", ylabel="value")
    axis.legend()
    figure.savefig(path, dpi=150)


PLOTS = {"targets.png": plot_targets}


def main() -> None:
    """Draw what can be drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).parent
    parser.add_argument("--out", type=Path, default=here, help="where the PNG files go")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PLOTS.items():
        try:
            draw(folder / name)
            print(folder / name)
        except NotImplementedError as error:
            print(f"{name} is left out: a function that it needs is not written yet: {error}")


if __name__ == "__main__":
    main()
