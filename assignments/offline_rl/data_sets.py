"""The recorded data of this assignment: how they are read, and how they were made.

    python data_sets.py --out DIR        records them again with your own `record`

``load(name)`` reads one of NAMES from data_sets.npz, which was made in this way. The behaviours of
CartPole-v1 are a coin (random), a policy that looks at the pole alone (medium), one that balances
well (expert), and one that mostly pushes the wrong way (clumsy). "cartpole-mixed" begins with rows
of the clumsy one, and ends with rows of the medium one. The behaviour on FrozenLake-v1 follows the
best policy, but takes any action half of the time. The chain is ours, and its behaviour is a coin.
"""

import argparse
import functools
from pathlib import Path

import gymnasium
import numpy as np
from offline_rl import Dataset, record

FILE = Path(__file__).resolve().parent / "data_sets.npz"
CARTPOLE = ("cartpole-random", "cartpole-medium", "cartpole-expert", "cartpole-clumsy")
RECORDED = (*CARTPOLE, "lake-medium", "chain")
NAMES = (*RECORDED, "cartpole-mixed")
MIXED = {"cartpole-clumsy": 1500, "cartpole-medium": 1000}  # at least so many rows of each


class Chain:
    """Five states in a row. Action 1 goes on, and slips back to state 0 once in five times; action 0
    stays and pays 0.2. The step that reaches the last state pays 3 and terminates; after eight
    steps a clock truncates."""

    SHAPE, LIMIT = (5, 2), 8

    def __init__(self):
        self.rng = np.random.default_rng()

    def reset(self, *, seed=None, options=None):
        """Begin in state 0."""
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.state, self.clock = 0, 0
        return self.state, {}

    def step(self, action):
        """One step of the chain."""
        self.clock += 1
        reward = 0.2
        if action == 1:
            self.state = 0 if self.rng.random() < 0.2 else self.state + 1
            reward = 3.0 if self.state == 4 else 0.0
        terminated = self.state == 4
        return self.state, reward, terminated, self.clock == self.LIMIT and not terminated, {}


def chain_value(policy, gamma):
    """What an episode of the chain is worth to a policy (5, 2), exactly: V of state 0."""
    v = np.zeros(5)
    for _ in range(Chain.LIMIT):
        on = 0.2 * gamma * v[0] + 0.8 * gamma * v[1:]
        on[3] += 0.8 * 3.0
        v[:4] = policy[:4, 0] * (0.2 + gamma * v[:4]) + policy[:4, 1] * on
    return float(v[0])


@functools.cache
def lake_model():
    """(P (16, 4, 16), R (16, 4), ends (16,)) of FrozenLake-v1; nothing leaves an end."""
    moves, pay, ends = np.zeros((16, 4, 16)), np.zeros((16, 4)), np.zeros(16, bool)
    for s, row in gymnasium.make("FrozenLake-v1").unwrapped.P.items():
        for a, outcomes in row.items():
            for chance, s2, reward, terminated in outcomes:
                moves[s, a, s2] += chance
                pay[s, a] += chance * reward
                ends[s2] |= terminated
    moves[ends], pay[ends] = 0.0, 0.0
    return moves, pay, ends


def lake_policy(epsilon, gamma=0.99):
    """(16, 4) The best policy of FrozenLake-v1, but any action with probability epsilon."""
    moves, pay, _ = lake_model()
    v = np.zeros(16)
    for _ in range(2000):
        v = (pay + gamma * moves @ v).max(axis=1)
    best = np.eye(4)[(pay + gamma * moves @ v).argmax(axis=1)]
    return (1 - epsilon) * best + epsilon / 4


def lake_value(policy, gamma, limit=100):
    """What an episode of FrozenLake-v1 is worth to a policy (16, 4), exactly."""
    moves, pay, _ = lake_model()
    v = np.zeros(16)
    for _ in range(limit):
        v = (policy * (pay + gamma * moves @ v)).sum(axis=1)
    return float(v[0])


def pushes_right(weights, gain, epsilon):
    """A policy for CartPole-v1 that pushes to where the weighted observation points."""

    def policy(obs):
        right = 1 / (1 + np.exp(-gain * float(np.dot(weights, obs))))
        right = (1 - epsilon) * right + epsilon / 2
        return np.array([1 - right, right])

    return policy


def record_again(name):
    """The data set of this name, recorded once more."""
    rng, seed = np.random.default_rng(RECORDED.index(name)), RECORDED.index(name) + 1
    if name == "lake-medium":
        table = lake_policy(0.5)
        return record(gymnasium.make("FrozenLake-v1"), lambda s: table[s], 300, rng, seed)
    if name == "chain":
        return record(Chain(), lambda s: np.array([0.5, 0.5]), 200, rng, seed)
    policy, episodes = {
        "cartpole-random": (pushes_right([0.0, 0.0, 0.0, 0.0], 0.0, 0.0), 80),
        "cartpole-medium": (pushes_right([0.0, 0.0, 1.0, 0.2], 6.0, 0.1), 30),
        "cartpole-expert": (pushes_right([0.05, 0.1, 1.0, 0.3], 15.0, 0.1), 5),
        "cartpole-clumsy": (pushes_right([0.0, 0.0, -1.0, -0.3], 6.0, 0.5), 120),
    }[name]
    return record(gymnasium.make("CartPole-v1"), policy, episodes, rng, seed)


def whole_episodes(data, rows):
    """The first episodes of the data, until there are so many rows."""
    ends = np.flatnonzero(data.terminated | data.truncated) + 1
    stop = int(ends[np.searchsorted(ends, rows).clip(max=len(ends) - 1)])
    return Dataset(*(column[:stop] for column in data))


def load(name):
    """One of NAMES, as a Dataset."""
    if name == "cartpole-mixed":
        parts = [whole_episodes(load(one), rows) for one, rows in MIXED.items()]
        return Dataset(*map(np.concatenate, zip(*parts, strict=True)))
    with np.load(FILE) as stored:
        columns = {field: stored[f"{name}/{field}"] for field in Dataset._fields}
    # Only an episode's last step is kept with what it led to. Other rows have it below them.
    next_obs = np.roll(columns["obs"], -1, axis=0)
    next_obs[columns["terminated"] | columns["truncated"]] = columns["next_obs"]
    return Dataset(**columns | {"next_obs": next_obs})


def save(file):
    """Record everything again, into a file."""
    columns = {}
    for name in RECORDED:
        data = record_again(name)
        last = data.next_obs[data.terminated | data.truncated]
        for field, column in data._replace(next_obs=last)._asdict().items():
            columns[f"{name}/{field}"] = column
    np.savez_compressed(file, **columns)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    options.add_argument("--out", type=Path, required=True, help="folder for data_sets.npz")
    folder = options.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "data_sets.npz")
    print(folder / "data_sets.npz")
