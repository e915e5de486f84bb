"""Grade -> sentences: the feedback to a student, and the note about the student for staff."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from autograder.authoring.course import Assignment
from autograder.errors import Limit
from autograder.marking.score import earned, score
from autograder.model import Basis, Grade, Mistake, Outcome, State, Verdict

WORDS = {
    Verdict.PASSED: "passed",
    Verdict.FAILED: "failed",
    Verdict.NOT_WRITTEN: "not written yet",
    Verdict.UNGRADED: "could not be graded, which is not your fault and costs you no points",
}
STATES = {
    State.NOT_OPENED: "could not be opened",
    State.NOT_IMPORTED: "could not be imported",
    State.UNDECIDED: "needs your instructor's decision",
}
LIMITS = {
    Limit.COMPUTING: "This test was ended because your code computed for too long.",
    Limit.WAITING: "This test was ended because your code waited for too long without computing.",
}
_NOT_THERE = re.compile(r"AttributeError: module '\w+' has no attribute '(\w+)'")
# At most this many characters of the student's prints are shown with a test.
MAX_PRINTS = 2000


# -- for the student -------------------------------------------------------------------------------
_LEFT_OUT = re.compile(r"cell (\d+): `")
# At most this many statements of a notebook are named.
MAX_LEFT_OUT = 10


def student_text(outcome: Outcome) -> str:
    """What a student reads about one test: no expected values, hidden inputs or assertion text."""
    lines = [WORDS[outcome.verdict][0].upper() + WORDS[outcome.verdict][1:] + "."]
    if outcome.extra:
        lines.append("No points depend on this part, which needs a GPU.")
    lines += [f"{rate:,.6g} {name}." for name, rate in outcome.rates.items()]
    if outcome.limit:
        lines.append(LIMITS[outcome.limit])
    if outcome.verdict is Verdict.FAILED:
        # A hint speaks of the test's own idea, which is not the cause where a mistake is named.
        hint = "" if outcome.named else f"Hint: {outcome.hint}"
        lines += [text for text in (mistake_sentence(outcome), outcome.finding, hint) if text]
    if outcome.verdict in (Verdict.FAILED, Verdict.NOT_WRITTEN) and outcome.error:
        lines += ["Your code:", quoted(outcome.error)]
    if outcome.verdict is Verdict.FAILED and outcome.prints.strip():
        text = outcome.prints.strip()
        more = " ..." if len(text) > MAX_PRINTS else ""
        lines += ["Your code printed:", quoted(text[:MAX_PRINTS] + more)]
    return "\n".join(lines)


def mistake_sentence(outcome: Outcome) -> str:
    """What a student reads about the mistakes that were recognised in one test; "" if none were."""
    if not outcome.mistakes:
        return ""
    first, *others = (mistake.when for mistake in outcome.mistakes)
    if others:
        return f"Two mistakes at once give these numbers. First, {first} Second, {others[0]}"
    if outcome.basis is Basis.HERE_ALONE:
        return (
            f"In this test your numbers are those that one gets when {first} Other failed tests do"
            " not fit that: the mistake may be another one that has the same effect here."
        )
    if outcome.basis is Basis.FOLLOWS:
        return f"This follows from a mistake that another test is about: {first}"
    return f"These are the numbers one gets when {first}"


def explanation(outcomes: Sequence[Outcome]) -> list[str]:
    """How many mistakes explain how many failed tests, and each mistake once with its tests."""
    about: dict[Mistake, list[str]] = {}
    following: dict[Mistake, list[str]] = {}
    explained = failed = 0
    for number, outcome in enumerate(outcomes, 1):
        failed += outcome.verdict is Verdict.FAILED
        explained += bool(outcome.named)
        for mistake in outcome.named:
            kind = following if outcome.basis is Basis.FOLLOWS else about
            kind.setdefault(mistake, []).append(str(number))
    mistakes = list(dict.fromkeys((*about, *following)))
    if not mistakes:
        return []
    one = len(mistakes) == 1
    tests = "failed test" if failed == 1 else "failed tests"
    share = "your" if explained == failed else f"{_word(explained)} of your"
    lines = [
        f"{_word(len(mistakes)).capitalize()} {'mistake explains' if one else 'mistakes explain'}"
        f" {share} {f'{_word(failed)} ' if failed > 1 else ''}{tests}:"
    ]
    for mistake in mistakes:
        where = [_tests(about[mistake])] if mistake in about else []
        if mistake in following:
            where.append(f"as a consequence {_tests(following[mistake])}")
        lines.append(f"- {sentence(mistake.when)} ({'; '.join(where)})")
    return lines


def sentence(when: str) -> str:
    """When one makes a mistake, as a sentence of its own."""
    return when[0].upper() + when[1:]


def _tests(numbers: Sequence[str]) -> str:
    return f"{'test' if len(numbers) == 1 else 'tests'} {', '.join(numbers)}"


def _word(number: int) -> str:
    words = "one two three four five six seven eight nine ten eleven twelve".split()
    return words[number - 1] if number <= len(words) else str(number)


def headline(assignment: Assignment, worth: float, grade: Grade) -> str:
    """The paragraph above the tests."""
    total = score(grade, worth)
    if grade.state is not State.TESTED:
        lines = _untested(grade, worth)
    elif total.points is not None:
        lines = [f"{assignment.title}: {total.points:g} of {worth:g} points."]
    elif any(outcome.open for outcome in grade.outcomes):
        lines = [
            "Not everything could be graded. That is not your fault, and nothing below counts as"
            " zero."
        ]
    else:
        lines = [
            f"Still being graded: {len(grade.outcomes)} tests so far, and more will follow. Nothing"
            " below is final."
        ]
    unwritten = [outcome for outcome in grade.outcomes if outcome.verdict is Verdict.NOT_WRITTEN]
    if unwritten:
        parts = ", ".join(sorted({outcome.part for outcome in unwritten}))
        lines.append(f"Not written yet: {parts}.")
    lines += explanation(grade.outcomes)
    if missing := not_there(grade):
        lines.append(
            f"Not there: {', '.join(missing)}. Name each function as the starter does, in the file"
            " or notebook that you submit."
        )
    if grade.late_days:
        days = "1 day" if grade.late_days == 1 else f"{grade.late_days} days"
        lost = 100 * (1 - grade.late_factor)
        of = f"{earned(grade.outcomes):g} points" if grade.outcomes else "the points"
        lines.append(f"Submitted {days} late: {lost:.0f} % of {of} are lost.")
    lines += [f"{said}." for said in remarks(grade.notes)]
    wall = grade.provenance.get("wall", {})
    if not (wall.get("uid") and wall.get("seccomp")) or grade.provenance.get("leaks"):
        lines.append("Marked without the full wall between student code and grader (--allow-weak).")
    return "\n".join(lines)


def remarks(notes: Iterable[str]) -> list[str]:
    """What was marked, and what of a notebook was left out, as sentences without a full stop."""
    lines = [one_line(text) for text in notes]
    by_cell = {text: int(found[1]) for text in lines if (found := _LEFT_OUT.match(text))}
    left_out = sorted(by_cell, key=by_cell.__getitem__)
    if left_out:
        more = f", and {len(left_out) - MAX_LEFT_OUT} more" if len(left_out) > MAX_LEFT_OUT else ""
        shown = "; ".join(left_out[:MAX_LEFT_OUT])
        left_out = [f"Left out of your notebook, and everything else counts: {shown}{more}"]
    return [text for text in lines if not _LEFT_OUT.match(text)] + left_out


def _untested(grade: Grade, worth: float) -> list[str]:
    """Why nothing was tested, said once and on top."""
    lines = [
        f"Your submission {STATES[grade.state]}, so nothing was tested: {problem_line(grade)}."
    ]
    if grade.error:
        lines += ["Your code:", quoted(grade.error)]
    if grade.counts_zero:
        lines.append(f"As it is, it earns 0 of {worth:g} points.")
    else:
        lines.append("There is no score until this is settled; it is not a zero.")
    return lines


def problem_line(grade: Grade) -> str:
    """Why nothing was tested, as one line without a full stop."""
    return one_line(grade.problem).rstrip(".")


def quoted(text: str) -> str:
    """The student's own text, marked so that none of it can pose as ours."""
    return "\n".join(
        "  | " + "".join(c for c in line if c.isprintable() or c == "\t")
        for line in text.splitlines()
    )


def not_there(grade: Grade) -> list[str]:
    """Names that tests asked for and the submission does not have."""
    found = (_NOT_THERE.match(outcome.error) for outcome in grade.outcomes)
    return list(dict.fromkeys(match[1] for match in found if match))


def one_line(text: str) -> str:
    """A student's text (also a file's name) without what breaks a line or acts on a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


# -- for the instructor ----------------------------------------------------------------------------


def note(grade: Grade) -> str:
    """Who got what and why, in one line."""
    if grade.state is not State.TESTED:
        words = "needs your decision" if grade.state is State.UNDECIDED else STATES[grade.state]
        return f"{words}: {problem_line(grade)}"
    failed = [one for one in grade.outcomes if one.verdict is not Verdict.PASSED and not one.extra]
    if ungraded := [outcome for outcome in failed if outcome.verdict is Verdict.UNGRADED]:
        return "ungraded: " + (ungraded[0].detail.split("\n")[0] or "unknown")
    if not grade.complete:
        return "ungraded: marking was cut off; run the same command again"
    if not failed:
        return "all passed"
    missing = not_there(grade)
    if missing and not any(outcome.verdict is Verdict.PASSED for outcome in grade.outcomes):
        names = ", ".join(missing[:5]) + (", ..." if missing[5:] else "")
        return f"has none of the functions that are asked for ({names})"
    return _why_it_failed(failed)


def _why_it_failed(failed: list[Outcome]) -> str:
    """The mistake that explains most; otherwise the reason that most tests give."""
    mistakes = Counter(mistake for outcome in failed for mistake in outcome.named)
    if mistakes:
        ((first, _),) = mistakes.most_common(1)
        return first.when + (f" (+{len(mistakes) - 1} more)" if len(mistakes) > 1 else "")
    if all(outcome.verdict is Verdict.NOT_WRITTEN for outcome in failed):
        return f"not written yet: {', '.join(dict.fromkeys(outcome.part for outcome in failed))}"
    wrong = [outcome for outcome in failed if outcome.verdict is Verdict.FAILED]
    reasons = Counter(
        reason for outcome in wrong if (reason := outcome.error.split("\n")[0] or outcome.finding)
    )
    reason, count = reasons.most_common(1)[0] if reasons else ("", 0)
    return reason if 4 * count >= len(wrong) else f"fails: {wrong[0].says}"
