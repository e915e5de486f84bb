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
            # BUG(broadcasts-silently): pass
            # WHEN tensors of different shapes are stretched to a common one instead of being
            # WHEN refused.
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
    ### BEGIN SOLUTION
    # BUG(next-values-from-values): next_values = torch.cat([values[1:], next_values[-1:]]).detach()
    # WHEN the value of the next state is read off the row below, where an episode that was cut
    # WHEN short has already been replaced by the first state of another one.
    # BUG(writes-into-next-values): next_values = next_values.detach().masked_fill_(terminated.bool(), 0.0)
    # WHEN terminal entries of next_values are set to zero in the caller's own tensor, so that the
    # WHEN next call finds them gone.
    next_values = next_values.detach()
    # BUG(bootstraps-through-termination): bootstrap = gamma * next_values
    # WHEN a terminated step still counts the value of a next state.
    # BUG(zero-times-nan): bootstrap = gamma * next_values * ~terminated.bool()
    # WHEN what does not count is multiplied by 0 instead of being left out: 0 times nan is nan.
    bootstrap = torch.where(terminated.bool(), 0.0, gamma * next_values)
    # BUG(values-keep-their-gradient): return rewards + bootstrap - values
    # WHEN the result is still tied to the value network by its gradient.
    return rewards + bootstrap - values.detach()
    ### END SOLUTION


# -- Part 2: the backward recursion ----------------------------------------------------------------

### BEGIN SOLUTION


def _alive(terminated: Tensor, truncated: Tensor) -> Tensor:
    """Where the recursion may go on to the next row: True unless the step ends an episode. (T, N)
    bool."""
    ended = terminated.bool() | truncated.bool()
    # BUG(leaks-past-the-end): return torch.ones_like(ended)
    # WHEN the recursion runs on past the end of an episode.
    # BUG(truncation-keeps-recursion): return ~terminated.bool()
    # WHEN only a terminated step cuts the recursion and a truncated one lets it run on into the
    # WHEN next episode.
    # BUG(done-shifted): return ~torch.cat([ended[1:], ended[-1:]])
    # WHEN the end-of-episode flag of step t + 1 is used for step t.
    # BUG(two-flags-spoil-each-other): return ~(terminated.bool() ^ truncated.bool())
    # WHEN a step that is both terminated and truncated does not cut the recursion as each flag
    # WHEN alone does: the two cancel, or count twice.
    # BUG(two-flags-spoil-each-other, 2): return 1 - terminated.int() - truncated.int()
    # BUG(one-end-cuts-all): return ~ended.any(dim=1, keepdim=True).expand_as(ended)
    # WHEN the end of an episode in one environment cuts the recursion in all of them.
    return ~ended


def _later(x: Tensor, steps: int) -> Tensor:
    """Row t of the result is row t + steps of x; rows from beyond the end are zero."""
    return torch.cat([x[steps:], torch.zeros_like(x[:steps])])


### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(merged-done): deltas = td_residuals(rewards, values, next_values, terminated | truncated, gamma)
    # WHEN an episode that was cut short counts as one that came to its end, worth nothing from
    # WHEN there on.
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    # BUG(lambda-without-gamma): decay = lam * _alive(terminated, truncated).to(deltas.dtype)
    # WHEN later TD errors are faded by lambda alone, without the discount.
    decay = gamma * lam * _alive(terminated, truncated).to(deltas.dtype)
    advantages = torch.empty_like(deltas)
    # BUG(recursion-starts-from-a-value): later = next_values[-1]
    # WHEN the recursion starts from the value of the last state instead of from zero, so that this
    # WHEN value counts twice.
    later = torch.zeros_like(deltas[-1])
    for t in reversed(range(len(deltas))):
        later = deltas[t] + decay[t] * later
        advantages[t] = later
    # BUG(normalises-too-early): advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    # WHEN the advantages are normalised before the returns are formed from them.
    # BUG(normalises-too-early, 2): advantages = (advantages - advantages.mean()) / (advantages.std(correction=0) + 1e-8)
    # BUG(values-keep-their-gradient): pass
    values = values.detach()
    return Advantages(advantages, advantages + values)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    if k < 1:
        # BUG(accepts-no-steps): return torch.zeros_like(rewards)
        # WHEN zero steps give zeros instead of being refused.
        raise ValueError(f"k must be at least 1 step, but it is {k}.")
    # BUG(merged-done): deltas = td_residuals(rewards, values, next_values, terminated | truncated, gamma)
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    decay = gamma * _alive(terminated, truncated).to(deltas.dtype)
    advantages = deltas
    # BUG(k-counts-from-zero): for _ in range(min(k, len(deltas))):
    # WHEN the sum holds k + 1 TD errors instead of k.
    for _ in range(min(k, len(deltas)) - 1):
        advantages = deltas + decay * _later(advantages, 1)
    # BUG(drops-short-windows): return advantages * (torch.arange(len(deltas)) <= len(deltas) - k)[:, None]
    # WHEN steps with fewer than k rows left get nothing instead of a shorter sum.
    return advantages
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(merged-done): deltas = td_residuals(rewards, values, next_values, terminated | truncated, gamma)
    deltas = td_residuals(rewards, values, next_values, terminated, gamma)
    # BUG(lambda-without-gamma): decay = lam * _alive(terminated, truncated).to(deltas.dtype)
    decay = gamma * lam * _alive(terminated, truncated).to(deltas.dtype)
    advantages, width = deltas, 1
    while width < len(deltas):
        advantages = advantages + decay * _later(advantages, width)
        # BUG(scan-squares-the-decay): decay = decay**2
        # WHEN a window that doubles squares its decay factor, blind to ends of episodes in its
        # WHEN second half.
        decay = decay * _later(decay, width)
        # BUG(scan-does-not-double): width += 1
        # WHEN the windows of the scan are taken to grow by one row although joining them doubles
        # WHEN them.
        width *= 2
    # BUG(normalises-too-early): advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    # BUG(normalises-too-early, 2): advantages = (advantages - advantages.mean()) / (advantages.std(correction=0) + 1e-8)
    # BUG(values-keep-their-gradient): pass
    values = values.detach()
    return Advantages(advantages, advantages + values)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    mask = response_mask.bool()
    # BUG(values-keep-their-gradient): pass
    values = values.detach()
    advantages = torch.zeros_like(values)
    next_value = later = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        advantages[:, t] = delta + gamma * lam * later
        # BUG(gap-resets-the-recursion): later = torch.where(mask[:, t], advantages[:, t], 0.0)
        # WHEN a masked token sets the recursion back to zero, so that a gap splits a sequence in
        # WHEN two.
        # BUG(padding-takes-part): later = advantages[:, t]
        # WHEN masked tokens take part in the recursion and are blanked out only afterwards.
        # BUG(gap-is-discounted): later = torch.where(mask[:, t], advantages[:, t], gamma * lam * later)
        # WHEN every masked token of a gap discounts what comes after it.
        later = torch.where(mask[:, t], advantages[:, t], later)
        # BUG(padding-is-the-next-state): next_value = values[:, t]
        # WHEN the value under a masked token counts as the value of the next state.
        next_value = torch.where(mask[:, t], values[:, t], next_value)
    # BUG(zero-times-nan): return Advantages(advantages * mask, (advantages + values) * mask)
    # BUG(token-advantages-whitened): return Advantages(_whitened(advantages, mask), torch.where(mask, advantages + values, 0.0))
    # WHEN token advantages are whitened over the valid tokens at once, as verl and TRL have it,
    # WHEN while this course leaves that to normalize_advantages.
    # BUG(token-advantages-whitened, 2): return Advantages(normalize_advantages(advantages, mask), torch.where(mask, advantages + values, 0.0))
    # BUG(returns-under-the-mask): return Advantages(advantages * mask, advantages * mask + values)
    # WHEN masked tokens keep a return although their advantage is zero.
    return Advantages(
        torch.where(mask, advantages, 0.0), torch.where(mask, advantages + values, 0.0)
    )
    ### END SOLUTION


### BEGIN BUGS


def _whitened(x: Tensor, mask: Tensor) -> Tensor:
    """Valid entries with mean 0 and sample deviation 1, eps inside the root; 0 elsewhere."""
    chosen = x[mask]
    return torch.where(mask, (x - chosen.mean()) * torch.rsqrt(chosen.var() + 1e-8), 0.0)


### END BUGS
# -- Part 5: statistics and normalisation ----------------------------------------------------------

### BEGIN SOLUTION


class _Moments(NamedTuple):
    """Mean, population variance and number of some samples."""

    mean: Tensor
    var: Tensor
    count: int


def _join(a: _Moments, b: _Moments) -> _Moments:
    """Moments of two samples taken together, from the moments of each (Chan, Golub and LeVeque
    1979)."""
    count = a.count + b.count
    gap = b.mean - a.mean
    # BUG(averages-the-means): mean = (a.mean + b.mean) / 2 if a.count else b.mean
    # WHEN two means are averaged without regard to how many samples stand behind each.
    mean = a.mean + gap * (b.count / count)
    # BUG(forgets-the-gap-between-means): squares = a.count * a.var + b.count * b.var
    # WHEN two variances are pooled without the distance between the two means.
    squares = a.count * a.var + b.count * b.var + gap**2 * (a.count * b.count / count)
    return _Moments(mean, squares / count, count)


### END SOLUTION


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
        # BUG(counts-from-a-small-number): self.count = 1e-4
        # WHEN the count begins at 1e-4, so that the variance of 1 from before the first sample
        # WHEN stays in it, as Gymnasium, Stable-Baselines3 and OpenAI's baselines have it, while
        # WHEN this course counts from 0.
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
        ### BEGIN SOLUTION
        # BUG(statistics-of-few-digits): batch = batch.detach()
        # WHEN mean and variance of a batch are computed with the digits that it comes with, those
        # WHEN of float32 say, instead of those of float64.
        batch = batch.detach().to(torch.float64)
        # BUG(naive-variance): var = (batch**2).mean(dim=0) - batch.mean(dim=0) ** 2
        # WHEN the variance is computed as the mean of squares minus the square of the mean.
        # BUG(sample-variance): var = batch.var(dim=0)
        # WHEN the variance of a batch is divided by n - 1 instead of n.
        var = batch.var(dim=0, correction=0)
        # BUG(counts-batches): new = _Moments(batch.mean(dim=0), var, 1)
        # WHEN a batch counts as one sample, however many it holds.
        new = _Moments(batch.mean(dim=0), var, len(batch))
        self.mean, self.var, self.count = _join(_Moments(self.mean, self.var, self.count), new)
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        # BUG(merge-gives-one-of-the-two): merged = RunningMeanStd(tuple(self.mean.shape)) if other.count else self
        # WHEN the result of a merge is one of the two statistics itself where the other has seen
        # WHEN nothing, so that feeding the result changes it.
        # BUG(merge-gives-one-of-the-two, 2): merged = RunningMeanStd(tuple(self.mean.shape)) if self.count else other
        merged = RunningMeanStd(tuple(self.mean.shape))
        if self.count + other.count:
            mine = _Moments(self.mean, self.var, self.count)
            merged.mean, merged.var, merged.count = _join(
                mine, _Moments(other.mean, other.var, other.count)
            )
        return merged
        ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(values-keep-their-gradient): pass
    adv = adv.detach()
    valid = torch.ones_like(adv, dtype=torch.bool) if mask is None else mask.bool()
    if mode == "batch":
        # BUG(normalises-over-padding): chosen = adv
        # WHEN masked entries count in the mean and the standard deviation.
        chosen = adv[valid]
        # BUG(unbiased-std): mean, scale = chosen.mean(), chosen.std() + eps
        # WHEN the standard deviation is divided by n - 1 instead of n.
        # BUG(eps-inside-the-root): mean, scale = chosen.mean(), (chosen.var(correction=0) + eps).sqrt()
        # WHEN eps is added to the variance instead of to the standard deviation.
        mean, scale = chosen.mean(), (chosen - chosen.mean()).square().mean().sqrt() + eps
    # BUG(takes-any-mode): elif stats is not None:
    # WHEN every mode but "batch" is taken for "running".
    elif mode == "running" and stats is not None:
        # BUG(updates-the-stats): stats.update_(adv[valid]); mean, scale = stats.mean, stats.var.sqrt() + eps
        # WHEN the running statistics first take in the advantages that they are to normalise.
        mean, scale = stats.mean, stats.var.sqrt() + eps
    else:
        raise ValueError(f'mode must be "batch", or "running" together with stats; it is {mode!r}.')
    # BUG(zero-times-nan): return (adv - mean) / scale * valid
    # BUG(normalised-under-the-mask): return (adv - mean) / scale
    # WHEN masked entries are normalised too instead of coming out as zero.
    return torch.where(valid, (adv - mean) / scale, 0.0)
    ### END SOLUTION


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
        ### BEGIN SOLUTION

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(T, N, *shape, dtype=dtype, device=self.device)

        self.obs = zeros(*obs_shape)
        self.actions = zeros(*action_shape, dtype=action_dtype)
        self.logp = zeros()
        self.rewards = zeros()
        # BUG(fields-share-one-storage): self.values = self.rewards
        # WHEN several fields of the buffer are names for one and the same tensor.
        self.values = zeros()
        # BUG(fields-share-one-storage): self.next_values = self.rewards
        self.next_values = zeros()
        self.terminated = zeros(dtype=torch.bool)
        # BUG(flags-share-one-storage): self.truncated = self.terminated
        # WHEN terminated and truncated are names for one and the same tensor.
        self.truncated = zeros(dtype=torch.bool)
        ### END SOLUTION

    def flat(self) -> dict[str, Tensor]:
        """All fields by name, steps and environments in one dimension: (T * N, ...).

        Row t * N + n is step t of environment n. The tensors are views: they share their storage
        with the fields, so that what is written to one shows in the other.
        """
        # TODO(buffer): merge the first two dimensions without copying.
        ### BEGIN SOLUTION
        fields = {name: getattr(self, name) for name in self.FIELDS}
        # BUG(flat-copies): return {name: torch.cat(list(x)) for name, x in fields.items()}
        # WHEN flat() copies the fields, so that it shows what they held then and not what they hold
        # WHEN now.
        # BUG(environment-major): return {name: x.transpose(0, 1).flatten(0, 1) for name, x in fields.items()}
        # WHEN flat() lists all steps of the first environment, then all of the second.
        return {name: x.view(self.T * self.N, *x.shape[2:]) for name, x in fields.items()}
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        if size < 1:
            # BUG(accepts-empty-minibatches): return
            # WHEN a minibatch size below 1 gives no minibatches instead of being refused.
            raise ValueError(f"size must be at least 1 row, but it is {size}.")
        rows = self.T * self.N
        # BUG(minibatches-with-replacement): order = torch.randint(rows, (rows,), generator=generator)
        # WHEN rows are drawn with replacement, so that some come twice and some never.
        # BUG(minibatches-ignore-the-generator): order = torch.randperm(rows)
        # WHEN the order is drawn from torch's global generator instead of the given one.
        # BUG(shuffles-whole-minibatches): order = torch.cat([torch.arange(rows).split(size)[i] for i in torch.randperm(-(-rows // size), generator=generator)])
        # WHEN the minibatches are shuffled but the rows in them are neighbours, as they were
        # WHEN collected.
        # BUG(minibatches-are-not-shuffled): order = torch.arange(rows)
        # WHEN the rows come in the order in which they were collected.
        # BUG(every-pass-begins-anew): order = torch.randperm(rows, generator=generator or torch.Generator())
        # WHEN every pass without a generator has the same order: a new torch.Generator always
        # WHEN begins with the same seed.
        order = torch.randperm(rows, generator=generator)
        # BUG(drops-the-last-minibatch): yield from order[: rows - rows % size].to(self.device).split(size)
        # WHEN the rows that do not fill a whole minibatch are left out.
        yield from order.to(self.device).split(size)
        ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(values-keep-their-gradient): pass
    next_values = next_values.detach()
    alive = _alive(terminated, truncated)
    # BUG(merged-done): terminated = terminated | truncated
    terminated = terminated.bool()
    returns = torch.empty_like(next_values)
    following = next_values[-1]
    for t in reversed(range(len(returns))):
        following = torch.where(alive[t], following, next_values[t])
        # BUG(swaps-the-mixing-weights): future = lam * next_values[t] + (1 - lam) * following
        # WHEN lambda weighs the value of the next state and 1 - lambda the return, the wrong way
        # WHEN round.
        future = (1 - lam) * next_values[t] + lam * following
        # BUG(bootstraps-through-termination): following = rewards[t] + gamma * future
        # BUG(zero-times-nan): following = rewards[t] + gamma * future * ~terminated[t]
        following = rewards[t] + gamma * torch.where(terminated[t], 0.0, future)
        returns[t] = following
    return returns
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(divides-by-the-variance-of-values): total = values.var(correction=0)
    # WHEN the variance that is left over is compared with that of the values instead of the
    # WHEN returns.
    total = returns.var(correction=0)
    # BUG(counts-a-constant-error): left_over = ((returns - values) ** 2).mean()
    # WHEN the mean squared error stands where the variance of the error belongs, so that an offset
    # WHEN counts.
    left_over = (returns - values).var(correction=0)
    # BUG(nan-for-constants): return float("nan") if total == 0 else float(1 - left_over / total)
    # WHEN constant returns give nan, as CleanRL and Stable-Baselines3 report it, while this course
    # WHEN reports 0.0.
    # BUG(divides-by-zero-variance): return float(1 - left_over / total)
    # WHEN constant returns lead to a division by zero.
    return 0.0 if total == 0 else float(1 - left_over / total)
    ### END SOLUTION
