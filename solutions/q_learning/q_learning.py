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
    ### BEGIN SOLUTION
    # BUG(bootstraps-at-terminal): if False:
    # WHEN the value of the state after the last step still enters the target, although nothing
    # WHEN follows the end of an episode.
    if terminated:
        return float(r)
    # BUG(discounts-the-reward): return float(gamma * (r + np.max(q_next)))
    # WHEN the discount multiplies a whole target, the reward of the present step
    # WHEN included.
    # BUG(scales-the-row-in-place): return float(r + np.max(np.multiply(q_next, gamma, out=q_next)))
    # WHEN q_next is multiplied by gamma in place, which also changes the table row that it is a
    # WHEN view of.
    # BUG(averages-the-next-values): return float(r + gamma * np.mean(q_next))
    # WHEN the Q-learning target takes the mean of the next action values instead of the largest
    # WHEN one.
    return float(r + gamma * np.max(q_next))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(bootstraps-from-the-state-it-left): delta = q_target(r, Q[s], gamma, terminated) - Q[s, a]
    # WHEN the target looks at the action values of the state that the step left, not of the one it
    # WHEN led to.
    delta = q_target(r, Q[s2], gamma, terminated) - Q[s, a]
    # BUG(moves-the-whole-row): Q[s] += alpha * delta
    # WHEN the step moves all actions of the state, although only one of them was tried.
    # BUG(forgets-the-step-size): Q[s, a] += delta
    # WHEN an update jumps all the way to the target, whatever alpha is.
    Q[s, a] += alpha * delta
    # BUG(returns-the-step-taken): return float(alpha * delta)
    # WHEN the Q-learning update returns alpha times the TD error.
    return float(delta)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(bootstraps-at-terminal): if False:
    if terminated:
        return float(r)
    # BUG(sarsa-takes-the-best-action): return float(r + gamma * np.max(q_next))
    # WHEN SARSA's target takes the largest next action value, not the value of the action that is
    # WHEN taken.
    # BUG(discounts-the-reward, 2): return float(gamma * (r + q_next[a_next]))
    return float(r + gamma * q_next[a_next])
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(bootstraps-at-terminal): if False:
    if terminated:
        return float(r)
    # BUG(expected-sarsa-ignores-the-policy): return float(r + gamma * np.mean(q_next))
    # WHEN Expected SARSA averages the next action values with equal weights, not with those of the
    # WHEN policy.
    # BUG(discounts-the-reward, 3): return float(gamma * (r + np.dot(pi_next, q_next)))
    return float(r + gamma * np.dot(pi_next, q_next))
    ### END SOLUTION


# -- Part 3: training ------------------------------------------------------------------------------


### BEGIN SOLUTION
def _argmax_random(q: np.ndarray, rng: np.random.Generator) -> int:
    """An index of the largest entry of q, each such index equally likely."""
    # BUG(random-only-if-all-tie): best = np.arange(q.size) if np.all(q == q[0]) else np.array([np.argmax(q)])
    # WHEN ties are broken at random only if all actions are tied; otherwise the first of the best
    # WHEN actions is taken.
    # BUG(maximum-starts-at-zero): best = np.flatnonzero(q == np.max(q)) if np.max(q) >= 0 else np.array([0])
    # WHEN the search for the best action starts from 0, so that no negative value is ever found and
    # WHEN action 0 is left.
    best = np.flatnonzero(q == np.max(q))
    # BUG(ties-go-to-the-first-action): return int(best[0])
    # WHEN ties between equally good actions always go to the first of them, as np.argmax breaks
    # WHEN them.
    return int(best[rng.integers(best.size)])


def _epsilon_greedy_probs(q: np.ndarray, epsilon: float) -> np.ndarray:
    """(A,) The probabilities of the epsilon-greedy policy; equally good actions share the greedy
    part."""
    greedy = q == np.max(q)
    return epsilon / q.size + (1.0 - epsilon) * greedy / np.sum(greedy)


def _epsilon_greedy(q: np.ndarray, epsilon: float, rng: np.random.Generator) -> int:
    """Any action with probability epsilon, one of the best otherwise."""
    # BUG(exploits-when-it-should-explore): if rng.random() > epsilon:
    # WHEN epsilon and 1 - epsilon are exchanged: the agent explores when it should be greedy.
    # BUG(global-dice): if np.random.random() < epsilon:
    # WHEN exploration is decided by NumPy's global generator instead of the rng that is passed in.
    if rng.random() < epsilon:
        # BUG(exploring-skips-the-greedy-action): return int(np.argmax(q) + rng.integers(1, q.size)) % q.size
        # WHEN an exploring step never takes the greedy action, so that epsilon-greedy explores too
        # WHEN much.
        return int(rng.integers(q.size))
    return _argmax_random(q, rng)


class _Agent:
    """The tables of one learner, its epsilon-greedy behaviour and its update rule."""

    def __init__(
        self,
        algo: str,
        shape: tuple[int, int],
        alpha: float,
        gamma: float,
        rng: np.random.Generator,
    ) -> None:
        self.algo, self.alpha, self.gamma, self.rng = algo, alpha, gamma, rng
        tables = 2 if algo == "double_q" else 1
        # BUG(starts-from-a-random-table): self.tables = rng.normal(size=(tables, *shape))
        # WHEN the table starts from random numbers instead of zeros, so that states where nothing
        # WHEN is ever learned (the terminal ones, for example) carry made-up values.
        self.tables = np.zeros((tables, *shape))

    @property
    def Q(self) -> np.ndarray:
        """(S, A) The table, or the mean of the two tables."""
        # BUG(double-q-returns-the-sum): return self.tables.sum(axis=0)
        # WHEN Double Q-learning returns Q1 + Q2 instead of their mean.
        return self.tables.mean(axis=0)

    def act(self, s: int, epsilon: float) -> int:
        """An epsilon-greedy action in the sum of the tables (as in S&B's box of Double
        Q-learning)."""
        # BUG(double-q-acts-in-one-table): return _epsilon_greedy(self.tables[0, s], epsilon, self.rng)
        # WHEN Double Q-learning acts greedily in one of its tables alone, and not in Q1 + Q2.
        # BUG(sarsa-acts-greedily): return _epsilon_greedy(self.tables[:, s].sum(axis=0), epsilon * (self.algo != "sarsa"), self.rng)
        # WHEN SARSA's behaviour is greedy: epsilon plays no part when it chooses an action.
        # BUG(double-q-acts-in-one-table, 2): return _epsilon_greedy(self.tables[-1, s], epsilon, self.rng)
        # BUG(ties-go-to-the-first-action, 2): return int(self.rng.integers(self.tables.shape[2])) if self.rng.random() < epsilon else int(np.argmax(self.tables[:, s].sum(axis=0)))
        return _epsilon_greedy(self.tables[:, s].sum(axis=0), epsilon, self.rng)

    def learn_(
        self, s: int, a: int, r: float, s2: int, a2: int | None, terminated: bool, epsilon: float
    ) -> None:
        """One update of the tables. The next action a2 is known to SARSA alone."""
        rates = self.alpha, self.gamma
        Q = self.tables[0]
        if self.algo == "q_learning":
            q_learning_update_(Q, s, a, r, s2, terminated, *rates)
        elif self.algo == "double_q":
            double_q_update_(*self.tables, s, a, r, s2, terminated, *rates, self.rng)
        elif self.algo == "sarsa":
            # BUG(sarsa-takes-the-best-action, 2): Q[s, a] += self.alpha * (q_target(r, Q[s2], self.gamma, terminated) - Q[s, a])
            # BUG(forgets-the-step-size, 2): Q[s, a] = sarsa_target(r, Q[s2], a2, self.gamma, terminated)
            Q[s, a] += self.alpha * (sarsa_target(r, Q[s2], a2, self.gamma, terminated) - Q[s, a])
        else:
            # BUG(expected-sarsa-forgets-exploration): pi = _epsilon_greedy_probs(Q[s2], 0.0)
            # WHEN Expected SARSA averages over the greedy policy: the epsilon of the behaviour is
            # WHEN left out.
            pi = _epsilon_greedy_probs(Q[s2], epsilon)
            Q[s, a] += self.alpha * (
                expected_sarsa_target(r, Q[s2], pi, self.gamma, terminated) - Q[s, a]
            )


def _play(env, agent: _Agent, s: int, epsilon: float) -> list[float]:
    """One episode from state s, learning at every step. Returns the rewards."""
    a, ended, rewards = None, False, []
    while not ended:
        # BUG(env-dice): a = env.action_space.sample() if agent.rng.random() < epsilon else agent.act(s, 0)
        # WHEN exploring actions come from env.action_space.sample(), whose dice are not the rng
        # WHEN passed in.
        a = agent.act(s, epsilon) if a is None else a
        s2, r, terminated, truncated, _ = env.step(a)
        # BUG(acts-before-learning): a2 = agent.act(s2, epsilon)
        # WHEN the next action is chosen before the update in other algorithms than SARSA, too.
        # BUG(acts-before-learning, 2): a2 = agent.act(s2, epsilon) if agent.algo in ("sarsa", "expected_sarsa") else None
        a2 = agent.act(s2, epsilon) if agent.algo == "sarsa" else None
        # BUG(time-limit-is-an-ending): agent.learn_(s, a, r, s2, a2, terminated or truncated, epsilon)
        # WHEN a truncated step is treated like a terminated one: its target drops the next state's
        # WHEN value.
        # BUG(time-limit-is-an-ending, 2): agent.learn_(s, a, r, s2, a2, terminated or (truncated and agent.algo == "sarsa"), epsilon)
        # BUG(time-limit-is-an-ending, 3): agent.learn_(s, a, r, s2, a2, terminated or (truncated and agent.algo == "expected_sarsa"), epsilon)
        # BUG(time-limit-is-an-ending, 4): agent.learn_(s, a, r, s2, a2, terminated or (truncated and agent.algo == "double_q"), epsilon)
        # BUG(truncated-hides-the-end): agent.learn_(s, a, r, s2, a2, terminated and not truncated, epsilon)
        # WHEN a step that both terminates and is truncated counts as truncated only: its target
        # WHEN keeps the next state's value.
        # BUG(skips-the-last-step, 2): if not (terminated and agent.algo == "sarsa"): agent.learn_(s, a, r, s2, a2, terminated, epsilon)
        # BUG(bootstraps-at-terminal, 2): agent.learn_(s, a, r, s2, a2, False, epsilon)
        # BUG(skips-the-last-step): if not terminated: agent.learn_(s, a, r, s2, a2, False, epsilon)
        # WHEN the loop leaves the episode before it has learned from the terminating step.
        agent.learn_(s, a, r, s2, a2, terminated, epsilon)
        rewards.append(float(r))
        # BUG(sarsa-draws-again): s, a = s2, None
        # WHEN SARSA draws a fresh action for the next step instead of taking the one that its
        # WHEN target used.
        s, a = s2, a2
        # BUG(plays-on-after-the-time-limit): ended = terminated
        # WHEN an episode goes on after the environment has truncated it.
        ended = terminated or truncated
    return rewards


### END SOLUTION


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
    ### BEGIN SOLUTION
    agent = _Agent(algo, (int(env.observation_space.n), int(env.action_space.n)), alpha, gamma, rng)
    returns = np.zeros(episodes)
    for episode in range(episodes):
        # BUG(epsilon-never-changes): epsilon = epsilon_fn(0)
        # WHEN every episode explores with the epsilon of episode 0.
        epsilon = epsilon_fn(episode)
        _check_rates(epsilon=epsilon)
        # BUG(reseeds-every-episode): s, _ = env.reset(seed=seed)
        # WHEN every reset gets the seed, so that each episode replays the same luck.
        s, _ = env.reset(seed=seed if episode == 0 else None)
        rewards = _play(env, agent, s, epsilon)
        # BUG(discounts-the-returns): returns[episode] = sum(gamma**t * r for t, r in enumerate(rewards))
        # WHEN the returns of the episodes are discounted.
        returns[episode] = sum(rewards)
    return Result(agent.Q, returns)
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        # BUG(clips-finite-bounds): low, high = np.maximum(low, -clip), np.minimum(high, clip)
        # WHEN finite bounds beyond the clip value are cut down to it, not only infinite ones.
        # BUG(keeps-infinite-bounds): low, high = low.clip(-1e9, 1e9), high.clip(-1e9, 1e9)
        # WHEN an infinite bound becomes a huge number instead of the clip value, so that every
        # WHEN observation falls into the bins next to 0.
        low, high = np.where(np.isinf(low), -clip, low), np.where(np.isinf(high), clip, high)
        if not np.all(low < high):
            raise ValueError(f"Every low must lie below its high, but they are {low} and {high}.")
        self._bins = [int(n) for n in bins]
        bounds = zip(low, high, self._bins, strict=True)
        # BUG(counts-the-bounds-as-edges): self._edges = [np.linspace(lo, hi, n) for lo, hi, n in bounds]
        # WHEN the two bounds are counted among the n edges, as in np.digitize(x, np.linspace(low,
        # WHEN high, n)): the bins in between are too wide, and there are n + 1 of them.
        self._edges = [np.linspace(lo, hi, n + 1)[1:-1] for lo, hi, n in bounds]
        self.n_states = int(np.prod(self._bins))
        ### END SOLUTION

    def encode(self, obs: Sequence[float]) -> int:
        """The number of the cell that holds ``obs``, from 0 to n_states - 1.

        Row-major: the last dimension runs fastest, as in
        np.ravel_multi_index(bin_of_each_dimension, bins).

        Raises:
            ValueError: if obs is not of shape (D,).
        """
        # TODO(discretizer): refuse a wrong shape, find the bin in each dimension, number the cell row-major.
        ### BEGIN SOLUTION
        if np.shape(obs) != (len(self._bins),):
            raise ValueError(
                f"obs must have shape ({len(self._bins)},), but its shape is {np.shape(obs)}."
            )
        # BUG(edge-belongs-below): side = "left"
        # WHEN a value on an inner edge is put into the lower bin.
        side = "right"
        digits = [
            int(np.searchsorted(edges, x, side=side))
            for edges, x in zip(self._edges, obs, strict=True)
        ]
        cell = 0
        # BUG(numbers-cells-column-major): for digit, n in list(zip(digits, self._bins))[::-1]:
        # WHEN the cells are numbered with the first dimension running fastest (column-major).
        for digit, n in zip(digits, self._bins, strict=True):
            cell = cell * n + digit
        return cell
        ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(only-one-table-learns): learner, judge = Q1, Q2
    # WHEN Q1 learns at every step and Q2 never does: no coin is tossed.
    # BUG(double-q-has-dice-of-its-own): learner, judge = (Q1, Q2) if np.random.random() < 0.5 else (Q2, Q1)
    # WHEN Double Q-learning draws with random numbers of np.random instead of the rng that is
    # WHEN passed in.
    learner, judge = (Q1, Q2) if rng.random() < 0.5 else (Q2, Q1)
    # BUG(double-q-maximises-the-other-table): best = _argmax_random(judge[s2], rng)
    # WHEN the table that does not learn both chooses the best next action and says what it is
    # WHEN worth.
    best = _argmax_random(learner[s2], rng)
    # BUG(double-q-judges-itself): future = 0.0 if terminated else gamma * learner[s2, best]
    # WHEN the table that learns both chooses the best next action and says what it is worth: two
    # WHEN tables, each doing plain Q-learning.
    # BUG(bootstraps-at-terminal): future = gamma * judge[s2, best]
    future = 0.0 if terminated else gamma * judge[s2, best]
    delta = r + future - learner[s, a]
    # BUG(both-tables-learn): learner[s, a] += alpha * delta; judge[s, a] += alpha * delta
    # WHEN both tables take the step, so that they never differ.
    learner[s, a] += alpha * delta
    return float(delta)
    ### END SOLUTION
