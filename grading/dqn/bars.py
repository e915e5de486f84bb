"""The tolerances of dqn's probes and the bar of its learning check, and the runs that they were
measured with.

Training is played here without the wall: the hidden tests' own functions, with the student's side
replaced by a plain module.

    PYTHONPATH=. python grading/dqn/bars.py probes 200 [PATH]    the figures that grading/dqn quotes
    PYTHONPATH=. python grading/dqn/bars.py cartpole 40 [PATH]      (PATH: another solution than the reference)
"""

import importlib.util
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from autograder.isolation.bridge.environments import practice

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


def load(path):
    """A module from a file that lies in no package."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hidden = load(ROOT / "grading" / "dqn" / "test_hidden.py")
reference = ROOT / "solutions" / "dqn" / "dqn.py"


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
    """The largest error of any Q-value that a test of the hidden tests would see with this seed of
    training."""
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
    work = load(reference)
    assert max(error(work, name, seed) for seed in (1000, 1001)) < hidden.PROBE_TOLERANCE / 2


def main(what, runs, path=reference):
    """Print the figures."""
    torch.set_num_threads(1)
    work = load(Path(path).resolve())
    if what == "probes":
        for name in [*PROBES, CHAIN]:
            start = time.process_time()
            errors = np.sort([error(work, name, seed) for seed in range(int(runs))])
            seconds = (time.process_time() - start) / int(runs)
            print(
                f"{name:52s} median {np.median(errors):.5f}  largest {errors[-3:].round(6)}  {seconds:.2f} s",
                flush=True,
            )
    if what == "cartpole":
        found = []
        for seed in range(1000, 1000 + int(runs)):  # not those by which the bar was chosen
            start = time.process_time()
            result = work.train_dqn(
                gymnasium.make("CartPole-v1"), work.DQNConfig(**hidden.CARTPOLE), seed
            )
            seconds = time.process_time() - start
            found.append(hidden.greedy_return(result.network, seed))
            print(
                f"seed {seed}: {len(result.returns)} episodes, last at step {result.steps[-1]}, ",
                end="",
            )
            print(f"greedy return {found[-1]:.1f}, {seconds:.1f} s", flush=True)
        print(f"mean {np.mean(found):.1f}, sd {np.std(found):.1f}, lowest {np.sort(found)[:3]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
