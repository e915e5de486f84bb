"""Every assignment, behind the wall: right answers in any style get full marks, wrong ones what the answer key says."""

import itertools
import os
from pathlib import Path

import pytest

from autograder.authoring import starter
from autograder.authoring.course import load_course
from autograder.authoring.source import Source
from autograder.judging import diagnose, hidden_test, naming, plugin
from autograder.judging.hidden_test import InProcess
from autograder.marking.engines import Job, LocalEngine
from autograder.model import Verdict

pytestmark = pytest.mark.timeout(
    1800
)  # grpo alone is minutes of computing, and the machine may have other work
ROOT = Path(__file__).resolve().parent.parent
ASSIGNMENTS = {assignment.name: assignment for assignment in load_course(ROOT).assignments}
SEED = 11
QUICK = (
    "bandits",
    "dynamic_programming",
    "q_learning",
    "gae",
)  # where marking a broken submission takes seconds: no test trains for long


def independent(assignment):
    """Right answers in other styles, by name."""
    files = sorted((ROOT / "grading" / assignment.name / "right").glob("*.py"))
    return {f"independent {path.stem}": path.read_text(encoding="utf-8") for path in files}


def mark(assignment, texts):
    """The outcomes of all these hand-ins, behind the wall."""
    engine = LocalEngine(assignment, os.cpu_count() or 1)
    try:
        jobs = [Job(name, {assignment.main: text.encode()}, SEED) for name, text in texts.items()]
        return {
            progress.job.student: progress.outcomes
            for progress in engine.run(jobs)
            if progress.finished
        }
    finally:
        engine.close()


@pytest.fixture(scope="module", params=ASSIGNMENTS)
def marked(request):
    """An assignment and the outcomes of its solution, its stub and one independent solution."""
    assignment = ASSIGNMENTS[request.param]
    source = Source(assignment.solution)
    texts = {"solution": source.solution(), "stub": source.stub()}
    texts |= dict(list(independent(assignment).items())[:1])
    return assignment, texts, mark(assignment, texts)


def lost(outcomes):
    return {
        name: outcome.detail
        for name, outcome in outcomes.items()
        if outcome.verdict is not Verdict.PASSED
    }


def test_the_solution_gets_full_marks(marked):
    assert lost(marked[2]["solution"]) == {}


def test_the_stub_gets_nothing_and_is_called_not_written(marked):
    assert {outcome.verdict for outcome in marked[2]["stub"].values()} == {Verdict.NOT_WRITTEN}


def test_a_right_answer_in_another_style_gets_full_marks(marked):
    (style,) = (name for name in marked[1] if name.startswith("independent"))
    assert lost(marked[2][style]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_right_answers_in_all_other_styles_get_full_marks(name):
    outcomes = mark(ASSIGNMENTS[name], independent(ASSIGNMENTS[name]))
    assert {style: lost(found) for style, found in outcomes.items() if lost(found)} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_right_answers_in_all_other_styles_pass_on_further_draws(name):
    """`make thorough` asks the same of the solution, and of every known bug that it is caught (`verify --draws`)."""
    assignment = ASSIGNMENTS[name]
    tests = [test for test in plugin.collect(assignment.hidden_tests) if not test.learning]
    styles = {
        style: InProcess.of(text, assignment.main)
        for style, text in independent(assignment).items()
    }
    runs = itertools.product(tests, styles, range(20, 30))
    failed = [
        (test.name, style, seed)
        for test, style, seed in runs
        if not hidden_test.run(test, styles[style], seed).passed
    ]
    assert failed == []


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ASSIGNMENTS],
)
def test_a_known_bug_loses_the_same_points_on_both_sides_of_the_wall_and_is_named(name):
    assignment = ASSIGNMENTS[name]
    key = diagnose.AnswerKey(assignment)
    bug = key.source.bugs[len(key.source.bugs) // 2].name
    there = mark(assignment, {bug: key.source.broken(bug)})[bug]
    broken = key.broken
    silent = diagnose.AnswerKey(assignment, only=())  # Only the verdicts are asked for here.
    tests = [test for test in plugin.collect(assignment.hidden_tests) if not test.learning]
    here = {test.name: diagnose.judge(test, broken[bug], SEED, silent).verdict for test in tests}
    assert here == {test.name: there[test.name].verdict for test in tests}
    assert bug in {m.bug for outcome in there.values() for m in outcome.named}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_starter_is_fresh(name):
    assert starter.stale(ASSIGNMENTS[name]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seed"),
    [(name, SEED) for name in ASSIGNMENTS] + [(name, seed) for name in QUICK for seed in (12, 13)],
)
def test_every_known_bug_is_named_by_a_real_diagnosis_and_no_other(name, seed):
    """verify compares runs that it made side by side; in marking, what differs from run to run would blind the diagnosis."""
    key = diagnose.AnswerKey(ASSIGNMENTS[name])
    tests = [test for test in plugin.collect(ASSIGNMENTS[name].hidden_tests) if not test.learning]

    def named(bug, by):
        outcomes = naming.examine(key, by, key.broken[bug], seed)
        return {mistake.bug for outcome in outcomes for mistake in outcome.mistakes}

    # its own tests first: they are quick, and mostly enough
    diagnosed = {
        bug: named(bug, [test for test in tests if bug in test.catches]) or named(bug, tests)
        for bug in key.texts
    }
    assert {bug: names for bug, names in diagnosed.items() if names != {bug}} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_fresh_workers_for_every_test_change_no_outcome(name):
    assignment = ASSIGNMENTS[name]
    source = Source(assignment.solution)
    texts = {"solution": source.solution(), "stub": source.stub(), **independent(assignment)}
    texts |= {bug.name: source.broken(bug.name) for bug in source.bugs[:: len(source.bugs) // 5]}
    kept, fresh = (
        mark(
            assignment.model_copy(
                update={"limits": assignment.limits.model_copy(update={"fresh_workers": fresh})}
            ),
            texts,
        )
        for fresh in (False, True)
    )
    assert kept.keys() == texts.keys()
    assert kept == fresh
