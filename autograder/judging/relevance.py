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
from types import FrameType
from typing import Any


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
