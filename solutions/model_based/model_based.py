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
        ### BEGIN SOLUTION
        # BUG(model-forgets-other-actions): self.outcomes[s] = {a: (float(r), s2, bool(terminated))}
        # WHEN the model keeps one action for each state: a new one drives out the old ones.
        # BUG(first-outcome-stays): self.outcomes.setdefault(s, {}).setdefault(a, (float(r), s2, bool(terminated)))
        # WHEN the model believes the first outcome of a pair for ever, also after the world changed.
        # BUG(model-forgets-the-end): self.outcomes.setdefault(s, {})[a] = (float(r), s2, False)
        # WHEN the model does not keep which steps ended an episode.
        self.outcomes.setdefault(s, {})[a] = (float(r), s2, bool(terminated))
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        # BUG(pairs-instead-of-states): states = [s for s, known in self.outcomes.items() for _ in known]
        # WHEN all pairs are equally likely in planning, so that a state counts once for each of its
        # WHEN actions.
        states = list(self.outcomes)
        s = states[rng.integers(len(states))]
        actions = list(self.outcomes[s])
        # BUG(imagines-the-latest-action): return s, actions[-1]
        # WHEN planning takes one action of each state only: the one that was discovered last.
        return s, actions[rng.integers(len(actions))]
        ### END SOLUTION

    def sources(self, s2: int) -> list[tuple[int, int]]:
        """The pairs whose latest outcome led to s2, terminated or not, in any order."""
        # TODO(sweeping): look through all that is known.
        ### BEGIN SOLUTION
        pairs = [
            (s, a, after)
            for s, known in self.outcomes.items()
            for a, (_, after, _) in known.items()
        ]
        # BUG(sources-are-successors): return [(s, a) for s, a, _ in pairs if s == s2]
        # WHEN the pairs that begin in a state are taken for those that lead to it.
        # BUG(sources-skip-the-state-itself): return [(s, a) for s, a, after in pairs if after == s2 and s != s2]
        # WHEN a pair that stays where it is, is not among those that lead to its state.
        return [(s, a) for s, a, after in pairs if after == s2]
        ### END SOLUTION


### BEGIN BUGS
def _guess(model, s, a):
    """A step that pays nothing and stays, for a pair that was never seen."""
    return model.outcomes[s].get(a, (0.0, s, False))


### END BUGS
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
    ### BEGIN SOLUTION
    for _ in range(n):
        # BUG(plans-unseen-actions): s, a = model.sample(rng)[0], int(rng.integers(Q.shape[1]))
        # WHEN planning tries any action in a state, and takes actions that were never tried to pay
        # WHEN nothing and to stay in their state.
        s, a = model.sample(rng)
        # BUG(plans-unseen-actions): r, s2, terminated = _guess(model, s, a)
        r, s2, terminated = model.predict(s, a)
        # BUG(imagined-end-is-ignored): q_update_(Q, s, a, r, s2, False, alpha, gamma)
        # BUG(imagined-end-is-ignored, 2): Q[s, a] += alpha * (r + gamma * Q[s2].max() - Q[s, a])
        # WHEN an imagined step that ends the episode is treated as if life went on.
        q_update_(Q, s, a, r, s2, terminated, alpha, gamma)
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        # BUG(latest-priority-counts): self.priorities[s, a] = priority
        # WHEN a pair that is pushed again gets its new priority, also if the old one was larger.
        # BUG(first-priority-counts): self.priorities.setdefault((s, a), priority)
        # WHEN a pair that is pushed again keeps its first priority.
        self.priorities[s, a] = max(priority, self.priorities.get((s, a), priority))
        ### END SOLUTION

    def pop_(self) -> tuple[int, int]:
        """Take out the pair with the largest priority. Of several such pairs, any one.

        Raises:
            ValueError: if no pair is waiting.
        """
        if not self.priorities:
            raise ValueError("No pair is waiting: the queue is empty.")
        # TODO(sweeping): find it, remove it, return it.
        ### BEGIN SOLUTION
        # BUG(smallest-priority-first): pair = min(self.priorities, key=self.priorities.__getitem__)
        # WHEN the pair with the smallest priority comes first, as in a heap of plain priorities.
        pair = max(self.priorities, key=self.priorities.__getitem__)
        del self.priorities[pair]
        return pair
        ### END SOLUTION


def priority(Q: np.ndarray, model: TabularModel, s: int, a: int, gamma: float) -> float:
    """How much the pair's value would change in a full step: |q_target - Q[s, a]|, a float.

    The target is that of the outcome which the model predicts.

    Raises:
        ValueError: if gamma lies outside [0, 1].
    """
    _check_rates(gamma=gamma)
    # TODO(sweeping): the size of the TD error of an imagined step.
    ### BEGIN SOLUTION
    r, s2, terminated = model.predict(s, a)
    # BUG(priority-has-a-sign): return q_target(r, Q[s2], gamma, terminated) - Q[s, a]
    # WHEN the priority is the TD error itself: values that must fall are never pushed.
    # BUG(priority-ignores-the-end): return abs(q_target(r, Q[s2], gamma, False) - Q[s, a])
    # WHEN the priority of a pair that ends the episode counts what the table says behind the end.
    return abs(q_target(r, Q[s2], gamma, terminated) - Q[s, a])
    ### END SOLUTION


### BEGIN BUGS
def _learn_the_size_(Q, model, s, a, alpha, gamma):
    """The update with the absolute error."""
    Q[s, a] += alpha * priority(Q, model, s, a, gamma)


### END BUGS
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
    ### BEGIN SOLUTION
    for made in range(n):
        if len(queue) == 0:
            # BUG(counts-what-was-allowed): break
            # WHEN prioritised sweeping reports the updates that it was allowed, not those it made.
            return made
        s, a = queue.pop_()
        r, s2, terminated = model.predict(s, a)
        # BUG(absolute-error-is-learned, 2): Q[s, a] += alpha * abs(q_target(r, Q[s2], gamma, terminated) - Q[s, a])
        # BUG(absolute-error-is-learned): _learn_the_size_(Q, model, s, a, alpha, gamma)
        # WHEN the update adds the priority, which is the error without its sign.
        # BUG(imagined-end-is-ignored): q_update_(Q, s, a, r, s2, False, alpha, gamma)
        # BUG(imagined-end-is-ignored, 2): Q[s, a] += alpha * (r + gamma * Q[s2].max() - Q[s, a])
        q_update_(Q, s, a, r, s2, terminated, alpha, gamma)
        # BUG(sweeps-forwards): sources = model.sources(s2)
        # WHEN the pairs that lead to the next state are looked at, not those that lead to the state
        # WHEN whose value has changed.
        sources = model.sources(s)
        for before, move in sources:
            urgency = priority(Q, model, before, move, gamma)
            # BUG(threshold-is-ignored): if True:
            # WHEN every pair is pushed, however little its value would change.
            if urgency > theta:
                queue.push_(before, move, urgency)
    return n
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    Q, model, queue = np.zeros(shape), TabularModel(), PriorityQueue()
    steps = np.zeros(episodes, int)
    for episode in range(episodes):
        # BUG(seeds-every-episode): s, _ = env.reset(seed=seed)
        # WHEN every reset gets the seed, so that each episode replays the same luck.
        s, _ = env.reset(seed=seed if episode == 0 else None)
        over = False
        while not over:
            a = epsilon_greedy(Q[s], epsilon, rng)
            s2, r, terminated, truncated, _ = env.step(a)
            # BUG(a-time-limit-is-an-end): terminated = terminated or truncated
            # WHEN a step that a clock cut off is learned from as if it had ended the episode.
            # BUG(a-time-limit-is-an-end, 2): model.learn_(s, a, r, s2, terminated or truncated)
            model.learn_(s, a, r, s2, terminated)
            # BUG(sweeps-without-priorities): if True:
            # WHEN prioritised sweeping is asked for, and Dyna-Q's random planning is what runs.
            if theta is None:
                # BUG(learns-in-imagination-only): pass
                # WHEN Dyna-Q never learns from its real steps directly.
                q_update_(Q, s, a, r, s2, terminated, alpha, gamma)
                # BUG(plans-after-the-episode): _ = plan_(Q, model, n, alpha, gamma, rng) if terminated or truncated else None
                # WHEN planning runs once at the end of an episode, not after every real step.
                plan_(Q, model, n, alpha, gamma, rng)
            else:
                urgency = priority(Q, model, s, a, gamma)
                # BUG(threshold-is-ignored): if True:
                if urgency > theta:
                    queue.push_(s, a, urgency)
                # BUG(queue-begins-anew): queue = PriorityQueue() if sweep_(Q, model, queue, n, alpha, gamma, theta) >= 0 else queue
                # WHEN pairs that still wait after a real step are forgotten before the next one.
                sweep_(Q, model, queue, n, alpha, gamma, theta)
            steps[episode] += 1
            s, over = s2, terminated or truncated
    return DynaResult(Q, steps)
    ### END SOLUTION


# -- Part 4: an ensemble of dynamics models --------------------------------------------------------


def fit_normaliser(data: np.ndarray) -> Normaliser:
    """The normaliser of some data (N, D): its mean and population standard deviation, per column.

    A column in which all N numbers are the same has scale 1. Compare the numbers: through rounding,
    their deviation may be 1e-17 instead of 0.
    """
    # TODO(ensemble): two statistics of each column; mind constant columns.
    ### BEGIN SOLUTION
    constant = data.max(axis=0) == data.min(axis=0)
    # BUG(scale-is-the-variance): return Normaliser(data.mean(axis=0), np.where(constant, 1.0, data.var(axis=0)))
    # WHEN data are divided by their variance, not by their standard deviation.
    # BUG(scale-of-a-sample): return Normaliser(data.mean(axis=0), np.where(constant, 1.0, data.std(axis=0) * np.sqrt(len(data) / (len(data) - 1))))
    # WHEN the normaliser divides by the sample deviation (ddof 1), not by the population's.
    # BUG(one-scale-for-all-columns): return Normaliser(data.mean(axis=0), np.where(constant, 1.0, data.std()))
    # WHEN all columns are divided by one deviation, that of all numbers together.
    # BUG(constant-columns-explode): return Normaliser(data.mean(axis=0), np.maximum(data.std(axis=0), 1e-4))
    # WHEN a column that never varied is divided by next to nothing.
    return Normaliser(data.mean(axis=0), np.where(constant, 1.0, data.std(axis=0)))
    ### END SOLUTION


def normalise(normaliser: Normaliser, x: np.ndarray) -> np.ndarray:
    """(..., D) Numbers in units of the data to normalised ones: (x - mean) / scale."""
    # TODO(ensemble): one line.
    ### BEGIN SOLUTION
    return (x - normaliser.mean) / normaliser.scale
    ### END SOLUTION


def denormalise(normaliser: Normaliser, z: np.ndarray) -> np.ndarray:
    """(..., D) The exact inverse of ``normalise``."""
    # TODO(ensemble): undo the last step first.
    ### BEGIN SOLUTION
    # BUG(inverse-forgets-the-mean): return z * normaliser.scale
    # WHEN going back to the units of the data forgets to add the mean.
    # BUG(inverse-in-the-wrong-order): return (z + normaliser.mean) * normaliser.scale
    # WHEN going back to the units of the data adds the mean before it multiplies.
    return z * normaliser.scale + normaliser.mean
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    order = rng.permutation(len(data.states))
    # BUG(trains-on-the-test): train, test = order, order[:n_test]
    # WHEN the rows of the test are among the training data as well.
    # BUG(trains-on-the-test, 2): train, test = order[n_test:], rng.permutation(len(order))[:n_test]
    train, test = order[n_test:], order[:n_test]
    return tuple(Transitions(*(x[rows] for x in data)) for rows in (train, test))
    ### END SOLUTION


def bootstrap(n: int, members: int, rng: np.random.Generator) -> np.ndarray:
    """(members, n) integers: for each member its own n rows of n, drawn with replacement.

    Raises:
        ValueError: if n or members is below 1.
    """
    _check_count(n, "n")
    _check_count(members, "members")
    # TODO(ensemble): all draws are independent of each other.
    ### BEGIN SOLUTION
    # BUG(one-bootstrap-for-all): return np.tile(rng.integers(n, size=n), (members, 1))
    # WHEN all members of the ensemble are trained on one and the same bootstrap.
    # BUG(one-bootstrap-for-all, 2): return np.repeat(rng.choice(n, n)[None], members, axis=0)
    # BUG(without-replacement): return np.stack([rng.permutation(n) for _ in range(members)])
    # WHEN the rows of a bootstrap are drawn without replacement: every member sees all data.
    return rng.integers(n, size=(members, n))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(members-share-their-rows): order = rng.permutation(rows.ravel()).reshape(rows.shape)
    # WHEN the bootstraps of all members are thrown together before each epoch.
    # BUG(epoch-shows-one-bootstrap): order = rng.permuted(np.repeat(rows[:1], len(rows), axis=0), axis=1)
    # WHEN every member is shown the rows of the first one.
    # BUG(never-shuffled): order = rows
    # WHEN every epoch takes the rows in the same order.
    # BUG(draws-batches-anew): order = np.take_along_axis(rows, rng.integers(rows.shape[1], size=rows.shape), axis=1)
    # WHEN an epoch draws rows with replacement, so that some are missing and others are there twice.
    order = rng.permuted(rows, axis=1)
    # BUG(last-batch-is-dropped): return [order[:, i : i + size] for i in range(0, rows.shape[1] - size + 1, size)]
    # WHEN the last piece of an epoch is dropped if it is not full.
    return [order[:, i : i + size] for i in range(0, rows.shape[1], size)]
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(loss-averages-over-members): return (prediction - target).square().mean()
    # WHEN the loss is a mean over members: a member's gradient shrinks with their number.
    # BUG(loss-of-the-mean-prediction): return (prediction.mean(dim=0) - target.mean(dim=0)).square().mean() * len(prediction)
    # WHEN only the mean of all members is compared with the targets.
    # BUG(loss-sums-over-components): return (prediction - target).square().sum(dim=2).mean(dim=1).sum()
    # WHEN the loss adds up the components of the state.
    return (prediction - target).square().mean(dim=(1, 2)).sum()
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        moves = np.broadcast_to(actions, (len(states), *actions.shape))
        x = np.concatenate([states, moves], axis=-1)
        # BUG(raw-inputs): z = x
        # WHEN the network is asked about states and actions that were not normalised.
        z = normalise(self.inputs, x)
        with torch.no_grad():
            change = self.net(torch.from_numpy(z)).numpy()
        # BUG(change-taken-for-the-state): return denormalise(self.deltas, change)
        # WHEN the predicted change is taken for the next state itself.
        # BUG(change-stays-normalised): return states + change
        # WHEN the predicted change is added in normalised units.
        # BUG(members-follow-the-mean): return states + denormalise(self.deltas, change).mean(axis=0)
        # WHEN every member makes the step that is the mean of all members.
        return states + denormalise(self.deltas, change)
        ### END SOLUTION


def one_step_errors(dynamics: Dynamics, members: int, data: Transitions) -> np.ndarray:
    """(members,) float64: each member's mean squared error of the next state, over the rows and
    components of ``data``, in the units of the states."""
    # TODO(ensemble): give every member the same states, and compare.
    ### BEGIN SOLUTION
    states = np.repeat(data.states[None], members, axis=0)
    gap = dynamics.step(states, data.actions) - data.next_states
    # BUG(error-of-the-mean-member): return np.full(members, (gap.mean(axis=0) ** 2).mean())
    # WHEN the error is that of the mean of all members.
    # BUG(error-in-normalised-units): gap = gap / dynamics.deltas.scale
    # WHEN the error on the test rows is counted in normalised units.
    return (gap**2).mean(axis=(1, 2))
    ### END SOLUTION


### BEGIN BUGS
def _both(train, test):
    """All that is known, the test included."""
    return Transitions(*(np.concatenate(pair) for pair in zip(train, test, strict=True)))


### END BUGS
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
    ### BEGIN SOLUTION
    x = np.concatenate([train.states, train.actions], axis=1)
    # BUG(learns-the-state-not-the-change): y = train.next_states
    # WHEN the network is trained to predict the next state, most of which it was told.
    y = train.next_states - train.states
    # BUG(normalised-with-the-test): inputs, deltas = (lambda all_: (fit_normaliser(np.concatenate([all_.states, all_.actions], axis=1)), fit_normaliser(all_.next_states - all_.states)))(_both(train, test))
    # WHEN a normaliser has seen the test rows.
    # BUG(normalised-with-the-test, 2): inputs, deltas = fit_normaliser(np.concatenate([test.states, test.actions], axis=1)), fit_normaliser(test.next_states - test.states)
    # BUG(normalised-with-the-test, 3): inputs, deltas = fit_normaliser(np.concatenate([x, np.concatenate([test.states, test.actions], axis=1)])), fit_normaliser(y)
    inputs, deltas = fit_normaliser(x), fit_normaliser(y)
    net = EnsembleNet(settings.members, (x.shape[1], *settings.hidden, y.shape[1]), rng)
    dynamics = Dynamics(net, inputs, deltas)
    x, y = torch.from_numpy(normalise(inputs, x)), torch.from_numpy(normalise(deltas, y))
    rows = bootstrap(len(x), settings.members, rng)
    optimiser = torch.optim.Adam(net.parameters(), settings.rate)
    errors = np.zeros((settings.epochs, settings.members))
    for epoch in range(settings.epochs):
        # BUG(bootstrap-in-every-epoch): rows = bootstrap(len(x), settings.members, rng)
        # WHEN the bootstraps are drawn anew in each epoch: in the end every member has seen all.
        pieces = minibatches(rows, settings.batch_size, rng)
        for piece in pieces:
            loss = ensemble_loss(net(x[piece]), y[piece])
            # BUG(gradients-pile-up): pass
            # WHEN the gradients of all earlier steps are still there when a new one is added.
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        # BUG(reports-the-training-error): errors[epoch] = one_step_errors(dynamics, settings.members, train)
        # WHEN the reported errors are those on the training rows.
        errors[epoch] = one_step_errors(dynamics, settings.members, test)
    return Fit(dynamics, errors)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(elites-with-the-lowest-score): order = np.argsort(scores)
    # WHEN the candidates with the lowest scores survive, as if they were costs.
    # BUG(elites-with-the-lowest-score, 2): order = np.argsort(scores)[::-1][-k:]
    # BUG(elites-of-the-largest-size): order = np.argsort(-np.abs(scores))
    # WHEN the elites are those whose scores are largest in size, whatever their sign.
    order = np.argsort(-scores)
    return candidates[order[:k]]
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(smoothing-turned-round): keep, take = 1.0 - smoothing, smoothing
    # WHEN smoothing is what is taken of the new distribution, not what is kept of the old one.
    # BUG(smoothing-is-ignored): keep, take = 0.0, 1.0
    # WHEN nothing of the old distribution stays.
    keep, take = smoothing, 1.0 - smoothing
    mean = keep * old.mean + take * best.mean(axis=0)
    # BUG(deviation-collapses): fresh = best.std(axis=0) / np.sqrt(len(best))
    # WHEN the search narrows far too quickly, because the new deviation is the error of the elites'
    # WHEN mean, not the spread of the elites.
    # BUG(deviation-collapses, 2): fresh = (best.var(axis=0) / len(best)) ** 0.5
    # BUG(deviation-is-the-variance): fresh = best.var(axis=0)
    # WHEN the variance of the elites is taken for their standard deviation.
    # BUG(deviation-of-a-sample): fresh = best.std(axis=0) * np.sqrt(len(best) / max(len(best) - 1, 1))
    # WHEN the deviation of the elites is computed with ddof 1.
    fresh = best.std(axis=0)
    # BUG(deviation-is-not-smoothed): std = fresh
    # WHEN the mean is smoothed and the deviation is not.
    std = keep * old.std + take * fresh
    # BUG(no-floor): return Gaussian(mean, std)
    # WHEN the deviation may fall below its floor.
    return Gaussian(mean, np.maximum(std, min_std))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    present = Gaussian(np.array(start.mean, float), np.array(start.std, float))
    for _ in range(settings.iterations):
        noise = rng.standard_normal((settings.population, *present.mean.shape))
        # BUG(noise-with-the-variance): drawn = present.mean + present.std**2 * noise
        # WHEN the noise of the candidates is multiplied by the variance.
        drawn = present.mean + present.std * noise
        # BUG(leaves-the-bounds): candidates = drawn
        # WHEN candidates outside of the bounds are scored as well.
        candidates = np.clip(drawn, low, high)
        scores = score(candidates)
        # BUG(elites-before-clipping): best = elites(drawn, scores, settings.elites)
        # WHEN the elites are the candidates as they were before they were clipped.
        best = elites(candidates, scores, settings.elites)
        # BUG(deviation-collapses, 3): present = Gaussian(refit(present, best, settings.smoothing).mean, np.maximum(best.std(axis=0) / np.sqrt(len(best)), settings.min_std))
        # BUG(no-floor, 2): present = refit(present, best, settings.smoothing)
        # BUG(smoothing-is-ignored, 2): present = refit(present, best, 0.0, settings.min_std)
        present = refit(present, best, settings.smoothing, settings.min_std)
    # BUG(answers-with-the-best-candidate): return Gaussian(candidates[np.argmax(scores)], present.std)
    # WHEN the answer is the best candidate of the last iteration, not the mean of the distribution.
    return present
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    states = np.broadcast_to(state, (members, len(plans), len(state)))
    total, alive = np.zeros((members, len(plans))), np.ones((members, len(plans)), bool)
    for h in range(plans.shape[1]):
        actions = plans[:, h]
        after = step(states, actions)
        # BUG(reward-one-step-late): paid = problem.reward(after, actions, after)
        # WHEN the reward of a step is asked for with the state after it in both places.
        paid = problem.reward(states, actions, after)
        # BUG(plans-without-discount): total += np.where(alive, paid, 0.0)
        # WHEN later rewards of a plan are not discounted.
        # BUG(first-reward-is-discounted): total += problem.gamma ** (h + 1) * np.where(alive, paid, 0.0)
        # WHEN the first reward of a plan is discounted already.
        # BUG(the-end-pays-nothing): total += problem.gamma**h * np.where(alive & ~problem.terminal(after), paid, 0.0)
        # WHEN the reward of the step that ends a story is lost.
        # BUG(multiplies-by-the-mask): total += problem.gamma**h * alive * paid
        # WHEN what comes after an end is multiplied by 0, which makes nan of nan.
        # BUG(story-goes-on-after-the-end, 2): total += problem.gamma**h * paid
        total += problem.gamma**h * np.where(alive, paid, 0.0)
        # BUG(story-goes-on-after-the-end): pass
        # WHEN rewards after the end of an imagined story count.
        # BUG(rises-from-the-dead): alive = ~problem.terminal(after)
        # WHEN a story that has ended goes on as soon as its state no longer looks like an end.
        alive = alive & ~problem.terminal(after)
        states = after
    return total
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    middle = (problem.low + problem.high) / 2
    # BUG(search-forgets-the-plan): start = Gaussian(np.zeros(plan.shape) + middle, np.zeros(plan.shape) + (problem.high - problem.low) / 4)
    # WHEN every search begins in the middle of the bounds, not with what is left of the last plan.
    start = Gaussian(plan, np.zeros(plan.shape) + (problem.high - problem.low) / 4)

    def score(plans: np.ndarray) -> np.ndarray:
        """(P,) What the members imagine on average."""
        # BUG(trusts-the-happiest-member): return imagine(step, problem, state, plans, members).max(axis=0)
        # WHEN a plan is worth what the most hopeful member says.
        # BUG(trusts-one-member): return imagine(step, problem, state, plans, members)[0]
        # WHEN a plan is worth what the first member says.
        return imagine(step, problem, state, plans, members).mean(axis=0)

    found = cem(score, start, problem.low, problem.high, settings, rng).mean
    # BUG(plan-is-not-shifted): later = found
    # WHEN the next search begins with the whole old plan, its first action included.
    # BUG(plan-is-shifted-in-a-circle): later = np.roll(found, -1, axis=0)
    # WHEN the first action of the old plan comes back as the last one of the next.
    # BUG(plan-repeats-its-last-action): later = np.concatenate([found[1:], found[-1:]])
    # WHEN the last action of the old plan is taken for the next step as well.
    # BUG(plan-ends-with-zeros): later = np.concatenate([found[1:], np.zeros((1, plan.shape[1]))])
    # WHEN the new last action is 0, which need not be within the bounds.
    later = np.concatenate([found[1:], middle[None]])
    # BUG(action-of-the-wrong-plan): return Decision(plan[0].copy(), later)
    # WHEN the action is not the first one of the plan that was just found, but one of another plan
    # WHEN or of another moment.
    # BUG(action-of-the-wrong-plan, 2): return Decision(later[0], later)
    # BUG(action-of-the-wrong-plan, 3): return Decision(found[-1], later)
    return Decision(found[0], later)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    rows, returns, model = [], np.zeros(episodes), None
    # BUG(plan-begins-at-zero): middle = np.zeros((horizon, len(problem.low)))
    # WHEN the first search of an episode begins at 0, not in the middle of the bounds.
    middle = np.tile((problem.low + problem.high) / 2, (horizon, 1))
    for episode in range(episodes):
        if episode > 0:
            data = Transitions(*map(np.array, zip(*rows, strict=True)))
            # BUG(learns-from-the-first-episode): model = model or fit_dynamics(*holdout(data, max(1, len(rows) // 10), rng), fit, rng).dynamics
            # WHEN the model is trained once and never again.
            # BUG(nothing-is-held-out): model = fit_dynamics(data, data, fit, rng).dynamics
            # WHEN the model is trained on all steps, and tested on the same ones.
            model = fit_dynamics(*holdout(data, max(1, len(rows) // 10), rng), fit, rng).dynamics
        # BUG(planning-seeds-every-episode): state, _ = env.reset(seed=seed)
        # WHEN every reset of learning by planning gets the seed.
        state, _ = env.reset(seed=seed if episode == 0 else None)
        plan, over = middle, False
        while not over:
            action = rng.uniform(problem.low, problem.high)
            # BUG(never-plans): if False:
            # WHEN every action is a random one: the model is trained and never asked.
            if model is not None:
                action, plan = mpc_action(
                    model.step, problem, fit.members, np.asarray(state, float), plan, search, rng
                )
            action = action.astype(np.float32)
            after, reward, terminated, truncated, _ = env.step(action)
            rows.append((np.asarray(state, float), action.astype(float), np.asarray(after, float)))
            returns[episode] += reward
            # BUG(plays-on-after-the-time-limit): state, over = after, terminated
            # WHEN an episode goes on after the environment has truncated it.
            state, over = after, terminated or truncated
    return Learned(model, returns, Transitions(*map(np.array, zip(*rows, strict=True))))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    starts = len(actions) - horizon + 1
    now = np.repeat(states[None, :starts], members, axis=0)
    errors = np.zeros(horizon)
    for k in range(horizon):
        # BUG(model-is-told-the-truth, 2): now = step(np.repeat(states[None, k : k + starts], members, axis=0), actions[k : k + starts])
        # BUG(model-is-told-the-truth): now = step(np.stack([states[k : k + starts]] * members), actions[k : k + starts])
        # WHEN the model begins each step in the recorded state: errors cannot grow.
        # BUG(actions-of-the-start): now = step(now, actions[:starts])
        # WHEN the action of the start is repeated at every step.
        now = step(now, actions[k : k + starts])
        # BUG(compares-one-step-early): gap = now - states[k : k + starts]
        # WHEN predictions are compared with the state before the step.
        # BUG(distance-to-the-mean): gap = now.mean(axis=0, keepdims=True) - states[k + 1 : k + 1 + starts]
        # WHEN the distance is that of the mean of all members.
        gap = now - states[k + 1 : k + 1 + starts]
        # BUG(distance-is-squared): errors[k] = (gap**2).sum(axis=-1).mean()
        # WHEN squared distances are averaged.
        errors[k] = np.linalg.norm(gap, axis=-1).mean()
    return errors
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(growth-without-a-sum): return step_error * lipschitz ** np.arange(horizon)
    # WHEN only the first error grows: no later step adds its own.
    # BUG(errors-only-add-up): return step_error * np.arange(1.0, horizon + 1)
    # WHEN errors are added up and none of them grows.
    return step_error * np.cumsum(lipschitz ** np.arange(horizon))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    errors = growth_bound(step_error, lipschitz, horizon)
    # BUG(first-reward-is-wrong-already): known = gamma ** np.arange(horizon) @ errors
    # WHEN the first reward counts as wrong, although its state is known.
    # BUG(bound-forgets-gamma): known = errors[:-1].sum()
    # WHEN the errors of the rewards enter the bound without a discount.
    known = gamma ** np.arange(1, horizon) @ errors[:-1]
    # BUG(value-error-undiscounted): return float(reward_lipschitz * known + value_error)
    # WHEN the error of the value at the end of the plan is not discounted.
    # BUG(value-error-one-step-early): return float(reward_lipschitz * known + gamma ** (horizon - 1) * value_error)
    # WHEN the value at the end of the plan is discounted one step too little.
    return float(reward_lipschitz * known + gamma**horizon * value_error)
    ### END SOLUTION
