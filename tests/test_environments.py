"""An environment lent to a student runs and is counted in the grader."""

import gymnasium
import numpy as np
import pytest

from autograder.errors import StudentError
from autograder.examine import InProcess
from autograder.isolation.client import Lab

STUDENT = """
def walk(env, steps, seed):
    env.reset(seed=seed)
    total = 0.0
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.n - 1)
        total += reward
        if terminated or truncated:
            env.reset()
    return total

def act(env, action):
    env.reset(seed=0)
    return env.step(action)

def cheat(env):
    env.steps = -1000
    env.reset(seed=0)
    env.step(0)
    return [name for name in dir(env) if not name.startswith("_")]

def begin(env, options):
    return env.reset(seed=1, options=options)[0]

def limits(env):
    return env.observation_space.shape, env.action_space.low
"""


@pytest.fixture
def here():
    bridge = InProcess.of(STUDENT, "student.py").open(lambda event: None, None)
    yield bridge.student, Lab(bridge)
    bridge.close()


def test_steps_and_rewards_are_those_of_the_real_environment(here):
    student, lab = here
    env, counter = lab.lend(gymnasium.make("CartPole-v1"))
    total = student.walk(env, 30, 3)
    real = gymnasium.make("CartPole-v1")
    real.reset(seed=3)
    expected = 0.0
    for _ in range(30):
        _, reward, terminated, truncated, _ = real.step(1)
        expected += reward
        if terminated or truncated:
            real.reset()
    assert total == expected
    assert counter.steps == 30
    assert counter.episodes > 1


def test_the_counter_is_out_of_reach(here):
    student, lab = here
    env, counter = lab.lend(gymnasium.make("CartPole-v1"))
    assert sorted(student.cheat(env)) == ["action_space", "close", "observation_space", "reset", "step", "steps"]
    assert counter.steps == 1


def test_the_budget_ends_the_walk(here):
    student, lab = here
    env, counter = lab.lend(gymnasium.make("CartPole-v1"), budget=7)
    with pytest.raises(StudentError, match="the budget of 7 environment steps is used up"):
        student.walk(env, 8, 0)
    assert counter.steps == 7


def test_where_an_episode_begins_is_not_for_the_student_to_choose(here):
    student, lab = here
    env, counter = lab.lend(gymnasium.make("CartPole-v1"))
    with pytest.raises(StudentError, match="takes no options"):
        student.begin(env, {"low": -0.001, "high": 0.001})
    assert counter.episodes == 0
    student.begin(env, None)
    assert counter.episodes == 1


@pytest.mark.parametrize("action", [2, -1, "left", None, 0.5])
def test_an_impossible_action_is_refused_and_not_counted(here, action):
    student, lab = here
    env, counter = lab.lend(gymnasium.make("CartPole-v1"))
    with pytest.raises(StudentError, match="the action is not in"):
        student.act(env, action)
    assert counter.steps == 0


def test_numpy_integers_are_actions(here):
    student, lab = here
    env, counter = lab.lend(gymnasium.make("CartPole-v1"))
    student.act(env, np.int64(1))
    assert counter.steps == 1


def test_boxes_are_lent_too(here):
    student, lab = here
    env, _ = lab.lend(gymnasium.make("Pendulum-v1"))
    shape, low = student.limits(env)
    assert tuple(shape) == (3,)
    assert low.tolist() == [-2.0]
