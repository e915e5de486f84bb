"""The pipeline: what is marked, kept, open or late, with a paper engine and with the real one."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import datetime, timedelta

import pytest
from toy import MAIN, NAME

from autograder.errors import IsolationError
from autograder.isolation.wall.sandbox import Layers
from autograder.marking import result_files
from autograder.marking.engines import Job, Listed, LocalEngine, Progress
from autograder.marking.engines.local import Cores
from autograder.marking.grade import Grading
from autograder.marking.submission import Submission
from autograder.model import GpuStatus, Outcome, Verdict

TESTS = [Listed("test_a", "A.", "sums", 2.0, False), Listed("test_b", "B.", "means", 3.0, False)]
STRONG = Layers(uid=True, seccomp=True, landlock=True, namespaces=True)


class PaperEngine:
    """Answers what it is told to, and remembers which jobs it was given."""

    def __init__(
        self,
        *verdicts: Verdict,
        layers: Layers = STRONG,
        leaks: tuple[str, ...] = (),
        trouble: str = "",
        finished: bool = True,
    ):
        self.tests, self.layers, self.leaks, self.where = TESTS, layers, list(leaks), "this machine"
        self.gpu = GpuStatus()
        self._verdicts, self._trouble, self._finished = verdicts, trouble, finished
        self.jobs: list[Job] = []

    def run(self, jobs):
        for job in jobs:
            self.jobs.append(job)
            progress = Progress(job)
            for test, verdict in zip(TESTS, self._verdicts, strict=False):
                progress.outcomes[test.name] = Outcome(
                    test.name, test.says, test.part, verdict, test.worth
                )
                yield progress
            progress.finished, progress.trouble = self._finished, self._trouble
            yield progress


def submission(student: str = "ada", text: bytes = b"x = 1\n", **more) -> Submission:
    return Submission(student, {} if more.get("problem") else {MAIN: text}, **more)


@pytest.fixture
def mark(toy, tmp_path):
    """Runs one grading of some submissions with a paper engine."""

    def run(
        engine: PaperEngine, *submissions: Submission, fresh: bool = False, allow_weak: bool = False
    ):
        grading = Grading(toy.course, toy.assignment, engine, tmp_path / "out", allow_weak)
        return {
            grade.student: grade
            for grade in grading.run(submissions, fresh, lambda grade, total: None)
        }

    return run


def results(tmp_path, student: str = "ada") -> dict:
    return json.loads((tmp_path / "out" / "sequences" / student / result_files.RESULTS).read_text())


# -- what is marked --------------------------------------------------------------------------------


def test_every_submission_gets_its_results_and_a_row(mark, tmp_path):
    grades = mark(
        PaperEngine(Verdict.PASSED, Verdict.FAILED),
        submission("ada"),
        submission("ben", b"y = 1\n"),
    )
    assert list(grades) == ["ada", "ben"]
    assert results(tmp_path)["score"] == 2.0 and results(tmp_path)["extra_data"]["max_score"] == 5.0
    assert (tmp_path / "out" / "sequences" / result_files.GRADEBOOK).read_text().count("\n") == 3


def test_what_cannot_be_opened_is_not_sent_to_the_engine(mark, tmp_path):
    engine = PaperEngine(Verdict.PASSED, Verdict.PASSED)
    grades = mark(engine, submission("ada", problem="it is encrypted"), submission("ben"))
    assert [job.student for job in engine.jobs] == ["ben"]
    assert grades["ada"].problem == "it is encrypted" and results(tmp_path)["score"] == 0.0
    assert results(tmp_path)["output"] == (
        "Your submission could not be opened, so nothing was tested: it is encrypted.\n"
        "As it is, it earns 0 of 5 points."
    )


def test_what_was_found_is_written_before_a_submission_is_finished(toy, tmp_path):
    """Whatever cuts grading off, kill -9 included, tests that were reached have their results."""
    seen = []

    class Watched(PaperEngine):
        def run(self, jobs):
            for progress in super().run(jobs):
                yield progress
                seen.append(
                    [test["status"] for test in results(tmp_path)["tests"]]
                    if not progress.finished
                    else None
                )

    grading = Grading(
        toy.course,
        toy.assignment,
        Watched(Verdict.PASSED, Verdict.FAILED),
        tmp_path / "out",
        write_every=0.0,
    )
    grading.run([submission()], False, lambda grade, left: None)
    assert seen == [["passed"], ["passed", "failed"], None]


def test_the_same_content_meets_the_same_inputs_and_other_content_others(mark):
    engine = PaperEngine(Verdict.PASSED, Verdict.PASSED)
    for one in (submission("ada"), submission("ben"), submission("cleo", b"other = 1\n")):
        mark(engine, one)
    ada, ben, cleo = (job.seed for job in engine.jobs)
    assert ada == ben != cleo


def test_the_secret_decides_which_inputs(mark, monkeypatch):
    seeds = []
    for secret in ("one", "two", "one"):
        monkeypatch.setenv("AUTOGRADER_SECRET", secret)
        engine = PaperEngine(Verdict.PASSED, Verdict.PASSED)
        mark(engine, submission())
        seeds += [job.seed for job in engine.jobs]
    assert len(seeds) == 3 and seeds[0] == seeds[2] != seeds[1]


def test_the_secret_itself_is_written_nowhere(mark, monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOGRADER_SECRET", "swordfish")
    mark(PaperEngine(Verdict.PASSED, Verdict.PASSED), submission())
    assert not any(
        "swordfish" in path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()
    )
    assert results(tmp_path)["extra_data"]["provenance"]["secret"] != "none"


# -- lateness --------------------------------------------------------------------------------------


def test_a_late_hand_in_loses_its_share(mark, toy, tmp_path):
    late = submission(received=toy.assignment.due + timedelta(days=1, hours=2))
    grade = mark(PaperEngine(Verdict.PASSED, Verdict.PASSED), late)["ada"]
    assert (grade.late_days, grade.late_factor) == (2, 0.8)
    assert (
        results(tmp_path)["score"] == 4.0
        and "Submitted 2 days late: 20 %" in results(tmp_path)["output"]
    )


def test_what_cannot_be_opened_can_be_late_as_well(mark, toy):
    late = submission(
        problem="it is encrypted", received=toy.assignment.due + timedelta(days=1, hours=2)
    )
    assert mark(PaperEngine(), late)["ada"].late_days == 2


# -- what stays open -------------------------------------------------------------------------------


def test_an_ungraded_test_keeps_the_grade_open(mark, tmp_path):
    grade = mark(PaperEngine(Verdict.PASSED, Verdict.UNGRADED), submission())["ada"]
    assert not grade.complete and "score" not in results(tmp_path)


def test_tests_that_were_not_reached_are_ungraded_with_the_reason(mark, tmp_path):
    grade = mark(PaperEngine(Verdict.PASSED, trouble="the marking process ended"), submission())[
        "ada"
    ]
    assert [outcome.verdict for outcome in grade.outcomes] == [Verdict.PASSED, Verdict.UNGRADED]
    assert grade.outcomes[1].detail == "the marking process ended"
    assert "the marking process ended" not in json.dumps(results(tmp_path))


def test_what_was_found_before_an_interruption_is_written_and_open(mark, tmp_path):
    class Interrupted(PaperEngine):
        def run(self, jobs):
            yield next(iter(super().run(jobs)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mark(Interrupted(Verdict.PASSED, Verdict.PASSED), submission())
    found = results(tmp_path)
    assert (
        len(found["tests"]) == 1
        and "score" not in found
        and found["extra_data"]["complete"] is False
    )


def test_however_it_ends_the_gradebook_has_a_row_for_everybody_and_no_zero(mark, tmp_path):
    class Interrupted(PaperEngine):
        def run(self, jobs):
            yield from super().run(jobs[:1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mark(
            Interrupted(Verdict.PASSED, Verdict.PASSED),
            submission("ada"),
            submission("ben", b"y = 1\n"),
        )
    _, ada, ben = (tmp_path / "out" / "sequences" / result_files.GRADEBOOK).read_text().splitlines()
    assert (
        ada.startswith("ada,5,") and ben.startswith("ben,,") and "run the same command again" in ben
    )


def test_equal_content_is_marked_once_for_all(mark, tmp_path):
    engine = PaperEngine(Verdict.PASSED, Verdict.FAILED)
    grades = mark(engine, submission("ada"), submission("ben"), submission("cleo", b"y = 1\n"))
    assert [job.student for job in engine.jobs] == ["ada", "cleo"]
    assert (
        grades["ben"].outcomes == grades["ada"].outcomes
        and results(tmp_path, "ben")["score"] == 2.0
    )


def test_equal_content_can_differ_in_lateness(mark, toy):
    late = submission("ben", received=toy.assignment.due + timedelta(days=1, hours=2))
    grades = mark(PaperEngine(Verdict.PASSED, Verdict.PASSED), submission("ada"), late)
    assert (grades["ada"].late_days, grades["ben"].late_days) == (0, 2)


# -- what is kept ----------------------------------------------------------------------------------


def test_an_unchanged_submission_is_not_marked_again(mark):
    first = mark(PaperEngine(Verdict.PASSED, Verdict.FAILED), submission())
    engine = PaperEngine(Verdict.FAILED, Verdict.FAILED)
    assert mark(engine, submission()) == first and engine.jobs == []


def test_fresh_marks_it_again(mark):
    mark(PaperEngine(Verdict.PASSED, Verdict.FAILED), submission())
    engine = PaperEngine(Verdict.FAILED, Verdict.FAILED)
    assert (
        mark(engine, submission(), fresh=True)["ada"].outcomes[0].verdict is Verdict.FAILED
        and len(engine.jobs) == 1
    )


CHANGES = {
    "the submission": lambda toy, monkeypatch: submission(text=b"x = 2\n"),
    "the hidden tests": lambda toy, monkeypatch: toy.edit_hidden("rtol=1e-5", "rtol=1e-6"),
    "the solution": lambda toy, monkeypatch: toy.edit_solution(
        "gamma is never used.", "gamma is forgotten."
    ),
    "the limits": lambda toy, monkeypatch: toy.edit(
        "assignments/sequences/assignment.yml", "call_seconds: 2", "call_seconds: 3"
    ),
    "the secret": lambda toy, monkeypatch: monkeypatch.setenv("AUTOGRADER_SECRET", "new"),
    "the locked requirements": lambda toy, monkeypatch: toy.write(
        "requirements/lock.txt", "numpy==1\n"
    ),
    "the engine": lambda toy, monkeypatch: monkeypatch.setattr(
        "autograder.marking.provenance._digest", lambda paths: "another"
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_a_score_depends_on_makes_it_stale(mark, toy, monkeypatch, name):
    mark(PaperEngine(Verdict.PASSED, Verdict.FAILED), submission())
    changed = CHANGES[name](toy, monkeypatch)
    engine = PaperEngine(Verdict.PASSED, Verdict.PASSED)
    mark(engine, changed if isinstance(changed, Submission) else submission())
    assert len(engine.jobs) == 1


LATENESS = {
    "the time of receipt": (lambda toy: None, "2027-02-08T08:00:00Z", 3, 0.7),
    "the due date": (lambda toy: toy.edit("course.yml", "2027-02-05", "2027-02-07"), "", 0, 1.0),
    "the late rule": (
        lambda toy: toy.edit("course.yml", "per_day: 0.1", "per_day: 0.2"),
        "",
        2,
        0.6,
    ),
}


@pytest.mark.parametrize("name", LATENESS)
def test_what_only_lateness_depends_on_is_scored_anew_and_runs_nothing(toy, tmp_path, name):
    change, received, days, factor = LATENESS[name]

    def run(received: str):
        engine = PaperEngine(Verdict.PASSED, Verdict.FAILED)
        grading = Grading(toy.course, toy.assignment, engine, tmp_path / "out")
        read = [submission(received=datetime.fromisoformat(received))]
        (grade,) = grading.run(read, False, lambda grade, total: None)
        return grade, grading, engine.jobs

    before, _, jobs = run("2027-02-07T08:00:00Z")
    assert len(jobs) == 1 and (before.late_days, before.late_factor) == (2, 0.8)
    change(toy)
    after, grading, jobs = run(received or "2027-02-07T08:00:00Z")
    assert jobs == [] and (after.late_days, after.late_factor) == (days, pytest.approx(factor))
    assert after.outcomes == before.outcomes and grading.rescored.total() == 1
    assert result_files.read_grade(grading.folder, "ada") == after
    assert f",{days}," in (grading.folder / "gradebook.csv").read_text()
    _, grading, jobs = run(received or "2027-02-07T08:00:00Z")
    assert jobs == [] and not grading.rescored


def test_another_wall_makes_it_stale(mark):
    mark(PaperEngine(Verdict.PASSED, Verdict.FAILED), submission())
    engine = PaperEngine(
        Verdict.PASSED, Verdict.FAILED, layers=dataclasses.replace(STRONG, namespaces=False)
    )
    mark(engine, submission())
    assert len(engine.jobs) == 1


def test_what_stayed_open_is_marked_again(mark):
    mark(PaperEngine(Verdict.PASSED, Verdict.UNGRADED), submission())
    engine = PaperEngine(Verdict.PASSED, Verdict.PASSED)
    assert mark(engine, submission())["ada"].complete and len(engine.jobs) == 1


def test_a_hand_in_that_could_be_mended_is_marked(mark):
    mark(PaperEngine(), submission(problem="it is encrypted"))
    engine = PaperEngine(Verdict.PASSED, Verdict.PASSED)
    assert mark(engine, submission())["ada"].complete and len(engine.jobs) == 1


REASONS = {
    "the submission": "the submission changed",
    "the hidden tests": "the hidden tests changed",
    "the limits": "the limits changed",
    "the secret": "the course's secret changed",
}


@pytest.mark.parametrize("name", REASONS)
def test_why_something_is_marked_again_is_said(toy, tmp_path, monkeypatch, name):
    def run(*submissions):
        grading = Grading(
            toy.course,
            toy.assignment,
            PaperEngine(Verdict.PASSED, Verdict.PASSED),
            tmp_path / "out",
        )
        grading.run(submissions, False, lambda grade, total: None)
        return grading

    assert run(submission("ada")).reasons == {"new": 1}
    changed = CHANGES[name](toy, monkeypatch)
    again = run(
        changed if isinstance(changed, Submission) else submission("ada"), submission("ben")
    )
    assert again.reasons == {REASONS[name]: 1, "new": 1} and again.kept == set()
    assert run(submission("ben")).kept == {"ben"}


def test_a_hand_in_that_still_cannot_be_opened_is_not_written_again(mark, tmp_path):
    mark(PaperEngine(), submission(problem="it is encrypted"))
    path = tmp_path / "out" / "sequences" / "ada" / result_files.RESULTS
    before = path.stat().st_mtime_ns
    mark(PaperEngine(), submission(problem="it is encrypted"))
    assert path.stat().st_mtime_ns == before


# -- the wall must hold ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (PaperEngine(layers=dataclasses.replace(STRONG, uid=False)), "another uid cannot be had"),
        (PaperEngine(layers=dataclasses.replace(STRONG, seccomp=False)), "seccomp cannot be had"),
        (
            PaperEngine(leaks=("open a network socket (None)",)),
            "a worker can open a network socket (None)",
        ),
    ],
)
def test_a_wall_that_does_not_hold_is_refused_with_a_remedy(mark, engine, words):
    with pytest.raises(IsolationError) as raised:
        mark(engine, submission())
    assert (
        words in str(raised.value)
        and "--allow-weak" in str(raised.value)
        and "doctor" in str(raised.value)
    )


def test_a_weak_wall_can_be_accepted_and_the_results_say_so(mark, tmp_path):
    mark(
        PaperEngine(
            Verdict.PASSED, Verdict.PASSED, layers=dataclasses.replace(STRONG, seccomp=False)
        ),
        submission(),
        allow_weak=True,
    )
    assert "Marked without the full wall" in results(tmp_path)["output"]
    assert results(tmp_path)["extra_data"]["provenance"]["wall"]["seccomp"] is False


def test_a_wall_that_leaks_and_was_accepted_is_said_too(mark, tmp_path):
    mark(
        PaperEngine(Verdict.PASSED, Verdict.PASSED, leaks=("open a network socket (None)",)),
        submission(),
        allow_weak=True,
    )
    assert "Marked without the full wall" in results(tmp_path)["output"]


# -- the engine itself -----------------------------------------------------------------------------


@pytest.fixture
def engine(server, toy):
    """Starts real engines (``server`` is asked for because it skips where there can be no wall)."""
    started = []

    def start(jobs: int = 2) -> LocalEngine:
        started.append(LocalEngine(toy.assignment, jobs))
        return started[-1]

    yield start
    for one in started:
        one.close()


def final(engine: LocalEngine, jobs: list[Job]) -> dict[str, Progress]:
    ended = [progress for progress in engine.run(jobs) if progress.finished]
    # A second report of the same end would count a submission twice.
    assert len(ended) == len(jobs)
    return {progress.job.student: progress for progress in ended}


def test_a_marker_that_dies_is_tried_once_more_and_then_reported(engine, toy):
    tries = toy.write("tries", "")
    toy.edit_hidden(
        "    logits = rng.normal(size=4)",
        f"    import os\n    open({str(tries)!r}, 'a').write('x')\n    os._exit(1)",
    )
    found = final(
        engine(),
        [
            Job("ada", {MAIN: toy.submission().encode()}, 1),
            Job("ben", {MAIN: toy.source.stub().encode()}, 2),
        ],
    )
    for progress in found.values():
        assert progress.trouble == "the marking process ended before it was done"
        assert "test_probabilities_sum_to_one" not in progress.outcomes
    assert tries.read_text() == "xxxx"
    # What was found before is still valid.
    assert found["ada"].outcomes["test_three_rewards"].verdict is Verdict.PASSED
    assert found["ben"].outcomes["test_three_rewards"].verdict is Verdict.NOT_WRITTEN


def test_a_marker_and_its_workers_share_a_core_where_every_core_has_a_marker(engine, toy):
    cores = sorted(os.sched_getaffinity(0))
    asking = toy.submission().replace(
        "    weights = gamma",
        "    import os\n    print(sorted(os.sched_getaffinity(0)))\n    return 1.0\n"
        "    weights = gamma",
    )

    def seen(jobs: int) -> set[str]:
        found = final(engine(jobs), [Job(name, {MAIN: asking.encode()}, 1) for name in "abcd"])
        return {
            progress.outcomes[test].prints.strip()
            for progress in found.values()
            for test in ("test_two_rewards", "test_three_rewards")
        }

    assert seen(len(cores)) <= {str([core]) for core in cores}
    assert len(seen(2 * len(cores))) == len(cores)
    if len(cores) > 1:
        assert seen(len(cores) - 1) == {str(cores)}


def test_each_marker_gets_the_core_that_fewest_have(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    cores = Cores(4)
    assert [cores.take() for _ in range(4)] == [3, 5, 3, 5]
    cores.give_back(5)
    assert (cores.take(), Cores(1).take()) == (5, None)


@pytest.fixture
def impatient(toy, monkeypatch):
    """The toy course's tests may take a second, and the command has hardly more patience."""
    toy.edit(f"assignments/{NAME}/assignment.yml", "test_seconds: 20", "test_seconds: 1")
    monkeypatch.setattr("autograder.isolation.times.SILENCE_SECONDS", 0.5)


def test_a_marker_that_falls_silent_is_ended(engine, toy, impatient):
    deaf = (
        "    import signal, time\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\n"
        "    time.sleep(60)"
    )
    toy.edit_hidden("    logits = rng.normal(size=4)", deaf)
    found = final(engine(1), [Job("ada", {MAIN: toy.submission().encode()}, 1)])["ada"]
    assert found.trouble.startswith("the marking process was silent for more than ")
    assert found.outcomes["test_three_rewards"].verdict is Verdict.PASSED


def test_a_test_with_a_time_of_its_own_is_waited_for(engine, toy, impatient):
    """It is silent for longer than all patience, as a learning check may be."""
    toy.edit_hidden('@points(3, part="means",', '@points(3, part="means", seconds=4,')
    toy.edit_hidden(
        "    logits = rng.normal(size=4)",
        "    import time\n    time.sleep(9)\n    logits = rng.normal(size=4)",
    )
    found = final(engine(1), [Job("ada", {MAIN: toy.submission().encode()}, 1)])["ada"]
    assert (found.trouble, found.outcomes["test_probabilities_sum_to_one"].verdict) == (
        "",
        Verdict.PASSED,
    )


def test_a_course_that_cannot_be_read_is_explained_by_the_engine(engine, toy):
    toy.edit_solution("# TODO(means): subtract the mean.", "# TODO: subtract the mean.")
    with pytest.raises(
        IsolationError,
        match=r"sequences\.py:\d+: '# TODO: subtract the mean\.' looks like a marker but is not",
    ):
        engine()


def test_a_grader_process_that_does_not_start_is_explained(toy, monkeypatch):
    monkeypatch.setattr("autograder.marking.engines.local.sys.executable", "/bin/false")
    with pytest.raises(
        IsolationError, match="the grader process did not start: try 'python -m autograder doctor'"
    ):
        LocalEngine(toy.assignment, 1)


def test_a_grader_process_that_has_ended_is_explained(engine, toy):
    one = engine(1)
    one._process.kill()
    one._process.wait()
    with pytest.raises(
        IsolationError,
        match="the grader process has ended; results so far are kept: run the same command again",
    ):
        list(one.run([Job("ada", {MAIN: b"x = 1\n"}, 1)]))


# -- one student again, and late days --------------------------------------------------------------


def test_one_student_is_marked_again_and_the_others_keep_their_marks(toy, tmp_path):
    def run(engine: PaperEngine, *students: str, only: str | None = None):
        grading = Grading(toy.course, toy.assignment, engine, tmp_path / "out")
        return grading.run(
            [submission(name) for name in students], False, lambda grade, left: None, only
        )

    run(PaperEngine(Verdict.FAILED, Verdict.FAILED), "ada", "ben")
    engine = PaperEngine(Verdict.PASSED, Verdict.PASSED)
    # ben's submission need not be there, and new is not asked for.
    grades = run(engine, "ada", "new", only="ada")
    assert [job.student for job in engine.jobs] == ["ada"] and [
        grade.student for grade in grades
    ] == ["ada", "ben"]
    assert results(tmp_path, "ada")["score"] == 5.0 and results(tmp_path, "ben")["score"] == 0.0
    book = (tmp_path / "out" / "sequences" / result_files.GRADEBOOK).read_text()
    assert "ada,5," in book and "ben,0," in book and "new" not in book


def test_late_days_put_a_student_s_due_date_off(toy, tmp_path):
    received = toy.assignment.due + timedelta(days=1, hours=1)
    read = [submission("ada", received=received), submission("ben", received=received)]
    grading = Grading(
        toy.course,
        toy.assignment,
        PaperEngine(Verdict.PASSED, Verdict.PASSED),
        tmp_path / "out",
        extensions={"ada": 2},
    )
    assert {
        grade.student: grade.late_days
        for grade in grading.run(read, False, lambda grade, left: None)
    } == {"ada": 0, "ben": 2}
    engine = PaperEngine(Verdict.PASSED, Verdict.PASSED)
    withdrawn = Grading(toy.course, toy.assignment, engine, tmp_path / "out")
    assert {
        grade.student: grade.late_days
        for grade in withdrawn.run(read, False, lambda grade, left: None)
    } == {"ada": 2, "ben": 2}
    assert withdrawn.rescored == {"the late days": 1} and engine.jobs == []
