"""Exceptions of the student's code: described in the worker, rebuilt in the grader.

They are rebuilt as builtin classes only.
"""

from __future__ import annotations

import builtins
import functools
import linecache
import os
from typing import Any

from autograder.errors import Frame, StudentError
from autograder.isolation import cells
from autograder.isolation.codec.limits import WireError

# At most this many characters of an exception's message cross.
MAX_TEXT = 2000
MAX_FRAMES = 12
BUILTIN_ERRORS = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, Exception)
)

# -- in the worker --------------------------------------------------------------------------------


def describe(
    error: BaseException, source_files: tuple[str, ...]
) -> tuple[str, list[str], str, list[list[Any]]]:
    """Class name, the builtin classes it derives from, text, and the student's own lines."""
    kind = type(error)
    bases = [
        cls.__name__
        for cls in kind.__mro__
        if cls.__name__ in BUILTIN_ERRORS and cls.__module__ == "builtins"
    ]
    try:
        text = str(error)[:MAX_TEXT]
    except BaseException:
        text = "(its message could not be read)"
    return _printable(kind.__name__)[:100], bases, _printable(text), frames_of(error, source_files)


def frames_of(error: BaseException, source_files: tuple[str, ...]) -> list[list[Any]]:
    """[file, line, function, code] of the student's own lines, the outermost first."""
    if isinstance(error, SyntaxError) and error.filename in source_files:
        text = _printable(error.text or "").strip()[:200]
        return [[os.path.basename(error.filename), error.lineno or 0, "the file", text]]
    frames, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename in source_files:
            line = linecache.getline(code.co_filename, trace.tb_lineno).strip()[:200]
            file, number = _place(code.co_filename, trace.tb_lineno)
            frames.append([file, number, _printable(code.co_name)[:100], _printable(line)])
        trace = trace.tb_next
    return frames[:2] + frames[-(MAX_FRAMES - 2) :] if len(frames) > MAX_FRAMES else frames


def _place(file: str, line: int) -> tuple[str, int]:
    """File and line as the student knows them; in a notebook, the cell and the line in it."""
    lines = [text.rstrip("\n") for text in linecache.getlines(file)]
    found = cells.place(lines, line) if cells.HEADER in lines[:3] else None
    return (f"cell {found[0]}", found[1]) if found else (os.path.basename(file), line)


def _printable(text: str) -> str:
    """A lone surrogate cannot be sent as UTF-8."""
    return str.__str__(text).encode("utf-8", "backslashreplace").decode()


# -- in the grader --------------------------------------------------------------------------------


def rebuild(fields: list[Any]) -> StudentError:
    """The exception of the other side: a StudentError, and also the builtin error it is."""
    try:
        kind, bases, text, frames = fields
        shown = tuple(
            Frame(str(file)[:200], int(line), str(function)[:100], str(code)[:200])
            for file, line, function, code in frames[:20]
        )
        base = next((name for name in bases if name in _REBUILT), "Exception")
        cls = _class_for(str(base))
        return cls(str(kind)[:100], str(text)[:2000], shown)
    except (TypeError, ValueError):
        raise WireError("a malformed error") from None


_REBUILT = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type)
    and issubclass(value, Exception)
    and value is not Exception
    and not issubclass(value, (OSError, UnicodeError, StopIteration, StopAsyncIteration))
)


@functools.cache
def _class_for(base: str) -> type[StudentError]:
    if base == "Exception":
        return StudentError
    cls = type(f"Student{base}", (StudentError, getattr(builtins, base)), {})
    cls.__module__ = "autograder"
    return cls
