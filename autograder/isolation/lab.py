"""`lab` in a hidden test: tools that act where the student's code lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autograder.isolation import environments
from autograder.isolation.handles import Exposed, Remote

if TYPE_CHECKING:
    from autograder.isolation.client import Bridge

__tracebackhide__ = True


MAX_CURVE = 200  # points of a recorded learning curve


class Lab:
    """Tools that act where the student's code lives. docs/AUTHORING.md describes each."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.recorded: tuple[float, ...] = ()

    def curve(self, values: Any) -> None:
        """Record how a training went (say the returns of its episodes), for the reports. The first call counts; it costs no points.

        ``values``: 1-d numbers of any length; more than 200 are averaged down to 200, and what is not finite is left out.
        """
        if not self.recorded:
            self.recorded = _thinned(values)

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
        kept = Remote(self._bridge, thing._number, thing._type_name, thing._callable, keep=True)
        object.__setattr__(kept, "_name", thing._name)
        return kept

    def value(self, thing: Any) -> Any:
        """What a handle stands for, as data; data pass through."""
        return self._bridge.ask("value", thing) if isinstance(thing, Remote) else thing

    def make(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """Call a library's class or function there and keep the result there."""
        return self._bridge.ask("make", path, list(args), kwargs, keep=True)

    def expose(self, target: Any, *methods: str, data: tuple[str, ...] = ()) -> Exposed:
        """Lend an object of the test to the student: these methods, and these attributes sent as data or handles."""
        return Exposed(target, methods, data)

    def lend(
        self, environment: Any, budget: int | None = None
    ) -> tuple[Exposed, environments.LentEnvironment]:
        """Lend a Gymnasium environment of the test: what to pass to the student, and the counter that stays here.

        ``budget``: environment steps that may be taken; the one after raises RuntimeError there.
        """
        spaces = {}
        for name in ("action_space", "observation_space"):
            path, arguments = environments.describe(getattr(environment, name))
            spaces[name] = self.make(path, **arguments)
        lent = environments.LentEnvironment(environment, budget, spaces)
        return self.expose(lent, "reset", "step", "close", data=("action_space", "observation_space")), lent


def _thinned(values: Any) -> tuple[float, ...]:
    numbers = np.asarray(values, dtype=float).ravel()
    numbers = numbers[np.isfinite(numbers)]
    pieces = np.array_split(numbers, min(len(numbers), MAX_CURVE)) if len(numbers) else []
    return tuple(float(f"{piece.mean():.6g}") for piece in pieces)
