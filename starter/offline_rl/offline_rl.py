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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(data): act by the policy's probabilities; keep the flags apart, and copies of observations.")


def episode_bounds(data: Dataset) -> np.ndarray:
    """Where episodes begin and end: rows ``start`` to ``stop - 1`` of the data are one of them.

    Returns:
        (E, 2) integers, the pairs (start, stop) in order.

    Raises:
        ValueError: the last row does not end an episode: such data are not whole.
    """
    # TODO(data): an episode's last row has at least one of the two flags; then another begins.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(data): an episode's last row has at least one of the two flags; then another begins.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(data): one draw of row numbers, the same for all fields.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): refuse impossible probabilities; then one quotient for each row.")


def episode_returns(data: Dataset, gamma: float) -> np.ndarray:
    """(E,) float64: sum over t = 0, 1, ... of gamma^t * reward[t], for each episode.

    Nothing follows an episode's last row, whichever flag ended it.

    Raises:
        ValueError: gamma lies outside [0, 1], or as ``episode_bounds``.
    """
    _check_gamma(gamma)
    # TODO(evaluation): t counts from the beginning of each episode.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): t counts from the beginning of each episode.")


def episode_weights(data: Dataset, target: np.ndarray) -> np.ndarray:
    """(E,) float64: the product of all ratios of each episode.

    It says how much likelier the whole episode is under the target policy.

    Raises:
        ValueError: as ``importance_ratios`` and ``episode_bounds``.
    """
    # TODO(evaluation): the moves of the world are the same under both policies, so they cancel.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): the moves of the world are the same under both policies, so they cancel.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): one line.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): a weight for each step, the product of the ratios so far.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): what if the target policy would never have acted like this?")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): a target for each row, then the mean over the rows of each pair.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): the recursion, for each episode from its last row to its first.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): how much does the mean vary, compared with the numbers?")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): draw whole episodes; then sums, quotients and two quantiles.")


# -- Part 3: behaviour cloning ---------------------------------------------------------------------


def clone_table(data: Dataset, n_states: int, n_actions: int) -> np.ndarray:
    """The behaviour as a table: how often each action was taken in each state.

    Args:
        data: observations are integers from 0, (N,).

    Returns:
        (S, A) float64. Rows add up to 1. In a state without a row all actions are equally likely.
    """
    # TODO(cloning): count, then divide each row by its sum.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(cloning): count, then divide each row by its sum.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(cloning): the log-probability of the action that was taken; a weighted mean over B rows.")


def bc_loss(batch: Batch, nets: Networks, config: OfflineConfig) -> Tensor:
    """Behaviour cloning: ``cloning_loss`` of ``nets.policy`` on the batch, a scalar tensor."""
    # TODO(cloning): one line.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(cloning): one line.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(bcq): probabilities relative to the largest one of their row.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(bcq): what value must a forbidden action have, so that it never wins?")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(bcq): bcq_actions and td_targets.")


def bcq_loss(batch: Batch, nets: Networks, config: OfflineConfig) -> Tensor:
    """Discrete BCQ: ``td_loss`` of the critic plus ``cloning_loss`` of the clone.

    The critic is ``nets.q``, its targets are ``bcq_targets`` with ``config.threshold`` and
    ``config.gamma``, and the clone is ``nets.policy``. The first term trains the critic alone, the
    second one the clone alone.

    Returns:
        A scalar tensor.
    """
    # TODO(bcq): which observation does each network see?
    # YOUR CODE HERE
    raise NotImplementedError("TODO(bcq): which observation does each network see?")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(cql): a soft maximum over actions, minus the value of the action in the data.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(cql): one logsumexp of corrected values.")


def cql_loss(batch: Batch, nets: Networks, config: OfflineConfig) -> Tensor:
    """CQL(H): alpha * ``cql_penalty`` + 1/2 * ``td_loss``, both of the critic ``nets.q``.

    The targets are Q-learning's: r + gamma * max over a of Q_target(s', a), with ``nets.q_target``.

    Returns:
        A scalar tensor. It trains the critic alone.

    Source: Kumar et al. (2020), section 3.2.
    """
    # TODO(cql): the penalty is at the recorded states, the target at the next ones.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(cql): the penalty is at the recorded states, the target at the next ones.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(iql): two weights, and a mean.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(iql): an exponential with a ceiling; no gradient.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(iql): three terms; what must not get a gradient from each?")


# -- Part 7: training, and what is done in the end -------------------------------------------------


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): batch, loss, step, target network, again and again.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): which networks act?")


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


# How many minutes did each part take? The answer is never marked; it helps the next class.
# data=  evaluation=  cloning=  bcq=  cql=  iql=  training=
