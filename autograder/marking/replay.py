"""A hidden test once more, with the inputs of the marking, call by call: for office hours."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograder.authoring.course import Assignment
from autograder.authoring.given import with_given
from autograder.errors import StudentError
from autograder.isolation.bridge import handles
from autograder.isolation.bridge.client import Bridge
from autograder.isolation.bridge.handles import Remote
from autograder.isolation.workers.walled import WorkerServer
from autograder.judging import hidden_test, plugin
from autograder.judging.answers import same
from autograder.judging.diagnose import AnswerKey
from autograder.judging.hidden_test import Candidate, HiddenTest, Trace
from autograder.marking.submission import Submission

SHORT = {"threshold": 30, "edgeitems": 4, "precision": 6, "linewidth": 100}
MAX_CHARACTERS = 2000


@dataclass(frozen=True)
class Call:
    """One question of a test: what was asked, the submission's answer, and the solution's."""

    asked: str
    answer: str
    right: str
    differs: bool


@dataclass
class Replay:
    """One test of one submission."""

    test: HiddenTest
    calls: list[Call] = field(default_factory=list)
    error: BaseException | None = None


class Replayer:
    """One submission behind the wall, and the solution in this process."""

    def __init__(self, assignment: Assignment, submission: Submission, seed: int) -> None:
        for library in assignment.libraries:
            importlib.import_module(library)
        self.tests = plugin.collect(assignment.hidden_tests)
        self._key = AnswerKey(assignment)
        self._seed = seed
        self._server = WorkerServer.start(
            assignment.libraries, [assignment.hidden_tests.parent], assignment.isolation
        )
        files = with_given(assignment, submission.files)
        self._walled = self._server.candidate(files, assignment.main, assignment.limits)

    def close(self) -> None:
        """End the workers."""
        self._walled.close()
        self._server.close()

    def failing(self, tests: Iterable[HiddenTest]) -> list[Replay]:
        """The tests that the submission does not pass."""
        replays = (self.replay(test) for test in tests)
        return [one for one in replays if one.error is not None]

    def replay(self, test: HiddenTest) -> Replay:
        """Run the test with the submission, and with the solution on the same inputs."""
        asked: list[str] = []
        trace = hidden_test.run(test, _Watched(self._walled, asked.append), self._seed)
        right = hidden_test.run(test, self._key.reference, self._seed)
        return Replay(test, _calls(asked, trace, right), trace.error)


@dataclass(frozen=True)
class _Watched:
    """A candidate whose questions are heard."""

    candidate: Candidate
    hear: Callable[[str], None]

    def open(self, on_answer: Any, seconds: float | None) -> Bridge:
        bridge = self.candidate.open(on_answer, seconds)
        bridge.on_question = lambda operation, arguments: self.hear(_question(operation, arguments))
        return bridge

    def open_ranks(self, count: int, on_answers: Any, seconds: float | None) -> list[Bridge]:
        return self.candidate.open_ranks(count, on_answers, seconds)


def _calls(asked: list[str], trace: Trace, right: Trace) -> list[Call]:
    calls = []
    for index, question in enumerate(asked):
        mine = trace.events[index] if index < len(trace.events) else None
        other = right.events[index] if index < len(right.events) else None
        calls.append(Call(question, _answer(mine), _answer(other), not same(mine, other)))
    return calls


def _question(operation: str, arguments: tuple[Any, ...]) -> str:
    """As one would write it: discounted(array([0.3, 1.2]), 0.5)."""
    if operation != "call":
        return f"{operation} {', '.join(map(_shown, arguments))}"
    function, positional, named = arguments
    parts = [_shown(one) for one in positional]
    parts += [f"{name}={_shown(value)}" for name, value in named]
    return f"{handles.name_of(function) or handles.type_name(function)}({', '.join(parts)})"


def _answer(event: Any) -> str:
    if event is None:
        return "no answer"
    if event[0] == "raise":
        return f"raises {event[1]}"
    return _shown(event[1])


def _shown(value: Any) -> str:
    if isinstance(value, Remote):
        return f"<{handles.type_name(value)}>"
    if isinstance(value, StudentError):
        return str(value)
    with np.printoptions(**SHORT):  # type: ignore[arg-type]
        text = repr(value)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]} ..."
