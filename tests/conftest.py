"""What the tests of the engine share.

A toy course, one running fork server, and student code on either side of the wall.
"""

from __future__ import annotations

import gc
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # toy.py is found from everywhere

from toy import Toy, forget_hidden_tests

from autograder.isolation.bridge.client import Bridge
from autograder.isolation.bridge.lab import Lab
from autograder.isolation.limits import Limits
from autograder.isolation.workers.walled import WorkerServer
from autograder.judging.hidden_test import InProcess

MAIN = "work.py"

# What tests need, by file. A test of any other file is a unit test, which starts no process, unless
# it takes a fixture that starts workers or carries another mark itself.
NEEDS = {
    "content": (
        "test_examples",
        "test_feedback",
        "test_outside",
        "test_real_submissions",
        "test_reported",
        "test_spelled",
    ),
    "wall": (
        "test_as_graded",
        "test_attacks",
        "test_class_report",
        "test_cli",
        "test_engine_ray",
        "test_export",
        "test_faults",
        "test_gpu_part",
        "test_grade",
        "test_grader",
        "test_hostile_networks",
        "test_reuse",
        "test_pages",
        "test_proof",
        "test_ranks",
        "test_sandbox",
        "test_scaffold",
        "test_starter",
        "test_student_page",
        "test_time",
        "test_unreadable",
        "test_wire_fuzz",
        "test_world",
    ),
}
TIERS = {file: tier for tier, files in NEEDS.items() for file in files}
STARTS_WORKERS = {"server", "behind_the_wall"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test as ``unit``, ``wall`` or ``content``, before ``-m`` chooses by marks."""
    for item in items:
        asked = list(getattr(item, "fixturenames", ()))
        if hasattr(item, "callspec"):
            asked += [value for value in item.callspec.params.values() if isinstance(value, str)]
        tier = "unit" if STARTS_WORKERS.isdisjoint(asked) else "wall"
        if not any(item.get_closest_marker(said) for said in ("unit", "wall", "content")):
            item.add_marker(TIERS.get(item.path.stem, tier))


def pytest_collection_finish() -> None:
    """Keep what is imported by now out of garbage collection.

    Hidden tests are collected in this process, and pytest collects garbage after each collection.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _modules_stay_as_they_were() -> Iterator[None]:
    """Student files and hidden tests that this process imports leave no modules behind."""
    finders, modules = list(sys.meta_path), set(sys.modules)
    yield
    sys.meta_path[:] = finders
    forget_hidden_tests()
    for name in {"work", "sequences", "helper"} & (set(sys.modules) - modules):
        del sys.modules[name]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """A toy course that verifies."""
    return Toy.build(tmp_path / "course")


@pytest.fixture(scope="session")
def server() -> Iterator[WorkerServer]:
    """One fork server for all tests that need a wall."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the wall needs Linux and root")
    server = WorkerServer.start(["numpy", "torch"])
    yield server
    server.close()


@dataclass
class Reached:
    """An open bridge to some student code, and what was recorded of its answers."""

    bridge: Bridge
    answers: list[Any] = field(default_factory=list)

    @property
    def student(self) -> Any:
        return self.bridge.student

    @property
    def lab(self) -> Lab:
        return Lab(self.bridge)


Reach = Callable[..., Reached]


@pytest.fixture
def behind_the_wall(request: pytest.FixtureRequest) -> Iterator[Reach]:
    """Opens a bridge to a text in a fresh sandboxed worker; keyword arguments are limits."""
    server: WorkerServer = request.getfixturevalue("server")
    opened: list[Bridge] = []

    def reach(text: str, **limits: Any) -> Reached:
        candidate = server.candidate({MAIN: textwrap.dedent(text).encode()}, MAIN, Limits(**limits))
        return _open(candidate, opened)

    yield reach
    for bridge in opened:
        bridge.close()


@pytest.fixture
def in_process() -> Iterator[Reach]:
    """Opens a bridge to a text in this process."""
    opened: list[Bridge] = []
    yield lambda text, **limits: _open(InProcess.of(textwrap.dedent(text), MAIN), opened)
    for bridge in opened:
        bridge.close()


@pytest.fixture(params=["in_process", "behind_the_wall"])
def reach(request: pytest.FixtureRequest) -> Reach:
    """A text in this process, then the same text across the wall.

    A test that takes this runs twice.
    """
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def _open(candidate: Any, opened: list[Bridge]) -> Reached:
    answers: list[Any] = []
    bridge = candidate.open(answers.append, None)
    opened.append(bridge)
    return Reached(bridge, answers)
