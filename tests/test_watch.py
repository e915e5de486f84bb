"""What is shown while a class is marked, and the sentence at the end."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from rich.console import Console

from autograder.cli.watch import Watch, summary
from autograder.model import Grade, Outcome, Verdict


def marked(*verdicts: Verdict) -> Grade:
    return Grade(
        "ada",
        tuple(
            Outcome(f"t{n}", "It is.", "sums", verdict, 1.0) for n, verdict in enumerate(verdicts)
        ),
    )


def shown(terminal: bool, silent: bool = False) -> str:
    text = io.StringIO()
    with Watch(Console(file=text, force_terminal=terminal, width=160), silent) as watch:
        watch.tell(marked(Verdict.PASSED, Verdict.FAILED), 3)
        watch.tell(marked(Verdict.PASSED, Verdict.UNGRADED), 3)
    return text.getvalue()


def test_the_bar_shows_how_many_and_the_verdicts():
    last = shown(terminal=True)
    assert "2/3" in last and "1 failed, 2 passed, 1 ungraded" in last and "left" in last


@pytest.mark.parametrize("options", [{"terminal": False}, {"terminal": True, "silent": True}])
def test_nothing_is_shown_where_nobody_watches(options):
    assert shown(**options).strip() == ""


@pytest.mark.parametrize(
    ("kept", "reasons", "said"),
    [
        (3, {}, "Kept all 3: nothing has changed."),
        (0, {}, "Nothing had to be marked."),
        (0, {"new": 2}, "Kept 0 unchanged; marked 2: 2 new."),
        (
            5,
            {"new": 1, "the submission changed": 2},
            "Kept 5 unchanged; marked 3: 2 (the submission changed), 1 new.",
        ),
        (0, {"not finished before": 1}, "Kept 0 unchanged; marked 1: 1 not finished before."),
    ],
)
def test_the_end_says_what_was_kept_and_why_the_rest_was_marked(kept, reasons, said):
    assert summary(kept, Counter(reasons)) == said


def test_the_numbers_add_up_to_the_class():
    said = " Nothing to run in 2: not opened, or waiting for your decision."
    assert summary(17, Counter({"new": 10}), idle=2).endswith(f"marked 10: 10 new.{said}")
    assert summary(27, Counter(), idle=2) == f"Kept all 27: nothing has changed.{said}"


def test_it_says_whose_lateness_alone_was_counted_again():
    moved = Counter({"the due date or late rule": 3})
    said = (
        " Counted lateness again for 3, without running anything: the due date or late "
        "rule changed."
    )
    assert summary(3, Counter(), moved) == f"Kept 0 unchanged.{said}"
    assert summary(5, Counter({"new": 1}), moved) == f"Kept 2 unchanged; marked 1: 1 new.{said}"


def test_a_change_of_the_tests_says_that_it_marks_everybody_again():
    said = summary(0, Counter({"the hidden tests changed": 4}))
    assert said.endswith("so everybody is marked again when the hidden tests change.")
