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
    ### BEGIN SOLUTION
    # BUG(no-argument-checks): pass
    # WHEN impossible arguments (n = 0, a step size of 1.5, a negative epsilon) are not refused with
    # WHEN a ValueError.
    require(n >= 1, f"n counts the pulls including this one: at least 1, not {n}.")
    # BUG(n-off-by-one): step = 1 / (n + 1)
    # WHEN n is taken for the number of earlier pulls, so that the step is 1/(n + 1) and the initial
    # WHEN value counts as if it were a reward.
    step = 1 / n
    return float(q + step * (reward - q))
    ### END SOLUTION


def constant_step(q: float, reward: float, alpha: float) -> float:
    """One step of the exponential recency-weighted average (S&B eq. 2.5).

        Q_{n+1} = Q_n + alpha (R_n - Q_n)

    q: the estimate so far. alpha: the step size, in (0, 1]. Returns a float.
    Raises ValueError if alpha lies outside (0, 1].
    """
    # TODO(estimates): check alpha, then move q by that part of the way.
    ### BEGIN SOLUTION
    # BUG(no-argument-checks): pass
    require(0 < alpha <= 1, f"alpha must lie in (0, 1], not {alpha}.")
    # BUG(swaps-the-weights): return float(alpha * q + (1 - alpha) * reward)
    # WHEN alpha weights the old estimate and 1 - alpha the new reward, instead of the other way
    # WHEN round.
    return float(q + alpha * (reward - q))
    ### END SOLUTION


def unbiased_step(q: float, o: float, reward: float, alpha: float) -> tuple[float, float]:
    """One step with the unbiased constant step size (S&B exercise 2.7, eq. 2.8 and 2.9).

        o_n = o_{n-1} + alpha (1 - o_{n-1}),    beta_n = alpha / o_n,    Q_{n+1} = Q_n + beta_n (R_n - Q_n)

    q: the estimate so far. o: the trace o_{n-1}, which is 0 before an arm's first reward. alpha: in
    (0, 1]. Returns the tuple (Q_{n+1}, o_n) of two floats.
    Raises ValueError if alpha lies outside (0, 1] or o outside [0, 1].
    """
    # TODO(estimates): check, advance the trace, then step by alpha / trace.
    ### BEGIN SOLUTION
    # BUG(no-argument-checks): pass
    require(0 < alpha <= 1, f"alpha must lie in (0, 1], not {alpha}.")
    # BUG(no-argument-checks): pass
    require(0 <= o <= 1, f"o must lie in [0, 1], not {o}.")
    advanced = o + alpha * (1 - o)
    # BUG(trace-advanced-too-late): beta = alpha / o
    # WHEN the step divides by the trace from before this reward, so that the first reward divides
    # WHEN by zero.
    # BUG(trace-forgotten): beta = alpha
    # WHEN the trace is kept but the step is still alpha, so that the initial estimate leaves its
    # WHEN bias.
    beta = alpha / advanced
    return float(q + beta * (reward - q)), float(advanced)
    ### END SOLUTION


# ---- Part 2: epsilon-greedy --------------------------------------------------------------------------------


def argmax_random(q: np.ndarray, rng: np.random.Generator) -> int:
    """The index of the largest entry; among exactly equal largest entries one is drawn uniformly.

    q: shape (k,), entries may be +inf. Returns an int.
    """
    q = as_vector(q, "q")
    # TODO(greedy): find all arms that equal the maximum, draw one of them.
    ### BEGIN SOLUTION
    # BUG(first-of-the-ties): best = np.array([np.argmax(q)])
    # WHEN ties go to the first of the best arms, as np.argmax does, and not to each of them equally
    # WHEN often.
    # BUG(random-only-if-all-tie): best = np.arange(q.size) if np.all(q == q[0]) else np.array([np.argmax(q)])
    # WHEN ties are broken at random only if all arms are tied; otherwise the first of the best arms
    # WHEN is taken.
    # BUG(maximum-starts-at-zero): best = np.flatnonzero(q == q.max()) if q.max() >= 0 else np.array([0])
    # WHEN the search for the largest entry starts from 0, so that no negative entry is ever found
    # WHEN and arm 0 is left.
    # BUG(nearly-equal-counts-as-tied): best = np.flatnonzero(np.isclose(q, q.max()))
    # WHEN arms that are merely close to the best one (np.isclose) are treated as tied with it.
    best = np.flatnonzero(q == q.max())
    # BUG(global-random-numbers): return int(np.random.choice(best))
    # WHEN random numbers come from np.random, not from the generator that was handed in.
    return int(best[rng.integers(best.size)])
    ### END SOLUTION


def epsilon_greedy(q: np.ndarray, epsilon: float, rng: np.random.Generator) -> int:
    """With probability epsilon an arm drawn uniformly from all k arms, else a greedy one (S&B
    section 2.2).

    q: shape (k,), ties are broken at random. epsilon: in [0, 1]. Returns an int.
    Raises ValueError if epsilon lies outside [0, 1].
    """
    q = as_vector(q, "q")
    # TODO(greedy): check epsilon, toss the coin, choose an arm.
    ### BEGIN SOLUTION
    # BUG(no-argument-checks): pass
    require(0 <= epsilon <= 1, f"epsilon must lie in [0, 1], not {epsilon}.")
    if rng.random() < epsilon:
        # BUG(exploring-excludes-greedy): return int(rng.choice(np.delete(np.arange(q.size), np.argmax(q))))
        # WHEN an exploring step chooses among the other arms only, so that the greedy arm loses its
        # WHEN share epsilon/k.
        # BUG(exploring-excludes-greedy, 3): return int(rng.choice(np.delete(np.arange(q.size), np.argmax(q))))
        return int(rng.integers(q.size))
    return argmax_random(q, rng)
    ### END SOLUTION


def epsilon_greedy_probs(q: np.ndarray, epsilon: float) -> np.ndarray:
    """The probability with which `epsilon_greedy` chooses each arm.

        pi(a) = epsilon / k + (1 - epsilon) [a is greedy] / (number of greedy arms)

    q: shape (k,). epsilon: in [0, 1]. Returns a float64 array of shape (k,) that sums to 1.
    Raises ValueError if epsilon lies outside [0, 1].
    """
    q = as_vector(q, "q")
    # TODO(greedy): check epsilon; all arms share epsilon, greedy arms the rest.
    ### BEGIN SOLUTION
    # BUG(no-argument-checks): pass
    require(0 <= epsilon <= 1, f"epsilon must lie in [0, 1], not {epsilon}.")
    # BUG(first-of-the-ties): best = np.arange(q.size) == np.argmax(q)
    # BUG(nearly-equal-counts-as-tied): best = np.isclose(q, q.max())
    best = q == q.max()
    # BUG(exploring-excludes-greedy): exploring = epsilon * ~best / max(q.size - best.sum(), 1)
    # BUG(exploring-excludes-greedy, 2): exploring = epsilon * ~best / max(q.size - best.sum(), 1)
    exploring = epsilon / q.size
    # BUG(each-tie-gets-the-whole): return exploring + (1 - epsilon) * best
    # WHEN each of several greedy arms gets the whole 1 - epsilon: the probabilities sum to more
    # WHEN than 1.
    return exploring + (1 - epsilon) * best / best.sum()
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        # BUG(first-of-the-ties, 2): return int(rng.integers(self.q.size)) if rng.random() < self.epsilon else int(np.argmax(self.q))
        # BUG(random-only-if-all-tie, 2): return int(rng.integers(self.q.size)) if rng.random() < self.epsilon or np.all(self.q == self.q[0]) else int(np.argmax(self.q))
        return epsilon_greedy(self.q, self.epsilon, rng)
        ### END SOLUTION

    def update(self, action: int, reward: float) -> None:
        """Count the pull, move its estimate: sample_average if alpha is None, else
        constant_step."""
        # TODO(greedy): count the pull, then move the estimate of this arm.
        ### BEGIN SOLUTION
        self.counts[action] += 1
        # BUG(averages-despite-alpha): if True:
        # WHEN the agent keeps sample averages (steps 1/n) although it was given a constant step
        # WHEN size.
        if self.alpha is None:
            # BUG(n-off-by-one, 3): self.q[action] += (reward - self.q[action]) / (self.counts[action] + 1)
            self.q[action] = sample_average(self.q[action], self.counts[action], reward)
        else:
            # BUG(swaps-the-weights, 2): self.q[action] = self.alpha * self.q[action] + (1 - self.alpha) * reward
            self.q[action] = constant_step(self.q[action], reward, self.alpha)
        ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(no-argument-checks): pass
    require(q.shape == counts.shape, f"q has {q.size} arms, but counts has {counts.size}.")
    # BUG(no-argument-checks): pass
    require(np.all(counts >= 0), "counts must not be negative.")
    # BUG(no-argument-checks): pass
    require(t >= 1, f"t counts the steps from 1, it cannot be {t}.")
    # BUG(no-argument-checks): pass
    require(c >= 0, f"c must not be negative, as {c} is.")
    tried = counts > 0
    # BUG(logarithm-to-base-ten): growth = np.log10(t)
    # WHEN the bonus takes the logarithm to base 10 instead of the natural one.
    # BUG(logarithm-of-t-plus-one): growth = np.log(t + 1)
    # WHEN the bonus takes ln(t + 1), as if the steps were counted from 0.
    growth = np.log(t)
    # BUG(one-count-for-all-arms): bonus = c * np.sqrt(growth / counts.sum()) * np.ones(tried.sum())
    # WHEN the bonus divides by the pulls of all arms together, so that it is the same for every
    # WHEN arm.
    # BUG(c-inside-the-root): bonus = np.sqrt(c * growth / counts[tried])
    # WHEN c stands inside the square root.
    bonus = c * np.sqrt(growth / counts[tried])
    scores = np.full(q.size, np.inf)
    scores[tried] = q[tried] + bonus
    # BUG(zero-divided-by-zero): return q + c * np.sqrt(np.log(t) / counts)
    # WHEN the formula divides by the counts of untried arms: at t = 1 that is 0/0, which is nan and
    # WHEN not +inf.
    # BUG(tiny-number-in-the-denominator): return q + c * np.sqrt(np.log(t) / (counts + 1e-5))
    # WHEN a tiny number is added to the counts to avoid the division by zero: untried arms get a
    # WHEN finite score and at t = 1 no bonus at all.
    return scores
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        # BUG(first-of-the-ties, 3): return int(np.argmax(ucb_scores(self.q, self.counts, t, self.c)))
        # BUG(logarithm-of-t-plus-one, 2): return argmax_random(ucb_scores(self.q, self.counts, t + 1, self.c), rng)
        return argmax_random(ucb_scores(self.q, self.counts, t, self.c), rng)
        ### END SOLUTION

    def update(self, action: int, reward: float) -> None:
        """Count the pull and move the sample average of this arm."""
        # TODO(ucb): count the pull, then move the estimate of this arm.
        ### BEGIN SOLUTION
        self.counts[action] += 1
        # BUG(n-off-by-one, 2): self.q[action] = sample_average(self.q[action], self.counts[action] + 1, reward)
        self.q[action] = sample_average(self.q[action], self.counts[action], reward)
        ### END SOLUTION


# ---- Part 4: gradient bandits ------------------------------------------------------------------------------


def softmax(h: np.ndarray) -> np.ndarray:
    """Preferences turned into probabilities (S&B eq. 2.11).

        pi(a) = exp(h(a)) / sum_b exp(h(b))

    h: shape (k,), finite, of any size: adding 1000 to all preferences changes nothing.
    Returns a float64 array of shape (k,) that sums to 1.
    """
    h = as_vector(h, "h")
    # TODO(gradient): shift, so that nothing overflows, then normalise.
    ### BEGIN SOLUTION
    # BUG(softmax-overflows): weights = np.exp(h)
    # WHEN large preferences are exponentiated as they are: exp(1000) is inf and inf/inf is nan.
    weights = np.exp(h - h.max())
    return weights / weights.sum()
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(no-argument-checks): pass
    require(
        0 <= action < h.size, f"action must be one of the arms 0 to {h.size - 1}, not {action}."
    )
    # BUG(no-argument-checks): pass
    require(alpha > 0, f"alpha must be positive, not {alpha}.")
    pulled = np.arange(h.size) == action
    # BUG(other-arms-unmoved): step = alpha * (reward - baseline) * pulled * (1 - softmax(h))
    # WHEN only the preference of the pulled arm moves and the others do not give way.
    # BUG(baseline-for-one-arm-only): step = alpha * (reward - baseline * pulled) * (pulled - softmax(h))
    # WHEN the baseline is subtracted for the pulled arm only, and the other arms move by the raw
    # WHEN reward.
    # BUG(baseline-added): step = alpha * (reward + baseline) * (pulled - softmax(h))
    # WHEN the baseline is added to the reward instead of subtracted from it.
    # BUG(moves-downhill): step = alpha * (baseline - reward) * (pulled - softmax(h))
    # WHEN the sign is turned round: a reward above the baseline makes the arm less likely.
    # BUG(other-arms-unmoved, 2): step = alpha * (reward - baseline) * pulled
    # BUG(baseline-for-one-arm-only, 2): step = alpha * (reward * (pulled - softmax(h)) - baseline * pulled)
    step = alpha * (reward - baseline) * (pulled - softmax(h))
    # BUG(changes-h-in-place): h += step
    # WHEN the step is added to the caller's own array (h += ...).
    h = h + step
    return h
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        # BUG(pulls-the-largest-preference): return argmax_random(self.h, rng)
        # WHEN the arm with the largest preference is pulled, where an arm should be drawn from
        # WHEN softmax(h).
        # BUG(gradient-agent-has-dice-of-its-own): return int(np.random.choice(self.h.size, p=softmax(self.h)))
        # WHEN the gradient agent draws with random numbers of np.random, not with the generator
        # WHEN that was handed in.
        # BUG(gradient-agent-has-dice-of-its-own, 2): return int(np.random.default_rng().choice(self.h.size, p=softmax(self.h)))
        return int(rng.choice(self.h.size, p=softmax(self.h)))
        ### END SOLUTION

    def update(self, action: int, reward: float) -> None:
        """Move the preferences with the baseline of the earlier rewards, then average this reward
        into it."""
        # TODO(gradient): move the preferences, then update the baseline (if in use).
        ### BEGIN SOLUTION
        self.steps += 1
        # BUG(baseline-includes-this-reward): earlier = sample_average(self.baseline, self.steps, reward)
        # WHEN the reward is averaged into the baseline before the step, so that it partly cancels
        # WHEN itself.
        earlier = self.baseline
        self.h = gradient_bandit_step(self.h, earlier, action, reward, self.alpha)
        if self.use_baseline:
            self.baseline = sample_average(self.baseline, self.steps, reward)
        ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(no-argument-checks): pass
    require(steps >= 1, f"steps must be at least 1, not {steps}.")
    # BUG(no-argument-checks): pass
    require(walk_sd >= 0, f"walk_sd must not be negative, as {walk_sd} is.")
    current, actions, rewards = means, [], []
    # BUG(time-starts-at-zero): for t in range(steps):
    # WHEN the first call is select(0, rng): time is counted from 1.
    for t in range(1, steps + 1):
        # BUG(walks-first): current = random_walk(current, walk_sd, rng); action = agent.select(t, rng)
        # WHEN the means move before the first reward is drawn, not after each reward.
        action = int(agent.select(t, rng))
        # BUG(global-random-numbers): reward = float(np.random.normal(current[action], 1.0))
        # BUG(rewards-without-noise): reward = float(current[action])
        # WHEN a pull pays exactly the mean of its arm, without the noise of standard deviation 1.
        reward = float(rng.normal(current[action], 1.0))
        # BUG(agent-learns-of-another-reward): agent.update(action, float(rng.normal(current[action], 1.0)))
        # WHEN the reward that the agent learns from is drawn a second time, and is not the one in
        # WHEN the trace.
        agent.update(action, reward)
        actions.append(action)
        rewards.append(reward)
        if walk_sd > 0:
            # BUG(walks-first): pass
            # BUG(noise-around-fixed-means): current = random_walk(means, walk_sd, rng)
            # WHEN each step of the walk starts again from the original means, which is noise and
            # WHEN not a walk.
            # BUG(only-one-arm-walks): current = current.copy(); current[action] += rng.normal(0, walk_sd)
            # WHEN only the arm that was pulled drifts, while the others wait.
            # BUG(one-increment-for-all-arms, 2): current = current + rng.normal(0.0, walk_sd)
            # BUG(variance-taken-for-sd, 2): current = random_walk(current, np.sqrt(walk_sd), rng)
            current = random_walk(current, walk_sd, rng)
    return Trace(np.array(actions, dtype=int), np.array(rewards))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(no-argument-checks): pass
    require(actions.ndim == 1, f"actions must have the shape (T,), not {actions.shape}.")
    # BUG(no-argument-checks): pass
    require(
        np.all((actions >= 0) & (actions < means.size)),
        f"actions must be arms 0 to {means.size - 1}.",
    )
    # BUG(regret-against-the-best-arm-pulled): gaps = means[actions].max() - means[actions]
    # WHEN the yardstick is the best arm among those that were pulled, not the best arm of the
    # WHEN bandit.
    # BUG(regret-against-the-best-arm-pulled, 2): gaps = np.maximum.accumulate(means[actions]) - means[actions]
    gaps = means.max() - means[actions]
    # BUG(regret-not-accumulated): return gaps
    # WHEN the regret of each single step is returned, not the sum over all steps so far.
    # BUG(regret-averaged): return np.cumsum(gaps) / np.arange(1, gaps.size + 1)
    # WHEN the sum is divided by the number of steps: that is the average regret, not the cumulative
    # WHEN one.
    return np.cumsum(gaps)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(no-argument-checks): pass
    require(walk_sd >= 0, f"walk_sd must not be negative, as {walk_sd} is.")
    # BUG(one-increment-for-all-arms): increments = rng.normal(0.0, walk_sd)
    # WHEN a single increment is drawn and added to every arm, so that their differences never
    # WHEN change.
    # BUG(variance-taken-for-sd): increments = rng.normal(0.0, np.sqrt(walk_sd), size=means.size)
    # WHEN walk_sd is read as a variance and its square root is used as the standard deviation.
    # BUG(walk-has-dice-of-its-own): increments = np.random.normal(0.0, walk_sd, size=means.size)
    # WHEN the means walk with random numbers of np.random, not with the generator that was handed
    # WHEN in.
    increments = rng.normal(0.0, walk_sd, size=means.size)
    # BUG(moves-the-callers-means): means += increments
    # WHEN the increments are added to the caller's own array (means += ...).
    means = means + increments
    return means
    ### END SOLUTION
