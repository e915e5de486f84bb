"""What the grader may ask a worker to do with the student's objects, by the operation's name."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from typing import Any

from autograder.isolation.bridge import generators

_END = object()


class Steps:
    """Wraps an iterator, so that stepping through a generator is a handle like any other object."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator


class Operations:
    """The operations that need nothing but their arguments.

    Arguments and keyword arguments of calls are tuples, not a list and a dict: what is mutable is
    pictured before and after each call, in case the student's code changes it.
    """

    def _op_get(self, target: Any, name: str) -> Any:
        return getattr(target, name)

    def _op_set(self, target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)

    def _op_call(
        self, target: Any, args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]
    ) -> Any:
        return target(*args, **dict(kwargs))

    def _op_method(self, target: Any, name: str, args: tuple[Any, ...]) -> Any:
        return getattr(target, name)(*args)

    def _op_item(self, target: Any, key: Any) -> Any:
        return target[key]

    def _op_setitem(self, target: Any, key: Any, value: Any) -> None:
        target[key] = value

    def _op_len(self, target: Any) -> int:
        return len(target)

    def _op_iter(self, target: Any) -> list[Any]:
        """[steps, what "next" would answer]: after an iterator, its first item is asked for."""
        steps = Steps(iter(target))
        return [steps, self._op_next(steps)]

    def _op_next(self, target: Steps) -> list[Any]:
        """[item], or [] at the end."""
        return [item for item in [next(target.iterator, _END)] if item is not _END]

    def _op_value(self, target: Any) -> Any:
        return target

    def _op_make(
        self, path: str, args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]
    ) -> Any:
        """A library's object or function by its dotted path, called."""
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)(*args, **dict(kwargs))

    def _op_seed(self, number: int) -> None:
        generators.seed(number)

    def _op_rng_state(self) -> str:
        return hashlib.sha256(b"".join(generators.states())).hexdigest()
