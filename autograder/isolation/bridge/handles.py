"""Handles: what a test holds of objects that stay on the student's side.

A handle (`Remote`) forwards attribute, call, item, len and iteration, and nothing else. Equality,
truth, order, hash and conversion to a number never ask the student's object. So no object of a
student's can declare itself right.

A handle's public names are those of the student's object. Functions of this module therefore say
what the grader itself wants to know of a handle: `number`, `type_name`, `named`, `kept`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from autograder.errors import StudentMisuse

__tracebackhide__ = True

# The number of the student's module.
MODULE = 0


class Asker(Protocol):
    """What a handle needs of the bridge that it belongs to."""

    def ask(
        self, operation: str, *arguments: Any, keep: bool = False, may_change: bool = False
    ) -> Any:
        """Carry out one operation there; with ``keep`` its result stays there as a handle."""

    def attribute(self, owner: Remote, name: str, keep: bool) -> Any:
        """An attribute of the object behind ``owner``: data or a handle."""

    def assign(self, owner: Remote, name: str, value: Any) -> None:
        """Set an attribute of the object behind ``owner``."""

    def parameters_of(self, module: Remote) -> list[tuple[str, Any]]:
        """Names and mirrors of the parameters of a student's network."""

    def forget_parameters(self, module: Remote) -> None:
        """Have the mirrors of a network made again: their kind has changed there."""


class Remote:
    """A handle to an object on the student's side, by its number there.

    ``name`` is the name under which a test got it: functions whose name ends in ``_`` may change
    their arguments. With ``keep``, results of its calls, items and attributes stay there.
    """

    __slots__ = ("_asker", "_callable", "_keep", "_name", "_number", "_type_name")
    _asker: Asker
    _callable: bool
    _keep: bool
    _name: str
    _number: int
    _type_name: str

    def __init__(
        self,
        asker: Asker,
        number: int,
        type_name: str,
        is_callable: bool,
        keep: bool = False,
        name: str = "",
    ) -> None:
        values = (asker, is_callable, keep, name, number, type_name)
        for slot, value in zip(Remote.__slots__, values, strict=True):
            object.__setattr__(self, slot, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._wrap(self._asker.attribute(self, name, self._keep))

    def __setattr__(self, name: str, value: Any) -> None:
        self._asker.assign(self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        may_change = self._name.endswith("_")
        named_arguments = tuple(kwargs.items())
        result = self._asker.ask(
            "call", self, args, named_arguments, keep=self._keep, may_change=may_change
        )
        return self._wrap(result)

    def __getitem__(self, key: Any) -> Any:
        return self._wrap(self._asker.ask("item", self, key, keep=self._keep))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._asker.ask("setitem", self, key, value)

    def __len__(self) -> int:
        # list() asks everything for its length.
        if self._type_name == "generator":
            raise TypeError("a generator has no length")
        return _plain_int(self._asker.ask("len", self))

    def __iter__(self) -> Iterator[Any]:
        steps, item = self._asker.ask("iter", self)
        while item:
            yield item[0]
            item = self._asker.ask("next", steps)

    def __repr__(self) -> str:
        return f"<the student's {self._type_name}>"

    def __bool__(self) -> bool:
        return True

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Remote):
            return False
        return self._asker is other._asker and self._number == other._number

    def _wrap(self, value: Any) -> Any:
        if self._keep and isinstance(value, Remote) and not value._keep:
            return _copy(value, type(value), keep=True)
        return value


def number(handle: Remote) -> int:
    """The object's number on the student's side."""
    return handle._number


def type_name(handle: Remote) -> str:
    """The name of the object's class."""
    return handle._type_name


def is_callable(handle: Remote) -> bool:
    """Whether the object can be called."""
    return handle._callable


def name_of(handle: Remote) -> str:
    """The name by which it was asked for; empty for what came as an answer."""
    return handle._name


def named(handle: Remote, name: str) -> Remote:
    """A handle that was just received, which from now on knows its name."""
    object.__setattr__(handle, "_name", name)
    return handle


def kept(handle: Remote) -> Remote:
    """The same handle, but results of its calls, items and attributes stay there as handles."""
    return _copy(handle, Remote, keep=True)


def _copy(handle: Remote, kind: type[Remote], keep: bool) -> Remote:
    return kind(
        handle._asker, handle._number, handle._type_name, handle._callable, keep, handle._name
    )


def _plain_int(value: Any) -> int:
    if not isinstance(value, int):
        raise StudentMisuse("no answer", "a length that is not an integer")
    return value
