"""Deep Q-networks: Q-learning with a neural network in place of the table (PyTorch).

Conventions, the same everywhere in this file

* B is the size of a batch, A the number of actions. Rewards, Q-values, targets and returns share
  one unit.
*
  ``terminated`` says that a step led to a real end of the episode: the future is worth 0 there. ``truncated``
  says that a clock stopped the episode: the future still has its value. Only ``terminated`` enters
  a target.
* An *environment step* is one call of
  ``env.step``; a *gradient step* is one call of ``optimizer.step``. Every interval of ``DQNConfig``
  says which of the two it counts.
* Targets are numbers to be reached, not formulas: they carry no gradient.
* Names ending in ``_`` change their first argument in place. Everything else leaves its arguments
  alone.
* All randomness comes from the ``rng`` or the ``seed`` that is passed in; global generators stay as
  they are.

Sources: Mnih et al. (2015), "Human-level control through deep reinforcement learning", Nature 518,
529-533; van Hasselt, Guez and Silver (2016), "Deep reinforcement learning with double Q-learning",
AAAI, arXiv:1509.06461.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

# -- Given: what the functions below take and return -----------------------------------------------

RUNNING_EPISODES = 20  # the running return is the mean over so many of the latest episodes


class Batch(NamedTuple):
    """What ``ReplayBuffer.sample`` returns: row i of every tensor belongs to the same
    transition."""

    obs: Tensor  # (B, *obs_shape), of the buffer's obs_dtype
    action: Tensor  # (B,) int64
    reward: Tensor  # (B,) float32
    next_obs: Tensor  # (B, *obs_shape): what the step led to, before any reset
    terminated: Tensor  # (B,) bool


class Progress(NamedTuple):
    """What ``train_dqn`` tells ``DQNConfig.callback`` after each round of gradient steps."""

    step: int  # environment steps taken so far
    gradient_steps: int  # gradient steps taken so far
    epsilon: float  # exploration rate of the latest environment step
    loss: float  # loss of the latest gradient step
    running_return: (
        float  # mean return of the latest RUNNING_EPISODES episodes; nan before the first has ended
    )
    network: nn.Module  # the network that learns, not a copy


class Result(NamedTuple):
    """What ``train_dqn`` returns. E is the number of episodes that came to an end, by either
    flag."""

    network: nn.Module  # the online network
    returns: np.ndarray  # (E,) float64: the undiscounted sum of rewards of each episode
    steps: np.ndarray  # (E,) int64: the environment steps taken, in all, when that episode ended


@dataclass(frozen=True)
class DQNConfig:
    """Settings of ``train_dqn``. The defaults balance CartPole-v1 at four seeds of five; at the
    fifth the values outgrow all returns."""

    total_steps: int = 30_000  # environment steps, all episodes together
    warmup_steps: int = 1_000  # environment steps before the first gradient step
    train_every: int = 8  # environment steps between two rounds of gradient steps
    gradient_steps: int = 2  # gradient steps in one round
    target_every: int = 25  # GRADIENT steps between two updates of the target network
    tau: float = 1.0  # share of the online network in such an update; 1 copies it
    batch_size: int = 128  # transitions in one gradient step
    buffer_capacity: int = 50_000  # transitions that the replay memory holds
    gamma: float = 0.99  # discount for one environment step
    learning_rate: float = 2e-3  # of Adam, whose other settings are PyTorch's defaults
    hidden: tuple[int, ...] = (64, 64)  # widths of the hidden layers
    loss: str = "huber"  # "huber" or "mse"
    double: bool = False  # True: Double DQN's targets instead of DQN's
    epsilon_start: float = 1.0  # exploration rate of the first environment step
    epsilon_end: float = 0.02  # exploration rate after epsilon_decay_steps
    epsilon_decay_steps: int = 5_000  # environment steps
    stop_return: float = math.inf  # training ends early once the running return reaches this ...
    callback: Callable[[Progress], bool | None] | None = None  # ... or once this returns True
    progress_bar: bool = True  # shown on a terminal only

    def __post_init__(self) -> None:
        for name in ("total_steps", "train_every", "gradient_steps", "target_every", "batch_size"):
            _check(
                getattr(self, name) >= 1,
                f"{name} must be at least 1, but it is {getattr(self, name)}.",
            )
        _check(0 <= self.gamma <= 1, f"gamma must lie in [0, 1], but it is {self.gamma}.")
        _check(
            self.loss in ("huber", "mse"),
            f'loss must be "huber" or "mse", but it is {self.loss!r}.',
        )


def _check(holds: bool, sentence: str) -> None:
    """Refuse an impossible argument."""
    if not holds:
        raise ValueError(sentence)


class ProgressBar:
    """Environment steps and the running return on one line of a terminal; nothing at all anywhere
    else."""

    def __init__(self, total: int, shown: bool) -> None:
        self._bar = None
        if shown and sys.stderr.isatty():
            try:
                from rich import console, progress
            except ImportError:
                return
            columns = (
                progress.MofNCompleteColumn(),
                progress.BarColumn(),
                progress.TimeRemainingColumn(),
            )
            text = progress.TextColumn("{task.description}")
            self._bar = progress.Progress(
                *columns, text, console=console.Console(stderr=True), transient=True
            )
            self._task = self._bar.add_task("running return: -", total=total)
            self._bar.start()

    def show(self, step: int, running_return: float) -> None:
        """``step`` environment steps are done, and this is the running return."""
        if self._bar is not None:
            text = f"running return: {running_return:.1f}"
            self._bar.update(self._task, completed=step, description=text)

    def close(self) -> None:
        """Give the terminal back."""
        if self._bar is not None:
            self._bar.stop()


# -- Part 1: replay memory -------------------------------------------------------------------------


class ReplayBuffer:
    """The latest ``capacity`` transitions, in ring arrays: when it is full, the oldest one is
    overwritten.

    Args:
        capacity: transitions that fit in, at least 1.
        obs_shape: the shape of one observation.
        obs_dtype: the NumPy dtype in which observations are stored and returned.

    ``len(buffer)`` is the number of transitions that are held.

    Raises:
        ValueError: capacity < 1.
    """

    def __init__(self, capacity: int, obs_shape: Sequence[int], obs_dtype: np.dtype | type) -> None:
        _check(capacity >= 1, f"capacity must be at least 1, but it is {capacity}.")
        # TODO(replay): make one array for each field, and remember where the next transition goes.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(replay): make one array for each field, and remember where the next transition goes.")

    def __len__(self) -> int:
        # TODO(replay): how many transitions are held.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(replay): how many transitions are held.")

    def add(
        self, obs: np.ndarray, action: int, reward: float, next_obs: np.ndarray, terminated: bool
    ) -> None:
        """Store one transition. What the caller does to the arrays afterwards does not change what
        is stored.

        Args:
            obs, next_obs: obs_shape, before and after the step. ``next_obs`` is what the step led
                to, not what a reset returned.
            action, reward: of the step.
            terminated: whether the step ended the episode for real; a time limit does not.

        Raises:
            ValueError: an observation is not of shape obs_shape.
        """
        # TODO(replay): refuse a wrong shape, write one row of every array, move on; start over at the end.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(replay): refuse a wrong shape, write one row of every array, move on; start over at the end.")

    def sample(self, batch: int, rng: np.random.Generator) -> Batch:
        """Draw transitions uniformly, with replacement.

        Args:
            batch: how many, at least 1; may exceed ``len(buffer)``.
            rng: makes the choice.

        Returns:
            Batch, see there. Later additions do not change it.

        Raises:
            ValueError: batch < 1, or the buffer is empty.
        """
        _check(batch >= 1, f"batch must be at least 1, but it is {batch}.")
        # TODO(replay): refuse an empty buffer; draw rows that were written, and return the same rows of each field.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(replay): refuse an empty buffer; draw rows that were written, and return the same rows of each field.")


# -- Part 2: network and behaviour -----------------------------------------------------------------


class QNetwork(nn.Module):
    """Q(s, .) for all actions at once: a multilayer perceptron with ReLU between its linear layers.

    obs_dim -> hidden[0] -> ... -> hidden[-1] -> n_actions. Every linear layer has a bias; nothing
    follows the last one, because Q-values may be negative. With ``hidden=()`` the network is a
    single linear layer.

    Args:
        obs_dim: length of an observation.
        n_actions: number of actions.
        hidden: widths of the hidden layers.

    Raises:
        ValueError: a size is below 1.
    """

    def __init__(self, obs_dim: int, n_actions: int, hidden: Sequence[int] = (128, 128)) -> None:
        super().__init__()
        _check(min(obs_dim, n_actions, *hidden) >= 1, "Every size of a network must be at least 1.")
        # TODO(network): make the layers.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(network): make the layers.")

    def forward(self, obs: Tensor) -> Tensor:
        """(B, obs_dim) float -> (B, n_actions) float, the Q-values."""
        # TODO(network): apply the layers.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(network): apply the layers.")


def epsilon_greedy_action(q_values: np.ndarray, epsilon: float, rng: np.random.Generator) -> int:
    """Any action with probability epsilon (the best one included), otherwise one with the largest
    Q-value.

    Args:
        q_values: (A,) float.
        epsilon: exploration rate in [0, 1].
        rng: makes every choice.

    Returns:
        The action, an int.

    Raises:
        ValueError: q_values is not of shape (A,), or epsilon lies outside [0, 1].
    """
    _check(
        np.ndim(q_values) == 1 and len(q_values) > 0,
        f"q_values must have shape (A,), not {np.shape(q_values)}.",
    )
    _check(0.0 <= epsilon <= 1.0, f"epsilon must lie in [0, 1], but it is {epsilon}.")
    # TODO(network): explore or exploit.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(network): explore or exploit.")


# -- Part 3: targets -------------------------------------------------------------------------------


def _check_batch(**tensors: Tensor) -> None:
    """Refuse tensors that are not all (B,): a (B, 1) among them would be stretched to (B, B)
    without a word."""
    (first, model), *others = tensors.items()
    _check(
        model.ndim == 1 and len(model) > 0,
        f"{first} must have shape (B,), not {tuple(model.shape)}.",
    )
    for name, tensor in others:
        _check(
            tensor.shape == model.shape,
            f"{name} has shape {tuple(tensor.shape)}, {first} {tuple(model.shape)}.",
        )


def _check_q(q: Tensor, name: str, batch: Tensor) -> None:
    """Refuse Q-values that are not (B, A)."""
    fits = q.ndim == 2 and q.shape[0] == len(batch) and q.shape[1] > 0
    _check(fits, f"{name} must have shape (B, A) with B = {len(batch)}, not {tuple(q.shape)}.")


def dqn_targets(reward: Tensor, next_q_target: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """What Q(s, a) should be, judged by the target network.

        y_i = r_i                                                  where the step terminated
        y_i = r_i + gamma * max_a Q_target(s'_i, a)                elsewhere

    Args:
        reward: (B,) float.
        next_q_target: (B, A) float, the target network's values of the next observations.
        terminated: (B,) bool.
        gamma: discount in [0, 1].

    Returns:
        (B,) float, without a gradient.

    Raises:
        ValueError: the shapes do not fit, or gamma lies outside [0, 1].

    Source: Mnih et al. (2015), Algorithm 1 (Methods).
    """
    _check_batch(reward=reward, terminated=terminated)
    _check_q(next_q_target, "next_q_target", reward)
    _check(0.0 <= gamma <= 1.0, f"gamma must lie in [0, 1], but it is {gamma}.")
    # TODO(targets): the reward, plus the discounted best next value unless the step terminated; no gradient.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(targets): the reward, plus the discounted best next value unless the step terminated; no gradient.")


def double_dqn_targets(
    reward: Tensor, next_q_online: Tensor, next_q_target: Tensor, terminated: Tensor, gamma: float
) -> Tensor:
    """What Q(s, a) should be: the online network chooses the next action, the target network judges
    it.

        y_i = r_i                                                          where the step terminated
        y_i = r_i + gamma * Q_target(s'_i, argmax_a Q_online(s'_i, a))              elsewhere

    Args:
        reward: (B,) float.
        next_q_online: (B, A) float, the online network's values of the next observations.
        next_q_target: (B, A) float, the target network's.
        terminated: (B,) bool.
        gamma: discount in [0, 1].

    Returns:
        (B,) float, without a gradient.

    Raises:
        ValueError: the shapes do not fit, or gamma lies outside [0, 1].

    Source: van Hasselt, Guez and Silver (2016), section "Double DQN".
    """
    _check_batch(reward=reward, terminated=terminated)
    _check_q(next_q_online, "next_q_online", reward)
    _check_q(next_q_target, "next_q_target", reward)
    _check(
        next_q_online.shape == next_q_target.shape,
        "The two networks must have the same number of actions.",
    )
    _check(0.0 <= gamma <= 1.0, f"gamma must lie in [0, 1], but it is {gamma}.")
    # TODO(double): who chooses the action, and who says what it is worth?
    # YOUR CODE HERE
    raise NotImplementedError("TODO(double): who chooses the action, and who says what it is worth?")


# -- Part 4: loss, target network, exploration -----------------------------------------------------


def td_loss(q: Tensor, action: Tensor, target: Tensor, kind: str = "huber") -> Tensor:
    """The mean over the batch of the error of Q(s, a), for the action that was taken.

        "mse":    (q - y)^2
        "huber":  (q - y)^2 / 2  where |q - y| <= 1,  |q - y| - 1/2  elsewhere      (delta = 1)

    Args:
        q: (B, A) float, the online network's values of the observations.
        action: (B,) int64, the actions that were taken.
        target: (B,) float; no gradient flows into it, even if it could.
        kind: "huber" or "mse".

    Returns:
        A scalar tensor.

    Raises:
        ValueError: the shapes do not fit, or kind is unknown.

    Source of the clipped error: Mnih et al. (2015), Methods, "Training details".
    """
    _check_batch(action=action, target=target)
    _check_q(q, "q", action)
    # TODO(loss): refuse an unknown kind, pick the value of the action that was taken, compare, average.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): refuse an unknown kind, pick the value of the action that was taken, compare, average.")


@torch.no_grad()
def hard_update_(target: nn.Module, online: nn.Module) -> None:
    """Copy every parameter of ``online`` into ``target``, in place. Afterwards they share
    nothing."""
    # TODO(loss): copy the numbers, not the tensors.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): copy the numbers, not the tensors.")


@torch.no_grad()
def soft_update_(target: nn.Module, online: nn.Module, tau: float) -> None:
    """Move every parameter of ``target`` towards ``online``, in place: (1 - tau) * target + tau *
    online.

    tau = 1 is a hard update.

    Raises:
        ValueError: tau lies outside (0, 1].
    """
    _check(0.0 < tau <= 1.0, f"tau must lie in (0, 1], but it is {tau}.")
    # TODO(loss): one line for each pair of parameters.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): one line for each pair of parameters.")


def linear_epsilon(step: int, start: float, end: float, decay_steps: int) -> float:
    """Exploration rate of an environment step: ``start`` at step 0, ``end`` from ``decay_steps``
    on, linear between.

    Raises:
        ValueError: step < 0, decay_steps < 1, or start or end lies outside [0, 1].
    """
    _check(step >= 0, f"step must be at least 0, but it is {step}.")
    _check(decay_steps >= 1, f"decay_steps must be at least 1, but it is {decay_steps}.")
    _check(
        0.0 <= start <= 1.0 and 0.0 <= end <= 1.0,
        f"Rates must lie in [0, 1], but they are {start} and {end}.",
    )
    # TODO(loss): which share of the way is done? It never exceeds 1.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loss): which share of the way is done? It never exceeds 1.")


# -- Part 5: training ------------------------------------------------------------------------------


def train_dqn(env, config: DQNConfig, seed: int) -> Result:
    """Train a Q-network by acting epsilon-greedily and replaying what was seen.

    The initial weights of the network depend on the seed alone; the target network starts as its
    copy. Then, for t = 0, 1, ..., total_steps - 1:

    1. Act epsilon-greedily in the online network, with epsilon = linear_epsilon(t, ...), and store
       the transition.
       ``next_obs`` is what the step led to, also at the end of an episode, and ``terminated`` is
       the environment's flag of this name. Either flag ends the episode: reset.
    2. If t + 1 >= warmup_steps and t + 1 is a multiple of train_every, take ``gradient_steps``
       gradient steps, each on a batch of its own. After every gradient step whose number (1, 2,
       ...) is a multiple of ``target_every``, soft_update_ the target network with ``tau``.
    3. After such a round, tell ``callback``; stop if it returns True. Stop also at the end of an
       episode if the mean return of the latest RUNNING_EPISODES episodes, not of fewer, is at least
       ``stop_return``.

    The optimiser is torch.optim.Adam with ``learning_rate``; gradients are not clipped.

    Args:
        env: a Gymnasium environment with Discrete actions and flat Box observations of any dtype:
            the network gets them as float32. Use env.reset, env.step, env.observation_space.shape
            and .dtype, env.action_space.n, and nothing else of it.
        config: the settings.
        seed: decides everything random that is the agent's; also given to the first env.reset and
            to no other.

    Returns:
        Result, see there. An episode that total_steps or the callback cuts off is not counted. The
        same arguments give the same result.
    """
    # TODO(train): act, store, learn. Which flag is stored, and which observation?
    # YOUR CODE HERE
    raise NotImplementedError("TODO(train): act, store, learn. Which flag is stored, and which observation?")


def evaluate(network: nn.Module, env, episodes: int, seed: int) -> np.ndarray:
    """Play greedily, without exploration and without building graphs.

    Args:
        network: maps (1, obs_dim) float32 to (1, A).
        env: as for train_dqn.
        episodes: how many to play, at least 1.
        seed: given to the first env.reset and to no other.

    Returns:
        (episodes,) float64: the undiscounted sum of rewards of each.

    Raises:
        ValueError: episodes < 1.
    """
    _check(episodes >= 1, f"episodes must be at least 1, but it is {episodes}.")
    # TODO(train): always the best action; either flag ends an episode.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(train): always the best action; either flag ends an episode.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# replay=  network=  targets=  double=  loss=  train=
