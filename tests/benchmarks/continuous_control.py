"""Time and environment steps to swing up the pendulum: the course's SAC against
Stable-Baselines3's, in the same run.

    python tests/benchmarks/continuous_control.py [--seeds 5]

Swung up means: the mean return without noise over 50 fresh episodes of Pendulum-v1 reaches -250. It
is asked after every 250 environment steps, by one evaluator for both, and the clock stands still
while it is. A run that never gets there counts as its whole budget. That first hit is an optimistic
rule, and equally so for both.

What is tuned and what is not: our settings were tuned for this task (TUNED below, found on other
seeds than the comparison's). Those of Stable-Baselines3 are the published ones of rl-baselines3-zoo
for Pendulum-v1, unchanged: learning rate 1e-3, all else its defaults (two layers of 256 units,
batches of 256). So the ratio says what a student's reference costs against a stock library run. It
does not say that either algorithm is better.

Everything runs on one thread. CPU seconds are those of this process; wall-clock seconds are printed
too, and mean little on a busy machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
INSTALL = ".venv/bin/python -m pip install --no-deps -r requirements/bench.txt"
GOAL, EPISODES, EVERY = -250.0, 50, 250
BUDGET = 20_000  # the zoo's
Act = Callable[[np.ndarray], np.ndarray]  # observations (n, 3) -> actions (n, 1), in [-2, 2]

# What differs from the defaults of Config. Most of so small a gradient step is overhead of calls,
# so that small batches and networks are cheap; a lower gamma makes values small and quick to learn.
TUNED: dict[str, Any] = {"gamma": 0.97, "learning_rate": 3e-3, "batch_size": 64}


def evaluate(act: Act, seed: int) -> float:
    """Mean return without noise over EPISODES episodes side by side."""
    env = gymnasium.make_vec("Pendulum-v1", num_envs=EPISODES, vectorization_mode="sync")
    obs, _ = env.reset(seed=seed)
    total = np.zeros(EPISODES)
    for _ in range(200):
        obs, rewards, *_ = env.step(act(obs))
        total += rewards
    return float(total.mean())


@dataclass
class Run:
    """A stopwatch that stands still during evaluations, and what it read when the goal was
    reached."""

    seed: int
    cpu: float = 0.0
    wall: float = 0.0
    steps: int = 0
    reached: bool = False

    def start(self) -> None:
        """Start, or go on."""
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        """Stand still."""
        self.cpu += time.process_time() - self._cpu
        self.wall += time.perf_counter() - self._wall

    def look(self, steps: int, act: Act) -> bool:
        """True once the goal is reached; evaluates when EVERY steps have passed since it last
        did."""
        if steps // EVERY == self.steps // EVERY:
            return False
        self.stop()
        self.steps = steps
        self.reached = evaluate(act, 10_000 * self.seed + steps) >= GOAL
        self.start()
        return self.reached


def ours(run: Run) -> None:
    """One training of solutions/continuous_control."""
    path = ROOT / "solutions" / "continuous_control" / "continuous_control.py"
    spec = importlib.util.spec_from_file_location("continuous_control", path)
    assert spec and spec.loader
    work = sys.modules["continuous_control"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(work)

    def callback(news: Any) -> bool:
        @torch.no_grad()
        def act(obs: np.ndarray) -> np.ndarray:
            mean = news.agent.actor(torch.as_tensor(obs))[:, :1]
            return 2.0 * torch.tanh(mean).numpy()

        return run.look(int(news.step), act)

    config = work.Config(total_steps=BUDGET, callback=callback, **TUNED)
    work.train(gymnasium.make("Pendulum-v1"), config, run.seed)


class SwungUp(Exception):
    """The goal is reached: there is nothing left to learn."""


def stock(run: Run) -> None:
    """One training of Stable-Baselines3's SAC, as rl-baselines3-zoo sets it up for Pendulum-v1
    (hyperparams/sac.yml)."""
    from stable_baselines3 import SAC
    from stable_baselines3.common.callbacks import BaseCallback

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            model = self.model
            if run.look(self.num_timesteps, lambda obs: model.predict(obs, deterministic=True)[0]):
                raise SwungUp
            return True

    env = gymnasium.make("Pendulum-v1")
    model = SAC("MlpPolicy", env, learning_rate=1e-3, seed=run.seed, device="cpu")
    try:
        model.learn(BUDGET, callback=Watch())
    except SwungUp:
        pass


def contest(seeds: int, train: Callable[[Run], None]) -> list[Run]:
    """One run for each seed."""
    runs = [Run(seed) for seed in range(seeds)]
    for run in runs:
        run.start()
        train(run)
        run.stop()
        run.steps = run.steps if run.reached else BUDGET
    return runs


def report(name: str, runs: list[Run]) -> None:
    """One line of the table."""
    cpu, wall, steps = ([getattr(run, field) for run in runs] for field in ("cpu", "wall", "steps"))
    hits = sum(run.reached for run in runs)
    print(
        f"{name:32} {statistics.median(cpu):7.2f} {max(cpu):7.2f}   "
        f"{statistics.median(wall):7.2f}   "
        f"{statistics.median(steps):8.0f} {max(steps):8d}   {hits}/{len(runs)}",
        flush=True,
    )


def main() -> int:
    """Run what there is and print ratios of medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"Pendulum-v1 to a mean return of {GOAL:g}, {options.seeds} seeds, one thread; "
        f"medians and worst"
    )
    print(f"{'':32} {'cpu s':>7} {'worst':>7}   {'wall s':>7}   {'steps':>8} {'worst':>8}   solved")
    mine = contest(options.seeds, ours)
    report("solutions/continuous_control", mine)
    if importlib.util.find_spec("stable_baselines3") is None:
        print(f"Stable-Baselines3 is left out, because it is not installed. To have it: {INSTALL}")
        return 0
    theirs = contest(options.seeds, stock)
    report("SB3 SAC (zoo, stock)", theirs)
    for field, unit in (("cpu", "CPU time"), ("steps", "environment steps")):
        one, other = (
            statistics.median(getattr(run, field) for run in runs) for runs in (mine, theirs)
        )
        print(f"  {unit}: SB3 takes {other / one:.1f} times ours")
    return 0


if __name__ == "__main__":
    sys.exit(main())
