"""The pytest plugin of hidden tests: `points`, and the fixtures `student`, `lab` and `rng`.

The grader only collects with it and runs each test itself (hidden_test.py). Authors run the same
files with plain pytest:

    python -m pytest grading/gae                      against the reference solution, in process
    python -m pytest grading/gae --bug BUG            against a broken variant
    python -m pytest grading/gae --student my/gae.py  against a file

With --wall the student's code runs in a sandboxed process.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from autograder.authoring.course import Assignment, load_assignment
from autograder.authoring.given import with_given
from autograder.authoring.source import Source
from autograder.errors import CourseError, SourceError
from autograder.isolation.bridge.client import Bridge
from autograder.isolation.bridge.lab import Lab
from autograder.isolation.wall.gpu import gpu_missing
from autograder.isolation.workers.walled import WorkerServer
from autograder.judging.checks import changes_known_to
from autograder.judging.hidden_test import (
    FIXTURES,
    Candidate,
    HiddenTest,
    InProcess,
    generator,
    laboratory,
)

AUTHOR_SEED = 0
_RUNNING = pytest.StashKey[dict[tuple[str, ...], WorkerServer]]()
Function = TypeVar("Function", bound=Callable[..., None])


def points(
    worth: float,
    *,
    part: str,
    hint: str,
    catches: str | tuple[str, ...] = (),
    learning: bool = False,
    seconds: float | None = None,
) -> Callable[[Function], Function]:
    """Mark a hidden test: what it is worth, its part, and the bugs that it catches.

    ``hint``: what a failing student reads. ``learning``: a statistical check of training, not run
    against broken variants. ``seconds``: the test's own time limit, in CPU seconds.
    """
    caught = (catches,) if isinstance(catches, str) else tuple(catches)
    return pytest.mark.points(
        worth=float(worth), part=part, hint=hint, catches=caught, learning=learning, seconds=seconds
    )


def hidden_test(item: pytest.Function) -> HiddenTest:
    """What a collected item says about itself. Raises pytest.UsageError with file and remedy."""
    mark = item.get_closest_marker("points")
    says = " ".join((inspect.getdoc(item.function) or "").split("\n\n")[0].split())
    if mark is None or not says:
        missing = "@points(...)" if mark is None else "a docstring: the line that students read"
        raise pytest.UsageError(
            f"{item.location[0]}:{(item.location[1] or 0) + 1}: {item.name} needs {missing}"
        )
    spec = getattr(item, "callspec", None)
    parameters = dict(spec.params) if spec else {}
    strange = set(inspect.signature(item.function).parameters) - set(FIXTURES) - set(parameters)
    if strange:
        raise pytest.UsageError(
            f"{item.location[0]}: {item.name} asks for {', '.join(sorted(strange))};"
            f" hidden tests have {', '.join(FIXTURES)}"
        )
    return HiddenTest(
        name=item.name,
        says=says,
        function=item.function,
        parameters=parameters,
        gpu=item.get_closest_marker("gpu") is not None,
        **mark.kwargs,
    )


def collect(path: Path) -> list[HiddenTest]:
    """The hidden tests of a file, in file order. Raises CourseError if the file is at fault."""
    collector = _Collector()
    options = [
        "--collect-only",
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:terminal",
        # It collects all garbage several times, which takes longer than all else here.
        "-p",
        "no:unraisableexception",
        "-p",
        "autograder.judging.plugin",
        "-c",
        "/dev/null",
    ]
    with pytest.MonkeyPatch.context() as patch:
        # Options and plugins are for people who run pytest, not for reading a file.
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        code = pytest.main(
            [*options, f"--rootdir={path.parents[2]}", str(path)], plugins=[collector]
        )
    if code != pytest.ExitCode.OK:
        raise CourseError(
            f"{path}: the hidden tests cannot be collected\n{collector.problems}".rstrip()
        )
    try:
        return [hidden_test(item) for item in collector.items]
    except pytest.UsageError as error:
        raise CourseError(str(error)) from None


class _Collector:
    def __init__(self) -> None:
        self.items: list[pytest.Function] = []
        self.problems = ""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = [item for item in session.items if isinstance(item, pytest.Function)]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.problems += report.longreprtext


# -- hooks and fixtures for authors ----------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """The author's three switches."""
    group = parser.getgroup("autograder")
    group.addoption(
        "--student",
        type=Path,
        help="run the hidden tests against this file (default: the reference solution)",
    )
    group.addoption("--bug", help="run the hidden tests against the solution with this known bug")
    group.addoption(
        "--device",
        choices=("cuda", "cpu"),
        default="cuda",
        help="where GPU parts run: cpu is a rehearsal on small sizes, for authors without a GPU",
    )
    group.addoption(
        "--wall", action="store_true", help="run the student's code in a sandboxed process"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks."""
    config.addinivalue_line(
        "markers",
        "points: what a hidden test is worth, its part, hint, and the bugs that it catches",
    )
    config.addinivalue_line("markers", "gpu: needs a CUDA device; skips and says so without one")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check that hidden tests are complete and that what they run against exists.

    Tests for a GPU are skipped without one. `collect` itself reports what is incomplete.
    """
    if any(isinstance(plugin, _Collector) for plugin in config.pluginmanager.get_plugins()):
        return
    for item in items:
        if isinstance(item, pytest.Function) and item.path.name in (
            "test_hidden.py",
            "test_scale.py",
        ):
            hidden_test(item)
            _candidate_text(config, item.path)
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_gpu and config.getoption("--device") == "cuda" and (missing := gpu_missing()):
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason=f"no GPU: {missing}"))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """For test data only; the student never gets it."""
    return generator(AUTHOR_SEED, request.node.name)


@pytest.fixture
def _opened(request: pytest.FixtureRequest) -> Iterator[tuple[Bridge, Lab]]:
    assignment = load_assignment(request.path.parents[2], request.path.parent.name)
    files = {assignment.main: _candidate_text(request.config, request.path).encode()}
    files = with_given(assignment, files)
    candidate: Candidate = InProcess(files, assignment.main)
    device = request.config.getoption("--device")
    if request.config.getoption("--wall"):
        gpu = device == "cuda" and request.node.get_closest_marker("gpu") is not None
        server = _servers(request.config, assignment, gpu)
        candidate = server.candidate(files, assignment.main, assignment.limits)
    mark = request.node.get_closest_marker("points")
    seconds = mark.kwargs["seconds"] if mark else None
    bridge = candidate.open(lambda event: None, seconds)
    lab = laboratory(bridge, candidate, lambda event: None, seconds, device)
    with changes_known_to(lab):
        yield bridge, lab
    for name, rate in lab.rates.items():
        print(f"{rate:,.6g} {name}")
    bridge.close()
    lab.close()


@pytest.fixture
def student(_opened: tuple[Bridge, Lab]) -> Any:
    """The submission."""
    return _opened[0].student


@pytest.fixture
def lab(_opened: tuple[Bridge, Lab]) -> Lab:
    """Tools that act where the student's code lives."""
    return _opened[1]


def _candidate_text(config: pytest.Config, hidden_tests: Path) -> str:
    """What the hidden tests of a file run against. Raises pytest.UsageError, in one sentence."""
    assignment = load_assignment(hidden_tests.parents[2], hidden_tests.parent.name)
    try:
        return _text(assignment.solution, config.getoption("--student"), config.getoption("--bug"))
    except SourceError as error:
        raise pytest.UsageError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        path: Path = config.getoption("--student")
        reason = getattr(error, "strerror", None) or error
        raise pytest.UsageError(f"--student {path}: {reason}{_near(path)}") from None


def _near(path: Path) -> str:
    """The words "; did you mean ...?" if a file with a similar name lies there, otherwise ""."""
    beside = path.parent.iterdir() if path.parent.is_dir() and not path.exists() else ()
    near = difflib.get_close_matches(path.name, [other.name for other in beside], n=1)
    return f"; did you mean {path.with_name(near[0])}?" if near else ""


@functools.cache
def _text(solution: Path, student: Path | None, bug: str | None) -> str:
    if student is not None:
        return student.read_text(encoding="utf-8")
    source = Source(solution)
    return source.broken(bug) if bug else source.solution()


def _servers(config: pytest.Config, assignment: Assignment, gpu: bool) -> WorkerServer:
    """One fork server for each set of libraries, for the whole session."""
    running = config.stash.setdefault(_RUNNING, {})
    key = (*assignment.libraries, assignment.isolation, str(gpu))
    if key not in running:
        running[key] = WorkerServer.start(
            assignment.libraries, profile=assignment.isolation, gpu=gpu
        )
    return running[key]


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the fork servers."""
    for server in config.stash.get(_RUNNING, {}).values():
        server.close()
