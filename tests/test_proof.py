"""Proofs as data: what is kept, when it is stale, and that an edit by hand is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from test_cli import REPOSITORY, call, flat
from toy import NAME, Toy

from autograder.errors import CourseError
from autograder.model import Outcome, Verdict
from autograder.proof import bars, choice, inputs, record, thorough, wall
from autograder.proof import verify as in_process
from autograder.proof.prove import Orders, Proven, prove, prove_each

RIGHT = f"grading/{NAME}/right/loops.py"
HIDDEN = f"grading/{NAME}/test_hidden.py"
SOLUTION = f"solutions/{NAME}/{NAME}.py"
PROOF = f"grading/{NAME}/proof.json"
STYLE = """
import numpy as np

def discounted(rewards, gamma):
    total = 0.0
    for reward in reversed(rewards.tolist()):
        total = reward + gamma * total
    return total

def centred(numbers):
    return numbers - np.full(numbers.shape, np.mean(numbers))

def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()
"""
UNTRIED = "no mutants have been tried: python -m autograder verify sequences --mutants"
LEARNING = '''

@points(1, part="sums", learning=True, hint="Try again.")
def test_it_learns(student):
    """It learns."""
    assert student.discounted(np.ones(1), LEAST) >= LEAST


LEAST = 0.5
'''
BARS = """
from autograder.proof.bars import Bar

BARS = {"test_it_learns: so much": Bar(0.5, lambda seed: seed / 10, range(5, 15))}
"""


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A toy course with a right answer in another style, proven once."""
    toy = Toy.build(tmp_path_factory.mktemp("proof") / "course")
    toy.write(RIGHT, STYLE)
    return toy, prove(toy.assignment, Orders())


@pytest.fixture
def proven(once, tmp_path):
    """A copy of it, to be changed."""
    return Toy(shutil.copytree(once[0].root, tmp_path / "course"))


@pytest.fixture
def quick(monkeypatch):
    """Leaves out what starts processes: the public tests and the wall."""
    shown = {wall.SOLUTION: "full", "stub": "nothing", "right/loops.py": "full"}
    monkeypatch.setattr(in_process, "_check_public_tests", lambda *args: None)
    monkeypatch.setattr(wall, "show", lambda *args: shown)


def committed(toy) -> dict:
    return json.loads((toy.root / PROOF).read_text(encoding="utf-8"))


# -- what is kept ---------------------------------------------------------------------------------


def test_a_proof_says_what_was_shown(once):
    toy, found = once
    assert found.shortcomings == [] and found.notes == [UNTRIED] and found.wrote == [PROOF]
    assert found.summary == (
        "sequences: 4 hidden tests, 10 points, 4 bugs in 4 spellings, 4 named, "
        "1 right answers behind the wall"
    )
    proof = committed(toy)
    assert proof["kills"] == {
        "last-reward-whole": ["test_two_rewards", "test_three_rewards"],
        "median": ["test_the_mean_is_gone"],
        "no-discount": ["test_two_rewards", "test_three_rewards"],
        "sums-to-n": ["test_probabilities_sum_to_one"],
    }
    assert proof["wall"] == {wall.SOLUTION: "full", "stub": "nothing", "right/loops.py": "full"}
    assert proof["points"] == 10 and proof["unnamed"] == [] and proof["bars"] == {}
    assert proof["mutants"] == {} and proof["survivors"] == {}
    assert proof["tests"]["test_two_rewards"] == {"points": 2, "learning": False}
    assert set(proof["inputs"]) == {
        SOLUTION, HIDDEN, RIGHT,
        f"assignments/{NAME}/assignment.yml", f"assignments/{NAME}/test_local.py",
    }  # fmt: skip


def test_the_same_inputs_give_the_same_file(proven, quick):
    before = (proven.root / PROOF).read_bytes()
    assert prove(proven.assignment, Orders()).wrote == []
    (proven.root / PROOF).unlink()
    assert prove(proven.assignment, Orders()).wrote == [PROOF]
    assert (proven.root / PROOF).read_bytes() == before
    assert str(proven.root) not in before.decode()


def test_nothing_is_kept_while_something_falls_short(proven, quick):
    before = (proven.root / PROOF).read_bytes()
    proven.edit_hidden('catches="median", ', 'catches=("median", "mode"), ')
    found = prove(proven.assignment, Orders())
    assert len(found.shortcomings) == 1 and found.wrote == []
    assert (proven.root / PROOF).read_bytes() == before


def test_proving_brings_the_starter_up_to_date(proven, quick):
    proven.write(f"starter/{NAME}/report.py", "edited by hand\n")
    assert prove(proven.assignment, Orders(compare=True)).shortcomings == [
        "starter/sequences is stale (report.py): python -m autograder starter sequences"
    ]
    assert prove(proven.assignment, Orders()).wrote == [f"starter/{NAME}/report.py"]


def test_the_summary_says_how_many_further_draws_were_tried(proven, quick):
    assert prove(proven.assignment, Orders(draws=3)).summary.endswith(", 3 further draws tried")


def test_several_assignments_are_proven_in_processes_of_their_own_and_in_order(proven, tmp_path):
    other = Toy(shutil.copytree(proven.root, tmp_path / "other"))
    (other.root / PROOF).unlink()
    first, second = prove_each([proven.assignment, other.assignment], Orders(compare=True), 2)
    assert isinstance(first, Proven) and first.shortcomings == []
    assert second.shortcomings == [f"{PROOF} is missing: python -m autograder verify sequences"]


# -- a proof edited by hand -----------------------------------------------------------------------


def edited(key, value):
    return lambda proof: proof | {key: value}


EDITS = {
    "the points": edited("points", 11),
    "the hidden tests": edited("tests", {}),
    "the bugs without a name": edited("unnamed", ["median"]),
    "what was shown behind the wall": edited("wall", {}),
    "the digests of its inputs": edited("inputs", {}),
    "'median' is caught by test_the_mean_is_gone": lambda proof: (
        proof | {"kills": proof["kills"] | {"median": ["test_two_rewards"]}}
    ),
    "'mode' is caught by no test": lambda proof: (
        proof | {"kills": proof["kills"] | {"mode": ["test_two_rewards"]}}
    ),
}


@pytest.mark.parametrize("words", EDITS)
def test_a_proof_edited_by_hand_is_found(proven, quick, words):
    proven.write(PROOF, record.text(EDITS[words](committed(proven))))
    before = (proven.root / PROOF).read_bytes()
    (found,) = prove(proven.assignment, Orders(compare=True)).shortcomings
    assert found.startswith(f"{PROOF}: ") and words in found
    assert (proven.root / PROOF).read_bytes() == before, "comparing writes nothing"


def test_another_engine_alone_is_no_edit(proven, quick):
    proven.write(PROOF, record.text(committed(proven) | {"engine": {"code": "older"}}))
    assert prove(proven.assignment, Orders(compare=True)).shortcomings == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"inputs": 1}', "<<<<<<< HEAD"])
def test_what_is_no_proof_is_explained(proven, text):
    proven.write(PROOF, text)
    with pytest.raises(CourseError, match=r"this is not a proof: .*autograder verify sequences"):
        record.read(proven.assignment)


# -- staleness ------------------------------------------------------------------------------------

CHANGES = {
    "hidden tests": HIDDEN,
    "solution": SOLUTION,
    "public tests": f"assignments/{NAME}/test_local.py",
    "assignment.yml": f"assignments/{NAME}/assignment.yml",
    "right answers": RIGHT,
}
NEW = {
    "equivalent mutants": f"grading/{NAME}/equivalent.yml",
    "hidden tests": f"grading/{NAME}/test_scale.py",
    "bars": f"grading/{NAME}/bars.py",
    "right answers": f"grading/{NAME}/right/other.py",
}


@pytest.mark.parametrize("words", CHANGES)
def test_a_changed_input_makes_the_proof_stale(proven, words):
    path = proven.root / CHANGES[words]
    proven.write(CHANGES[words], path.read_text(encoding="utf-8") + "\n# something else\n")
    assert record.staleness(proven.assignment) == words


@pytest.mark.parametrize("words", NEW)
def test_a_new_input_makes_the_proof_stale(proven, words):
    proven.write(NEW[words], "")
    assert record.staleness(proven.assignment) == words


def test_an_input_that_is_gone_makes_the_proof_stale(proven):
    (proven.root / RIGHT).unlink()
    assert record.staleness(proven.assignment) == "right answers"


def test_a_file_that_students_get_makes_the_proof_stale(proven):
    proven.write(f"assignments/{NAME}/data.bin", "1")
    proven.edit(f"assignments/{NAME}/assignment.yml", "title:", "files: [data.bin]\ntitle:")
    assert record.staleness(proven.assignment) == "assignment.yml, files of the handout"


def test_prose_leaves_a_proof_fresh(proven):
    proven.write(f"assignments/{NAME}/README.md", "# Something else\n")
    proven.write(f"grading/{NAME}/CHANGES.md", "All is new.\n")
    assert record.staleness(proven.assignment) == ""


def test_words_for_given_modules():
    assert inputs.word("assignments/given/policies.py") == "given modules"


CODE = 'def f(x):\n    """Doubles."""\n    return 2 * x\n'


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("# why\ndef f(x):\n    '''Doubles\n\n    x.'''\n\n    return 2*x  # quickly\n", True),
        ("def f(x):\n    return 2 * x\n", True),
        (CODE.replace("2", "3"), False),
        (CODE.replace('"""Doubles."""', "'a'; 'b'"), False),
    ],
)
def test_comments_docstrings_and_formatting_do_not_change_code(other, same):
    assert (inputs.code_digest([CODE]) == inputs.code_digest([other])) is same


def test_the_engine_is_what_can_change_a_verdict(monkeypatch, tmp_path):
    for name in inputs.ENGINE:
        assert (inputs.PACKAGE / name).exists(), name
    before = inputs.engine(tmp_path)
    package = shutil.copytree(inputs.PACKAGE, tmp_path / "autograder")
    monkeypatch.setattr(inputs, "PACKAGE", package)
    assert inputs.engine(tmp_path) == before
    (package / "cli" / "main.py").write_text("", encoding="utf-8")
    assert inputs.engine(tmp_path) == before
    (package / "judging" / "checks.py").write_text("", encoding="utf-8")
    assert inputs.engine(tmp_path)["code"] != before["code"]


# -- what is to be proven again -------------------------------------------------------------------


def git(toy, *arguments):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    subprocess.run(command, cwd=toy.root, check=True, capture_output=True)


@pytest.fixture
def cloned(proven):
    git(proven, "init", "-q")
    git(proven, "add", "-A")
    git(proven, "commit", "-qm", "all")
    return proven


def chosen(toy, base="HEAD"):
    return [one.name for one in choice.since(base, toy.course.assignments, toy.root)]


def test_what_a_commit_has_changed_is_proven(cloned):
    assert chosen(cloned) == []
    cloned.write("README.md", "# The course\n")
    git(cloned, "add", "-A")
    git(cloned, "commit", "-qm", "prose")
    assert chosen(cloned, "HEAD~1") == []
    cloned.write(PROOF, record.text(committed(cloned) | {"points": 11}))
    git(cloned, "commit", "-qam", "more points")
    assert chosen(cloned, "HEAD~1") == [NAME], "its content is not stale, but it was edited"


def test_what_is_stale_is_proven_whatever_the_commit(cloned):
    cloned.edit_hidden("import numpy as np", "import numpy as np  # always")
    git(cloned, "commit", "-qam", "hidden tests")
    assert chosen(cloned) == [NAME]


def test_with_another_engine_some_stand_for_all(cloned):
    cloned.write(PROOF, record.text(committed(cloned) | {"engine": {"code": "older"}}))
    git(cloned, "commit", "-qam", "engine")
    assert chosen(cloned) == [NAME]
    assert choice.engine_news(cloned.course.assignments) == (
        "Python and the autograder and the locked requirements have changed since all proofs were "
        "written: CI proves sequences again, 'make verify-all' all."
    )


def test_a_commit_that_is_not_there_is_explained(cloned):
    with pytest.raises(CourseError, match="--since nowhere: "):
        chosen(cloned, "nowhere")


def test_shares_are_all_and_each_once(proven):
    ten = [proven.assignment.model_copy(update={"name": str(n)}) for n in range(10)]
    shares = [choice.share(ten, f"{k}/3") for k in (1, 2, 3)]
    assert sorted(one.name for share in shares for one in share) == list("0123456789")
    for shard in ("0/3", "4/3", "3", "a/b", "1/0"):
        with pytest.raises(CourseError, match="a share looks like 3/8"):
            choice.share(ten, shard)


# -- behind the wall ------------------------------------------------------------------------------


def test_a_right_answer_that_loses_points_is_named(proven, monkeypatch):
    monkeypatch.setattr(in_process, "_check_public_tests", lambda *args: None)
    proven.edit(RIGHT, "np.mean", "np.median")
    (found,) = prove(proven.assignment, Orders()).shortcomings
    assert found.startswith("behind the wall right/loops.py does not get full: test_the_mean_is")


def test_without_right_answers_one_sentence_says_so(proven, monkeypatch):
    shutil.rmtree((proven.root / RIGHT).parent)
    outcomes = {wall.SOLUTION: passed(Verdict.PASSED), "stub": passed(Verdict.NOT_WRITTEN)}
    monkeypatch.setattr(wall, "mark", lambda *args, **kwargs: outcomes)
    said = []
    wall.show(proven.assignment, said.append)
    assert said == [
        "there is no right answer in another style: grading/sequences/right/STYLE.py is the sixth "
        "file of an assignment"
    ]


def passed(*verdicts):
    return {f"test_{n}": Outcome(f"test_{n}", "", "", v, 1) for n, v in enumerate(verdicts)}


def test_a_stub_that_earns_and_a_solution_that_was_not_marked_fall_short(proven, monkeypatch):
    outcomes = {"stub": passed(Verdict.NOT_WRITTEN, Verdict.PASSED), "right/loops.py": {}}
    outcomes["right/loops.py"] = passed(Verdict.PASSED)
    monkeypatch.setattr(wall, "mark", lambda *args, **kwargs: outcomes)
    said = []
    shown = wall.show(proven.assignment, said.append)
    assert shown == {wall.SOLUTION: "less", "stub": "less", "right/loops.py": "full"}
    assert said == [
        f"behind the wall {wall.SOLUTION} does not get full: nothing was marked",
        "behind the wall stub does not get nothing: test_1 (passed)",
    ]


def test_a_solution_without_time_to_spare_falls_short(proven):
    """It takes 1.5 of 10 CPU seconds, and a slower style may take ten times as long."""
    proven.edit(f"assignments/{NAME}/assignment.yml", "call_seconds: 2", "call_seconds: 10")
    spin = "    import time\n    while time.process_time() < 1.5: pass\n"
    text = proven.source.solution().replace("    return numbers", f"{spin}    return numbers")
    assert spin in text
    marked = wall.mark(
        proven.assignment, {"whole": text, "tenth": text}, shares={"tenth": wall.SHARE}
    )
    assert wall.lost(marked["whole"]) == []
    (lost,) = wall.lost(marked["tenth"])
    assert lost.startswith("test_the_mean_is_gone") and "of computing in one test" in lost


def test_all_that_is_thorough_holds_for_the_toy(proven):
    said, tests = [], list(proven.tests.values())
    thorough.check(proven.assignment, tests, said.append, lambda line: None, 2)
    assert said == []


def test_what_is_not_thorough_is_found(proven, monkeypatch):
    proven.edit(RIGHT, "np.exp(logits) / np", "np.exp(logits) / (logits[0] < 1.0) / np")
    said, tests = [], list(proven.tests.values())
    key = thorough.AnswerKey(proven.assignment)
    thorough._other_styles(proven.assignment, tests, key, said.append)
    assert said and all(one.startswith("right/loops.py fails test_prob") for one in said)
    assert len(said) < len(thorough.SEEDS), "only some draws show it"
    said.clear()
    monkeypatch.setattr(thorough.naming, "examine", lambda *arguments: [])
    thorough._diagnoses(tests, thorough.AnswerKey(proven.assignment), said.append)
    assert said[0] == "the diagnosis of 'no-discount' names nothing" and len(said) == 4


def test_fresh_workers_are_really_asked_for(proven, tmp_path):
    copy = thorough._with_fresh_workers(proven.assignment, tmp_path / "copy")
    assert copy.limits.fresh_workers and not proven.assignment.limits.fresh_workers
    assert copy.limits.call_seconds == proven.assignment.limits.call_seconds
    assert copy.root == tmp_path / "copy" and copy.hidden_tests.is_file()


# -- the bars of learning checks ------------------------------------------------------------------


@pytest.fixture
def learning(proven):
    proven.write(HIDDEN, (proven.root / HIDDEN).read_text(encoding="utf-8") + LEARNING)
    proven.write(f"grading/{NAME}/bars.py", BARS)
    return proven


def measured(toy):
    return bars.measure(toy.assignment, list(toy.tests.values()), lambda line: None)


def notes(toy, figures):
    return bars.missing_or_stale(toy.assignment, list(toy.tests.values()), figures)


def test_bars_are_measured_with_every_seed(learning):
    (figures,) = measured(learning).values()
    assert {key: figures[key] for key in figures if key != "of"} == {
        "bar": 0.5, "seeds": 10, "lowest": 0.5, "median": 0.95, "highest": 1.4, "below": 0,
    }  # fmt: skip
    assert bars.unfair({"a": figures | {"below": 1}}) == []
    assert bars.unfair({"a": figures | {"below": 2}}) == [
        "2 of 10 runs of the reference stay below the bar of a (0.5): at most a tenth may"
    ]


def test_a_bar_of_no_test_is_explained(learning):
    learning.edit(f"grading/{NAME}/bars.py", "test_it_learns", "test_it_lears")
    with pytest.raises(CourseError, match="'test_it_lears: so much' is not a learning check"):
        measured(learning)


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        (HIDDEN, "hint='Try again.'", "", False),
        (HIDDEN, "numbers = rng.normal(size=7)", "numbers = rng.normal(size=8)", False),
        (HIDDEN, "LEAST = 0.5", "LEAST = 0.4", True),
        (HIDDEN, "np.ones(1)", "np.ones(2)", True),
        (SOLUTION, "# WHEN gamma is never used.", "# WHEN not used.", False),
        (SOLUTION, "float(rewards @ weights)", "float(weights @ rewards)", True),
        (f"grading/{NAME}/bars.py", "seed / 10", "seed / 5", True),
    ],
)  # fmt: skip
def test_figures_are_stale_when_what_they_depend_on_has_changed(learning, file, old, new, stale):
    figures = measured(learning)
    assert notes(learning, figures) == []
    if old.startswith("hint"):
        old, new = 'hint="Try again."', 'hint="Once more."'
    learning.edit(file, old, new)
    found = notes(learning, figures)
    assert bool(found) is stale
    assert not found or "test_it_learns was measured before its text changed" in found[0]


def test_figures_are_kept_until_they_are_measured_again(learning, quick):
    (note, _) = prove(learning.assignment, Orders()).notes
    assert note.startswith("the bar of test_it_learns has not been measured: ")
    assert note.endswith("python -m autograder verify sequences --bars")
    assert prove(learning.assignment, Orders(bars=True)).notes == [UNTRIED]
    kept = committed(learning)["bars"]
    assert kept["test_it_learns: so much"]["lowest"] == 0.5
    learning.write(f"grading/{NAME}/bars.py", BARS.replace("seed / 10", "seed / 5"))
    found = prove(learning.assignment, Orders())
    assert len(found.notes) == 2 and committed(learning)["bars"] == kept


def test_an_unfair_bar_falls_short(learning, quick):
    learning.edit(f"grading/{NAME}/bars.py", "Bar(0.5", "Bar(0.8")
    (found,) = prove(learning.assignment, Orders(bars=True)).shortcomings
    assert found.startswith("3 of 10 runs of the reference stay below the bar of test_it_learns")


# -- the commands ---------------------------------------------------------------------------------


def test_verify_without_names_says_what_is_stale(proven):
    assert call("verify", "--course", proven.root).code == 0
    proven.edit_hidden("import numpy as np", "import numpy as np  # always")
    said = call("verify", "--course", proven.root)
    assert said.code == 1 and said.out == (
        "the proof of sequences is stale (hidden tests): python -m autograder verify sequences\n"
    )


def test_verify_stale_proves_what_is_stale_and_nothing_else(proven, quick):
    assert call("verify", "--stale", "--course", proven.root).out == "No proof is stale.\n"
    proven.edit_hidden("import numpy as np", "import numpy as np  # always")
    said = call("verify", "--stale", "--course", proven.root)
    assert said.code == 0 and said.out.endswith(f"wrote {PROOF}\n")
    assert call("verify", "--course", proven.root).code == 0


def test_verify_lists_what_fell_short_and_ends_with_code_1(proven, quick):
    proven.edit_hidden('catches="median", ', 'catches=("median", "mode"), ')
    said = call("verify", NAME, "--course", proven.root)
    assert said.code == 1 and "- test_the_mean_is_gone says it catches 'mode'" in flat(said.err)


def test_an_engine_change_is_said_and_does_not_fail(proven):
    proven.write(PROOF, record.text(committed(proven) | {"engine": {"code": "older"}}))
    said = call("verify", "--course", proven.root)
    assert said.code == 0 and "'make verify-all' all." in said.out


def test_a_draft_can_be_verified_before_course_yml_names_it(proven, quick):
    proven.write("course.yml", "title: x\nterm: y\nassignments: {}\n")
    assert call("verify", NAME, "--course", proven.root).code == 0
    assert call("verify", "--course", proven.root).out == ""


def test_show_prints_the_readings_of_a_solution(proven):
    def show(*options):
        return call("show", NAME, *options, "--course", proven.root).out

    assert show("--solution") == proven.source.solution()
    assert show("--stub") == proven.source.stub()
    assert show("--bug", "median") == proven.source.broken("median")
    assert show("--diff", "median").splitlines()[-5:-2] == [
        "-    return numbers - numbers.mean()",
        "+    return numbers - np.median(numbers)",
        " ",
    ]
    assert (
        "median: the median is subtracted in place of the mean.\n  test_the_mean_is_gone (2)"
        in (show("--kills"))
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--bug", "medin"], "no known bug is called 'medin'; did you mean 'median'?"),
        (["--diff", "x"], "there are no-discount, last-reward-whole, median, sums-to-n"),
        ([], "give one of --solution, --stub, --bug, --diff and --kills"),
        (["--stub", "--kills"], "give one of"),
    ],
)
def test_show_explains_what_it_cannot_show(proven, options, words):
    said = call("show", NAME, *options, "--course", proven.root)
    assert said.code == 2 and words in flat(said.err)


def test_show_kills_without_a_proof_says_how_to_get_one(toy):
    said = call("show", NAME, "--kills", "--course", toy.root)
    assert said.code == 2 and "python -m autograder verify sequences" in flat(said.err)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--bug", "medin"), "no known bug is called 'medin'; did you mean 'median'?"),
        (("--student", "nowhere.py"), "--student nowhere.py: No such file or directory"),
        (("--student", "course.yaml"), "file or directory; did you mean course.yml?"),
    ],
)
def test_the_runner_of_hidden_tests_explains_a_typo_once(toy, option, words):
    command = [sys.executable, "-m", "pytest", "-p", "autograder.judging.plugin", *option, HIDDEN]
    command += ["--import-mode=importlib", "-c", "/dev/null", "--rootdir", ".", "-q"]
    done = subprocess.run(
        command, cwd=toy.root, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    said = flat(done.stdout + done.stderr)
    assert done.returncode == 4 and said.count(words) == 1 and "Traceback" not in said
