"""The bars of reinforce's probes and learning check, and the runs that they were measured with.

Training is played here without the wall: the hidden tests' own functions, with the student's side
replaced by a plain module.

    PYTHONPATH=. python grading/reinforce/bars.py probes 100 [PATH]       the figures that grading/reinforce quotes
    PYTHONPATH=. python grading/reinforce/bars.py cartpole 70 [PATH]      (PATH: another solution than the reference)

The seeds are neither those of the grader nor those by which bars and settings were chosen.
"""

import importlib.util
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from autograder.isolation.bridge.environments import LentEnvironment, practice

ROOT = Path(__file__).resolve().parents[2]


def load(path):
    """A module from a file that lies in no package."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hidden = load(ROOT / "grading" / "reinforce" / "test_hidden.py")
reference = ROOT / "solutions" / "reinforce" / "reinforce.py"
FIRST_SEED = {"probes": 5001, "cartpole": 3001}
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
    """What a probe measures, and its bar, for each of its questions: {what: (bar, array over
    seeds)}."""
    found = {}

    def collect(measure, bar, what, **_):
        found[what] = bar, np.array([float(measure(seed)) for seed in seeds])

    original, hidden.assert_some_seed = hidden.assert_some_seed, collect
    try:
        getattr(hidden, name)(work, Plain())
    finally:
        hidden.assert_some_seed = original
    return found


def reached(work, seed):
    """What the grader's evaluation says of one run on CartPole-v1."""
    result = work.train_reinforce(
        gymnasium.make("CartPole-v1"), work.Config(**hidden.CARTPOLE), seed
    )
    return hidden.mean_return(result.policy)


@pytest.mark.parametrize("name", PROBES)
def test_the_bars_of_the_probes_leave_room(name):
    for what, (bar, values) in measured(load(reference), name, (1001, 1002)).items():
        assert values.min() > bar, what


def test_the_progress_bar_is_silent_where_there_is_no_terminal(capsys):
    work = load(reference)
    work.train_reinforce(gymnasium.make("CartPole-v1"), work.Config(max_steps=50), 1)
    assert capsys.readouterr() == ("", "")


def main(what, runs, path=reference):
    """Print the figures."""
    torch.set_num_threads(1)
    work, seeds = load(path), range(FIRST_SEED[what], FIRST_SEED[what] + runs)
    if what == "cartpole":
        values = np.array([reached(work, seed) for seed in seeds])
        rows = {"mean return of 64 episodes": (hidden.CARTPOLE_BAR, values)}
    else:
        rows = {key: row for name in PROBES for key, row in measured(work, name, seeds).items()}
    for key, (bar, values) in rows.items():
        print(
            f"{key:58} {values.mean():8.3f} {values.std():7.3f} {values.min():8.3f} {bar:7.2f} {(values < bar).sum():4d}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(Path, sys.argv[3:]))
