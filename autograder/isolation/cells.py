"""A notebook as a module: statement by statement, and what fails is left out.

`marking.intake.cells` writes the text of such a module and executes nothing. The text calls the
functions here, wherever it is imported: behind the wall, in this process, or by pytest in a
student's folder. Each statement that may fail is in a ``with __cell__(...)`` block. One that
raises, or computes or waits for too long, is left out; the rest goes on. What was left out is kept
in the module's list ``__left_out__``, so that a name that is missing later can say why.
"""

from __future__ import annotations

import contextlib
import io
import re
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

# The name of the module's list of [cell, line, first line, names, reason, timed out].
LEFT_OUT = "__left_out__"
GUARD, SKIP = "__cell__", "__not_run__"
HEADER = (
    "from autograder.isolation.cells import display, get_ipython, "
    f"guard as {GUARD}, not_run as {SKIP}"
)
MARK = re.compile(r"# %% cell (\d+)")
OWN_LINE = re.compile(rf"(?:with {GUARD}|(?:if )?{SKIP})\(globals\(\), ")

# Seconds between two looks at the clock.
TICK = 0.1
# A statement that has not computed for this many wall-clock seconds waits for something that never
# comes.
WAITING = 3.0
# Limits as (share of the process's CPU limit, most CPU seconds).
EACH, IN_ALL, IMPORTS = (0.2, 2.0), (0.3, 3.0), (0.4, 15.0)
# A statement gets this many CPU seconds even if the others have used up all.
LEAST = 0.1


class TooLong(BaseException):
    """A statement took too long. This is not an Exception, because students' code catches those.

    Python 3.11 attributes what a signal raises at the end of a loop to the instruction before the
    loop, which may be outside every `try` and `with`. So the module as a whole may raise it. Then
    its caller calls ``abandon`` and runs the module again (see `importer.Importer.run`).
    """

    def __init__(self, text: str, guarding: guard) -> None:
        super().__init__(text)
        self._guarding = guarding

    def abandon(self) -> None:
        """Close the block that did not see it."""
        self._guarding.__exit__(TooLong, self, None)


# -- in the module ------------------------------------------------------------------------------


class guard(contextlib.AbstractContextManager[None]):
    """One statement of a notebook: what it raises is noted, and the next statement runs.

    ``cell``, ``line``: its place; ``text``: its first line; ``names``: what it would have made;
    ``imports``: it only imports, which may take longer than an experiment.
    """

    def __init__(
        self,
        module: dict[str, Any],
        cell: int,
        line: int,
        text: str,
        names: tuple[str, ...] = (),
        imports: bool = False,
    ) -> None:
        self._module, self._place = module, (cell, line, text, names)
        self._imports = imports
        self._stop: Callable[[], None] = lambda: None
        self._streams: tuple[Any, Any] = (None, None)
        self._begun = 0.0

    def __enter__(self) -> None:
        self._streams = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = _Nowhere()
        self._begun = time.process_time()
        self._stop = _time_limit(self._seconds(), self)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        self._stop()
        sys.stdout, sys.stderr = self._streams
        if not self._imports:
            used = self._module.get("__cells_took__", 0.0) + time.process_time() - self._begun
            self._module["__cells_took__"] = used
        if error is None:
            return False
        if not isinstance(error, (Exception, SystemExit, TooLong)):
            return False
        _note(self._module, self._place, _reason(error), isinstance(error, TooLong))
        return True

    def _seconds(self) -> float:
        if self._imports:
            return _share(*IMPORTS)
        left = _share(*IN_ALL) - self._module.get("__cells_took__", 0.0)
        return max(LEAST, min(_share(*EACH), float(left)))


def not_run(
    module: dict[str, Any],
    cell: int,
    line: int,
    text: str,
    names: tuple[str, ...] = (),
    reason: str = "",
) -> bool:
    """False, for an ``if`` in place of a statement that is known to be left out, and why."""
    _note(module, (cell, line, text, names), reason, reason.startswith(_TOO_LONG))
    return False


def display(*objects: Any, **options: Any) -> None:
    """IPython's display. It shows nothing."""


class _Shell:
    """Accepts any use of IPython's shell, and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def get_ipython() -> Any:
    """A shell that does nothing."""
    return _Shell()


class _Nowhere(io.TextIOBase):
    """Swallows what experiments print."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)


_TOO_LONG = "it took more than "


def _reason(error: BaseException) -> str:
    if isinstance(error, TooLong):
        return str(error)
    try:
        text = str(error)
    except BaseException:
        text = ""
    kind = type(error).__name__
    return f"{kind}: {text[:200]}" if text else kind


def _note(module: dict[str, Any], place: Sequence[Any], reason: str, late: bool) -> None:
    module.setdefault(LEFT_OUT, []).append((*place, reason, late))


def _share(part: float, most: float) -> float:
    """CPU seconds: this share of what the process may use, at most ``most``."""
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_CPU)
    except (ImportError, OSError):
        # Windows has no such limits.
        return most
    return most if soft in (resource.RLIM_INFINITY, -1) else min(most, part * soft)


def _time_limit(seconds: float, guarding: guard) -> Callable[[], None]:
    """Raise TooLong after this much computing, or if nothing moves; returns what ends the watch.

    It rings again and again, for code that swallows the first one. Where there are no alarms
    (Windows, threads other than the first) there is no limit either.
    """
    begun = moved = time.process_time()
    when = time.monotonic()
    over = False

    def look(number: int, frame: Any) -> None:
        nonlocal moved, when
        if over or frame is None or frame.f_code.co_filename == __file__:
            return
        used, now = time.process_time(), time.monotonic()
        if used - moved > TICK / 10:
            moved, when = used, now
        if used - begun > seconds:
            raise TooLong(f"{_TOO_LONG}{seconds:.2g} seconds of computing", guarding)
        if now - when > WAITING:
            raise TooLong(f"{_TOO_LONG}{WAITING:g} seconds, waiting for something", guarding)

    try:
        handler = signal.signal(signal.SIGALRM, look)
    except (AttributeError, ValueError):
        return lambda: None
    before = signal.setitimer(signal.ITIMER_REAL, TICK, TICK)

    def stop() -> None:
        nonlocal over
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)

    return stop


# -- about the module ---------------------------------------------------------------------------


def is_notebook(data: bytes) -> bool:
    """The text was made of a notebook."""
    return HEADER.encode() in data[:2000].split(b"\n")[:3]


def place(lines: Sequence[str], number: int) -> tuple[int, int] | None:
    """Cell and line in it of a line of the module (from 1); None where it belongs to no cell."""
    count = 0
    for line in reversed(lines[:number]):
        if found := MARK.fullmatch(line):
            return int(found[1]), count
        count += not OWN_LINE.match(line)
    return None


def without_the_slow(text: str, module: Mapping[str, Any]) -> str:
    """The text in which what took too long is not run again: once is enough."""
    slow = {(entry[0], entry[1]): entry[4] for entry in _entries(module) if entry[5]}
    lines = text.split("\n") if slow else []
    for number, line in enumerate(lines):
        found = re.match(rf"with {GUARD}\(globals\(\), (\d+), (\d+), ", line)
        if found and (reason := slow.get((int(found[1]), int(found[2])))):
            head = line.removeprefix(f"with {GUARD}").removesuffix("):").removesuffix(", True")
            lines[number] = f"if {SKIP}{head}, reason={reason!r}):"
    return "\n".join(lines) if slow else text


def left_out(module: Mapping[str, Any]) -> list[str]:
    """What was left out, a line each: "cell 7: `history = train(agent, 500)` (NameError: ...)"."""
    return [f"cell {cell}: `{text}` ({why})" for cell, _, text, _, why, _ in _entries(module)]


def explain(module: Mapping[str, Any], missing: object) -> str:
    """Why a name is not there, to be added to a NameError's message; empty if not known."""
    for cell, _, text, names, why, _ in _entries(module):
        if missing in names:
            return f"; cell {cell} would have made it (`{text}`), but was left out: {why}"
    return ""


def _entries(module: Mapping[str, Any]) -> Collection[tuple[int, int, str, Any, str, bool]]:
    """The list, or nothing where a student's code has put something else in its place."""
    found = module.get(LEFT_OUT)
    if not isinstance(found, list):
        return []
    return [entry for entry in found if isinstance(entry, tuple) and len(entry) == 6]
