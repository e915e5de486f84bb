"""Reference numbers for <rl-gridworld>: planning and learning on random grids."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from vectors import Told, Vectors, entry

planning, control, prediction = (
    import_module(name) for name in ("dynamic_programming", "q_learning", "td_learning")
)
DRAWS, COLUMNS, ROWS = 40, 4, 3
DRAWN_AS = str.maketrans("wes", "#GS")


def _world(rng: np.random.Generator) -> dict[str, Any]:
    """A random drawing with rewards in its cells; some cell is free, and some ends the episode."""
    letters = rng.choice(list("....wes"), size=COLUMNS * ROWS)
    letters[rng.choice(len(letters), 2, replace=False)] = [".", "e"]
    return {
        "grid": "".join(letters),
        "columns": COLUMNS,
        "pay": rng.normal(0, 2, len(letters)).tolist(),
        "slip": rng.choice([0.0, rng.uniform(0.1, 0.9)]),
        "gamma": rng.uniform(0.5, 0.99),
        "step": rng.normal(-0.5, 0.5),
    }


def _drawn(grid: str, world: dict[str, Any], step: float) -> Any:
    drawing = grid.translate(DRAWN_AS)
    rows = [drawing[at : at + COLUMNS] for at in range(0, len(drawing), COLUMNS)]
    return planning.grid_mdp(rows, world["slip"], world["gamma"], step)


def _model(world: dict[str, Any]) -> Any:
    """The solution's MDP, with the cells' rewards: where no cell ends an episode, grid_mdp tells
    the probability of every arrival."""
    grid = world["grid"]
    mdp = _drawn(grid, world, world["step"])
    full = _drawn(grid.replace("e", "."), world, 0.0).P
    full[mdp.terminal] = 0.0
    cells = [at for at, letter in enumerate(grid) if letter != "w"]
    pay = np.array(world["pay"])[cells]
    starts = [s for s, at in enumerate(cells) if grid[at] == "s"]
    return SimpleNamespace(
        mdp=mdp._replace(R=mdp.R + full @ pay),
        full=full,
        pay=pay,
        starts=starts or np.flatnonzero(~mdp.terminal).tolist(),
    )


class Grid:
    """The grid as a Gymnasium environment that takes its random numbers from a list."""

    def __init__(self, world: dict[str, Any], limit: int, dice: list[float]) -> None:
        self.model, self.limit, self.told = _model(world), limit, Told(dice)
        self.reward = world["step"] + self.model.pay
        states, actions = self.model.mdp.R.shape
        self.observation_space = SimpleNamespace(n=states)
        self.action_space = SimpleNamespace(n=actions)
        # Steps in all, and in this episode.
        self.steps = self.clock = self.s = 0

    def reset(self, seed: int | None = None) -> tuple[int, dict[str, Any]]:
        self.clock = 0
        self.s = self.model.starts[self.told.integers(len(self.model.starts))]
        return self.s, {}

    def step(self, a: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        probabilities = self.model.full[self.s, a]
        s, self.s = self.s, self.told.choice(len(probabilities), probabilities)
        self.steps, self.clock = self.steps + 1, self.clock + 1
        terminated = bool(self.model.mdp.terminal[self.s])
        truncated = self.clock == self.limit and not terminated
        r = float(self.reward[self.s])
        self.last = {"s": s, "a": a, "r": r, "s2": self.s, "terminated": terminated}
        return self.s, r, terminated, truncated, {}


def _planning(world: dict[str, Any], rng: np.random.Generator, found: Vectors) -> Any:
    """Vectors of the model and of planning. Returns the best values' policy."""
    model = _model(world)
    mdp = model.mdp
    parts = {"P": mdp.P, "R": mdp.R, "full": model.full, "terminal": mdp.terminal}
    told = {name: one.tolist() for name, one in parts.items()}
    found["gridMdp"].append(entry({**told, "starts": model.starts}, world))
    v = rng.normal(0, 2, len(mdp.R))
    q = planning.q_from_v(v, mdp)
    pi = planning.greedy(q)
    result = {"q": q.tolist(), "pi": pi.tolist(), "v": planning.bellman_optimality(v, mdp).tolist()}
    found["lookAhead"].append(entry(result, world, v.tolist()))
    ties = q.round()
    found["greedy"].append(entry(planning.greedy(ties).tolist(), ties.tolist()))
    values = [np.zeros(len(mdp.R))]
    for _ in range(8):
        values.append(planning.bellman_optimality(values[-1], mdp))
    found["sweeps"].append(entry([one.tolist() for one in values], world, 8))
    stochastic = rng.dirichlet(np.ones(4), len(mdp.R))
    worth = planning.policy_value_exact(mdp, stochastic)
    found["policyValue"].append(entry(worth.tolist(), world, stochastic.tolist()))
    found["policyIteration"].append(entry(_policies(mdp), world))
    return stochastic


def _policies(mdp: Any) -> list[dict[str, Any]]:
    """The policies on the way, which must be those of the solution's policy_iteration."""
    pi = np.full(mdp.R.shape, 0.25)
    last, _, iters = planning.policy_iteration(mdp)
    found = []
    for _ in range(iters):
        v = planning.policy_value_exact(mdp, pi)
        found.append({"pi": pi.tolist(), "v": v.tolist()})
        pi = planning.greedy(planning.q_from_v(v, mdp))
    np.testing.assert_array_equal(pi, last)
    return found


class Watch:
    """A target of the solution, which remembers the table as it was when it was last asked."""

    def __init__(self, name: str) -> None:
        self.name, self.target = name, getattr(control, name)

    def __call__(self, r: float, q_next: np.ndarray, *rest: Any) -> float:
        # A row is a view of the agent's tables, of which these algorithms have one.
        self.table, self.row = q_next.base[0].copy(), q_next.tolist()
        self.a2 = rest[0] if self.name == "sarsa_target" else None
        self.y = float(self.target(r, q_next, *rest))
        return self.y

    def last(self, move: dict[str, Any]) -> dict[str, Any]:
        old = float(self.table[move["s"], move["a"]])
        return {**move, "a2": self.a2, "old": old, "row": self.row, "delta": self.y - old}


def _learning(world: dict[str, Any], algo: str, rng: np.random.Generator, found: Vectors) -> None:
    """The solution's train, episode by episode: a run of n episodes begins with that of n - 1."""
    rates = {"alpha": rng.uniform(0.1, 1), "epsilon": rng.uniform(0, 0.5), "limit": 15}
    choices, dice = rng.random((2, 300)).tolist()
    watch = Watch("sarsa_target" if algo == "sarsa" else "q_target")
    numbers = []
    with patch.object(control, watch.name, watch):
        for episodes in range(1, 5):
            env = Grid(world, rates["limit"], dice)
            told = (rates["alpha"], lambda _: rates["epsilon"], world["gamma"], Told(choices), 0)
            Q = control.train(env, algo, episodes, *told).Q
            numbers.append({"step": env.steps, "value": Q.max(axis=1).tolist()})
    result = {"Q": Q.tolist(), "last": watch.last(env.last), "episodes": numbers}
    found["learn"].append(entry(result, world, algo, rates, env.steps, choices, dice))


def _prediction(world: dict[str, Any], pi: Any, rng: np.random.Generator, found: Vectors) -> None:
    """The solution's td_lambda_ on episodes that follow a policy."""
    rates = {"alpha": rng.uniform(0.05, 0.9), "lam": rng.uniform(0, 1), "limit": 15}
    choices, dice = rng.random((2, 100)).tolist()
    env, told, gamma = Grid(world, rates["limit"], dice), Told(choices), world["gamma"]

    def learn(V: np.ndarray, episode: Any) -> np.ndarray:
        V = V.copy()
        if len(episode.rewards):
            prediction.td_lambda_(V, [episode], rates["lam"], rates["alpha"], gamma, "replacing")
        return V

    V, numbers = np.zeros(len(pi)), []
    for _ in range(4):
        episode, start = _episode(env, pi, told), V
        V = learn(start, episode)
        numbers.append({"step": env.steps, "value": V.tolist()})
    states, actions, rewards, terminated = episode
    before = learn(start, prediction.Episode(states[:-1], actions[:-1], rewards[:-1], False))
    old, after = before[states[-2]], 0.0 if terminated else before[states[-1]]
    delta = rewards[-1] + gamma * after - old
    # A trace fades from the last visit of its state on.
    traces = np.zeros(len(pi))
    for ago, s in reversed(list(enumerate(states[-2::-1]))):
        traces[s] = (gamma * rates["lam"]) ** ago
    last = {**env.last, "old": old, "after": after, "delta": delta}
    result = {"V": V.tolist(), "z": traces.tolist(), "last": last, "episodes": numbers}
    found["tdLambda"].append(entry(result, world, pi.tolist(), rates, env.steps, choices, dice))


def _episode(env: Grid, pi: Any, told: Told) -> Any:
    states, actions, rewards = [env.reset()[0]], [], []
    ended = False
    while not ended:
        actions.append(told.choice(4, pi[states[-1]]))
        s, r, terminated, truncated, _ = env.step(actions[-1])
        states.append(s)
        rewards.append(r)
        ended = terminated or truncated
    arrays = [np.array(one) for one in (states, actions, rewards)]
    return prediction.Episode(*arrays, terminated)


def vectors() -> Vectors:
    """All of them, on DRAWS grids."""
    rng = np.random.default_rng(6)
    names = ("gridMdp", "lookAhead", "greedy", "sweeps", "policyValue", "policyIteration")
    found: Vectors = {name: [] for name in (*names, "learn", "tdLambda")}
    for _ in range(DRAWS):
        world = _world(rng)
        pi = _planning(world, rng, found)
        for algo in ("q_learning", "sarsa"):
            _learning(world, algo, rng, found)
        _prediction(world, pi, rng, found)
    return found
