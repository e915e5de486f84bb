"""Records PPO on CartPole with each set of its parts switched off, ten seeds each: eight minutes.

PYTHONPATH=. .venv/bin/python site/explorers/record_surgery.py
"""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from recorded import packed, solution, write

SEEDS, UPDATES = 10, 16
# What a part's setting becomes when it is switched off.
PARTS: dict[str, dict[str, Any]] = {
    "clip": {"clip_low": 0.999, "clip_high": 1e6},
    "epochs": {"epochs": 1},
    "gae": {"lam": 0.0},
    "norm": {"normalize_advantages": False},
}


class Counted(gymnasium.vector.VectorWrapper):
    """Counts the episodes that have ended."""

    ended = 0

    def step(self, actions: Any) -> Any:
        found = self.env.step(actions)
        self.ended += int((found[2] | found[3]).sum())
        return found


def returns(ppo: Any, changes: dict[str, Any], seed: int, updates: int = UPDATES) -> list[float]:
    """The mean return of the episodes that ended in each update.

    Where none ended, the last number stands.
    """
    envs: list[Counted] = []
    counts = [0]

    def make(number: int) -> Counted:
        mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
        env = gymnasium.make_vec(
            "CartPole-v1", num_envs=number, vectorization_mode="sync", vector_kwargs=mode
        )
        envs.append(Counted(env))
        return envs[0]

    def note(model: Any, metrics: dict[str, float]) -> bool:
        counts.append(envs[0].ended)
        return len(counts) > updates

    base = {"total_steps": 1024 * UPDATES, "epochs": 6, "progress": False}
    ended = ppo.train_ppo(make, ppo.PPOConfig(**(base | changes)), seed, note).returns
    found: list[float] = []
    for start, stop in itertools.pairwise(counts):
        found.append(float(np.mean(ended[start:stop])) if stop > start else found[-1])
    return found


def main() -> None:
    """Write surgery/runs.json: parts that are on, as 1 and 0 -> the runs."""
    ppo = solution("ppo", "gae")
    found = {}
    for on in itertools.product((1, 0), repeat=len(PARTS)):
        changes: dict[str, Any] = {}
        for part, is_on in zip(PARTS, on, strict=True):
            changes |= {} if is_on else PARTS[part]
        name = "".join(map(str, on))
        found[name] = "".join(packed(returns(ppo, changes, seed)) for seed in range(SEEDS))
        print(name, found[name][: 2 * UPDATES], flush=True)
    write("surgery", {"parts": [*PARTS], "seeds": SEEDS, "updates": UPDATES, "runs": found})


if __name__ == "__main__":
    main()
