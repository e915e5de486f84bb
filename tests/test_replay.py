"""One hidden test once more, with the inputs of the marking, call by call."""

from __future__ import annotations

import json
import pdb

import pytest
from toy import NAME
from typer.testing import CliRunner

from autograder.cli import main

NO_DISCOUNT = ("gamma ** np.arange(float(len(rewards)))", "np.ones(len(rewards))")


@pytest.fixture
def ada(toy, tmp_path, server):
    """A submission that forgets gamma; `server` skips where there is no wall."""
    path = tmp_path / "ada.py"
    path.write_text(toy.submission(*NO_DISCOUNT))
    return path


def replay(toy, *arguments):
    options = ["--course", str(toy.root)]
    return CliRunner().invoke(main.app, ["replay", NAME, *map(str, arguments), *options])


def test_each_call_is_shown_with_the_answer_and_where_it_differs_the_right_one(toy, ada):
    done = replay(toy, ada, "test_two_rewards")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == "test_two_rewards: The second of two rewards is discounted once."
    asked, mine, right = lines[2:5]
    assert asked.startswith("1. discounted(array([") and asked.endswith("]), 0.5)")
    first, second = json.loads(asked.removeprefix("1. discounted(array(").removesuffix("), 0.5)"))
    assert float(mine.split(":")[1]) == pytest.approx(first + second, abs=1e-5)
    assert float(right.split(":")[1]) == pytest.approx(first + second / 2, abs=1e-5)
    assert any(line.startswith("the sum is not close") for line in lines[5:])


def test_the_inputs_are_those_of_the_marking(toy, ada, tmp_path):
    out, options = tmp_path / "marks", ["--course", str(toy.root)]
    CliRunner().invoke(main.app, ["grade", NAME, str(ada), "--out", str(out), *options])
    staff = json.loads((out / NAME / "ada" / "staff.json").read_text())
    (detail,) = [one["detail"] for one in staff["outcomes"] if one["test"] == "test_two_rewards"]
    assert detail in replay(toy, ada, "test_two_rewards").output


def test_without_a_test_those_that_fail_are_listed(toy, ada):
    done = replay(toy, ada)
    assert done.exit_code == 0, done.output
    names = [line.split(":")[0] for line in done.output.splitlines()]
    assert names[:2] == ["test_two_rewards", "test_three_rewards"] and len(names) == 3


def test_the_debugger_opens_where_the_test_failed(toy, ada, monkeypatch):
    frames = []
    monkeypatch.setattr(pdb, "post_mortem", frames.append)
    replay(toy, ada, "test_two_rewards", "--pdb")
    (trace,) = frames
    names = set()
    while trace:
        names.add(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert "test_two_rewards" in names


def test_a_test_that_does_not_exist_is_named_with_a_near_one(toy, ada):
    done = replay(toy, ada, "test_two_reward")
    assert done.exit_code == 2
    assert "no hidden test 'test_two_reward': did you mean test_two_rewards?" in " ".join(
        done.output.split()
    )
