"""Tabular temporal-difference control: Q-learning, SARSA, Expected SARSA and Double Q-learning
(NumPy).

Conventions, the same everywhere in this file

* States and actions are integers from 0; ``Q`` is a float64 array of shape (S, A), one row per
  state.
* ``terminated`` says that the step led to a real end of the episode: the future is worth 0 there.
  ``truncated`` says that a clock stopped the episode: the future still has its value. Only ``terminated``
  ever enters a target.
* Names ending in ``_`` change their table in place. Everything else leaves its arguments alone.
* All randomness comes from the ``rng`` that is passed in.

Source: Sutton & Barto, Reinforcement Learning: An Introduction, 2nd ed. (2018), sections 6.4 to 6.7
("S&B").
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

ALGORITHMS = ("q_learning", "sarsa", "expected_sarsa", "double_q")


class Result(NamedTuple):
    """What ``train`` returns."""

    Q: np.ndarray  # (S, A) float64: the learned action values
    returns: np.ndarray  # (episodes,) float64: the undiscounted sum of rewards of each episode


# -- Given: the checks of arguments ----------------------------------------------------------------


def _check_rates(*, alpha: float = 1.0, gamma: float = 1.0, epsilon: float = 0.0) -> None:
    """Raise ValueError unless alpha lies in (0, 1], gamma in [0, 1] and epsilon in [0, 1]."""
    if not 0.0 < alpha <= 1.0:
        raise ValueError(f"The step size alpha must lie in (0, 1], but it is {alpha}.")
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"The discount gamma must lie in [0, 1], but it is {gamma}.")
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"The exploration rate epsilon must lie in [0, 1], but it is {epsilon}.")


def _check_row(row: np.ndarray, name: str) -> None:
    """Raise ValueError unless ``row`` is one row of a table: shape (A,) with A >= 1."""
    if np.ndim(row) != 1 or np.size(row) == 0:
        raise ValueError(f"{name} must have shape (A,), but its shape is {np.shape(row)}.")


# -- Part 1: the Q-learning target and update ------------------------------------------------------


def q_target(r: float, q_next: np.ndarray, gamma: float, terminated: bool) -> float:
    """What one step says Q(s, a) should be, if all later choices are the best ones (target of S&B
    eq. 6.8).

        target = r                                  if the step terminated the episode
        target = r + gamma * max_b q_next[b]        otherwise

    Args:
        r: the reward of the step.
        q_next: (A,) the action values of the state that the step led to. It may be a view of the
            table.
        gamma: discount in [0, 1].
        terminated: whether the step ended the episode for real (a time limit does not).

    Returns:
        The target, a float.

    Raises:
        ValueError: if q_next is not of shape (A,) or gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    _check_row(q_next, "q_next")
    # TODO(targets): the reward, plus the discounted value of the best next action unless the step terminated.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(targets): the reward, plus the discounted value of the best next action unless the step terminated.")


def q_learning_update_(
    Q: np.ndarray, s: int, a: int, r: float, s2: int, terminated: bool, alpha: float, gamma: float
) -> float:
    """Move Q[s, a] towards the Q-learning target, in place, and return the TD error (S&B eq. 6.8).

        delta     = q_target(r, Q[s2], gamma, terminated) - Q[s, a]        with the table as it was
        Q[s, a]  += alpha * delta                                         and no other entry changes

    Args:
        Q: (S, A) float64, changed in place.
        s, a, r, s2: state, action, reward, next state.
        terminated: whether the step ended the episode for real (a time limit does not).
        alpha: step size in (0, 1].
        gamma: discount in [0, 1].

    Returns:
        delta, a float: the error before the step, not multiplied by alpha.

    Raises:
        ValueError: if alpha or gamma lies outside its range.
    """
    _check_rates(alpha=alpha, gamma=gamma)
    # TODO(targets): compute the TD error with the table as it is, then move the one entry Q[s, a].
    # YOUR CODE HERE
    raise NotImplementedError("TODO(targets): compute the TD error with the table as it is, then move the one entry Q[s, a].")


# -- Part 2: the on-policy targets -----------------------------------------------------------------


def sarsa_target(
    r: float, q_next: np.ndarray, a_next: int, gamma: float, terminated: bool
) -> float:
    """What one step says Q(s, a) should be, given the action that is taken next (target of S&B eq.
    6.7).

        target = r                                  if the step terminated the episode
        target = r + gamma * q_next[a_next]         otherwise

    Args:
        r, q_next, gamma, terminated: as for q_target.
        a_next: the action that is taken in the next state.

    Returns:
        The target, a float.

    Raises:
        ValueError: if q_next is not of shape (A,) or gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    _check_row(q_next, "q_next")
    # TODO(on_policy): like q_target, but with the value of the action that is taken next.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(on_policy): like q_target, but with the value of the action that is taken next.")


def expected_sarsa_target(
    r: float, q_next: np.ndarray, pi_next: np.ndarray, gamma: float, terminated: bool
) -> float:
    """What one step says Q(s, a) should be, on average over the next action (target of S&B eq.
    6.9).

        target = r                                                if the step terminated the episode
        target = r + gamma * sum_b pi_next[b] * q_next[b]           otherwise

    Args:
        r, q_next, gamma, terminated: as for q_target.
        pi_next: (A,) the probability of each action in the next state.

    Returns:
        The target, a float.

    Raises:
        ValueError: if q_next is not of shape (A,), pi_next has another shape, or gamma lies outside
            [0, 1].
    """
    _check_rates(gamma=gamma)
    _check_row(q_next, "q_next")
    if np.shape(pi_next) != np.shape(q_next):
        raise ValueError(
            f"pi_next has shape {np.shape(pi_next)}, but q_next has {np.shape(q_next)}."
        )
    # TODO(on_policy): like sarsa_target, but with the mean of the next action values under pi_next.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(on_policy): like sarsa_target, but with the mean of the next action values under pi_next.")


# -- Part 3: training ------------------------------------------------------------------------------


def train(
    env,
    algo: str,
    episodes: int,
    alpha: float,
    epsilon_fn: Callable[[int], float],
    gamma: float,
    rng: np.random.Generator,
    seed: int,
) -> Result:
    """Learn action values by acting epsilon-greedily in an environment.

    The table starts at 0 (for "double_q": both tables). Behaviour is epsilon-greedy in the table as
    it is at that moment, ties broken at random; for "double_q" it is epsilon-greedy in Q1 + Q2.

    Q-learning, Expected SARSA and Double Q-learning choose an action, take the step, update, choose
    again. SARSA chooses the next action before the update, because its target needs it, and then
    takes exactly that action. Expected SARSA's pi_next is the epsilon-greedy policy with the
    epsilon of the current episode.

    An episode ends when the environment says terminated or truncated. The last step is learned from
    like any other.

    Args:
        env: a Gymnasium environment with integer states and actions. Use env.reset, env.step,
            env.observation_space.n and env.action_space.n, and nothing else of it.
        algo: one of ALGORITHMS.
        episodes: how many episodes to play, at least 1.
        alpha: step size in (0, 1].
        epsilon_fn: the exploration rate of an episode, asked once each: epsilon_fn(0),
            epsilon_fn(1), ...
        gamma: discount in [0, 1].
        rng: makes every random choice of the agent.
        seed: given to the first env.reset and to no other.

    Returns:
        Result(Q, returns): Q of shape (S, A), for "double_q" the mean of the two tables; returns of
        shape (episodes,), the undiscounted sum of the rewards of each episode.

    Raises:
        ValueError: if algo is unknown, episodes < 1, or alpha, gamma or an epsilon lies outside its
            range.
    """
    if algo not in ALGORITHMS:
        raise ValueError(f"algo must be one of {', '.join(ALGORITHMS)}, but it is {algo!r}.")
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, but it is {episodes}.")
    _check_rates(alpha=alpha, gamma=gamma)
    # TODO(train): play the episodes: act, step, learn. An episode can end in two ways: which cuts the target?
    # YOUR CODE HERE
    raise NotImplementedError("TODO(train): play the episodes: act, step, learn. An episode can end in two ways: which cuts the target?")


# -- Part 4: continuous observations ---------------------------------------------------------------


class Discretizer:
    """Cuts a box of real numbers into cells and numbers them, so that a table can learn from, say,
    CartPole.

    Dimension d is cut into bins[d] bins of equal width between low[d] and high[d]. An infinite
    bound is first replaced by -clip or +clip; finite bounds stay as they are. A value on the edge
    between two bins belongs to the upper one. A value outside the bounds belongs to the outermost
    bin on its side.

    Args:
        low, high: (D,) the bounds, infinite ones allowed.
        bins: (D,) integers, at least 1.
        clip: what stands for infinity, positive and finite.

    Attributes:
        n_states: int, the number of cells: the product of ``bins``.

    Raises:
        ValueError: if low, high and bins are not of one shape (D,), some bins[d] < 1, clip is not
            positive and finite, or a dimension is empty once the infinite bounds are replaced (low >=
            high).
    """

    def __init__(
        self, low: Sequence[float], high: Sequence[float], bins: Sequence[int], clip: float = 4.0
    ) -> None:
        low, high = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
        if low.ndim != 1 or low.size == 0 or not low.shape == high.shape == np.shape(bins):
            shapes = f"{low.shape}, {high.shape} and {np.shape(bins)}"
            raise ValueError(
                f"low, high and bins must have one shape (D,), but they have {shapes}."
            )
        if any(n < 1 for n in bins):
            raise ValueError(f"Every dimension needs at least 1 bin, but bins is {list(bins)}.")
        if not 0.0 < clip < np.inf:
            raise ValueError(f"clip must be positive and finite, but it is {clip}.")
        # TODO(discretizer): replace infinite bounds, refuse low >= high, find the edges, set self.n_states.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(discretizer): replace infinite bounds, refuse low >= high, find the edges, set self.n_states.")

    def encode(self, obs: Sequence[float]) -> int:
        """The number of the cell that holds ``obs``, from 0 to n_states - 1.

        Row-major: the last dimension runs fastest, as in
        np.ravel_multi_index(bin_of_each_dimension, bins).

        Raises:
            ValueError: if obs is not of shape (D,).
        """
        # TODO(discretizer): refuse a wrong shape, find the bin in each dimension, number the cell row-major.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(discretizer): refuse a wrong shape, find the bin in each dimension, number the cell row-major.")


# -- Part 6: Double Q-learning (part 5 is an experiment: it needs train and no new function) -------


def double_q_update_(
    Q1: np.ndarray,
    Q2: np.ndarray,
    s: int,
    a: int,
    r: float,
    s2: int,
    terminated: bool,
    alpha: float,
    gamma: float,
    rng: np.random.Generator,
) -> float:
    """Move one of two tables, chosen by a fair coin, in place, and return its TD error (S&B eq.
    6.10).

    Heads, Q1 learns:

        best       = argmax_b Q1[s2, b]                              ties at random
        delta      = r + gamma * Q2[s2, best] - Q1[s, a]       (r - Q1[s, a] if the step terminated)
        Q1[s, a]  += alpha * delta

    Tails: the same with the two tables exchanged.

    Args:
        Q1, Q2: (S, A) float64; exactly one of them is changed, in one entry.
        s, a, r, s2, terminated, alpha, gamma: as for q_learning_update_.
        rng: tosses the coin and breaks ties.

    Returns:
        delta, a float: the TD error of the table that learned, before the step, not multiplied by
            alpha.

    Raises:
        ValueError: if the tables differ in shape, or alpha or gamma lies outside its range.
    """
    _check_rates(alpha=alpha, gamma=gamma)
    if np.shape(Q1) != np.shape(Q2):
        raise ValueError(
            f"The tables must have one shape, but they have {np.shape(Q1)} and {np.shape(Q2)}."
        )
    # TODO(double): toss the coin; one table chooses the best next action, the other says what it is worth.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(double): toss the coin; one table chooses the best next action, the other says what it is worth.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# targets=  on_policy=  train=  discretizer=  comparison=  double=
