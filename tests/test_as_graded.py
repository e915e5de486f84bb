"""`check` runs what passes a second time, as grading would: only copies of data come and go. The
starter works without it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from autograder.proof.as_graded import SENTENCE
from autograder.proof.public import run_public_tests

CENTRED = "    return numbers - numbers.mean()"
FAITHFUL = "    return weights / weights.sum()"
PUBLIC = "assignments/sequences/test_local.py"


def check(toy, text: str) -> tuple[int, str]:
    return run_public_tests(toy.assignment, {"sequences.py": text.encode()})


def test_right_work_passes_and_each_test_is_counted_once(toy):
    code, said = check(toy, toy.submission())
    assert code == 0 and "3 passed" in said and SENTENCE not in said


WRONG_IN_GRADING = {
    "an array of objects": (
        "    return (numbers - numbers.mean()).astype(object)",
        "an array of dtype object cannot cross the wall",
    ),
    "an object that is equal to everything": (
        (
            "    class Yes:\n        def __eq__(self, other): return True\n"
            "        def tolist(self): return self\n    return Yes()"
        ),
        "assert",
    ),
    "a subclass that has its own idea of its contents": (
        (
            "    class Sly(np.ndarray):\n        def tolist(self): return [-1.0, 1.0]\n"
            "    return np.zeros(2).view(Sly)"
        ),
        "assert",
    ),
    "more values than cross": (
        "    return [float(x) for x in numbers] * 300_000 if False else Many()",
        "more than",
    ),
    "state that an earlier import left": (
        "    import builtins\n    builtins.seen = getattr(builtins, 'seen', 0) + 1\n"
        "    return numbers - numbers.mean() if "
        "builtins.seen == 1 else 1 / 0",
        "ZeroDivisionError",
    ),
}
MANY = (
    "\n\nclass Many(list):\n    def __init__(self): super().__init__([0.0] * "
    "300_000)\n    def tolist(self): return [-1.0, 1.0]\n"
)


@pytest.mark.parametrize("name", WRONG_IN_GRADING)
def test_what_would_fail_in_grading_alone_fails_here_and_says_so(toy, name):
    body, reason = WRONG_IN_GRADING[name]
    code, said = check(toy, toy.submission(CENTRED, body) + MANY)
    assert code == 1 and "1 failed, 2 passed" in said
    assert SENTENCE in said and reason in said
    assert "/autograder/" not in said, "a student sees none of our lines"


def test_what_fails_anyway_is_told_once_and_as_ever(toy):
    code, said = check(toy, toy.submission(CENTRED, "    return numbers"))
    assert code == 1 and "1 failed, 2 passed" in said and SENTENCE not in said


def test_what_is_not_written_is_told_as_ever(toy):
    code, said = check(toy, toy.source.stub())
    assert (
        code == 1
        and "not written yet: TODO(means): subtract the mean." in said
        and SENTENCE not in said
    )


def test_names_taken_from_the_module_are_the_student_s_too(toy):
    toy.edit(
        PUBLIC,
        "import sequences as work\n",
        "import sequences as work\nfrom sequences import centred, np as numpy\n",
    )
    toy.edit(PUBLIC, "work.centred(", "centred(")
    assert check(toy, toy.submission())[0] == 0
    code, said = check(
        toy,
        toy.submission(
            *("    return numbers - numbers.mean()", WRONG_IN_GRADING["an array of objects"][0])
        ),
    )
    assert code == 1 and SENTENCE in said


def test_what_a_test_cannot_hand_over_is_not_held_against_the_student(toy):
    addition = (
        "\n\nclass Environment:\n    size = 2\n\n\ndef test_environment():\n"
        "    assert work.size_of(Environment()) == 2\n"
    )
    toy.edit(PUBLIC, "def test_softmax", f"{addition.strip()}\n\n\ndef test_softmax")
    code, said = check(
        toy, toy.submission() + "\n\ndef size_of(environment):\n    return environment.size\n"
    )
    assert code == 0 and "4 passed" in said


SHARED = (
    "\n\ndef test_shared():\n    box = work.Box()\n    view = box.view()\n"
    "    box.data[0] = 7.0\n    assert view.tolist() == [7.0, 0.0]\n"
)
BOX = (
    "\n\nclass Box:\n    def __init__(self): self.data = np.zeros(2)\n"
    "    def view(self): return self.data[:]\n"
)


@pytest.mark.parametrize(("line", "code"), [("", 1), ('HERE_ONLY = ("test_shared",)\n', 0)])
def test_a_test_of_shared_memory_is_run_here_only_if_it_says_so(toy, line, code):
    toy.edit(PUBLIC, "import sequences as work\n", f"import sequences as work\n{line}")
    toy.write(PUBLIC, (toy.root / PUBLIC).read_text(encoding="utf-8") + SHARED)
    assert check(toy, toy.submission() + BOX)[0] == code


def test_fixtures_are_set_up_anew_for_the_second_run(toy):
    fixture = (
        "import pytest\n\n\n@pytest.fixture\ndef box():\n    box = []\n    yield box\n"
        "    assert len(box) == 1\n\n\n"
    )
    toy.edit(
        PUBLIC, "def test_softmax():\n", f"{fixture}def test_softmax(box):\n    box.append(1)\n"
    )
    code, said = check(toy, toy.submission())
    assert code == 0 and "3 passed" in said, said


def test_a_starter_folder_needs_nothing_of_ours(toy):
    (toy.assignment.starter / "sequences.py").write_text(toy.submission(), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        os.devnull,
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ".",
    ]
    done = subprocess.run(
        command,
        cwd=toy.assignment.starter,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
