"""What a test holds of the student's side: handles to objects that stay there, and objects lent the other way.

A handle (`Remote`) forwards attribute, call, item, len and iteration, and nothing else: equality, truth, order,
hash and conversion to a number never ask the student's object, so no object of theirs can declare itself right.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from autograder.errors import StudentMisuse

if TYPE_CHECKING:
    from autograder.isolation.bridge.client import Bridge

__tracebackhide__ = True

MODULE = 0  # the number of the student's module
Names = dict[
    tuple[str, str], str
]  # (type of the owner, "" for the module; attribute) -> type of the attribute
METHODS = (
    "method",
    "builtin_function_or_method",
)  # types of what any object of a type has under the same name
NO_TYPES = ("type", "module", "function")  # types whose objects have little in common


class Remote:
    """A handle to an object on the student's side: by its number there, or as the attribute ``name`` of the object with number ``owner``.

    What is known by name costs no question of its own. A handle is made so when an earlier test of the same files has asked for the same
    function or class of their module, or for the same method of an object of the same type.
    """

    __slots__ = ("_bridge", "_callable", "_keep", "_name", "_number", "_owner", "_type_name")

    def __init__(
        self,
        bridge: Bridge,
        number: int | None,
        type_name: str,
        is_callable: bool,
        keep: bool = False,
        name: str = "",
        owner: int | None = None,
    ) -> None:
        values = (bridge, is_callable, keep, name, number, owner, type_name)
        for slot, value in zip(Remote.__slots__, values, strict=True):
            object.__setattr__(self, slot, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        key = (self._number, self._owner, self._name, name, self._keep)
        known = self._bridge.callables.get(key)
        if known is None:
            known = self._by_name(name) or self._wrap(
                self._bridge.ask("get", self, name, keep=self._keep)
            )
            if isinstance(known, Remote) and known._callable:
                object.__setattr__(known, "_name", name)
                self._bridge.callables[key] = known
                self._remember(name, known)
        return known

    def _by_name(self, name: str) -> Remote | None:
        """The attribute without asking, if it is known. It is recorded all the same: runs are compared whether they had to ask or not."""
        type_name = self._bridge.names.get((self._kind(), name))
        if self._number is None or type_name is None:
            return None
        handle = Remote(self._bridge, None, type_name, True, self._keep, name, self._number)
        self._bridge.record(("ok", handle, []))
        return handle

    def _remember(self, name: str, known: Remote) -> None:
        """What will be there in the next test too: functions and classes of the module, methods of a type's objects."""
        is_stable = self._number == MODULE or (
            known._type_name in METHODS and self._type_name not in NO_TYPES
        )
        if is_stable and type(known) is Remote:  # a network has more than a name
            self._bridge.names[self._kind(), name] = known._type_name

    def _kind(self) -> str:
        return "" if self._number == MODULE else self._type_name

    def _identify(self) -> int:
        """The number, asked for if there is only a name."""
        if self._number is None:
            found = self._bridge.ask("identify", self, keep=True)
            if not isinstance(found, Remote):
                raise StudentMisuse("no answer", "a function that is none")
            object.__setattr__(self, "_number", found._number)
        number: int = self._number
        return number

    def __setattr__(self, name: str, value: Any) -> None:
        for keep in (False, True):
            key = (self._number, self._owner, self._name, name, keep)
            if (earlier := self._bridge.callables.pop(key, None)) is not None:
                earlier._identify()  # whoever holds it means what the name stood for until now
        self._bridge.names.pop((self._kind(), name), None)
        self._bridge.ask("set", self, name, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # the course's convention: only names ending in _ change their arguments
        may_change = self._name.endswith("_")
        named = tuple(kwargs.items())
        return self._wrap(
            self._bridge.ask("call", self, args, named, keep=self._keep, may_change=may_change)
        )

    def __getitem__(self, key: Any) -> Any:
        return self._wrap(self._bridge.ask("item", self, key, keep=self._keep))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._bridge.ask("setitem", self, key, value)

    def __len__(self) -> int:
        if self._type_name == "generator":  # list() asks everything for its length
            raise TypeError("a generator has no length")
        return _plain_int(self._bridge.ask("len", self))

    def __iter__(self) -> Iterator[Any]:
        steps, item = self._bridge.ask("iter", self)
        while item:
            yield item[0]
            item = self._bridge.ask("next", steps)

    def __repr__(self) -> str:
        return f"<the student's {self._type_name}>"

    def __bool__(self) -> bool:
        return True

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Remote) or self._bridge is not other._bridge:
            return False
        return self is other or self._identify() == other._identify()

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
