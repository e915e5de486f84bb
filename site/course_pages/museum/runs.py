"""Runs scenes with the solution and with its broken variants, always from the same seed."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch

from autograder.authoring.course import Assignment
from autograder.judging.diagnose import AnswerKey
from autograder.judging.relevance import can_tell
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import Shown

# Some mistakes never end.
SECONDS = 5.0
SEED = 20_260


class Runs:
    """The solution of an assignment and its broken variants, each loaded when it is first run."""

    def __init__(self, assignment: Assignment) -> None:
        self.key = AnswerKey(assignment)
        self._name, self._file = assignment.name, assignment.main
        given = str(assignment.root / "assignments" / "given")
        if given not in sys.path:
            sys.path.append(given)
        self.module = cache(self._load)
        self.shown = cache(self._shown)

    def _load(self, spelling: str | None) -> ModuleType:
        """The module of the solution (None), or of a broken variant."""
        source = self.key.source
        text = source.solution() if spelling is None else source.broken(spelling)
        module = ModuleType(f"museum_{self._name}")
        # Dataclasses look their module up while they are made.
        sys.modules[module.__name__] = module
        exec(compile(text, self._file, "exec"), module.__dict__)
        return module

    def run(self, scene: Scene, spelling: str | None = None) -> Shown:
        """What a variant shows, run afresh."""
        module = self.module(spelling)
        with _seeded(), _timed():
            return scene.run(module)

    def _shown(self, scene: Scene, spelling: str | None = None) -> Shown | None:
        """What a variant shows; None if it stops with an error or does not end."""
        try:
            return self.run(scene, spelling)
        except Exception:
            if spelling is None:
                raise
            return None

    def within_reach(self, scene: Scene) -> list[str]:
        """The spellings that differ in a function that the scene calls, in file order."""
        module = self.module(None)
        with self.key.calls() as called, _seeded():
            scene.run(module)
        return [one for one in self.key.texts if can_tell(called, self.key.changed[one])]


@contextmanager
def _seeded() -> Iterator[None]:
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _timed() -> Iterator[None]:
    def end(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
