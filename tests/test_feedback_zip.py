"""The students' pages in the form in which Canvas and Moodle take files back."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from toy import MAIN, NAME
from typer.testing import CliRunner

from autograder.cli import main
from autograder.marking import result_files
from autograder.marking.submission import read_class
from autograder.model import Grade, Outcome, Verdict
from autograder.reports import pages

PASSED = Outcome("test_a", "Sums are sums.", "sums", Verdict.PASSED, 4.0)
CANVAS = {
    f"lovelaceada_50000_812345_{MAIN}": "lovelaceada_50000_812345_feedback.html",
    f"turingalan_LATE_50001_812346_{MAIN}": "turingalan_LATE_50001_812346_feedback.html",
}
MOODLE = {
    f"Ada Lovelace_77_assignsubmission_file_/{MAIN}": (
        "Ada Lovelace_77_assignsubmission_file_/feedback.html"
    ),
    f"Évariste O'Brien_78_assignsubmission_file/{MAIN}": (
        "Évariste O'Brien_78_assignsubmission_file/feedback.html"
    ),
}
FLAT = {
    f"Ada Lovelace_77_assignsubmission_file_{MAIN}": (
        "Ada Lovelace_77_assignsubmission_file_feedback.html"
    )
}
PLAIN = {"ada.py": "ada.html", f"ben/{MAIN}": "ben.html"}


def marked(toy, tmp_path: Path, names) -> Path:
    """Pages for a folder of submissions with these names."""
    for name in names:
        toy.write(f"class/{name}", toy.submission())
    read, _ = read_class(toy.root / "class", MAIN)
    for one in read:
        grade = Grade(one.student, (PASSED,), provenance={"assignment": NAME, "wall": {}})
        result_files.write_results(tmp_path / "out" / NAME, toy.assignment, 4.0, grade)
    pages.write(toy.course, tmp_path / "out" / NAME)
    return tmp_path / "out"


def call(toy, out: Path, *more: object) -> tuple[int, str]:
    arguments = ["feedback", NAME, out, toy.root / "class", "--course", toy.root, *more]
    result = CliRunner().invoke(main.app, [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join((result.stdout + result.stderr).split())


@pytest.mark.parametrize("names", [CANVAS, MOODLE, FLAT, PLAIN])
def test_every_page_is_named_as_its_submission_was(toy, tmp_path, names):
    out = marked(toy, tmp_path, names)
    code, said = call(toy, out)
    assert code == 0 and f"{len(names)} pages" in said
    with zipfile.ZipFile(out / NAME / "feedback.zip") as file:
        assert sorted(file.namelist()) == sorted(names.values())
        for page in file.namelist():
            assert b"What to do next" in file.read(page)
    # A second run of `report` and `grade` is not disturbed by the zip.
    assert result_files.gone(out / NAME) == []


def test_a_page_that_is_missing_or_older_than_its_marks_is_not_packed(toy, tmp_path):
    out = marked(toy, tmp_path, PLAIN)
    page = out / NAME / "ada" / "feedback.html"
    os.utime(page, (1, 1))
    code, said = call(toy, out)
    assert code == 2 and "older than the marks, for ada: run 'report' first" in said
    page.unlink()
    assert call(toy, out)[0] == 2
    pages.write(toy.course, out / NAME)
    assert call(toy, out)[0] == 0
    remark = out / NAME / "ben" / "remark.txt"
    remark.write_text("Well done.")
    os.utime(remark, (2**32, 2**32))
    assert "for ben" in call(toy, out)[1]


def test_who_submitted_a_text_and_no_file_gets_no_page(toy, tmp_path):
    text = "Kurt Gödel_79_assignsubmission_onlinetext_/onlinetext.html"
    out = marked(toy, tmp_path, [*MOODLE, text])
    code, said = call(toy, out)
    assert code == 0 and "2 pages" in said and "submitted no file" in said


def test_gradescope_and_a_single_file_are_refused(toy, tmp_path):
    out = marked(toy, tmp_path, PLAIN)
    toy.write("class/submission_metadata.yml", "{}")
    assert call(toy, out)[1] == "Gradescope shows results by itself and takes no pages"
    arguments = ["feedback", NAME, out, toy.root / "class/ada.py", "--course", toy.root]
    result = CliRunner().invoke(main.app, [str(one) for one in arguments])
    assert result.exit_code == 2 and "everybody's submissions" in " ".join(result.stderr.split())
