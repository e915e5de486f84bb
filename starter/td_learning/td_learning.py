"""Tabular prediction and control from experience: Monte Carlo, temporal differences, and what lies
between them (NumPy).

Conventions, the same everywhere in this file

* States and actions are integers from 0. ``V`` is a float64 array of shape (S,) with one entry for
  each state, the ends included; ``Q`` has shape (S, A).
* An ``Episode`` is a finished record, time first. ``rewards[t]`` is what the step from
  ``states[t]`` to ``states[t + 1]`` paid.
* ``terminated`` says that the last step led to a real end: the future is worth 0 there, whatever
  the table says of the state that it led to. (It need not be a state of its own: in Blackjack-v1
  who sticks is shown the same cards once more.) An episode that is not terminated was truncated,
  that is cut off by a clock: its last state still has its value.
* Names ending in ``_`` change their table in place. Everything else leaves its arguments alone.
* All randomness comes from the ``rng`` that is passed in.

Source: Sutton & Barto, Reinforcement Learning: An Introduction, 2nd ed. (2018), chapters 5, 6, 7
and 12 ("S&B").
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TRACES = ("accumulating", "replacing", "dutch")


class Episode(NamedTuple):
    """The record of one episode of T >= 1 steps."""

    states: np.ndarray  # (T + 1,) integers; states[T] is the state that the last step led to
    actions: np.ndarray  # (T,) integers
    rewards: np.ndarray  # (T,) float64
    terminated: bool  # whether the last step ended the episode for real; otherwise it was truncated


class Estimate(NamedTuple):
    """What Monte Carlo estimates return."""

    values: np.ndarray  # (S,) or (S, A) float64; 0 where nothing was counted
    visits: np.ndarray  # the same shape, integers: how many visits were counted


class Control(NamedTuple):
    """What ``mc_control`` returns."""

    Q: np.ndarray  # (S, A) float64: the mean return of the first visits to each pair; 0 without any
    visits: np.ndarray  # (S, A) integers: how many first visits there were
    returns: np.ndarray  # (episodes,) float64: the undiscounted sum of rewards of each episode


# -- Given: the checks of arguments, and a world ---------------------------------------------------


def _check_rates(
    *, alpha: float = 1.0, gamma: float = 1.0, lam: float = 0.0, epsilon: float = 0.0
) -> None:
    """Raise ValueError unless alpha lies in (0, 1], and gamma, lam and epsilon in [0, 1]."""
    if not 0.0 < alpha <= 1.0:
        raise ValueError(f"The step size alpha must lie in (0, 1], but it is {alpha}.")
    for name, rate in (("gamma", gamma), ("lam", lam), ("epsilon", epsilon)):
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"{name} must lie in [0, 1], but it is {rate}.")


def _check_episodes(episodes: Sequence[Episode], *, complete: bool = False) -> None:
    """Raise ValueError unless there are episodes, their arrays fit together, and, if they must be
    ``complete``, none was cut off."""
    if len(episodes) == 0:
        raise ValueError("At least one episode is needed, but there is none.")
    for episode in episodes:
        steps = np.shape(episode.rewards)
        if len(steps) != 1 or steps[0] == 0 or np.shape(episode.actions) != steps:
            raise ValueError("actions and rewards must have one shape (T,) with T >= 1.")
        if np.shape(episode.states) != (steps[0] + 1,):
            raise ValueError("states must have one entry more than rewards: shape (T + 1,).")
        if complete and not episode.terminated:
            raise ValueError(
                "A truncated episode has no complete return: Monte Carlo cannot use it."
            )


def _check_steps(n: int) -> None:
    """Raise ValueError unless n is at least 1."""
    if n < 1:
        raise ValueError(f"At least one step is needed, but the number is {n}.")


def _check_policies(target: np.ndarray, behaviour: np.ndarray) -> None:
    """Raise ValueError unless both policies have one shape (S, A)."""
    if np.ndim(target) != 2 or np.shape(target) != np.shape(behaviour):
        shapes = f"{np.shape(target)} and {np.shape(behaviour)}"
        raise ValueError(f"Both policies must have one shape (S, A), but they have {shapes}.")


def random_walk(n: int, rng: np.random.Generator, left: float = 0.0, right: float = 1.0) -> Episode:
    """One walk over the states 1 to n, which begins in the middle and ends in state 0 or n + 1.

    Every step goes left (action 0) or right (action 1) with equal chances. Only the last one pays:
    ``left`` if it ends in state 0, ``right`` if it ends in state n + 1.
    """
    states, actions = [(n + 1) // 2], []
    while 0 < states[-1] <= n:
        actions.append(int(rng.integers(2)))
        states.append(states[-1] + 2 * actions[-1] - 1)
    rewards = np.zeros(len(actions))
    rewards[-1] = right if states[-1] else left
    return Episode(np.array(states), np.array(actions), rewards, True)


def random_walk_values(n: int, left: float = 0.0, right: float = 1.0) -> np.ndarray:
    """(n + 2,) What the states of ``random_walk`` are worth with gamma = 1; both ends are worth
    0."""
    values = left + (right - left) * np.arange(n + 2) / (n + 1)
    values[[0, -1]] = 0.0
    return values


def state_number(observation: int | tuple[int, ...], shape: tuple[int, ...]) -> int:
    """The number of a state whose observation is an integer, or a tuple of them as in Blackjack:
    row-major, the last one runs fastest."""
    return int(np.ravel_multi_index(np.atleast_1d(observation), shape))


# -- Part 1: Monte Carlo ---------------------------------------------------------------------------


def discounted_returns(rewards: np.ndarray, gamma: float) -> np.ndarray:
    """The return from each step to the end of the episode.

        G[t] = rewards[t] + gamma * G[t + 1],      G[T] = 0

    Args:
        rewards: (T,) floats.
        gamma: discount per step, in [0, 1].

    Returns:
        (T,) float64.

    Raises:
        ValueError: if gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    # TODO(monte_carlo): walk backwards from the last step; one number is carried along.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(monte_carlo): walk backwards from the last step; one number is carried along.")


def first_visits(keys: np.ndarray) -> np.ndarray:
    """Which entries have not occurred before.

    Args:
        keys: (T,) integers: the states of an episode, or numbers of its state-action pairs.

    Returns:
        (T,) bools: True at t if keys[t] is different from each of keys[0], ..., keys[t - 1].
    """
    # TODO(monte_carlo): for each t, look at what came before it.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(monte_carlo): for each t, look at what came before it.")


def mc_prediction(
    episodes: Sequence[Episode], n_states: int, gamma: float, first_visit: bool = True
) -> Estimate:
    """The mean return that followed the visits to each state (S&B, chapter 5).

    A visit is a step that begins in the state: the last entry of ``states`` is none. First-visit
    Monte Carlo counts, in each episode, the first visit to a state alone. Every-visit Monte Carlo
    counts them all. Each counted visit has the same weight.

    Args:
        episodes: complete (terminated) records.
        n_states: S.
        gamma: discount in [0, 1].
        first_visit: which of the two.

    Returns:
        Estimate(values (S,), visits (S,)).

    Raises:
        ValueError: if an episode was truncated, there is none, or gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    _check_episodes(episodes, complete=True)
    # TODO(monte_carlo): in each episode find returns and counted visits; add up; divide at the end.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(monte_carlo): in each episode find returns and counted visits; add up; divide at the end.")


# -- Part 2: one step ------------------------------------------------------------------------------


def td_target(r: float, v_next: float, gamma: float, terminated: bool) -> float:
    """What one step says that its state is worth.

        target = r                          if the step terminated the episode
        target = r + gamma * v_next         otherwise

    Args:
        r: the reward of the step.
        v_next: the estimated value of the state that the step led to.
        gamma: discount in [0, 1].
        terminated: whether the step ended the episode for real (a time limit does not).

    Returns:
        The target, a float.

    Raises:
        ValueError: if gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    # TODO(td): the reward, plus the discounted value of the next state unless the step terminated.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(td): the reward, plus the discounted value of the next state unless the step terminated.")


def td0_update_(
    V: np.ndarray, s: int, r: float, s2: int, terminated: bool, alpha: float, gamma: float
) -> float:
    """Move V[s] towards the target of one step, in place, and return the TD error (S&B, 6.1).

        delta  = td_target(r, V[s2], gamma, terminated) - V[s]     with the table as it was
        V[s]  += alpha * delta                                     and no other entry changes

    Args:
        V: (S,) float64, changed in place.
        s, r, s2: state, reward, next state.
        terminated: whether the step ended the episode for real (a time limit does not).
        alpha: step size in (0, 1].
        gamma: discount in [0, 1].

    Returns:
        delta, a float: the error before the step, not multiplied by alpha.

    Raises:
        ValueError: if alpha or gamma lies outside its range.
    """
    _check_rates(alpha=alpha, gamma=gamma)
    # TODO(td): compute the TD error with the table as it is, then move the one entry V[s].
    # YOUR CODE HERE
    raise NotImplementedError("TODO(td): compute the TD error with the table as it is, then move the one entry V[s].")


# -- Part 3: a batch of episodes, over and over ----------------------------------------------------


def batch_td(
    episodes: Sequence[Episode], n_states: int, alpha: float, gamma: float, sweeps: int
) -> np.ndarray:
    """TD(0) with batch updating: the same episodes again and again (S&B, chapter 6).

    V begins at 0. One sweep computes the TD errors of all steps of all episodes with the table as
    it is, adds up alpha times those of each state, and only then changes the table.

        V[s]  +=  alpha * (sum of the TD errors of all steps that begin in s)

    For a small alpha and many sweeps V settles at the certainty-equivalence solution.

    Args:
        episodes: records; truncated ones are welcome (their last state keeps its value).
        n_states: S.
        alpha: step size in (0, 1].
        gamma: discount in [0, 1].
        sweeps: how many, at least 1.

    Returns:
        (S,) float64. States in which no step begins stay at 0.

    Raises:
        ValueError: if there is no episode, sweeps < 1, or alpha or gamma lies outside its range.
    """
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(sweeps)
    # TODO(batch): in each sweep add up the errors of all steps, then change the table once.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(batch): in each sweep add up the errors of all steps, then change the table once.")


def batch_mc(
    episodes: Sequence[Episode], n_states: int, alpha: float, gamma: float, sweeps: int
) -> np.ndarray:
    """Every-visit Monte Carlo with batch updating: as ``batch_td``, with returns in the place of
    targets.

        V[s]  +=  alpha * (sum of G[t] - V[s] over all steps t that begin in s)

    For a small alpha and many sweeps V settles at the mean return of all visits.

    Args:
        episodes: complete (terminated) records.
        n_states, alpha, gamma, sweeps: as for ``batch_td``.

    Returns:
        (S,) float64. States in which no step begins stay at 0.

    Raises:
        ValueError: as ``batch_td``, and if an episode was truncated.
    """
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes, complete=True)
    _check_steps(sweeps)
    # TODO(batch): the same sweep, with the difference between return and value as the error.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(batch): the same sweep, with the difference between return and value as the error.")


def certainty_equivalence(episodes: Sequence[Episode], n_states: int, gamma: float) -> np.ndarray:
    """What the states would be worth if the world were exactly as the episodes say.

    The model: from s the next state is s2 as often as the data say, and a step from s pays the mean
    reward of the steps from s. A step that terminated leads nowhere. A step at which a clock
    struck leads to its next state like any other. Then solve

        V = r + gamma * P V

    Args:
        episodes: records, truncated ones included.
        n_states: S.
        gamma: discount in [0, 1]. With gamma = 1 each visited state must be able to reach an end
            (or a state in which no step begins), or else the equation has no unique solution.

    Returns:
        (S,) float64: 0 where no step begins.

    Raises:
        ValueError: if there is no episode, or gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    _check_episodes(episodes)
    # TODO(batch): count moves and add up rewards, divide by the visits, solve the linear system.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(batch): count moves and add up rewards, divide by the visits, solve the linear system.")


# -- Part 4: n steps -------------------------------------------------------------------------------


def n_step_returns(V: np.ndarray, episode: Episode, n: int, gamma: float) -> np.ndarray:
    """The n-step return of each step, with a table that does not change meanwhile (S&B, 7.1).

    From step t: n rewards, discounted, and then the discounted value of the state that is reached.
    Where fewer than n steps are left: all of their rewards, and then the discounted value of the
    last state unless the episode terminated there.

    Args:
        V: (S,) floats.
        episode: a record.
        n: at least 1; larger than T is allowed.
        gamma: discount in [0, 1].

    Returns:
        (T,) float64.

    Raises:
        ValueError: if n < 1 or gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    _check_episodes([episode])
    _check_steps(n)
    # TODO(n_step): from each t find where the look ahead stops and what is there; walk back to t.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(n_step): from each t find where the look ahead stops and what is there; walk back to t.")


def n_step_td_(
    V: np.ndarray, episodes: Sequence[Episode], n: int, alpha: float, gamma: float
) -> None:
    """n-step TD: learn from the episodes, one after the other, in place (S&B, 7.1).

    In each episode the steps are learned from in order of time: for t = 0, 1, ..., T - 1

        V[states[t]]  +=  alpha * (n-step return of t - V[states[t]])

    with the table as it is at that moment. The last n - 1 steps are learned from, too: their
    returns are shorter.

    Args:
        V: (S,) float64, changed in place.
        episodes: records.
        n: at least 1.
        alpha: step size in (0, 1].
        gamma: discount in [0, 1].

    Raises:
        ValueError: if there is no episode, n < 1, or alpha or gamma lies outside its range.
    """
    _check_rates(alpha=alpha, gamma=gamma)
    _check_episodes(episodes)
    _check_steps(n)
    # TODO(n_step): one update for each step, in order of time, with the table of that moment.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(n_step): one update for each step, in order of time, with the table of that moment.")


# -- Part 5: traces --------------------------------------------------------------------------------


def lambda_returns(V: np.ndarray, episode: Episode, lam: float, gamma: float) -> np.ndarray:
    """The lambda-return of each step, with a table that does not change meanwhile: the forward view
    (S&B, 12.1).

    It is the mean of the n-step returns with the weights (1 - lam) * lam**(n - 1) for n = 1, 2, ...
    All the weight of those that would look past the last step goes to the longest one. Equivalently

        L[t] = rewards[t] + gamma * ((1 - lam) * v + lam * L[t + 1]),       v = V[states[t + 1]]

    and the last step's is rewards[T - 1] if the episode terminated, else
    rewards[T - 1] + gamma * V[states[T]].

    Args:
        V: (S,) floats.
        episode: a record.
        lam: in [0, 1].
        gamma: discount in [0, 1].

    Returns:
        (T,) float64.

    Raises:
        ValueError: if lam or gamma lies outside [0, 1].
    """
    _check_rates(lam=lam, gamma=gamma)
    _check_episodes([episode])
    # TODO(traces): walk backwards: each step mixes the next value with the next lambda-return.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(traces): walk backwards: each step mixes the next value with the next lambda-return.")


def backward_increments(
    V: np.ndarray, episode: Episode, lam: float, alpha: float, gamma: float
) -> np.ndarray:
    """What offline TD(lambda) adds to the table after one episode: the backward view (S&B, 12.2).

    The table does not change during the episode. z begins at 0. For t = 0, 1, ..., T - 1

        z             *= gamma * lam                 all traces fade,
        z[states[t]]  += 1                           that of the present state grows,
        increments    += alpha * delta[t] * z        and each state gets its share of the TD error

    These are the same numbers as the forward view's: at each state, the sum over its visits of
    alpha * (lambda-return - V).

    Args:
        V: (S,) floats.
        episode: a record.
        lam: in [0, 1].
        alpha: step size in (0, 1].
        gamma: discount in [0, 1].

    Returns:
        (S,) float64: the increments, not the new table.

    Raises:
        ValueError: if lam, alpha or gamma lies outside its range.
    """
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes([episode])
    # TODO(traces): one pass in order of time: fade the traces, then visit, then share the TD error.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(traces): one pass in order of time: fade the traces, then visit, then share the TD error.")


def td_lambda_(
    V: np.ndarray,
    episodes: Sequence[Episode],
    lam: float,
    alpha: float,
    gamma: float,
    traces: str = "accumulating",
) -> None:
    """Online TD(lambda): learn from the episodes, one after the other, in place (S&B, chapter 12).

    In each episode the traces z begin at 0. For t = 0, 1, ..., T - 1, with s = states[t], v = V[s]
    and v2 the value of the next state (0 after a real end), both with the table as it is now:

        delta  =  rewards[t] + gamma * v2 - v
        z     *=  gamma * lam
        z[s]  +=  1                               "accumulating"
        z[s]   =  1                               "replacing"
        z[s]  +=  1 - alpha * z[s]                "dutch", with z[s] as it has just faded
        V     +=  alpha * delta * z               "accumulating", "replacing"

    "dutch" is true online TD(lambda), which also corrects for what the table has learned since the
    previous step. With v_old = 0 at the first step, and later the previous step's v2:

        V     +=  alpha * (delta + v - v_old) * z
        V[s]  -=  alpha * (v - v_old)

    Args:
        V: (S,) float64, changed in place.
        episodes: records.
        lam: in [0, 1].
        alpha: step size in (0, 1].
        gamma: discount in [0, 1].
        traces: one of TRACES.

    Raises:
        ValueError: if there is no episode, traces is unknown, or a rate lies outside its range.
    """
    if traces not in TRACES:
        raise ValueError(f"traces must be one of {', '.join(TRACES)}, but it is {traces!r}.")
    _check_rates(alpha=alpha, gamma=gamma, lam=lam)
    _check_episodes(episodes)
    # TODO(traces): new traces for each episode; then fade, visit and share the error, step by step.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(traces): new traces for each episode; then fade, visit and share the error, step by step.")


# -- Part 6: another policy's episodes -------------------------------------------------------------


def importance_ratios(episode: Episode, target: np.ndarray, behaviour: np.ndarray) -> np.ndarray:
    """How much likelier each action was under the target policy than under the behaviour.

        rho[t] = target[states[t], actions[t]] / behaviour[states[t], actions[t]]

    Args:
        episode: a record, made by ``behaviour``.
        target, behaviour: (S, A) probabilities.

    Returns:
        (T,) float64.

    Raises:
        ValueError: if the policies differ in shape, or an action was taken that ``behaviour`` never
            takes.
    """
    _check_policies(target, behaviour)
    _check_episodes([episode])
    # TODO(off_policy): the quotient at each step; refuse an action that the behaviour never takes.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(off_policy): the quotient at each step; refuse an action that the behaviour never takes.")


def off_policy_v(
    episodes: Sequence[Episode],
    target: np.ndarray,
    behaviour: np.ndarray,
    gamma: float,
    weighted: bool = True,
    first_visit: bool = True,
) -> Estimate:
    """State values of a target policy, from episodes of another one (S&B, chapter 5).

    The return G of a visit at t is weighed with W = rho[t] * rho[t + 1] * ... * rho[T - 1]: the
    action at t belongs to what the target policy would have done.

        ordinary    V[s] = (sum of W * G over the counted visits) / (number of these visits)
        weighted    V[s] = (sum of W * G over the counted visits) / (sum of W over these visits)

    Args:
        episodes: complete (terminated) records, made by ``behaviour``.
        target, behaviour: (S, A) probabilities.
        gamma: discount in [0, 1].
        weighted: which of the two.
        first_visit: which visits count, as in ``mc_prediction``.

    Returns:
        Estimate(values (S,), visits (S,)): 0 where nothing was counted, or all weights are 0.

    Raises:
        ValueError: as ``importance_ratios``, if an episode was truncated, there is none, or gamma
            lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    _check_policies(target, behaviour)
    _check_episodes(episodes, complete=True)
    # TODO(off_policy): for each counted visit a weight, from its step to the end, and a return.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(off_policy): for each counted visit a weight, from its step to the end, and a return.")


def off_policy_q(
    episodes: Sequence[Episode],
    target: np.ndarray,
    behaviour: np.ndarray,
    gamma: float,
    weighted: bool = True,
    first_visit: bool = True,
) -> Estimate:
    """Action values of a target policy, from episodes of another one.

    As ``off_policy_v``, for pairs (s, a), with one difference: the action at t is given, so it
    needs no correction. The weight is W = rho[t + 1] * ... * rho[T - 1], and 1 at the last step.
    A first visit is the first one to the *pair*.

    Returns:
        Estimate(values (S, A), visits (S, A)).

    Args and errors: as for ``off_policy_v``.
    """
    _check_rates(gamma=gamma)
    _check_policies(target, behaviour)
    _check_episodes(episodes, complete=True)
    # TODO(off_policy): the same for pairs. Which ratios does a given action still need?
    # YOUR CODE HERE
    raise NotImplementedError("TODO(off_policy): the same for pairs. Which ratios does a given action still need?")


def off_policy_td0_update_(
    V: np.ndarray,
    s: int,
    r: float,
    s2: int,
    terminated: bool,
    rho: float,
    alpha: float,
    gamma: float,
) -> float:
    """One step of off-policy TD(0), in place: the whole error is weighed with the step's ratio.

        delta  = td_target(r, V[s2], gamma, terminated) - V[s]
        V[s]  += alpha * rho * delta

    Args:
        V, s, r, s2, terminated, alpha, gamma: as for ``td0_update_``.
        rho: the importance ratio of the action that was taken in s, at least 0.

    Returns:
        delta, a float: the TD error, multiplied by neither alpha nor rho.

    Raises:
        ValueError: if rho is negative, or alpha or gamma lies outside its range.
    """
    _check_rates(alpha=alpha, gamma=gamma)
    if not rho >= 0.0:
        raise ValueError(f"An importance ratio is at least 0, but rho is {rho}.")
    # TODO(off_policy): the TD error as ever; rho says how much of it belongs to the target policy.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(off_policy): the TD error as ever; rho says how much of it belongs to the target policy.")


# -- Part 7: Monte Carlo control -------------------------------------------------------------------


def soft_policy(Q: np.ndarray, epsilon: float) -> np.ndarray:
    """The epsilon-greedy policy in Q, as probabilities.

    Each action has epsilon / A. The actions with the largest value of their row share the remaining
    1 - epsilon equally. Ties are exact.

    Args:
        Q: (S, A) floats.
        epsilon: in [0, 1].

    Returns:
        (S, A) float64, rows that sum to 1.

    Raises:
        ValueError: if Q is not of shape (S, A), or epsilon lies outside [0, 1].
    """
    _check_rates(epsilon=epsilon)
    if np.ndim(Q) != 2:
        raise ValueError(f"Q must have shape (S, A), but its shape is {np.shape(Q)}.")
    # TODO(control): every action gets its share of epsilon, the best ones share the rest.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(control): every action gets its share of epsilon, the best ones share the rest.")


def play(
    env,
    policy: np.ndarray,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    seed: int | None = None,
) -> Episode:
    """Play one episode with a policy, and record it.

    Args:
        env: a Gymnasium environment with actions 0, ..., A - 1. Use env.reset and env.step, and
            nothing else of it. Its observations are integers, or tuples of them.
        policy: (S, A) probabilities, where S is the product of ``shape``.
        shape: how many values each number of an observation can have: (16,) for FrozenLake-v1,
            (32, 11, 2) for Blackjack-v1. ``state_number(observation, shape)`` is the state.
        rng: draws the actions.
        seed: given to env.reset.

    Returns:
        The record, from the reset to the step at which the environment said terminated or
        truncated.
    """
    # TODO(control): reset; draw actions from the policy's row until one of the two flags says stop.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(control): reset; draw actions from the policy's row until one of the two flags says stop.")


def mc_control(
    env,
    n_actions: int,
    shape: tuple[int, ...],
    episodes: int,
    epsilon: float,
    gamma: float,
    rng: np.random.Generator,
    seed: int,
) -> Control:
    """On-policy first-visit Monte Carlo control with epsilon-soft policies (S&B, chapter 5).

    Q begins at 0. Each episode is played with ``soft_policy(Q, epsilon)`` for the table as it is
    when the episode begins. Then Q is the mean of the returns of all first visits so far, to each
    pair (s, a). An episode that the environment truncates has no complete return: nothing is
    learned from it, but its sum of rewards is recorded.

    Args:
        env, shape, rng: as for ``play``.
        n_actions: A.
        episodes: how many to play, at least 1.
        epsilon: in [0, 1].
        gamma: discount in [0, 1].
        seed: given to the first env.reset and to no other.

    Returns:
        Control(Q (S, A), visits (S, A), returns (episodes,)), where S is the product of ``shape``.

    Raises:
        ValueError: if episodes < 1, or epsilon or gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma, epsilon=epsilon)
    _check_steps(episodes)
    # TODO(control): play with the soft policy of the table, then move the mean of each pair seen.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(control): play with the soft policy of the table, then move the mean of each pair seen.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# monte_carlo=  td=  batch=  n_step=  traces=  off_policy=  control=
