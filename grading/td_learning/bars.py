"""The bars of td_learning's learning checks.

Run as a script, it prints the figures that stand in test_hidden.py: mean, standard deviation and
lowest of many measurements, and the share below the bar.
"""

import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]

hidden = load(ROOT / "grading" / "td_learning" / "test_hidden.py")
reference = load(ROOT / "solutions" / "td_learning" / "td_learning.py")


class InThisProcess:
    """What ``at_the_table`` asks of a lab."""

    def make(self, path, *args, **kwargs):
        """Blackjack is all that it makes."""
        return gymnasium.make(*args, **kwargs)

    def curve(self, values):
        """Nobody looks at curves here."""


def blackjack(seed):
    """The exact value of the greedy policy after 5000 hands."""
    return hidden.at_the_table(reference, InThisProcess(), seed)


def lead(measure):
    """A measure of the random walks, as a function of the seed alone."""
    return lambda seed: measure(reference, seed)


BARS = {
    "test_td_beats_monte_carlo_in_example_6_2": Bar(
        hidden.EXAMPLE_6_2_BAR, lead(hidden.lead_online)
    ),
    "test_the_model_of_the_data_predicts_better_than_its_returns": Bar(
        hidden.BATCH_BAR, lead(hidden.lead_batch)
    ),
    "test_a_few_steps_are_best_in_figure_7_2": Bar(hidden.N_STEP_BAR, lead(hidden.lead_n_step)),
    "test_the_middle_of_the_dial_is_best_in_figure_12_3": Bar(
        hidden.LAMBDA_BAR, lead(hidden.lead_lambda)
    ),
    "test_monte_carlo_control_learns_blackjack": Bar(hidden.BLACKJACK_BAR, blackjack),
}


# -- the exact evaluation agrees with Gymnasium ----------------------------------------------------


@pytest.mark.parametrize("threshold", [12, 17, 20])
def test_the_exact_value_is_the_mean_of_many_hands(threshold):
    """A policy that takes cards below a sum, and half of the time at the sum itself."""
    hit = np.zeros(hidden.TABLE)
    hit[:threshold], hit[threshold] = 1.0, 0.5
    policy = np.stack([1 - hit, hit], axis=-1).reshape(-1, 2)
    env, rng = gymnasium.make("Blackjack-v1", sab=True), np.random.default_rng(threshold)
    rewards = [
        reference.play(env, policy, hidden.TABLE, rng, None if hand else 5).rewards.sum()
        for hand in range(20_000)
    ]
    error = np.std(rewards) / np.sqrt(len(rewards))
    assert abs(np.mean(rewards) - hidden.value_at_the_table(hit)) < 4 * error


def test_a_walk_of_the_tests_is_a_walk_of_the_assignment():
    """Both worlds have the same mean length, and the same true values."""
    rng = np.random.default_rng(0)
    ours = [len(hidden.walk(rng, 5, 0.0).rewards) for _ in range(4000)]
    theirs = [len(reference.random_walk(5, rng).rewards) for _ in range(4000)]
    assert np.mean(ours) == pytest.approx(9.0, abs=0.5)
    assert np.mean(theirs) == pytest.approx(9.0, abs=0.5)
    assert hidden.error_of(reference.random_walk_values(5), 0.0, "V") < 1e-12
    assert hidden.error_of(reference.random_walk_values(19, -1.0), -1.0, "V") < 1e-12


def main(runs):
    """Print a table of all bars."""
    for name, bar in BARS.items():
        found = np.array([bar.measure(seed) for seed in range(1000, 1000 + runs)])
        below = np.mean(found < bar.least)
        print(
            f"{name:62} {found.mean():8.3f} {found.std():7.3f} {found.min():8.3f} "
            f"{bar.least:7.3f} {below:8.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
