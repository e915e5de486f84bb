"""Time and environment steps to balance CartPole-v1: the course's PPO and DQN against
Stable-Baselines3's, in the same run.

    python tests/benchmarks/cartpole.py [--seeds 5] [--only ppo|dqn]

Balanced means: the greedy policy's mean return over 100 fresh episodes reaches 475. It is asked
after every 1,024 environment steps (the length of our PPO's rollout), by one evaluator for all
four, and the clock stands still while it is. A run that never gets there counts as its whole
budget. That first hit is an optimistic rule, and equally so for everybody.

What is tuned and what is not: our settings were tuned for this task (PPO: 6 epochs, learning rate
5e-3; DQN: TUNED_DQN below, found on other seeds than the comparison's). Those of Stable-Baselines3
are the published ones of rl-baselines3-zoo for CartPole-v1, unchanged. Both play the environment
that suits their style: ours and SB3's PPO vectors of environments in one process, both DQNs a
single one. So the ratio says what a student's reference costs against a stock library run. It does
not say that either algorithm is better.

Everything runs on one thread. CPU seconds are those of this process; wall-clock seconds are printed
too, and mean little on a busy machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

ROOT = Path(__file__).resolve().parents[2]
INSTALL = ".venv/bin/python -m pip install --no-deps -r requirements/bench.txt"
GOAL, EPISODES, EVERY = 475.0, 100, 1024
BUDGET = {"ppo": 100_000, "dqn": 60_000}
Act = Callable[[np.ndarray], np.ndarray]  # observations (n, 4) -> greedy actions (n,)


def evaluate(act: Act, seed: int) -> float:
    """Mean return of the greedy policy over EPISODES episodes side by side."""
    env = gymnasium.make_vec("CartPole-v1", num_envs=EPISODES)
    obs, _ = env.reset(seed=seed)
    total, alive = np.zeros(EPISODES), np.ones(EPISODES, bool)
    while alive.any():  # an episode has at most 500 steps
        obs, rewards, terminated, truncated, _ = env.step(act(obs))
        total += alive * rewards
        alive &= ~(terminated | truncated)
    return float(total.mean())


@dataclass
class Run:
    """A stopwatch that stands still during evaluations, and what it read when the pole was
    balanced."""

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


# -- ours ------------------------------------------------------------------------------------------


def solution(name: str) -> ModuleType | None:
    """The reference solution of an assignment as a module; None if there is none yet."""
    path = ROOT / "solutions" / name / f"{name}.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def our_ppo(work: ModuleType, run: Run) -> None:
    """One training of solutions/ppo."""

    def make_env(n: int) -> Any:
        mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
        return gymnasium.make_vec(
            "CartPole-v1", num_envs=n, vectorization_mode="sync", vector_kwargs=mode
        )

    def on_update(model: Any, metrics: dict[str, float]) -> bool:
        @torch.no_grad()
        def act(obs: np.ndarray) -> np.ndarray:
            return model.policy(torch.as_tensor(obs)).mode().numpy()

        return run.look(int(metrics["total_steps"]), act)

    cfg = work.PPOConfig(total_steps=BUDGET["ppo"], epochs=6, progress=False)
    work.train_ppo(make_env, cfg, run.seed, on_update)


# What differs from the defaults of DQNConfig. In CartPole the policy is good once its values have
# nearly grown to 1 / (1 - gamma), and they grow by one target network at a time: gamma = 0.98
# halves the way (50 instead of 100), and a larger learning rate follows the targets more closely.
# Exploration that ends sooner saved steps, and layers of 128 units instead of 64 saved more than
# they cost: most of so small a gradient step is overhead of calls.
# units instead of 64 saved more than they cost: most of so small a gradient step is overhead of
# calls.
# most of so small a gradient step is overhead of calls.
TUNED_DQN: dict[str, Any] = {
    "gamma": 0.98,
    "learning_rate": 4e-3,
    "hidden": (128, 128),
    "epsilon_decay_steps": 2_500,
}


def our_dqn(work: ModuleType, run: Run) -> None:
    """One training of solutions/dqn."""

    def callback(progress: Any) -> bool:
        @torch.no_grad()
        def act(obs: np.ndarray) -> np.ndarray:
            return progress.network(torch.as_tensor(obs)).argmax(dim=1).numpy()

        return run.look(int(progress.step), act)

    config = dataclasses.replace(
        work.DQNConfig(),
        total_steps=BUDGET["dqn"],
        callback=callback,
        progress_bar=False,
        **TUNED_DQN,
    )
    work.train_dqn(gymnasium.make("CartPole-v1"), config, run.seed)


# -- Stable-Baselines3 -----------------------------------------------------------------------------


def zoo_ppo(run: Run) -> Any:
    """Its PPO as rl-baselines3-zoo sets it up for CartPole-v1 (hyperparams/ppo.yml)."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    return PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=8, seed=run.seed),
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=lambda left: left * 0.001,
        clip_range=lambda left: left * 0.2,
        seed=run.seed,
        device="cpu",
    )


def zoo_dqn(run: Run) -> Any:
    """Its DQN as rl-baselines3-zoo sets it up for CartPole-v1 (hyperparams/dqn.yml)."""
    from stable_baselines3 import DQN

    return DQN(
        "MlpPolicy",
        gymnasium.make("CartPole-v1"),
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=100_000,
        learning_starts=1000,
        gamma=0.99,
        target_update_interval=10,
        train_freq=256,
        gradient_steps=128,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [256, 256]},
        seed=run.seed,
        device="cpu",
    )


class Balanced(Exception):
    """The goal is reached: there is nothing left to learn."""


def stock(make: Callable[[Run], Any], budget: int, run: Run) -> None:
    """One training of Stable-Baselines3. The zoo's own budget sets its schedules."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:  # after each update, before the next rollout
            model = self.model
            if run.look(self.num_timesteps, lambda obs: model.predict(obs, deterministic=True)[0]):
                raise Balanced

    try:
        make(run).learn(budget, callback=Watch())
    except Balanced:
        pass


# -- the comparison --------------------------------------------------------------------------------


def contest(seeds: int, train: Callable[[Run], None], budget: int) -> list[Run]:
    """One run for each seed."""
    runs = [Run(seed) for seed in range(seeds)]
    for run in runs:
        run.start()
        train(run)
        run.stop()
        run.steps = run.steps if run.reached else budget
    return runs


def report(name: str, runs: list[Run]) -> None:
    """One line of the table."""
    cpu, wall, steps = ([getattr(run, field) for run in runs] for field in ("cpu", "wall", "steps"))
    hits = sum(run.reached for run in runs)
    print(
        f"{name:28} {statistics.median(cpu):7.2f} {max(cpu):7.2f}   "
        f"{statistics.median(wall):7.2f}   "
        f"{statistics.median(steps):8.0f} {max(steps):8d}   {hits}/{len(runs)}",
        flush=True,
    )


def main() -> int:
    """Run what there is and print ratios of medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=("ppo", "dqn"))
    options = parser.parse_args()
    if importlib.util.find_spec("stable_baselines3") is None:
        print(
            f"CartPole against Stable-Baselines3 is left out, because that is not installed. "
            f"To have it: {INSTALL}"
        )
        return 0
    torch.set_num_threads(1)
    print(
        f"CartPole-v1 to a mean return of {GOAL:g}, {options.seeds} seeds, one thread; "
        f"medians and worst"
    )
    print(f"{'':28} {'cpu s':>7} {'worst':>7}   {'wall s':>7}   {'steps':>8} {'worst':>8}   solved")
    for name, ours, zoo in (("ppo", our_ppo, zoo_ppo), ("dqn", our_dqn, zoo_dqn)):
        work = solution(name)
        if options.only not in (None, name) or work is None:
            continue
        mine = contest(
            options.seeds, lambda run, ours=ours, work=work: ours(work, run), BUDGET[name]
        )
        report(f"solutions/{name} (tuned)", mine)
        zoo_budget = {"ppo": 100_000, "dqn": 50_000}[name]
        theirs = contest(
            options.seeds, lambda run, zoo=zoo, b=zoo_budget: stock(zoo, b, run), zoo_budget
        )
        report(f"SB3 {name.upper()} (zoo, stock)", theirs)
        for field, unit in (("cpu", "CPU time"), ("steps", "environment steps")):
            one, other = (
                statistics.median(getattr(run, field) for run in runs) for runs in (mine, theirs)
            )
            print(f"  {unit}: SB3 takes {other / one:.1f} times ours")
    return 0


if __name__ == "__main__":
    sys.exit(main())
