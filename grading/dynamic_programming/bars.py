"""What the handout of dynamic_programming claims, and the bar of its learning check.

The claims: its numbers, its misleading environments, its two-state tie.
"""

from pathlib import Path

import gymnasium
import numpy as np
import pytest

from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]
work = load(ROOT / "solutions" / "dynamic_programming" / "dynamic_programming.py")

LAKE = {"id": "FrozenLake-v1", "is_slippery": True}
CLIFF = {"id": "CliffWalking-v1"}


def start_value(spec, gamma, mdp_of=work.mdp_from_gym):
    env = gymnasium.make(**spec)
    return env.unwrapped.initial_state_distrib @ work.value_iteration(mdp_of(env, gamma), 1e-10)[0]


VALUES = [
    (LAKE, 0.99, 0.542026),
    (LAKE | {"map_name": "8x8"}, 0.99, 0.414640),
    (LAKE | {"is_slippery": False}, 0.99, 0.99**5),
    (CLIFF, 0.99, -12.247898),
    ({"id": "Taxi-v4"}, 0.99, 6.327464),
    (LAKE, 1.0, 14 / 17),
    (CLIFF, 1.0, -13.0),
]


def largest_error(seed):
    """Minus the largest error of the reference at the start of the real environments; no dice."""
    return -max(abs(start_value(spec, gamma) - value) for spec, gamma, value in VALUES[:5])


BARS = {"test_the_real_environments_are_solved": Bar(-1e-5, largest_error, (0,))}


@pytest.mark.parametrize(("spec", "gamma", "value"), VALUES)
def test_the_handout_has_the_right_numbers(spec, gamma, value):
    assert start_value(spec, gamma) == pytest.approx(value, abs=1e-6)


def careless(env, gamma, ignore_done=False, overwrite=False):
    """The model that a program with one of two well-known mistakes builds."""
    right = work.mdp_from_gym(env, gamma)
    P, R = np.zeros_like(right.P), np.zeros_like(right.R)
    for s, a in np.ndindex(R.shape):
        for probability, s2, reward, done in env.unwrapped.P[s][a]:
            R[s, a] += probability * reward
            if ignore_done or not done:
                P[s, a, s2] = probability + (0.0 if overwrite else P[s, a, s2])
    return right._replace(P=P, R=R)


def test_ignoring_done_shows_on_the_cliff_and_not_on_the_lake():
    def ignoring(env, gamma):
        return careless(env, gamma, ignore_done=True)

    assert start_value(CLIFF, 0.99, ignoring) == pytest.approx(-100.0)
    assert start_value(LAKE, 0.99, ignoring) == pytest.approx(0.542026, abs=1e-6)


def test_overwriting_duplicates_shows_on_the_lake_and_not_on_the_cliff():
    def overwriting(env, gamma):
        return careless(env, gamma, overwrite=True)

    assert start_value(LAKE, 0.99, overwriting) == pytest.approx(0.385, abs=1e-3)
    assert start_value(CLIFF, 0.99, overwriting) == pytest.approx(-12.247898, abs=1e-6)


@pytest.mark.parametrize(
    ("theta", "flips"), [(1e-6, True), (1e-7, True), (1e-8, False), (1e-9, True)]
)
def test_rough_evaluation_flips_between_two_equally_good_policies(theta, flips):
    gamma = 0.5
    P = np.zeros((2, 2, 2))
    P[0, 0, 1] = P[0, 1, 0] = P[1, 0, 0] = P[1, 1, 0] = 1.0
    mdp = work.MDP(P, np.array([[1.0, 1 / (1 + gamma)], [0.0, 0.0]]), np.zeros(2, bool), gamma)
    action, chosen = 0, []
    for _ in range(20):
        v, _ = work.policy_evaluation(mdp, np.eye(2)[[action, 0]], theta)
        action = int(work.q_from_v(v, mdp)[0].argmax())
        chosen.append(action)
    assert chosen == ([1, 0] * 10 if flips else [0] * 20)
    _, v, iters = work.policy_iteration(mdp)
    assert iters <= 2
    assert v[0] == pytest.approx(1 / (1 - gamma**2))


def test_the_cliff_is_exact_after_as_many_sweeps_as_the_longest_best_walk_has_steps():
    _, _, errors = work.value_iteration(work.mdp_from_gym(gymnasium.make(**CLIFF), 0.99), 1e-10)
    # From the far corner; the start is 13 steps away.
    assert np.flatnonzero(errors > 1e-10)[-1] + 1 == 14
