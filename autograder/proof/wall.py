"""What must hold behind the wall: right answers in any style are full, the stub earns nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from autograder.authoring.course import Assignment
from autograder.authoring.right import answers
from autograder.authoring.source import Source
from autograder.marking.engines import Job, LocalEngine
from autograder.model import Outcome, Verdict

SEED = 11
# The solution is full with this part of its CPU seconds: what is slower by a factor of ten,
# with loops and lists where the solution has arrays, has time enough. It is tried where a proof is
# written. Where a proof is compared, on a busy machine of unknown speed, it would prove nothing.
SHARE = 0.1
SOLUTION = "solution"
Outcomes = dict[str, Outcome]


def mark(
    assignment: Assignment,
    texts: Mapping[str, str],
    jobs: int = 1,
    seed: int = SEED,
    shares: Mapping[str, float] | None = None,
) -> dict[str, Outcomes]:
    """The outcomes of these submissions by name, marked as grading marks them, ``jobs`` at a time.

    ``shares``: the parts of the CPU seconds that some of them get.
    Raises IsolationError where nothing can be marked on this machine.
    """
    engine = LocalEngine(assignment, jobs)
    try:
        todo = [
            Job(name, {assignment.main: text.encode()}, seed, (shares or {}).get(name, 1.0))
            for name, text in texts.items()
        ]
        return {
            progress.job.student: dict(progress.outcomes)
            for progress in engine.run(todo)
            if progress.finished
        }
    finally:
        engine.close()


def lost(outcomes: Outcomes) -> list[str]:
    """The tests that were not passed, each with what the staff reads of it."""
    return [
        f"{name} ({(outcome.detail or outcome.verdict.value).splitlines()[0]})"
        for name, outcome in outcomes.items()
        if outcome.verdict is not Verdict.PASSED
    ]


def show(
    assignment: Assignment, say: Callable[[str], None], jobs: int = 1, share: float = SHARE
) -> dict[str, str]:
    """Mark the solution, the stub and every right answer; what each got: "full", "nothing".

    ``share``: the part of its CPU seconds that the solution gets.
    """
    source, styles = Source(assignment.solution), answers(assignment)
    if not styles:
        say(
            f"there is no right answer in another style: grading/{assignment.name}/right/STYLE.py "
            "is the sixth file of an assignment"
        )
    texts = {SOLUTION: source.solution(), "stub": source.stub()}
    texts |= {f"right/{style}.py": text for style, text in styles.items()}
    marked = mark(assignment, texts, jobs, shares={SOLUTION: share})
    shown = {name: _earned(marked.get(name, {})) for name in texts}
    for name in texts:
        wanted = "nothing" if name == "stub" else "full"
        if shown[name] == wanted:
            continue
        found = lost(marked.get(name, {}))
        if name == "stub":
            found = _beyond_the_stub(marked.get(name, {}))
        what = "; ".join(found[:3]) or "nothing was marked"
        say(f"behind the wall {name} does not get {wanted}: {what}")
    return shown


def _earned(outcomes: Outcomes) -> str:
    verdicts = {outcome.verdict for outcome in outcomes.values()}
    words = {Verdict.PASSED: "full", Verdict.NOT_WRITTEN: "nothing"}
    return words.get(verdicts.pop(), "less") if len(verdicts) == 1 else "less"


def _beyond_the_stub(outcomes: Outcomes) -> list[str]:
    return [
        f"{name} ({outcome.verdict.value})"
        for name, outcome in outcomes.items()
        if outcome.verdict is not Verdict.NOT_WRITTEN
    ]
