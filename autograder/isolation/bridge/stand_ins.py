"""Stand-ins, on the student's side, for what a test has lent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from autograder.isolation.bridge.environments import known_to_gymnasium


class CallsBack(Protocol):
    """What can call a method of a lent object: the worker."""

    def call_back(
        self, loan: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Have the grader call it."""


@dataclass(frozen=True)
class Loan:
    """A grader's object by its number, the methods that may be called, and attributes as data."""

    id: int
    methods: tuple[str, ...]
    data: dict[str, Any]


class Lent:
    """The stand-in for an object of the test: its data, and methods that run in the grader."""

    def __init__(self, loan: Loan, worker: CallsBack) -> None:
        self._loan = loan
        self._worker = worker
        vars(self).update(loan.data)
        for method in loan.methods:
            if method != "__call__":
                setattr(self, method, _method(worker, loan.id, method))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._worker.call_back(self._loan.id, "__call__", args, kwargs)


def stand_in(loan: Loan, worker: CallsBack) -> Any:
    """The stand-in for a lent object; a plain function for a function."""
    if loan.methods == ("__call__",) and not loan.data:
        return _method(worker, loan.id, "__call__")
    if {"reset", "step"} <= set(loan.methods):
        return known_to_gymnasium(Lent, many="num_envs" in loan.data)(loan, worker)
    return Lent(loan, worker)


def number_of(value: Lent) -> int:
    """The number of the loan behind a stand-in."""
    return value._loan.id


def _method(worker: CallsBack, loan: int, name: str) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        return worker.call_back(loan, name, args, kwargs)

    method.__name__ = name
    return method
