"""The bars of model_based's learning checks.

Run as a script, it prints the figures that stand in test_hidden.py: mean, standard deviation and
lowest of many measurements, and the share below the bar.
"""

import sys
import time
from pathlib import Path

import numpy as np

from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]

hidden = load(ROOT / "grading" / "model_based" / "test_hidden.py")
reference = load(ROOT / "solutions" / "model_based" / "model_based.py")


class InThisProcess:
    """What the learning checks ask of a lab, without a wall."""

    def expose(self, one, *names):
        """The object itself."""
        return one

    def lend(self, env, budget):
        """The environment itself; nobody counts."""
        return env, None

    def curve(self, values):
        """Nobody looks at curves here."""


def measured(measure):
    """A measure of the learning checks, as a function of the seed alone."""
    return lambda seed: measure(reference, InThisProcess(), seed)


BARS = {
    "test_planning_finds_the_goal_sooner_as_in_figure_8_2": Bar(
        hidden.SOONER_BAR, measured(hidden.sooner)
    ),
    "test_the_pendulum_is_swung_up_within_a_thousand_steps": Bar(
        hidden.SWING_UP_BAR, measured(hidden.swing_up)
    ),
}


def main(runs: int) -> None:
    """Print a table of all bars."""
    for name, bar in BARS.items():
        start = time.process_time()
        found = np.array([bar.measure(seed) for seed in range(1000, 1000 + runs)])
        seconds = (time.process_time() - start) / runs
        print(np.sort(found).round(2))
        print(
            f"{name:56} {found.mean():8.3f} {found.std():7.3f} {found.min():8.3f} "
            f"{bar.least:8.3f} {np.mean(found < bar.least):7.4f} {seconds:6.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
