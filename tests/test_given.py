"""Given modules: the course's copy is what runs, whatever a submission brings; and each of them
does what it says."""

from __future__ import annotations

import ast
import importlib.util
import io
import itertools
import sys
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from toy import MAIN, NAME

from autograder.authoring import starter
from autograder.authoring.course import load_course
from autograder.authoring.given import given_files, with_given
from autograder.errors import CourseError
from autograder.export import gradescope, nbgrader, otter
from autograder.isolation.limits import Limits
from autograder.judging.diagnose import AnswerKey
from autograder.judging.hidden_test import InProcess
from autograder.marking.submission import read_all
from autograder.proof import import_as_graded
from autograder.proof.verify import run_public_tests

ROOT = Path(__file__).resolve().parents[1]
GIVEN = "def softened(logits):\n    return logits - logits.max()\n"
THEIRS = b"raise RuntimeError('a copy of the submission ran')\n"


@pytest.fixture
def generous(toy):
    """The toy course, whose solution imports a given module."""
    toy.write("assignments/given/soft.py", GIVEN)
    toy.edit(f"assignments/{NAME}/assignment.yml", "limits:", "given: [soft]\nlimits:")
    toy.edit_solution("import numpy as np\n", "import numpy as np\nfrom soft import softened\n")
    toy.edit_solution("np.exp(logits - logits.max())", "np.exp(softened(logits))")
    starter.write(toy.assignment)
    yield toy
    sys.modules.pop("soft", None)


REPLACED = {
    "a module": {"soft.py": THEIRS},
    "a package": {"soft/__init__.py": THEIRS, "soft/deep/part.py": THEIRS},
    "both": {"soft.py": THEIRS, "soft/__init__.py": THEIRS},
}


@pytest.mark.parametrize("kind", REPLACED)
def test_a_submission_s_own_copy_is_left_out(generous, kind):
    files = {MAIN: b"x = 1\n", "helper.py": b"y = 2\n"}
    assert with_given(generous.assignment, files | REPLACED[kind]) == files | {
        "soft.py": GIVEN.encode()
    }


@pytest.mark.parametrize("kind", REPLACED)
def test_the_course_s_copy_runs_behind_the_wall(generous, server, kind):
    brought = {MAIN: generous.submission().encode()} | REPLACED[kind]
    candidate = server.candidate(with_given(generous.assignment, brought), MAIN, Limits())
    bridge = candidate.open(lambda event: None, None)
    try:
        assert bridge.student.softmax(np.zeros(2)).tolist() == [0.5, 0.5]
    finally:
        bridge.close()


def test_a_module_that_is_poisoned_changes_its_own_submission_alone(generous):
    poison = "import sys\nsys.modules['soft'] = sys\nsys.softened = lambda logits: logits * 0\n"
    key = AnswerKey(generous.assignment)
    logits = np.array([0.0, np.log(3.0)])
    bridge = key.reference.open(lambda event: None, None)
    honest = bridge.student.softmax(logits)
    bridge.close()
    files = with_given(generous.assignment, {MAIN: (poison + generous.submission()).encode()})
    bridge = InProcess(files, MAIN).open(lambda event: None, None)
    assert bridge.student.softmax(logits).tolist() == [0.5, 0.5]
    bridge.close()
    del sys.modules["soft"], sys.softened
    bridge = key.candidate(key.source.solution()).open(lambda event: None, None)
    assert bridge.student.softmax(logits) == pytest.approx(honest)
    bridge.close()


def test_public_tests_meet_the_course_s_copy(generous):
    brought = {MAIN: generous.submission().encode(), "soft.py": THEIRS}
    code, output = run_public_tests(generous.assignment, brought)
    assert (code, "3 passed" in output) == (0, True)


def test_a_submission_from_before_that_holds_the_code_itself_still_works(generous):
    text = generous.submission("from soft import softened\n", GIVEN)
    bridge = InProcess(with_given(generous.assignment, {MAIN: text.encode()}), MAIN).open(
        lambda event: None, None
    )
    assert bridge.student.softmax(np.zeros(2)).tolist() == [0.5, 0.5]
    bridge.close()


def test_the_starter_has_it_and_says_when_it_is_stale(generous):
    assert starter.stale(generous.assignment) == []
    assert (generous.assignment.starter / "soft.py").read_text() == GIVEN
    generous.write("assignments/given/soft.py", GIVEN.replace("max", "min"))
    assert starter.stale(generous.assignment) == ["sequences.ipynb", "soft.py"]


def test_the_notebook_writes_it_and_does_not_hand_it_in(generous, tmp_path):
    text = starter.notebook(generous.assignment, generous.source.solution())
    written = [
        c.source for c in nbformat.reads(text, as_version=4).cells if "%%writefile" in c.source
    ]
    assert written[0] == f"%%writefile soft.py\n{GIVEN}".rstrip()
    (tmp_path / "ada.ipynb").write_text(text)
    (one,) = read_all(tmp_path / "ada.ipynb", MAIN)
    assert b"def softened" not in one.files[MAIN] and b"def softmax" in one.files[MAIN]


def test_exports_bring_it_along(generous):
    assert otter.files(generous.assignment)["soft.py"] == GIVEN.encode()
    source = nbgrader.files(generous.course, generous.assignment)
    assert source[f"source/{NAME}/soft.py"] == GIVEN.encode()
    for name in gradescope.LOCKED:
        generous.write(f"requirements/{name}", "")
    archive = zipfile.ZipFile(io.BytesIO(gradescope.package(generous.course, generous.assignment)))
    assert archive.read("assignments/given/soft.py") == GIVEN.encode()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("[lost]", "'given' names lost"),
        ("[soft.py]", "without '.py'"),
        ("[sequences]", "none that students submit"),
    ],
)
def test_a_module_that_cannot_be_given_is_explained(toy, given, sentence):
    toy.edit(f"assignments/{NAME}/assignment.yml", "limits:", f"given: {given}\nlimits:")
    with pytest.raises(CourseError, match=r"assignment\.yml") as caught:
        given_files(toy.assignment)
    assert sentence in str(caught.value)


def unwritten(stub):
    """Names of the functions of a stub, and of the classes of its methods, that students write."""
    for node in ast.walk(ast.parse(stub)):
        written = isinstance(node, (ast.FunctionDef, ast.ClassDef))
        if written and "raise NotImplementedError" in ast.unparse(node):
            yield node.name


def test_a_given_module_defines_nothing_that_students_of_it_write():
    for assignment in load_course(ROOT).assignments:
        asked = set(unwritten((assignment.starter / assignment.main).read_text()))
        asked -= {"__init__"}
        assert asked
        for name, data in given_files(assignment).items():
            defined = {n.name for n in ast.parse(data).body if hasattr(n, "name")}
            assert not asked & defined, (
                f"{name} gives students of {assignment.name} what they write"
            )


# -- each of them does what it says ----------------------------------------------------------------


def read(name):
    """A given module, imported from assignments/given."""
    path = ROOT / "assignments" / "given" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_policies_agree_with_torch():
    policies, generator = read("policies"), torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, generator=generator)
    ours = policies.CategoricalPolicy(logits)
    theirs = torch.distributions.Categorical(logits=logits)
    actions = torch.tensor([0, 3, 1])
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    assert ours.mode().tolist() == logits.argmax(dim=1).tolist()
    many = policies.CategoricalPolicy(logits[:1].expand(20_000, 4)).sample(generator)
    frequencies = many.bincount(minlength=4) / len(many)
    torch.testing.assert_close(frequencies, theirs.probs[0], atol=0.02, rtol=0)

    mean, log_std = torch.randn(3, 2, generator=generator), torch.tensor([-1.0, 0.5])
    ours = policies.GaussianPolicy(mean, log_std)
    theirs = torch.distributions.Normal(mean, log_std.exp())
    actions = torch.randn(3, 2, generator=generator)
    torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions).sum(dim=1))
    torch.testing.assert_close(ours.entropy(), theirs.entropy().sum(dim=1))
    many = policies.GaussianPolicy(mean[:1].expand(20_000, 2), log_std).sample(generator)
    torch.testing.assert_close(many.std(dim=0), log_std.exp(), atol=0.03, rtol=0.03)
    torch.testing.assert_close(ours.mode(), mean)


def test_advantages_are_the_faded_sum_of_td_errors():
    rollouts, generator = read("rollouts"), torch.Generator().manual_seed(1)
    T, N, gamma, lam = 7, 2, 0.9, 0.8
    rewards, values, later = torch.randn(3, T, N, generator=generator, dtype=torch.float64)
    terminated, truncated = torch.rand(2, T, N, generator=generator) < 0.2
    found = rollouts.gae(rewards, values, later, terminated, truncated, gamma, lam)
    for t, n in itertools.product(range(T), range(N)):
        total, weight = 0.0, 1.0
        for k in range(t, T):
            bootstrap = 0.0 if terminated[k, n] else gamma * later[k, n]
            total += weight * (rewards[k, n] + bootstrap - values[k, n])
            weight *= gamma * lam
            if terminated[k, n] or truncated[k, n]:
                break
        assert found.advantages[t, n] == pytest.approx(float(total))
    torch.testing.assert_close(found.returns, found.advantages + values)


def test_statistics_are_those_of_everything_at_once():
    rollouts, generator = read("rollouts"), torch.Generator().manual_seed(2)
    batches = [torch.randn(n, 3, generator=generator) + 1000 for n in (1, 5, 20)]
    stats = rollouts.RunningMeanStd((3,))
    for batch in batches:
        stats.update_(batch)
    everything = torch.cat(batches).double()
    torch.testing.assert_close(stats.mean, everything.mean(dim=0))
    torch.testing.assert_close(stats.var, everything.var(dim=0, correction=0))
    assert stats.count == 26
    values, returns = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 3.0, 5.0])
    assert rollouts.explained_variance(values, returns) == pytest.approx(1 - (2 / 3) / (8 / 3))
    assert rollouts.explained_variance(values, torch.ones(3)) == 0.0


def test_text_comes_back_and_prompts_are_digits():
    tiny = read("tiny_lm")
    assert tiny.decode(tiny.encode("r31>13$_")) == "r31>13$_"
    with pytest.raises(ValueError):
        tiny.encode("R")
    prompts = tiny.draw_prompts("sort", 4, 200, torch.Generator().manual_seed(3))
    assert all(p[0] == "s" and p[-1] == ">" and p[1:-1].isdigit() and len(p) == 6 for p in prompts)
    assert len(set("".join(prompts))) == 12


def test_the_cache_changes_no_logit():
    pytest.importorskip("transformers")
    tiny = read("tiny_lm")
    torch.manual_seed(4)
    policy = tiny.build_policy(width=16, layers=2, heads=2)
    tokens = torch.tensor([tiny.encode("_r1>1$"), tiny.encode("s21>12")])
    real = tiny.attention_mask(tokens, torch.zeros_like(tokens))
    places = (real.cumsum(dim=1) - 1).clamp(min=0)
    assert real.tolist() == [[False] + [True] * 5, [True] * 6]
    with torch.no_grad():
        whole, _ = tiny.run_with_cache(policy, tokens, real, places)
        first, cache = tiny.run_with_cache(policy, tokens[:, :4], real[:, :4], places[:, :4])
        rest, _ = tiny.run_with_cache(policy, tokens[:, 4:], real, places[:, 4:], cache)
    torch.testing.assert_close(torch.cat([first, rest], dim=1)[real], whole[real])


def test_a_report_leaves_out_what_is_not_written_and_draws_the_rest(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    plots = read("plots")

    def drawn(runs):
        figure, axis = plots.plt.subplots()
        plots.band(axis, [0, 1, 2], [[0, 1, 2]] * runs + [[2, 3, 7]] * runs, "both", "C0")
        (line,) = axis.lines
        assert line.get_ydata().tolist() == [1.0, 2.0, 4.5]
        low, high = (axis.collections[0].get_datalim(axis.transData).intervaly for _ in range(2))
        assert (low[0], high[1]) == (0, 7)
        return figure

    def unwritten(runs):
        raise NotImplementedError("TODO(sums): add up.")

    folder = tmp_path / "new"
    options = plots.parser("Draws.\n\nMore.", str(tmp_path / "report.py"))
    assert options.parse_args([]).out == tmp_path
    plots.save_all(folder, {"one": unwritten, "two": drawn}, 3)
    assert [path.name for path in folder.iterdir()] == ["two.png"]
    said = capsys.readouterr().out
    assert "one.png is left out" in said and "TODO(sums)" in said and "two.png" in said
    assert plots.running_mean([2.0, 4.0, 6.0, 8.0], 2).tolist() == [2.0, 3.0, 5.0, 7.0]


def test_check_finds_it_as_grading_does(generous, server):
    files = {MAIN: generous.submission().encode()}
    assert import_as_graded.trial(generous.assignment, files) == import_as_graded.Trial()
