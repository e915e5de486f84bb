"""Multi-armed bandits: estimate the arms, decide which one to pull, count what the mistakes cost.

In the order of the handout: value estimates, epsilon-greedy, upper confidence bounds, gradient
bandits, runs and regret, arms that drift. Most functions are pure; the agents put them together.
Everything is computed in float64, and every random number comes from the generator that the caller
hands in.

An agent is any object with two methods: `select(t, rng) -> int`, where t counts the steps from 1,
and `update(action, reward)`.

The equations (S&B below) are those of Sutton and Barto, Reinforcement Learning: An Introduction,
2nd edition (2018), chapter 2.
"""

from typing import NamedTuple

import numpy as np

# ---- Given: a record, the simplest agent, two helpers ------------------------------------------------------


class Trace(NamedTuple):
    """What happened in one run of T steps."""

    actions: np.ndarray  # (T,) int, the arm pulled at each step
    rewards: np.ndarray  # (T,) float64, the reward that it paid


class Script:
    """The simplest agent: pulls the arms of a list in order and learns nothing. Given, to test your
    loop."""

    def __init__(self, arms):
        self.arms = [int(arm) for arm in arms]

    def select(self, t: int, rng: np.random.Generator) -> int:
        """The arm on line t."""
        return self.arms[t - 1]

    def update(self, action: int, reward: float) -> None:
        """Nothing to learn."""


def require(condition, sentence: str) -> None:
    """Raise ValueError(sentence) unless the condition holds. Given, for the `Raises` lines
    below."""
    if not condition:
        raise ValueError(sentence)


def as_vector(x, name: str) -> np.ndarray:
    """x as a float64 array of shape (k,) with k >= 1, else ValueError. Given.

    A float64 array comes back itself, not as a copy: whoever changes the result in place changes x.
    """
    vector = np.asarray(x, dtype=np.float64)
    require(
        vector.ndim == 1 and vector.size > 0,
        f"{name} must have the shape (k,), not {vector.shape}.",
    )
    return vector


# ---- Part 1: value estimates -------------------------------------------------------------------------------


def sample_average(q: float, n: int, reward: float) -> float:
    """The mean of all rewards of an arm, from the mean so far and the newest reward (S&B eq. 2.3).

        Q_{n+1} = Q_n + (R_n - Q_n) / n

    q: the mean of the n - 1 earlier rewards (when n = 1 it has no influence). n: the pulls of this
    arm, *including* the one that paid `reward`. Returns a float.
    Raises ValueError if n < 1.
    """
    # TODO(estimates): check n, then move q by 1/n of the way to the reward.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(estimates): check n, then move q by 1/n of the way to the reward.")


def constant_step(q: float, reward: float, alpha: float) -> float:
    """One step of the exponential recency-weighted average (S&B eq. 2.5).

        Q_{n+1} = Q_n + alpha (R_n - Q_n)

    q: the estimate so far. alpha: the step size, in (0, 1]. Returns a float.
    Raises ValueError if alpha lies outside (0, 1].
    """
    # TODO(estimates): check alpha, then move q by that part of the way.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(estimates): check alpha, then move q by that part of the way.")


def unbiased_step(q: float, o: float, reward: float, alpha: float) -> tuple[float, float]:
    """One step with the unbiased constant step size (S&B exercise 2.7, eq. 2.8 and 2.9).

        o_n = o_{n-1} + alpha (1 - o_{n-1}),    beta_n = alpha / o_n,    Q_{n+1} = Q_n + beta_n (R_n - Q_n)

    q: the estimate so far. o: the trace o_{n-1}, which is 0 before an arm's first reward. alpha: in
    (0, 1]. Returns the tuple (Q_{n+1}, o_n) of two floats.
    Raises ValueError if alpha lies outside (0, 1] or o outside [0, 1].
    """
    # TODO(estimates): check, advance the trace, then step by alpha / trace.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(estimates): check, advance the trace, then step by alpha / trace.")


# ---- Part 2: epsilon-greedy --------------------------------------------------------------------------------


def argmax_random(q: np.ndarray, rng: np.random.Generator) -> int:
    """The index of the largest entry; among exactly equal largest entries one is drawn uniformly.

    q: shape (k,), entries may be +inf. Returns an int.
    """
    q = as_vector(q, "q")
    # TODO(greedy): find all arms that equal the maximum, draw one of them.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(greedy): find all arms that equal the maximum, draw one of them.")


def epsilon_greedy(q: np.ndarray, epsilon: float, rng: np.random.Generator) -> int:
    """With probability epsilon an arm drawn uniformly from all k arms, else a greedy one (S&B
    section 2.2).

    q: shape (k,), ties are broken at random. epsilon: in [0, 1]. Returns an int.
    Raises ValueError if epsilon lies outside [0, 1].
    """
    q = as_vector(q, "q")
    # TODO(greedy): check epsilon, toss the coin, choose an arm.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(greedy): check epsilon, toss the coin, choose an arm.")


def epsilon_greedy_probs(q: np.ndarray, epsilon: float) -> np.ndarray:
    """The probability with which `epsilon_greedy` chooses each arm.

        pi(a) = epsilon / k + (1 - epsilon) [a is greedy] / (number of greedy arms)

    q: shape (k,). epsilon: in [0, 1]. Returns a float64 array of shape (k,) that sums to 1.
    Raises ValueError if epsilon lies outside [0, 1].
    """
    q = as_vector(q, "q")
    # TODO(greedy): check epsilon; all arms share epsilon, greedy arms the rest.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(greedy): check epsilon; all arms share epsilon, greedy arms the rest.")


class EpsilonGreedy:
    """Epsilon-greedy on sample averages (alpha=None) or on recency-weighted averages (alpha in (0,
    1]).

    `initial` fills the first estimates: EpsilonGreedy(k, epsilon=0.0, alpha=0.1, initial=5.0) is
    the optimistic agent of S&B section 2.6. Attributes that tests and plots read: `q` (k,) float64,
    estimates; `counts` (k,) int, pulls.
    """

    def __init__(
        self, k: int, epsilon: float = 0.1, alpha: float | None = None, initial: float = 0.0
    ):
        self.epsilon = epsilon
        self.alpha = alpha
        self.q = np.full(k, initial, dtype=np.float64)
        self.counts = np.zeros(k, dtype=int)

    def select(self, t: int, rng: np.random.Generator) -> int:
        """The arm to pull at step t."""
        # TODO(greedy): choose epsilon-greedily from the estimates.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(greedy): choose epsilon-greedily from the estimates.")

    def update(self, action: int, reward: float) -> None:
        """Count the pull, move its estimate: sample_average if alpha is None, else
        constant_step."""
        # TODO(greedy): count the pull, then move the estimate of this arm.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(greedy): count the pull, then move the estimate of this arm.")


# ---- Part 3: upper confidence bounds -----------------------------------------------------------------------


def ucb_scores(q: np.ndarray, counts: np.ndarray, t: int, c: float) -> np.ndarray:
    """The upper confidence bounds whose largest entry UCB pulls (S&B eq. 2.10).

        score(a) = Q(a) + c sqrt(ln t / N(a)),    +inf where N(a) = 0

    q: shape (k,), estimates. counts: shape (k,), the pulls of each arm before this step. t: the
    step, from 1. c: how much uncertainty is worth, >= 0. Returns a float64 array of shape (k,); an
    untried arm scores +inf even when t = 1 or c = 0.
    Raises ValueError if q and counts differ in shape, a count is negative, t < 1 or c < 0.
    """
    q = as_vector(q, "q")
    counts = as_vector(counts, "counts")
    # TODO(ucb): check, then +inf for untried arms, a bonus for the rest.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ucb): check, then +inf for untried arms, a bonus for the rest.")


class UCB:
    """Pulls the arm with the largest upper confidence bound; keeps sample averages.

    Attributes that tests and plots read: `q` (k,) float64, estimates; `counts` (k,) int, pulls.
    """

    def __init__(self, k: int, c: float = 2.0):
        self.c = c
        self.q = np.zeros(k)
        self.counts = np.zeros(k, dtype=int)

    def select(self, t: int, rng: np.random.Generator) -> int:
        """The arm to pull at step t, ties broken at random: untried arms tie at +inf."""
        # TODO(ucb): choose an arm with the largest score.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(ucb): choose an arm with the largest score.")

    def update(self, action: int, reward: float) -> None:
        """Count the pull and move the sample average of this arm."""
        # TODO(ucb): count the pull, then move the estimate of this arm.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(ucb): count the pull, then move the estimate of this arm.")


# ---- Part 4: gradient bandits ------------------------------------------------------------------------------


def softmax(h: np.ndarray) -> np.ndarray:
    """Preferences turned into probabilities (S&B eq. 2.11).

        pi(a) = exp(h(a)) / sum_b exp(h(b))

    h: shape (k,), finite, of any size: adding 1000 to all preferences changes nothing.
    Returns a float64 array of shape (k,) that sums to 1.
    """
    h = as_vector(h, "h")
    # TODO(gradient): shift, so that nothing overflows, then normalise.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(gradient): shift, so that nothing overflows, then normalise.")


def gradient_bandit_step(
    h: np.ndarray, baseline: float, action: int, reward: float, alpha: float
) -> np.ndarray:
    """One step of stochastic gradient ascent on the expected reward (S&B eq. 2.12).

        h'(a) = h(a) + alpha (reward - baseline) ([a = action] - pi(a)),    pi = softmax(h)

    h: shape (k,), preferences. action: the arm that was pulled, in 0 .. k - 1. alpha: > 0
    (preferences are no averages, so steps above 1 are possible). Returns a new float64 array (k,);
    h itself stays as it is. Raises ValueError if action is not one of the arms or alpha <= 0.
    """
    h = as_vector(h, "h")
    # TODO(gradient): check the arguments, then move all k preferences.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(gradient): check the arguments, then move all k preferences.")


class GradientBandit:
    """Draws arms from softmax(h) and climbs the gradient; the baseline is the mean of all *earlier*
    rewards.

    Before the first reward the baseline is 0; with use_baseline=False it stays there.
    Attributes that tests and plots read: `h` (k,) float64 preferences, `baseline` float.
    """

    def __init__(self, k: int, alpha: float = 0.1, use_baseline: bool = True):
        self.alpha = alpha
        self.use_baseline = use_baseline
        self.h = np.zeros(k)
        self.baseline = 0.0
        self.steps = 0

    def select(self, t: int, rng: np.random.Generator) -> int:
        """An arm drawn from softmax(h)."""
        # TODO(gradient): draw an arm with the probabilities softmax(h).
        # YOUR CODE HERE
        raise NotImplementedError("TODO(gradient): draw an arm with the probabilities softmax(h).")

    def update(self, action: int, reward: float) -> None:
        """Move the preferences with the baseline of the earlier rewards, then average this reward
        into it."""
        # TODO(gradient): move the preferences, then update the baseline (if in use).
        # YOUR CODE HERE
        raise NotImplementedError("TODO(gradient): move the preferences, then update the baseline (if in use).")


# ---- Part 5: runs and regret -------------------------------------------------------------------------------


def run_bandit(
    agent, means: np.ndarray, steps: int, rng: np.random.Generator, walk_sd: float = 0.0
) -> Trace:
    """Let an agent play a k-armed bandit for T = steps steps.

    At each step t = 1 .. T: `agent.select(t, rng)` names an arm; its reward is drawn from
    Normal(mean of that arm, 1); `agent.update(action, reward)` learns of it; then, if walk_sd > 0,
    the means take one step of `random_walk` (part 6). So the first reward is drawn from `means` as
    they were handed in; the caller's array is not changed.

    means: shape (k,). walk_sd: standard deviation of the steps of the means, 0 for a stationary
    bandit. Returns Trace(actions (T,) int, rewards (T,) float64).
    Raises ValueError if steps < 1 or walk_sd < 0.
    """
    means = as_vector(means, "means")
    # TODO(run): check, then play: select, pay, update, walk, remember.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(run): check, then play: select, pay, update, walk, remember.")


def pseudo_regret(means: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """What the choices cost in expectation, compared with always pulling the best arm: cumulative.

        regret_t = sum_{s <= t} (max_a means(a) - means(A_s))

    means: shape (k,), fixed. actions: shape (T,), int, in 0 .. k - 1. Returns a float64 array of
    shape (T,). Raises ValueError if actions does not have the shape (T,) or names an arm that does
    not exist.
    """
    means = as_vector(means, "means")
    actions = np.asarray(actions)
    # TODO(run): check the actions, then sum up what each pull has cost.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(run): check the actions, then sum up what each pull has cost.")


# ---- Part 6: arms that drift -------------------------------------------------------------------------------


def random_walk(means: np.ndarray, walk_sd: float, rng: np.random.Generator) -> np.ndarray:
    """The means one step later: every arm moves on its own by Normal(0, walk_sd) (S&B exercise 2.5:
    0.01).

    means: shape (k,). walk_sd: a standard deviation, >= 0. Returns a new float64 array (k,); means
    itself stays as it is.
    Raises ValueError if walk_sd < 0.
    """
    means = as_vector(means, "means")
    # TODO(nonstationary): check walk_sd, then add an increment to each arm.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(nonstationary): check walk_sd, then add an increment to each arm.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# estimates=  greedy=  ucb=  gradient=  run=  nonstationary=
