"""An environment lent to a student runs and is counted in the grader."""

import sys

import gymnasium
import numpy as np
import pytest

from autograder.errors import StudentError
from autograder.isolation.bridge.environments import RESETS, LentEnvironment, known_to_gymnasium
from autograder.isolation.bridge.handles import Remote
from autograder.isolation.bridge.lab import Lab
from autograder.judging.hidden_test import InProcess

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
    return [name for name in vars(env) if not name.startswith("_")]

def resets(env, n):
    env.step(0)
    for _ in range(n):
        env.reset()

def begin(env, options):
    return env.reset(seed=1, options=options)[0]

def itself(env):
    return env

def kind(env):
    return type(env).__name__

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


@pytest.fixture(params=["lent", "practice"])
def cartpole(here, request):
    """Makes the environment and its counter, lent or beside the student's code: no difference."""
    student, lab = here

    def make(budget):
        if request.param == "lent":
            return lab.lend(gymnasium.make("CartPole-v1"), budget=budget)
        env = lab.practice("CartPole-v1", budget=budget)
        return env, env

    return student, make


def test_an_environment_to_practise_in_behaves_like_a_lent_one(cartpole):
    student, make = cartpole
    env, counter = make(30)
    assert student.walk(env, 30, 3) == 30.0 and counter.steps == 30 and counter.episodes == 4
    with pytest.raises(StudentError, match="the budget of 30 environment steps is used up"):
        student.act(env, 0)
    with pytest.raises(StudentError, match="takes no options"):
        student.begin(env, {"low": -0.001})
    env, counter = make(30)
    observation, reward, terminated, truncated, info = student.act(env, 1)
    assert observation.shape == (4,) and (reward, terminated, truncated, info) == (
        1.0,
        False,
        False,
        {},
    )
    with pytest.raises(StudentError, match="the action is not in"):
        student.act(env, 2)
    assert counter.steps == 1


def test_an_environment_to_practise_in_lives_beside_the_students_code(here):
    student, lab = here
    assert isinstance(student.itself(lab.practice("CartPole-v1", budget=1)), Remote)
    assert student.kind(lab.practice("CartPole-v1", budget=1)) == LentEnvironment.__name__


def test_the_counter_is_out_of_reach(here):
    student, lab = here
    env, counter = lab.lend(gymnasium.make("CartPole-v1"))
    assert sorted(student.cheat(env)) == [
        "action_space",
        "close",
        "observation_space",
        "reset",
        "step",
        "steps",
    ]
    assert counter.steps == 1


def test_the_budget_ends_the_walk(here):
    student, lab = here
    env, counter = lab.lend(gymnasium.make("CartPole-v1"), budget=7)
    with pytest.raises(StudentError, match="the budget of 7 environment steps is used up"):
        student.walk(env, 8, 0)
    assert counter.steps == 7


def test_a_loop_of_resets_is_ended(here):
    student, lab = here
    env, _ = lab.lend(gymnasium.make("CartPole-v1"))
    student.begin(env, None)
    student.resets(env, RESETS)
    student.resets(env, RESETS)  # the step between them starts the count again
    with pytest.raises(
        StudentError, match=rf"reset\(\) was called {RESETS} times in a row, and step\(\) never"
    ):
        student.resets(env, RESETS + 1)


def test_a_loop_of_resets_of_a_vector_environment_is_ended(vectors):
    student, lab = vectors
    make_env, _ = lent(lab, "CartPole-v1")
    student.resets(make_env, RESETS)
    with pytest.raises(StudentError, match="in a row"):
        student.resets(make_env, RESETS + 1)


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


VECTOR_STUDENT = """
import numpy as np

def walk(make_env, n, steps, seed):
    env = make_env(n)
    observations, info = env.reset(seed=seed)
    finals = []
    for _ in range(steps):
        actions = np.ones(env.num_envs, int)
        observations, rewards, terminated, truncated, info = env.step(actions)
        if "final_obs" in info:
            finals += list(info["final_obs"][info["_final_obs"]])
    return observations, rewards, terminated, np.stack(finals)

def act(make_env, actions):
    env = make_env(2)
    env.reset(seed=0)
    return env.step(actions)

def resets(make_env, n):
    env = make_env(2)
    for _ in range(n):
        env.reset()
    env.step(np.ones(env.num_envs, int))

def limits(make_env):
    env = make_env(2)
    return env.single_observation_space.shape, env.single_action_space.high, env.action_space.shape
"""


@pytest.fixture
def vectors():
    bridge = InProcess.of(VECTOR_STUDENT, "student.py").open(lambda event: None, None)
    yield bridge.student, Lab(bridge)
    bridge.close()


def same_step(name, n):
    mode = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}
    return gymnasium.make_vec(name, num_envs=n, vectorization_mode="sync", vector_kwargs=mode)


def lent(lab, name, n=2, budget=None):
    """make_env for the student, and the counter."""
    env, counter = lab.lend_vector(same_step(name, n), budget)
    return lambda asked: env, counter


def test_vector_environments_run_in_the_grader_and_are_counted(vectors):
    student, lab = vectors
    make_env, counter = lent(lab, "CartPole-v1", 3)
    observations, rewards, terminated, finals = student.walk(make_env, 3, 25, 5)
    real, expected = same_step("CartPole-v1", 3), []
    real.reset(seed=5)
    for _ in range(25):
        step = real.step(np.ones(3, int))
        if "final_obs" in step[4]:
            expected += list(step[4]["final_obs"][step[4]["_final_obs"]])
    for mine, theirs in zip((observations, rewards, terminated), step, strict=False):
        assert np.array_equal(mine, theirs)
    assert len(expected) > 3
    assert np.array_equal(finals, np.stack(expected))
    assert counter.steps == 75


def test_the_budget_of_a_vector_environment_counts_all_environments(vectors):
    student, lab = vectors
    make_env, counter = lent(lab, "CartPole-v1", 3, budget=80)
    with pytest.raises(StudentError, match="the budget of 80 environment steps is used up"):
        student.walk(make_env, 3, 27, 5)
    assert counter.steps == 78


@pytest.mark.parametrize("actions", [[0, 2], [0], [0.0, 1.0], [[0], [1]], "01", None])
def test_impossible_actions_are_refused_and_not_counted(vectors, actions):
    student, lab = vectors
    make_env, counter = lent(lab, "CartPole-v1")
    with pytest.raises(StudentError, match=r"action.* in Discrete"):
        student.act(make_env, actions)
    assert counter.steps == 0


def test_boxes_of_vector_environments_are_lent(vectors):
    student, lab = vectors
    make_env, _ = lent(lab, "Pendulum-v1")
    shape, high, batched = student.limits(make_env)
    assert (tuple(shape), high.tolist(), tuple(batched)) == ((3,), [2.0], (2, 1))
    student.act(make_env, np.array([[0.5], [-0.5]]))
    with pytest.raises(StudentError, match="not in Box"):
        student.act(make_env, np.array([[0.5], [-2.5]]))


def test_only_same_step_environments_are_lent(vectors):
    _, lab = vectors
    with pytest.raises(TypeError, match="SAME_STEP"):
        lab.lend_vector(gymnasium.make_vec("CartPole-v1", num_envs=2))


def test_a_vector_to_practise_in_behaves_like_a_lent_one(vectors):
    student, lab = vectors
    make_env, counter = lent(lab, "CartPole-v1", 3, budget=80)
    env = lab.practice("CartPole-v1", budget=80, num_envs=3)
    for one, other in zip(
        student.walk(make_env, 3, 25, 5), student.walk(lambda asked: env, 3, 25, 5), strict=True
    ):
        assert np.array_equal(one, other)
    assert env.steps == counter.steps == 75
    with pytest.raises(StudentError, match="the budget of 80 environment steps is used up"):
        student.walk(lambda asked: env, 3, 2, 5)


def test_one_to_practise_in_can_be_had_behind_the_wall(behind_the_wall):
    reached = behind_the_wall("def first(env):\n    env.reset(seed=0)\n    return env.step(0)[1]\n")
    assert reached.student.first(reached.lab.practice("CartPole-v1", 10)) == 1.0


# -- Gymnasium's own wrappers ----------------------------------------------------------------------

WRAPS = """
    import gymnasium
    import numpy as np

    def walk(env):
        env = gymnasium.wrappers.NormalizeObservation(env)
        env = gymnasium.wrappers.RecordEpisodeStatistics(env)
        env.reset(seed=3)
        for _ in range(60):
            obs, _, terminated, truncated, info = env.step(1)
            if terminated or truncated:
                return float(info["episode"]["r"]), obs

    def walk_many(envs):
        envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(envs)
        envs.reset(seed=3)
        for _ in range(60):
            *_, infos = envs.step(np.ones(envs.num_envs, np.int64))
            if "episode" in infos:
                return float(infos["episode"]["r"].max())
"""


@pytest.mark.parametrize("kind", ["lent", "practice"])
def test_a_student_may_wrap_an_environment(reach, kind):
    reached = reach(WRAPS)
    if kind == "lent":
        env, _ = reached.lab.lend(gymnasium.make("CartPole-v1"))
        envs, _ = reached.lab.lend_vector(same_step("CartPole-v1", 2))
    else:
        env = reached.lab.practice("CartPole-v1", budget=100)
        envs = reached.lab.practice("CartPole-v1", budget=200, num_envs=2)
    total, last = reached.student.walk(env)
    assert 5 < total < 20 and np.isfinite(last).all()
    assert 5 < reached.student.walk_many(envs) < 20


def test_what_was_lent_before_gymnasium_was_imported_does_not_decide_for_later(monkeypatch):
    class Plain:
        pass

    with monkeypatch.context() as without:
        without.delitem(sys.modules, "gymnasium")
        assert known_to_gymnasium(Plain) is Plain
    assert issubclass(known_to_gymnasium(Plain), gymnasium.Env)
