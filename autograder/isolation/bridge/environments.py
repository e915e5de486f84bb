"""Gymnasium environments for the student's code: lent ones, and ones to practise in.

If a test grades the steps themselves, it lends an environment. That runs in the grader, which
counts the steps. Each step crosses the wall twice, which costs 0.06 ms in addition to the step.

If a test grades only the trained policy, the student's code practises in an environment in its own
process. Code that wants to cheat could change this environment, or train in another one. That gains
nothing, because the test evaluates the policy itself.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, TypeVar

import numpy as np

Kind = TypeVar("Kind")

SPACES = ("action_space", "observation_space")
SINGLE_SPACES = ("single_action_space", "single_observation_space")

# This many resets are allowed without a step between them. Honest code needs at most two; a loop of
# resets would go on until its time is up.
RESETS = 1000


class _Lent:
    """What a student may do with an environment, checked and counted.

    Attributes:
        steps: environment steps so far, over all environments. Where it is lent, nothing on the
            student's side can change it.
    """

    def __init__(self, environment: Any, budget: int | None, spaces: dict[str, Any]) -> None:
        self._environment = environment
        self._budget = budget
        # The number of resets since the last step.
        self._resets = 0
        self.steps = 0
        for name, space in spaces.items():
            setattr(self, name, space)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode (in each environment): (observation, {}).

        Raises ValueError for options: they could choose where an episode begins.
        """
        if options:
            raise ValueError("a lent environment takes no options: call reset() or reset(seed=...)")
        self._resets = one_more_reset(self._resets)
        observation, _ = self._environment.reset(seed=seed)
        return observation, {}

    def close(self) -> None:
        """Does nothing: the test owns the environment."""

    def _afford(self, steps: int) -> None:
        if self._budget is not None and self.steps + steps > self._budget:
            raise RuntimeError(f"the budget of {self._budget} environment steps is used up")

    def _count(self, steps: int) -> None:
        self.steps += steps
        self._resets = 0


class LentEnvironment(_Lent):
    """A single environment.

    Attributes:
        episodes: how many have begun.
    """

    def __init__(self, environment: Any, budget: int | None, spaces: dict[str, Any]) -> None:
        super().__init__(environment, budget, spaces)
        self.episodes = 0

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode: (observation, {}). Raises ValueError for options."""
        result = super().reset(seed, options)
        self.episodes += 1
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """(observation, reward, terminated, truncated, {}).

        Raises ValueError for an impossible action, RuntimeError past the budget.
        """
        self._afford(1)
        space = self._environment.action_space
        is_number = isinstance(action, (np.ndarray, np.integer)) and np.ndim(action) == 0
        plain = int(action) if is_number and space.shape == () else action
        if not space.contains(plain):
            raise ValueError(f"the action is not in {space}")
        self._count(1)
        observation, reward, terminated, truncated, _ = self._environment.step(plain)
        return observation, float(reward), bool(terminated), bool(truncated), {}


class LentVectorEnvironment(_Lent):
    """A vector environment in SAME_STEP mode: one call is a step of all its environments.

    What ended is in ``info["final_obs"]``, as in Gymnasium, but as one dense array: rows outside
    the mask ``info["_final_obs"]`` are zero.
    """

    def __init__(self, environment: Any, budget: int | None, spaces: dict[str, Any]) -> None:
        super().__init__(environment, budget, spaces)
        self.num_envs = int(environment.num_envs)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """(observations, rewards, terminated, truncated, info), each of num_envs rows.

        Raises ValueError for impossible actions, RuntimeError past the budget.
        """
        self._afford(self.num_envs)
        actions, space = np.asarray(actions), self._environment.single_action_space
        # Every integer type counts for discrete actions, every float for others.
        kinds = "iu" if np.issubdtype(space.dtype, np.integer) else "f"
        if actions.shape != (self.num_envs, *space.shape) or actions.dtype.kind not in kinds:
            raise ValueError(
                f"actions must be an array of {self.num_envs} actions, each in {space}"
            )
        actions = actions.astype(space.dtype)
        if not all(space.contains(action) for action in actions):
            raise ValueError(f"an action is not in {space}")
        self._count(self.num_envs)
        observations, rewards, terminated, truncated, info = self._environment.step(actions)
        return observations, rewards, terminated, truncated, _final_observations(info, observations)


def practice(
    name: str, budget: int, num_envs: int | None = None
) -> LentEnvironment | LentVectorEnvironment:
    """One of Gymnasium's environments that behaves like a lent one.

    With ``num_envs`` it is a vector of as many, in SAME_STEP mode.
    """
    import gymnasium

    if num_envs is None:
        environment: Any = gymnasium.make(name)
        spaces = {space: getattr(environment, space) for space in SPACES}
        single: type[LentEnvironment] = known_to_gymnasium(LentEnvironment)
        return single(environment, budget, spaces)
    mode = {"autoreset_mode": same_step()}
    environment = gymnasium.make_vec(name, num_envs, vectorization_mode="sync", vector_kwargs=mode)
    spaces = {space: getattr(environment, space) for space in (*SPACES, *SINGLE_SPACES)}
    vector: type[LentVectorEnvironment] = known_to_gymnasium(LentVectorEnvironment, many=True)
    return vector(environment, budget, spaces)


def known_to_gymnasium(kind: type[Kind], many: bool = False) -> type[Kind]:
    """The class as an environment of Gymnasium, or of ``many``: its wrappers take nothing else.

    Where nobody has imported Gymnasium yet, it is the class itself.
    """
    if "gymnasium" not in sys.modules:
        return kind
    # A class is hashable, which the checker of types does not know of a type variable.
    hashable: Any = kind
    made: type[Kind] = _environment(hashable, many)
    return made


@cache
def _environment(kind: Any, many: bool) -> Any:
    import gymnasium

    body: dict[str, Any] = {"__module__": kind.__module__}
    if not many:
        return type(kind.__name__, (kind, gymnasium.Env), body)
    body["metadata"] = {"autoreset_mode": same_step()}
    # A vector environment closes itself when it is forgotten, and a lent one would ask the grader.
    body["__del__"] = lambda self: None
    return type(kind.__name__, (kind, gymnasium.vector.VectorEnv), body)


def one_more_reset(resets: int) -> int:
    """One more than ``resets``. Raises RuntimeError if there are too many in a row."""
    if resets >= RESETS:
        raise RuntimeError(f"reset() was called {RESETS} times in a row, and step() never")
    return resets + 1


def _final_observations(info: dict[str, Any], observations: Any) -> dict[str, Any]:
    """The last observations of the episodes that ended in a step, dense: objects cannot cross."""
    if "final_obs" not in info:
        return {}
    mask = np.asarray(info["_final_obs"], bool)
    final = np.zeros_like(observations)
    final[mask] = np.stack([info["final_obs"][index] for index in np.flatnonzero(mask)])
    return {"final_obs": final, "_final_obs": mask}


def describe(space: Any) -> tuple[str, dict[str, Any]]:
    """A space as its class's dotted path and its constructor's arguments.

    Raises TypeError for other spaces than Discrete and Box.
    """
    name = type(space).__name__
    if name == "Discrete":
        return "gymnasium.spaces.Discrete", {"n": int(space.n), "start": int(space.start)}
    if name == "Box":
        return "gymnasium.spaces.Box", {
            "low": space.low,
            "high": space.high,
            "shape": tuple(space.shape),
            "dtype": space.dtype,
        }
    raise TypeError(f"a {name} space cannot be lent: use lab.make for the environment")


def same_step() -> Any:
    """Gymnasium's AutoresetMode.SAME_STEP (imported late: Gymnasium may not be there)."""
    from gymnasium.vector import AutoresetMode

    return AutoresetMode.SAME_STEP
