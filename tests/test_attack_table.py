"""The table in docs/ATTACKS.md is that of the corpus, and says that all of it is contained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "attacks"))

import run


def report(cases: list, surprise: bool = False) -> run.Report:
    outcome = "3 passed, 2 failed: Timeout, wrong answer"
    return run.Report(
        [run.Result(case, outcome, None if surprise else 1.0, 1.0, 0.1) for case in cases]
    )


def test_the_table_in_the_docs_is_fresh():
    assert run.stale(run.ATTACKS) == [], "python tests/attacks/run.py --markdown writes it again"


@pytest.fixture
def document(tmp_path):
    """A document with a fresh table."""
    path = tmp_path / "ATTACKS.md"
    run.write_markdown(run.table(report(run.all_cases())), path)
    assert run.stale(path) == []
    return path


def test_a_table_that_is_not_written_yet_is_stale(tmp_path):
    path = tmp_path / "ATTACKS.md"
    path.write_text(f"# Attacks\n\n{run.BEGIN}\n{run.END}\n", encoding="utf-8")
    assert len(run.stale(path)) == len(run.all_cases())


def test_a_new_attack_a_changed_one_and_a_removed_one_make_it_stale(document):
    first, second, *rest = run.all_cases()
    run.write_markdown(run.table(report(rest)), document)
    assert run.stale(document) == [
        f"`{name}` is missing or out of date" for name in sorted(map(str, (first, second)))
    ]
    text = document.read_text(encoding="utf-8")
    name = run.row(rest[0])[0]
    document.write_text(text.replace(f"| {name} |", "| `gae/gone` |"), encoding="utf-8")
    assert "`gae/gone` is no longer in the corpus" in run.stale(document)


def test_rows_of_some_attacks_are_exchanged_among_the_others(document):
    first, *rest = run.all_cases()
    run.write_markdown(run.table(report([first], surprise=True)), document)
    run.write_markdown(run.merged(run.table(report(rest)), document), document)
    assert run.stale(document) == [f"{run.row(first)[0]}: ungraded"]
    run.write_markdown(run.merged(run.table(report([first])), document), document)
    assert run.stale(document) == []
    assert document.read_text(encoding="utf-8") == run_again(document)


def run_again(document: Path) -> str:
    run.write_markdown(run.table(report(run.all_cases())), document)
    return document.read_text(encoding="utf-8")


def test_an_attack_that_was_not_contained_is_told(document):
    run.write_markdown(run.table(report(run.all_cases(), surprise=True)), document)
    assert f"{run.row(run.all_cases()[0])[0]}: ungraded" in run.stale(document)


def test_outcomes_in_the_table_hold_no_numbers_that_change():
    assert run.in_short("24 passed, 9 failed: Timeout, wrong answer") == "some tests fail: Timeout"
    assert run.in_short("42 failed: no answer") == "every test fails: no answer"
    assert (
        run.in_short("no effect") == "no effect"
        and run.in_short("refused: a is a link") == "refused: a is a link"
    )
