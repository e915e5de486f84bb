"""The student's objects by number: what stays on the student's side, and what crosses as data.

Classes with their own metaclass and names beyond ASCII are not reported. A test that uses them asks
for them by name, as for any other attribute.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
from typing import Any

import numpy as np

from autograder.isolation import codec
from autograder.isolation.bridge.handles import MODULE

# The number of functions and classes of a module that loading reports.
MAX_REPORTED = 1000

DATA = (
    bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range,
    slice, type(None), type(Ellipsis), np.ndarray, np.generic, np.dtype, np.random.Generator,
    codec.Fields,
)  # fmt: skip


def is_data(value: Any) -> bool:
    """True for what crosses by value; a dataclass does unless it has methods of its own."""
    if isinstance(value, DATA):
        return True
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        return False
    return not any(
        inspect.isfunction(member)
        for name, member in vars(type(value)).items()
        if not name.startswith("__")
    )


class Objects:
    """Numbers for the objects that the grader has handles to; number 0 is the student's module."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module
        self._objects: dict[int, Any] = {MODULE: module}
        self._numbers: dict[int, int] = {id(module): MODULE}

    def __getitem__(self, number: int) -> Any:
        return self._objects[number]

    def number(self, value: Any) -> int:
        """The number of an object; a new one if it has none."""
        if id(value) not in self._numbers:
            number = len(self._objects)
            self._objects[number], self._numbers[id(value)] = value, number
        return self._numbers[id(value)]

    def reference(self, value: Any) -> list[Any]:
        """The node of a handle to this object."""
        torch = codec.torch_module()
        is_module = torch is not None and isinstance(value, torch.nn.Module)
        return ["h", self.number(value), type(value).__name__[:100], callable(value), is_module]

    def callables(self) -> list[Any]:
        """The node of a dict of handles: the module's public functions and classes, by name."""
        found = {
            name: value
            for name, value in list(vars(self._module).items())
            if type(name) is str and name.isascii() and not name.startswith("_")
            if type(value) is types.FunctionType or type(value) is type
        }
        names = list(found)[:MAX_REPORTED]
        return ["d", names, [self.reference(found[name]) for name in names]]
