"""Named tuples and dataclasses that have crossed: their names, their classes and their instances."""

from __future__ import annotations

import collections
import functools
import keyword
from typing import Any

from autograder.isolation.codec.limits import Record, WireError


def check_names(name: Any, names: Any) -> None:
    """Raises WireError for what cannot be the name and the field names of a class."""
    if not isinstance(names, list) or len(names) > 64 or len(set(map(str, names))) != len(names):
        raise WireError("malformed field names")
    for word in (name, *names):
        if (
            not isinstance(word, str)
            or len(word) > 100
            or not word.isidentifier()
            or keyword.iskeyword(word)
        ):
            raise WireError("malformed field names")
    if any(word.startswith("_") for word in names):
        raise WireError("malformed field names")


@functools.lru_cache(maxsize=256)
def named_tuple_class(name: str, names: tuple[str, ...]) -> type:
    """A class for named tuples that this side has none for."""
    return collections.namedtuple(name, names)


@functools.lru_cache(maxsize=256)
def record_class(name: str) -> type[Record]:
    """A class for dataclasses that this side has none for."""
    return type(name, (Record,), {})


def instance(cls: type, names: list[str], values: list[Any]) -> Any:
    """A named tuple or dataclass of the class that this side has under that name; its own constructor is not asked."""
    if issubclass(cls, tuple):
        return tuple.__new__(cls, values)
    if issubclass(cls, Record):
        return cls(**dict(zip(names, values, strict=True)))
    result: Any = object.__new__(cls)
    vars(result).update(zip(names, values, strict=True))
    return result
