"""A submission's modules in a kept worker: imported again for the next test, unless they are still as their import left them.

Importing is a third of what most tests cost a worker. Functions, classes and constants can be looked through in a tenth of that time, to see
that nothing was left in them. Where a module holds anything that remembers out of sight (arrays, networks, caches, instances of classes), or
where importing it sets generators or torch's default dtype, it is imported again.
"""

from __future__ import annotations

import contextlib
import sys
import types
from _collections import _tuplegetter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from autograder.isolation import codec
from autograder.isolation.bridge import generators, worker

MAX_PARTS = 3000  # to look through more takes as long as to import them again

PLAIN = frozenset((
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    range,
    type(None),
    type(Ellipsis),
    types.ModuleType,
    types.CodeType,
    types.BuiltinFunctionType,
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    _tuplegetter,  # a named tuple's fields
    np.ufunc,
))  # fmt: skip
PLAIN_BY_NAME = ("torch.dtype", "torch.device", "__future__._Feature")
UNREAD = (  # nobody keeps a state there
    "__annotations__",
    "__builtins__",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__loader__",
    "__spec__",
)


class Modules:
    """The modules of one submission in one worker. ``load`` imports them and makes the Worker that answers for them."""

    def __init__(self, load: Callable[[], worker.Worker]) -> None:
        self._load = load
        self._imported: worker.Worker | None = None
        self._parts: list[Any] | None = None

    def fresh(self) -> worker.Worker:
        """A Worker that knows nothing of an earlier test."""
        if self._imported is not None and self._untouched(self._imported):
            return self._imported.again()
        state = _process_state()
        self._imported = self._load()
        quietly = self._imported.failure is None and _process_state() == state
        self._parts = parts(self._imported.modules()) if quietly else None
        return self._imported

    def _untouched(self, imported: worker.Worker) -> bool:
        before = self._parts
        after = None if before is None else parts(imported.modules())
        if before is None or after is None or len(before) != len(after):
            return False
        return all(one is other for one, other in zip(before, after, strict=True))


def _process_state() -> list[Any]:
    """What `generators.begin_anew` sets back, and an import may set."""
    torch = codec.torch_module()
    return [*generators.states(), torch and torch.get_default_dtype()]


def parts(modules: Sequence[types.ModuleType]) -> list[Any] | None:
    """All that can change in the modules, to be compared by identity; None if there is something that cannot be looked into.

    The list keeps its parts alive, so no new object can have the identity of an old one.
    """
    look = _Look({id(vars(module)) for module in modules})
    with contextlib.suppress(
        Exception
    ):  # whatever the submission's metaclasses and properties raise
        for module in modules:
            look.through(vars(module))
        return look.found
    return None


class _Unknown(Exception):
    """Something that may remember and cannot be looked into."""


class _Look:
    """One look through the modules with these namespaces."""

    def __init__(self, namespaces: set[int]) -> None:
        self.found: list[Any] = []
        self._namespaces = namespaces
        self._seen: set[int] = set()

    def through(self, values: Mapping[Any, Any]) -> None:
        """Add the names and values of a mapping. Raises _Unknown."""
        for name, value in values.items():
            if name not in UNREAD:
                self.found.append(name)
                self._into(value)

    def _into(self, value: Any) -> None:
        """Add a value and what can change in it."""
        self.found.append(value)
        kind = type(value)
        if kind in PLAIN or id(value) in self._seen:
            return
        if len(self.found) > MAX_PARTS:
            raise _Unknown
        self._seen.add(id(value))
        if kind is types.FunctionType:
            self._function(value)
        elif isinstance(value, type):
            if self._is_own(value):
                self.through(value.__dict__)
        elif kind is dict:
            self.through(value)
        elif kind in (list, tuple, set, frozenset):
            self._each(value)
        elif kind in (staticmethod, classmethod):
            self._into(value.__func__)
        elif kind is types.MethodType:
            self._each((value.__func__, value.__self__))
        elif kind.__module__ == "torch.autograd.grad_mode":  # @torch.no_grad()
            self.through(vars(value))
        elif kind is property:
            self._each((value.fget, value.fset, value.fdel))
        elif not self._is_plain(kind):
            raise _Unknown

    def _each(self, values: Any) -> None:
        for value in values:
            self._into(value)

    def _function(self, function: types.FunctionType) -> None:
        """Its code, its defaults, its attributes and what it encloses: a library's function may enclose one of the submission's."""
        if function.__closure__ is None and id(function.__globals__) not in self._namespaces:
            return
        self._each((function.__code__, function.__defaults__, function.__kwdefaults__))
        self.through(vars(function))
        self._each([cell.cell_contents for cell in function.__closure__ or ()])

    def _is_own(self, cls: type) -> bool:
        module = sys.modules.get(cls.__module__)
        return module is not None and id(vars(module)) in self._namespaces

    @staticmethod
    def _is_plain(kind: type) -> bool:
        name = f"{kind.__module__}.{kind.__name__}"
        return (
            name in PLAIN_BY_NAME
            or kind.__module__ == "typing"
            or issubclass(kind, (np.dtype, types.GenericAlias))
        )
