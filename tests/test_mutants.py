"""Mutants: what each operator makes, which are left out, and what is said of those that survive."""

from __future__ import annotations

import ast
import json
import os
import time

import pytest
from test_cli import call, flat
from toy import NAME, Toy

from autograder.authoring.source import Source
from autograder.errors import CourseError
from autograder.proof import equivalent, mutants, operators, record, survivors, wall
from autograder.proof import verify as in_process
from autograder.proof.prove import Orders, prove

EQUIVALENT = f"grading/{NAME}/equivalent.yml"
HIDDEN = f"grading/{NAME}/test_hidden.py"
PROOF = f"grading/{NAME}/proof.json"
PLUS, LEAST = (
    f"softmax: `weights = np.exp(logits - logits.max())` -> `weights = np.exp({new})`"
    for new in ("logits + logits.max()", "logits - logits.min()")
)
REASON = "The factor is the same above and below the fraction line."


def listed(*names: str, because: str = REASON) -> str:
    """The text of an equivalent.yml."""
    entries = (f"  - mutant: >-\n      {name}\n    because: {because}\n" for name in names)
    return "equivalent:\n" + "".join(entries)


# -- operators ------------------------------------------------------------------------------------

EACH = {
    # Comparisons, arithmetic and logic.
    "x = a < b": {"x = a <= b"},
    "x = a >= b": {"x = a > b"},
    "x = a == b": {"x = a != b"},
    "x = a is None": {"x = a is not None"},
    "x = a not in b": {"x = a in b"},
    "x = a < b < c": {"x = a <= b < c", "x = a < b <= c"},
    "x = a + b": {"x = a - b"},
    "x = a / b": {"x = a * b"},
    "x = a // b": {"x = a * b"},
    "x = a | b": {"x = a & b"},
    "x = a * (b - c)": {"x = a / (b - c)", "x = a * (b + c)"},
    "x = a and b": {"x = a or b"},
    "x = not a": {"x = a"},
    "x = -a": {"x = a"},
    "x = ~a": {"x = a"},
    # Constants.
    "x = 3": {"x = 4", "x = 2"},
    "x = 1000": {"x = 2000"},
    "x = 0.25": {"x = 0.5", "x = -0.25"},
    "x = 0.0": {"x = 1.0"},
    "x = a + 1e-08": {"x = a + 0.0", "x = a + 0.0001"},
    "x = True": {"x = False"},
    "x = 'a'": set(),
    "x = f'{a + 1}'": set(),
    "x = None": set(),
    # Calls.
    "x = max(a, b)": {"x = min(a, b)"},
    "x = np.argmax(a)": {"x = np.argmin(a)"},
    "x = a.sum()": {"x = a.mean()"},
    "x = sum(a)": set(),
    "x = a.detach()": {"x = a"},
    "x = a.copy()": {"x = a"},
    "x = copy.deepcopy(a)": {"x = a"},
    "x = f(a, b, c)": {"x = f(b, a, c)", "x = f(a, c, b)"},
    "x = f(a, 'b')": set(),
    "x = f(*a, b)": set(),
    "x = torch.isclose(a, b)": set(),
    "x = a.f(axis=0)": {"x = a.f()", "x = a.f(axis=1)", "x = a.f(axis=-1)"},
    "x = a.f(keepdim=True)": {"x = a.f()", "x = a.f(keepdim=False)"},
    "x = zip(a, strict=True)": set(),
    # Slices and ranges.
    "x = a[b:]": {"x = a[b + 1:]", "x = a[b - 1:]", "x = a[b:-1]"},
    "x = a[:-1]": {"x = a[1:-1]", "x = a[:1]", "x = a[:-2]", "x = a[:-0]"},
    "x = a[:, None]": set(),
    "x = range(a)": {"x = range(a + 1)", "x = range(a - 1)", "x = range(1, a)"},
    "x = range(a + 1)": {
        "x = range(a - 1)", "x = range(a + 2)", "x = range(a + 0)", "x = range(1, a + 1)",
    },
    "for x in reversed(a): pass": {"for x in a:"},
    # Statements.
    "f(a)": {"pass"},
    "'text'": set(),
    "x += a": {"pass", "x = a", "x -= a"},
    "x[0] = a": {"pass", "x[1] = a", "x[-1] = a"},
    "x: int = 2": {"x: int = 3", "x: int = 1"},
    "raise ValueError(f'{a} is below {1 + 1}.')": {"pass"},
    "break": {"pass", "continue"},
    "if a: f(b < c)": {"if not a:"},
    "if not a: pass": {"if a:"},
    "if a == b: pass": {"if a != b:"},
    "while a < b: pass": {"while not a < b:", "while a <= b:"},
    "x = a if b else c": {"x = a if not b else c"},
    "x = [a for a in b if c]": {
        "x = [a for a in b if True]", "x = [a for a in b if not c]",
    },
    "with torch.no_grad(): f()": {"if True:"},
    "def f(a: int = 1): pass": {"def f(a: int=2):", "def f(a: int=0):"},
    "class A(B, x=1): pass": set(),
    "import a": set(),
}  # fmt: skip


@pytest.mark.parametrize("text", EACH)
def test_each_operator_makes_what_it_should(text):
    (statement,) = ast.parse(text).body
    before = ast.dump(statement)
    made = list(operators.changed(statement))
    assert set(made) == EACH[text] and len(made) == len(EACH[text])
    assert ast.dump(statement) == before, "the statement itself stays as it was"


# -- which mutants there are ----------------------------------------------------------------------

MODULE = '''\
"""Two functions."""
import numpy as np

SIZE = 3
### BEGIN SOLUTION
LIMIT = 5


### END SOLUTION
def given(a, b=2):
    """Adds up to 3."""
    return a + b


class Box:
    """A box."""

    def f(self, a, b=1):
        """Adds 1."""
        if b > 7:
            raise ValueError(f"{b} > 7")
        # TODO(sums): add.
        ### BEGIN SOLUTION
        if a:
            return 4
        # BUG(wrong): elif b < 0:
        # WHEN it is wrong.
        elif (
            b == 0
        ):
            x = a
            x = a
            x = -a
            x = -a
            return min(
                a,  # the first
                b,
            )

        def inner(c):
            return c < LIMIT

        return inner
        ### END SOLUTION
'''


def made(tmp_path, text=MODULE):
    return mutants.make(Source(tmp_path / "work.py", text))


def test_only_what_students_write_is_changed(tmp_path):
    assert [(one.name, one.line, one.function) for one in made(tmp_path)] == [
        ("module: `LIMIT = 5` -> `LIMIT = 6`", 6, None),
        ("module: `LIMIT = 5` -> `LIMIT = 4`", 6, None),
        ("Box.f: `if a:` -> `if not a:`", 24, "Box.f"),
        ("Box.f: `return 4` -> `return 5`", 25, "Box.f"),
        ("Box.f: `return 4` -> `return 3`", 25, "Box.f"),
        ("Box.f: `if b == 0:` -> `if b != 0:`", 28, "Box.f"),
        ("Box.f: `if b == 0:` -> `if b == 1:`", 28, "Box.f"),
        ("Box.f: `if b == 0:` -> `if b == -1:`", 28, "Box.f"),
        ("Box.f: `x = -a` -> `x = a`", 33, "Box.f"),
        ("Box.f: `x = -a` -> `x = a` (2)", 34, "Box.f"),
        ("Box.f: `return min(a, b)` -> `return max(a, b)`", 35, "Box.f"),
        ("Box.f: `return c < LIMIT` -> `return c <= LIMIT`", 41, "Box.f"),
    ]


def test_a_mutant_is_the_file_with_another_line(tmp_path):
    by_name = {one.name: one.text for one in made(tmp_path)}
    text = by_name["Box.f: `if b == 0:` -> `if b != 0:`"]
    assert "        elif b != 0:\n            x = a\n" in text and "b == 0" not in text
    for other in by_name.values():
        ast.parse(other)
    doubled = "return min(\n                a,  # the first\n                b,\n            )"
    assert by_name["Box.f: `return min(a, b)` -> `return max(a, b)`"] == MODULE.replace(
        doubled, "return max(a, b)"
    )


def test_names_do_not_change_when_code_moves(tmp_path):
    moved = MODULE.replace("SIZE = 3", "SIZE = 3\n\n# More.\nOTHER = 1")
    assert [one.name for one in made(tmp_path, moved)] == [one.name for one in made(tmp_path)]


def test_what_does_the_same_is_left_out(tmp_path):
    body = "    if a:\n        x = 2 * 3\n        return x\n    return not (not a)\n"
    text = "def f(a):\n    # TODO(sums): do.\n    ### BEGIN SOLUTION\n" + body
    text += "    ### END SOLUTION\n"
    names = [one.name for one in made(tmp_path, text)]
    assert "f: `x = 2 * 3` -> `x = 3 * 3`" in names and "f: `x = 2 * 3` -> `x = 2 * 4`" in names
    # Twice 2 * 3 is neither 2 / 3 nor anything that another mutant is.
    assert "f: `return not not a` -> `return not a`" in names
    assert len([name for name in names if "return not not a" in name]) == 1


# -- which survive --------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """Leaves out what starts processes of another kind: the public tests and the wall."""
    monkeypatch.setattr(in_process, "_check_public_tests", lambda *args: None)
    monkeypatch.setattr(wall, "show", lambda *args: {})


@pytest.fixture
def course(tmp_path):
    return Toy.build(tmp_path / "course")


def hunted(toy):
    return survivors.hunt(toy.assignment, list(toy.tests.values()))


def committed(toy):
    return json.loads((toy.root / PROOF).read_text(encoding="utf-8"))


@pytest.mark.wall
def test_a_mutant_that_no_test_fails_survives(course):
    found = hunted(course)
    assert [one.name for one in found.survivors] == [PLUS, LEAST]
    assert len(found.made) == 10 and len(found.killers) == 8
    name = "centred: `return numbers - numbers.mean()` -> `return numbers + numbers.mean()`"
    assert found.killers[name] == "test_the_mean_is_gone"


@pytest.mark.wall
def test_a_weak_test_is_reported(course, quick):
    course.write(EQUIVALENT, listed(PLUS, LEAST))
    course.edit_hidden(
        "numbers - numbers.sum() / 7, rtol=1e-5, atol=1e-5)",
        "numbers - numbers.sum() / 7, atol=abs(numbers.sum()) / 2)",
    )
    found = equivalent.try_all(course.assignment, list(course.tests.values()), lambda line: None)
    assert found.shortcomings == [
        "7 of 8 mutants are killed, which is 87.5%, but at least 97% must be: kill more with "
        f"tests, or say in {EQUIVALENT} why a mutant is equivalent"
    ]
    assert found.notes == [
        f"solutions/{NAME}/{NAME}.py:25 survives: centred: `return numbers - numbers.mean()` -> "
        "`return numbers + numbers.mean()`"
    ]


@pytest.mark.wall
def test_the_proof_keeps_what_was_found_until_something_changes(course, quick):
    course.write(EQUIVALENT, listed(PLUS, LEAST))
    (note,) = prove(course.assignment, Orders()).notes
    assert note == "no mutants have been tried: python -m autograder verify sequences --mutants"
    found = prove(course.assignment, Orders(mutants=True))
    assert found.shortcomings == found.notes == [] and found.wrote == [PROOF]
    assert found.summary.endswith("4 named, 8 of 10 mutants killed, 2 equivalent")
    proof = committed(course)
    assert proof["survivors"] == {PLUS: "equivalent", LEAST: "equivalent"}
    counts = {key: proof["mutants"][key] for key in ("made", "killed", "equivalent")}
    assert counts == {"made": 10, "killed": 8, "equivalent": 2}
    # It is kept, and the same again.
    assert prove(course.assignment, Orders()) == prove(course.assignment, Orders(compare=True))
    assert prove(course.assignment, Orders(mutants=True, compare=True)).shortcomings == []
    # Comments do not count, another test does.
    course.edit_hidden("import numpy as np", "import numpy as np  # always")
    found = prove(course.assignment, Orders())
    assert found.notes == [] and found.wrote == [PROOF]
    course.edit_hidden("size=4", "size=5")
    (note,) = prove(course.assignment, Orders()).notes
    assert note.startswith("the solution, the hidden tests or the equivalent mutants have changed")
    assert committed(course)["survivors"] == proof["survivors"]


@pytest.mark.wall
def test_a_proof_whose_survivors_were_edited_is_found(course, quick):
    course.write(EQUIVALENT, listed(PLUS, LEAST))
    assert prove(course.assignment, Orders(mutants=True)).wrote == [PROOF]
    course.write(PROOF, record.text(committed(course) | {"survivors": {PLUS: "equivalent"}}))
    assert prove(course.assignment, Orders(compare=True)).shortcomings == []
    assert prove(course.assignment, Orders(mutants=True, compare=True)).shortcomings == [
        f"{PROOF}: the committed proof has other figures for the mutants that survive"
    ]


@pytest.mark.wall
def test_the_command_ends_with_code_1_while_too_many_survive(course, quick):
    said = call("verify", NAME, "--mutants", "--course", course.root)
    assert said.code == 1 and "- 8 of 10 mutants are killed, which is 80%" in flat(said.err)
    assert f"{NAME}.py:33 survives: {PLUS}" in flat(said.err)
    assert not (course.root / PROOF).exists()
    course.write(EQUIVALENT, listed(PLUS, LEAST))
    assert call("verify", NAME, "--mutants", "--course", course.root).code == 0


# -- equivalent.yml -------------------------------------------------------------------------------


def test_an_entry_that_is_killed_or_gone_falls_short(course):
    gone = "softmax: `x = 1` -> `x = 2`"
    alive = mutants.Mutant(PLUS, "softmax", 33, "")
    dead = mutants.Mutant(LEAST, "softmax", 33, "")
    found = survivors.Hunt([alive, dead], {LEAST: "test_probabilities_sum_to_one"})
    said = equivalent.judged(course.assignment, found, {PLUS: REASON, LEAST: "", gone: ""})
    assert said.shortcomings == [
        f"{EQUIVALENT}: '{LEAST}' is not equivalent, test_probabilities_sum_to_one kills it: "
        "drop this entry",
        f"{EQUIVALENT}: no mutant is called '{gone}': drop this entry",
    ]
    assert said.survivors == {PLUS: "equivalent"} and said.notes == []
    assert said.counts == {"made": 2, "killed": 1, "equivalent": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1", "'equivalent' is missing"),
        (listed(PLUS, PLUS), "is there twice: keep one of them"),
        (listed(PLUS, because="equal"), "because is 'equal': one sentence is expected"),
        ("equivalent:\n  - mutant: x\n", "because' is missing"),
    ],
)
def test_what_is_no_list_of_equivalents_is_explained(course, text, words):
    course.write(EQUIVALENT, text)
    with pytest.raises(CourseError, match=r"equivalent.yml: .*") as caught:
        equivalent.reasons(course.assignment)
    assert words in str(caught.value)


def test_a_changed_list_makes_the_proof_stale(course):
    course.write(PROOF, record.text({key: {} for key in ("inputs", "engine", "kills", "bars")}))
    before = equivalent.missing_or_stale(course.assignment, {"of": ""})
    assert len(before) == 1 and "have changed since the mutants were tried" in before[0]
    course.write(EQUIVALENT, listed(PLUS))
    assert "equivalent mutants" in record.staleness(course.assignment).split(", ")


# -- limits ---------------------------------------------------------------------------------------

LOOP = """\
    count = 0
    while count < len(numbers):
        count += 1
    return numbers - numbers.mean()
"""


@pytest.mark.wall
def test_an_endless_mutant_is_killed_by_its_limit(course, monkeypatch):
    monkeypatch.setattr(survivors, "LEAST_SECONDS", 0.2)
    course.edit_solution("    return numbers - numbers.mean()\n", LOOP)
    found = hunted(course)
    assert found.killers["centred: `count += 1` -> `pass`"] == "test_the_mean_is_gone"


@pytest.mark.wall
@pytest.mark.parametrize("how", ["computes", "waits", "dies", "fills the memory"])
def test_a_mutant_cannot_outlive_its_process(how, monkeypatch):
    monkeypatch.setattr(survivors, "CPU_SECONDS", 1)
    monkeypatch.setattr(survivors, "SECONDS", 3)

    def run() -> str:
        while how == "computes":
            pass
        if how == "waits":
            time.sleep(60)
        if how == "dies":
            os._exit(3)
        bytearray(2 << 30)
        return ""

    begun = time.monotonic()
    assert survivors._in_a_fork(run) is None
    assert time.monotonic() - begun < 30
    assert survivors._in_a_fork(lambda: "") == ""
