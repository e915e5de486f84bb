"""Hostile submissions: the whole corpus is marked once behind the wall, and each attack must get
what it deserves."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ATTACKS = Path(__file__).parent / "attacks"
sys.path.insert(0, str(ATTACKS))

import cases  # noqa: E402
import fuzz_submissions  # noqa: E402
import run  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="the wall needs Linux and root"
    ),
    pytest.mark.timeout(900),
]
CASES = run.all_cases()
CONTROLLED = [case for case in CASES if not case.control.startswith("none")]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The corpus, marked."""
    return run.run(CASES, tmp_path_factory.mktemp("attacks"))


@pytest.fixture(scope="module")
def controls():
    """What each attack does where there is no wall."""
    for assignment in cases.NAIVE:
        cases._snapshot(assignment)
    with ThreadPoolExecutor(2) as pool:
        return dict(
            zip(map(str, CONTROLLED), pool.map(cases.control_holds, CONTROLLED), strict=True)
        )


corpus = pytest.mark.corpus  # `make attacks` marks the corpus once, with run.py


@corpus
@pytest.mark.parametrize("case", CASES, ids=str)
def test_attack_gets_what_it_deserves(case, report):
    (result,) = (result for result in report.results if result.case == case)
    assert not result.surprise, f"{case.tries}\n{result.surprise}: {result.outcome}"


@corpus
def test_nobody_else_notices_and_nothing_is_left_behind(report):
    assert report.harm == []


@pytest.mark.parametrize("case", CONTROLLED, ids=str)
def test_attack_works_where_there_is_no_wall(case, controls):
    assert controls[str(case)] == ""


@pytest.mark.parametrize("assignment", cases.NAIVE)
def test_naive_grader_is_right_about_honest_work(assignment):
    honest, stub = (
        cases.Case(assignment, "honest", "", "full", base, "full marks")
        for base in ("solution", "stub")
    )
    assert cases.control_holds(honest) == ""
    assert "'score': 0" in cases.control_holds(stub)


def test_corpus_is_as_large_as_it_should_be():
    assert len(CASES) >= 55
    assert len({case.assignment for case in CASES}) >= 3
    assert len({str(case) for case in CASES}) == len(CASES)


@corpus
def test_the_table_names_every_attack(report):
    table = run.table(report)
    assert len(table.splitlines()) == len(CASES) + 4
    assert f"{len(CASES)} of {len(CASES)} attacks contained" in table or report.surprises


@pytest.mark.parametrize(
    ("docstring", "finding"),
    [
        (
            "Tries: a\n\nDeserves: 0\nBase: stub",
            "has Tries, Deserves, Base; Tries, Deserves, Base, Control are expected",
        ),
        (
            "Tries: a\nDeserves: much\nBase: stub\nControl: works",
            "Deserves: 'much' is none of the forms",
        ),
        ("Tries: a\nDeserves: 0\nBase: all\nControl: works", "Base: 'all' is none of the forms"),
        (
            "Tries: a\nDeserves: 0\nBase: stub\nControl: none",
            "Control: 'none' is none of the forms",
        ),
        ("An attack.", "begins with 'An attack.', not with 'Tries: ...'"),
    ],
)
def test_a_case_that_does_not_say_what_it_deserves_is_refused(docstring, finding):
    with pytest.raises(cases.CorpusError) as refused:
        cases.described(docstring, "corpus/x.py", "gae", "x")
    assert str(refused.value).startswith("corpus/x.py: ") and finding in str(refused.value)


def test_mutated_submissions_get_valid_results_and_harm_nobody(tmp_path):
    assert fuzz_submissions.fuzz(25, 7, tmp_path) == []
