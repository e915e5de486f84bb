"""The tolerances of dqn's probes and the bar of its learning check, with fresh reference runs.

Training runs here without the wall: the hidden tests' own functions, with a plain module in place
of the student's.

    PYTHONPATH=. python grading/dqn/bars.py 200      prints the errors of the probes for 200 seeds
"""

import functools
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from autograder.isolation.bridge.environments import practice
from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]
PROBES = [
    "test_probe_a_constant_reward",
    "test_probe_a_reward_that_the_observation_tells",
    "test_probe_a_reward_two_steps_away",
    "test_probe_a_reward_that_the_action_decides",
    "test_probe_the_best_of_what_follows",
    "test_probe_a_time_limit_and_a_reset_elsewhere",
]
CHAIN = "test_a_chain_ends_at_the_optimal_values"


hidden = load(ROOT / "grading" / "dqn" / "test_hidden.py")


@functools.cache
def solution():
    """The reference, imported when it is needed."""
    return load(ROOT / "solutions" / "dqn" / "dqn.py")


class Plain:
    """Stands for `lab` where the student's code is a module of this process."""

    practice = staticmethod(practice)

    def lend(self, env, budget=None):
        return env, None

    def kept(self, thing):
        return thing

    def value(self, thing):
        return thing


def error(work, name, seed):
    """The largest error of any Q-value that a hidden test would see with this seed."""
    original, seen = hidden.train, []
    try:
        hidden.train = lambda student, lab, env, **settings: original(
            student, lab, env, seed, **settings
        )
        hidden.assert_close = lambda actual, expected, **_: seen.append(
            float(abs(actual - expected).max())
        )
        test = getattr(hidden, name)
        test(work, Plain(), *([np.random.default_rng(seed)] if name == CHAIN else []))
    finally:
        hidden.train, hidden.assert_close = original, CLOSE
    return seen[0]


CLOSE = hidden.assert_close


@pytest.mark.parametrize("name", PROBES)
def test_the_tolerance_of_the_probes_leaves_room(name):
    assert max(error(solution(), name, seed) for seed in (1000, 1001)) < hidden.PROBE_TOLERANCE / 2


def greedy_return(seed):
    """The greedy return of the reference after the learning check's training."""
    work = solution()
    env = gymnasium.make("CartPole-v1")
    result = work.train_dqn(env, work.DQNConfig(**hidden.CARTPOLE), seed)
    return hidden.greedy_return(result.network, seed)


BARS = {
    "test_cartpole_is_balanced_for_a_while": Bar(
        hidden.CARTPOLE_BAR, greedy_return, range(1000, 1040)
    )
}


def main(runs):
    """Print the errors of the probes over many seeds."""
    torch.set_num_threads(1)
    for name in [*PROBES, CHAIN]:
        start = time.process_time()
        errors = np.sort([error(solution(), name, seed) for seed in range(runs)])
        seconds = (time.process_time() - start) / runs
        largest = errors[-3:].round(6)
        median = f"median {np.median(errors):.5f}"
        print(f"{name:52s} {median}  largest {largest}  {seconds:.2f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
