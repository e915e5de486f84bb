"""The commands, as a person meets them: what is printed, the exit codes 0, 1 and 2, and never a
traceback."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import nbformat
import pytest
from toy import MAIN, NAME, Toy
from typer.testing import CliRunner

import autograder
from autograder.cli import main, table
from autograder.isolation import doctor
from autograder.model import GpuStatus

SCHEMA = json.loads((Path(__file__).parent / "schemas" / "gradescope_results.json").read_text())
REPOSITORY = Path(main.__file__).parents[2]


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    """A terminal in which no sentence is wrapped."""
    for console in (main.out, main.err):
        monkeypatch.setattr(console, "_width", 500)


def call(*arguments: object) -> Said:
    """One command in this process."""
    result = CliRunner().invoke(main.app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return Said(result.exit_code, result.stdout, result.stderr)


def shell(*arguments: object, cwd: Path) -> Said:
    """One command as a separate process."""
    done = subprocess.run(
        [sys.executable, "-m", "autograder", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return Said(done.returncode, done.stdout, done.stderr)


def flat(text: str) -> str:
    """Without the terminal's line breaks."""
    return " ".join(text.split())


# -- grade: one class, marked once for all tests of this section -----------------------------------

NO_DISCOUNT = ("gamma ** np.arange(float(len(rewards)))", "np.ones(len(rewards))")


@dataclass(frozen=True)
class Marked:
    toy: Toy
    submissions: Path
    out: Path
    said: Said

    def results(self, student: str) -> dict:
        return json.loads((self.out / NAME / student / "results.json").read_text())

    def rows(self) -> dict[str, dict[str, str]]:
        with (self.out / NAME / "gradebook.csv").open(encoding="utf-8", newline="") as file:
            return {row["student"]: row for row in csv.DictReader(file)}

    def grade(self, *options: object, out: Path | None = None) -> Said:
        return call(
            "grade",
            NAME,
            self.submissions,
            "--out",
            out or self.out,
            "--jobs",
            2,
            "--course",
            self.toy.root,
            *options,
        )


@pytest.fixture(scope="module")
def marked(tmp_path_factory, server) -> Marked:
    root = tmp_path_factory.mktemp("marked")
    toy = Toy.build(root / "course")
    toy.write("course.secret", "swordfish\n")
    submit = Toy(root / "class").write
    submit("ada.py", toy.submission())
    submit("ben.py", toy.submission(*NO_DISCOUNT))
    submit("cleo.py", toy.source.stub())
    submit("dan.zip", "no zip")
    submit(
        "eve.py",
        toy.submission(
            "def softmax(logits):",
            "import os\n\ndef softmax(logits):\n    print('bye')\n    os._exit(0)\n",
        ),
    )
    submit("fay/sequences.py", "from helper import *\n")
    submit("fay/helper.py", toy.submission())
    submit("gus.py", toy.submission() + "# late\n")
    submit("hal.py", "def discounted(:\n")
    times = {"ada": "2027-02-06T00:10:00Z", "gus": "2027-02-07T12:00:00Z"}
    times |= dict.fromkeys(("ben", "cleo", "dan", "eve", "fay", "hal"), "2027-02-05T12:00:00Z")
    rows = "".join(f"{student},{time}\n" for student, time in times.items())
    submit("received.csv", f"student,received\n{rows}")
    marked = Marked(toy, root / "class", root / "out", Said(0, "", ""))
    return Marked(toy, marked.submissions, marked.out, marked.grade())


def test_a_class_is_marked_and_everybody_has_points(marked):
    assert marked.said.code == 0
    points = {student: row["points"] for student, row in marked.rows().items()}
    assert points == {
        "ada": "10",
        "ben": "5",
        "cleo": "0",
        "dan": "0",
        "eve": "7",
        "fay": "10",
        "gus": "8",
        "hal": "0",
    }


def test_the_table_says_who_got_what_and_what_stands_out(marked):
    said = flat(marked.said.out)
    for words in (
        "Sequences, 10 points",
        "gamma is never used.",
        "not written yet: sums, means",
        "dan.zip is not a zip",
        "8 submissions: ",
    ):
        assert words in said
    assert str(marked.out / NAME) in said.replace(" ", "") or "gradebook.csv" in said
    assert "No course secret" not in said


def test_results_of_all_are_as_gradescope_documents_them(marked):
    for student in marked.rows():
        jsonschema.validate(marked.results(student), SCHEMA)


def test_a_student_reads_the_diagnosis_and_no_expected_value(marked):
    found = marked.results("ben")
    assert found["score"] == 5.0
    outputs = {test["extra_data"]["test"]: test["output"] for test in found["tests"]}
    for name in ("test_two_rewards", "test_three_rewards"):
        assert outputs[name] == (
            "Failed.\nThese are the numbers one gets when gamma is never used."
        )
    assert "One mistake explains your two failed tests:" in found["output"]
    staff = (marked.out / NAME / "ben" / "staff.json").read_text()
    assert "expected" in staff and "expected" not in json.dumps(found)


def test_other_failures_show_the_student_s_own_lines(marked):
    eve = {test["extra_data"]["test"]: test["output"] for test in marked.results("eve")["tests"]}
    assert (
        "Ended: the process ended in the middle of a call (exit code 0)"
        in eve["test_probabilities_sum_to_one"]
    )
    assert eve["test_probabilities_sum_to_one"].endswith("Your code printed:\n  | bye")
    hal = marked.results("hal")
    assert hal["tests"] == []
    assert "sequences.py, line 1 (" in hal["output"] and "is not Python" in hal["output"]
    assert "  |   sequences.py:1 in the file" in hal["output"]
    assert all("TODO(" in test["output"] for test in marked.results("cleo")["tests"])


def test_what_cannot_be_opened_is_explained_to_its_student(marked):
    assert marked.results("dan")["output"].startswith(
        "Your submission could not be opened, so nothing was tested: dan.zip is not a zip file"
    )
    assert marked.rows()["dan"]["note"].startswith("could not be opened: dan.zip is not")


def test_the_late_rule_follows_received_csv(marked):
    assert marked.results("ada")["extra_data"]["late_days"] == 0  # within the grace period
    assert marked.results("gus")["score"] == 8.0
    assert "Submitted 2 days late: 20 % of 10 points are lost." in marked.results("gus")["output"]
    assert marked.rows()["gus"]["late_days"] == "2"


def test_nothing_but_results_is_left_behind(marked):
    assert sorted(path.name for path in (marked.out / NAME).iterdir()) == sorted(
        [*marked.rows(), "gradebook.csv"]
    )
    for student in marked.rows():
        assert sorted(os.listdir(marked.out / NAME / student)) == ["results.json", "staff.json"]
    assert not list(marked.submissions.rglob("__pycache__"))


def test_the_same_command_again_keeps_what_has_not_changed(marked):
    before = {path: path.stat().st_mtime_ns for path in marked.out.rglob("results.json")}
    said = marked.grade("--json")
    after = {path: path.stat().st_mtime_ns for path in marked.out.rglob("results.json")}
    # dan's submission is opened again each time.
    assert {path.parent.name for path in before if after[path] != before[path]} <= {"dan"}
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["student"] for line in lines] == [
        "ada",
        "ben",
        "cleo",
        "dan",
        "eve",
        "fay",
        "gus",
        "hal",
    ]
    assert lines[1] == {
        "student": "ben",
        "state": "tested",
        "points": 5.0,
        "worth": 10.0,
        "points_before_lateness": 5.0,
        "late_days": 0,
        "parts": {"sums": {"points": 0.0, "worth": 5.0}, "means": {"points": 5.0, "worth": 5.0}},
        "note": "gamma is never used.",
        "results": str(marked.out / NAME / "ben" / "results.json"),
        "kept": True,
    }
    gus = lines[6]
    assert (gus["points"], gus["points_before_lateness"], gus["late_days"]) == (8.0, 10.0, 2)
    dan = lines[3]
    assert (dan["state"], dan["points"], dan["parts"]) == ("not_opened", 0.0, {})
    assert (said.code, said.err) == (0, "")


def test_marking_afresh_gives_the_same_bytes_but_for_the_time(marked):
    before = {path: path.read_text() for path in marked.out.rglob("*.json")}
    times = {path: path.stat().st_mtime_ns for path in before}
    said = marked.grade("--fresh", "--quiet")
    assert said == Said(0, "", "")
    for path, text in before.items():
        assert path.stat().st_mtime_ns != times[path]
        key = "execution_time" if path.name == "results.json" else "seconds"
        assert _without(path.read_text(), key) == _without(text, key)


def _without(text: str, key: str) -> list[str]:
    lines = text.splitlines()
    kept = [line for line in lines if not line.startswith(f' "{key}":')]
    assert len(kept) == len(lines) - 1
    return kept


def test_one_file_can_be_marked_alone(marked, tmp_path):
    said = call(
        "grade",
        NAME,
        marked.submissions / "ben.py",
        "--out",
        tmp_path,
        "--course",
        marked.toy.root,
        "--json",
    )
    assert json.loads(said.out)["points"] == 5.0
    again = json.loads((tmp_path / NAME / "ben" / "results.json").read_text())
    assert again["tests"] == marked.results("ben")["tests"]  # the same content, the same inputs


# -- grade: what goes wrong ------------------------------------------------------------------------


def test_a_class_that_could_not_be_graded_ends_with_code_1_and_no_zero(toy, server, tmp_path):
    toy.edit_hidden("numbers - numbers.sum() / 7", "numbers - numbers.sum() / 6")
    path = toy.write("class/ada.py", toy.submission())
    said = call("grade", NAME, path.parent, "--out", tmp_path / "out", "--course", toy.root)
    assert said.code == 1
    assert "ungraded: the reference solution fails this test on the same data" in flat(said.out)
    assert "No course secret is set, so hidden inputs can be foreseen" in flat(said.out)
    (row,) = csv.DictReader((tmp_path / "out" / NAME / "gradebook.csv").open())
    assert (row["points"], row["ungraded"]) == ("", "1")
    found = json.loads((tmp_path / "out" / NAME / "ada" / "results.json").read_text())
    assert "score" not in found and "not your fault" in found["output"]


def test_a_wall_that_cannot_be_had_ends_with_code_2_and_a_remedy(toy, monkeypatch, tmp_path):
    class WeakEngine:
        def __init__(self, assignment, jobs):
            self.tests, self.leaks, self.where, self.gpu = [], [], "this machine", GpuStatus()
            self.layers = doctor.sandbox.Layers(
                uid=False, seccomp=True, landlock=True, namespaces=False
            )

        def close(self):
            pass

    monkeypatch.setattr("autograder.marking.engines.LocalEngine", WeakEngine)
    said = call(
        "grade",
        NAME,
        toy.write("ada.py", "x = 1\n"),
        "--out",
        tmp_path / "out",
        "--course",
        toy.root,
    )
    assert said.code == 2 and said.out == ""
    assert "the wall does not hold on this machine: another uid cannot be had. Run as root" in flat(
        said.err
    )
    assert not (tmp_path / "out").exists()


def wait_for(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(condition())


def alive(group: int) -> bool:
    """Whether a process group has a process that still runs."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, found = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(found) == group and state != "Z":
            return True
    return False


def _hears_ctrl_c() -> None:
    """A background job of a shell without job control inherits SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, server):
    """A class of two, stopped with Ctrl-C while the second is being marked: how it ended, and the
    grader's process group."""
    toy = Toy.build(tmp_path_factory.mktemp("interrupted"))
    toy.write("class/ada.py", toy.submission())
    toy.write("class/zoe.py", "import time\ntime.sleep(60)\n")
    command = [
        sys.executable,
        "-m",
        "autograder",
        "grade",
        NAME,
        "class",
        "--out",
        "out",
        "--jobs",
        "1",
    ]
    with (toy.root / "err").open("w") as err:
        process = subprocess.Popen(
            command,
            cwd=toy.root,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stderr=err,
            preexec_fn=_hears_ctrl_c,
        )
    results = toy.root / "out" / NAME / "ada" / "results.json"
    wait_for(
        lambda: (
            process.poll() is not None
            or (results.exists() and '"complete": true' in results.read_text())
        ),
        60,
    )
    grader = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    process.send_signal(signal.SIGINT)
    process.wait(60)
    yield Said(process.returncode, results.read_text(), (toy.root / "err").read_text()), grader
    with contextlib.suppress(ProcessLookupError):
        os.killpg(grader, signal.SIGKILL)


def test_an_interruption_keeps_what_was_finished_and_says_how_to_go_on(interrupted):
    said, _ = interrupted
    assert said.code == 130 and "Traceback" not in said.err
    assert (
        "Stopped. What was finished is in out/sequences; the same command goes on from there."
        in flat(said.err)
    )
    assert json.loads(said.out)["score"] == 10.0


def test_an_interruption_ends_every_process(interrupted):
    assert wait_for(lambda: not alive(interrupted[1]), 3)


MISTAKES = {
    "no such assignment": (
        ("grade", "sequence", ".", "--out", "out"),
        "no assignment is called 'sequence'; did you mean 'sequences'?",
    ),
    "no such submissions": (
        ("grade", NAME, "nowhere", "--out", "out"),
        "nowhere: there is no such file or folder",
    ),
    "no submissions": (("grade", NAME, "starter", "--out", "out"), None),
    "an engine that there is not": (
        ("grade", NAME, "solutions", "--out", "out", "--engine", "fast"),
        "--engine fast: there are local and ray",
    ),
    "an engine that there is not, to examine": (
        ("doctor", "--engine", "fast"),
        "--engine fast: there are local and ray",
    ),
    "an unknown assignment to verify": (("verify", "nothing"), "no assignment is called 'nothing'"),
    "an unknown assignment to start": (("starter", "nothing"), "no assignment is called 'nothing'"),
    "an unknown assignment to check": (("check", "nothing"), "no assignment is called 'nothing'"),
    "no work to check": (("check", NAME), "sequences.py: there is no such file or folder"),
}


@pytest.mark.parametrize("name", [name for name, (_, words) in MISTAKES.items() if words])
def test_a_wrong_call_ends_with_code_2_and_a_sentence(toy, monkeypatch, name):
    arguments, words = MISTAKES[name]
    monkeypatch.chdir(toy.root)
    said = call(*arguments)
    assert said.code == 2 and said.out == "" and words in flat(said.err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("grade",),
        ("grade", NAME),
        ("grade", NAME, ".", "--out"),
        ("nothing",),
        ("verify", "--nothing"),
        ("grade", NAME, ".", "--jobs", "x", "--out", "o"),
    ],
)
def test_a_call_that_is_none_ends_with_code_2(arguments):
    said = call(*arguments)
    assert said.code == 2 and said.out == "" and "Error" in said.err


def test_a_sentence_is_one_line_wherever_it_goes(toy):
    toy.write("course.yml", "title: [\n")
    said = shell("starter", cwd=toy.root)
    assert said.code == 2 and said.err.count("\n") == 1


COURSES = {
    "course.yml with a mistake": (
        lambda toy: toy.edit("course.yml", "term:", "trem:"),
        "course.yml: 'trem' is not a known key; did you mean 'term'?",
    ),
    "course.yml that is not YAML": (
        lambda toy: toy.write("course.yml", "title: [\n"),
        "course.yml:2: this is not YAML",
    ),
    "no assignment.yml": (
        lambda toy: (toy.root / "assignments" / NAME / "assignment.yml").unlink(),
        "assignment.yml: this file is missing",
    ),
}


@pytest.mark.parametrize(
    "command",
    [
        ("grade", NAME, "x.py", "--out", "out"),
        ("verify",),
        ("starter", "--check"),
        ("check", NAME, "x.py"),
    ],
)
@pytest.mark.parametrize("name", COURSES)
def test_a_course_with_a_mistake_ends_every_command_with_code_2(toy, monkeypatch, name, command):
    change, words = COURSES[name]
    change(toy)
    toy.write("x.py", "x = 1\n")
    monkeypatch.chdir(toy.root)
    said = call(*command)
    assert said.code == 2 and words in flat(said.err)


@pytest.mark.parametrize(
    "missing",
    [f"solutions/{NAME}/{MAIN}", f"assignments/{NAME}/README.md", f"assignments/{NAME}/report.py"],
)
def test_a_file_that_is_missing_is_named(toy, monkeypatch, missing):
    (toy.root / missing).unlink()
    monkeypatch.chdir(toy.root)
    for command in (("starter",), ("starter", "--check")):
        said = call(*command)
        assert said.code == 2 and missing in said.err.replace("\n", "")


def test_an_output_that_is_a_file_is_named(toy, server, monkeypatch):
    toy.write("out", "I am a file\n")
    toy.write("ada.zip", "no zip")
    monkeypatch.chdir(toy.root)
    said = call("grade", NAME, "ada.zip", "--out", "out")
    assert said.code == 2 and flat(said.err) in (
        "out/sequences/ada: Not a directory",
        "out/sequences: Not a directory",
    )


def test_a_marker_mistake_ends_grading_with_file_and_line(toy, server, tmp_path):
    toy.edit_solution("# TODO(means): subtract the mean.", "# TODO: subtract the mean.")
    said = call(
        "grade", NAME, toy.write("ada.py", "x = 1\n"), "--out", tmp_path, "--course", toy.root
    )
    assert (
        said.code == 2
        and f"{NAME}/{MAIN}:21: '# TODO: subtract the mean.' looks like a marker but is not one"
        in said.err.replace("\n", "")
    )


def test_a_folder_without_a_course_is_not_silently_another_course(tmp_path):
    said = call("starter", "--check", "--course", tmp_path)
    assert said.code == 2 and str(tmp_path) in said.err.replace("\n", "")


# -- check -----------------------------------------------------------------------------------------


def test_the_program_says_its_version():
    said = call("--version")
    assert said.code == 0 and said.out == f"autograder {autograder.__version__}\n"


def test_check_tells_a_student_how_the_public_tests_went(toy, monkeypatch):
    monkeypatch.chdir(toy.root)
    toy.write(MAIN, toy.submission(*NO_DISCOUNT))
    said = call("check", NAME)
    assert said.code == 1 and "test_discounted" in said.out and "1 failed, 2 passed" in said.out
    toy.write("mine/hw.py", toy.submission())
    said = call("check", NAME, "mine/hw.py")
    assert said.code == 0 and "3 passed" in said.out


def test_check_says_what_of_a_notebook_grading_leaves_out(toy, server):
    cells = [toy.submission(), "history = train(1)", "2 + 2"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    toy.write("mine.ipynb", nbformat.writes(notebook))
    said = call("check", NAME, toy.root / "mine.ipynb", "--course", toy.root)
    assert said.code == 0, said.out
    assert flat(said.err).startswith(
        "Left out of your notebook, and everything else counts: cell 2: `history = train(1)` ("
    )


def test_check_explains_what_cannot_be_opened(toy, monkeypatch):
    monkeypatch.chdir(toy.root)
    toy.write("mine.zip", "no zip")
    said = call("check", NAME, "mine.zip")
    assert said.code == 2 and "mine.zip: mine.zip is not a zip file that can be opened" in flat(
        said.err
    )


def test_check_takes_the_files_beside_the_main_one_along(toy):
    toy.write(f"work/{MAIN}", "from helper import *\n")
    toy.write("work/helper.py", toy.submission())
    assert call("check", NAME, toy.root / "work", "--course", toy.root).code == 0


def test_check_explains_work_that_never_ends(toy, monkeypatch):
    def never(*args, **kwargs):
        raise subprocess.TimeoutExpired("pytest", 600)

    monkeypatch.setattr("autograder.proof.public.subprocess.run", never)
    toy.write(MAIN, toy.submission())
    said = call("check", NAME, toy.root / MAIN, "--course", toy.root)
    assert said.code in (1, 2) and "600 seconds" in flat(said.out + said.err)


# -- starter ---------------------------------------------------------------------------------------


def test_starter_says_what_it_wrote_and_what_is_stale(toy):
    assert call("starter", "--course", toy.root) == Said(0, "", "")
    assert call("starter", "--check", "--course", toy.root) == Said(0, "", "")
    toy.edit(f"assignments/{NAME}/README.md", "# Sequences", "# New")
    assert call("starter", NAME, "--check", "--course", toy.root) == Said(
        1, f"stale starter/{NAME}/README.md\n", ""
    )
    assert call("starter", "--course", toy.root) == Said(0, f"wrote starter/{NAME}/README.md\n", "")
    assert call("starter", "--check", "--course", toy.root).code == 0


# -- doctor, and the program itself ----------------------------------------------------------------


def test_the_doctor_ends_with_code_1_when_grading_would_refuse(toy, monkeypatch):
    for holds, code in ((True, 0), (False, 1)):
        findings = [
            doctor.Finding("seccomp", holds, "apt-get install libseccomp2", needed=True),
            doctor.Finding("landlock", False, "no"),
        ]
        monkeypatch.setattr(doctor, "inspect", lambda root, findings=findings: findings)
        said = call("doctor", "--course", toy.root)
        assert said.code == code and "apt-get install libseccomp2" in flat(said.out)


def test_the_program_runs_from_any_folder_inside_the_course(toy):
    said = shell("starter", "--check", cwd=toy.root / "solutions" / NAME)
    assert said == Said(0, "", "")
    said = shell("starter", "nothing", cwd=toy.root)
    assert said.code == 2 and "no assignment is called 'nothing'; there are sequences" in flat(
        said.err
    )


def test_help_names_every_command():
    said = call("--help")
    assert said.code == 0
    for name in ("grade", "check", "starter", "verify", "show", "doctor"):
        assert name in said.out


def test_a_student_s_text_cannot_style_the_terminal():
    assert table.plain("[red]\x1b[31mhi[/red]\r\nx").plain == "[red] [31mhi[/red]  x"
    assert len(table.plain("x" * 1000).plain) == 300
