"""Answers without work: zeros, nan, None, inputs echoed back.

No hidden test may give points for them.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograder.isolation.bridge import worker
from autograder.isolation.bridge.client import Bridge, Loopback
from autograder.isolation.codec import torch_module
from autograder.isolation.ranks import in_process
from autograder.judging.hidden_test import InProcess

# (A leaf of the true result, the inputs) -> what is answered instead.
Answer = Callable[[Any, tuple[Any, ...]], Any]


class Lazy:
    """A submission that does no work: right kinds and shapes, filled with zeros, nan or inputs.

    It is made from the reference's own results, so it is the hardest lazy answer to tell from a
    right one. It never raises, and it changes nothing.
    """

    def __init__(self, reference: InProcess, answer: Answer) -> None:
        self._reference = reference
        self._answer = answer

    def open(self, on_answer: Callable[[Any], None], seconds: float | None) -> Bridge:
        """A bridge to a module with lazy functions and classes; what these call is not lazy."""
        return Bridge(Loopback(self._load()), on_answer)

    def open_ranks(
        self, count: int, on_answers: Sequence[Callable[[Any], None]], seconds: float | None
    ) -> list[Bridge]:
        """Bridges to forked processes, each as lazy."""
        return in_process.open_ranks(self._load, count, on_answers)

    def _load(self) -> worker.Worker:
        true = worker.load(self._reference.files, self._reference.main)
        lazy = worker.load(self._reference.files, self._reference.main)
        for name, value in vars(true.module).items():
            if getattr(value, "__module__", None) != true.module.__name__ or name.startswith("_"):
                continue
            if (
                isinstance(value, type)
                and not issubclass(value, (tuple, Exception))
                and not dataclasses.is_dataclass(value)
            ):
                setattr(lazy.module, name, _lazy_class(value, self._answer))
            elif callable(value) and not isinstance(value, type):
                setattr(lazy.module, name, _lazy_function(value, self._answer))
        return lazy


def _lazy_function(function: Callable[..., Any], answer: Answer) -> Callable[..., Any]:
    def lazy(*args: Any, **kwargs: Any) -> Any:
        try:
            true_args, true_kwargs = copy.deepcopy(
                ([_true(arg) for arg in args], {k: _true(v) for k, v in kwargs.items()})
            )
            result = function(*true_args, **true_kwargs)
        except Exception:
            return answer(None, args)
        return _each_leaf(result, lambda leaf: answer(leaf, args))

    return lazy


def _lazy_class(cls: type, answer: Answer) -> Callable[..., Any]:
    return lambda *args, **kwargs: _LazyObject(cls(*map(_true, args), **kwargs), answer)


def _true(value: Any) -> Any:
    return value._inner if isinstance(value, _LazyObject) else value


class _LazyObject:
    """Wraps a true object and answers lazily; its methods run on copies, so nothing changes."""

    def __init__(self, inner: Any, answer: Answer) -> None:
        self._inner, self._answer = inner, answer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(copy.deepcopy(self._inner), name)
        return (
            _lazy_function(value, self._answer)
            if callable(value)
            else _each_leaf(value, lambda leaf: self._answer(leaf, ()))
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _lazy_function(copy.deepcopy(self._inner), self._answer)(*args, **kwargs)

    def __len__(self) -> int:
        return 0


def _each_leaf(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_each_leaf(item, change) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_each_leaf(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _each_leaf(item, change) for key, item in value.items()}
    return change(value)


def _filled(leaf: Any, number: float) -> Any:
    torch = torch_module()
    if torch is not None and isinstance(leaf, torch.Tensor):
        return torch.full_like(leaf.detach(), number if leaf.is_floating_point() else 0)
    if isinstance(leaf, (np.ndarray, np.generic)):
        return np.full_like(leaf, number if leaf.dtype.kind == "f" else 0)
    if isinstance(leaf, bool):
        return False
    if isinstance(leaf, int):
        return 0
    return number if isinstance(leaf, float) or leaf is None else leaf


def _echo(leaf: Any, inputs: tuple[Any, ...]) -> Any:
    """The first input of the result's kind and shape, otherwise the first input."""
    shape = getattr(leaf, "shape", None)
    alike = [
        value
        for value in inputs
        if type(value) is type(leaf) and getattr(value, "shape", None) == shape
    ]
    return (alike or list(inputs) or [None])[0]


def _wiped(leaf: Any, inputs: tuple[Any, ...]) -> Any:
    """Zeros, and every input set to zero.

    A test must not compute what it expects from an input that the student has had.
    """
    torch = torch_module()
    for value in inputs:
        if isinstance(value, np.ndarray):
            value[...] = 0
        elif torch is not None and isinstance(value, torch.Tensor):
            with torch.no_grad():
                value.zero_()
        elif isinstance(value, list):
            value[:] = [0 for _ in value]
    return _filled(leaf, 0.0)


LAZY: dict[str, Answer] = {
    "zeros": lambda leaf, inputs: _filled(leaf, 0.0),
    "nan": lambda leaf, inputs: _filled(leaf, float("nan")),
    "None": lambda leaf, inputs: None,
    "the inputs": _echo,
    "zeros, with the inputs wiped": _wiped,
}
