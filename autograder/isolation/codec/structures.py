"""Named tuples and dataclasses that have crossed: names, classes and instances."""

from __future__ import annotations

import collections
import functools
import keyword
import types
from typing import Any

from autograder.isolation.codec.limits import WireError


class Fields(types.SimpleNamespace):
    """A dataclass of the other side: its fields as data, nothing else of it."""


def check_names(name: Any, names: Any) -> None:
    """Raises WireError for what cannot be the name and the field names of a class."""
    if not isinstance(names, list) or len(names) > 64 or len(set(map(str, names))) != len(names):
        raise WireError("malformed field names")
    if not all(map(_is_a_name, (name, *names))) or any(word.startswith("_") for word in names):
        raise WireError("malformed field names")


def _is_a_name(word: Any) -> bool:
    is_short = isinstance(word, str) and len(word) <= 100
    return is_short and word.isidentifier() and not keyword.iskeyword(word)


@functools.lru_cache(maxsize=256)
def named_tuple_class(name: str, names: tuple[str, ...]) -> type:
    """A class for named tuples that this side has none for."""
    return collections.namedtuple(name, names)


@functools.lru_cache(maxsize=256)
def fields_class(name: str) -> type[Fields]:
    """A class for dataclasses that this side has none for."""
    return type(name, (Fields,), {})


def instance(cls: type, names: list[str], values: list[Any]) -> Any:
    """A named tuple or dataclass of ``cls``; its own constructor is not called."""
    if issubclass(cls, tuple):
        return tuple.__new__(cls, values)
    if issubclass(cls, Fields):
        return cls(**dict(zip(names, values, strict=True)))
    result: Any = object.__new__(cls)
    vars(result).update(zip(names, values, strict=True))
    return result
