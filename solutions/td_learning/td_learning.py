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
    ### BEGIN SOLUTION
    found, G = np.zeros(len(rewards)), 0.0
    # BUG(returns-accumulate-forwards): for t in range(len(rewards)):
    # WHEN the sum of discounted rewards is carried from the first step to the last, so that each
    # WHEN step is paid for its past.
    for t in reversed(range(len(rewards))):
        # BUG(discounts-the-reward): G = gamma * (rewards[t] + G)
        # WHEN the discount of the return multiplies the reward of the present step, too.
        # BUG(return-forgets-gamma): G = rewards[t] + G
        # WHEN the return is the plain sum of the rewards: gamma is an argument that nothing uses.
        G = rewards[t] + gamma * G
        found[t] = G
    # BUG(returns-accumulate-forwards, 2): return np.cumsum(gamma ** np.arange(len(rewards)) * rewards)
    # BUG(discount-counts-from-the-start): return found * gamma ** np.arange(len(rewards))
    # WHEN every reward is discounted from the beginning of the episode, not from the step whose
    # WHEN return is asked for.
    return found
    ### END SOLUTION


def first_visits(keys: np.ndarray) -> np.ndarray:
    """Which entries have not occurred before.

    Args:
        keys: (T,) integers: the states of an episode, or numbers of its state-action pairs.

    Returns:
        (T,) bools: True at t if keys[t] is different from each of keys[0], ..., keys[t - 1].
    """
    # TODO(monte_carlo): for each t, look at what came before it.
    ### BEGIN SOLUTION
    fresh, seen = np.zeros(len(keys), bool), set()
    # BUG(first-visit-is-the-last): for t in reversed(range(len(keys))):
    # WHEN each state's last visit in an episode takes the place of its first one, as it happens to
    # WHEN whoever looks for new states from the end, or overwrites one return with the next.
    for t in range(len(keys)):
        fresh[t] = int(keys[t]) not in seen
        # BUG(only-the-latest-is-remembered): seen = {int(keys[t])}
        # WHEN a visit counts as a first one unless the step before it began in the same state.
        seen.add(int(keys[t]))
    return fresh
    ### END SOLUTION


### BEGIN BUGS
def _returns_without_repeats(episode, gamma):
    """Returns in which only the last visit of a state adds its reward."""
    found, G, seen = np.zeros(len(episode.rewards)), 0.0, set()
    for t in reversed(range(len(episode.rewards))):
        if episode.states[t] not in seen:
            G = episode.rewards[t] + gamma * G
        seen.add(episode.states[t])
        found[t] = G
    return found


def _last_of_each(states):
    """A mask of the last visits."""
    return first_visits(states[::-1])[::-1]


def _mean_of_means(episodes, n_states, gamma, visits):
    """Every episode's own mean, averaged over the episodes that saw the state."""
    means = np.full((len(episodes), n_states), np.nan)
    for row, episode in zip(means, episodes, strict=True):
        returns, states = discounted_returns(episode.rewards, gamma), episode.states[:-1]
        for s in set(states.tolist()):
            row[s] = returns[states == s].mean()
    seen = ~np.isnan(means)
    return Estimate(np.nansum(means, axis=0) / np.maximum(seen.sum(axis=0), 1), visits)


### END BUGS
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
    ### BEGIN SOLUTION
    total, visits = np.zeros(n_states), np.zeros(n_states, int)
    for episode in episodes:
        states = episode.states[:-1]
        # BUG(repeats-drop-their-reward): returns = _returns_without_repeats(episode, gamma)
        # WHEN the return grows only at visits that are counted, so that the rewards of the other
        # WHEN steps are lost.
        # BUG(repeats-drop-their-reward, 2): returns = _returns_without_repeats(episode, gamma)
        # BUG(visit-is-the-arrival): states, returns = episode.states[1:], discounted_returns(episode.rewards, gamma)
        # WHEN each reward is filed under the state that the step led to, not under the one that it
        # WHEN left.
        # BUG(return-forgets-gamma, 2): returns = np.cumsum(episode.rewards[::-1])[::-1]
        returns = discounted_returns(episode.rewards, gamma)
        # BUG(every-visit-counts): counted = np.ones(len(states), bool)
        # WHEN Monte Carlo prediction counts every visit although the first ones alone are asked
        # WHEN for.
        # BUG(first-visit-is-the-last, 2): counted = _last_of_each(states) if first_visit else np.ones(len(states), bool)
        # BUG(repeats-drop-their-reward, 2): counted = _last_of_each(states) if first_visit else np.ones(len(states), bool)
        # BUG(seen-is-never-cleared): counted = first_visits(states) & (visits[states] == 0) if first_visit else np.ones(len(states), bool)
        # WHEN a state that was seen in an earlier episode is never new again.
        # BUG(only-the-start-counts): counted = np.arange(len(states)) == 0
        # WHEN only the first state of each episode learns anything.
        counted = first_visits(states) if first_visit else np.ones(len(states), bool)
        # BUG(repeats-add-once): total[states[counted]] += returns[counted]
        # WHEN sums are made with total[states] += returns, which NumPy carries out once for a state
        # WHEN that is there several times.
        np.add.at(total, states[counted], returns[counted])
        np.add.at(visits, states[counted], 1)
    # BUG(divides-by-episodes): return Estimate(total / len(episodes), visits)
    # WHEN the sum of returns is divided by the number of episodes, not by that of the visits.
    # BUG(mean-of-episode-means): return Estimate(total / np.maximum(visits, 1), visits) if first_visit else _mean_of_means(episodes, n_states, gamma, visits)
    # WHEN every-visit Monte Carlo takes the mean of each episode first, so that a visit weighs less
    # WHEN in an episode with many of them.
    # BUG(count-begins-at-one): return Estimate(total / (visits + 1), visits)
    # WHEN each state's counter of visits begins at 1.
    return Estimate(total / np.maximum(visits, 1), visits)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(bootstraps-over-the-end): if False:
    # WHEN the value of the state after the last step still enters TD(0)'s target, although nothing
    # WHEN follows the end of an episode.
    if terminated:
        return float(r)
    # BUG(target-discounts-the-reward): return float(gamma * (r + v_next))
    # WHEN the discount multiplies the whole one-step target, the reward included.
    # BUG(target-forgets-gamma): return float(r + v_next)
    # WHEN the next value enters the one-step target without its discount.
    return float(r + gamma * v_next)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(bootstraps-over-the-end, 2): delta = td_target(r, V[s2], gamma, False) - V[s]
    delta = td_target(r, V[s2], gamma, terminated) - V[s]
    # BUG(moves-the-next-state): V[s2] += alpha * delta
    # WHEN the value of the state that the step reached moves, not of the one that it left.
    # BUG(forgets-the-step-size): V[s] += delta
    # WHEN TD(0) jumps all the way to its target, whatever alpha is.
    # BUG(subtracts-the-error): V[s] -= alpha * delta
    # WHEN the value moves away from its target: the sign of the error is the wrong one.
    V[s] += alpha * delta
    # BUG(returns-the-step-taken): return float(alpha * delta)
    # WHEN TD(0) returns alpha times the TD error.
    return float(delta)
    ### END SOLUTION


# -- Part 3: a batch of episodes, over and over ----------------------------------------------------


### BEGIN SOLUTION
def _next_values(V: np.ndarray, episode: Episode) -> np.ndarray:
    """(T,) What the state after each step is worth: 0 after a real end."""
    worth = V[episode.states[1:]]
    if episode.terminated:
        worth[-1] = 0.0
    return worth


### END SOLUTION
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
    ### BEGIN SOLUTION
    V = np.zeros(n_states)
    for _ in range(sweeps):
        change = np.zeros(n_states)
        for episode in episodes:
            states = episode.states[:-1]
            # BUG(batch-bootstraps-over-the-end): errors = episode.rewards + gamma * V[episode.states[1:]] - V[states]
            # WHEN batch TD uses the table's value of the state after a real end.
            # BUG(batch-treats-cut-off-as-ended): errors = episode.rewards + gamma * _next_values(V, episode._replace(terminated=True)) - V[states]
            # WHEN batch TD takes the last state of a truncated episode for worthless.
            errors = episode.rewards + gamma * _next_values(V, episode) - V[states]
            # BUG(batch-counts-repeats-once): change[states] += errors
            # WHEN the errors of a batch are added with change[states] += errors, which NumPy
            # WHEN carries out once for a state that is there several times.
            # BUG(changes-within-the-sweep): np.add.at(V, states, alpha * errors)
            # WHEN the table changes after each episode, not once after the whole batch.
            np.add.at(change, states, errors)
        # BUG(batch-averages-the-errors): V += alpha * change / sum(len(e.rewards) for e in episodes)
        # WHEN the errors of a sweep are averaged over all steps, not added up.
        V += alpha * change
    return V
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    V = np.zeros(n_states)
    for _ in range(sweeps):
        change = np.zeros(n_states)
        for episode in episodes:
            states = episode.states[:-1]
            # BUG(batch-mc-bootstraps): errors = episode.rewards + gamma * _next_values(V, episode) - V[states]
            # WHEN batch Monte Carlo looks one step ahead instead of at the whole return.
            errors = discounted_returns(episode.rewards, gamma) - V[states]
            # BUG(batch-counts-repeats-once): change[states] += errors
            # BUG(changes-within-the-sweep): np.add.at(V, states, alpha * errors)
            np.add.at(change, states, errors)
        # BUG(batch-averages-the-errors): V += alpha * change / sum(len(e.rewards) for e in episodes)
        V += alpha * change
    return V
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    moves, gains, visits = np.zeros((n_states, n_states)), np.zeros(n_states), np.zeros(n_states)
    for episode in episodes:
        s, s2 = episode.states[:-1], episode.states[1:]
        # BUG(model-forgets-the-end): goes_on = np.ones(len(s))
        # WHEN the model of the data walks on from the state in which an episode terminated.
        # BUG(model-ends-at-the-clock): goes_on = np.arange(len(s)) < len(s) - 1.0
        # WHEN the model of the data takes a truncated step for an end.
        goes_on = np.where(np.arange(len(s)) < len(s) - 1, 1.0, not episode.terminated)
        np.add.at(moves, (s, s2), goes_on)
        np.add.at(gains, s, episode.rewards)
        np.add.at(visits, s, 1)
    # BUG(model-weighs-successors-alike): moves = (moves > 0) * visits[:, None] / np.maximum((moves > 0).sum(axis=1), 1)[:, None]
    # WHEN the model of the data gives each next state that was seen the same probability.
    moves = moves / np.maximum(visits, 1)[:, None]
    # BUG(model-adds-up-rewards): rewards = gains
    # WHEN the model of the data pays the sum of the rewards of a state, not their mean.
    rewards = gains / np.maximum(visits, 1)
    return np.linalg.solve(np.eye(n_states) - gamma * moves, rewards)
    ### END SOLUTION


# -- Part 4: n steps -------------------------------------------------------------------------------


### BEGIN SOLUTION
def _n_step_return(V: np.ndarray, episode: Episode, t: int, n: int, gamma: float) -> float:
    """The n-step return from step t."""
    steps = len(episode.rewards)
    # BUG(looks-one-step-further): last = min(t + n + 1, steps)
    # WHEN the n-step return takes n + 1 rewards, so that n = 1 is not TD(0).
    last = min(t + n, steps)
    # BUG(n-step-bootstraps-over-the-end): worth = V[episode.states[last]]
    # WHEN the n-step return uses the table's value of the state after a real end.
    # BUG(n-step-bootstraps-over-the-end, 2): worth = 0.0 if t + n > steps and episode.terminated else V[episode.states[last]]
    # BUG(n-step-drops-the-last-value): worth = 0.0 if last == steps else V[episode.states[last]]
    # WHEN the n-step return takes the last state of a truncated episode for worthless.
    worth = 0.0 if last == steps and episode.terminated else V[episode.states[last]]
    # BUG(n-step-forgets-gamma): paid = np.sum(episode.rewards[t:last])
    # WHEN the rewards of the n-step return are added up without their discount.
    paid = gamma ** np.arange(last - t) @ episode.rewards[t:last]
    # BUG(bootstrap-has-one-discount): return float(paid + gamma * worth)
    # WHEN the value at the end of the n-step return is discounted once, not once for each step.
    return float(paid + gamma ** (last - t) * worth)


### END SOLUTION
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
    ### BEGIN SOLUTION
    return np.array([_n_step_return(V, episode, t, n, gamma) for t in range(len(episode.rewards))])
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    for episode in episodes:
        # BUG(short-tails-are-left-out): for t in range(len(episode.rewards) - n + 1):
        # WHEN steps with fewer than n rewards left are never learned from.
        # BUG(learns-in-reverse): for t in reversed(range(len(episode.rewards))):
        # WHEN n-step TD goes through the episode from its end to its beginning.
        for t in range(len(episode.rewards)):
            # BUG(looks-at-the-old-table): old = V.copy() if t == 0 else old; G = _n_step_return(old, episode, t, n, gamma)
            # WHEN n-step TD looks at the table as it was when the episode began.
            G = _n_step_return(V, episode, t, n, gamma)
            # BUG(n-step-moves-the-state-ahead): s = episode.states[t + 1]
            # WHEN n-step TD moves the value of the state after the step, not of the one before it.
            s = episode.states[t]
            V[s] += alpha * (G - V[s])
    ### END SOLUTION


# -- Part 5: traces --------------------------------------------------------------------------------


### BEGIN BUGS
def _without_the_tail(V, episode, lam, gamma):
    """The complete return has the weight (1 - lam) lam^(n - 1), too: they do not add up to 1."""
    steps, found = len(episode.rewards), []
    for t in range(steps):
        terms = [
            (1 - lam) * lam ** (n - 1) * _n_step_return(V, episode, t, n, gamma)
            for n in range(1, steps - t + 1)
        ]
        found.append(float(sum(terms)))
    return np.array(found)


### END BUGS
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
    ### BEGIN SOLUTION
    # BUG(lambda-return-bootstraps-over-the-end): worth = V[episode.states[1:]]
    # WHEN the lambda-return uses the table's value of the state after a real end.
    # BUG(lambda-return-drops-the-last-value): worth = _next_values(V, episode._replace(terminated=True))
    # WHEN the lambda-return takes the last state of a truncated episode for worthless.
    worth = _next_values(V, episode)
    # BUG(lambda-return-bootstraps-over-the-end, 2): found, L = np.zeros(len(worth)), V[episode.states[-1]]
    found, L = np.zeros(len(worth)), worth[-1]
    for t in reversed(range(len(worth))):
        # BUG(lambda-is-turned-round): L = episode.rewards[t] + gamma * (lam * worth[t] + (1.0 - lam) * L)
        # WHEN lambda weighs the next value and 1 - lambda the next lambda-return.
        # BUG(lambda-return-forgets-gamma): L = episode.rewards[t] + gamma * (1.0 - lam) * worth[t] + lam * L
        # WHEN the part of the lambda-return that looks further ahead is not discounted.
        L = episode.rewards[t] + gamma * ((1.0 - lam) * worth[t] + lam * L)
        found[t] = L
    # BUG(the-tail-loses-its-weight): return _without_the_tail(V, episode, lam, gamma)
    # WHEN the longest return of the lambda-return has the weight (1 - lambda) lambda^(n-1) like the
    # WHEN others, so that the weights do not add up to 1.
    return found
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    z, total = np.zeros(len(V)), np.zeros(len(V))
    deltas = episode.rewards + gamma * _next_values(V, episode) - V[episode.states[:-1]]
    for s, delta in zip(episode.states[:-1], deltas, strict=True):
        # BUG(trace-forgets-gamma, 2): z *= lam
        # BUG(backward-view-fades-after-the-visit): z[s] += 1.0
        # WHEN the traces of the backward view fade between the visit and the sharing of the error,
        # WHEN so that the present state gets less than its full share.
        z *= gamma * lam
        # BUG(backward-view-replaces): z[s] = 1.0
        # WHEN a second visit sets the trace of the backward view back to 1.
        # BUG(backward-view-fades-after-the-visit): z *= gamma * lam
        z[s] += 1.0
        total += alpha * delta * z
    # BUG(returns-the-new-table): return V + total
    # WHEN the backward view returns the new table, not what is to be added to it.
    return total
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    for episode in episodes:
        # BUG(traces-survive-the-episode): z = np.zeros(len(V)) if episode is episodes[0] else z
        # WHEN the traces of one episode live on in the next one.
        z = np.zeros(len(V))
        v_old = 0.0
        for t, (s, s2) in enumerate(zip(episode.states[:-1], episode.states[1:], strict=True)):
            ends = t == len(episode.rewards) - 1
            # BUG(trace-step-bootstraps-over-the-end): v, v2 = V[s], V[s2]
            # WHEN TD(lambda) uses the table's value of the state after a real end.
            # BUG(trace-step-drops-the-last-value): v, v2 = V[s], 0.0 if ends else V[s2]
            # WHEN TD(lambda) takes the last state of a truncated episode for worthless.
            v, v2 = V[s], 0.0 if ends and episode.terminated else V[s2]
            delta = episode.rewards[t] + gamma * v2 - v
            # BUG(trace-forgets-gamma): z *= lam
            # WHEN the traces fade by lambda alone: gamma is forgotten.
            # BUG(trace-forgets-lambda): z *= gamma
            # WHEN the traces of TD(lambda) fade by gamma alone.
            # BUG(trace-fades-after-the-visit): z[s] = _visited(z[s], alpha, traces)
            # WHEN the traces fade between the visit and the sharing of the error, so that the
            # WHEN present state gets less than its full share.
            # BUG(the-end-wipes-the-traces): z *= 0.0 if ends and episode.terminated else gamma * lam
            # WHEN the traces are cut together with the future at the terminating step, so that
            # WHEN earlier states never hear of its reward.
            z *= gamma * lam
            # BUG(trace-fades-after-the-visit): z *= gamma * lam
            z[s] = _visited(z[s], alpha, traces)
            if traces == "dutch":
                # BUG(dutch-without-correction): V += alpha * delta * z
                # WHEN dutch traces get no correction for what the table has learned since the
                # WHEN previous step: it is left out, or always 0 because v_old is read after the
                # WHEN update.
                V += alpha * (delta + v - v_old) * z
                # BUG(dutch-without-correction): pass
                V[s] -= alpha * (v - v_old)
            else:
                # BUG(only-the-present-state-learns): V[s] += alpha * delta * z[s]
                # WHEN only the state that is being visited moves: earlier ones do not hear of the
                # WHEN error.
                V += alpha * delta * z
            # BUG(dutch-without-correction, 2): v_old = V[s2]
            v_old = v2
    ### END SOLUTION


### BEGIN SOLUTION
def _visited(trace: float, alpha: float, traces: str) -> float:
    """What a visit makes of a trace that has faded."""
    if traces == "replacing":
        # BUG(replacing-traces-pile-up): return trace + 1.0
        # WHEN replacing traces grow with each visit, as accumulating ones do.
        return 1.0
    if traces == "dutch":
        # BUG(dutch-traces-pile-up): return trace + 1.0
        # WHEN dutch traces grow by a whole 1 at each visit, as accumulating ones do.
        return trace + 1.0 - alpha * trace
    # BUG(accumulating-traces-replace): return 1.0
    # WHEN accumulating traces are set back to 1 at each visit, as replacing ones are.
    return trace + 1.0


### END SOLUTION


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
    ### BEGIN SOLUTION
    taken = episode.states[:-1], episode.actions
    if not np.all(behaviour[taken] > 0.0):
        raise ValueError("The episode holds an action that the behaviour never takes.")
    # BUG(ratio-is-upside-down): return behaviour[taken] / np.maximum(target[taken], 1e-12)
    # WHEN the importance ratio is the behaviour's probability over the target's.
    # BUG(ratio-of-the-next-state): return target[episode.states[1:], episode.actions] / np.maximum(behaviour[episode.states[1:], episode.actions], 1e-12)
    # WHEN the ratio asks both policies about the state that the step led to.
    return target[taken] / behaviour[taken]
    ### END SOLUTION


### BEGIN SOLUTION
def _weighted_means(found: list, size: int, weighted: bool) -> Estimate:
    """Means of returns G with weights W, where ``found`` lists (keys, W, G, counted)."""
    total, weight, visits = np.zeros(size), np.zeros(size), np.zeros(size, int)
    for keys, W, G, counted in found:
        np.add.at(total, keys[counted], W[counted] * G[counted])
        np.add.at(weight, keys[counted], W[counted])
        np.add.at(visits, keys[counted], 1)
    # BUG(weighted-divides-by-visits): divisor = np.maximum(visits, 1)
    # WHEN weighted importance sampling divides by the number of visits.
    # BUG(ordinary-divides-by-weights): divisor = np.where(weight > 0.0, weight, 1.0)
    # WHEN ordinary importance sampling divides by the sum of the weights.
    # BUG(divides-by-episodes, 2): divisor = np.where(weight > 0.0, weight, 1.0) if weighted else np.full(size, len(found))
    divisor = np.where(weight > 0.0, weight, 1.0) if weighted else np.maximum(visits, 1)
    return Estimate(total / divisor, visits)


def _to_the_end(ratios: np.ndarray) -> np.ndarray:
    """(T,) The product of the ratios from each step to the last one."""
    # BUG(weight-of-the-whole-episode): return np.full(len(ratios), np.prod(ratios))
    # WHEN every return of an episode is weighed with the product of all of its ratios, those of the
    # WHEN steps before the visit included.
    # BUG(weight-of-the-past): return np.cumprod(ratios)
    # BUG(weight-of-the-past, 2): return np.append(1.0, np.cumprod(ratios)[:-1])
    # WHEN a return is weighed with the ratios of the steps up to its own, not with those from there
    # WHEN on.
    # BUG(weight-of-one-step): return ratios
    # WHEN a return is weighed with the ratio of a single step.
    return np.cumprod(ratios[::-1])[::-1]


### END SOLUTION
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
    ### BEGIN SOLUTION
    found = []
    for episode in episodes:
        states = episode.states[:-1]
        # BUG(v-leaves-its-own-action-out, 2): weights = np.roll(_to_the_end(importance_ratios(episode, target, behaviour)), -1)
        # BUG(v-leaves-its-own-action-out): weights = np.append(_to_the_end(importance_ratios(episode, target, behaviour))[1:], 1.0)
        # WHEN the ratio of the action at the visit itself is left out of a state's weight.
        weights = _to_the_end(importance_ratios(episode, target, behaviour))
        returns = discounted_returns(episode.rewards, gamma)
        # BUG(off-policy-counts-every-visit): counted = np.ones(len(states), bool)
        # WHEN the off-policy estimate counts every visit although the first ones alone are asked
        # WHEN for.
        counted = first_visits(states) if first_visit else np.ones(len(states), bool)
        found.append((states, weights, returns, counted))
    return _weighted_means(found, len(target), weighted)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    n_actions, found = target.shape[1], []
    for episode in episodes:
        pairs = episode.states[:-1] * n_actions + episode.actions
        weights = _to_the_end(importance_ratios(episode, target, behaviour))
        # BUG(q-counts-its-own-action): pass
        # BUG(q-counts-its-own-action, 2): weights = np.append(weights[1:], weights[-1])
        # WHEN the ratio of the given action itself enters the weight of an action value.
        weights = np.append(weights[1:], 1.0)
        returns = discounted_returns(episode.rewards, gamma)
        # BUG(pair-needs-a-new-state): counted = first_visits(episode.states[:-1]) if first_visit else np.ones(len(pairs), bool)
        # WHEN the first visit to a pair is counted only if its state is new, too.
        # BUG(off-policy-counts-every-visit): counted = np.ones(len(pairs), bool)
        counted = first_visits(pairs) if first_visit else np.ones(len(pairs), bool)
        found.append((pairs, weights, returns, counted))
    values, visits = _weighted_means(found, target.size, weighted)
    return Estimate(values.reshape(target.shape), visits.reshape(target.shape))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    delta = td_target(r, V[s2], gamma, terminated) - V[s]
    # BUG(rho-on-the-reward-alone): V[s] += alpha * (rho * r + delta - r)
    # WHEN the importance ratio multiplies the reward inside the bracket, and nothing else.
    # BUG(rho-on-the-target-alone): V[s] += alpha * (rho * (delta + V[s]) - V[s])
    # WHEN the importance ratio multiplies the target and not the value that is subtracted from it.
    # BUG(rho-is-forgotten): V[s] += alpha * delta
    # WHEN off-policy TD(0) learns as if the behaviour were the target policy.
    V[s] += alpha * rho * delta
    # BUG(returns-the-weighted-error): return float(rho * delta)
    # WHEN off-policy TD(0) returns rho times the TD error.
    return float(delta)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(ties-go-to-the-first-action): best = np.arange(Q.shape[1]) == Q.argmax(axis=1)[:, None]
    # WHEN of several equally good actions the first one gets the whole greedy part.
    best = Q.max(axis=1, keepdims=True) == Q
    greedy = best / best.sum(axis=1, keepdims=True)
    # BUG(exploring-skips-the-best): return (1.0 - epsilon) * greedy + epsilon * (1.0 - greedy) / (Q.shape[1] - 1)
    # WHEN exploration never takes the best action, which is then taken with 1 - epsilon only.
    # BUG(epsilon-and-greed-exchanged): return epsilon * greedy + (1.0 - epsilon) / Q.shape[1]
    # WHEN epsilon and 1 - epsilon are exchanged in the soft policy.
    # BUG(the-best-gets-no-share): return np.where(best, (1.0 - epsilon) * greedy, epsilon / Q.shape[1])
    # WHEN the best action has probability 1 - epsilon and each other one epsilon / A, which does
    # WHEN not add up to 1.
    return (1.0 - epsilon) * greedy + epsilon / Q.shape[1]
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    observation, _ = env.reset(seed=seed)
    states, actions, rewards, over = [state_number(observation, shape)], [], [], False
    while not over:
        row = policy[states[-1]]
        # BUG(plays-greedily): action = int(np.argmax(row))
        # WHEN the likeliest action is taken always, instead of a draw from the policy.
        # BUG(global-dice): action = int(np.random.choice(len(row), p=row / row.sum()))
        # WHEN actions are drawn with NumPy's global generator instead of the rng that is passed in.
        # BUG(ignores-the-policy): action = int(rng.integers(len(row)))
        # WHEN actions are drawn at random, whatever the policy says.
        action = int(rng.choice(len(row), p=row))
        observation, reward, terminated, truncated, _ = env.step(action)
        states.append(state_number(observation, shape))
        actions.append(action)
        rewards.append(float(reward))
        # BUG(plays-on-after-the-time-limit): over = terminated
        # WHEN an episode goes on after the environment has truncated it.
        over = terminated or truncated
    # BUG(a-time-limit-is-an-ending): terminated = True
    # WHEN an episode that a time limit cut off is recorded as terminated.
    terminated = bool(terminated)
    return Episode(np.array(states), np.array(actions), np.array(rewards), terminated)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    Q = np.zeros((int(np.prod(shape)), n_actions))
    visits, returns = np.zeros(Q.shape, int), np.zeros(episodes)
    for number in range(episodes):
        # BUG(policy-never-improves): policy = soft_policy(np.zeros(Q.shape), epsilon)
        # WHEN every episode is played at random: the policy never looks at what was learned.
        # BUG(control-plays-greedily): policy = soft_policy(Q, 0.0)
        # WHEN every episode is played without exploration.
        policy = soft_policy(Q, epsilon)
        # BUG(seeds-every-episode): episode = play(env, policy, shape, rng, seed)
        # WHEN every reset gets the seed, so that each episode replays the same luck.
        episode = play(env, policy, shape, rng, seed if number == 0 else None)
        # BUG(control-discounts-the-record): returns[number] = discounted_returns(episode.rewards, gamma)[0]
        # WHEN the recorded sums of rewards are discounted.
        returns[number] = episode.rewards.sum()
        # BUG(learns-from-cut-off-episodes): if False:
        # WHEN Monte Carlo control learns from truncated episodes as if their returns were complete.
        if not episode.terminated:
            continue
        G = discounted_returns(episode.rewards, gamma)
        pairs = episode.states[:-1] * n_actions + episode.actions
        # BUG(seen-is-never-cleared, 2): counted = first_visits(pairs) & (visits[episode.states[:-1], episode.actions] == 0)
        # BUG(control-counts-every-visit): counted = np.ones(len(pairs), bool)
        # WHEN Monte Carlo control counts every visit to a pair, not the first one alone.
        # BUG(control-needs-a-new-state): counted = first_visits(episode.states[:-1])
        # WHEN Monte Carlo control counts a pair only if its state is new in the episode.
        counted = first_visits(pairs)
        for t in np.flatnonzero(counted):
            pair = episode.states[t], episode.actions[t]
            visits[pair] += 1
            # BUG(averages-with-the-old-count): Q[pair] += (G[t] - Q[pair]) / (visits[pair] + 1)
            # WHEN the mean of a pair's returns moves by 1 / (n + 1) at its n-th visit.
            Q[pair] += (G[t] - Q[pair]) / visits[pair]
    return Control(Q, visits, returns)
    ### END SOLUTION
