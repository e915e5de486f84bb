"""Which broken variants a test can tell from the solution.

It can tell those that differ in a function that the test calls. The others do exactly what the
solution does, so they need not be run. That is more than half of all runs.
"""

from __future__ import annotations

import ast
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import FrameType
from typing import Any

# Qualified name -> what the function does.
Functions = dict[str, str]


def changed(solution: str, broken: str) -> frozenset[str] | None:
    """Qualified names of the functions that differ; None if more than their bodies differs."""
    (frame, before), (other_frame, after) = _taken_apart(solution), _taken_apart(broken)
    if frame != other_frame:
        return None
    return frozenset(name for name in before if before[name] != after[name])


def offered(text: str) -> list[str]:
    """The functions and classes of a module whose names do not begin with an underscore."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    body = ast.parse(text).body
    return [node.name for node in body if isinstance(node, kinds) and node.name[0] != "_"]


@contextmanager
def calls(file: str) -> Iterator[set[str]]:
    """The qualified names of the functions of ``file`` that are called in this context.

    ``file`` is a name without folders.
    """
    names: set[str] = set()

    # Returning None switches off the tracing of lines inside the call.
    def note(frame: FrameType, event: str, argument: Any) -> None:
        if os.path.basename(frame.f_code.co_filename) == file:
            names.add(frame.f_code.co_qualname.partition(".<locals>")[0])

    before = sys.gettrace()
    threading.settrace(note)
    # setprofile would also report every function in C and every return.
    sys.settrace(note)
    try:
        yield names
    finally:
        sys.settrace(before)
        threading.settrace(before)


def can_tell(called: set[str], differ: frozenset[str] | None) -> bool:
    """Whether a run that called these functions may end differently if ``differ`` differ."""
    return differ is None or not called.isdisjoint(differ)


# The solution is compared with every variant, so it stays in the cache.
@lru_cache(maxsize=2)
def _taken_apart(text: str) -> tuple[str, Functions]:
    """A module without the bodies of its functions and methods, and these bodies."""
    module = ast.parse(text)
    functions: Functions = {}
    _empty(module, "", functions)
    return ast.dump(module), functions


def _empty(scope: ast.Module | ast.ClassDef, prefix: str, functions: Functions) -> None:
    for node in scope.body:
        if isinstance(node, ast.ClassDef):
            _empty(node, f"{prefix}{node.name}.", functions)
        elif isinstance(node, ast.FunctionDef):
            # If two have one name (a property and its setter), either may be called.
            functions[prefix + node.name] = functions.get(prefix + node.name, "") + ast.dump(
                ast.Module(node.body, [])
            )
            node.body = []
