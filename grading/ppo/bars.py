"""The thresholds of ppo's learning checks and probes, held against fresh reference runs.

PYTHONPATH=. python grading/ppo/bars.py cartpole 40      prints the distribution that grading/ppo quotes (also: pendulum, probes)
"""

import importlib.util
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]


def load(path):
    """A module from a file that lies in no package."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


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


def main():
    """Print the distribution of one check over many seeds, as it comes."""
    task, count = sys.argv[1], int(sys.argv[2])
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    torch.set_num_threads(1)
    found, start = [], time.process_time()
    for seed in range(first, first + count):
        found.append(probe_error(seed) if task == "probes" else reached(task, seed))
        print(f"{seed} {found[-1]:.4f}", flush=True)
    quantiles = np.percentile(found, [0, 10, 50, 90, 100])
    print(
        f"{task}: n {count}, min/p10/median/p90/max {np.round(quantiles, 4)}, {(time.process_time() - start) / count:.2f} cpu s each"
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
