"""The pretend class gets the scores that its README says, and `make demo` shows no traceback."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CLASS = ROOT / "examples" / "submissions"
DESERVED = dict(
    re.findall(
        r"^\| (\w+) \| .* \| ([\d.]+) \|$",
        (CLASS / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
)


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    out = tmp_path_factory.mktemp("marks")
    command = [
        sys.executable,
        "-m",
        "autograder",
        "grade",
        "gae",
        str(CLASS / "gae"),
        "--out",
        str(out),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    return done, out / "gae"


def test_marking_ends_well_and_shows_no_traceback(marked):
    done, _ = marked
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_every_student_of_the_readme_has_a_row_and_nobody_else(marked):
    done, folder = marked
    with (folder / "gradebook.csv").open(newline="") as file:
        assert {row["student"] for row in csv.DictReader(file)} == set(DESERVED)
    assert all(student in done.stdout for student in DESERVED)
    assert len(DESERVED) >= 14


@pytest.mark.parametrize("student", sorted(DESERVED))
def test_score_is_the_one_deserved(marked, student):
    _, folder = marked
    results = json.loads((folder / student / "results.json").read_text())
    assert results["score"] == pytest.approx(float(DESERVED[student]))


@pytest.mark.parametrize(
    "student", ["emmy", "felix", "hana", "ivan", "juno", "kofi", "lena", "mateo", "wanda"]
)
def test_known_mistakes_are_named(marked, student):
    _, folder = marked
    results = json.loads((folder / student / "results.json").read_text())
    assert any("These are the numbers one gets when" in test["output"] for test in results["tests"])
