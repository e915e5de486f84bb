"""The bars of offline_rl's learning checks.

Run as a script, it prints the figures that stand in test_hidden.py: all measurements in order,
their mean, standard deviation and lowest, and the share below the bar.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]

hidden = load(ROOT / "grading" / "offline_rl" / "test_hidden.py")
reference = load(ROOT / "solutions" / "offline_rl" / "offline_rl.py")


class InThisProcess:
    """What the learning checks ask of a lab, without a wall."""

    def kept(self, thing):
        """The thing itself."""
        return thing

    def curve(self, values):
        """Nobody looks at curves here."""


def measured(method):
    """What a learning check measures, as a function of the seed alone."""
    return lambda seed: hidden.balanced(reference, InThisProcess(), method, seed)


BARS = {
    f"test_{method}_balances_after_bad_examples": Bar(hidden.BAR, measured(method))
    for method in ("bcq", "cql", "iql")
}


def main(runs: int) -> None:
    """Print a table of all bars."""
    torch.set_num_threads(1)
    for name, bar in BARS.items():
        start = time.process_time()
        found = np.array([bar.measure(seed) for seed in range(1000, 1000 + runs)])
        seconds = (time.process_time() - start) / runs
        print(np.sort(found).round(1))
        print(
            f"{name:40} {found.mean():8.1f} {found.std():7.1f} {found.min():8.1f} "
            f"{bar.least:8.1f} {np.mean(found < bar.least):7.4f} {seconds:6.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
