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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(gaussian): cut in two; clip the second half.")


def log_tanh_derivative(u: Tensor) -> Tensor:
    """log(1 - tanh(u)^2), the logarithm of the derivative of tanh, for each entry; any shape.

    It must be right where tanh(u) is 1 in floating point, say at |u| = 20 (-38.6...) or 300, and so
    must its gradient, -2 tanh(u). No epsilon is added.
    """
    # TODO(gaussian): write 1 - tanh(u)^2 with exponentials, take the logarithm by hand, use softplus.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(gaussian): write 1 - tanh(u)^2 with exponentials, take the logarithm by hand, use softplus.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(gaussian): a normal log-density, the correction for tanh, and one sum.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(gaussian): u, tanh(u), and its log-probability.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(box): where between low and high does each component lie?")


def from_box(action: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(..., D) The squashed action of an action within the bounds: the inverse of ``to_box``."""
    # TODO(box): undo the last step first.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(box): undo the last step first.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ddpg): one line for each pair of parameters.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ddpg): the reward, plus the discounted future unless the step terminated; no gradient.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ddpg): the next action, what it is worth, bootstrapped.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ddpg): all critics, one target for each row; a mean over rows, a sum over critics.")


def deterministic_actor_loss(actor: nn.Module, critic: nn.Module, obs: Tensor) -> Tensor:
    """DDPG's and TD3's loss of the actor: minus the mean value of its own actions.

        -mean over rows of Q_1(s_i, tanh(actor(s_i)))

    Q_1 is the first critic. The gradient passes through the critic to the action and to the actor.
    No parameter of the critic gets any: use ``frozen``.

    Returns:
        A scalar tensor.
    """
    # TODO(ddpg): the actor's actions, judged by a frozen critic.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ddpg): the actor's actions, judged by a frozen critic.")


def noisy_action(action: np.ndarray, std: float, noise: np.ndarray) -> np.ndarray:
    """An action with exploration: action + std * noise, clipped to [-1, 1]. All (D,)."""
    # TODO(ddpg): one line.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ddpg): one line.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(td3): scale the noise, clip it, add it, clip the action.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(td3): the smoothed action, the smaller value in each row, bootstrapped.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(sac): draw the next action; its soft value; bootstrapped.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(sac): draw actions, judge them by frozen critics, and weigh value against log-probability.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(temperature): one line; log_prob is a number here.")


# -- Part 7: training ------------------------------------------------------------------------------


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(train): targets, critics, and now and then actor, temperature and target networks.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(train): ask the actor; with noise or without; by algorithm.")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(train): act, store, learn. Which action is stored, and which flag?")


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
    # YOUR CODE HERE
    raise NotImplementedError("TODO(train): act without noise, in the environment's units; either flag ends an episode.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# gaussian=  box=  ddpg=  td3=  sac=  temperature=  train=
