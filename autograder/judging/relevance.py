"""Which broken variants a test can tell from the solution.

It can tell those that differ in a function that the test calls. The others do exactly what the
solution does, so they need not be run. That is more than half of all runs.
"""

from __future__ import annotations

import ast
import mmap
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any


def offered(text: str) -> list[str]:
    """The functions and classes of a module whose names do not begin with an underscore."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    body = ast.parse(text).body
    return [node.name for node in body if isinstance(node, kinds) and node.name[0] != "_"]


@contextmanager
def calls(file: str, text: str) -> Iterator[set[str]]:
    """The qualified names of the functions of ``file`` that are called in this context.

    ``file`` is a name without folders, ``text`` what it holds. Calls in processes that are forked
    in this context, such as ranks, are known when it ends.
    """
    names: set[str] = set()
    # Shared with forked processes, which mark the first line of what they call.
    lines = mmap.mmap(-1, text.count("\n") + 2)

    # Returning None switches off the tracing of lines inside the call.
    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if os.path.basename(code.co_filename) == file:
            names.add(_qualified_name(code))
            if code.co_firstlineno < len(lines):
                lines[code.co_firstlineno] = 1

    before = sys.gettrace()
    threading.settrace(note)
    # setprofile would also report every function in C and every return.
    sys.settrace(note)
    try:
        yield names
    finally:
        sys.settrace(before)
        threading.settrace(before)
        names.update(name for line, name in _first_lines(text) if lines[line])


def _qualified_name(code: CodeType) -> str:
    return code.co_qualname.partition(".<locals>")[0]


@lru_cache(maxsize=8)
def _first_lines(text: str) -> list[tuple[int, str]]:
    """The first line of everything that can be called in a module, and its qualified name."""
    left, found = [compile(text, "module", "exec")], []
    while left:
        code = left.pop()
        found.append((code.co_firstlineno, _qualified_name(code)))
        left += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return found


def can_tell(called: set[str], differ: frozenset[str] | None) -> bool:
    """Whether a run that called these functions may end differently if ``differ`` differ."""
    return differ is None or not called.isdisjoint(differ)
