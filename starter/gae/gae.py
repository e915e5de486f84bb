"""Generalized advantage estimation (GAE): from TD errors to the batch that a policy update reads.

Conventions, for every function of this file

* Time comes first. A rollout is a set of tensors of shape (T, N): T steps of N environments side by
  side.
* Row t of each tensor belongs to step t: the state s_t, the reward for leaving it, and how that
  step ended.
* ``next_values[t]`` is V(s_{t+1}) of the true successor, taken before an environment resets itself.
  Where an episode ends, ``values[t + 1]`` belongs to the first state of another episode.
* What stands in ``next_values`` after a terminated step, or under a mask of 0, is never used. It may
  be nan or infinite, and 0 times nan is nan: select what counts before you compute with it.
* ``terminated`` and ``truncated`` are bool. Terminated: the task is over and the future is worth 0.
  Truncated: somebody stopped the clock and the future is still worth V(s_{t+1}). The last step of a
  rollout may have neither flag set: its episode goes on where we have not looked yet.
* Results are new floating tensors without a gradient (they are targets and weights, not losses).
  Arguments are never changed, except by methods whose name ends in ``_``.

Source: Schulman, Moritz, Levine, Jordan and Abbeel (2016), "High-dimensional continuous control
using generalized advantage estimation", arXiv:1506.02438. Equation numbers are those of that paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Advantages(NamedTuple):
    """What
    ``gae``, ``gae_scan`` and ``token_gae`` return: two tensors of the shape of ``rewards``."""

    advantages: Tensor  # how much better the action was than the policy's average
    returns: Tensor  # advantages + values: what the value function is fitted to


def _check_shapes(**tensors: Tensor) -> None:
    """Refuse tensors that are not all of one shape (rows, columns), with at least one row and
    column."""
    (first, model), *others = tensors.items()
    if model.ndim != 2 or 0 in model.shape:
        raise ValueError(
            f"{first} must have two dimensions, none empty; its shape is {tuple(model.shape)}."
        )
    for name, tensor in others:
        if tensor.shape != model.shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}, but {first} {tuple(model.shape)}."
            )


def _check_unit_interval(**numbers: float) -> None:
    """Refuse discounts and mixing weights outside [0, 1]."""
    for name, number in numbers.items():
        if not 0.0 <= number <= 1.0:
            raise ValueError(f"{name} must lie in [0, 1], but it is {number}.")


# -- Part 1: one-step TD errors --------------------------------------------------------------------


def td_residuals(
    rewards: Tensor, values: Tensor, next_values: Tensor, terminated: Tensor, gamma: float
) -> Tensor:
    """One-step TD errors: what a single step tells us about the value function.

    delta_t = r_t + gamma * (1 - terminated_t) * V(s_{t+1}) - V(s_t)       (Section 3, above eq. 10)

    Args:
        rewards, values, next_values: (T, N) float.
        terminated: (T, N) bool. There is no ``truncated`` here: a truncated step keeps its future.
        gamma: discount for one step, in [0, 1].

    Returns:
        (T, N) float, without a gradient.

    Raises:
        ValueError: the shapes differ or are not (T, N), or gamma lies outside [0, 1].
    """
    _check_shapes(rewards=rewards, values=values, next_values=next_values, terminated=terminated)
    _check_unit_interval(gamma=gamma)
    # TODO(residuals): discount the next state's value unless the step terminated.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(residuals): discount the next state's value unless the step terminated.")


# -- Part 2: the backward recursion ----------------------------------------------------------------


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    lam: float,
) -> Advantages:
    """Generalized advantage estimates, by walking backwards through the rollout once.

    A_t = delta_t + gamma * lam * (1 - ended_t) * A_{t+1}   ended = terminated or truncated (eq. 16)
    returns_t = A_t + V(s_t)

    Nothing is known beyond the last row: A_T = 0. The future after it is in ``next_values``
    already.

    Args:
        rewards, values, next_values: (T, N) float.
        terminated, truncated: (T, N) bool.
        gamma: discount for one step, in [0, 1].
        lam: 0 trusts the value function, 1 trusts the rewards, in [0, 1].

    Returns:
        Advantages(advantages, returns), each (T, N) float, without a gradient. Not normalised.

    Raises:
        ValueError: the shapes differ or are not (T, N), or gamma or lam lies outside [0, 1].
    """
    _check_shapes(
        rewards=rewards,
        values=values,
        next_values=next_values,
        terminated=terminated,
        truncated=truncated,
    )
    _check_unit_interval(gamma=gamma, lam=lam)
    # TODO(recursion): walk backwards; the end of an episode cuts the recursion.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(recursion): walk backwards; the end of an episode cuts the recursion.")


def k_step_advantage(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    k: int,
) -> Tensor:
    """Advantage that looks k steps ahead: the terms that GAE averages.

    A^(k)_t = sum over l = 0 .. k-1 of gamma^l * delta_{t+l}                             (eq. 11-14)
            = -V(s_t) + r_t + gamma * r_{t+1} + ... + gamma^(k-1) * r_{t+k-1} + gamma^k * V(s_{t+k})

    The sum stops early at the end of an episode and at the end of the rollout: with a large k it
    runs over everything that is left.

    Args:
        rewards, values, next_values: (T, N) float.
        terminated, truncated: (T, N) bool.
        gamma: discount for one step, in [0, 1].
        k: number of steps, at least 1; may exceed T.

    Returns:
        (T, N) float, without a gradient.

    Raises:
        ValueError: the shapes differ or are not (T, N), gamma lies outside [0, 1], or k < 1.
    """
    _check_shapes(
        rewards=rewards,
        values=values,
        next_values=next_values,
        terminated=terminated,
        truncated=truncated,
    )
    _check_unit_interval(gamma=gamma)
    # TODO(recursion): refuse k < 1; sum up to k discounted TD errors.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(recursion): refuse k < 1; sum up to k discounted TD errors.")


# -- Part 3: without a Python loop over time -------------------------------------------------------


def gae_scan(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    lam: float,
) -> Advantages:
    """The same numbers as ``gae``, with far fewer than T steps of Python.

    Two neighbouring windows of the recursion make one twice as long (a parallel prefix scan): if
    A_t = b_t + d_t * A_{t+w} holds for windows of w rows, then for windows of 2w rows

        b'_t = b_t + d_t * b_{t+w},    d'_t = d_t * d_{t+w}

    beginning with b = delta, d = gamma * lam * (1 - ended) and w = 1, and with zeros beyond the
    last row. Once w reaches T, b is the answer. A product with a (T, T) matrix of weights is as
    good for T of a few hundred. Do not divide by powers of gamma * lam: they vanish in a long
    rollout.

    Arguments, results and errors: those of ``gae``. Source of the scan: Hillis and Steele (1986),
    "Data parallel algorithms", Communications of the ACM 29(12).
    """
    _check_shapes(
        rewards=rewards,
        values=values,
        next_values=next_values,
        terminated=terminated,
        truncated=truncated,
    )
    _check_unit_interval(gamma=gamma, lam=lam)
    # TODO(scan): double the windows, or weigh the TD errors with a matrix.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(scan): double the windows, or weigh the TD errors with a matrix.")


# -- Part 4: tokens --------------------------------------------------------------------------------


def token_gae(
    rewards: Tensor, values: Tensor, response_mask: Tensor, gamma: float, lam: float
) -> Advantages:
    """GAE for a batch of generated token sequences, one row for each.

    Only tokens with mask 1 are steps. The step after a token is the next one with mask 1 in its
    row, however many with mask 0 (a tool's answer, padding) lie between; after the last one the
    episode has terminated:

        delta_i = r_i + gamma * V_{next(i)} - V_i,       A_i = delta_i + gamma * lam * A_{next(i)}

    with V = A = 0 after the last. Rewards and values under mask 0 are never used. There is no
    ``next_values``: no environment resets in the middle of a row.

    Args:
        rewards, values: (B, L) float.
        response_mask: (B, L) bool or 0/1; 1 = a token that the policy wrote, end-of-sequence
            included.
        gamma, lam: as in ``gae``, in [0, 1].

    Returns:
        Advantages(advantages, returns), each (B, L) float, exactly 0 under mask 0, without a
        gradient.

    Raises:
        ValueError: the shapes differ or are not (B, L), or gamma or lam lies outside [0, 1].
    """
    _check_shapes(rewards=rewards, values=values, response_mask=response_mask)
    _check_unit_interval(gamma=gamma, lam=lam)
    # TODO(tokens): walk backwards; carry value and advantage over the gaps.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(tokens): walk backwards; carry value and advantage over the gaps.")


# -- Part 5: statistics and normalisation ----------------------------------------------------------


class RunningMeanStd:
    """Mean and variance of everything seen so far, without keeping it.

    Attributes:
        mean: float64 tensor of the given shape; 0 before the first update.
        var: float64 tensor of the given shape: the population variance (divided by the count); 1
            before the first update, so that normalising with it changes nothing.
        count: int, number of samples seen.

    It computes in float64 whatever it is fed, and never as E[x^2] - E[x]^2: for samples around 1e8
    that difference of two numbers near 1e16 has no correct digit left.

    Source: Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm for
    computing sample variances", Stanford report CS-TR-79-773; for single samples Welford (1962),
    Technometrics 4(3).
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self.var = torch.ones(shape, dtype=torch.float64)
        self.count = 0

    def update_(self, batch: Tensor) -> None:
        """Take in a batch of samples.

        Args:
            batch: (n, *shape) float, n >= 1. One sample is a batch of one.

        Raises:
            ValueError: the batch is empty or its samples have another shape.
        """
        if batch.ndim == 0 or len(batch) == 0 or batch.shape[1:] != self.mean.shape:
            raise ValueError(
                f"batch has shape {tuple(batch.shape)}; one sample has {tuple(self.mean.shape)}."
            )
        # TODO(statistics): join the batch's moments to those known, in float64.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(statistics): join the batch's moments to those known, in float64.")

    def merge(self, other: RunningMeanStd) -> RunningMeanStd:
        """Statistics of what this one and another one of the same shape have seen, taken together.

        Returns:
            A new RunningMeanStd; neither of the two is changed. Merging with a fresh one changes
            nothing.

        Raises:
            ValueError: the shapes differ.
        """
        if other.mean.shape != self.mean.shape:
            raise ValueError(
                f"{tuple(self.mean.shape)} and {tuple(other.mean.shape)} are different shapes."
            )
        # TODO(statistics): weigh both by their counts; mind the gap of the means.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(statistics): weigh both by their counts; mind the gap of the means.")


def normalize_advantages(
    adv: Tensor,
    mask: Tensor | None = None,
    mode: str = "batch",
    stats: RunningMeanStd | None = None,
    eps: float = 1e-8,
) -> Tensor:
    """Advantages with mean 0 and standard deviation 1: (adv - mean) / (std + eps).

    Args:
        adv: float, any shape.
        mask: same shape, bool or 0/1; entries under 0 take no part and come out as 0. None: all are
            valid.
        mode: "batch" takes mean and population standard deviation (divided by the number of valid
            entries) from the valid entries; "running" takes them from ``stats`` as they are and
            does not update them.
        stats: needed for "running": a RunningMeanStd of shape ().
        eps: added to the standard deviation, outside the root.

    Returns:
        Floating tensor of the shape of ``adv``, without a gradient; all zeros when no entry is
        valid.

    Raises:
        ValueError: the mask has another shape, the mode is unknown, or "running" comes without
            stats.
    """
    if mask is not None and mask.shape != adv.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, but adv {tuple(adv.shape)}.")
    # TODO(statistics): standardise the valid entries; refuse an unknown mode.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(statistics): standardise the valid entries; refuse an unknown mode.")


# -- Part 6: the rollout buffer --------------------------------------------------------------------


class RolloutBuffer:
    """Room for one rollout, allocated once and filled again and again.

    Attributes, each a tensor on ``device`` of zeros or False to begin with, with storage of its
    own:
        obs: (T, N, *obs_shape) float32
        actions: (T, N, *action_shape) of action_dtype; int64 of shape (T, N) unless asked otherwise
        logp, rewards, values, next_values: (T, N) float32
        terminated, truncated: (T, N) bool

    Whoever collects the rollout writes into them (``buffer.rewards[t] = reward``). Nothing is
    appended, nothing is ever allocated again.

    Raises:
        ValueError: T or N is below 1.
    """

    FIELDS = (
        "obs",
        "actions",
        "logp",
        "rewards",
        "values",
        "next_values",
        "terminated",
        "truncated",
    )

    def __init__(
        self,
        T: int,
        N: int,
        obs_shape: tuple[int, ...],
        device: torch.device | str = "cpu",
        action_shape: tuple[int, ...] = (),
        action_dtype: torch.dtype = torch.int64,
    ) -> None:
        if T < 1 or N < 1:
            raise ValueError(
                f"a rollout needs a step and an environment, but T is {T} and N is {N}."
            )
        self.T, self.N, self.device = T, N, torch.device(device)
        # TODO(buffer): allocate the eight fields, each with its own storage.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(buffer): allocate the eight fields, each with its own storage.")

    def flat(self) -> dict[str, Tensor]:
        """All fields by name, steps and environments in one dimension: (T * N, ...).

        Row t * N + n is step t of environment n. The tensors are views: they share their storage
        with the fields, so that what is written to one shows in the other.
        """
        # TODO(buffer): merge the first two dimensions without copying.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(buffer): merge the first two dimensions without copying.")

    def minibatches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """Index tensors into the rows of ``flat()``: one pass over the rollout in random order.

        Every row comes exactly once; the last minibatch is smaller when ``size`` does not divide T *
        N. All randomness comes from ``generator`` (on the CPU), or from torch's global one if that
        is None.

        Yields:
            (m,) int64, 1 <= m <= size, on the buffer's device.

        Raises:
            ValueError: size < 1, at the latest when the first minibatch is asked for.
        """
        # TODO(buffer): refuse size < 1; shuffle the rows and cut them up.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(buffer): refuse size < 1; shuffle the rows and cut them up.")


# -- Part 7: targets and diagnostics ---------------------------------------------------------------


def lambda_returns(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    lam: float,
) -> Tensor:
    """Lambda-returns: what GAE adds up to when V(s_t) is put back.

    G_t = r_t + gamma * (1 - terminated_t) * ((1 - lam) * V(s_{t+1}) + lam * G_{t+1})

    Where an episode or the rollout ends, V(s_{t+1}) stands in for G_{t+1}. This is the recursive
    form of Sutton and Barto (2nd edition), eq. 12.2. As long as
    ``next_values[t]`` and ``values[t + 1]`` agree inside episodes, it equals ``gae(...).returns``;
    either way of computing it is right.

    Arguments and errors: those of ``gae``.

    Returns:
        (T, N) float, without a gradient.
    """
    _check_shapes(
        rewards=rewards,
        values=values,
        next_values=next_values,
        terminated=terminated,
        truncated=truncated,
    )
    _check_unit_interval(gamma=gamma, lam=lam)
    # TODO(returns): walk backwards; mix next value and following return.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(returns): walk backwards; mix next value and following return.")


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """Share of the variance of the returns that the value function explains.

    1 - Var(returns - values) / Var(returns)

    1: perfect up to a constant. 0: no better than a constant. Negative: worse than a constant.

    Args:
        values, returns: float, the same shape.

    Returns:
        A float; 0.0 when the variance of the returns is 0.

    Raises:
        ValueError: the shapes differ.
    """
    if values.shape != returns.shape:
        raise ValueError(
            f"values has shape {tuple(values.shape)}, but returns {tuple(returns.shape)}."
        )
    # TODO(returns): compare the variance left over with that of the returns.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(returns): compare the variance left over with that of the returns.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# residuals=  recursion=  scan=  tokens=  statistics=  buffer=  returns=
