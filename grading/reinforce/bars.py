"""The bars of reinforce's probes and learning check, and the runs that they were measured with.

Training runs here without the wall: the hidden tests' own functions, with a plain module in place
of the student's.

    PYTHONPATH=. python grading/reinforce/bars.py 100      prints the figures of the probes

The seeds are neither those of the grader nor those by which bars and settings were chosen.
"""

import functools
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from autograder.isolation.bridge.environments import LentEnvironment, practice
from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]


hidden = load(ROOT / "grading" / "reinforce" / "test_hidden.py")


@functools.cache
def solution():
    """The reference, imported when it is needed."""
    return load(ROOT / "solutions" / "reinforce" / "reinforce.py")


PROBES = [
    "test_probe_the_action_that_pays_is_found",
    "test_probe_the_action_fits_the_observation_before_it",
    "test_probe_what_is_far_counts_less",
    "test_probe_values_learn_a_constant_and_the_observation",
    "test_probe_values_are_discounted_over_two_steps",
    "test_probe_entropy_bonus_makes_the_policy_uniform",
    "test_probe_continuous_actions_approach_what_pays",
]


class Plain:
    """Stands for `lab` where the student's code is a module of this process."""

    practice = staticmethod(practice)

    def lend(self, env, budget=None):
        lent = LentEnvironment(
            env,
            budget,
            {"action_space": env.action_space, "observation_space": env.observation_space},
        )
        return lent, lent


def measured(work, name, seeds):
    """What a probe measures, and its bars: {what: (bar, array over seeds)}."""
    found = {}

    def collect(measure, bar, what, **_):
        found[what] = bar, np.array([float(measure(seed)) for seed in seeds])

    original, hidden.assert_some_seed = hidden.assert_some_seed, collect
    try:
        getattr(hidden, name)(work, Plain())
    finally:
        hidden.assert_some_seed = original
    return found


def reached(seed):
    """What the grader's evaluation says of one run of the reference on CartPole-v1."""
    work = solution()
    result = work.train_reinforce(
        gymnasium.make("CartPole-v1"), work.Config(**hidden.CARTPOLE), seed
    )
    return hidden.mean_return(result.policy)


@pytest.mark.parametrize("name", PROBES)
def test_the_bars_of_the_probes_leave_room(name):
    for what, (bar, values) in measured(solution(), name, (1001, 1002)).items():
        assert values.min() > bar, what


def test_the_progress_bar_is_silent_where_there_is_no_terminal(capsys):
    work = solution()
    work.train_reinforce(gymnasium.make("CartPole-v1"), work.Config(max_steps=50), 1)
    assert capsys.readouterr() == ("", "")


BARS = {"test_cartpole_is_balanced": Bar(hidden.CARTPOLE_BAR, reached, range(3001, 3071))}


def main(runs):
    """Print what the probes measure, and their bars."""
    torch.set_num_threads(1)
    for name in PROBES:
        for what, (bar, values) in measured(solution(), name, range(5001, 5001 + runs)).items():
            figures = f"{values.mean():8.3f} {values.std():7.3f} {values.min():8.3f}"
            print(f"{what:58} {figures} {bar:7.2f} {(values < bar).sum():4d}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
