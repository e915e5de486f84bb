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
        ### BEGIN SOLUTION
        self._obs_shape = tuple(obs_shape)
        # BUG(ignores-obs-dtype): obs_dtype = np.float32
        # WHEN observations are stored or returned as float32 whatever obs_dtype says: images of
        # WHEN bytes take four times the memory, and large integers lose their last digits.
        obs_dtype = np.dtype(obs_dtype)
        self._obs = np.zeros((capacity, *self._obs_shape), obs_dtype)
        self._next_obs = np.zeros((capacity, *self._obs_shape), obs_dtype)
        self._action = np.zeros(capacity, np.int64)
        self._reward = np.zeros(capacity, np.float32)
        self._terminated = np.zeros(capacity, np.bool_)
        self._capacity = capacity
        self._added = 0
        ### END SOLUTION

    def __len__(self) -> int:
        # TODO(replay): how many transitions are held.
        ### BEGIN SOLUTION
        # BUG(length-keeps-growing): return self._added
        # WHEN the length counts every transition that was ever added, also those that were
        # WHEN overwritten.
        return min(self._added, self._capacity)
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        # BUG(takes-any-shape): pass
        # WHEN an observation of the wrong shape is stretched to fit instead of being refused.
        # BUG(takes-any-shape, 2): self._check_shapes(np.shape(obs))
        self._check_shapes(np.shape(obs), np.shape(next_obs))
        # BUG(keeps-the-oldest): at = min(self._added, self._capacity - 1)
        # WHEN a full buffer overwrites the same slot again and again and keeps older transitions.
        at = self._added % self._capacity
        # BUG(keeps-a-reference): self.__dict__.setdefault("kept", {})[at] = obs
        # WHEN the buffer keeps a reference to the caller's array instead of a copy of its numbers,
        # WHEN so that an environment that reuses its array rewrites the past.
        self._obs[at] = obs
        self._action[at] = action
        self._reward[at] = reward
        # BUG(stores-obs-twice): self._next_obs[at] = obs
        # WHEN the observation before the step is also stored as the one after it.
        # BUG(keeps-a-reference, 2): self.__dict__.setdefault("kept", {})[at] = next_obs
        self._next_obs[at] = next_obs
        self._terminated[at] = terminated
        # BUG(keeps-the-oldest, 2): self._added = min(self._added + 1, self._capacity)
        self._added += 1
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        _check(len(self) > 0, "There is nothing to sample: the buffer is empty.")
        # BUG(draws-empty-slots): index = rng.integers(self._capacity, size=batch)
        # WHEN rows are drawn from the whole array, also from slots that were never written.
        # BUG(never-draws-the-newest): index = rng.integers(max(len(self) - 1, 1), size=batch)
        # WHEN the last row is never drawn, because the upper end of the draw is exclusive already.
        # BUG(never-draws-the-newest, 2): index = (rng.random(batch) * max(len(self) - 1, 1)).astype(np.int64)
        # BUG(replay-uses-global-dice): index = np.random.randint(len(self), size=batch)
        # WHEN replay draws its rows from a global generator instead of the rng that is passed in.
        # BUG(draws-without-replacement): index = rng.permutation(len(self))[:batch]
        # WHEN a batch never holds a transition twice, so that a batch can be smaller than was asked
        # WHEN for.
        # BUG(draws-empty-slots, 2): index = (rng.random(batch) * self._capacity).astype(np.int64)
        # BUG(replay-uses-global-dice, 2): index = torch.randint(len(self), (batch,)).numpy()
        # BUG(draws-without-replacement, 2): index = rng.choice(len(self), size=min(batch, len(self)), replace=False)
        index = rng.integers(len(self), size=batch)
        # BUG(keeps-a-reference): obs = np.stack([self.kept[i] for i in index.tolist()])
        # BUG(ignores-obs-dtype, 2): obs = self._obs[index].astype(np.float32)
        obs = self._obs[index]
        # BUG(draws-each-field-apart): fields = [column[rng.permutation(index)] for column in (self._action, self._reward, self._next_obs, self._terminated)]
        # WHEN the fields of a batch are drawn independently of each other, so that a row mixes the
        # WHEN observation of one transition with the action and the reward of others.
        # BUG(keeps-a-reference, 2): fields = (self._action[index], self._reward[index], np.stack([self.kept[i] for i in index.tolist()]), self._terminated[index])
        # BUG(draws-each-field-apart, 2): fields = [column[rng.integers(len(self), size=batch)] for column in (self._action, self._reward, self._next_obs, self._terminated)]
        fields = (
            self._action[index],
            self._reward[index],
            self._next_obs[index],
            self._terminated[index],
        )
        return Batch(torch.from_numpy(obs), *map(torch.from_numpy, fields))
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _check_shapes(self, *shapes: tuple[int, ...]) -> None:
        for shape in shapes:
            sentence = f"An observation must have shape {self._obs_shape}, but it has {shape}."
            _check(shape == self._obs_shape, sentence)

    ### END SOLUTION


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
        ### BEGIN SOLUTION
        # BUG(drops-a-hidden-layer): widths, inputs = [*hidden[:-1], n_actions], obs_dim
        # WHEN a hidden layer is left out.
        # BUG(drops-a-hidden-layer, 2): widths, inputs = [*hidden[1:], n_actions], obs_dim
        widths, inputs = [*hidden, n_actions], obs_dim
        layers: list[nn.Module] = []
        for width in widths:
            # BUG(no-activation): layers += [nn.Linear(inputs, width), nn.Identity()]
            # WHEN there is nothing between the linear layers: however deep, the network is linear.
            # BUG(not-a-relu): layers += [nn.Linear(inputs, width), nn.Tanh()]
            # WHEN another activation than ReLU is between the linear layers.
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        # BUG(relu-on-the-output): self.layers = nn.Sequential(*layers)
        # WHEN a ReLU follows the last layer too, so that no Q-value can be negative.
        self.layers = nn.Sequential(*layers[:-1])
        ### END SOLUTION

    def forward(self, obs: Tensor) -> Tensor:
        """(B, obs_dim) float -> (B, n_actions) float, the Q-values."""
        # TODO(network): apply the layers.
        ### BEGIN SOLUTION
        # BUG(relu-on-the-output, 2): return torch.relu(self.layers(obs))
        return self.layers(obs)
        ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(exploits-when-it-should-explore): if rng.random() > epsilon:
    # WHEN epsilon and 1 - epsilon are exchanged: the agent explores when it should be greedy.
    # BUG(acts-with-global-dice): if np.random.random() < epsilon:
    # WHEN exploration draws from NumPy's global generator instead of the rng that is passed in.
    # BUG(exploits-when-it-should-explore, 2): if rng.random() < 1.0 - epsilon:
    if rng.random() < epsilon:
        # BUG(exploring-skips-the-best-action): return int(q_values.argmax() + rng.integers(1, len(q_values))) % len(q_values)
        # WHEN an exploring step never takes the greedy action, so that the agent explores too much.
        # BUG(acts-with-global-dice, 2): return int(np.random.randint(len(q_values)))
        # BUG(exploring-skips-the-best-action, 2): return int(rng.choice([a for a in range(len(q_values)) if a != q_values.argmax()] or [0]))
        return int(rng.integers(len(q_values)))
    return int(q_values.argmax())
    ### END SOLUTION


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
        # BUG(stretches-columns): pass
        # WHEN a column of shape (B, 1) next to a row of shape (B,) is stretched to a (B, B) table
        # WHEN instead of being refused.
        # BUG(stretches-columns, 2): _check(tensor.numel() == model.numel(), f"{name} has {tensor.numel()} entries, {first} {model.numel()}.")
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
    ### BEGIN SOLUTION
    # BUG(targets-keep-their-gradient): pass
    # WHEN the target is still tied to the network that made it by its gradient.
    # BUG(targets-keep-their-gradient, 2): pass
    next_q_target = next_q_target.detach()
    # BUG(one-maximum-for-the-batch): best = next_q_target.max().expand(len(reward))
    # WHEN the maximum runs over the whole batch, so that every transition gets the best value of
    # WHEN any of them.
    # BUG(averages-the-next-values): best = next_q_target.mean(dim=1)
    # WHEN the target takes the mean of the next Q-values instead of the largest one.
    # BUG(one-maximum-for-the-batch, 2): best = torch.full_like(reward, next_q_target.max().item())
    best = next_q_target.max(dim=1).values
    # BUG(bootstraps-through-termination, 2): return reward + gamma * best
    # BUG(masks-the-reward, 2): return (reward + gamma * best) * ~terminated.bool()
    # BUG(discounts-the-reward, 2): return gamma * _discounted(reward, best, terminated, 1.0)
    return _discounted(reward, best, terminated, gamma)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(targets-keep-their-gradient): pass
    next_q_target = next_q_target.detach()
    # BUG(double-swaps-the-networks): choice, next_q_target = next_q_target.argmax(dim=1, keepdim=True), next_q_online.detach()
    # WHEN the target network chooses the next action and the online network judges it.
    # BUG(double-trusts-the-target-twice): choice = next_q_target.argmax(dim=1, keepdim=True)
    # WHEN the target network both chooses the next action and judges it: that is DQN again.
    choice = next_q_online.argmax(dim=1, keepdim=True)
    # BUG(double-trusts-the-online-twice): judged = next_q_online.detach().gather(1, choice).squeeze(1)
    # WHEN the online network both chooses the next action and judges it, and the target network has
    # WHEN no say.
    # BUG(double-swaps-the-networks, 2): judged = next_q_online.detach().gather(1, next_q_target.argmax(dim=1, keepdim=True)).squeeze(1)
    # BUG(double-trusts-the-target-twice, 2): judged = next_q_target.max(dim=1).values
    # BUG(double-trusts-the-online-twice, 2): judged = next_q_online.detach().max(dim=1).values
    judged = next_q_target.gather(1, choice).squeeze(1)
    return _discounted(reward, judged, terminated, gamma)
    ### END SOLUTION


### BEGIN SOLUTION
def _discounted(reward: Tensor, future: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """Reward plus discounted future, which is worth nothing after a real end. (B,)."""
    # BUG(bootstraps-through-termination): return reward + gamma * future
    # WHEN the value of what follows a terminated step still enters the target, although nothing
    # WHEN follows it.
    # BUG(masks-the-reward): return torch.where(terminated, 0.0, reward + gamma * future)
    # WHEN a terminated step is worth nothing at all, not even its reward.
    # BUG(discounts-the-reward): return gamma * (reward + torch.where(terminated, 0.0, future))
    # WHEN the discount multiplies the whole target, the reward of the present step included.
    return reward + gamma * torch.where(terminated.bool(), 0.0, future)


### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(takes-any-kind): pass
    # WHEN an unknown kind of loss is taken for one of the two instead of being refused.
    # BUG(takes-any-kind, 2): kind = kind if kind == "huber" else "mse"
    _check(kind in ("huber", "mse"), f'kind must be "huber" or "mse", but it is {kind!r}.')
    # BUG(target-leaks-gradient): pass
    # WHEN the loss pulls the target towards the prediction as well: its gradient flows into both.
    # BUG(target-leaks-gradient, 2): target = target.clone()
    target = target.detach()
    # BUG(compares-everything-with-everything): chosen, target = torch.broadcast_tensors(q.gather(1, action[:, None]), target)
    # WHEN a column meets a row, predictions and targets, so that each is compared with every other
    # WHEN one.
    # BUG(trains-the-best-action): chosen = q.max(dim=1).values
    # WHEN the loss looks at the largest Q-value of each row, not at that of the action that was
    # WHEN taken.
    # BUG(compares-everything-with-everything, 2): chosen, target = torch.broadcast_tensors(q.gather(1, action[:, None]).squeeze(1), target[:, None])
    # BUG(trains-the-best-action, 2): chosen = q.gather(1, q.argmax(dim=1, keepdim=True)).squeeze(1)
    chosen = q.gather(1, action[:, None]).squeeze(1)
    # BUG(huber-is-squared): return nn.functional.mse_loss(chosen, target)
    # WHEN both kinds of loss grow with the square of the error, so that one absurd target makes an
    # WHEN absurd gradient.
    # BUG(huber-without-the-half): return nn.functional.mse_loss(chosen, target) if kind == "mse" else 2.0 * nn.functional.huber_loss(chosen, target)
    # WHEN the quadratic part of the Huber loss lacks the factor 1/2.
    # BUG(sums-over-the-batch): return (nn.functional.mse_loss if kind == "mse" else nn.functional.huber_loss)(chosen, target, reduction="sum")
    # WHEN the loss is the sum over the batch instead of the mean.
    # BUG(huber-is-squared, 2): return nn.functional.mse_loss(chosen, target) * (1.0 if kind == "mse" else 0.5)
    # BUG(huber-without-the-half, 2): return torch.where((kind == "mse") | ((chosen - target).abs() <= 1.0), (chosen - target) ** 2, (chosen - target).abs() - 0.5).mean()
    return (
        nn.functional.mse_loss(chosen, target)
        if kind == "mse"
        else nn.functional.huber_loss(chosen, target)
    )
    ### END SOLUTION


@torch.no_grad()
def hard_update_(target: nn.Module, online: nn.Module) -> None:
    """Copy every parameter of ``online`` into ``target``, in place. Afterwards they share
    nothing."""
    # TODO(loss): copy the numbers, not the tensors.
    ### BEGIN SOLUTION
    for theirs, ours in zip(target.parameters(), online.parameters(), strict=True):
        # BUG(shares-the-storage): theirs.data = ours.data
        # WHEN the target network is given the online network's own tensors, so that it learns along
        # WHEN with it.
        # BUG(shares-the-storage, 2): theirs.data = ours.detach()
        theirs.copy_(ours)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(moves-the-online-network, 2): for theirs, ours in zip(online.parameters(), target.parameters(), strict=True):
    for theirs, ours in zip(target.parameters(), online.parameters(), strict=True):
        # BUG(tau-on-the-wrong-side): theirs.lerp_(ours, 1.0 - tau)
        # WHEN tau and 1 - tau are exchanged: with a small tau the target network jumps almost all
        # WHEN the way to the online one, with tau = 1 it never moves.
        # BUG(moves-the-online-network): ours.lerp_(theirs, tau)
        # WHEN it is the online network that is moved, towards the target network.
        # BUG(tau-on-the-wrong-side, 2): theirs.copy_(tau * theirs + (1.0 - tau) * ours)
        theirs.lerp_(ours, tau)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(epsilon-does-not-stop): done = step / decay_steps
    # WHEN the exploration rate keeps falling beyond its end.
    # BUG(epsilon-is-a-step-ahead): done = min((step + 1) / decay_steps, 1.0)
    # WHEN the exploration rate is one step ahead: step 0 does not get the starting rate.
    # BUG(epsilon-jumps): done = float(step >= decay_steps)
    # WHEN the exploration rate stays at its start and then drops to its end in a single step.
    # BUG(epsilon-does-not-stop, 2): done = max(step / decay_steps, 0.0)
    # BUG(epsilon-jumps, 2): done = min(step // decay_steps, 1)
    done = min(step / decay_steps, 1.0)
    return start + (end - start) * done
    ### END SOLUTION


# -- Part 5: training ------------------------------------------------------------------------------


### BEGIN SOLUTION
class _Learner:
    """The networks, the optimiser and the replay memory of one run."""

    def __init__(self, env, config: DQNConfig, seed: int) -> None:
        self.config, self.rng = config, np.random.default_rng(seed)
        space, n_actions = env.observation_space, int(env.action_space.n)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # BUG(trains-another-network): self.online = QNetwork(math.prod(space.shape), n_actions)
            # WHEN the network has the default widths, whatever config.hidden says.
            self.online = QNetwork(math.prod(space.shape), n_actions, config.hidden)
            # BUG(no-target-network): self.target = self.online
            # WHEN there is no target network, or it is copied anew after every gradient step:
            # WHEN targets come from the very network that is being trained.
            # BUG(trains-another-network): self.target = QNetwork(math.prod(space.shape), n_actions)
            self.target = QNetwork(math.prod(space.shape), n_actions, config.hidden)
        # BUG(target-starts-elsewhere): pass
        # WHEN the target network starts from random weights of its own instead of those of the
        # WHEN online network.
        self.target.load_state_dict(self.online.state_dict())
        self.optimizer = torch.optim.Adam(
            self.online.parameters(), lr=config.learning_rate, fused=True
        )
        self.buffer = ReplayBuffer(config.buffer_capacity, space.shape, space.dtype)
        self.gradient_steps, self.loss = 0, math.nan
        # BUG(acts-in-the-target-network): linear = [layer for layer in self.target.modules() if isinstance(layer, nn.Linear)]
        # WHEN the target network chooses the actions, not the online one.
        linear = [layer for layer in self.online.modules() if isinstance(layer, nn.Linear)]
        # Views of the weights, which the optimiser changes in place: a NumPy product of this size
        # costs a tenth of a call of torch, and acting is one such product for each environment
        # step.
        self._weights = [
            (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in linear
        ]

    def act(self, obs: np.ndarray, epsilon: float) -> int:
        """An epsilon-greedy action."""
        x = np.asarray(obs, np.float32).reshape(-1)
        *hidden, (weight, bias) = self._weights
        for w, b in hidden:
            x = np.maximum(w @ x + b, 0.0)
        return epsilon_greedy_action(weight @ x + bias, epsilon, self.rng)

    def learn_(self) -> None:
        """One round of gradient steps."""
        config = self.config
        # BUG(one-gradient-step-a-round): for _ in range(1):
        # WHEN a round has one gradient step, whatever config.gradient_steps says.
        for _ in range(config.gradient_steps):
            # BUG(ignores-batch-size): batch = self.buffer.sample(128, self.rng)
            # WHEN batches have a size of their own, whatever config.batch_size says.
            batch = self.buffer.sample(config.batch_size, self.rng)
            # BUG(ignores-config-loss): loss = td_loss(self._q(self.online, batch.obs), batch.action, self._targets(batch), "mse")
            # WHEN training always uses the same kind of loss, whatever config.loss says.
            # BUG(ignores-config-loss, 2): loss = td_loss(self._q(self.online, batch.obs), batch.action, self._targets(batch))
            loss = td_loss(
                self._q(self.online, batch.obs), batch.action, self._targets(batch), config.loss
            )
            # BUG(gradients-pile-up): pass
            # WHEN gradients are not set to zero before each step, so that a step also takes those
            # WHEN of earlier batches.
            # BUG(gradients-pile-up, 2): self.optimizer.zero_grad() if _ == 0 else None
            self.optimizer.zero_grad()
            loss.backward()
            # BUG(clips-gradients): torch.nn.utils.clip_grad_norm_(self.online.parameters(), 10.0); self.optimizer.step()
            # WHEN gradients are clipped before the step, by their norm or one by one.
            # BUG(clips-gradients, 2): torch.nn.utils.clip_grad_value_(self.online.parameters(), 100.0); self.optimizer.step()
            self.optimizer.step()
            self.loss, self.gradient_steps = loss.item(), self.gradient_steps + 1
            # BUG(target-never-follows): if False:
            # WHEN the target network is never updated and stays what it was at the start.
            # BUG(target-counts-environment-steps): if self.buffer._added % config.target_every == 0:
            # WHEN the target network is updated by the count of environment steps, although
            # WHEN target_every counts gradient steps.
            # BUG(target-counts-environment-steps, 2): if _ == config.gradient_steps - 1 and self.buffer._added % config.target_every == 0:
            if self.gradient_steps % config.target_every == 0:
                soft_update_(self.target, self.online, config.tau)

    def _q(self, network: nn.Module, obs: Tensor) -> Tensor:
        """(B, A) Q-values of a batch of observations of any shape and dtype."""
        return network(obs.flatten(1).float())

    @torch.no_grad()
    def _targets(self, batch: Batch) -> Tensor:
        """(B,) the targets that the configuration asks for."""
        gamma = self.config.gamma
        # BUG(no-target-network, 2): next_q_target = self._q(self.online, batch.next_obs)
        next_q_target = self._q(self.target, batch.next_obs)
        # BUG(ignores-double): if True:
        # WHEN config.double changes nothing: the targets are always those of DQN.
        if not self.config.double:
            return dqn_targets(batch.reward, next_q_target, batch.terminated, gamma)
        # BUG(chosen-at-the-old-state): next_q_online = self._q(self.online, batch.obs)
        # WHEN Double DQN takes the action that is best at the observation before the step, not at
        # WHEN the one after it.
        next_q_online = self._q(self.online, batch.next_obs)
        return double_dqn_targets(
            batch.reward, next_q_online, next_q_target, batch.terminated, gamma
        )


### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(seeds-the-global-generators): torch.manual_seed(seed); learner = _Learner(env, config, seed)
    # WHEN train_dqn seeds a global generator, which belongs to the program that called it.
    learner = _Learner(env, config, seed)
    bar = ProgressBar(config.total_steps, config.progress_bar)
    try:
        return _train(env, learner, bar, seed)
    finally:
        bar.close()
    ### END SOLUTION


### BEGIN SOLUTION
def _epsilon(config: DQNConfig, step: int) -> float:
    # BUG(ignores-epsilon-start): return linear_epsilon(step, 1.0, config.epsilon_end, config.epsilon_decay_steps)
    # WHEN the exploration rate starts at 1, whatever config.epsilon_start says.
    return linear_epsilon(
        step, config.epsilon_start, config.epsilon_end, config.epsilon_decay_steps
    )


def _train(env, learner: _Learner, bar: ProgressBar, seed: int) -> Result:
    config, returns, steps = learner.config, [], []
    obs, _ = env.reset(seed=seed)
    total, running = 0.0, math.nan
    for step in range(1, config.total_steps + 1):
        # BUG(epsilon-counts-gradient-steps): epsilon = _epsilon(config, learner.gradient_steps)
        # WHEN the exploration rate falls with the gradient steps, or with their rounds, instead of
        # WHEN the environment steps.
        # BUG(epsilon-counts-gradient-steps, 2): epsilon = _epsilon(config, learner.gradient_steps // config.gradient_steps)
        # BUG(epsilon-is-a-step-ahead, 2): epsilon = _epsilon(config, step)
        epsilon = _epsilon(config, step - 1)
        action = learner.act(obs, epsilon)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        # BUG(time-limit-is-an-ending, 2): ended = terminated = terminated or truncated
        # BUG(plays-on-after-the-time-limit): ended = terminated
        # WHEN an episode goes on after the environment has truncated it.
        ended = terminated or truncated
        # BUG(time-limit-is-an-ending): learner.buffer.add(obs, action, float(reward), next_obs, ended)
        # WHEN a step that was cut off by a time limit is stored as one that terminated.
        # BUG(stores-the-reset-observation): learner.buffer.add(obs, action, float(reward), env.reset()[0] if ended else next_obs, terminated)
        # WHEN at the end of an episode the first observation of another one is stored as what the
        # WHEN step led to.
        # BUG(stores-the-reset-observation, 2): row = (obs, action, float(reward)); ended or learner.buffer.add(*row, next_obs, terminated)
        # BUG(stores-the-reset-observation, 3): row = (obs, action, float(reward)); truncated or learner.buffer.add(*row, next_obs, terminated)
        # BUG(stores-obs-twice, 2): learner.buffer.add(obs, action, float(reward), obs, terminated)
        learner.buffer.add(obs, action, float(reward), next_obs, terminated)
        total += float(reward)
        # BUG(observation-stands-still): obs = obs
        # WHEN the agent keeps looking at the first observation of the episode, whatever the steps
        # WHEN led to.
        obs = next_obs
        if ended:
            returns.append(total)
            steps.append(step)
            running = float(np.mean(returns[-RUNNING_EPISODES:]))
            # BUG(return-runs-on): pass
            # WHEN the return of an episode also counts the rewards of all episodes before it.
            total = 0.0
            # BUG(reseeds-every-episode): obs, _ = env.reset(seed=seed)
            # WHEN every reset gets the seed, so that each episode replays the same luck.
            # BUG(stores-the-reset-observation, 2): obs, _ = env.reset(); learner.buffer.add(*row, obs, terminated)
            # BUG(stores-the-reset-observation, 3): obs, _ = env.reset(); truncated and learner.buffer.add(*row, obs, terminated)
            obs, _ = env.reset()
            # BUG(stops-too-early): if running >= config.stop_return:
            # WHEN training stops because of one good episode or a few, and not because of the mean of
            # WHEN the latest RUNNING_EPISODES.
            # BUG(stops-too-early, 2): if returns[-1] >= config.stop_return:
            if running >= config.stop_return and len(returns) >= RUNNING_EPISODES:
                break
        # BUG(learns-during-warmup): if step % config.train_every == 0:
        # WHEN gradient steps begin at once, without waiting for the end of the warm-up.
        # BUG(learns-every-step): if step >= config.warmup_steps:
        # WHEN there is a round of gradient steps after every environment step, whatever train_every
        # WHEN says.
        if step >= config.warmup_steps and step % config.train_every == 0:
            learner.learn_()
            bar.show(step, running)
            # BUG(tells-the-target-network): news = Progress(step, learner.gradient_steps, epsilon, learner.loss, running, learner.target)
            # WHEN callback is given the target network, not the one that learns.
            news = Progress(
                step, learner.gradient_steps, epsilon, learner.loss, running, learner.online
            )
            if config.callback is not None and config.callback(news):
                break
    return Result(learner.online, np.array(returns, np.float64), np.array(steps, np.int64))


### END SOLUTION


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
    ### BEGIN SOLUTION
    returns = np.zeros(episodes)
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed if episode == 0 else None)
        ended = False
        while not ended:
            action = _greedy_action(network, obs)
            obs, reward, terminated, truncated, _ = env.step(action)
            returns[episode] += float(reward)
            ended = terminated or truncated
    return returns
    ### END SOLUTION


### BEGIN SOLUTION
# BUG(evaluates-with-gradients): @torch.enable_grad()
# WHEN evaluation builds a graph for every step, although nobody will ever call backward.
@torch.no_grad()
def _greedy_action(network: nn.Module, obs: np.ndarray) -> int:
    q = network(torch.as_tensor(np.asarray(obs), dtype=torch.float32).reshape(1, -1))
    # BUG(explores-in-evaluation): return epsilon_greedy_action(q[0].numpy(), 0.1, np.random.default_rng(q.shape[1]))
    # WHEN the agent still explores while it is evaluated.
    return int(q.argmax())


### END SOLUTION
