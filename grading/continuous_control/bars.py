"""The bar of continuous_control's learning check.

Run as a script, it prints the figures that stand in test_hidden.py: mean, standard deviation and
lowest of many measurements, and the share below the bar.
"""

import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import torch

from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]

hidden = load(ROOT / "grading" / "continuous_control" / "test_hidden.py")
reference = load(ROOT / "solutions" / "continuous_control" / "continuous_control.py")


class InThisProcess:
    """What the learning check asks of a lab, without a wall."""

    def kept(self, one):
        """The object itself."""
        return one

    def value(self, one):
        """The object itself."""
        return one

    def practice(self, name, budget):
        """One of Gymnasium's environments."""
        return gymnasium.make(name)

    def curve(self, values):
        """Nobody looks at curves here."""


def swing_up(seed):
    """The mean return after the learning check's training."""
    return hidden.swing_up(reference, InThisProcess(), seed)


BARS = {"test_the_pendulum_is_swung_up": Bar(hidden.PENDULUM_BAR, swing_up)}


def main(runs: int) -> None:
    """Print a table of all bars."""
    torch.set_num_threads(1)
    for name, bar in BARS.items():
        start = time.process_time()
        found = np.array([bar.measure(seed) for seed in range(1000, 1000 + runs)])
        seconds = (time.process_time() - start) / runs
        print(np.sort(found).round(2))
        print(
            f"{name:50} {found.mean():8.3f} {found.std():7.3f} {found.min():8.3f} "
            f"{bar.least:8.3f} {np.mean(found < bar.least):7.4f} {seconds:6.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
