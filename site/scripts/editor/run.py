"""Runs the public tests on a student's file, and tells what becomes of each while they run.

A worker of the browser loads this, and calls ``run`` each time.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import linecache
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

try:
    import _multiprocessing  # noqa: F401
except ModuleNotFoundError:
    # A browser has no processes. Gymnasium imports their locks all the same, and uses none.
    shim = types.ModuleType("_multiprocessing")
    shim.SemLock = type("SemLock", (), {"SEM_VALUE_MAX": 1})
    shim.sem_unlink = None
    sys.modules["_multiprocessing"] = shim

import gymnasium  # noqa: F401
import pytest

UNWRITTEN = "not written yet: "
# Of what a test says and prints: enough to read, and no burden for a page.
LIMIT = 20_000
OPTIONS = ("-q", "--color=no", "--capture=sys", "-p", "no:cacheprovider", "-p", "no:faulthandler")

Tell = Callable[[str], None]


def run(folder: str, file: str, files: str, tell: Tell) -> None:
    """Write the files, {name: text} in JSON, and run pytest on them.

    ``file`` is the student's. ``tell`` gets JSON objects; each has a ``kind``: "begins", "tests",
    "test", "refused" (the file cannot be imported) and, at last, "ends".
    """
    texts: dict[str, str] = json.loads(files)
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    for name, text in texts.items():
        Path(name).write_text(text, encoding="utf-8")
        # What an earlier run has imported is out of date.
        sys.modules.pop(name.removesuffix(".py"), None)
    linecache.clearcache()
    importlib.invalidate_caches()
    reporter, printed = Reporter(file, tell), io.StringIO()
    with _guest(folder), contextlib.redirect_stdout(printed):
        if not reporter.imports(texts[file]):
            return
        reporter.printed = _short(printed.getvalue())
        code = pytest.main([*OPTIONS, folder], plugins=[reporter])
    if not reporter.has_ended:
        reporter.refuse(f"the tests have stopped early (exit code {int(code)} of pytest).", None)


@contextlib.contextmanager
def _guest(folder: str) -> Iterator[None]:
    """Imports from the folder, without compiled files, which are compared by whole seconds."""
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


class Reporter:
    """A plugin of pytest, and what comes before it: the import of the student's file."""

    def __init__(self, file: str, tell: Tell) -> None:
        self.file = file
        self.printed = ""
        self.has_ended = False
        self._tell = lambda kind, **told: tell(json.dumps({"kind": kind, **told}))

    def imports(self, text: str) -> bool:
        """Whether the file can be imported. If not, one sentence says why."""
        self._tell("begins", name="")
        try:
            compile(text, self.file, "exec")
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            self.refuse(f"Python cannot read it: {getattr(error, 'msg', error)}.", line)
            return False
        try:
            importlib.import_module(self.file.removesuffix(".py"))
        # sys.exit() counts, too.
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)
            lines = [one.lineno for one in frames if Path(one.filename).name == self.file]
            words = _message(error).removesuffix(".")
            self.refuse(f"{words}. No test was run.", lines[-1] if lines else None)
            return False
        return True

    def refuse(self, words: str, line: int | None) -> None:
        """Tell why there are no results."""
        where = f"{self.file}, line {line}" if line else self.file
        self._tell("refused", words=f"{where}: {words}", line=line)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        # The tests ask for something that is no longer in the student's file.
        if report.failed:
            lines = report.longreprtext.splitlines()
            errors = [line[1:].strip() for line in lines if line.startswith("E")]
            words = errors[-1] if errors else "the tests cannot be read"
            self.refuse(f"{words}. No test was run.", None)
            self.has_ended = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:
            self._tell("tests", names=[item.name for item in session.items])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._tell("begins", name=nodeid.partition("::")[2])

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Any:
        # First of all wrappers means last to see the report: the starter's conftest.py has been.
        report = yield
        if report.when == "call" or report.failed:
            self._tell("test", name=item.name, **self._told(report, call.excinfo))
        return report

    def _told(self, report: pytest.TestReport, found: Any) -> dict[str, Any]:
        words = report.longreprtext
        if words.startswith(UNWRITTEN):
            state, said, words = "unwritten", words.removeprefix(UNWRITTEN), ""
        else:
            state, said = report.outcome, _message(found.value) if found else ""
        if words.startswith("def "):
            # pytest has cut the blanks before its first line, and not those before the others.
            words = f"    {words}"
        if report.capstdout:
            words = f"{words}\n\nPrinted:\n{report.capstdout}".strip("\n")
        places = found.traceback if found else []
        lines = [at.lineno + 1 for at in places if at.path.name == self.file]
        line = lines[-1] if lines else None
        return {"state": state, "said": said, "words": _short(words), "line": line}

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        # The list of the starter's conftest.py, in its order.
        plugins = session.config.pluginmanager.get_plugins()
        todo = next((list(one.TODO) for one in plugins if hasattr(one, "TODO")), [])
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self.has_ended = True
            self._tell("ends", todo=todo, printed=self.printed)


def _message(error: BaseException) -> str:
    """An error in one sentence."""
    if isinstance(error, ModuleNotFoundError):
        return (
            f"there is no module '{error.name}' in the browser. NumPy, Gymnasium and Python's own"
            " modules are there, and this assignment needs no others."
        )
    words = str(error).strip()
    if isinstance(error, AssertionError):
        return words or "the assertion does not hold"
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _short(text: str) -> str:
    return text if len(text) <= LIMIT else f"{text[:LIMIT]}\n(and more)"
