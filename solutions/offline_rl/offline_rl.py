"""Offline reinforcement learning: judge and improve a policy from recorded steps alone (NumPy;
PyTorch for the learners).

Conventions, the same everywhere in this file

* N is the number of recorded rows, E of episodes, B of rows in a batch, S of states, A of actions.
* Rows are in order of time, one whole episode after the other. The row in which ``terminated`` or
  ``truncated`` is set is the last one of its episode.
* ``terminated`` says that a step led to a real end: the future is worth 0 there. ``truncated`` says
  that a clock stopped the episode: the future still has its value. If both are set, the end is a
  real one. Only the first flag enters a target. For the return of an episode they are the same:
  nothing that was recorded follows.
* ``prob`` is the probability with which the behaviour, the policy that acted, took its action.
* ``target`` is what the policy under evaluation would have done: one row of probabilities for each
  recorded row.
* Targets and weights are numbers, not formulas: they carry no gradient.
* Names ending in ``_`` change their arguments in place. Everything else leaves them alone.
* All randomness comes from the ``rng`` that is passed in, a NumPy generator.

Sources: Precup, Sutton and Singh (2000), "Eligibility traces for off-policy policy evaluation";
Jiang and Li (2016), "Doubly robust off-policy value evaluation for reinforcement learning";
Fujimoto, Conti, Ghavamzadeh and Pineau (2019), "Benchmarking batch deep reinforcement learning
algorithms"; Kumar, Zhou, Tucker and Levine (2020), "Conservative Q-learning for offline
reinforcement learning"; Kostrikov, Nair and Levine (2022), "Offline reinforcement learning with
implicit Q-learning".
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

METHODS = ("bc", "bcq", "cql", "iql")


class Dataset(NamedTuple):
    """N recorded steps, whole episodes one after the other."""

    obs: np.ndarray  # (N, *obs_shape)
    action: np.ndarray  # (N,) integers
    reward: np.ndarray  # (N,) float64
    next_obs: np.ndarray  # (N, *obs_shape): what the step led to, before any reset
    terminated: np.ndarray  # (N,) bool
    truncated: np.ndarray  # (N,) bool
    prob: np.ndarray  # (N,) float64: how likely the behaviour was to take this action here


class Batch(NamedTuple):
    """What ``sample_batch`` returns: row i of every tensor belongs to the same step."""

    obs: Tensor  # (B, *obs_shape), of the data's dtype
    action: Tensor  # (B,) int64
    reward: Tensor  # (B,) float32
    next_obs: Tensor  # (B, *obs_shape), of the data's dtype
    terminated: Tensor  # (B,) bool


class Interval(NamedTuple):
    """An estimate, and between which bounds the truth is believed to lie."""

    estimate: float
    low: float
    high: float


class Networks(NamedTuple):
    """What is trained. Each maps (B, obs_dim) to (B, A), ``v`` to (B, 1). No method needs all."""

    q: nn.Module  # the critic: Q(s, .)
    q_target: nn.Module  # follows the critic slowly and is never trained itself
    policy: nn.Module  # logits: the clone of "bc" and "bcq", the policy of "iql"
    v: nn.Module  # V(s), for "iql"


@dataclass(frozen=True)
class OfflineConfig:
    """Settings of ``train_`` and of the losses."""

    method: str = "iql"  # one of METHODS
    gradient_steps: int = 600
    batch_size: int = 64  # rows in one gradient step
    learning_rate: float = 3e-3  # of Adam, whose other settings are PyTorch's defaults
    gamma: float = 0.99  # discount for one step
    tau: float = 0.02  # share of the critic in each update of the target network
    threshold: float = 0.3  # BCQ: how likely an action must be, compared with the likeliest one
    alpha: float = 1.0  # CQL: weight of the penalty
    expectile: float = 0.8  # IQL: 0.5 is the mean, towards 1 the maximum
    beta: float = 3.0  # IQL: how strongly the policy prefers better actions
    max_weight: float = 100.0  # IQL: no row weighs more than this

    def __post_init__(self) -> None:
        _check(
            self.method in METHODS, f"method must be one of {METHODS}, but it is {self.method!r}."
        )
        for name in ("gradient_steps", "batch_size"):
            value = getattr(self, name)
            _check(value >= 1, f"{name} must be at least 1, but it is {value}.")
        for name in ("gamma", "tau", "threshold", "expectile"):
            value = getattr(self, name)
            _check(0.0 <= value <= 1.0, f"{name} must lie in [0, 1], but it is {value}.")
        for name in ("alpha", "beta", "max_weight"):
            value = getattr(self, name)
            _check(value >= 0.0, f"{name} must be at least 0, but it is {value}.")


# -- Given: checks, networks, one-step targets -----------------------------------------------------


def _check(holds: bool, sentence: str) -> None:
    """Refuse an impossible argument."""
    if not holds:
        raise ValueError(sentence)


def _check_gamma(gamma: float) -> None:
    """Refuse an impossible discount."""
    _check(0.0 <= gamma <= 1.0, f"gamma must lie in [0, 1], but it is {gamma}.")


def _check_table(table: np.ndarray, data: Dataset, name: str) -> None:
    """Refuse what does not have one row for each recorded one, and a column for each action."""
    fits = np.ndim(table) == 2 and len(table) == len(data.action)
    fits = fits and int(np.max(data.action)) < np.shape(table)[1]
    shape, rows = np.shape(table), len(data.action)
    _check(fits, f"{name} must have shape (N, A) with N = {rows}, not {shape}.")


def make_networks(
    obs_dim: int, n_actions: int, hidden: tuple[int, ...] = (64, 64), seed: int = 0
) -> Networks:
    """Fresh networks, with ReLU between their linear layers. The target starts as a copy."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        q, q_target, policy = (_mlp(obs_dim, n_actions, hidden) for _ in range(3))
        v = _mlp(obs_dim, 1, hidden)
    q_target.load_state_dict(q.state_dict())
    return Networks(q, q_target, policy, v)


def _mlp(inputs: int, outputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    """A multilayer perceptron."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((inputs, *hidden)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear((inputs, *hidden)[-1], outputs))


def td_targets(reward: Tensor, next_value: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """(B,) r + gamma * next_value, and r alone where the step terminated; without a gradient."""
    return (reward + gamma * torch.where(terminated, 0.0, next_value)).detach()


def td_loss(q: Tensor, action: Tensor, target: Tensor) -> Tensor:
    """The mean of (Q(s, a) - y)^2 over the batch, for the actions that were taken."""
    return nn.functional.mse_loss(taken(q, action), target.detach())


def taken(q: Tensor, action: Tensor) -> Tensor:
    """(B,) The entry of each row of q (B, A) that belongs to the action (B,) that was taken."""
    return q.gather(1, action[:, None]).squeeze(1)


@torch.no_grad()
def soft_update_(target: nn.Module, online: nn.Module, tau: float) -> None:
    """Move every parameter of ``target`` towards ``online``: (1 - tau) * target + tau * online."""
    for theirs, ours in zip(target.parameters(), online.parameters(), strict=True):
        theirs.lerp_(ours, tau)


# -- Part 1: recorded data -------------------------------------------------------------------------


def record(
    env,
    policy: Callable[[np.ndarray], np.ndarray],
    episodes: int,
    rng: np.random.Generator,
    seed: int,
) -> Dataset:
    """Play whole episodes and write down every step, together with how likely its action was.

    Args:
        env: a Gymnasium environment. Use env.reset and env.step, and nothing else of it. It may
            hand out the same array again and again: what is recorded must be a copy
            (``np.array(obs)``, because an observation may also be a plain integer).
        policy: maps an observation to the probabilities (A,) of all actions. Ask once for each
            step, and draw the action from what it says.
        episodes: how many, at least 1. One ends where env says terminated or truncated.
        rng: draws the actions.
        seed: given to the first env.reset and to no other.

    Returns:
        Dataset, see there. Both flags are kept as env gave them, apart.

    Raises:
        ValueError: episodes < 1.
    """
    _check(episodes >= 1, f"episodes must be at least 1, but it is {episodes}.")
    # TODO(data): act by the policy's probabilities; keep the flags apart, and copies of observations.
    ### BEGIN SOLUTION
    # BUG(dice-of-its-own): rows, rng = [], np.random.default_rng(seed)
    # WHEN choices are made by a generator of one's own, whatever rng is passed in.
    rows = []
    for episode in range(episodes):
        # BUG(seeds-every-episode): obs = np.array(env.reset(seed=seed)[0])
        # WHEN every reset gets the seed, so that each episode begins in the same way.
        obs = np.array(env.reset(seed=seed if episode == 0 else None)[0])
        ended = False
        while not ended:
            probs = np.asarray(policy(obs), float)
            # BUG(records-the-greedy-policy): action = int(probs.argmax())
            # WHEN the likeliest action is always taken, while the data say that the policy's
            # WHEN probabilities were followed.
            # BUG(records-with-global-dice): action = int(np.random.choice(len(probs), p=probs))
            # WHEN actions are drawn by a global generator instead of the rng that is passed in.
            action = int(rng.choice(len(probs), p=probs))
            next_obs, reward, terminated, truncated, _ = env.step(action)
            # BUG(plays-on-after-the-time-limit): ended = bool(terminated)
            # WHEN an episode goes on after the environment has truncated it.
            # BUG(time-limit-is-an-ending, 2): ended = terminated = bool(terminated or truncated)
            ended = bool(terminated or truncated)
            # BUG(records-the-reset): next_obs = env.reset()[0] if ended else next_obs
            # WHEN at the end of an episode the first observation of another one is recorded as what
            # WHEN the step led to.
            next_obs = np.array(next_obs)
            # BUG(time-limit-is-an-ending): flags = (ended, bool(truncated))
            # WHEN a step that a time limit cut off is taken for one that terminated: its future is
            # WHEN worth nothing.
            # BUG(clock-undoes-an-end): flags = (bool(terminated and not truncated), bool(truncated))
            # WHEN a step that terminated just when the clock ran out is taken for one that did not
            # WHEN terminate.
            # BUG(end-hides-the-clock): flags = (bool(terminated), bool(truncated and not terminated))
            # WHEN a step at which both flags were set is not recorded as truncated.
            flags = (bool(terminated), bool(truncated))
            # BUG(records-the-largest-probability): chance = probs.max()
            # WHEN the recorded probability is that of the likeliest action, not that of the action
            # WHEN that was taken.
            chance = probs[action]
            # BUG(last-step-is-lost): _ = ended or rows.append((obs, action, float(reward), next_obs, *flags, chance))
            # WHEN the last step of each episode is not recorded.
            # BUG(records-the-observation-twice): rows.append((obs, action, float(reward), obs, *flags, chance))
            # WHEN the observation before the step is also recorded as the one after it.
            rows.append((obs, action, float(reward), next_obs, *flags, chance))
            obs = next_obs
    return Dataset(*map(np.array, zip(*rows, strict=True)))
    ### END SOLUTION


def episode_bounds(data: Dataset) -> np.ndarray:
    """Where episodes begin and end: rows ``start`` to ``stop - 1`` of the data are one of them.

    Returns:
        (E, 2) integers, the pairs (start, stop) in order.

    Raises:
        ValueError: the last row does not end an episode: such data are not whole.
    """
    # TODO(data): an episode's last row has at least one of the two flags; then another begins.
    ### BEGIN SOLUTION
    # BUG(only-terminals-end-episodes): ended = data.terminated | (np.arange(len(data.reward)) == len(data.reward) - 1)
    # WHEN episodes that were cut off by a time limit are joined with the ones after them.
    # BUG(two-flags-are-no-end): ended = data.terminated ^ data.truncated
    # WHEN a row in which both flags are set does not end its episode.
    ended = data.terminated | data.truncated
    # BUG(flags-open-episodes): stops = np.unique(np.append(np.flatnonzero(ended)[:-1], len(ended)))
    # WHEN the row with the flag is counted as the first one of the next episode.
    stops = np.flatnonzero(ended) + 1
    # BUG(unfinished-rest-is-dropped): pass
    # WHEN rows after the last flag are left out without a word.
    _check(bool(ended[-1]), "The last row does not end an episode.")
    return np.stack([np.append(0, stops[:-1]), stops], axis=1)
    ### END SOLUTION


def sample_batch(data: Dataset, batch_size: int, rng: np.random.Generator) -> Batch:
    """Draw rows uniformly, with replacement.

    Args:
        batch_size: how many, at least 1; may exceed N.
        rng: makes the choice.

    Returns:
        Batch, see there. After a time limit the future has a value, so ``truncated`` is not in it.

    Raises:
        ValueError: batch_size < 1.
    """
    _check(batch_size >= 1, f"batch_size must be at least 1, but it is {batch_size}.")
    # TODO(data): one draw of row numbers, the same for all fields.
    ### BEGIN SOLUTION
    # BUG(draws-without-replacement): rows = rng.permutation(len(data.reward))[:batch_size]
    # WHEN a batch never holds a row twice, so that it can be smaller than was asked for.
    # BUG(samples-with-global-dice): rows = np.random.randint(len(data.reward), size=batch_size)
    # WHEN rows are drawn by a global generator instead of the rng that is passed in.
    rows = rng.integers(len(data.reward), size=batch_size)
    # BUG(next-row-for-the-next-observation): next_obs = torch.from_numpy(np.roll(data.obs, -1, axis=0)[rows])
    # WHEN the observation of the row below is taken for what the step led to, also where another
    # WHEN episode begins there.
    next_obs = torch.from_numpy(data.next_obs[rows])
    # BUG(time-limit-is-an-ending, 3): ended = data.terminated | data.truncated
    # BUG(clock-undoes-an-end): ended = data.terminated & ~data.truncated
    ended = data.terminated
    # BUG(draws-each-field-apart): rows = rng.permutation(rows); action = torch.as_tensor(data.action[rows], dtype=torch.int64)
    # WHEN the fields of a batch are drawn independently of each other.
    action = torch.as_tensor(data.action[rows], dtype=torch.int64)
    reward = torch.as_tensor(data.reward[rows], dtype=torch.float32)
    obs = torch.from_numpy(data.obs[rows])
    return Batch(obs, action, reward, next_obs, torch.from_numpy(ended[rows]))
    ### END SOLUTION


# -- Part 2: what would another policy have earned? ------------------------------------------------


def importance_ratios(data: Dataset, target: np.ndarray) -> np.ndarray:
    """How much likelier each recorded action is under the target policy than under the behaviour.

        rho[i] = target[i, action[i]] / prob[i]

    Args:
        target: (N, A) the target policy's probabilities in each recorded state.

    Returns:
        (N,) float64.

    Raises:
        ValueError: the shapes do not fit, or a ``prob`` does not lie in (0, 1].
    """
    _check_table(target, data, "target")
    # TODO(evaluation): refuse impossible probabilities; then one quotient for each row.
    ### BEGIN SOLUTION
    # BUG(takes-impossible-probabilities): pass
    # WHEN a behaviour that never takes its own action is not refused.
    possible = bool(np.all((data.prob > 0.0) & (data.prob <= 1.0)))
    # BUG(takes-impossible-probabilities): pass
    _check(possible, "Each prob must lie in (0, 1]: the behaviour has taken this action.")
    # BUG(ratio-of-the-best-action): likely = target.max(axis=1)
    # WHEN the ratio asks the target policy about the action that it likes best, not about the one
    # WHEN that was taken.
    likely = target[np.arange(len(target)), data.action]
    # BUG(ratio-is-upside-down): return data.prob / np.maximum(likely, 1e-12)
    # WHEN the ratio is the behaviour's probability over the target's.
    # BUG(logarithms-for-probabilities): return np.log(np.maximum(likely, 1e-12)) / data.prob
    # WHEN the logarithm of a probability is taken for the probability itself, or the ratio stays a
    # WHEN logarithm.
    # BUG(logarithms-for-probabilities, 2): return np.log(np.maximum(likely, 1e-12)) - np.log(data.prob)
    return likely / data.prob
    ### END SOLUTION


def episode_returns(data: Dataset, gamma: float) -> np.ndarray:
    """(E,) float64: sum over t = 0, 1, ... of gamma^t * reward[t], for each episode.

    Nothing follows an episode's last row, whichever flag ended it.

    Raises:
        ValueError: gamma lies outside [0, 1], or as ``episode_bounds``.
    """
    _check_gamma(gamma)
    # TODO(evaluation): t counts from the beginning of each episode.
    ### BEGIN SOLUTION
    returns = []
    for start, stop in episode_bounds(data):
        # BUG(discount-runs-on): discounts = gamma ** np.arange(start, stop)
        # WHEN the discount goes on falling from one episode to the next.
        # BUG(first-reward-is-discounted): discounts = gamma ** np.arange(1, stop - start + 1)
        # WHEN the first reward of an episode is discounted already.
        # BUG(returns-are-undiscounted): discounts = np.ones(stop - start)
        # WHEN the rewards of an episode are added up without a discount.
        # BUG(divides-by-powers-of-gamma): discounts = gamma ** np.arange(start, stop) / (gamma**start or np.nan)
        # WHEN a power of gamma is made with a division or a logarithm, which gives nan for gamma 0.
        # BUG(divides-by-powers-of-gamma, 2): discounts = np.exp(np.log(gamma or np.nan) * np.arange(stop - start))
        discounts = gamma ** np.arange(stop - start)
        returns.append(discounts @ data.reward[start:stop])
    return np.array(returns)
    ### END SOLUTION


def episode_weights(data: Dataset, target: np.ndarray) -> np.ndarray:
    """(E,) float64: the product of all ratios of each episode.

    It says how much likelier the whole episode is under the target policy.

    Raises:
        ValueError: as ``importance_ratios`` and ``episode_bounds``.
    """
    # TODO(evaluation): the moves of the world are the same under both policies, so they cancel.
    ### BEGIN SOLUTION
    ratios = importance_ratios(data, target)
    # BUG(weights-run-on): return np.array([np.prod(ratios[:stop]) for _, stop in episode_bounds(data)])
    # WHEN the product of the ratios goes on from one episode to the next.
    # BUG(weights-are-means): return np.array([np.mean(ratios[start:stop]) for start, stop in episode_bounds(data)])
    # WHEN the weight of an episode is the mean of its ratios, or their sum, and not their product.
    # BUG(weights-are-means, 2): return np.array([np.sum(ratios[start:stop]) for start, stop in episode_bounds(data)])
    return np.array([np.prod(ratios[start:stop]) for start, stop in episode_bounds(data)])
    ### END SOLUTION


def ordinary_is(data: Dataset, target: np.ndarray, gamma: float) -> np.ndarray:
    """Ordinary importance sampling: weight times return of each episode.

    The mean over episodes estimates what an episode of the target policy earns.

    Returns:
        (E,) float64.

    Raises:
        ValueError: as ``episode_weights`` and ``episode_returns``.
    """
    _check_gamma(gamma)
    # TODO(evaluation): one line.
    ### BEGIN SOLUTION
    # BUG(ordinary-is-normalised): return len(episode_bounds(data)) * episode_weights(data, target) * episode_returns(data, gamma) / max(episode_weights(data, target).sum(), 1e-12)
    # WHEN ordinary importance sampling divides by the sum of the weights.
    return episode_weights(data, target) * episode_returns(data, gamma)
    ### END SOLUTION


def per_decision_is(data: Dataset, target: np.ndarray, gamma: float) -> np.ndarray:
    """Per-decision importance sampling: a reward is weighed with the decisions that led to it.

        sum over t of gamma^t * (rho[0] * rho[1] * ... * rho[t]) * reward[t]

    Later decisions cannot have changed it. The mean over episodes estimates the same as that of
    ``ordinary_is``.

    Returns:
        (E,) float64.

    Raises:
        ValueError: as ``episode_weights`` and ``episode_returns``.

    Source: Precup, Sutton and Singh (2000).
    """
    _check_gamma(gamma)
    # TODO(evaluation): a weight for each step, the product of the ratios so far.
    ### BEGIN SOLUTION
    ratios, found = importance_ratios(data, target), []
    for start, stop in episode_bounds(data):
        rho, rewards = ratios[start:stop], data.reward[start:stop]
        # BUG(whole-product-at-every-step): weights = np.full(len(rho), np.prod(rho))
        # WHEN every step is weighed with the product of all ratios of its episode, those of later
        # WHEN steps included.
        # BUG(whole-product-at-every-step, 2): weights = np.cumprod(rho)[-1]
        # BUG(weight-of-one-decision): weights = rho
        # WHEN a reward is weighed with the ratio of its own step alone.
        # BUG(weight-of-later-decisions): weights = np.cumprod(rho[::-1])[::-1]
        # WHEN a reward is weighed with the ratios from its step on, not with those up to it.
        # BUG(weight-leaves-the-step-out): weights = np.append(1.0, np.cumprod(rho)[:-1])
        # WHEN a reward is weighed with the ratios of the steps before its own.
        # BUG(zero-ratio-makes-nan): weights = np.cumprod(ratios)[start:stop] / (np.cumprod(ratios)[start - 1] or np.nan if start else 1.0)
        # WHEN the product so far is a quotient of products, or a difference of logarithms, over all
        # WHEN rows: after a ratio of 0 it is nan in all later episodes.
        weights = np.cumprod(rho)
        discounts = gamma ** np.arange(len(rho))
        found.append(np.sum(discounts * weights * rewards))
    return np.array(found)
    ### END SOLUTION


def weighted_is(data: Dataset, target: np.ndarray, gamma: float) -> float:
    """Weighted importance sampling: the mean of the returns, weighed with the episodes' weights.

        (sum over episodes of weight * return) / (sum over episodes of weight)

    Biased, and much less noisy than ``ordinary_is``.

    Returns:
        A float; 0.0 if all weights are 0 (tiny ones are not).

    Raises:
        ValueError: as ``episode_weights`` and ``episode_returns``.
    """
    _check_gamma(gamma)
    # TODO(evaluation): what if the target policy would never have acted like this?
    ### BEGIN SOLUTION
    weights, returns = episode_weights(data, target), episode_returns(data, gamma)
    # BUG(nan-without-weights): return float(weights @ returns / weights.sum())
    # WHEN weights that are all 0 make nan instead of 0.
    # BUG(weighted-divides-by-episodes): return float(weights @ returns / len(weights))
    # WHEN weighted importance sampling divides by the number of episodes.
    # BUG(epsilon-below-the-quotient): return float(weights @ returns / (weights.sum() + 1e-8))
    # WHEN the sum of the weights is kept away from 0 by a small number, and it can be smaller still.
    # BUG(epsilon-below-the-quotient, 2): return float(weights @ returns / max(weights.sum(), 1e-8))
    return float(weights @ returns / weights.sum()) if weights.any() else 0.0
    ### END SOLUTION


def fitted_q_evaluation(data: Dataset, policy: np.ndarray, gamma: float, sweeps: int) -> np.ndarray:
    """A table of action values of a policy, from recorded steps alone.

    Q begins at 0. In each sweep, the new Q[s, a] is the mean over the rows of the pair of

        reward + gamma * sum over b of policy[next_obs, b] * Q[next_obs, b]

    with the old Q on the right, and of the reward alone where the row terminated. A row that a time
    limit cut off has a future. Pairs without a row stay at 0.

    Args:
        data: observations are integers from 0, (N,).
        policy: (S, A) probabilities.
        gamma: discount in [0, 1].
        sweeps: at least 1.

    Returns:
        (S, A) float64.

    Raises:
        ValueError: gamma lies outside [0, 1], or sweeps < 1.
    """
    _check_gamma(gamma)
    _check(sweeps >= 1, f"sweeps must be at least 1, but it is {sweeps}.")
    # TODO(evaluation): a target for each row, then the mean over the rows of each pair.
    ### BEGIN SOLUTION
    pairs, rows = (data.obs, data.action), np.zeros(policy.shape)
    np.add.at(rows, pairs, 1.0)
    # BUG(time-limit-is-an-ending): alive = ~(data.terminated | data.truncated)
    # BUG(time-limit-is-an-ending, 2): alive = ~(data.terminated | data.truncated)
    # BUG(time-limit-is-an-ending, 3): alive = ~(data.terminated | data.truncated)
    # BUG(evaluates-through-the-end): alive = np.ones(len(data.reward), bool)
    # WHEN fitted Q evaluation counts a value behind a terminated step.
    # BUG(clock-undoes-an-end): alive = ~data.terminated | data.truncated
    alive = ~data.terminated
    Q = np.zeros(policy.shape)
    for _ in range(sweeps):
        # BUG(evaluates-the-greedy-policy): later = Q[data.next_obs].max(axis=1)
        # WHEN fitted Q evaluation takes the best next action, whatever the policy would do.
        later = (policy[data.next_obs] * Q[data.next_obs]).sum(axis=1)
        targets, total = data.reward + gamma * np.where(alive, later, 0.0), np.zeros(policy.shape)
        # BUG(latest-row-counts): total[pairs] = targets * rows[pairs]
        # WHEN one row of each pair is taken for the mean of all its rows.
        np.add.at(total, pairs, targets)
        Q = total / np.maximum(rows, 1.0)
    return Q
    ### END SOLUTION


def doubly_robust(data: Dataset, target: np.ndarray, q: np.ndarray, gamma: float) -> np.ndarray:
    """The doubly robust estimate of each episode: a model's value, corrected by what happened.

    Backwards from the last row of an episode, behind which D is 0:

        v[t] = sum over a of target[t, a] * q[t, a]
        D[t] = v[t] + rho[t] * (reward[t] + gamma * D[t + 1] - q[t, action[t]])

    The estimate is D at the episode's first row. Its mean is right if the ratios are, whatever q
    says, and also if q is, whatever the ratios are.

    Args:
        target: (N, A) the target policy's probabilities in each recorded state.
        q: (N, A) a model's action values of the target policy in each recorded state.
        gamma: discount in [0, 1].

    Returns:
        (E,) float64.

    Raises:
        ValueError: the shapes do not fit, gamma lies outside [0, 1], or as ``importance_ratios``.

    Source: Jiang and Li (2016), section 4.
    """
    _check_gamma(gamma)
    _check_table(q, data, "q")
    # TODO(evaluation): the recursion, for each episode from its last row to its first.
    ### BEGIN SOLUTION
    ratios, found = importance_ratios(data, target), []
    # BUG(model-value-of-the-taken-action): v = q[np.arange(len(q)), data.action]
    # WHEN the model's value of a state is that of the action that was taken, not the mean over
    # WHEN what the target policy would do.
    v = (target * q).sum(axis=1)
    predicted = q[np.arange(len(q)), data.action]
    for start, stop in episode_bounds(data)[::-1]:
        # BUG(correction-runs-on): later = locals().get("later", 0.0)
        # WHEN the correction of an episode goes on with what was recorded in the next one.
        later = 0.0
        for t in reversed(range(start, stop)):
            # BUG(correction-forgets-gamma): surprise = data.reward[t] + later - predicted[t]
            # WHEN the doubly robust estimate does not discount.
            # BUG(no-prediction-is-subtracted): surprise = data.reward[t] + gamma * later
            # WHEN what the model predicted is not subtracted from what happened.
            surprise = data.reward[t] + gamma * later - predicted[t]
            # BUG(ratio-on-everything): later = ratios[t] * (v[t] + surprise)
            # WHEN the ratio also multiplies the model's value, which needs no correction.
            # BUG(correction-without-ratio): later = v[t] + surprise
            # WHEN the surprise is not weighed at all.
            # BUG(whole-product-at-every-step): later = v[t] + np.prod(ratios[start:stop]) * surprise
            # BUG(whole-product-at-every-step, 2): later = v[t] + np.prod(ratios[start:stop]) * surprise
            later = v[t] + ratios[t] * surprise
        found.append(later)
    return np.array(found[::-1])
    ### END SOLUTION


def normal_interval(values: np.ndarray, z: float = 1.96) -> Interval:
    """The mean of independent numbers, plus and minus z standard errors.

    The standard error is the sample standard deviation (ddof 1) over sqrt(E).

    Args:
        values: (E,) one number for each episode, E >= 2.

    Raises:
        ValueError: there are fewer than two values.
    """
    _check(len(values) >= 2, "Two values at least: the spread of one number is unknown.")
    # TODO(evaluation): how much does the mean vary, compared with the numbers?
    ### BEGIN SOLUTION
    mean = float(np.mean(values))
    # BUG(spread-of-one-episode): error = float(np.std(values, ddof=1))
    # WHEN the interval is as wide as single episodes vary, and does not shrink with their number.
    # BUG(spread-of-the-population): error = float(np.std(values) / np.sqrt(len(values)))
    # WHEN the standard deviation divides by E and not by E - 1.
    error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - z * error, mean + z * error)
    ### END SOLUTION


def bootstrap_interval(
    numerators: np.ndarray,
    denominators: np.ndarray,
    draws: int,
    level: float,
    rng: np.random.Generator,
) -> Interval:
    """A percentile bootstrap of (sum of numerators) / (sum of denominators) over episodes.

    Each draw takes E episodes of E, with replacement, the numerator and the denominator of an
    episode together, and computes the quotient. The bounds are the quantiles (1 - level) / 2 and
    (1 + level) / 2 of the quotients; the estimate is the quotient of the data themselves. A
    quotient is 0 where its denominators add up to 0.

    With weight * return and weight it is the interval of ``weighted_is``. With denominators of 1 it
    is that of a mean.

    Args:
        numerators, denominators: (E,); no denominator is negative.
        draws: how many, at least 1.
        level: the probability between the bounds, in (0, 1).

    Raises:
        ValueError: the shapes differ, draws < 1, or level lies outside (0, 1).
    """
    _check(
        np.shape(numerators) == np.shape(denominators) and np.ndim(numerators) == 1,
        "numerators and denominators must have the same shape (E,).",
    )
    _check(draws >= 1, f"draws must be at least 1, but it is {draws}.")
    _check(0.0 < level < 1.0, f"level must lie in (0, 1), but it is {level}.")
    # TODO(evaluation): draw whole episodes; then sums, quotients and two quantiles.
    ### BEGIN SOLUTION
    n = len(numerators)
    # BUG(bootstrap-without-replacement): rows = rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
    # WHEN a bootstrap draws without replacement: it is always the same data.
    # BUG(draws-are-a-thousand): rows = rng.integers(n, size=(1000, n))
    # WHEN a bootstrap draws a thousand times, whatever draws says.
    # BUG(dice-of-its-own): rows = np.random.default_rng(0).integers(n, size=(draws, n))
    rows = rng.integers(n, size=(draws, n))
    above = numerators[rows].sum(axis=1)
    # BUG(numbers-drawn-apart): below = denominators[rng.integers(n, size=(draws, n))].sum(axis=1)
    # WHEN the weights of a bootstrap are drawn for themselves, so that they belong to other
    # WHEN episodes than the returns.
    below = denominators[rows].sum(axis=1)
    quotients = _quotient(above, below)
    # BUG(tails-are-twice-too-large): tail = 1.0 - level
    # WHEN each of the two tails has the probability that both together should have.
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(quotients, [tail, 1.0 - tail])
    estimate = _quotient(numerators.sum(), denominators.sum())
    return Interval(float(estimate), float(low), float(high))
    ### END SOLUTION


### BEGIN SOLUTION
def _quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """above / below, and 0 where below is 0."""
    # BUG(nan-without-weights): return above / below
    # BUG(epsilon-below-the-quotient): return above / (below + 1e-8)
    # BUG(epsilon-below-the-quotient, 2): return above / np.maximum(below, 1e-8)
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below != 0)


### END SOLUTION


# -- Part 3: behaviour cloning ---------------------------------------------------------------------


def clone_table(data: Dataset, n_states: int, n_actions: int) -> np.ndarray:
    """The behaviour as a table: how often each action was taken in each state.

    Args:
        data: observations are integers from 0, (N,).

    Returns:
        (S, A) float64. Rows add up to 1. In a state without a row all actions are equally likely.
    """
    # TODO(cloning): count, then divide each row by its sum.
    ### BEGIN SOLUTION
    # BUG(counts-begin-at-one): counts = np.ones((n_states, n_actions))
    # WHEN every action counts as if it had been taken once more than it was.
    counts = np.zeros((n_states, n_actions))
    np.add.at(counts, (data.obs, data.action), 1.0)
    total = counts.sum(axis=1, keepdims=True)
    # BUG(clones-the-favourite): return np.where(total > 0, counts == counts.max(axis=1, keepdims=True), 1.0 / n_actions).astype(float)
    # WHEN the clone always takes the action that was taken most often.
    # BUG(unseen-states-have-no-policy): return counts / np.maximum(total, 1.0)
    # WHEN a state that was never seen has probabilities that do not add up to 1.
    return np.where(total > 0, counts / np.maximum(total, 1.0), 1.0 / n_actions)
    ### END SOLUTION


def cloning_loss(logits: Tensor, action: Tensor, weight: Tensor | None = None) -> Tensor:
    """How unlikely the recorded actions are: the mean over the batch of -weight * log pi(a | s).

    Args:
        logits: (B, A) float. pi is their softmax.
        action: (B,) int64.
        weight: (B,) float, 1 for every row if it is None. It need not add up to anything, and no
            gradient flows into it, even if it could.

    Returns:
        A scalar tensor.
    """
    # TODO(cloning): the log-probability of the action that was taken; a weighted mean over B rows.
    ### BEGIN SOLUTION
    # BUG(softmax-twice): surprise = nn.functional.cross_entropy(torch.softmax(logits, dim=1), action, reduction="none")
    # WHEN probabilities are taken for logits, so that a softmax is applied to a softmax.
    surprise = nn.functional.cross_entropy(logits, action, reduction="none")
    if weight is None:
        # BUG(cloning-adds-up): return surprise.sum()
        # WHEN the loss is the sum over the batch instead of the mean.
        return surprise.mean()
    # BUG(weights-not-detached): return (weight * surprise).mean()
    # WHEN the gradient of the policy's loss flows through the weights, too, into the networks that
    # WHEN made them.
    # BUG(weights-are-normalised): return (weight.detach() * surprise).sum() / weight.detach().sum()
    # WHEN the loss is divided by the sum of the weights, not by the number of rows.
    return (weight.detach() * surprise).mean()
    ### END SOLUTION


def bc_loss(batch: Batch, nets: Networks, config: OfflineConfig) -> Tensor:
    """Behaviour cloning: ``cloning_loss`` of ``nets.policy`` on the batch, a scalar tensor."""
    # TODO(cloning): one line.
    ### BEGIN SOLUTION
    return cloning_loss(nets.policy(batch.obs), batch.action)
    ### END SOLUTION


# -- Part 4: batch-constrained Q-learning ----------------------------------------------------------


def allowed_actions(logits: Tensor, threshold: float) -> Tensor:
    """Which actions the behaviour might have taken, compared with its favourite.

        pi(a | s) / max over b of pi(b | s)  >=  threshold

    Args:
        logits: (B, A) of the clone. pi is their softmax.
        threshold: in [0, 1]. With 0 all actions are allowed, with 1 only the likeliest one, or all
            of the likeliest if several are equally likely.

    Returns:
        (B, A) bool. In every row at least one entry is True.

    Raises:
        ValueError: threshold lies outside [0, 1].

    Source: Fujimoto et al. (2019), section "Discrete BCQ" (there ">").
    """
    _check(0.0 <= threshold <= 1.0, f"threshold must lie in [0, 1], but it is {threshold}.")
    # TODO(bcq): probabilities relative to the largest one of their row.
    ### BEGIN SOLUTION
    # BUG(threshold-is-absolute): return torch.softmax(logits, dim=1) >= threshold
    # WHEN the threshold is compared with the probability itself, not with its share of the largest.
    # BUG(threshold-on-logits): return logits / logits.max(dim=1, keepdim=True).values >= threshold
    # WHEN logits are compared with each other as if they were probabilities.
    likeliest = logits.max(dim=1, keepdim=True).values
    # BUG(threshold-is-strict): return (logits - likeliest).exp() > threshold
    # WHEN an action whose share is exactly the threshold is forbidden.
    # BUG(threshold-is-strict, 2): return ((logits - likeliest).exp() > threshold) | nn.functional.one_hot(logits.argmax(dim=1), logits.shape[1]).bool()
    # BUG(one-favourite-for-the-batch): return (logits - logits.max()).exp() >= threshold
    # WHEN all rows of a batch are compared with the one largest logit.
    return (logits - likeliest).exp() >= threshold
    ### END SOLUTION


def bcq_actions(q: Tensor, logits: Tensor, threshold: float) -> Tensor:
    """The best of the allowed actions of each row.

    Args:
        q: (B, A) action values, of either sign.
        logits, threshold: as for ``allowed_actions``.

    Returns:
        (B,) int64. Of equal values any one.

    Raises:
        ValueError: as ``allowed_actions``.
    """
    # TODO(bcq): what value must a forbidden action have, so that it never wins?
    ### BEGIN SOLUTION
    allowed = allowed_actions(logits, threshold)
    # BUG(masks-by-multiplying): return (q * allowed).argmax(dim=1)
    # WHEN the values of forbidden actions are multiplied by 0, so that they win against negative
    # WHEN ones, or against the smallest one.
    # BUG(masks-by-multiplying, 2): return ((q - q.min(dim=1, keepdim=True).values) * allowed).argmax(dim=1)
    # BUG(filter-is-ignored): return q.argmax(dim=1)
    # WHEN the action with the largest value is taken, allowed or not.
    # BUG(mask-is-not-low-enough): return q.masked_fill(~allowed, -100.0).argmax(dim=1)
    # WHEN forbidden actions get a low value, and what is allowed can be worth even less.
    return q.masked_fill(~allowed, -torch.inf).argmax(dim=1)
    ### END SOLUTION


def bcq_targets(
    reward: Tensor,
    next_q_online: Tensor,
    next_q_target: Tensor,
    next_logits: Tensor,
    terminated: Tensor,
    threshold: float,
    gamma: float,
) -> Tensor:
    """What Q(s, a) should be: double Q-learning whose next action is one of the allowed ones.

        a' = the allowed action with the largest Q_online(s', a')
        y  = r + gamma * Q_target(s', a')          (r alone where the step terminated)

    Args:
        reward: (B,) float.
        next_q_online, next_q_target: (B, A) of the next observations.
        next_logits: (B, A) of the clone, at the next observations.
        terminated: (B,) bool.
        threshold: as for ``allowed_actions``.
        gamma: discount in [0, 1].

    Returns:
        (B,) float, without a gradient.

    Raises:
        ValueError: threshold or gamma lies outside [0, 1].
    """
    _check_gamma(gamma)
    # TODO(bcq): bcq_actions and td_targets.
    ### BEGIN SOLUTION
    # BUG(maximum-over-unseen-actions, 3): choice = next_q_online.argmax(dim=1)
    # WHEN a target takes the best of all actions, those that the data do not hold among them.
    # BUG(bcq-chooses-with-the-target): choice = bcq_actions(next_q_target, next_logits, threshold)
    # WHEN the target network chooses BCQ's next action as well as judging it.
    choice = bcq_actions(next_q_online, next_logits, threshold)
    # BUG(bcq-judges-with-the-online): value = taken(next_q_online, choice)
    # WHEN BCQ's next action is judged by the network that chose it.
    value = taken(next_q_target, choice)
    # BUG(bcq-target-keeps-its-gradient): return reward + gamma * torch.where(terminated, 0.0, value)
    # WHEN BCQ's target is still tied to its networks by a gradient.
    return td_targets(reward, value, terminated, gamma)
    ### END SOLUTION


def bcq_loss(batch: Batch, nets: Networks, config: OfflineConfig) -> Tensor:
    """Discrete BCQ: ``td_loss`` of the critic plus ``cloning_loss`` of the clone.

    The critic is ``nets.q``, its targets are ``bcq_targets`` with ``config.threshold`` and
    ``config.gamma``, and the clone is ``nets.policy``. The first term trains the critic alone, the
    second one the clone alone.

    Returns:
        A scalar tensor.
    """
    # TODO(bcq): which observation does each network see?
    ### BEGIN SOLUTION
    # BUG(filters-at-the-old-state): next_logits = nets.policy(batch.obs)
    # WHEN BCQ asks the clone about the observation before the step which actions are allowed after
    # WHEN it.
    next_logits = nets.policy(batch.next_obs)
    target = bcq_targets(
        batch.reward,
        nets.q(batch.next_obs),
        nets.q_target(batch.next_obs),
        next_logits,
        batch.terminated,
        config.threshold,
        config.gamma,
    )
    q_term = td_loss(nets.q(batch.obs), batch.action, target)
    return q_term + cloning_loss(nets.policy(batch.obs), batch.action)
    ### END SOLUTION


# -- Part 5: conservative Q-learning ---------------------------------------------------------------


def cql_penalty(q: Tensor, action: Tensor) -> Tensor:
    """How far the values of all actions rise above those of the recorded ones.

        mean over the batch of  (log of the sum over a of exp Q(s, a))  -  Q(s, recorded action)

    Args:
        q: (B, A) float, of any size: exp(1000) must not be computed.
        action: (B,) int64.

    Returns:
        A scalar tensor, at least 0.

    Source: Kumar et al. (2020), the penalty of CQL(H).
    """
    # TODO(cql): a soft maximum over actions, minus the value of the action in the data.
    ### BEGIN SOLUTION
    # BUG(exponentials-overflow): soft = q.exp().sum(dim=1).log()
    # WHEN exp is computed before the logarithm, and overflows.
    # BUG(penalty-of-the-maximum): soft = q.max(dim=1).values
    # WHEN the penalty takes the largest value, not the soft maximum of all of them.
    soft = torch.logsumexp(q, dim=1)
    # BUG(mean-for-the-data-term): return (soft - q.mean(dim=1)).mean()
    # WHEN the penalty subtracts another value than that of the recorded action: the mean over
    # WHEN actions, or the largest one.
    # BUG(mean-for-the-data-term, 2): return (soft - q.max(dim=1).values).mean()
    # BUG(penalty-turned-round): return (taken(q, action) - soft).mean()
    # WHEN the penalty has the wrong sign: it raises what was never tried.
    return (soft - taken(q, action)).mean()
    ### END SOLUTION


def sampled_logsumexp(q: Tensor, log_prob: Tensor) -> Tensor:
    """log of the sum over all actions of exp Q(s, a), from K actions that were drawn.

    Where actions cannot be counted, the sum is an expectation: each drawn action stands for
    1 / (K * its probability) actions. So exp of the answer is right on average,

        exp(answer) = 1/K * sum over k of exp(q[k]) / exp(log_prob[k])

    Args:
        q: (B, K) values of the drawn actions, of any size.
        log_prob: (B, K) the log-probability (or log-density) with which each was drawn.

    Returns:
        (B,) float.

    Source: Kumar et al. (2020), appendix F.
    """
    # TODO(cql): one logsumexp of corrected values.
    ### BEGIN SOLUTION
    # BUG(no-correction-for-sampling): return torch.logsumexp(q, dim=1)
    # WHEN the probabilities with which actions were drawn are left out of the logsumexp.
    # BUG(no-correction-for-sampling, 2): return torch.logsumexp(q, dim=1) - float(np.log(q.shape[1]))
    # BUG(correction-with-the-wrong-sign): return torch.logsumexp(q + log_prob, dim=1) - float(np.log(q.shape[1]))
    # WHEN the log-probabilities are added to the values instead of subtracted.
    # BUG(forgets-how-many-were-drawn): return torch.logsumexp(q - log_prob, dim=1)
    # WHEN the number of drawn actions is not divided by.
    return torch.logsumexp(q - log_prob, dim=1) - float(np.log(q.shape[1]))
    ### END SOLUTION


def cql_loss(batch: Batch, nets: Networks, config: OfflineConfig) -> Tensor:
    """CQL(H): alpha * ``cql_penalty`` + 1/2 * ``td_loss``, both of the critic ``nets.q``.

    The targets are Q-learning's: r + gamma * max over a of Q_target(s', a), with ``nets.q_target``.

    Returns:
        A scalar tensor. It trains the critic alone.

    Source: Kumar et al. (2020), section 3.2.
    """
    # TODO(cql): the penalty is at the recorded states, the target at the next ones.
    ### BEGIN SOLUTION
    # BUG(cql-asks-the-online-network): next_q = nets.q(batch.next_obs)
    # WHEN CQL's targets come from the very network that is being trained.
    next_q = nets.q_target(batch.next_obs)
    best = next_q.max(dim=1).values
    target = td_targets(batch.reward, best, batch.terminated, config.gamma)
    q = nets.q(batch.obs)
    # BUG(penalty-at-the-next-state): penalty = cql_penalty(nets.q(batch.next_obs), batch.action)
    # WHEN the penalty is computed at the observation after the step.
    penalty = cql_penalty(q, batch.action)
    # BUG(alpha-on-the-error): return penalty + config.alpha * 0.5 * td_loss(q, batch.action, target)
    # WHEN alpha multiplies the TD error instead of the penalty.
    # BUG(error-without-the-half): return config.alpha * penalty + td_loss(q, batch.action, target)
    # WHEN CQL's TD error lacks the factor 1/2, so that alpha means half as much.
    return config.alpha * penalty + 0.5 * td_loss(q, batch.action, target)
    ### END SOLUTION


# -- Part 6: implicit Q-learning -------------------------------------------------------------------


def expectile_loss(diff: Tensor, expectile: float) -> Tensor:
    """A squared error that counts more on one side.

        mean over the batch of  |expectile - 1(diff < 0)| * diff^2

    Args:
        diff: (B,) target minus prediction. Above 0 the prediction is too small, and the weight is
            ``expectile``; below 0 it is 1 - ``expectile``.
        expectile: in [0, 1].

    Returns:
        A scalar tensor.

    Raises:
        ValueError: expectile lies outside [0, 1].

    Source: Kostrikov et al. (2022), section 4.1.
    """
    _check(0.0 <= expectile <= 1.0, f"expectile must lie in [0, 1], but it is {expectile}.")
    # TODO(iql): two weights, and a mean.
    ### BEGIN SOLUTION
    # BUG(expectile-on-the-wrong-sign): weight = torch.where(diff < 0, expectile, 1.0 - expectile)
    # WHEN the two weights of the expectile are exchanged: high expectiles look at the worst
    # WHEN actions, not at the best ones.
    # BUG(expectile-on-the-wrong-sign, 2): weight = (expectile - (diff > 0).to(diff.dtype)).abs()
    weight = torch.where(diff < 0, 1.0 - expectile, expectile)
    # BUG(quantile-for-expectile): return (weight * diff.abs()).mean()
    # WHEN errors are not squared: that makes a quantile.
    return (weight * diff.square()).mean()
    ### END SOLUTION


def awr_weights(advantage: Tensor, beta: float, max_weight: float) -> Tensor:
    """How much each recorded action is worth imitating: min(exp(beta * advantage), max_weight).

    Args:
        advantage: (B,) float, of any size.
        beta: inverse temperature, at least 0. With 0 all weigh 1: behaviour cloning.
        max_weight: at least 0.

    Returns:
        (B,) float, without a gradient.

    Source: Kostrikov et al. (2022), section 4.2; Peng et al. (2019), advantage-weighted regression.
    """
    # TODO(iql): an exponential with a ceiling; no gradient.
    ### BEGIN SOLUTION
    # BUG(weights-not-detached): pass
    # BUG(weights-not-detached, 2): pass
    advantage = advantage.detach()
    # BUG(beta-is-a-temperature): weight = (advantage / beta if beta > 0.0 else 0.0 * advantage).exp()
    # WHEN the advantage is divided by beta instead of multiplied.
    # BUG(weights-are-a-softmax): weight = len(advantage) * torch.softmax(beta * advantage, dim=0)
    # WHEN the weights are a softmax over the batch, so that a row's weight depends on the others.
    # BUG(ceiling-on-the-exponent): weight = (beta * advantage).clamp(max=max_weight).exp()
    # WHEN the ceiling is on the exponent, not on the weight.
    weight = (beta * advantage).exp()
    # BUG(weights-without-a-ceiling): return weight
    # WHEN weights grow without a limit, and a single row decides.
    # BUG(ceiling-on-the-exponent): return weight
    return weight.clamp(max=max_weight)
    ### END SOLUTION


def iql_loss(batch: Batch, nets: Networks, config: OfflineConfig) -> Tensor:
    """Implicit Q-learning: the sum of three terms, each of which trains one network alone.

        v       expectile_loss(Q_target(s, a) - V(s), expectile)
        q       td_loss of Q(s, a) with the targets r + gamma * V(s')    (r alone after an end)
        policy  cloning_loss with awr_weights of the advantage Q_target(s, a) - V(s)

    Q and Q_target are only ever read at recorded pairs (s, a): nobody asks what an action that was
    not taken would be worth. ``nets.q_target`` gets no gradient at all.

    Returns:
        A scalar tensor.

    Source: Kostrikov et al. (2022), sections 4.1 and 4.2.
    """
    # TODO(iql): three terms; what must not get a gradient from each?
    ### BEGIN SOLUTION
    # BUG(iql-asks-the-online-critic): q = taken(nets.q(batch.obs), batch.action).detach()
    # WHEN IQL's V is fitted to the critic that is being trained, not to its target network.
    # BUG(maximum-over-unseen-actions, 2): q = nets.q_target(batch.obs).max(dim=1).values.detach()
    # BUG(v-trains-the-critic): q = taken(nets.q(batch.obs), batch.action)
    # WHEN the loss of V pulls at the critic that is being trained, which must stand still for it.
    q = taken(nets.q_target(batch.obs), batch.action).detach()
    v = nets.v(batch.obs).squeeze(1)
    # BUG(expectile-on-the-wrong-sign, 3): v_term = expectile_loss(v - q, config.expectile)
    v_term = expectile_loss(q - v, config.expectile)
    # BUG(maximum-over-unseen-actions): next_v = nets.q_target(batch.next_obs).max(dim=1).values
    # BUG(iql-stays-in-its-state): next_v = v
    # WHEN IQL's target takes the value of the state before the step.
    next_v = nets.v(batch.next_obs).squeeze(1)
    # BUG(critic-trains-v): target = batch.reward + config.gamma * torch.where(batch.terminated, 0.0, next_v)
    target = td_targets(batch.reward, next_v, batch.terminated, config.gamma)
    # BUG(critic-trains-v): q_term = nn.functional.mse_loss(taken(nets.q(batch.obs), batch.action), target)
    # WHEN the loss of IQL's critic pulls at V as well.
    q_term = td_loss(nets.q(batch.obs), batch.action, target)
    # BUG(advantage-turned-round): advantage = v - q
    # WHEN the advantage has the wrong sign: the policy imitates the worst actions.
    advantage = q - v
    weight = awr_weights(advantage, config.beta, config.max_weight)
    policy_term = cloning_loss(nets.policy(batch.obs), batch.action, weight)
    return v_term + q_term + policy_term
    ### END SOLUTION


# -- Part 7: training, and what is done in the end -------------------------------------------------


### BEGIN BUGS
def _rows(data: Dataset, rows: np.ndarray) -> Batch:
    """These rows as a batch."""
    action = torch.as_tensor(data.action[rows], dtype=torch.int64)
    reward = torch.as_tensor(data.reward[rows], dtype=torch.float32)
    obs, next_obs, ended = (x[rows] for x in (data.obs, data.next_obs, data.terminated))
    return Batch(
        torch.from_numpy(obs), action, reward, torch.from_numpy(next_obs), torch.from_numpy(ended)
    )


### END BUGS


def train_(
    nets: Networks, data: Dataset, config: OfflineConfig, rng: np.random.Generator
) -> np.ndarray:
    """Train the networks of one method, in place, without a single step of the world.

    Each of ``config.gradient_steps`` steps draws a batch (any rows, in no epochs), takes one step
    of torch.optim.Adam on the loss of ``config.method``, and then moves ``nets.q_target`` the share
    ``config.tau`` of the way to ``nets.q`` (whatever the method). Adam has the parameters of q,
    policy and v: each term of a loss reaches one network alone, so one optimiser serves all.
    Gradients are not clipped.

    Args:
        nets: changed in place.
        data: observations (N, obs_dim), floats of the networks' dtype.
        rng: draws the batches.

    Returns:
        (gradient_steps,) float64: the loss of each step, before it was taken.
    """
    # TODO(training): batch, loss, step, target network, again and again.
    ### BEGIN SOLUTION
    loss_of = {"bc": bc_loss, "bcq": bcq_loss, "cql": cql_loss, "iql": iql_loss}[config.method]
    parameters = [p for net in (nets.q, nets.policy, nets.v) for p in net.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    # BUG(dice-of-its-own): losses, rng = [], np.random.default_rng(0)
    # BUG(walks-through-epochs): losses, order = [], np.concatenate([rng.permutation(len(data.reward)) for _ in range(config.gradient_steps * config.batch_size // len(data.reward) + 1)])
    losses = []
    for _ in range(config.gradient_steps):
        # BUG(ignores-batch-size): batch = sample_batch(data, 64, rng)
        # WHEN batches have a size of their own, whatever config.batch_size says.
        # BUG(walks-through-epochs): batch = _rows(data, order[len(losses) * config.batch_size :][: config.batch_size])
        # WHEN training walks through all rows in a shuffled order, again and again, instead of
        # WHEN drawing each batch anew.
        batch = sample_batch(data, config.batch_size, rng)
        loss = loss_of(batch, nets, config)
        # BUG(gradients-pile-up): pass
        # WHEN gradients are not set to zero before each step, so that a step also takes those of
        # WHEN earlier batches.
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # BUG(target-never-follows): pass
        # WHEN the target network stays what it was at the start.
        # BUG(tau-on-the-wrong-side): soft_update_(nets.q_target, nets.q, 1.0 - config.tau)
        # WHEN tau and 1 - tau are exchanged: the target network jumps almost all the way.
        soft_update_(nets.q_target, nets.q, config.tau)
        losses.append(loss.item())
    return np.array(losses)
    ### END SOLUTION


@torch.no_grad()
def greedy_actions(nets: Networks, obs: Tensor, config: OfflineConfig) -> Tensor:
    """What is done in the end, without dice.

    The likeliest action of ``nets.policy`` for "bc" and "iql", the best value of ``nets.q`` for
    "cql", the best of the allowed ones for "bcq".

    Args:
        obs: (B, obs_dim).

    Returns:
        (B,) int64.
    """
    # TODO(training): which networks act?
    ### BEGIN SOLUTION
    if config.method == "cql":
        return nets.q(obs).argmax(dim=1)
    if config.method == "bcq":
        # BUG(bcq-acts-without-the-filter): return nets.q(obs).argmax(dim=1)
        # WHEN BCQ takes the action with the largest value in the end, allowed or not.
        return bcq_actions(nets.q(obs), nets.policy(obs), config.threshold)
    # BUG(iql-acts-with-the-critic): return nets.q(obs).argmax(dim=1) if config.method == "iql" else nets.policy(obs).argmax(dim=1)
    # WHEN IQL takes the action with the largest value, also one that was never tried.
    return nets.policy(obs).argmax(dim=1)
    ### END SOLUTION


# -- Given: the only steps in the world, after the training ----------------------------------------


def play(nets: Networks, config: OfflineConfig, env, episodes: int, seed: int) -> np.ndarray:
    """(episodes,) The undiscounted returns of ``greedy_actions``. ``seed`` is for the first reset."""
    returns = np.zeros(episodes)
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed if episode == 0 else None)
        ended = False
        while not ended:
            seen = torch.as_tensor(np.asarray(obs), dtype=torch.float32)[None]
            step = env.step(int(greedy_actions(nets, seen, config)))
            obs, ended = step[0], step[2] or step[3]
            returns[episode] += float(step[1])
    return returns
