"""`lab` in a hidden test: tools that act where the student's code lives."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from autograder.isolation.bridge import environments, handles
from autograder.isolation.bridge.handles import Remote
from autograder.isolation.bridge.loans import Exposed

__tracebackhide__ = True


# Points of a recorded learning curve.
MAX_CURVE = 200


class Tools(Protocol):
    """What a lab needs of its bridge."""

    def ask(self, operation: str, *arguments: Any, keep: bool = False) -> Any:
        """Carry out one operation there."""

    def was_changed(self, value: Any) -> bool:
        """Whether this object of the test was changed in place there without permission."""


class Group(Protocol):
    """Several workers, as ranks/ranks.py has them."""

    def was_changed(self, value: Any) -> bool:
        """Whether this object of the test was changed in one of them without permission."""

    def prints(self) -> str:
        """What they printed."""

    def close(self) -> None:
        """End them."""


class Lab:
    """Tools that act where the student's code lives. docs/AUTHORING.md describes each.

    ``device``: where a GPU part works: "cuda", or "cpu" in an author's rehearsal.
    """

    def __init__(
        self,
        bridge: Tools,
        make_ranks: Callable[[int, str], Any] | None = None,
        device: str = "cuda",
    ) -> None:
        self._bridge = bridge
        self._make_ranks = make_ranks
        self._groups: list[Group] = []
        self.recorded: tuple[float, ...] = ()
        self.rates: dict[str, float] = {}
        self.device = device

    def ranks(self, count: int, backend: str = "gloo") -> Any:
        """``count`` fresh workers of the submission in one process group: a `Ranks`.

        ``backend`` "nccl": rank r has GPU r, and all that is communicated must lie there.
        """
        if self._make_ranks is None:
            raise TypeError("a rank cannot have ranks")
        self._groups.append(self._make_ranks(count, backend))
        return self._groups[-1]

    def close(self) -> str:
        """End the ranks; returns what they printed."""
        printed = ""
        while self._groups:
            group = self._groups.pop()
            group.close()
            printed += group.prints()
        return printed

    def was_changed(self, value: Any) -> bool:
        """Whether this object of the test was changed there in place without permission."""
        return self._bridge.was_changed(value) or any(
            group.was_changed(value) for group in self._groups
        )

    def curve(self, values: Any) -> None:
        """Record how a training went, say the returns of its episodes, for the reports.

        The first call counts; it costs no points. ``values``: 1-d numbers of any length. More
        than 200 are averaged down to 200, and what is not finite is left out.
        """
        if not self.recorded:
            # Other tests say what returns must be.
            with contextlib.suppress(TypeError, ValueError):
                self.recorded = _thinned(values)

    def rate(self, name: str, value: float) -> None:
        """Record how fast something went, say "tokens per second", for student and leaderboard.

        It costs no points. The test measures the time here, because code there can claim anything.
        Raises ValueError for a rate that is negative or not finite.
        """
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"a rate must be a number that is not negative, but {name} is {value}")
        self.rates[name] = float(f"{value:.6g}")

    def seed(self, seed: int) -> None:
        """Seed the global generators of random, numpy and torch there."""
        self._bridge.ask("seed", seed)

    def global_rng_state(self) -> str:
        """A digest of the global generators' state there."""
        return str(self._bridge.ask("rng_state"))

    def kept(self, thing: Any) -> Any:
        """The same handle, but results of its calls, items and attributes stay there as handles."""
        if not isinstance(thing, Remote):
            raise TypeError("lab.kept takes a handle (the student's object or function)")
        return handles.kept(thing)

    def value(self, thing: Any) -> Any:
        """What a handle stands for, as data; data pass through."""
        return self._bridge.ask("value", thing) if isinstance(thing, Remote) else thing

    def make(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """Call a library's class or function there and keep the result there."""
        return self._bridge.ask("make", path, args, tuple(kwargs.items()), keep=True)

    def expose(self, target: Any, *methods: str, data: tuple[str, ...] = ()) -> Exposed:
        """Lend an object of the test: these methods, and these attributes as data or handles."""
        return Exposed(target, methods, data)

    def lend(
        self, environment: Any, budget: int | None = None
    ) -> tuple[Exposed, environments.LentEnvironment]:
        """Lend a Gymnasium environment of the test: (what to pass to the student, its counter).

        ``budget``: environment steps that may be taken; the one after raises RuntimeError there.
        """
        spaces = self._spaces(environment, *environments.SPACES)
        lent = environments.LentEnvironment(environment, budget, spaces)
        return self.expose(lent, "reset", "step", "close", data=environments.SPACES), lent

    def lend_vector(
        self, environment: Any, budget: int | None = None
    ) -> tuple[Exposed, environments.LentVectorEnvironment]:
        """The same for a vector environment, whose autoreset mode must be SAME_STEP.

        One call of step counts num_envs steps. Raises TypeError for another mode.
        """
        if environment.metadata.get("autoreset_mode") is not environments.same_step():
            raise TypeError("only a vector environment in SAME_STEP mode can be lent")
        spaces = self._spaces(environment, *environments.SINGLE_SPACES)
        for name in environments.SPACES:
            batched = (spaces[f"single_{name}"], int(environment.num_envs))
            spaces[name] = self.make("gymnasium.vector.utils.batch_space", *batched)
        lent = environments.LentVectorEnvironment(environment, budget, spaces)
        return self.expose(lent, "reset", "step", "close", data=("num_envs", *spaces)), lent

    def practice(self, name: str, budget: int, num_envs: int | None = None) -> Any:
        """A handle to one of Gymnasium's environments beside the student's code.

        It is for training that the test judges by the trained policy alone. It behaves like a lent
        one, or with ``num_envs`` like a lent vector, and a step costs what it costs without a wall.
        Its ``steps`` show honest mistakes only: code that wants to cheat could train elsewhere and
        for longer.
        """
        return self.make(
            "autograder.isolation.bridge.environments.practice", name, budget, num_envs
        )

    def _spaces(self, environment: Any, *names: str) -> dict[str, Any]:
        """An environment's spaces, made again over there."""
        spaces = {}
        for name in names:
            path, arguments = environments.describe(getattr(environment, name))
            spaces[name] = self.make(path, **arguments)
        return spaces


def _thinned(values: Any) -> tuple[float, ...]:
    numbers = np.asarray(values, dtype=float).ravel()
    numbers = numbers[np.isfinite(numbers)]
    pieces = np.array_split(numbers, min(len(numbers), MAX_CURVE)) if len(numbers) else []
    return tuple(float(f"{piece.mean():.6g}") for piece in pieces)
