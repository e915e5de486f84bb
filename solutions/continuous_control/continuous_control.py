"""Continuous control: DDPG, TD3 and SAC (PyTorch).

Conventions, the same everywhere in this file

* B is the size of a batch, S the length of an observation, D the number of components of an action,
  K the number of critics. Rewards, Q-values and targets share one unit, log-probabilities are in
  nats.
* Inside this file an action is *squashed*: every component lies in [-1, 1]. Only ``to_box`` and
  ``from_box`` know the bounds of the environment. The memory holds squashed actions, critics judge
  squashed actions, and a log-probability is that of the squashed action.
* An actor is a network from observations (B, S) to numbers without bounds: (B, D) for DDPG and TD3,
  whose action is tanh of them, and (B, 2D) for SAC. A critic is a network from observations and
  actions side by side, (B, S + D), to (B, K): see ``q_values``.
* ``noise`` is a tensor or an array of standard normal numbers that the caller has drawn, one for
  each component of an action. No function but ``train`` draws anything.
* ``terminated`` says that a step led to a real end: the future is worth 0 there. ``truncated`` says
  that a clock stopped the episode: the future still has its value. Only the first enters a target.
* An *environment step* is one call of ``env.step``; a *gradient step* is one call of ``update_``.
* Names ending in ``_`` change their first argument in place. Everything else leaves its arguments
  alone.
* Targets only call their networks: a test lends plain functions in their place.

Sources: Lillicrap et al. (2016), Continuous control with deep reinforcement learning (DDPG);
Fujimoto, van Hoof and Meger (2018), Addressing function approximation error in actor-critic methods
(TD3); Haarnoja et al. (2018), Soft actor-critic algorithms and applications (SAC).
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

# -- Given: what the functions below take and return -----------------------------------------------

LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0  # bounds of SAC's log_std
RUNNING_EPISODES = 10  # the running return is the mean over so many of the latest episodes


class Batch(NamedTuple):
    """Transitions. Row i of every tensor belongs to the same one."""

    obs: Tensor  # (B, S)
    action: Tensor  # (B, D), squashed
    reward: Tensor  # (B,)
    next_obs: Tensor  # (B, S): what the step led to, before any reset
    terminated: Tensor  # (B,) bool


class Gaussian(NamedTuple):
    """Independent normal distributions over the D components of an action before tanh."""

    mean: Tensor  # (B, D)
    log_std: Tensor  # (B, D)


class Sample(NamedTuple):
    """What ``squash`` returns."""

    action: Tensor  # (B, D), squashed
    log_prob: Tensor  # (B,) of the whole squashed action, in nats


class ActorLoss(NamedTuple):
    """What ``sac_actor_loss`` returns."""

    loss: Tensor  # a scalar
    log_prob: Tensor  # (B,) of the actions that were drawn


class Noise(NamedTuple):
    """The standard normal numbers of one gradient step."""

    next: Tensor  # (B, D): for the actions after the step, in the targets
    now: Tensor  # (B, D): for the actions that SAC's actor is trained with


class Progress(NamedTuple):
    """What ``train`` tells ``Config.callback`` after each round of gradient steps."""

    step: int  # environment steps taken so far
    gradient_steps: int  # gradient steps taken so far
    critic_loss: float  # of the latest gradient step; nan if there was none
    running_return: float  # mean of the latest RUNNING_EPISODES returns; nan before the first
    agent: Agent  # the agent that learns, not a copy


class Result(NamedTuple):
    """What ``train`` returns. E is the number of episodes that came to an end, by either flag."""

    agent: Agent
    returns: np.ndarray  # (E,) float64: the undiscounted sum of rewards of each episode
    steps: np.ndarray  # (E,) int64: the environment steps taken, in all, when that episode ended
    buffer: ReplayBuffer  # with the transitions of the training


@dataclass(frozen=True)
class Config:
    """Settings of an agent and of ``train``. The defaults let SAC swing up Pendulum-v1."""

    algorithm: str = "sac"  # "ddpg", "td3" or "sac"
    total_steps: int = 4_000  # environment steps, all episodes together
    warmup_steps: int = 400  # environment steps with uniform actions, before anything is learned
    train_every: int = 1  # environment steps between two rounds of gradient steps
    gradient_steps: int = 1  # gradient steps in one round; with 0 the agent only acts
    batch_size: int = 128  # transitions in one gradient step
    buffer_capacity: int = 50_000  # transitions that the replay memory holds
    gamma: float = 0.98  # discount for one environment step
    tau: float = 0.02  # share of the online networks in an update of the target networks
    learning_rate: float = 2e-3  # of Adam, for actor, critics and temperature
    hidden: tuple[int, ...] = (64, 64)  # widths of the hidden layers
    policy_delay: int = 1  # gradient steps between two steps of the actor (TD3: 2)
    exploration_std: float = 0.1  # of the noise on DDPG's and TD3's actions, squashed
    target_std: float = 0.2  # of TD3's target noise, squashed ...
    target_clip: float = 0.5  # ... which is clipped to this size
    alpha: float = 0.2  # SAC's temperature at the beginning
    learn_alpha: bool = True  # False: the temperature stays what it is
    target_entropy: float | None = None  # None: minus the number of action components
    callback: Callable[[Progress], bool | None] | None = None  # True ends the training

    def __post_init__(self) -> None:
        _check(self.algorithm in ("ddpg", "td3", "sac"), f"No algorithm is {self.algorithm!r}.")
        for name in ("total_steps", "train_every", "batch_size", "buffer_capacity", "policy_delay"):
            number = getattr(self, name)
            _check(number >= 1, f"{name} must be at least 1, but it is {number}.")
        _check(0.0 <= self.gamma <= 1.0, f"gamma must lie in [0, 1], but it is {self.gamma}.")
        _check(self.alpha > 0.0, f"alpha must be positive, but it is {self.alpha}.")


def _check(holds: bool, sentence: str) -> None:
    """Refuse an impossible argument."""
    if not holds:
        raise ValueError(sentence)


# -- Given: memory, networks, agent, a world whose answer is known ---------------------------------


class ReplayBuffer:
    """The latest ``capacity`` transitions; the oldest is overwritten first. `dqn` is where one
    writes it."""

    def __init__(self, capacity: int, obs_dim: int, action_dim: int) -> None:
        widths = {"obs": (obs_dim,), "action": (action_dim,), "reward": (), "next_obs": (obs_dim,)}
        self._columns = {n: np.zeros((capacity, *w), np.float32) for n, w in widths.items()}
        self._columns["terminated"] = np.zeros(capacity, bool)
        self._capacity, self._added = capacity, 0

    def __len__(self) -> int:
        return min(self._added, self._capacity)

    def add(
        self,
        obs: np.ndarray,
        action: np.ndarray,
        reward: float,
        next_obs: np.ndarray,
        terminated: bool,
    ) -> None:
        """Store a copy of one transition, its action squashed."""
        at = self._added % self._capacity
        row = (obs, action, reward, next_obs, terminated)
        for column, value in zip(self._columns.values(), row, strict=True):
            column[at] = value
        self._added += 1

    def rows(self, index: np.ndarray) -> Batch:
        """These slots, as float32 tensors; slot 0 was written first."""
        return Batch(*(torch.from_numpy(column[index]) for column in self._columns.values()))

    def sample(self, batch: int, rng: np.random.Generator) -> Batch:
        """``batch`` transitions, uniformly and with replacement."""
        return self.rows(rng.integers(len(self), size=batch))


class Networks(nn.Module):
    """K multilayer perceptrons side by side, with ReLU between their layers: (B, sizes[0]) to
    (B, K * sizes[-1])."""

    def __init__(self, copies: int, sizes: tuple[int, ...], rng: np.random.Generator) -> None:
        super().__init__()

        def drawn(inputs: int, *shape: int) -> nn.Parameter:
            width = 1.0 / math.sqrt(inputs)  # as torch.nn.Linear begins
            return nn.Parameter(torch.from_numpy(rng.uniform(-width, width, shape)).float())

        self.copies = copies
        self.layers = [
            (drawn(i, copies, i, o), drawn(i, copies, 1, o)) for i, o in itertools.pairwise(sizes)
        ]
        for number, (weight, bias) in enumerate(self.layers):
            self.register_parameter(f"weight_{number}", weight)
            self.register_parameter(f"bias_{number}", bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x.expand(self.copies, *x.shape)
        for number, (weight, bias) in enumerate(self.layers):
            x = torch.baddbmm(bias, torch.relu(x) if number else x, weight)
        return x.transpose(0, 1).flatten(1)


class Agent(nn.Module):
    """The networks of one agent, their optimisers, and SAC's temperature.

    ``actor``, ``critic`` and ``log_alpha`` learn; ``target_actor`` and ``target_critic`` begin as
    copies and never require a gradient. DDPG has one critic, TD3 and SAC have two. SAC does not use
    its target actor, and the others do not use the temperature. ``gradient_steps`` counts the calls
    of ``update_``.
    """

    def __init__(
        self, obs_dim: int, action_dim: int, config: Config, rng: np.random.Generator
    ) -> None:
        super().__init__()
        sac, inputs = config.algorithm == "sac", obs_dim + action_dim
        outputs = 2 * action_dim if sac else action_dim
        critics = 1 if config.algorithm == "ddpg" else 2
        self.config, self.action_dim, self.gradient_steps = config, action_dim, 0
        self.target_entropy = (
            -float(action_dim) if config.target_entropy is None else config.target_entropy
        )
        self.actor = Networks(1, (obs_dim, *config.hidden, outputs), rng)
        self.critic = Networks(critics, (inputs, *config.hidden, 1), rng)
        self.target_actor = copy.deepcopy(self.actor).requires_grad_(False)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_alpha = nn.Parameter(torch.tensor(math.log(config.alpha)))
        rate = {"lr": config.learning_rate, "fused": True}
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), **rate)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), **rate)
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], **rate)


def q_values(critic: nn.Module, obs: Tensor, action: Tensor) -> Tensor:
    """(B, K) what each critic says of observations (B, S) and actions (B, D)."""
    return critic(torch.cat([obs, action], dim=-1))


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """What is computed inside passes gradients *through* the network, and none *to* its
    parameters."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


class LinearQuadratic:
    """A world whose optimal Q is known: s' = A s + B a, reward -(s'Q s + a'R a), actions in a box.

    Every episode begins in a random state of [-1, 1] and is truncated after ``limit`` steps. It has
    what ``train`` and ``evaluate`` use of a Gymnasium environment. ``value_matrix(gamma)`` is P with
    V*(s) = -s'P s, which holds wherever the best action lies within the box.
    """

    A = np.array([[1.0, 0.2], [0.0, 0.9]])
    B = np.array([[0.0], [0.4]])
    Q, R = np.diag([1.0, 0.1]), np.diag([0.05])

    def __init__(self, limit: int = 20) -> None:
        from gymnasium.spaces import Box

        self.observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = Box(-4.0, 4.0, (1,), np.float32)
        self.limit, self._dice = limit, np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """Begin an episode: (observation, {})."""
        self._dice = self._dice if seed is None else np.random.default_rng(seed)
        self._state, self._clock = self._dice.uniform(-1.0, 1.0, 2), 0
        return self._state.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple:
        """(observation, reward, False, truncated, {})."""
        s, a = self._state, np.asarray(action, float)
        reward = -float(s @ self.Q @ s + a @ self.R @ a)
        self._state, self._clock = self.A @ s + self.B @ a, self._clock + 1
        return self._state.astype(np.float32), reward, False, self._clock == self.limit, {}

    def value_matrix(self, gamma: float) -> np.ndarray:
        """(2, 2) P, the fixed point of Riccati's recursion."""
        P = np.zeros((2, 2))
        for _ in range(2_000):
            P = self.Q + gamma * self.A.T @ P @ (self.A - self.B @ self.gain(P, gamma))
        return P

    def gain(self, P: np.ndarray, gamma: float) -> np.ndarray:
        """(1, 2) K: the best action is -K s where the next state is worth -s'P s."""
        return np.linalg.solve(
            self.R + gamma * self.B.T @ P @ self.B, gamma * self.B.T @ P @ self.A
        )


# -- Part 1: the squashed Gaussian -----------------------------------------------------------------


def gaussian_heads(output: Tensor) -> Gaussian:
    """What SAC's actor says: (B, 2D) numbers, the means first, then the logarithms of the standard
    deviations, which are clipped to [LOG_STD_MIN, LOG_STD_MAX]."""
    # TODO(gaussian): cut in two; clip the second half.
    ### BEGIN SOLUTION
    # BUG(heads-swapped): log_std, mean = output.chunk(2, dim=-1)
    # WHEN the first half of the actor's output is taken for the log-deviations and the second for
    # WHEN the means.
    # BUG(heads-interleaved): mean, log_std = output[..., 0::2], output[..., 1::2]
    # WHEN means and log-deviations are taken in turn, one of each for every component of the action.
    mean, log_std = output.chunk(2, dim=-1)
    # BUG(log-std-without-bounds): return Gaussian(mean, log_std)
    # WHEN log_std is not clipped on both sides.
    # BUG(log-std-without-bounds, 2): return Gaussian(mean, log_std.clamp(max=LOG_STD_MAX))
    # BUG(log-std-bounded-by-tanh): return Gaussian(mean, LOG_STD_MIN + 0.5 * (LOG_STD_MAX - LOG_STD_MIN) * (torch.tanh(log_std) + 1.0))
    # WHEN log_std is squeezed between its bounds by a tanh, as in CleanRL, instead of being clipped.
    # BUG(log-std-through-a-relu): return Gaussian(mean, log_std.clamp(0.0, LOG_STD_MAX))
    # WHEN log_std cannot be negative, so that no deviation is below 1.
    # BUG(deviation-taken-for-its-logarithm): return Gaussian(mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX).exp())
    # WHEN the second half of the actor's output becomes the standard deviation where its logarithm is
    # WHEN asked for.
    return Gaussian(mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX))
    ### END SOLUTION


def log_tanh_derivative(u: Tensor) -> Tensor:
    """log(1 - tanh(u)^2), the logarithm of the derivative of tanh, for each entry; any shape.

    It must be right where tanh(u) is 1 in floating point, say at |u| = 20 (-38.6...) or 300, and so
    must its gradient, -2 tanh(u). No epsilon is added.
    """
    # TODO(gaussian): write 1 - tanh(u)^2 with exponentials, take the logarithm by hand, use softplus.
    ### BEGIN SOLUTION
    # BUG(correction-without-an-epsilon): return torch.log(1.0 - torch.tanh(u) ** 2)
    # WHEN the logarithm of 1 - tanh(u)^2 is computed as it stands, which is minus infinity once tanh
    # WHEN is 1 in floating point.
    # BUG(correction-without-an-epsilon, 2): return torch.log1p(-(torch.tanh(u) ** 2))
    # BUG(epsilon-caps-the-correction): return torch.log(1.0 - torch.tanh(u) ** 2 + 1e-6)
    # WHEN an epsilon keeps the logarithm of 1 - tanh(u)^2 finite, as in much code: beyond |u| = 7 the
    # WHEN log-probability is off.
    # BUG(epsilon-caps-the-correction, 2): return torch.log((1.0 - torch.tanh(u) ** 2).clamp(min=1e-6))
    # BUG(correction-without-the-square): return math.log(2.0) - nn.functional.softplus(2.0 * u)
    # WHEN the derivative of tanh is taken for 1 - tanh(u), without the square.
    # BUG(correction-of-half-the-size): return math.log(2.0) - u - nn.functional.softplus(-2.0 * u)
    # WHEN the correction is half as large as it should be: a factor 2 is missing.
    # BUG(cosh-overflows): return -2.0 * torch.log(torch.cosh(u))
    # WHEN the correction is the logarithm of a hyperbolic cosine that overflows: in single precision
    # WHEN it is infinite beyond |u| = 90.
    return 2.0 * (math.log(2.0) - u - nn.functional.softplus(-2.0 * u))
    ### END SOLUTION


def squashed_log_prob(u: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """The log-density of the action tanh(u), where u is normal with this mean and log_std.

        log p(tanh u) = sum over components of  log N(u; mean, exp(log_std)^2) - log(1 - tanh(u)^2)

    It is the density of the squashed action, with respect to the volume of [-1, 1]^D.

    Args:
        u: (B, D) the action before tanh.
        mean, log_std: (B, D).

    Returns:
        (B,) in nats.
    """
    # TODO(gaussian): a normal log-density, the correction for tanh, and one sum.
    ### BEGIN SOLUTION
    z = (u - mean) / log_std.exp()
    # BUG(density-without-its-constant): normal = -0.5 * z**2 - log_std
    # WHEN the normal log-density lacks its constant, -log(2 pi) / 2 for each component.
    # BUG(density-without-its-deviation): normal = -0.5 * z**2 - 0.5 * math.log(2.0 * math.pi)
    # WHEN the normal log-density lacks -log_std.
    normal = -0.5 * z**2 - log_std - 0.5 * math.log(2.0 * math.pi)
    # BUG(correction-with-the-wrong-sign): each = normal + log_tanh_derivative(u)
    # WHEN the correction for tanh is added where it has to be subtracted, or has the wrong sign in
    # WHEN itself.
    # BUG(correction-with-the-wrong-sign, 2): each = normal - 2.0 * (u + nn.functional.softplus(-2.0 * u) - math.log(2.0))
    # BUG(tanh-applied-twice): each = normal - log_tanh_derivative(torch.tanh(u))
    # WHEN the correction is computed from tanh(u) instead of u, so that tanh is applied twice in it.
    # BUG(correction-left-out): each = normal
    # WHEN the log-probability is that of the normal distribution, without any correction for tanh.
    each = normal - log_tanh_derivative(u)
    # BUG(log-prob-not-summed): return each.mean(dim=-1)
    # WHEN the log-probability of an action is not the sum over its components, but their mean or one
    # WHEN of them.
    # BUG(log-prob-not-summed, 2): return each[..., 0]
    # BUG(correction-counted-once): return normal.sum(dim=-1) - log_tanh_derivative(u)[..., 0]
    # WHEN the normal log-density is summed over the components of an action and the correction for
    # WHEN tanh is not.
    return each.sum(dim=-1)
    ### END SOLUTION


def squash(mean: Tensor, log_std: Tensor, noise: Tensor) -> Sample:
    """Draw actions: u = mean + exp(log_std) * noise, then tanh.

    The gradient passes through u to mean and log_std, on both ways, through the action and through
    its log-probability: that is the reparametrisation.

    Args:
        mean, log_std, noise: (B, D).

    Returns:
        Sample(action (B, D), log_prob (B,)).
    """
    # TODO(gaussian): u, tanh(u), and its log-probability.
    ### BEGIN SOLUTION
    # BUG(noise-times-the-variance): u = mean + (2.0 * log_std).exp() * noise
    # WHEN the noise is multiplied by the variance, not by the standard deviation.
    # BUG(noise-times-the-logarithm): u = mean + log_std * noise
    # WHEN the noise is multiplied by log_std itself, without exp.
    # BUG(sample-without-a-gradient): u = (mean + log_std.exp() * noise).detach()
    # WHEN what was drawn is a constant: no gradient passes through the sample to mean and log_std.
    u = mean + log_std.exp() * noise
    # BUG(log-prob-of-the-squashed-number): return Sample(torch.tanh(u), squashed_log_prob(torch.tanh(u), mean, log_std))
    # WHEN the normal density is asked for at tanh(u) instead of at u.
    # BUG(log-prob-forgets-the-sample): return Sample(torch.tanh(u), squashed_log_prob(u.detach(), mean, log_std))
    # WHEN the log-probability takes what was drawn for a constant: its gradient misses the way
    # WHEN through the sample.
    # BUG(goes-back-from-the-action): return Sample(torch.tanh(u), squashed_log_prob(torch.atanh(torch.tanh(u).clamp(-1.0 + 1e-6, 1.0 - 1e-6)), mean, log_std))
    # WHEN the number before tanh is computed back from the action, which has no digits left for it
    # WHEN where tanh is nearly 1.
    # BUG(goes-back-from-the-action, 2): return Sample(torch.tanh(u), squashed_log_prob(torch.atanh(torch.tanh(u)), mean, log_std))
    # BUG(action-not-squashed): return Sample(u, squashed_log_prob(u, mean, log_std))
    # WHEN the action is u, without tanh.
    return Sample(torch.tanh(u), squashed_log_prob(u, mean, log_std))
    ### END SOLUTION


# -- Part 2: the agent's scale and the environment's -----------------------------------------------


def to_box(action: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A squashed action in the environment's units: -1 becomes low, 1 becomes high, linear between.

    What rounding (or noise) leads out of the bounds is clipped to them.

    Args:
        action: (..., D).
        low, high: (D,) the bounds of the Box, which need not be symmetric.

    Returns:
        (..., D).
    """
    # TODO(box): where between low and high does each component lie?
    ### BEGIN SOLUTION
    # BUG(box-is-symmetric): scaled = action * high
    # WHEN the Box is taken to be symmetric: actions are only multiplied, by its upper bound or by half
    # WHEN its width.
    # BUG(box-is-symmetric, 2): scaled = action * (high - low) / 2.0
    scaled = low + (action + 1.0) / 2.0 * (high - low)
    return np.clip(scaled, low, high)
    ### END SOLUTION


def from_box(action: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(..., D) The squashed action of an action within the bounds: the inverse of ``to_box``."""
    # TODO(box): undo the last step first.
    ### BEGIN SOLUTION
    # BUG(inverse-of-a-symmetric-box): return action / high
    # WHEN the way back from the Box only divides, by its upper bound or by half its width, as if it
    # WHEN were symmetric.
    # BUG(inverse-of-a-symmetric-box, 2): return 2.0 * action / (high - low)
    return 2.0 * (action - low) / (high - low) - 1.0
    ### END SOLUTION


# -- Part 3: DDPG ----------------------------------------------------------------------------------


@torch.no_grad()
def soft_update_(target: nn.Module, online: nn.Module, tau: float) -> None:
    """Move every parameter of ``target`` towards ``online``, in place: (1 - tau) * target + tau *
    online.

    Raises:
        ValueError: tau lies outside (0, 1].
    """
    _check(0.0 < tau <= 1.0, f"tau must lie in (0, 1], but it is {tau}.")
    # TODO(ddpg): one line for each pair of parameters.
    ### BEGIN SOLUTION
    # BUG(moves-the-online-network, 2): for theirs, ours in zip(online.parameters(), target.parameters(), strict=True):
    for theirs, ours in zip(target.parameters(), online.parameters(), strict=True):
        # BUG(tau-on-the-wrong-side): theirs.lerp_(ours, 1.0 - tau)
        # WHEN tau and 1 - tau are exchanged: with a small tau the target network jumps almost all
        # WHEN the way to the online one.
        # BUG(tau-on-the-wrong-side, 2): theirs.copy_(tau * theirs + (1.0 - tau) * ours)
        # BUG(moves-the-online-network): ours.lerp_(theirs, tau)
        # WHEN it is the online network that is moved, towards the target network.
        theirs.lerp_(ours, tau)
    ### END SOLUTION


def bootstrapped(batch: Batch, next_value: Tensor, gamma: float) -> Tensor:
    """What Q(s, a) should be if the state after the step is worth ``next_value``: (B,).

        y_i = r_i                               where the step terminated
        y_i = r_i + gamma * next_value_i        elsewhere

    The result carries no gradient.

    Raises:
        ValueError: next_value is not of shape (B,), or gamma lies outside [0, 1].
    """
    _check_rows(next_value, "next_value", batch)
    _check(0.0 <= gamma <= 1.0, f"gamma must lie in [0, 1], but it is {gamma}.")
    # TODO(ddpg): the reward, plus the discounted future unless the step terminated; no gradient.
    ### BEGIN SOLUTION
    # BUG(targets-keep-their-gradient): pass
    # WHEN the target is still tied by its gradient to the networks that made it.
    # BUG(targets-keep-their-gradient, 2): next_value = next_value.clone()
    next_value = next_value.detach()
    # BUG(bootstraps-through-termination): return batch.reward + gamma * next_value
    # WHEN the value of what follows a terminated step still enters the target, although nothing
    # WHEN follows it.
    # BUG(mask-turned-round): return batch.reward + gamma * torch.where(batch.terminated, next_value, 0.0)
    # WHEN the future counts where the step terminated, and nowhere else.
    # BUG(masks-the-reward): return torch.where(batch.terminated, 0.0, batch.reward + gamma * next_value)
    # WHEN a terminated step is worth nothing at all, not even its reward.
    # BUG(discounts-the-reward): return gamma * (batch.reward + torch.where(batch.terminated, 0.0, next_value))
    # WHEN the discount multiplies the whole target, the reward of the present step included.
    return batch.reward + gamma * torch.where(batch.terminated, 0.0, next_value)
    ### END SOLUTION


def _check_rows(numbers: Tensor, name: str, batch: Batch) -> None:
    """Refuse numbers that are not (B,): a (B, 1) among them would be stretched to (B, B)."""
    shape = tuple(batch.reward.shape)
    _check(
        tuple(numbers.shape) == shape,
        f"{name} must have shape {shape}, not {tuple(numbers.shape)}.",
    )


def ddpg_targets(
    batch: Batch, target_actor: nn.Module, target_critic: nn.Module, gamma: float
) -> Tensor:
    """DDPG's targets: the target actor chooses the next action, the target critic judges it.

        y = r + gamma * Q_target(s', tanh(target_actor(s')))            (see ``bootstrapped``)

    Args:
        target_critic: with K = 1.

    Returns:
        (B,), without a gradient.

    Source: Lillicrap et al. (2016), Algorithm 1.
    """
    # TODO(ddpg): the next action, what it is worth, bootstrapped.
    ### BEGIN SOLUTION
    # BUG(next-action-from-the-old-state): next_action = torch.tanh(target_actor(batch.obs))
    # WHEN the action of a target is that of the observation before the step, not of the one after.
    # BUG(next-action-not-squashed): next_action = target_actor(batch.next_obs)
    # WHEN the target actor's numbers are judged as they are, without tanh.
    # BUG(next-action-is-the-old-one): next_action = batch.action
    # WHEN the action of a target is the one that was taken before, as it stands in the memory.
    next_action = torch.tanh(target_actor(batch.next_obs))
    # BUG(value-of-the-old-state): value = q_values(target_critic, batch.obs, next_action)
    # WHEN the next action is judged in the state before the step.
    value = q_values(target_critic, batch.next_obs, next_action)
    # BUG(bootstraps-through-termination, 2): return (batch.reward + gamma * value[:, 0]).detach()
    return bootstrapped(batch, value.squeeze(1), gamma)
    ### END SOLUTION


def critic_loss(critic: nn.Module, batch: Batch, targets: Tensor) -> Tensor:
    """The sum over the K critics of each one's mean squared error.

        sum over k of the mean over rows i of (Q_k(s_i, a_i) - y_i)^2

    Args:
        targets: (B,); no gradient flows into them, even if it could.

    Returns:
        A scalar tensor. A critic's gradient is the same as if it were alone.

    Raises:
        ValueError: targets are not of shape (B,).
    """
    _check_rows(targets, "targets", batch)
    # TODO(ddpg): all critics, one target for each row; a mean over rows, a sum over critics.
    ### BEGIN SOLUTION
    q = q_values(critic, batch.obs, batch.action)
    # BUG(target-leaks-gradient): targets = targets.clone()
    # WHEN the loss pulls the target towards the prediction as well: its gradient flows into both.
    # BUG(target-leaks-gradient, 2): targets = 1.0 * targets
    targets = targets.detach()
    # BUG(compares-everything-with-everything): error = (q[:, None, :] - targets[None, :, None]).flatten(0, 1)
    # WHEN every prediction is compared with the targets of all rows.
    # BUG(compares-everything-with-everything, 2): error = torch.cat([q - y for y in targets])
    error = q - targets[:, None]
    # BUG(critics-are-averaged): return (error**2).mean()
    # WHEN the loss is a mean over critics, where their sum is asked for.
    # BUG(rows-are-summed): return (error**2).sum()
    # WHEN the errors of all rows are added up, where their mean is asked for.
    # BUG(critic-loss-is-halved): return 0.5 * (error**2).mean(dim=0).sum()
    # WHEN the squared error carries a factor 1/2, as in Stable-Baselines3's SAC.
    # BUG(one-critic-learns): return (error[:, 0] ** 2).mean()
    # WHEN only the first critic is trained.
    # BUG(smaller-critic-learns): return ((q.amin(dim=1) - targets) ** 2).mean()
    # WHEN only the smaller of the two predictions is compared with the target.
    return (error**2).mean(dim=0).sum()
    ### END SOLUTION


def deterministic_actor_loss(actor: nn.Module, critic: nn.Module, obs: Tensor) -> Tensor:
    """DDPG's and TD3's loss of the actor: minus the mean value of its own actions.

        -mean over rows of Q_1(s_i, tanh(actor(s_i)))

    Q_1 is the first critic. The gradient passes through the critic to the action and to the actor.
    No parameter of the critic gets any: use ``frozen``.

    Returns:
        A scalar tensor.
    """
    # TODO(ddpg): the actor's actions, judged by a frozen critic.
    ### BEGIN SOLUTION
    action = torch.tanh(actor(obs))
    # BUG(actor-loss-trains-the-critic): if True:
    # WHEN the loss of the actor also leaves gradients in the parameters of the critics.
    with frozen(critic):
        # BUG(actor-gets-no-gradient): value = q_values(critic, obs, action.detach()) + 0.0 * action.sum()
        # WHEN the action is cut off from the actor before the critic judges it.
        value = q_values(critic, obs, action)
    # BUG(actor-minimises-the-value): return value[:, 0].mean()
    # WHEN the actor is pushed towards actions that the critic thinks are bad.
    # BUG(actor-asks-the-smaller-critic): return -value.amin(dim=1).mean()
    # WHEN the actor of DDPG and TD3 is judged by the smaller of two critics, not by the first.
    # BUG(actor-asks-all-critics): return -value.mean()
    # WHEN the actor of DDPG and TD3 is judged by the mean of both critics, not by the first.
    # BUG(actor-loss-is-a-sum): return -value[:, 0].sum()
    # WHEN the actor's loss is a sum over the batch, where the mean is asked for.
    return -value[:, 0].mean()
    ### END SOLUTION


def noisy_action(action: np.ndarray, std: float, noise: np.ndarray) -> np.ndarray:
    """An action with exploration: action + std * noise, clipped to [-1, 1]. All (D,)."""
    # TODO(ddpg): one line.
    ### BEGIN SOLUTION
    # BUG(exploration-is-not-clipped): return action + std * noise
    # WHEN the noisy action may leave [-1, 1].
    # BUG(exploration-is-not-clipped, 2): return action + np.clip(std * noise, -1.0, 1.0)
    # BUG(exploration-with-the-variance): return np.clip(action + std**2 * noise, -1.0, 1.0)
    # WHEN exploration multiplies its noise by the variance.
    return np.clip(action + std * noise, -1.0, 1.0)
    ### END SOLUTION


# -- Part 4: TD3 -----------------------------------------------------------------------------------


def smoothed_action(
    target_actor: nn.Module, next_obs: Tensor, noise: Tensor, std: float, clip: float
) -> Tensor:
    """The target actor's action with target noise.

    The noise is std * noise, clipped to [-clip, clip]. It is added to tanh(target_actor(next_obs)),
    and the sum is clipped to [-1, 1].

    Args:
        next_obs: (B, S).
        noise: (B, D) standard normal.

    Returns:
        (B, D), without a gradient.

    Source: Fujimoto et al. (2018), section 5.3 and Algorithm 1.
    """
    # TODO(td3): scale the noise, clip it, add it, clip the action.
    ### BEGIN SOLUTION
    # BUG(target-noise-is-not-clipped): shift = std * noise
    # WHEN the target noise is not clipped, or on one side only.
    # BUG(target-noise-is-not-clipped, 2): shift = (std * noise).clamp(min=-clip)
    # BUG(target-noise-clipped-before-scaling): shift = std * noise.clamp(-clip, clip)
    # WHEN the target noise is clipped first and scaled then.
    # BUG(one-noise-for-the-batch): shift = (std * noise[:1]).clamp(-clip, clip)
    # WHEN all rows of a batch get the same target noise.
    # BUG(target-noise-with-the-variance): shift = (std**2 * noise).clamp(-clip, clip)
    # WHEN the target noise is multiplied by the variance.
    shift = (std * noise).clamp(-clip, clip)
    # BUG(target-noise-before-tanh): return torch.tanh(target_actor(next_obs) + shift).detach()
    # WHEN the target noise is added before tanh.
    # BUG(target-action-is-not-clipped): return (torch.tanh(target_actor(next_obs)) + shift).detach()
    # WHEN the target action may leave [-1, 1].
    # BUG(target-action-is-not-clipped, 2): return (torch.tanh(target_actor(next_obs)).clamp(-1.0, 1.0) + shift).detach()
    return (torch.tanh(target_actor(next_obs)) + shift).clamp(-1.0, 1.0).detach()
    ### END SOLUTION


def td3_targets(
    batch: Batch,
    target_actor: nn.Module,
    target_critic: nn.Module,
    noise: Tensor,
    gamma: float,
    std: float,
    clip: float,
) -> Tensor:
    """TD3's targets: the smaller of two target critics judges the smoothed action.

        y = r + gamma * min over k of Q_target_k(s', smoothed_action)        (see ``bootstrapped``)

    Returns:
        (B,), without a gradient.
    """
    # TODO(td3): the smoothed action, the smaller value in each row, bootstrapped.
    ### BEGIN SOLUTION
    # BUG(next-action-from-the-old-state): next_action = smoothed_action(target_actor, batch.obs, noise, std, clip)
    # BUG(targets-without-smoothing): next_action = torch.tanh(target_actor(batch.next_obs))
    # WHEN TD3's targets judge the target actor's action without any noise.
    next_action = smoothed_action(target_actor, batch.next_obs, noise, std, clip)
    # BUG(value-of-the-old-state): value = q_values(target_critic, batch.obs, next_action)
    value = q_values(target_critic, batch.next_obs, next_action)
    # BUG(trusts-the-larger-critic): value = value.amax(dim=1)
    # WHEN a target takes the larger of the two critics.
    # BUG(trusts-the-larger-critic, 2): value = torch.maximum(value[:, 0], value[:, 1])
    # BUG(averages-the-critics): value = value.mean(dim=1)
    # WHEN a target takes the mean of the two critics, not the smaller one.
    # BUG(trusts-one-critic): value = value[:, 0]
    # WHEN a target listens to one of the two critics only.
    # BUG(smaller-of-the-batch): value = value.min().expand(len(value))
    # WHEN the smallest value of the whole batch stands in every target.
    value = value.amin(dim=1)
    # BUG(bootstraps-through-termination, 2): return (batch.reward + gamma * value).detach()
    return bootstrapped(batch, value, gamma)
    ### END SOLUTION


# -- Part 5: SAC -----------------------------------------------------------------------------------


def sac_targets(
    batch: Batch,
    actor: nn.Module,
    target_critic: nn.Module,
    noise: Tensor,
    alpha: float,
    gamma: float,
) -> Tensor:
    """SAC's targets: the *present* actor draws the next action, which is worth its value and its
    surprise.

        y = r + gamma * (min over k of Q_target_k(s', a') - alpha * log p(a' | s'))

    a' is drawn with ``squash`` from ``gaussian_heads(actor(s'))``. See ``bootstrapped``: after an end
    there is no value, and no entropy either.

    Args:
        noise: (B, D) standard normal.
        alpha: the temperature, at least 0.

    Returns:
        (B,), without a gradient.

    Source: Haarnoja et al. (2018b), sections 4.2 and 5; the smaller of two critics is TD3's.
    """
    # TODO(sac): draw the next action; its soft value; bootstrapped.
    ### BEGIN SOLUTION
    # BUG(next-action-from-the-old-state): action, log_prob = squash(*gaussian_heads(actor(batch.obs)), noise)
    # BUG(log-std-without-bounds, 3): action, log_prob = squash(*actor(batch.next_obs).chunk(2, dim=-1), noise)
    action, log_prob = squash(*gaussian_heads(actor(batch.next_obs)), noise)
    # BUG(value-of-the-old-state): value = q_values(target_critic, batch.obs, action).amin(dim=1)
    # BUG(trusts-the-larger-critic): value = q_values(target_critic, batch.next_obs, action).amax(dim=1)
    # BUG(trusts-the-larger-critic, 2): value = q_values(target_critic, batch.next_obs, action).max(dim=1).values
    # BUG(averages-the-critics): value = q_values(target_critic, batch.next_obs, action).mean(dim=1)
    # BUG(trusts-one-critic): value = q_values(target_critic, batch.next_obs, action)[:, 0]
    # BUG(smaller-of-the-batch): value = q_values(target_critic, batch.next_obs, action).min().expand(len(noise))
    value = q_values(target_critic, batch.next_obs, action).amin(dim=1)
    # BUG(entropy-left-out-of-the-target): soft = value
    # WHEN SAC's targets contain no entropy.
    # BUG(entropy-with-the-wrong-sign): soft = value + alpha * log_prob
    # WHEN SAC's targets are lower where the next action is drawn from a broad distribution.
    # BUG(entropy-of-the-present-action): soft = value - alpha * squash(*gaussian_heads(actor(batch.obs)), noise).log_prob
    # WHEN the entropy in a target is that of the state before the step.
    # BUG(entropy-without-temperature): soft = value - log_prob
    # WHEN the entropy in a target is not multiplied by the temperature.
    soft = value - alpha * log_prob
    # BUG(entropy-is-not-discounted): return bootstrapped(batch, value, gamma) - alpha * log_prob.detach() * ~batch.terminated
    # WHEN the entropy in a target is not discounted.
    # BUG(entropy-after-the-end): return bootstrapped(batch, value, gamma) - gamma * alpha * log_prob.detach()
    # WHEN the entropy after a terminated step enters its target.
    # BUG(bootstraps-through-termination, 2): return (batch.reward + gamma * soft).detach()
    return bootstrapped(batch, soft, gamma)
    ### END SOLUTION


def sac_actor_loss(
    actor: nn.Module, critic: nn.Module, obs: Tensor, noise: Tensor, alpha: float
) -> ActorLoss:
    """SAC's loss of the actor, for actions that are drawn from it with this noise.

        mean over rows of  alpha * log p(a_i | s_i) - min over k of Q_k(s_i, a_i)

    The gradient passes through the drawn action, in both terms. No parameter of a critic gets any:
    use ``frozen``.

    Returns:
        ActorLoss(loss, log_prob (B,)).

    Source: Haarnoja et al. (2018b), section 4.2.
    """
    # TODO(sac): draw actions, judge them by frozen critics, and weigh value against log-probability.
    ### BEGIN SOLUTION
    # BUG(log-std-without-bounds, 4): action, log_prob = squash(*actor(obs).chunk(2, dim=-1), noise)
    action, log_prob = squash(*gaussian_heads(actor(obs)), noise)
    # BUG(actor-loss-trains-the-critic): if True:
    with frozen(critic):
        # BUG(sac-actor-gets-no-gradient): value = q_values(critic, obs, action.detach()).amin(dim=1)
        # WHEN the drawn action is cut off from SAC's actor before the critics judge it.
        # BUG(sac-actor-asks-one-critic): value = q_values(critic, obs, action)[:, 0]
        # WHEN SAC's actor is judged by the first critic, not by the smaller of the two.
        # BUG(sac-actor-asks-the-mean): value = q_values(critic, obs, action).mean(dim=1)
        # WHEN SAC's actor is judged by the mean of the two critics, not by the smaller one.
        value = q_values(critic, obs, action).amin(dim=1)
    # BUG(sac-actor-minimises-the-value): return ActorLoss((alpha * log_prob + value).mean(), log_prob)
    # WHEN SAC's actor is pushed towards actions that the critics think are bad.
    # BUG(actor-avoids-entropy): return ActorLoss((-alpha * log_prob - value).mean(), log_prob)
    # WHEN SAC's actor is paid for a narrow distribution.
    # BUG(actor-without-entropy): return ActorLoss(-value.mean(), log_prob)
    # WHEN SAC's actor is not paid for entropy at all.
    # BUG(entropy-term-is-a-constant): return ActorLoss((alpha * log_prob.detach() - value).mean(), log_prob)
    # WHEN the entropy stands in the loss of SAC's actor but has no gradient.
    # BUG(sac-actor-loss-is-a-sum): return ActorLoss((alpha * log_prob - value).sum(), log_prob)
    # WHEN the loss of SAC's actor is a sum over the batch, where the mean is asked for.
    return ActorLoss((alpha * log_prob - value).mean(), log_prob)
    ### END SOLUTION


# -- Part 6: the temperature -----------------------------------------------------------------------


def temperature_loss(log_alpha: Tensor, log_prob: Tensor, target_entropy: float) -> Tensor:
    """The loss whose gradient step raises the temperature while the entropy is below its target.

        -log_alpha * mean over rows of (log_prob_i + target_entropy)

    The *logarithm* of the temperature stands in front, as in Stable-Baselines3, so that a step has
    the same size at any temperature. (The paper has the temperature itself.)

    Args:
        log_alpha: a scalar tensor.
        log_prob: (B,) of actions drawn from the actor; no gradient flows into it.
        target_entropy: in nats.

    Returns:
        A scalar tensor.
    """
    # TODO(temperature): one line; log_prob is a number here.
    ### BEGIN SOLUTION
    # BUG(temperature-trains-the-actor): gap = (log_prob + target_entropy).mean()
    # WHEN the loss of the temperature passes a gradient on to the actor.
    # BUG(target-entropy-with-the-wrong-sign): gap = (log_prob.detach() - target_entropy).mean()
    # WHEN the target entropy is subtracted from the log-probability, although an entropy is minus a
    # WHEN log-probability.
    gap = (log_prob.detach() + target_entropy).mean()
    # BUG(temperature-in-its-loss): return -log_alpha.exp() * gap
    # WHEN the temperature itself stands in its loss, as in the paper and in CleanRL, where its
    # WHEN logarithm is asked for.
    # BUG(temperature-in-its-loss, 2): return -(log_alpha.exp() * (log_prob.detach() + target_entropy)).mean()
    # BUG(temperature-falls-below-the-target): return log_alpha * gap
    # WHEN the temperature falls while the entropy is below its target, and rises above it.
    # BUG(temperature-falls-below-the-target, 2): return -log_alpha * -gap
    return -log_alpha * gap
    ### END SOLUTION


# -- Part 7: training ------------------------------------------------------------------------------


### BEGIN SOLUTION
def _descend_(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    # BUG(gradients-pile-up): pass
    # WHEN gradients are not set to zero before each step, so that a step also takes those of earlier
    # WHEN batches.
    optimizer.zero_grad()
    loss.backward()
    # BUG(clips-gradients): torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 0.1); optimizer.step()
    # WHEN gradients are clipped before the step.
    # BUG(clips-gradients, 2): torch.nn.utils.clip_grad_value_(optimizer.param_groups[0]["params"], 0.05); optimizer.step()
    optimizer.step()


def _targets(agent: Agent, batch: Batch, noise: Noise, alpha: Tensor) -> Tensor:
    """(B,) The targets of the agent's algorithm."""
    config = agent.config
    # BUG(targets-from-the-online-critic): critic = agent.critic
    # WHEN the targets come from the very critics that are being trained, or from copies that were
    # WHEN made new in every step (tau is 1).
    critic = agent.target_critic
    if config.algorithm == "sac":
        # BUG(sac-draws-from-a-target-actor): return sac_targets(batch, agent.target_actor, critic, noise.next, alpha, config.gamma)
        # WHEN SAC's targets draw the next action from an old copy of the actor.
        # BUG(one-noise-for-both): return sac_targets(batch, agent.actor, critic, noise.now, alpha, config.gamma)
        # WHEN the targets are made with noise.now, which is meant for SAC's actor.
        return sac_targets(batch, agent.actor, critic, noise.next, alpha, config.gamma)
    # BUG(targets-from-the-online-actor): actor = agent.actor
    # WHEN the next action of DDPG and TD3 comes from the actor that is being trained, not from its
    # WHEN slow copy.
    actor = agent.target_actor
    if config.algorithm == "td3":
        std, clip = config.target_std, config.target_clip
        # BUG(one-noise-for-both): return td3_targets(batch, actor, critic, noise.now, config.gamma, std, clip)
        return td3_targets(batch, actor, critic, noise.next, config.gamma, std, clip)
    return ddpg_targets(batch, actor, critic, config.gamma)


def _improve_(agent: Agent, batch: Batch, noise: Noise, alpha: Tensor) -> None:
    """A step of the actor, and of SAC's temperature."""
    if agent.config.algorithm != "sac":
        # BUG(actor-asks-the-target-critic): loss = deterministic_actor_loss(agent.actor, agent.target_critic, batch.obs)
        # WHEN the actor is judged by the target critics.
        # BUG(actor-improves-at-the-next-state): loss = deterministic_actor_loss(agent.actor, agent.critic, batch.next_obs)
        # WHEN the actor is trained at the observations after the steps.
        loss = deterministic_actor_loss(agent.actor, agent.critic, batch.obs)
        _descend_(agent.actor_optimizer, loss)
        return
    # BUG(actor-asks-the-target-critic): loss, log_prob = sac_actor_loss(agent.actor, agent.target_critic, batch.obs, noise.now, alpha)
    # BUG(actor-improves-at-the-next-state): loss, log_prob = sac_actor_loss(agent.actor, agent.critic, batch.next_obs, noise.now, alpha)
    loss, log_prob = sac_actor_loss(agent.actor, agent.critic, batch.obs, noise.now, alpha)
    _descend_(agent.actor_optimizer, loss)
    # BUG(temperature-always-learns): if True:
    # WHEN the temperature is trained, whatever config.learn_alpha says.
    if agent.config.learn_alpha:
        # BUG(ignores-target-entropy): loss = temperature_loss(agent.log_alpha, log_prob, -float(agent.action_dim))
        # WHEN the target entropy is always minus the number of action components.
        # BUG(temperature-asks-the-new-actor): loss = temperature_loss(agent.log_alpha, sac_actor_loss(agent.actor, agent.critic, batch.obs, noise.now, alpha).log_prob, agent.target_entropy)
        # WHEN the temperature's log-probabilities are asked for anew, after the actor's step.
        loss = temperature_loss(agent.log_alpha, log_prob, agent.target_entropy)
        _descend_(agent.alpha_optimizer, loss)


### END SOLUTION


def update_(agent: Agent, batch: Batch, noise: Noise) -> float:
    """One gradient step of the agent, in place.

    1. The temperature of this step is exp(log_alpha) as it is now, a number.
    2. The critics take one step on ``critic_loss``. The targets are those of ``config.algorithm``,
       from the target critics. DDPG and TD3 choose the next action with the target actor, SAC draws
       it from the actor with ``noise.next``; TD3's target noise is ``noise.next`` as well.
    3. ``gradient_steps`` goes up by 1. If it is a multiple of ``policy_delay``, the actor takes one
       step on its loss, at ``batch.obs`` and with the critics as they are now (SAC: with
       ``noise.now``). Then SAC's temperature takes one on ``temperature_loss``, with the
       log-probabilities of that very actor loss, if ``learn_alpha``. Then both target networks move
       towards the online ones with ``tau``.

    A step is zero_grad, backward, and the agent's own optimiser. Gradients are not clipped.

    Args:
        agent: changed in place.
        batch: of the dtype of the agent's parameters.
        noise: (B, D) each.

    Returns:
        The loss of the critics before the step, a float.
    """
    # TODO(train): targets, critics, and now and then actor, temperature and target networks.
    ### BEGIN SOLUTION
    config = agent.config
    # BUG(temperature-is-not-exponentiated): alpha = agent.log_alpha.detach()
    # WHEN log_alpha is used as the temperature.
    alpha = agent.log_alpha.detach().exp()
    loss = critic_loss(agent.critic, batch, _targets(agent, batch, noise, alpha))
    _descend_(agent.critic_optimizer, loss)
    agent.gradient_steps += 1
    # BUG(delay-is-out-of-step): if agent.gradient_steps % config.policy_delay == 1:
    # WHEN the actor's steps come at other gradient steps than the multiples of policy_delay.
    # BUG(ddpg-is-not-delayed): if config.algorithm == "ddpg" or agent.gradient_steps % config.policy_delay == 0:
    # WHEN DDPG takes no notice of policy_delay.
    # BUG(delay-is-out-of-step, 2): if (agent.gradient_steps - 1) % config.policy_delay == 0:
    if agent.gradient_steps % config.policy_delay == 0:
        _improve_(agent, batch, noise, alpha)
        # BUG(target-actor-stands-still): pass
        # WHEN the target actor never moves.
        soft_update_(agent.target_actor, agent.actor, config.tau)
        # BUG(target-critic-stands-still): pass
        # WHEN the target critics never move.
        # BUG(targets-from-the-online-critic, 2): soft_update_(agent.target_critic, agent.critic, 1.0)
        soft_update_(agent.target_critic, agent.critic, config.tau)
    # BUG(actor-is-not-delayed): _ = agent.gradient_steps % config.policy_delay and _improve_(agent, batch, noise, alpha); return loss.item()
    # WHEN the actor takes a step in every gradient step, whatever policy_delay says.
    # BUG(targets-are-not-delayed): _ = agent.gradient_steps % config.policy_delay and soft_update_(agent.target_critic, agent.critic, config.tau); return loss.item()
    # WHEN the target critics move in every gradient step, whatever policy_delay says.
    # BUG(temperature-is-not-delayed): _ = agent.gradient_steps % config.policy_delay and config.algorithm == "sac" and config.learn_alpha and _descend_(agent.alpha_optimizer, temperature_loss(agent.log_alpha, sac_actor_loss(agent.actor, agent.critic, batch.obs, noise.now, alpha).log_prob, agent.target_entropy)); return loss.item()
    # WHEN SAC's temperature takes a step in every gradient step, whatever policy_delay says.
    return loss.item()
    ### END SOLUTION


@torch.no_grad()
def act(agent: Agent, obs: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
    """One squashed action.

    Args:
        obs: (S,) one observation, of any floating dtype. Networks need that of the agent's
            parameters: float32, or float64 after ``double()``.
        noise: (D,) standard normal numbers of any floating dtype, with which the agent explores:
            SAC draws from its distribution (``squash``), DDPG and TD3 make a ``noisy_action`` with
            ``exploration_std``. None: the agent's best guess, tanh of the actor's means.

    Returns:
        (D,).
    """
    # TODO(train): ask the actor; with noise or without; by algorithm.
    ### BEGIN SOLUTION
    dtype = agent.log_alpha.dtype
    output = agent.actor(torch.as_tensor(np.asarray(obs), dtype=dtype)[None])
    config = agent.config
    if config.algorithm == "sac":
        # BUG(log-std-without-bounds, 5): mean, log_std = output.chunk(2, dim=-1)
        mean, log_std = gaussian_heads(output)
        # BUG(evaluates-without-tanh): best = mean
        # WHEN the best guess of SAC is its mean, without tanh.
        best = torch.tanh(mean)
        if noise is None:
            return best.squeeze(0).numpy()
        # BUG(sac-explores-around-its-mean): return noisy_action(best.squeeze(0).numpy(), config.exploration_std, noise)
        # WHEN SAC explores with noise of a fixed size, not with its own distribution.
        drawn = squash(mean, log_std, torch.as_tensor(noise, dtype=dtype)[None]).action
        return drawn.squeeze(0).numpy()
    # BUG(acts-with-the-target-actor): best = torch.tanh(agent.target_actor(torch.as_tensor(np.asarray(obs), dtype=dtype)[None])).squeeze(0).numpy()
    # WHEN DDPG and TD3 act with the target actor.
    best = torch.tanh(output).squeeze(0).numpy()
    # BUG(never-explores): return best
    # WHEN DDPG and TD3 act without noise.
    return best if noise is None else noisy_action(best, config.exploration_std, noise)
    ### END SOLUTION


def train(env, config: Config, seed: int) -> Result:
    """Train an agent in an environment with a Box of actions.

    Everything random comes from one generator, ``numpy.random.default_rng(seed)``, which makes the
    agent first. Then, for each environment step t = 1, 2, ..., total_steps:

    1. Up to t = warmup_steps the squashed action is uniform in [-1, 1]^D. Later it is ``act`` with
       noise. ``env.step`` gets it in the environment's units.
    2. Store the transition with the squashed action. ``next_obs`` is what the step led to, also at
       the end of an episode, and ``terminated`` is the environment's flag of this name. Either flag
       ends the episode: reset.
    3. If t >= warmup_steps and t is a multiple of train_every, take ``gradient_steps`` gradient
       steps, each with a batch and a noise of its own. Then tell ``callback``; stop if it returns
       True.

    Args:
        env: a Gymnasium environment. Use env.reset, env.step, env.observation_space.shape,
            env.action_space.low and .high, and nothing else of it.
        config: the settings.
        seed: as above; also given to the first env.reset and to no other.

    Returns:
        Result, see there. An episode that total_steps or the callback cuts off is not counted. The
        same arguments give the same result.
    """
    # TODO(train): act, store, learn. Which action is stored, and which flag?
    ### BEGIN SOLUTION
    rng = np.random.default_rng(seed)
    low, high = env.action_space.low, env.action_space.high
    (obs_dim,) = env.observation_space.shape
    # BUG(agent-has-a-seed-of-its-own): agent = Agent(obs_dim, len(low), config, np.random.default_rng(0))
    # WHEN the networks do not begin with the numbers of the training's own generator.
    agent = Agent(obs_dim, len(low), config, rng)
    # BUG(ignores-the-capacity): buffer = ReplayBuffer(config.total_steps, obs_dim, len(low))
    # WHEN the memory has a size of its own, whatever config.buffer_capacity says.
    buffer = ReplayBuffer(config.buffer_capacity, obs_dim, len(low))
    returns, steps = [], []
    total, running = 0.0, math.nan
    obs, _ = env.reset(seed=seed)
    for step in range(1, config.total_steps + 1):
        # BUG(warm-up-asks-the-actor): action = act(agent, obs, rng.standard_normal(len(low)))
        # WHEN the first actions come from the untrained actor, where uniform ones are asked for.
        # BUG(draws-from-global-dice): action = np.random.uniform(-1.0, 1.0, len(low))
        # WHEN random numbers of the training come from a global generator, which belongs to the
        # WHEN program that called.
        # BUG(warm-up-with-normal-noise): action = np.clip(rng.standard_normal(len(low)), -1.0, 1.0)
        # WHEN the first actions are normal, where uniform ones are asked for.
        action = rng.uniform(-1.0, 1.0, len(low))
        # BUG(warm-up-never-ends): if False:
        # WHEN every action is drawn uniformly, whatever has been learned.
        # BUG(warm-up-ends-too-early): if step >= config.warmup_steps:
        # WHEN the warm-up has one action less than warmup_steps.
        if step > config.warmup_steps:
            # BUG(explores-with-uniform-noise): action = act(agent, obs, rng.uniform(-1.0, 1.0, len(low)))
            # WHEN the noise of exploration is uniform, where a normal one is asked for.
            # BUG(one-noise-for-all-components): action = act(agent, obs, np.full(len(low), rng.standard_normal()))
            # WHEN all components of an action get the same noise.
            # BUG(trains-without-exploring): action = act(agent, obs)
            # WHEN the agent acts without noise while it is trained.
            action = act(agent, obs, rng.standard_normal(len(low)))
        # BUG(action-not-rescaled): scaled = np.clip(action, low, high).astype(np.float32)
        # WHEN actions reach the environment as they are, squashed, whatever its bounds.
        # BUG(action-rescaled-twice): scaled = to_box(to_box(action, low, high), low, high).astype(np.float32)
        # WHEN actions are scaled to the Box twice.
        # BUG(action-rescaled-twice, 2): action = to_box(action, low, high); scaled = to_box(action, low, high).astype(np.float32)
        scaled = to_box(action, low, high).astype(np.float32)
        next_obs, reward, terminated, truncated, _ = env.step(scaled)
        # BUG(time-limit-is-an-ending, 2): ended = terminated = terminated or truncated
        # BUG(plays-on-after-the-time-limit): ended = terminated
        # WHEN an episode goes on after the environment has truncated it.
        ended = terminated or truncated
        # BUG(time-limit-is-an-ending): buffer.add(obs, action, reward, next_obs, ended)
        # WHEN a step that was cut off by a time limit is stored as one that terminated.
        # BUG(stores-the-scaled-action): buffer.add(obs, scaled, reward, next_obs, terminated)
        # WHEN actions are put into the memory in the environment's units, all of them or those of the
        # WHEN warm-up.
        # BUG(stores-the-scaled-action, 2): buffer.add(obs, scaled if step <= config.warmup_steps else action, reward, next_obs, terminated)
        # BUG(stores-obs-twice): buffer.add(obs, action, reward, obs, terminated)
        # WHEN the observation before the step is also stored as the one after it.
        # BUG(stores-the-reset-observation): buffer.add(obs, action, reward, env.reset()[0] if ended else next_obs, terminated)
        # WHEN at the end of an episode the first observation of another one is stored as what the
        # WHEN step led to.
        buffer.add(obs, action, reward, next_obs, terminated)
        total += float(reward)
        # BUG(observation-stands-still): pass
        # WHEN the agent keeps looking at the first observation of the episode, whatever the steps
        # WHEN led to.
        obs = next_obs
        if ended:
            returns.append(total)
            steps.append(step)
            # BUG(return-runs-on): pass
            # WHEN the return of an episode also counts the rewards of all episodes before it.
            total = 0.0
            running = float(np.mean(returns[-RUNNING_EPISODES:]))
            # BUG(reseeds-every-episode): obs, _ = env.reset(seed=seed)
            # WHEN every reset gets the seed, so that each episode replays the same luck.
            obs, _ = env.reset()
        # BUG(learns-during-warmup): if step % config.train_every == 0:
        # WHEN gradient steps begin at once, without waiting for the end of the warm-up.
        # BUG(learns-every-step): if step >= config.warmup_steps:
        # WHEN there is a round of gradient steps after every environment step, whatever train_every
        # WHEN says.
        if step >= config.warmup_steps and step % config.train_every == 0:
            loss = _learn_(agent, buffer, rng)
            news = Progress(step, agent.gradient_steps, loss, running, agent)
            if config.callback is not None and config.callback(news):
                break
    return Result(agent, np.array(returns, np.float64), np.array(steps, np.int64), buffer)
    ### END SOLUTION


### BEGIN SOLUTION
def _learn_(agent: Agent, buffer: ReplayBuffer, rng: np.random.Generator) -> float:
    """One round of gradient steps; the latest loss of the critics."""
    config, loss = agent.config, math.nan
    # BUG(one-gradient-step-a-round): for _ in range(min(config.gradient_steps, 1)):
    # WHEN a round has one gradient step, whatever config.gradient_steps says.
    for _ in range(config.gradient_steps):
        # BUG(ignores-batch-size): batch = buffer.sample(128, rng)
        # WHEN batches have a size of their own, whatever config.batch_size says.
        # BUG(one-batch-a-round): batch = buffer.sample(config.batch_size, np.random.default_rng(len(buffer)))
        # WHEN all gradient steps of a round learn from one batch.
        batch = buffer.sample(config.batch_size, rng)
        shape = (2, *batch.action.shape)
        # BUG(draws-from-global-dice, 2): noise = torch.randn(shape)
        # BUG(learns-with-the-same-noise): noise = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
        # WHEN the noise of the targets is the same in every gradient step, or is 0.
        # BUG(learns-with-the-same-noise, 2): noise = torch.zeros(shape)
        # BUG(learns-with-uniform-noise): noise = torch.from_numpy(rng.uniform(-1.0, 1.0, shape)).float()
        # WHEN the noise of the targets is uniform, where a normal one is asked for.
        noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        loss = update_(agent, batch, Noise(*noise))
    return loss


### END SOLUTION


def evaluate(agent: Agent, env, episodes: int, seed: int) -> np.ndarray:
    """Play without noise.

    Args:
        env: as for train.
        episodes: how many to play, at least 1.
        seed: given to the first env.reset and to no other.

    Returns:
        (episodes,) float64: the undiscounted sum of rewards of each.

    Raises:
        ValueError: episodes < 1.
    """
    _check(episodes >= 1, f"episodes must be at least 1, but it is {episodes}.")
    # TODO(train): act without noise, in the environment's units; either flag ends an episode.
    ### BEGIN SOLUTION
    low, high = env.action_space.low, env.action_space.high
    returns = np.zeros(episodes)
    for episode in range(episodes):
        # BUG(evaluation-reseeds): obs, _ = env.reset(seed=seed)
        # WHEN every episode of an evaluation begins with the same seed.
        obs, _ = env.reset(seed=seed if episode == 0 else None)
        ended = False
        while not ended:
            # BUG(explores-in-evaluation): action = act(agent, obs, np.random.default_rng(episode).standard_normal(len(low)))
            # WHEN the agent still explores while it is evaluated.
            action = act(agent, obs)
            # BUG(action-not-rescaled, 2): scaled = np.clip(action, low, high).astype(np.float32)
            # BUG(evaluation-rescales-twice): scaled = to_box(to_box(action, low, high), low, high).astype(np.float32)
            # WHEN an evaluation scales its actions to the Box twice.
            scaled = to_box(action, low, high).astype(np.float32)
            obs, reward, terminated, truncated, _ = env.step(scaled)
            returns[episode] += float(reward)
            ended = terminated or truncated
    return returns
    ### END SOLUTION
