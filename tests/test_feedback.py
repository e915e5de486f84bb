"""What a student reads gives nothing away, in all assignments, for all bugs and wrong kinds.

Every failing run is turned into results.json by the real code. Each line of it must be a sentence
that we know (verdict, hint, mistake), the student's own text marked as theirs, or a finding; and
nothing in it may be an expected value, a hidden input or a line of the hidden tests.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograder.authoring.course import Assignment, load_course
from autograder.authoring.source import Source
from autograder.isolation.bridge.client import Bridge
from autograder.isolation.bridge.handles import Remote
from autograder.isolation.bridge.loans import Exposed
from autograder.isolation.codec import torch_module
from autograder.judging import checks, diagnose, naming, plugin
from autograder.judging.evidence import Failures
from autograder.judging.hidden_test import HiddenTest
from autograder.marking import feedback, result_files
from autograder.model import Grade, Outcome, Verdict
from autograder.proof import lazy

ROOT = Path(__file__).resolve().parent.parent
ASSIGNMENTS = {assignment.name: assignment for assignment in load_course(ROOT).assignments}
SEED = 23
WRONG_KINDS = {
    "None": lambda leaf, inputs: None,
    "text": lambda leaf, inputs: "no numbers",
    "nan": lazy.LAZY["nan"],
}
SECONDS = 20  # for a wrong answer that sends a test round in circles


@dataclass
class Overheard:
    """What went into a run and what was to come out of it, as it would look in a text."""

    inputs: set[str] = field(default_factory=set)
    expected: set[str] = field(default_factory=set)

    def note(self, value: Any, where: set[str]) -> None:
        """Numbers and strings in a value; of large arrays a part."""
        torch = torch_module()
        if torch is not None and isinstance(value, torch.Tensor):
            value = value.detach().double().numpy() if value.is_floating_point() else None
        if isinstance(value, np.ndarray):
            value = value.reshape(-1)[:50].tolist() if value.dtype.kind == "f" else None
        if isinstance(value, float):
            where |= {
                text for text in (f"{value:.6g}", f"{value:.8f}".rstrip("0")) if _telling(text)
            }
        elif isinstance(value, str):
            where |= {value} if len(value) > 3 else set()
        elif isinstance(value, dict):
            self.note([*value, *value.values()], where)
        elif isinstance(value, (list, tuple, set)):
            for item in list(value)[:50]:
                self.note(item, where)
        elif not isinstance(value, (Remote, Exposed)) and hasattr(value, "__dict__"):
            self.note(list(vars(value).values()), where)


def _telling(text: str) -> bool:
    """A number of at least five digits, which cannot be right by chance."""
    return len(re.sub(r"^-?0*\.?0*|[^0-9]", "", text.split("e")[0])) >= 5


@pytest.fixture
def overheard(monkeypatch: pytest.MonkeyPatch) -> Overheard:
    """Listens at the bridge and at the checks."""
    heard, ask, same_kind = Overheard(), Bridge.ask, checks._same_kind

    def listening_ask(self: Bridge, operation: str, *arguments: Any, **options: Any) -> Any:
        heard.note(arguments[1:], heard.inputs)
        return ask(self, operation, *arguments, **options)

    def listening_same_kind(actual: Any, expected: Any, what: str) -> Any:
        heard.note(expected, heard.expected)
        return same_kind(actual, expected, what)

    monkeypatch.setattr(Bridge, "ask", listening_ask)
    monkeypatch.setattr(checks, "_same_kind", listening_same_kind)
    return heard


def runs(
    assignment: Assignment, tests: list[HiddenTest], most: int | None = None
) -> Iterator[tuple[str, HiddenTest, Outcome]]:
    """Outcomes of every bug in (``most`` of) its tests, and of answers of the wrong kind in all."""
    key = diagnose.AnswerKey(assignment)
    exact = [test for test in tests if not test.learning]
    catching = {bug: [test for test in exact if bug in test.catches][:most] for bug in key.broken}
    todo = [
        (bug, test, candidate) for bug, candidate in key.broken.items() for test in catching[bug]
    ]
    todo += [
        (kind, test, lazy.Lazy(key.reference, answer))
        for kind, answer in WRONG_KINDS.items()
        for test in exact
    ]
    alone = functools.cache(lambda name: diagnose.AnswerKey(assignment, only=[name]))
    for name, test, candidate in todo:
        failures = Failures()
        outcome = diagnose.judge(test, candidate, SEED, alone(name), SECONDS, keep=failures.add)
        (outcome,) = naming.name_mistakes(alone(name), [test], [outcome], failures.kept)
        yield name, test, outcome


def public_text(assignment: Assignment) -> str:
    """All that students have anyway."""
    handout = [
        path.read_text(encoding="utf-8")
        for path in sorted(assignment.handout.glob("*"))
        if path.suffix in (".md", ".py", ".yml")
    ]
    return "\n".join([Source(assignment.solution).stub(), *handout])


def hidden_lines(assignment: Assignment) -> set[str]:
    """Lines of code of the hidden tests that stand nowhere else."""
    lines = {
        line.strip() for line in assignment.hidden_tests.read_text(encoding="utf-8").splitlines()
    }
    public = public_text(assignment)
    return {
        line
        for line in lines
        if len(line) > 20 and re.search(r"assert|=", line) and line not in public
    }


def leaks(
    assignment: Assignment,
    test: HiddenTest,
    outcome: Outcome,
    heard: Overheard,
    hidden: set[str],
    public: str,
) -> list[str]:
    """What the student's part of results.json holds and must not."""
    told = result_files.results(assignment, test.worth, Grade("ada", (outcome,)))
    text = told["tests"][0]["output"]
    everything = json.dumps(told, ensure_ascii=False)
    ours = [line for line in text.splitlines() if not line.startswith("  | ")]
    words = {word[0].upper() + word[1:] + "." for word in feedback.WORDS.values()}
    known = words | {f"Hint: {test.hint}", "Your code:", "Your code printed:"}
    known |= set(feedback.LIMITS.values())
    known |= {feedback.mistake_sentence(outcome)}
    found = [
        f"a line of unknown origin: {line}"
        for line in ours
        if line not in known and line not in outcome.finding.splitlines()
    ]
    found += [
        f"an expected value: {value}"
        for value in heard.expected - heard.inputs
        if value in everything and value not in public
    ]
    found += [
        f"a hidden input: {value}"
        for value in heard.inputs
        if value in outcome.finding and value not in public
    ]
    found += [
        f"a number in the finding: {number}"
        for number in numbers_of(outcome.finding)
        if number not in public
    ]
    found += [f"a line of the hidden tests: {line}" for line in hidden if line in text]
    secret = [
        line
        for line in outcome.detail.splitlines()
        if len(line) > 7 and line not in outcome.finding and line not in outcome.error
    ]
    return found + [f"a line of the assertion: {line}" for line in secret if line in text]


def numbers_of(finding: str) -> list[str]:
    """Numbers in a finding apart from shapes, counts and indices."""
    plain = re.sub(
        r"\((?:\d+,? ?)*\)|\d+ values|\[\d+\]|(?:float|int|uint|complex)\d+", "", finding
    )
    return re.findall(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", plain)


# -- the property ----------------------------------------------------------------------------------


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "most"),
    [pytest.param(name, None, marks=pytest.mark.slow) for name in ASSIGNMENTS] + [("gae", 1)],
)
def test_no_expected_value_hidden_input_or_assertion_reaches_a_student(name, most, overheard):
    assignment = ASSIGNMENTS[name]
    tests, hidden, public = (
        plugin.collect(assignment.hidden_tests),
        hidden_lines(assignment),
        public_text(assignment),
    )
    failing: dict[str, int] = {}
    found, findings = [], 0
    for candidate, test, outcome in runs(assignment, tests, most):
        if outcome.verdict is Verdict.FAILED:
            failing[candidate] = failing.get(candidate, 0) + 1
            findings += bool(outcome.finding)
            found += [
                f"{candidate}, {test.name}: {leak}"
                for leak in leaks(assignment, test, outcome, overheard, hidden, public)
            ]
        overheard.inputs.clear()
        overheard.expected.clear()
    bugs = {bug.name for bug in Source(assignment.solution).bugs}
    assert found == []
    assert bugs <= failing.keys(), "every bug has failed somewhere, so its texts were seen"
    assert failing.keys() >= WRONG_KINDS.keys() and findings >= len(tests), (
        "and wrong kinds had findings to tell"
    )


# -- that it can fail ------------------------------------------------------------------------------


def found_in(
    toy: Any,
    overheard: Overheard,
    change: Any = lambda outcome: outcome,
    candidate: str = "no-discount",
) -> list[str]:
    assignment = toy.assignment
    tests, hidden, public = (
        list(toy.tests.values()),
        hidden_lines(assignment),
        public_text(assignment),
    )
    found = []
    for name, test, outcome in runs(assignment, tests):
        if name == candidate and outcome.verdict is Verdict.FAILED:
            found += leaks(assignment, test, change(outcome), overheard, hidden, public)
        overheard.inputs.clear()
        overheard.expected.clear()
    return found


def test_the_toy_course_gives_nothing_away(toy, overheard):
    assert not [
        found_in(toy, overheard, candidate=name)
        for name in ("no-discount", "None", "text", "nan")
        if found_in(toy, overheard, candidate=name)
    ]


CHANGES = {
    "an expected value": lambda outcome: dataclasses.replace(outcome, finding=outcome.detail),
    "a line of the assertion": lambda outcome: dataclasses.replace(
        outcome, hint=f"{outcome.hint}\n{outcome.detail}", mistakes=()
    ),
    # A hint is shown where no mistake is named.
    "a line of unknown origin": lambda outcome: dataclasses.replace(
        outcome, hint="something else", mistakes=()
    ),
    "a line of the hidden tests": lambda outcome: dataclasses.replace(
        outcome, finding="expected = float(rewards[0] + 0.5 * rewards[1] + 0.25 * rewards[2])"
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_given_away_is_found(toy, overheard, what):
    assert any(leak.startswith(what) for leak in found_in(toy, overheard, CHANGES[what]))


@pytest.mark.parametrize(
    ("what", "leak"),
    [
        ('f"the sum of {rewards[0]:.6g} and more"', "a hidden input"),
        ('f"the sum at {rewards[0]:.2f}"', "a number in the finding"),
    ],
)
def test_an_author_who_names_a_hidden_input_is_told(toy, overheard, what, leak):
    toy.edit_hidden('expected, what="the sum"', f"expected, what={what}")
    assert any(one.startswith(leak) for one in found_in(toy, overheard, candidate="None"))
