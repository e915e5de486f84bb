"""The table in docs/SUBMISSIONS.md is that of the corpus, and says that all is as deserved."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.submissions import run


def rows() -> list[tuple[str, ...]]:
    return [(case.kind, run.cell(case.name), "full marks", "yes") for case in run.cases()]


@pytest.fixture
def document(tmp_path):
    """A document with a fresh table."""
    path = tmp_path / "SUBMISSIONS.md"
    path.write_text(f"# Submissions\n\n{run.BEGIN}\n{run.END}\n", encoding="utf-8")
    run.write(rows(), path)
    assert run.stale(path) == []
    return path


def test_the_table_in_the_docs_is_fresh():
    assert run.stale(run.DOCUMENT) == [], "python -m tests.submissions.run --markdown writes it"


def test_no_two_cases_look_alike_in_the_table():
    assert len({cells[:2] for cells in rows()}) == len(run.cases())


def test_a_new_case_and_a_removed_one_make_it_stale(document):
    first, second, *rest = rows()
    run.write([("file", "not in the corpus", "full marks", "yes"), second, *rest], document)
    assert run.stale(document) == [
        f"{first[0]}: {first[1]} is missing",
        "file: not in the corpus is gone",
    ]


def test_a_case_that_is_not_as_deserved_is_told(document):
    first, *rest = rows()
    run.write([(*first[:3], "no"), *rest], document)
    assert run.stale(document) == [f"{first[0]}: {first[1]}: no"]
