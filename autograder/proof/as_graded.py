"""A pytest plugin of `check`: a public test that passes is run again the way grading runs it.

So a failure does not show for the first time in grading. In the second run the names that a public
test has for the student's work lead to a fresh import of it, over a Bridge in this process.
Arguments and results are copied as data, through the codec of grading. A starter folder works
without this plugin, with pytest alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from autograder.errors import StudentError
from autograder.isolation.bridge import worker
from autograder.isolation.bridge.client import Bridge, Loopback

SENTENCE = (
    "This passes here, but not in grading, where only copies of plain data come and go between "
    "a test and your code:"
)
# The name of a test module's tuple of tests that look at shared memory. A copy does not share any.
HERE_ONLY = "HERE_ONLY"
_ERROR = pytest.StashKey[BaseException | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The file whose module the tests import."""
    parser.addoption(
        "--as-graded", metavar="FILE", help="run what passes once more, the way grading runs it"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test; if it passes, run it again as graded and report only what goes wrong then."""
    main = item.config.getoption("--as-graded")
    if (
        not main
        or not isinstance(item, pytest.Function)
        or item.name in getattr(item.module, HERE_ONLY, ())
    ):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if [report.outcome for report in reports] == ["passed"] * 3:
        reports = _again(item, nextitem, main) or reports
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Keep the exception itself beside its report."""
    if call.excinfo is not None:
        item.stash[_ERROR] = call.excinfo.value
    return (yield)


def _again(
    item: pytest.Function, nextitem: pytest.Item | None, main: str
) -> list[pytest.TestReport]:
    """The reports of the second run if it failed because of the student's code, otherwise none."""
    item.stash[_ERROR] = None
    with _over_a_bridge(item.module, Path(item.path.parent), main):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    error = item.stash[_ERROR]
    failed = [report for report in reports if report.failed]
    if not failed or error is None or _is_the_test_s_own(error):
        return []
    story = error.story() if isinstance(error, StudentError) else failed[0].longreprtext
    failed[0].longrepr = f"{SENTENCE}\n\n{story}"
    return reports


def _is_the_test_s_own(error: BaseException) -> bool:
    """The test passes an object that cannot cross, say an environment; hidden tests lend these."""
    if isinstance(error, StudentError) or not isinstance(error, TypeError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals["__name__"].startswith(
        "autograder.isolation"
    )


@contextmanager
def _over_a_bridge(tests: ModuleType, folder: Path, main: str) -> Iterator[None]:
    """The test module, with handles in place of the student's module, functions and classes."""
    name = main.removesuffix(".py")
    theirs, finders, names = sys.modules.get(name), list(sys.meta_path), dict(vars(tests))
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.py")
    }
    bridge = Bridge(Loopback(worker.load(files, main)))
    try:
        for known, value in names.items():
            if value is theirs:
                setattr(tests, known, bridge.student)
            elif getattr(value, "__module__", None) == name and vars(theirs).get(known) is value:
                setattr(tests, known, getattr(bridge.student, known))
        yield
    finally:
        bridge.close()
        vars(tests).update(names)
        sys.meta_path[:] = finders
        if theirs is not None:
            sys.modules[name] = theirs
