"""The bars of ppo's learning checks, and the margin of its probes, with fresh reference runs."""

from pathlib import Path

import torch

from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]


hidden = load(ROOT / "grading" / "ppo" / "test_hidden.py")
reference = load(ROOT / "solutions" / "ppo" / "ppo.py")


SMOKE = {
    "cartpole": ("CartPole-v1", hidden.CARTPOLE, 250),
    "pendulum": ("Pendulum-v1", hidden.PENDULUM, 200),
}


def reached(task, seed):
    """What the grader's evaluation says of one reference run."""
    name, settings, steps = SMOKE[task]
    cfg = reference.PPOConfig(**settings, progress=False)
    result = reference.train_ppo(lambda n: hidden.vector_env(name, n), cfg, seed)
    return hidden.mean_return(result.model, name, 50, steps, 10_000 * seed)


class Closing(hidden.Table):
    """A table that may be closed: outside of lab.lend_vector the trainer owns its environment."""

    def close(self):
        pass


def probe_error(seed):
    """The largest error of the learned values, over the two probes that need bootstrapping."""
    ends = Closing(16, [[1.0], [-1.0]], [[1, 1], [-1, -1]], [[0.0, 0.0], [1.0, 1.0]])
    cut = Closing(16, [[1.0], [-1.0]], [[1, 1], [1, 1]], [[0.0, 0.0], [1.0, 1.0]], limit=2)
    errors = []
    for table, values in ((ends, (0.5, 1.0)), (cut, (1.0, 2.0))):
        cfg = reference.PPOConfig(**hidden.PROBE, num_envs=16, progress=False)
        model = reference.train_ppo(lambda n, table=table: table, cfg, seed).model
        found = hidden.values_at(model, [[1.0], [-1.0]])
        errors.append(float((found - torch.tensor(values)).abs().max()))
    return max(errors)


def test_probes_leave_a_wide_margin():
    assert max(probe_error(seed) for seed in range(5)) < 0.05


def test_a_fresh_reference_run_passes_the_smoke_test():
    assert reached("cartpole", 2024) >= 195.0


def test_a_fresh_reference_run_swings_the_pendulum_up():
    assert reached("pendulum", 2024) >= -400.0


BARS = {
    "test_learns_to_balance_a_pole": Bar(
        195.0, lambda seed: reached("cartpole", seed), range(1000, 1040)
    ),
    "test_learns_to_swing_up_a_pendulum": Bar(
        -400.0, lambda seed: reached("pendulum", seed), range(1000, 1070)
    ),
}
