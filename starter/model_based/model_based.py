"""Learning a model of the world, and planning with it (NumPy; PyTorch for the networks).

Conventions, the same everywhere in this file

* Parts 1 to 3 are tabular: states and actions are integers from 0, and ``Q`` is a float64 array of
  shape (S, A). The rest is continuous: a state is a float64 array of shape (S,), an action one of shape
  (A,).
* M counts the members of an ensemble, B the rows of a batch, P plans that are tried side by side,
  H the steps of a plan.
* ``terminated`` says that a step led to a real end: the future is worth 0 there. ``truncated`` says
  that a clock stopped the episode: the future still has its value. The first is part of the world,
  so a model must know it. The second is not.
* Rewards are there to be maximised. A cost is a negative reward.
* Names ending in ``_`` change their object or table in place. Everything else leaves its arguments
  alone.
* All randomness comes from the ``rng`` that is passed in, a NumPy generator.

Sources: Sutton & Barto, Reinforcement Learning: An Introduction, 2nd ed. (2018), chapter 8 ("S&B");
Chua, Calandra, McAllister & Levine (2018), Deep reinforcement learning in a handful of trials using
probabilistic dynamics models.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


class DynaResult(NamedTuple):
    """What ``dyna`` returns."""

    Q: np.ndarray  # (S, A) float64: the learned action values
    steps: np.ndarray  # (episodes,) integers: how many real steps each episode took


class Normaliser(NamedTuple):
    """An affine map that gives each column of some data mean 0 and deviation 1."""

    mean: np.ndarray  # (D,) float64
    scale: np.ndarray  # (D,) float64, never 0


class Transitions(NamedTuple):
    """N steps of a continuous world, in any order."""

    states: np.ndarray  # (N, S) float64
    actions: np.ndarray  # (N, A) float64
    next_states: np.ndarray  # (N, S) float64


class FitSettings(NamedTuple):
    """How an ensemble is trained."""

    members: int = 3
    hidden: tuple[int, ...] = (48, 48)  # units of the hidden layers; () makes the members linear
    epochs: int = 40
    batch_size: int = 32  # rows of each member in one step of Adam
    rate: float = 3e-3  # Adam's step size


class Gaussian(NamedTuple):
    """Independent normal distributions, one for each entry."""

    mean: np.ndarray
    std: np.ndarray


class CemSettings(NamedTuple):
    """How the cross-entropy method searches."""

    population: int = 100  # candidates in each iteration
    elites: int = 12  # how many of them survive
    iterations: int = 3
    smoothing: float = 0.1  # how much of the old distribution stays, in [0, 1)
    min_std: float = 0.0  # no deviation falls below this


class Problem(NamedTuple):
    """What a planner has to know of a task besides the dynamics. Leading axes are free: `...` is
    (M, P) in ``imagine``, and actions (P, A) then broadcast against it."""

    # reward(states (..., S), actions, next_states (..., S)) -> (...)
    reward: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    # terminal(next_states (..., S)) -> (...) bools: which steps end an episode for real
    terminal: Callable[[np.ndarray], np.ndarray]
    low: np.ndarray  # (A,) the smallest possible action
    high: np.ndarray  # (A,) the largest one
    gamma: float = 1.0


class Decision(NamedTuple):
    """What ``mpc_action`` returns."""

    action: np.ndarray  # (A,) what to do now
    plan: np.ndarray  # (H, A) where the search of the next step begins


class Fit(NamedTuple):
    """What ``fit_dynamics`` returns."""

    dynamics: "Dynamics"
    errors: np.ndarray  # (epochs, M) float64: ``one_step_errors`` on the test rows after each epoch


class Learned(NamedTuple):
    """What ``learn_by_planning`` returns."""

    dynamics: "Dynamics"  # the last model that was fitted
    returns: np.ndarray  # (episodes,) float64: the undiscounted sums of rewards
    data: Transitions  # all real steps, in order of time


# -- Given: checks, the update of Q-learning, a network, Pendulum's reward -------------------------


def _check_rates(*, alpha: float = 1.0, gamma: float = 1.0, epsilon: float = 0.0) -> None:
    """Raise ValueError unless alpha lies in (0, 1], and gamma and epsilon in [0, 1]."""
    if not 0.0 < alpha <= 1.0:
        raise ValueError(f"The step size alpha must lie in (0, 1], but it is {alpha}.")
    for name, rate in (("gamma", gamma), ("epsilon", epsilon)):
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"{name} must lie in [0, 1], but it is {rate}.")


def _check_count(number: int, name: str, least: int = 1) -> None:
    """Raise ValueError unless ``number`` is at least ``least``."""
    if number < least:
        raise ValueError(f"{name} must be at least {least}, but it is {number}.")


def _check_search(settings: CemSettings) -> None:
    """Raise ValueError for settings with which nobody can search."""
    _check_count(settings.iterations, "iterations")
    if not 1 <= settings.elites <= settings.population:
        raise ValueError(
            f"There must be 1 to {settings.population} elites, but there are {settings.elites}."
        )
    if not 0.0 <= settings.smoothing < 1.0:
        raise ValueError(f"smoothing must lie in [0, 1), but it is {settings.smoothing}.")


def q_target(r: float, q_next: np.ndarray, gamma: float, terminated: bool) -> float:
    """Q-learning's target: r, plus gamma * max(q_next) unless the step terminated."""
    return float(r) if terminated else float(r + gamma * np.max(q_next))


def q_update_(
    Q: np.ndarray, s: int, a: int, r: float, s2: int, terminated: bool, alpha: float, gamma: float
) -> None:
    """One update of Q-learning: Q[s, a] moves by alpha * (q_target - Q[s, a])."""
    Q[s, a] += alpha * (q_target(r, Q[s2], gamma, terminated) - Q[s, a])


def epsilon_greedy(q: np.ndarray, epsilon: float, rng: np.random.Generator) -> int:
    """Any action with probability epsilon, otherwise one of the best, ties at random."""
    if rng.random() < epsilon:
        return int(rng.integers(len(q)))
    return int(rng.choice(np.flatnonzero(q == q.max())))


class EnsembleNet(nn.Module):
    """M networks side by side, in float64: (M, B, D) to (M, B, K). Nothing passes between them."""

    def __init__(self, members: int, sizes: tuple[int, ...], rng: np.random.Generator) -> None:
        """``sizes`` are D, the hidden layers, and K. Each member has its own random weights."""
        super().__init__()
        weights = [
            torch.from_numpy(rng.normal(size=(members, i, o)) / np.sqrt(i))
            for i, o in itertools.pairwise(sizes)
        ]
        self.weights = nn.ParameterList(nn.Parameter(weight) for weight in weights)
        self.biases = nn.ParameterList(
            nn.Parameter(torch.zeros(members, 1, o, dtype=torch.float64)) for o in sizes[1:]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(M, B, D) inputs to (M, B, K) outputs, with tanh between the layers."""
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, torch.tanh(x) if layer else x, weight)
        return x


def pendulum_reward(states: np.ndarray, actions: np.ndarray, next_states: np.ndarray) -> np.ndarray:
    """Pendulum-v1's reward, from its observations (cos, sin, speed) *before* the step."""
    angle = np.arctan2(states[..., 1], states[..., 0])
    return -(angle**2 + 0.1 * states[..., 2] ** 2 + 0.001 * actions[..., 0] ** 2)


def never_ends(next_states: np.ndarray) -> np.ndarray:
    """The ``terminal`` of a world without ends, such as Pendulum-v1."""
    return np.zeros(next_states.shape[:-1], bool)


# -- Part 1: a table as a model --------------------------------------------------------------------


class TabularModel:
    """What was seen of a deterministic world: the latest outcome of each pair (s, a)."""

    def __init__(self) -> None:
        # outcomes[s][a] = (r, s2, terminated)
        self.outcomes: dict[int, dict[int, tuple[float, int, bool]]] = {}

    def predict(self, s: int, a: int) -> tuple[float, int, bool]:
        """(r, s2, terminated) of the pair. Raises KeyError if it was never seen."""
        return self.outcomes[s][a]

    def learn_(self, s: int, a: int, r: float, s2: int, terminated: bool) -> None:
        """Take in one step of the world. What was known of the pair before is forgotten."""
        # TODO(dyna): file the outcome under its state and its action.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(dyna): file the outcome under its state and its action.")

    def sample(self, rng: np.random.Generator) -> tuple[int, int]:
        """A pair (s, a) that was seen, as in S&B's box of Dyna-Q.

        First a state, each one in which an action was taken equally likely. Then one of the actions
        that were taken there, each equally likely. How often they were taken does not count.

        Raises:
            ValueError: if nothing was seen yet.
        """
        if not self.outcomes:
            raise ValueError("The model has seen nothing yet, so there is nothing to imagine.")
        # TODO(dyna): two draws, the second one among the actions of the state that the first chose.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(dyna): two draws, the second one among the actions of the state that the first chose.")

    def sources(self, s2: int) -> list[tuple[int, int]]:
        """The pairs whose latest outcome led to s2, terminated or not, in any order."""
        # TODO(sweeping): look through all that is known.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(sweeping): look through all that is known.")


def plan_(
    Q: np.ndarray, model: TabularModel, n: int, alpha: float, gamma: float, rng: np.random.Generator
) -> None:
    """n updates of Q-learning, in place, from imagined steps: the planning of Dyna-Q (S&B, 8.2).

    Each imagined step begins with a fresh ``model.sample(rng)``, and its outcome is what the model
    predicts. It is learned from as a real one would be, an end included. Entries of pairs that were
    never seen do not change.

    Args:
        Q: (S, A) float64, changed in place.
        n: how many updates, at least 0.
        alpha, gamma: step size and discount.

    Raises:
        ValueError: if n is negative, alpha or gamma lies outside its range, or n > 0 and the model
            has seen nothing.
    """
    _check_rates(alpha=alpha, gamma=gamma)
    _check_count(n, "n", least=0)
    # TODO(dyna): n times: a pair that was seen, its outcome according to the model, q_update_.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(dyna): n times: a pair that was seen, its outcome according to the model, q_update_.")


# -- Part 2: prioritised sweeping ------------------------------------------------------------------


class PriorityQueue:
    """Pairs (s, a) that wait for an update, each of them once."""

    def __init__(self) -> None:
        self.priorities: dict[tuple[int, int], float] = {}

    def __len__(self) -> int:
        """How many pairs are waiting."""
        return len(self.priorities)

    def push_(self, s: int, a: int, priority: float) -> None:
        """Let the pair wait. If it waits already, the larger of the two priorities counts."""
        # TODO(sweeping): one entry for each pair, with the largest priority that it was given.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(sweeping): one entry for each pair, with the largest priority that it was given.")

    def pop_(self) -> tuple[int, int]:
        """Take out the pair with the largest priority. Of several such pairs, any one.

        Raises:
            ValueError: if no pair is waiting.
        """
        if not self.priorities:
            raise ValueError("No pair is waiting: the queue is empty.")
        # TODO(sweeping): find it, remove it, return it.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(sweeping): find it, remove it, return it.")


def priority(Q: np.ndarray, model: TabularModel, s: int, a: int, gamma: float) -> float:
    """How much the pair's value would change in a full step: |q_target - Q[s, a]|, a float.

    The target is that of the outcome which the model predicts.

    Raises:
        ValueError: if gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    # TODO(sweeping): the size of the TD error of an imagined step.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(sweeping): the size of the TD error of an imagined step.")


def sweep_(
    Q: np.ndarray,
    model: TabularModel,
    queue: PriorityQueue,
    n: int,
    alpha: float,
    gamma: float,
    theta: float,
) -> int:
    """At most n updates of Q-learning, in place, the most urgent ones first (S&B, 8.4).

    Each update takes a pair (s, a) out of the queue and learns from its imagined step. Then the
    value of s may have changed: every source of s whose ``priority`` is now above ``theta`` is
    pushed with that priority. It stops early when no pair is waiting. What still waits at the end
    stays in the queue.

    Args:
        Q: (S, A) float64, changed in place. So is the queue.
        n: at least 0.
        theta: at least 0; a pair whose priority is not above it does not wait.

    Returns:
        How many updates were made, an int.

    Raises:
        ValueError: if n or theta is negative, or alpha or gamma lies outside its range.
    """
    _check_rates(alpha=alpha, gamma=gamma)
    _check_count(n, "n", least=0)
    if not theta >= 0.0:
        raise ValueError(f"The threshold theta is at least 0, but it is {theta}.")
    # TODO(sweeping): pop, update, and look at all pairs that lead to the state that was updated.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(sweeping): pop, update, and look at all pairs that lead to the state that was updated.")


# -- Part 3: real and imagined steps ---------------------------------------------------------------


def dyna(
    env,
    shape: tuple[int, int],
    episodes: int,
    n: int,
    alpha: float,
    gamma: float,
    epsilon: float,
    rng: np.random.Generator,
    seed: int,
    theta: float | None = None,
) -> DynaResult:
    """Learn action values from real and imagined steps.

    Q begins at 0. Every real step is chosen with ``epsilon_greedy`` in the table of that moment and
    taken into the model. Then

        theta is None    Dyna-Q: q_update_ with the real step, then n imagined ones (``plan_``)
        otherwise        prioritised sweeping: if the pair's ``priority`` is above theta it is
                         pushed, and ``sweep_`` makes at most n updates. The real step is learned
                         from in this way alone, and the queue goes on from step to step

    Args:
        env: a Gymnasium environment with integer states and actions. Use env.reset and env.step,
            and nothing else of it.
        shape: (S, A).
        episodes: how many to play, at least 1. One ends where env says terminated or truncated.
        n: planning updates after each real step, at least 0.
        alpha, gamma, epsilon, theta: as above.
        rng: makes every random choice of the agent.
        seed: given to the first env.reset and to no other.

    Returns:
        DynaResult(Q (S, A), steps (episodes,)).

    Raises:
        ValueError: if episodes < 1, n < 0, or a rate lies outside its range.
    """
    _check_rates(alpha=alpha, gamma=gamma, epsilon=epsilon)
    _check_count(episodes, "episodes")
    _check_count(n, "n", least=0)
    # TODO(loop): act, take the step into the model, learn, plan; for both ways of planning.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(loop): act, take the step into the model, learn, plan; for both ways of planning.")


# -- Part 4: an ensemble of dynamics models --------------------------------------------------------


def fit_normaliser(data: np.ndarray) -> Normaliser:
    """The normaliser of some data (N, D): its mean and population standard deviation, per column.

    A column in which all N numbers are the same has scale 1. Compare the numbers: through rounding,
    their deviation may be 1e-17 instead of 0.
    """
    # TODO(ensemble): two statistics of each column; mind constant columns.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ensemble): two statistics of each column; mind constant columns.")


def normalise(normaliser: Normaliser, x: np.ndarray) -> np.ndarray:
    """(..., D) Numbers in units of the data to normalised ones: (x - mean) / scale."""
    # TODO(ensemble): one line.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ensemble): one line.")


def denormalise(normaliser: Normaliser, z: np.ndarray) -> np.ndarray:
    """(..., D) The exact inverse of ``normalise``."""
    # TODO(ensemble): undo the last step first.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ensemble): undo the last step first.")


def holdout(
    data: Transitions, n_test: int, rng: np.random.Generator
) -> tuple[Transitions, Transitions]:
    """Split into (train, test): n_test random rows are the test, all others the training data.

    The order of rows within either part does not matter.

    Raises:
        ValueError: unless 1 <= n_test < N.
    """
    if not 1 <= n_test < len(data.states):
        raise ValueError(f"n_test must lie in [1, {len(data.states) - 1}], but it is {n_test}.")
    # TODO(ensemble): one random order, cut in two, for all three arrays.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ensemble): one random order, cut in two, for all three arrays.")


def bootstrap(n: int, members: int, rng: np.random.Generator) -> np.ndarray:
    """(members, n) integers: for each member its own n rows of n, drawn with replacement.

    Raises:
        ValueError: if n or members is below 1.
    """
    _check_count(n, "n")
    _check_count(members, "members")
    # TODO(ensemble): all draws are independent of each other.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ensemble): all draws are independent of each other.")


def minibatches(rows: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """One epoch: the rows of each member in a new random order, cut into pieces.

    Args:
        rows: (M, n) integers. Row m belongs to member m alone.
        size: columns of a piece, at least 1. The last piece may have fewer.

    Returns:
        A list of (M, size) arrays. Row m of all of them together holds each entry of ``rows[m]`` as
        often as ``rows[m]`` does.

    Raises:
        ValueError: if size < 1.
    """
    _check_count(size, "size")
    # TODO(ensemble): shuffle each member's row for itself, then cut.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ensemble): shuffle each member's row for itself, then cut.")


def ensemble_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """The sum over members of each member's mean squared error.

    Args:
        prediction, target: (M, B, K).

    Returns:
        A scalar tensor. A member's gradient is the same as if it were alone.

    Raises:
        ValueError: if the shapes differ.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"The shapes {prediction.shape} and {target.shape} differ.")
    # TODO(ensemble): a mean over rows and components, a sum over members.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ensemble): a mean over rows and components, a sum over members.")


class Dynamics:
    """An ensemble that predicts the *change* of the state, in normalised units."""

    def __init__(self, net: nn.Module, inputs: Normaliser, deltas: Normaliser) -> None:
        """Keep the parts.

        Args:
            net: (M, B, S + A) float64 tensors to (M, B, S).
            inputs: the normaliser of states and actions side by side, (S + A,).
            deltas: the normaliser of the changes, (S,).
        """
        self.net, self.inputs, self.deltas = net, inputs, deltas

    def step(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """The next states, according to each member.

        Member m goes on from ``states[m]``, so that it can follow its own story for many steps. The
        net's input is the state, then the action, normalised. Its output is the normalised change.

        Args:
            states: (M, B, S) float64.
            actions: (B, A) float64, the same for all members.

        Returns:
            (M, B, S) float64.
        """
        # TODO(ensemble): side by side, normalise, ask the net, undo, add.
        # YOUR CODE HERE
        raise NotImplementedError("TODO(ensemble): side by side, normalise, ask the net, undo, add.")


def one_step_errors(dynamics: Dynamics, members: int, data: Transitions) -> np.ndarray:
    """(members,) float64: each member's mean squared error of the next state, over the rows and
    components of ``data``, in the units of the states."""
    # TODO(ensemble): give every member the same states, and compare.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ensemble): give every member the same states, and compare.")


def fit_dynamics(
    train: Transitions, test: Transitions, settings: FitSettings, rng: np.random.Generator
) -> Fit:
    """Train an ensemble from scratch.

    Both normalisers are fitted on all training rows (not on the bootstraps). Each member then sees
    the rows of its own bootstrap, drawn once; an epoch is one pass of ``minibatches`` over them,
    with one step of Adam on ``ensemble_loss`` for each piece. After each epoch the test rows are
    only looked at, with ``one_step_errors``.

    Args:
        train, test: the two parts of ``holdout``.
        settings: members, hidden layers, epochs, rows of a piece, Adam's step size.
        rng: for the weights of an ``EnsembleNet``, the bootstraps and the order of rows.

    Returns:
        Fit(dynamics, errors (epochs, M)).

    Raises:
        ValueError: if epochs, members or batch_size is below 1.
    """
    _check_count(settings.epochs, "epochs")
    # TODO(ensemble): inputs and changes, normalisers, net, bootstraps; then epochs of Adam.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(ensemble): inputs and changes, normalisers, net, bootstraps; then epochs of Adam.")


# -- Part 5: the cross-entropy method --------------------------------------------------------------


def elites(candidates: np.ndarray, scores: np.ndarray, k: int) -> np.ndarray:
    """The k candidates with the largest scores, in any order.

    Args:
        candidates: (P, ...).
        scores: (P,) floats.
        k: from 1 to P.

    Returns:
        (k, ...) a part of the candidates.

    Raises:
        ValueError: if k lies outside its range.
    """
    if not 1 <= k <= len(candidates):
        raise ValueError(f"k must lie in [1, {len(candidates)}], but it is {k}.")
    # TODO(cem): sort by score; which end is the good one?
    # YOUR CODE HERE
    raise NotImplementedError("TODO(cem): sort by score; which end is the good one?")


def refit(old: Gaussian, best: np.ndarray, smoothing: float, min_std: float = 0.0) -> Gaussian:
    """The distribution of the next iteration.

        mean = smoothing * old.mean + (1 - smoothing) * (mean of the elites)
        std  = smoothing * old.std  + (1 - smoothing) * (population deviation of the elites)

    for each entry of its own; then no std is below ``min_std``.

    Args:
        old: mean and std of one shape.
        best: (k, *that shape) the elites.
        smoothing: in [0, 1).
        min_std: at least 0.

    Returns:
        Gaussian(mean, std), of the shape of ``old``.
    """
    # TODO(cem): statistics over the elites, axis 0 alone; mix each with its old value.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(cem): statistics over the elites, axis 0 alone; mix each with its old value.")


def cem(
    score: Callable[[np.ndarray], np.ndarray],
    start: Gaussian,
    low: np.ndarray,
    high: np.ndarray,
    settings: CemSettings,
    rng: np.random.Generator,
) -> Gaussian:
    """The cross-entropy method: search for what has the largest score.

    Each iteration draws ``settings.population`` candidates from the present distribution, clips
    them to [low, high], asks for all their scores in one call, and refits to the best of them.

    Args:
        score: (P, *shape) candidates to (P,) scores. Larger is better.
        start: mean and std of the first iteration, both of any one shape.
        low, high: the bounds; they broadcast against that shape.
        settings: population, elites, iterations, smoothing, min_std.

    Returns:
        The distribution after the last refit. Its mean is the answer.

    Raises:
        ValueError: if the settings are impossible.
    """
    _check_search(settings)
    # TODO(cem): draw, clip, score, select, refit.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(cem): draw, clip, score, select, refit.")


# -- Part 6: model-predictive control --------------------------------------------------------------


def imagine(
    step: Callable[[np.ndarray, np.ndarray], np.ndarray],
    problem: Problem,
    state: np.ndarray,
    plans: np.ndarray,
    members: int,
) -> np.ndarray:
    """The discounted return of each plan, in the imagination of each member.

        sum over h of gamma^h * reward(s[h], plan[h], s[h + 1]),     s[0] = state

    up to and including the first step that is ``terminal``. Nothing after it counts, whatever
    ``step`` and ``reward`` say there (it may be nan).

    Args:
        step: (M, P, S) states and (P, A) actions to (M, P, S) next states, as ``Dynamics.step``.
        problem: reward, terminal, gamma.
        state: (S,) where all plans begin.
        plans: (P, H, A).
        members: M.

    Returns:
        (M, P) float64.
    """
    # TODO(mpc): one loop over the steps; remember which stories are over.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(mpc): one loop over the steps; remember which stories are over.")


def mpc_action(
    step: Callable[[np.ndarray, np.ndarray], np.ndarray],
    problem: Problem,
    members: int,
    state: np.ndarray,
    plan: np.ndarray,
    settings: CemSettings,
    rng: np.random.Generator,
) -> Decision:
    """One decision of model-predictive control.

    ``cem`` searches among plans (H, A) for the one with the largest score, which is the mean over
    members of what they imagine. The search begins with the mean ``plan`` and with the deviation
    (high - low) / 4 for every entry. The first action of what it finds is what to do now. What is
    left of the plan is where the next search begins: one step earlier, and the middle of the bounds
    as its last action.

    Args:
        step, problem, members: as for ``imagine``.
        state: (S,) the state of the world now.
        plan: (H, A) where the search begins.
        settings: of the search.

    Returns:
        Decision(action (A,), plan (H, A)).

    Raises:
        ValueError: if the settings are impossible.
    """
    _check_search(settings)
    # TODO(mpc): a score for cem, the search, the first action, the shifted plan.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(mpc): a score for cem, the search, the first action, the shifted plan.")


def learn_by_planning(
    env,
    problem: Problem,
    episodes: int,
    horizon: int,
    fit: FitSettings,
    search: CemSettings,
    rng: np.random.Generator,
    seed: int,
) -> Learned:
    """Learn a model from the episodes so far, plan with it in the next one, and so on.

    The first episode takes uniform random actions within the bounds. Before each later one an
    ensemble is trained from scratch on all real steps so far, of which a tenth (rounded down, at
    least 1) is held out. In such an episode every action is an ``mpc_action``, and the first search
    begins in the middle of the bounds.

    Args:
        env: a Gymnasium environment with states (S,). Use env.reset and env.step, and nothing else
            of it. env.step gets a float32 array of shape (A,).
        problem: reward, terminal, bounds, gamma.
        episodes: at least 2.
        horizon: H, the steps of a plan, at least 1.
        fit, search: settings.
        rng: makes every random choice.
        seed: given to the first env.reset and to no other.

    Returns:
        Learned(dynamics, returns (episodes,), data). ``data`` holds the actions as env.step got
        them.

    Raises:
        ValueError: if episodes < 2 or horizon < 1.
    """
    _check_count(episodes, "episodes", least=2)
    _check_count(horizon, "horizon")
    # TODO(mpc): play at random once; then fit, play with mpc_action, and go on like this.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(mpc): play at random once; then fit, play with mpc_action, and go on like this.")


# -- Part 7: how the error of a model grows --------------------------------------------------------


def open_loop_errors(
    step: Callable[[np.ndarray, np.ndarray], np.ndarray],
    states: np.ndarray,
    actions: np.ndarray,
    horizon: int,
    members: int,
) -> np.ndarray:
    """How far a model is from the truth after 1, 2, ..., H steps without looking.

    From each of the first T - H + 1 states of a recorded episode the model takes H steps with the
    recorded actions, each from where its own last step led. Entry k - 1 is the mean, over members
    and starts, of the Euclidean distance to the recorded state after k steps.

    Args:
        step: (M, B, S) states and (B, A) actions to (M, B, S) next states.
        states: (T + 1, S).
        actions: (T, A).
        horizon: H, from 1 to T.
        members: M.

    Returns:
        (H,) float64.

    Raises:
        ValueError: if horizon lies outside its range.
    """
    if not 1 <= horizon <= len(actions):
        raise ValueError(f"horizon must lie in [1, {len(actions)}], but it is {horizon}.")
    # TODO(error): all starts side by side; one loop over k.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(error): all starts side by side; one loop over k.")


def growth_bound(step_error: float, lipschitz: float, horizon: int) -> np.ndarray:
    """The largest possible distance to the truth after 1, ..., H imagined steps.

    One step of the model is wrong by at most ``step_error``, and two stories that are d apart are
    at most ``lipschitz`` * d apart one step later:

        e[1] = step_error,      e[k + 1] = lipschitz * e[k] + step_error

    Returns:
        (H,) float64: e[1], ..., e[H].

    Raises:
        ValueError: if horizon < 1, or another argument is negative.
    """
    _check_count(horizon, "horizon")
    if step_error < 0.0 or lipschitz < 0.0:
        raise ValueError("step_error and lipschitz are at least 0.")
    # TODO(error): the recursion, or its closed form.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(error): the recursion, or its closed form.")


def return_bound(
    step_error: float,
    lipschitz: float,
    reward_lipschitz: float,
    gamma: float,
    horizon: int,
    value_error: float,
) -> float:
    """How wrong the imagined return of a plan can be at most.

    The return is r(s[0], a[0]) + gamma r(s[1], a[1]) + ... over H steps, plus gamma^H times a value
    that is wrong by at most ``value_error`` (that s[H] is only imagined is included). Rewards of two
    states that are d apart, for the same action, differ by at most ``reward_lipschitz`` * d. The state s[k] is wrong by at most
    e[k] of ``growth_bound``, the state s[0] is known:

        reward_lipschitz * sum over k = 1 .. H - 1 of gamma^k * e[k]   +   gamma^H * value_error

    Returns:
        A float.

    Raises:
        ValueError: as ``growth_bound``; or if gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    _check_count(horizon, "horizon")
    # TODO(error): which e belongs to which power of gamma?
    # YOUR CODE HERE
    raise NotImplementedError("TODO(error): which e belongs to which power of gamma?")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# dyna=  sweeping=  loop=  ensemble=  cem=  mpc=  error=
