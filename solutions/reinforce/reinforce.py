"""REINFORCE: policy gradients from whole episodes, with and without a baseline.

Conventions, for every function of this file

* Time comes first. A batch of N episodes is a set of tensors (T, N), padded at the end: ``mask`` is
  True (or 1) for the steps that took place, and in every column these come first. A single episode
  may come as (T,), without a mask.
* What stands under mask 0 (any finite number) means nothing. It never influences a result, and
  where a result has an entry for it, that entry is 0.
* An episode is over when it is terminated or truncated. REINFORCE uses only rewards that were
  really earned, so both kinds of end are the same to it (for methods that bootstrap they are not).
* Returns, baselines and advantages are data: no gradient flows through them. Arguments are never
  changed.

S&B is Sutton and Barto (2018), "Reinforcement learning: an introduction", 2nd edition, chapter 13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import torch
from torch import Tensor, nn

### BEGIN SOLUTION
from tqdm import tqdm

### END SOLUTION


def _check_unit_interval(name: str, number: float) -> None:
    """Refuse discounts outside [0, 1]."""
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1], but it is {number}.")


# -- Part 1: returns -------------------------------------------------------------------------------


def discounted_returns(rewards: Tensor, gamma: float, mask: Tensor | None = None) -> Tensor:
    """Rewards to go: what was earned from each step to the end of its episode.

    G_t = r_t + gamma * r_{t+1} + gamma^2 * r_{t+2} + ... = r_t + gamma * G_{t+1}     (S&B 3.8, 3.9)

    Row t holds the reward for the action of row t (S&B call it R_{t+1}).

    Args:
        rewards: (T,) or (T, N) float.
        gamma: discount for one step, in [0, 1].
        mask: the shape of rewards, bool or 0/1; valid steps come first in every column. None: all
            are valid.

    Returns:
        Tensor of the shape of rewards, 0 under mask 0, without a gradient.

    Raises:
        ValueError: gamma lies outside [0, 1], the mask has another shape, or a valid step follows a
            masked one.
    """
    _check_unit_interval("gamma", gamma)
    # TODO(returns): refuse a mask with holes; walk backwards from the last step.
    ### BEGIN SOLUTION
    valid = _valid(rewards, mask)
    # BUG(accepts-holes): pass
    # WHEN a mask with a hole in the middle of an episode is taken as it comes instead of being
    # WHEN refused.
    _refuse_holes(valid)
    # BUG(writes-into-the-rewards): rewards = rewards.detach().masked_fill_(~valid, 0.0)
    # WHEN the padding is set to zero, or the returns are written, in the caller's own tensor.
    # BUG(padding-leaks-into-returns): rewards = rewards.detach()
    # WHEN whatever stands in the padding is counted as a reward.
    # BUG(padding-leaks-into-returns, 2): rewards = rewards.detach()
    # BUG(writes-into-the-rewards, 2): rewards = rewards.detach()
    rewards = torch.where(valid, rewards.detach(), 0.0)
    # BUG(writes-into-the-rewards, 2): returns = rewards.masked_fill_(~valid, 0.0)
    returns = torch.zeros_like(rewards)
    later = torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        # BUG(returns-forget-gamma): later = rewards[t] + later
        # WHEN later rewards count as much as early ones, whatever gamma is.
        # BUG(discounts-the-own-reward): later = gamma * (rewards[t] + later)
        # WHEN a step's own reward is discounted too.
        later = rewards[t] + gamma * later
        returns[t] = later
    # BUG(discounts-from-the-start): return returns * gamma ** torch.arange(len(returns)).view(-1, *[1] * (returns.ndim - 1))
    # WHEN rewards are discounted back to the beginning of the episode and not to the step that they
    # WHEN belong to.
    # BUG(no-reward-to-go): return torch.where(valid, returns[:1], 0.0)
    # WHEN every step gets the return of the whole episode, rewards from before it included.
    # BUG(returns-start-one-late): return torch.cat([returns[1:], torch.zeros_like(returns[:1])])
    # WHEN the return of a step leaves out the reward for that step.
    # BUG(padding-leaks-into-returns, 2): return torch.where(valid, returns, 0.0)
    return returns
    ### END SOLUTION


### BEGIN SOLUTION


def _valid(x: Tensor, mask: Tensor | None) -> Tensor:
    """The mask as bool, everything valid if there is none. Raises ValueError if its shape is not
    that of x."""
    if mask is None:
        return torch.ones_like(x, dtype=torch.bool)
    if mask.shape != x.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}, but the data {tuple(x.shape)}.")
    return mask.bool()


def _refuse_holes(valid: Tensor) -> None:
    """Raise ValueError if a valid step follows a masked one."""
    if (valid[1:] & ~valid[:-1]).any():
        raise ValueError("The mask has a hole: in every column the valid steps must come first.")


### END SOLUTION


# -- Part 2: policies ------------------------------------------------------------------------------


class CategoricalPolicy:
    """A distribution over A actions for each row of logits: pi(a) = exp(logits_a) / sum of exp(logits)   (S&B 13.2).

    Args:
        logits: (..., A) float, unnormalised log-probabilities. They are not probabilities and have
            no softmax yet.
    """

    def __init__(self, logits: Tensor) -> None:
        # TODO(policies): keep what the methods need; log_softmax is exact where log(softmax) is not.
        ### BEGIN SOLUTION
        # BUG(double-softmax): self.log_probs = logits.softmax(-1).log_softmax(-1)
        # WHEN the softmax is taken twice, once of the logits and once of the probabilities.
        # BUG(log-of-a-rounded-probability): self.log_probs = logits.softmax(-1).log()
        # WHEN the logarithm is taken of a probability that was rounded to 0, or of one with a small
        # WHEN number added.
        # BUG(log-of-a-rounded-probability, 2): self.log_probs = (logits.softmax(-1) + 1e-10).log()
        # BUG(logits-not-normalised): self.log_probs = logits
        # WHEN logits are taken for log-probabilities without being normalised.
        # BUG(logits-not-normalised, 2): self.log_probs = logits - logits.max(-1, keepdim=True).values
        # BUG(softmax-over-the-batch): self.log_probs = logits.log_softmax(0)
        # WHEN the softmax runs over the batch and not over the actions.
        self.log_probs = logits.log_softmax(-1)
        ### END SOLUTION

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw an action for each row: (...,) int64, without a graph; all randomness comes from the
        generator."""
        # TODO(policies): draw from the probabilities, not the most probable one.
        ### BEGIN SOLUTION
        # The action whose exponential clock, of rate p_a, rings first. It works for any number of
        # batch dimensions.
        # BUG(ignores-the-generator): clocks = torch.empty_like(self.log_probs).exponential_()
        # WHEN actions are drawn from the global generator although another one was given.
        clocks = torch.empty_like(self.log_probs).exponential_(generator=generator)
        # BUG(samples-the-mode): return self.log_probs.detach().argmax(-1)
        # WHEN the most probable action is taken every time instead of drawing one.
        return (self.log_probs - clocks.log()).argmax(-1)
        ### END SOLUTION

    def log_prob(self, action: Tensor) -> Tensor:
        """ln pi(action) for each row: (...,) float, differentiable in the logits. ``action``:
        (...,) int64."""
        # TODO(policies): pick each row's entry.
        ### BEGIN SOLUTION
        # BUG(log-prob-of-the-mode): action = self.log_probs.argmax(-1)
        # WHEN the log-probability is that of the most probable action and not of the one that was
        # WHEN taken.
        action = action.long()
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)
        ### END SOLUTION

    def entropy(self) -> Tensor:
        """H = -sum over a of pi(a) ln pi(a), in nats: (...,) float, differentiable in the
        logits."""
        # TODO(policies): minus the mean log-probability under the policy itself.
        ### BEGIN SOLUTION
        # BUG(entropy-sign): return (self.log_probs.exp() * self.log_probs).sum(-1)
        # WHEN the entropy has the wrong sign.
        # BUG(entropy-sign, 2): return (self.log_probs.exp() * self.log_probs).sum(-1)
        # BUG(entropy-averaged-over-actions): return -(self.log_probs.exp() * self.log_probs).mean(-1)
        # WHEN the terms -p ln p are averaged over the actions instead of added.
        return -(self.log_probs.exp() * self.log_probs).sum(-1)
        ### END SOLUTION


class GaussianPolicy:
    """Independent normal distributions over D action components         (S&B 13.19, one component).

    Args:
        mean: (..., D) float.
        log_std: (..., D) or (D,) float, ln of the standard deviations; it is broadcast to the shape
            of mean.
    """

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        # TODO(policies): keep both, log_std in the shape of mean.
        ### BEGIN SOLUTION
        self.mean = mean
        # BUG(log-std-taken-for-log-variance): self.log_std = log_std.expand_as(mean) / 2
        # WHEN log_std is taken for the logarithm of the variance.
        self.log_std = log_std.expand_as(mean)
        ### END SOLUTION

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw an action for each row: (..., D) float, without a graph; all randomness comes from
        the generator."""
        # TODO(policies): mean plus standard deviation times standard normal noise.
        ### BEGIN SOLUTION
        # BUG(ignores-the-generator): noise = torch.randn(self.mean.shape, dtype=self.mean.dtype)
        noise = torch.randn(self.mean.shape, dtype=self.mean.dtype, generator=generator)
        # BUG(sample-keeps-its-graph): return self.mean + self.log_std.exp() * noise
        # WHEN a sampled action is still tied to the network by its gradient, so that the score
        # WHEN cancels out.
        return (self.mean + self.log_std.exp() * noise).detach()
        ### END SOLUTION

    def log_prob(self, action: Tensor) -> Tensor:
        """ln of the joint density of all D components: (...,) float, differentiable in mean and
        log_std."""
        # TODO(policies): independent components: their log-densities add up.
        ### BEGIN SOLUTION
        z = (action - self.mean) / self.log_std.exp()
        # BUG(density-without-its-width): density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
        # WHEN the log-density lacks the term -log_std, so that wide distributions look better than
        # WHEN they are.
        density = -0.5 * z**2 - self.log_std - 0.5 * math.log(2 * math.pi)
        # BUG(log-density-averaged): return density.mean(-1)
        # WHEN the log-densities of the components are averaged instead of added.
        # BUG(log-density-per-component): return density
        # WHEN the log-density of each component is returned by itself instead of their sum.
        return density.sum(-1)
        ### END SOLUTION

    def entropy(self) -> Tensor:
        """H = sum over components of log_std + ln(2 pi e) / 2, in nats: (...,) float; negative for
        narrow ones."""
        # TODO(policies): one value for each row.
        ### BEGIN SOLUTION
        # BUG(entropy-without-its-constant): return self.log_std.sum(-1)
        # WHEN the entropy of a normal distribution lacks its constant, ln(2 pi e) / 2 for each
        # WHEN component, or a part of it.
        # BUG(entropy-without-its-constant, 2): return (self.log_std + 0.5 * math.log(2 * math.pi)).sum(-1)
        # BUG(entropy-sign, 2): return -(self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)
        # BUG(entropy-per-component): return self.log_std + 0.5 * math.log(2 * math.pi * math.e)
        # WHEN the entropy of each component is returned by itself instead of their sum.
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)
        ### END SOLUTION


# -- Part 3: the loss ------------------------------------------------------------------------------


def policy_gradient_loss(
    logp: Tensor,
    weights: Tensor,
    mask: Tensor | None = None,
    gamma: float = 1.0,
    discount_state_weight: bool = False,
) -> Tensor:
    """The loss whose gradient step is REINFORCE's update: minus the sum over time of weights_t * ln
    pi(a_t | s_t).

    It is summed over the steps of an episode and averaged over episodes (columns with at least one
    valid step). With ``discount_state_weight`` step t also counts gamma^t, as the policy gradient
    theorem has it for a discounted objective (S&B, the boxed algorithm of section 13.3; equation
    13.8 is without it); nearly everybody leaves that factor out, and so do we by default.

    Args:
        logp: (T,) or (T, N) float, ln pi of the actions that were taken; carries the gradient.
        weights: the shape of logp, returns or advantages; data, so no gradient flows into them.
        mask: the shape of logp, bool or 0/1. None: all are valid.
        gamma: discount for one step, in [0, 1]; used only with discount_state_weight.
        discount_state_weight: whether step t counts gamma^t.

    Returns:
        Scalar tensor. Its value says nothing about progress: only its gradient means something.

    Raises:
        ValueError: shapes differ, gamma lies outside [0, 1], or no step is valid.
    """
    _check_unit_interval("gamma", gamma)
    if weights.shape != logp.shape:
        raise ValueError(f"weights has shape {tuple(weights.shape)}, but logp {tuple(logp.shape)}.")
    # TODO(loss): sum over time, mean over episodes, and the sign that makes descent climb.
    ### BEGIN SOLUTION
    valid = _valid(logp, mask)
    # BUG(weights-keep-their-gradient): weights = weights * 1.0
    # WHEN the gradient of the loss also flows into the weights, and through them into the baseline.
    weights = weights.detach()
    # BUG(state-weight-always-on): if True:
    # WHEN step t counts gamma^t without having been asked to.
    if discount_state_weight:
        # BUG(state-weight-ignored): powers = torch.zeros(len(logp))
        # WHEN the factor gamma^t is left out although it was asked for.
        # BUG(state-weight-counts-from-one): powers = torch.arange(1, len(logp) + 1)
        # WHEN the factor of the first step is gamma instead of 1.
        powers = torch.arange(len(logp))
        weights = weights * (gamma ** powers.to(weights.dtype)).view(-1, *[1] * (logp.ndim - 1))
    # BUG(padding-leaks-into-the-loss): terms = logp * weights
    # WHEN the padding takes part in the loss.
    terms = torch.where(valid, logp * weights, 0.0)
    # BUG(averages-over-columns-without-steps): episodes = valid[0].numel()
    # WHEN columns without a single step count as episodes.
    # BUG(sums-over-episodes): episodes = 1
    # WHEN the loss is summed over episodes instead of averaged, so that its size grows with the
    # WHEN batch.
    # BUG(averages-over-time): episodes = valid.sum()
    # WHEN the loss is averaged over time steps, of the batch or of each episode, instead of summed.
    # BUG(averages-over-time, 2): terms, episodes = terms / valid.sum(dim=0).clamp(min=1), valid.any(dim=0).sum()
    episodes = valid.any(dim=0).sum()
    if episodes == 0:
        raise ValueError("No step is valid: there is nothing to learn from.")
    # BUG(descends): return terms.sum() / episodes
    # WHEN the sign is wrong and a step of descent makes well-paid actions less probable.
    return -terms.sum() / episodes
    ### END SOLUTION


# -- Part 4: baselines -----------------------------------------------------------------------------


def standardize(x: Tensor, mask: Tensor | None = None, eps: float = 1e-8) -> Tensor:
    """(x - mean) / (std + eps) over the valid entries, with the population standard deviation.

    Args:
        x: any shape, float.
        mask: the shape of x, bool or 0/1. None: all are valid.
        eps: keeps constant input finite, which gives zeros (a single entry is constant input).

    Returns:
        Tensor of the shape of x, 0 under mask 0, without a gradient.

    Raises:
        ValueError: the mask has another shape, or no entry is valid.
    """
    # TODO(baselines): statistics of the valid entries alone.
    ### BEGIN SOLUTION
    valid, x = _valid(x, mask), x.detach()
    if not valid.any():
        raise ValueError("No entry is valid: there is no mean to subtract.")
    # BUG(statistics-of-the-padding): entries = x.flatten()
    # WHEN mean and standard deviation are taken over the padding too.
    # BUG(statistics-of-the-padding, 2): entries = torch.where(valid, x, 0.0).flatten()
    entries = x[valid]
    # BUG(sample-deviation): std = entries.std()
    # BUG(sample-deviation, 2): std = ((entries - entries.mean()) ** 2).sum().div(len(entries) - 1).sqrt()
    # WHEN the standard deviation divides by n - 1, which for a single entry is 0 / 0.
    std = entries.std(correction=0)
    # BUG(divides-by-the-variance): scale = entries.var(correction=0) + eps
    # WHEN the entries are divided by their variance instead of their standard deviation.
    scale = std + eps
    # BUG(scales-without-centering): return torch.where(valid, x / scale, 0.0)
    # WHEN the entries are divided by the standard deviation but their mean is not subtracted.
    # BUG(padding-not-zeroed): return (x - entries.mean()) / scale
    # WHEN the padding gets standardised numbers instead of 0.
    return torch.where(valid, (x - entries.mean()) / scale, 0.0)
    ### END SOLUTION


def value_loss(values: Tensor, returns: Tensor, mask: Tensor | None = None) -> Tensor:
    """Half the mean squared error of a value baseline over valid steps: its descent is the update
    of w in S&B, section 13.4.

    Args:
        values: (T,) or (T, N) float; carries the gradient.
        returns: the shape of values; data, so no gradient flows into them.
        mask: the shape of values, bool or 0/1. None: all are valid.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: shapes differ (a silent (T,) - (T, 1) is a classic), or no step is valid.
    """
    # TODO(baselines): refuse other shapes; mean over valid steps.
    ### BEGIN SOLUTION
    if returns.shape != values.shape:
        # BUG(value-loss-broadcasts): return 0.5 * (values - returns.detach()).square().mean()
        # WHEN values and returns of different shapes are stretched to a common one instead of being
        # WHEN refused.
        raise ValueError(
            f"returns has shape {tuple(returns.shape)}, but values {tuple(values.shape)}."
        )
    valid = _valid(values, mask)
    if not valid.any():
        raise ValueError("No step is valid: there is nothing to fit.")
    # BUG(targets-keep-their-gradient): errors = values - returns
    # WHEN the gradient of the value loss also flows into its targets.
    errors = values - returns.detach()
    # BUG(value-loss-counts-padding): return 0.5 * torch.where(valid, errors, 0.0).square().mean()
    # WHEN the sum of squares is divided by the number of all entries, padding included.
    # BUG(value-loss-without-half): return errors[valid].square().mean()
    # WHEN the factor 1/2 of the value loss is missing.
    return 0.5 * errors[valid].square().mean()
    ### END SOLUTION


def leave_one_out_baseline(returns: Tensor) -> Tensor:
    """For each episode, the mean return of the others: b_i = sum over j != i of G_j / (N - 1).

    It is unbiased because it does not depend on the episode that it is subtracted from. Source:
    Kool, van Hoof and Welling (2019), "Buy 4 REINFORCE samples, get a baseline for free!", ICLR
    workshop.

    Args:
        returns: (N,) float, of N episodes that began alike.

    Returns:
        (N,) float, without a gradient.

    Raises:
        ValueError: returns is not (N,), or N < 2.
    """
    # TODO(baselines): refuse fewer than two episodes; leave each one out in turn.
    ### BEGIN SOLUTION
    if returns.ndim != 1 or len(returns) < 2:
        raise ValueError(
            f"At least two returns in one dimension are needed, but the shape is {tuple(returns.shape)}."
        )
    returns = returns.detach()
    # BUG(baseline-includes-itself): return returns.mean().expand_as(returns).clone()
    # WHEN an episode's own return is part of its baseline, so that the baseline depends on the
    # WHEN action.
    # BUG(leaves-one-out-divides-by-n): return (returns.sum() - returns) / len(returns)
    # WHEN the sum of the N - 1 other returns is divided by N.
    return (returns.sum() - returns) / (len(returns) - 1)
    ### END SOLUTION


# -- Part 5: the exact gradient --------------------------------------------------------------------


class ExactGradient(NamedTuple):
    """What ``exact_policy_gradient`` returns."""

    J: Tensor  # scalar: the expected discounted return from the start distribution
    gradient: Tensor  # (S, A): its derivative with respect to theta


def exact_policy_gradient(
    P: Tensor, R: Tensor, gamma: float, start: Tensor, theta: Tensor
) -> ExactGradient:
    """Objective and gradient of a tabular softmax policy, without sampling: the policy gradient
    theorem (S&B 13.5).

    pi(a|s) = softmax(theta[s])_a,   v = r_pi + gamma * P_pi v,   q(s, a) = R(s, a) + gamma * sum of P(s, a, s') v(s')
    eta(s)  = sum over t of gamma^t Pr(s_t = s):   eta = start + gamma * P_pi^T eta        (visits, not normalised)
    dJ/dtheta[s, a] = eta(s) * sum over b of q(s, b) * d pi(b|s) / d theta[s, a]

    Args:
        P: (S, A, S) float, P[s, a, s'] = probability of s' after a in s. A row may sum to less than
            1: the rest ends the episode.
        R: (S, A) float, expected reward.
        gamma: in [0, 1).
        start: (S,) float, start distribution.
        theta: (S, A) float, preferences.

    Returns:
        ExactGradient(J, gradient): J = start . v, and dJ/dtheta (S, A); both without a graph, in
        the dtype of theta.

    Raises:
        ValueError: gamma lies outside [0, 1).
    """
    if not 0.0 <= gamma < 1.0:
        raise ValueError(f"gamma must lie in [0, 1), but it is {gamma}.")
    # TODO(exact): two linear systems, one for v and one for the visits.
    ### BEGIN SOLUTION
    pi = theta.detach().softmax(1)
    transitions = torch.einsum("sa,sat->st", pi, P)
    system = torch.eye(len(P), dtype=pi.dtype) - gamma * transitions
    v = torch.linalg.solve(system, (pi * R).sum(1))
    # BUG(reward-instead-of-q): q = R
    # WHEN an action is judged by its immediate reward and not by all that follows.
    # BUG(q-without-gamma): q = R + P @ v
    # WHEN the value of the next state is not discounted.
    q = R + gamma * P @ v
    # BUG(visits-run-backwards): visits = torch.linalg.solve(system, start)
    # WHEN the visits are computed with the transition matrix instead of its transpose.
    # BUG(visits-only-the-start): visits = start
    # WHEN only the first state of an episode contributes to the gradient.
    # BUG(visits-normalised): visits = (1 - gamma) * torch.linalg.solve(system.T, start)
    # WHEN the discounted visits are scaled to sum to 1, or by 1 - gamma, which shrinks the gradient.
    # BUG(visits-normalised, 2): visits = torch.linalg.solve(system.T, start); visits = visits / visits.sum()
    visits = torch.linalg.solve(system.T, start)
    # BUG(softmax-derivative-without-the-others): gradient = visits[:, None] * pi * (1 - pi) * q
    # WHEN the derivative of the softmax leaves out that raising one preference lowers the other
    # WHEN probabilities.
    # BUG(softmax-derivative-without-the-others, 2): gradient = visits[:, None] * pi * q
    # BUG(log-derivative-without-pi): gradient = visits[:, None] * (q - (pi * q).sum(-1, keepdim=True))
    # WHEN the actions are not weighted by their probabilities.
    gradient = visits[:, None] * pi * (q - (pi * q).sum(1, keepdim=True))
    # BUG(objective-ignores-the-start): return ExactGradient(v.mean(), gradient)
    # WHEN the objective averages over all states alike instead of over the start distribution.
    return ExactGradient(start @ v, gradient)
    ### END SOLUTION


# -- Part 6: training ------------------------------------------------------------------------------

### BEGIN SOLUTION
BASELINES = ("none", "standardize", "leave_one_out", "value")
### END SOLUTION


@dataclass(frozen=True)
class Config:
    """What ``train_reinforce`` may be told."""

    max_steps: int = 50_000  # calls of env.step, at most
    episodes_per_update: int = 8
    gamma: float = 0.99
    learning_rate: float = 1e-2  # of Adam, for the policy
    baseline: str = "standardize"  # or "none", "leave_one_out", "value"
    value_learning_rate: float = 1e-2  # of Adam, for the value network
    value_updates: int = 5  # steps of the value network for each update of the policy
    entropy_coefficient: float = (
        0.0  # how much the entropy, averaged over valid steps, counts against the loss
    )
    hidden: int = 64
    progress: bool = True  # a bar with the running return; never shown where there is no terminal


class Result(NamedTuple):
    """What ``train_reinforce`` returns."""

    policy: nn.Module  # policy(observations (..., obs_dim)) -> CategoricalPolicy or GaussianPolicy
    returns: list[float]  # undiscounted return of each finished episode, in order
    steps: int  # how often env.step was called
    value: nn.Module | None = (
        None  # value(observations (..., obs_dim)) -> (..., 1); None without a value baseline
    )


class PolicyNetwork(nn.Module):
    """One hidden layer; its output parametrises a categorical or, for a Box of actions, a Gaussian
    policy."""

    def __init__(self, observation_space: Any, action_space: Any, hidden: int) -> None:
        super().__init__()
        self.continuous = not isinstance(action_space, gymnasium.spaces.Discrete)
        outputs = math.prod(action_space.shape) if self.continuous else int(action_space.n)
        self.body = _network(observation_space, outputs, hidden)
        if self.continuous:
            self.log_std = nn.Parameter(torch.full((outputs,), -0.5))

    def forward(self, observations: Tensor) -> CategoricalPolicy | GaussianPolicy:
        """The policy for each observation: (..., obs_dim) float."""
        out = self.body(observations)
        return GaussianPolicy(out, self.log_std) if self.continuous else CategoricalPolicy(out)


def _network(observation_space: Any, outputs: int, hidden: int) -> nn.Sequential:
    """Observations in, ``outputs`` numbers out."""
    inputs = math.prod(observation_space.shape)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, outputs))


def make_networks(env: Any, config: Config, seed: int) -> tuple[PolicyNetwork, nn.Sequential]:
    """A policy and a value network whose first weights depend on the seed alone; global generators
    stay as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = PolicyNetwork(env.observation_space, env.action_space, config.hidden)
        return policy, _network(env.observation_space, 1, config.hidden)


### BEGIN SOLUTION


class _Episode(NamedTuple):
    """One finished episode of T steps."""

    observations: Tensor  # (T, obs_dim)
    actions: Tensor  # (T,) or (T, D)
    rewards: Tensor  # (T,)


class _Actor:
    """Plays episodes in the environment with the current policy, within the budget of steps."""

    def __init__(self, env: Any, policy: PolicyNetwork, max_steps: int, seed: int) -> None:
        self.env, self.policy, self.max_steps = env, policy, max_steps
        self.seed: int | None = seed
        self.steps = 0
        # BUG(seeds-the-world): self.generator = torch.manual_seed(seed)
        # WHEN training seeds the global generator of the whole program.
        self.generator = torch.Generator().manual_seed(seed)

    @torch.inference_mode()
    def episode(self) -> _Episode | None:
        """Play one episode to its end. None if the budget ends first: half an episode has no
        return."""
        # BUG(first-observation-stale): observation = getattr(self, "last", self.env.reset(seed=self.seed)[0])
        # WHEN an episode begins with the last observation of the episode before it instead of that
        # WHEN of reset.
        observation, _ = self.env.reset(seed=self.seed)
        # BUG(seeds-every-episode): pass
        # WHEN every episode is reset with the same seed and begins in the same state.
        self.seed = None  # from now on the environment's own generator goes on
        observations: list[Tensor] = []
        actions, rewards = [], []
        # BUG(budget-checked-between-episodes): while rewards or self.steps < self.max_steps:
        # WHEN an episode is played to its end although the budget of steps is used up.
        while self.steps < self.max_steps:
            observations.append(torch.as_tensor(observation, dtype=torch.float32).flatten())
            # BUG(acts-on-the-first-observation): actions.append(self.policy(observations[0]).sample(self.generator))
            # WHEN every action of an episode is drawn for its first observation and not for the one
            # WHEN that is shown.
            # BUG(log-prob-of-the-clipped-action): actions.append(torch.as_tensor(self._legal(self.policy(observations[-1]).sample(self.generator))))
            # WHEN the log-probability is that of the action as the environment got it, clipped, and
            # WHEN not of the one that was drawn.
            actions.append(self.policy(observations[-1]).sample(self.generator))
            observation, reward, terminated, truncated, _ = self.env.step(self._legal(actions[-1]))
            # BUG(first-observation-stale): self.last = observation; rewards.append(float(reward))
            rewards.append(float(reward))
            self.steps += 1
            # BUG(plays-past-the-time-limit): if terminated:
            # WHEN only terminated ends an episode, and steps go on after the environment has
            # WHEN truncated it.
            if terminated or truncated:
                # BUG(observation-after-the-action): return _Episode(torch.stack([*observations[1:], torch.as_tensor(observation).float().flatten()]), torch.stack(actions), torch.tensor(rewards))
                # WHEN an action is paired with the observation that followed it and not with the
                # WHEN one it was chosen for.
                return _Episode(
                    torch.stack(observations), torch.stack(actions), torch.tensor(rewards)
                )
        # BUG(learns-from-half-an-episode): return _Episode(torch.stack(observations), torch.stack(actions), torch.tensor(rewards)) if rewards else None
        # WHEN an episode that the budget cut short is learned from as if it were whole.
        return None

    def _legal(self, action: Tensor) -> Any:
        """The action as the environment takes it: inside its bounds. What was drawn stays what it
        was."""
        space = self.env.action_space
        # BUG(leaves-the-action-space): return action.numpy() if self.policy.continuous else int(action)
        # WHEN continuous actions are sent to the environment even if they lie outside its action
        # WHEN space.
        return action.numpy().clip(space.low, space.high) if self.policy.continuous else int(action)


def _batch(episodes: list[_Episode]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Episodes side by side, padded with zeros: observations (T, N, obs), actions, rewards and mask
    (T, N)."""
    observations, actions, rewards = (
        nn.utils.rnn.pad_sequence(list(field)) for field in zip(*episodes, strict=True)
    )
    lengths = torch.tensor([len(episode.rewards) for episode in episodes])
    return observations, actions, rewards, torch.arange(len(rewards))[:, None] < lengths


def _weights(baseline: str, returns: Tensor, mask: Tensor, values: Tensor) -> Tensor:
    """What each step's log-probability is weighted with: returns less a baseline. (T, N)."""
    # BUG(no-baseline-subtracts): if baseline in ("standardize", "none"):
    # WHEN something is subtracted from the returns although the baseline is "none".
    if baseline == "standardize":
        return standardize(returns, mask)
    if baseline == "leave_one_out" and returns.shape[1] > 1:
        return returns - torch.stack([leave_one_out_baseline(row) for row in returns])
    return returns - values if baseline == "value" else returns


class _Learner:
    """The two networks with their optimisers."""

    def __init__(self, policy: PolicyNetwork, value: nn.Sequential, config: Config) -> None:
        self.policy, self.value, self.config = policy, value, config
        self.policy_optimizer = torch.optim.Adam(policy.parameters(), config.learning_rate)
        self.value_optimizer = torch.optim.Adam(value.parameters(), config.value_learning_rate)

    def update(self, episodes: list[_Episode]) -> None:
        """One step of the policy and, where it serves as the baseline, several of the value
        network."""
        observations, actions, rewards, mask = _batch(episodes)
        # BUG(training-forgets-gamma): returns = discounted_returns(rewards, 1.0, mask)
        # WHEN training does not discount, whatever its gamma is.
        returns = discounted_returns(rewards, self.config.gamma, mask)
        # BUG(value-fitted-before-it-serves): values = (self._fit_value(observations, returns, mask), self._judge(observations))[1]
        # WHEN the value network is fitted to a batch before it serves as the baseline of that batch.
        values = self._judge(observations)
        weights = _weights(self.config.baseline, returns, mask, values)
        policy = self.policy(observations)
        loss = policy_gradient_loss(policy.log_prob(actions), weights, mask)
        # BUG(entropy-punished): loss = loss + self.config.entropy_coefficient * policy.entropy()[mask].mean()
        # WHEN the entropy bonus has the wrong sign and punishes exploration.
        loss = loss - self.config.entropy_coefficient * policy.entropy()[mask].mean()
        # BUG(gradients-never-cleared): pass
        # WHEN gradients are never cleared, so that each update repeats all earlier ones.
        self.policy_optimizer.zero_grad()
        loss.backward()
        self.policy_optimizer.step()
        # BUG(value-fitted-before-it-serves): if False:
        # BUG(value-never-trained): if False:
        # WHEN the value network is used as a baseline but never trained.
        if self.config.baseline == "value":
            self._fit_value(observations, returns, mask)

    @torch.no_grad()
    def _judge(self, observations: Tensor) -> Tensor:
        """The values of observations (T, N, obs): (T, N)."""
        return self.value(observations).squeeze(-1)

    def _fit_value(self, observations: Tensor, returns: Tensor, mask: Tensor) -> None:
        observations, returns = observations[mask], returns[mask]
        # BUG(one-value-step-a-batch): for _ in range(1):
        # WHEN the value network makes one step for each batch, whatever value_updates says.
        for _ in range(self.config.value_updates):
            # BUG(gradients-never-cleared, 2): pass
            self.value_optimizer.zero_grad()
            value_loss(self.value(observations).flatten(), returns).backward()
            # BUG(value-never-trained, 2): pass
            self.value_optimizer.step()


### END SOLUTION


def train_reinforce(env: Any, config: Config, seed: int) -> Result:
    """REINFORCE (S&B section 13.3), with a baseline if asked for (13.4), on batches of whole
    episodes.

    Plays ``episodes_per_update`` episodes to their ends, makes one update of the policy from them,
    throws them away, and goes on until ``max_steps`` calls of ``env.step`` have been made. An
    episode that the budget cuts short is dropped: it is neither learned from nor reported. Whether
    the last, incomplete batch still makes an update is up to you.

    * Weights are discounted rewards to go; "none" leaves them as they are; "standardize" standardises them over the batch's valid
      steps; "leave_one_out" subtracts, at each time, the mean over the batch's other episodes
      (those that are over count 0; where there are no others, nothing is subtracted); "value"
      subtracts V(s_t) of a value network as it was before this batch, and then fits it to the same
      returns.
    * Continuous actions are clipped to the bounds of the action space on their way to the
      environment, and only there: log_prob is that of the action that was drawn.
    * The environment is seeded at the first reset, with ``seed``, and never with the same seed
      again. Everything else depends on ``seed`` alone: the same call gives the same result. Global
      generators stay as they are.
    * ``PolicyNetwork`` and ``make_networks`` are given; other networks are as good.

    Args:
        env: a Gymnasium environment (not a vector of them) with a Box of observations, and Discrete
            or Box actions.
        config: see ``Config``.
        seed: of networks, sampling and environment.

    Returns:
        Result(policy, returns, steps, value).

    Raises:
        ValueError: an unknown baseline, or fewer than one episode an update.
    """
    # TODO(train): refuse what the docstring names; then play, pad, weigh, step, with the functions above.
    ### BEGIN SOLUTION
    # BUG(accepts-an-unknown-baseline): if config.episodes_per_update < 1:
    # WHEN a baseline that does not exist is silently taken for none.
    if config.baseline not in BASELINES or config.episodes_per_update < 1:
        raise ValueError(
            f"baseline must be one of {BASELINES} and episodes_per_update at least 1; the config is {config}."
        )
    policy, value = make_networks(env, config, seed)
    actor, learner = _Actor(env, policy, config.max_steps, seed), _Learner(policy, value, config)
    returns: list[float] = []
    episodes: list[_Episode] = []
    with tqdm(
        total=config.max_steps, unit="step", disable=None if config.progress else True
    ) as bar:
        while (episode := actor.episode()) is not None:
            episodes.append(episode)
            # BUG(reports-mean-rewards): returns.append(float(episode.rewards.mean()))
            # WHEN the mean reward of a step is reported as the return of an episode.
            returns.append(float(episode.rewards.sum()))
            if len(episodes) == config.episodes_per_update:
                learner.update(episodes)
                episodes = []
            bar.update(actor.steps - bar.n)
            bar.set_postfix(
                running_return=f"{sum(returns[-50:]) / len(returns[-50:]):.1f}", refresh=False
            )
    return Result(policy, returns, actor.steps, value if config.baseline == "value" else None)
    ### END SOLUTION
