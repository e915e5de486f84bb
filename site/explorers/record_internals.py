"""Records a training of Double DQN on CartPole from inside: half a minute.

PYTHONPATH=. .venv/bin/python site/explorers/record_internals.py
"""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium
import numpy as np
import torch
from recorded import packed, solution, write
from torch import Tensor, nn

STEPS, MOMENTS, SEED = 30_000, 40, 1
# Pole angles in degrees, from one end of an episode to the other.
ANGLES = np.linspace(-12, 12, 25)
# So many of the latest observations are shown to the first layer.
PROBES = 35


class Watched(gymnasium.Wrapper):
    """Remembers observations and the returns of episodes since it was last asked."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.seen: list[np.ndarray] = []
        self.returns: list[float] = []
        self.latest: deque[np.ndarray] = deque(maxlen=PROBES)
        self._total = 0.0

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        self.seen.append(obs)
        self.latest.append(obs)
        self._total += float(reward)
        if terminated or truncated:
            self.returns.append(self._total)
            self._total = 0.0
        return obs, reward, terminated, truncated, info


def surprise(targets: tuple[Any, ...], loss: tuple[Any, ...]) -> dict[str, Any]:
    """The transition of the last batch whose error was largest."""
    reward, online, target, terminated, _ = targets
    q, action, y = loss[:3]
    chosen = q.detach().gather(1, action[:, None]).squeeze(1)
    row = int((y - chosen).abs().argmax())
    numbers = {"online": online[row], "target": target[row], "q": q.detach()[row]}
    return {
        "reward": float(reward[row]),
        "terminated": bool(terminated[row]),
        "action": int(action[row]),
        **{name: [round(float(x), 3) for x in values] for name, values in numbers.items()},
    }


def inside(network: nn.Module, env: Watched) -> dict[str, Any]:
    """What a look into the network shows."""
    obs = torch.zeros(len(ANGLES), 4)
    obs[:, 2] = torch.from_numpy(np.deg2rad(ANGLES))
    first = next(one for one in network.modules() if isinstance(one, nn.Linear))
    with torch.no_grad():
        values: Tensor = network(obs)
        active = (first(torch.from_numpy(np.array(env.latest))) > 0).sum(dim=0)
    grads = [one.grad.norm() for one in network.parameters() if one.grad is not None]
    angles = np.rad2deg([one[2] for one in env.seen])
    counts = np.histogram(angles, np.append(ANGLES - 0.5, ANGLES[-1] + 0.5))[0]
    return {
        "norm": round(float(torch.stack(grads).norm()), 3),
        "values": [[round(float(x), 2) for x in column] for column in values.T],
        "active": packed(active.tolist()),
        "visits": packed(counts.tolist()),
    }


def moments(steps: int = STEPS) -> dict[str, Any]:
    """The training up to some step, as runs.json has it."""
    dqn = solution("dqn")
    last: dict[str, tuple[Any, ...]] = {}

    def watch(name: str) -> None:
        right = getattr(dqn, name)

        def run(*args: Any) -> Any:
            last[name] = args
            return right(*args)

        setattr(dqn, name, run)

    watch("double_dqn_targets")
    watch("td_loss")
    env = Watched(gymnasium.make("CartPole-v1"))
    found: list[dict[str, Any]] = []

    def note(news: Any) -> None:
        if news.step < (len(found) + 1) * STEPS / MOMENTS:
            return
        returns = env.returns or [found[-1]["return"]]
        found.append(
            {
                "step": news.step,
                "epsilon": round(news.epsilon, 3),
                "return": round(float(np.mean(returns)), 1),
                **inside(news.network, env),
                **surprise(last["double_dqn_targets"], last["td_loss"]),
            }
        )
        env.seen.clear()
        env.returns.clear()

    config = dqn.DQNConfig(total_steps=steps, double=True, callback=note, progress_bar=False)
    dqn.train_dqn(env, config, SEED)
    told = {"gamma": config.gamma, "probes": PROBES, "angles": ANGLES.tolist()}
    return {**told, "moments": found}


if __name__ == "__main__":
    write("internals", moments())
