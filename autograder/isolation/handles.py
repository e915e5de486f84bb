"""What a test holds of the student's side: handles to objects that stay there, and objects lent the other way.

A handle (`Remote`) forwards attribute, call, item, len and iteration, and nothing else: equality, truth, order,
hash and conversion to a number never ask the student's object, so no object of theirs can declare itself right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from autograder.errors import StudentMisuse

if TYPE_CHECKING:
    from autograder.isolation.client import Bridge

__tracebackhide__ = True


class Remote:
    """A handle to an object on the student's side."""

    __slots__ = ("_bridge", "_callable", "_keep", "_name", "_number", "_type_name")

    def __init__(
        self, bridge: Bridge, number: int, type_name: str, is_callable: bool, keep: bool = False
    ) -> None:
        for name, value in (
            ("_bridge", bridge),
            ("_number", number),
            ("_type_name", type_name),
            ("_callable", is_callable),
        ):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_keep", keep)
        object.__setattr__(self, "_name", "")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known = self._bridge.callables.get((self._number, name, self._keep))
        if known is None:
            known = self._wrap(self._bridge.ask("get", self, name, keep=self._keep))
            if isinstance(known, Remote) and known._callable:
                object.__setattr__(known, "_name", name)
                self._bridge.callables[self._number, name, self._keep] = known
        return known

    def __setattr__(self, name: str, value: Any) -> None:
        self._bridge.ask("set", self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        may_change = self._name.endswith(
            "_"
        )  # the course's convention: only names ending in _ change their arguments
        return self._wrap(
            self._bridge.ask("call", self, list(args), kwargs, keep=self._keep, may_change=may_change)
        )

    def __getitem__(self, key: Any) -> Any:
        return self._wrap(self._bridge.ask("item", self, key, keep=self._keep))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._bridge.ask("setitem", self, key, value)

    def __len__(self) -> int:
        return _plain_int(self._bridge.ask("len", self))

    def __iter__(self) -> Iterator[Any]:
        steps = self._bridge.ask("iter", self)
        while item := self._bridge.ask("next", steps):
            yield item[0]

    def __repr__(self) -> str:
        return f"<the student's {self._type_name}>"

    def __bool__(self) -> bool:
        return True

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and self._bridge is other._bridge and self._number == other._number

    def _wrap(self, value: Any) -> Any:
        if self._keep and isinstance(value, Remote):
            object.__setattr__(value, "_keep", True)
        return value


def _plain_int(value: Any) -> int:
    if not isinstance(value, int):
        raise StudentMisuse("no answer", "a length that is no integer")
    return value


class Exposed:
    """A test's object lent to the student: these methods, these attributes as data, nothing else."""

    def __init__(self, target: Any, methods: tuple[str, ...], data: tuple[str, ...]) -> None:
        self.target = target
        self.methods = methods
        self.data = data
