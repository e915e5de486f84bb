"""Bradley-Terry: from who beat whom to reward models, and to what goes wrong when a reward model is
believed.

Conventions, for every function of this file

* A score (reward, utility, log-ability) is a real number in nats: P(i beats j) = sigmoid(r_i -
  r_j). Only differences mean anything: adding one constant to all scores changes no probability.
* Tables of games and their log-abilities are NumPy: ``wins[i, j]`` counts how often i beat j, the
  diagonal is 0, log-abilities ``theta`` are (n,) float64 with mean 0. Scores of a network are
  tensors.
* A batch of B pairs has 2B rows. Layout "interleaved": chosen, rejected, chosen, rejected, ...;
  layout "stacked": all chosen rows, then all rejected rows, in the same order.
* ``attention_mask`` is (B, L), 1 = real token, 0 = padding, which stands on the left or on the
  right of a row.
* Arguments are never changed, except a model that is trained. Random numbers come from the
  generator that is passed.
* Impossible arguments raise ValueError with a sentence.

Sources: Bradley and Terry (1952), Biometrika 39; Hunter (2004), "MM algorithms for generalized
Bradley-Terry models", Annals of Statistics 32(1); Ouyang et al. (2022), "Training language models
to follow instructions with human feedback", arXiv:2203.02155.
"""

from __future__ import annotations

### BEGIN SOLUTION
import math

### END SOLUTION
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]


def _check_pairs(chosen: Tensor, rejected: Tensor) -> None:
    """Refuse scores that are not two tensors of one shape (B,), B at least 1."""
    if chosen.ndim != 1 or len(chosen) == 0:
        raise ValueError(
            f"scores of pairs must have shape (B,) with B >= 1, not {tuple(chosen.shape)}."
        )
    # BUG(broadcasts-silently): pass
    # WHEN scores of different shapes are stretched to a common one instead of being refused.
    _check_same_shape(chosen, rejected)


def _check_same_shape(one: Tensor, other: Tensor) -> None:
    """Refuse two tensors of different shapes."""
    if one.shape != other.shape:
        raise ValueError(
            f"the shapes {tuple(one.shape)} and {tuple(other.shape)} must be the same."
        )


def _check_table(wins: NDArray[np.integer]) -> Array:
    """The table in float64, once it is known to be square, non-negative and empty on its
    diagonal."""
    table = np.asarray(wins, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
        raise ValueError(f"a table of wins must have shape (n, n) with n >= 2, not {table.shape}.")
    if (table < 0).any() or np.diag(table).any():
        raise ValueError("a table of wins holds counts, and nobody plays against themselves.")
    return table


# -- Part 1: probability and loss ------------------------------------------------------------------


def bt_prob(r_i: Tensor, r_j: Tensor) -> Tensor:
    """Probability that i is preferred to j: sigmoid(r_i - r_j).

    Args:
        r_i, r_j: scores, floating tensors of one shape, of any size: 1000 and more must not
            overflow.

    Returns:
        Probabilities, the shape of ``r_i``. Differentiable.

    Raises:
        ValueError: the shapes differ.
    """
    _check_same_shape(r_i, r_j)
    # TODO(model): the logistic function of the difference.
    ### BEGIN SOLUTION
    # BUG(probability-of-the-other): return torch.sigmoid(r_j - r_i)
    # WHEN the probability is that of j beating i.
    # BUG(exponentials-overflow): return r_i.exp() / (r_i.exp() + r_j.exp())
    # WHEN the scores are exponentiated one by one, so that large ones overflow to inf / inf.
    # BUG(exponentials-overflow, 2): return 1 / (1 + r_j.exp() / r_i.exp())
    return torch.sigmoid(r_i - r_j)
    ### END SOLUTION


def bt_loss(
    r_chosen: Tensor, r_rejected: Tensor, margin: float | Tensor = 0.0, label_smoothing: float = 0.0
) -> Tensor:
    """Mean negative log-likelihood of the choices.

    With d = r_chosen - r_rejected - margin and smoothing s, one pair costs

        -(1 - s) * log sigmoid(d) - s * log sigmoid(-d)                (s = 0: Ouyang et al., eq. 1)

    s is the share of labels that are believed to be the wrong way round.

    Args:
        r_chosen, r_rejected: (B,) float, of any size: differences of +-1000 give finite losses and
            gradients.
        margin: a number, or (B,): how far the chosen answer must lie ahead, in the unit of the
            scores.
        label_smoothing: s, in [0, 1].

    Returns:
        The mean over pairs, a scalar tensor. Differentiable in both scores.

    Raises:
        ValueError: the scores are not of one shape (B,), the margin is neither a number nor (B,),
            or s is not in [0, 1].
    """
    _check_pairs(r_chosen, r_rejected)
    if isinstance(margin, Tensor) and margin.ndim > 0:
        _check_pairs(r_chosen, margin)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must lie in [0, 1], but it is {label_smoothing}.")
    # TODO(model): log sigmoid of the difference and of its negative, by a function that cannot overflow.
    ### BEGIN SOLUTION
    # BUG(swapped-pair): gap = r_rejected - r_chosen - margin
    # WHEN chosen and rejected change places, so that training makes the chosen answer worse.
    # BUG(swapped-pair, 2): gap = r_rejected - r_chosen + margin
    # BUG(margin-added): gap = r_chosen - r_rejected + margin
    # WHEN the margin is added to the difference: a head start instead of a demand.
    gap = r_chosen - r_rejected - margin
    # BUG(log-of-sigmoid): right, wrong = torch.sigmoid(gap).log(), torch.sigmoid(-gap).log()
    # WHEN the logarithm is taken of something that has already been rounded to 0 or to infinity.
    # BUG(log-of-sigmoid, 2): right, wrong = -torch.log1p(torch.exp(-gap)), -torch.log1p(torch.exp(gap))
    # BUG(margin-in-one-term): right, wrong = nn.functional.logsigmoid(gap), nn.functional.logsigmoid(r_rejected - r_chosen)
    # WHEN the margin is missing from the term of the label that is taken for wrong.
    right, wrong = nn.functional.logsigmoid(gap), nn.functional.logsigmoid(-gap)
    # BUG(smoothing-halved): return -((1 - label_smoothing / 2) * right + label_smoothing / 2 * wrong).mean()
    # WHEN the smoothing is shared evenly between two classes, as classifiers have it, so that only
    # WHEN half of it reaches the other label.
    # BUG(sums-over-pairs): return -((1 - label_smoothing) * right + label_smoothing * wrong).sum()
    # WHEN the pairs are added up instead of averaged.
    return -((1 - label_smoothing) * right + label_smoothing * wrong).mean()
    ### END SOLUTION


def accuracy(chosen: Tensor, rejected: Tensor) -> float:
    """Share of pairs in which the chosen answer scores higher; a tie counts one half.

    Args:
        chosen, rejected: (B,) scores.

    Returns:
        A float in [0, 1]; a model that says the same of everything gets 0.5.

    Raises:
        ValueError: the scores are not of one shape (B,).
    """
    _check_pairs(chosen, rejected)
    # TODO(model): count wins, and ties as half of one.
    ### BEGIN SOLUTION
    # BUG(ties-count-as-right): return float((chosen >= rejected).double().mean())
    # WHEN a tie counts as a right answer, so that a model that says nothing is always right.
    # BUG(ties-count-as-wrong): return float((chosen > rejected).double().mean())
    # WHEN a tie counts as a wrong answer.
    return float((chosen > rejected).double().mean() + 0.5 * (chosen == rejected).double().mean())
    ### END SOLUTION


# -- Part 2: fitting a table by MM -----------------------------------------------------------------


def log_likelihood(wins: NDArray[np.integer], theta: Array) -> float:
    """Log-likelihood of a table: sum over i, j of wins[i, j] * log sigmoid(theta_i - theta_j).

    Args:
        wins: (n, n) counts.
        theta: (n,) log-abilities.

    Returns:
        A float, at most 0, in nats. Binomial coefficients, which do not depend on theta, are left
        out.

    Raises:
        ValueError: the table is not square, holds negative counts or has a diagonal.
    """
    wins = _check_table(wins)
    # TODO(fitting): np.logaddexp(0, -x) is -log sigmoid(x), without overflow.
    ### BEGIN SOLUTION
    # BUG(losses-for-wins): gaps = theta[None, :] - theta[:, None]
    # WHEN rows and columns of the table are mixed up, so that losses count as wins.
    gaps = theta[:, None] - theta[None, :]
    # BUG(log-of-sigmoid): return float((wins * np.log(1 / (1 + np.exp(-gaps)))).sum())
    # BUG(log-of-sigmoid, 2): return -float((wins * np.log1p(np.exp(-gaps))).sum())
    return -float((wins * np.logaddexp(0.0, -gaps)).sum())
    ### END SOLUTION


def is_connected(wins: NDArray[np.integer]) -> bool:
    """Whether the maximum of the likelihood exists: every player reaches every other through a
    chain of wins.

    i reaches j if i beat j, or beat somebody who reaches j. If a group never loses to the rest, its
    abilities run off to infinity; if it never even plays the rest, nothing compares the two. (Ford
    1957; Hunter 2004, assumption 1.)

    Args:
        wins: (n, n) counts.

    Returns:
        A bool.

    Raises:
        ValueError: the table is not square, holds negative counts or has a diagonal.
    """
    wins = _check_table(wins)
    # TODO(fitting): who reaches whom in one step, in two, in four, ...?
    ### BEGIN SOLUTION
    # BUG(connected-by-a-win-and-a-loss): reaches = ((wins + wins.T) > 0) | np.eye(len(wins), dtype=bool)
    # WHEN it is enough that games link everybody and that everybody has won and lost, which is true
    # WHEN of two leagues as well of which one always wins.
    # BUG(connected-by-games): reaches = ((wins + wins.T) > 0) | np.eye(len(wins), dtype=bool)
    # WHEN it is enough that everybody has played, whoever won.
    reaches = (wins > 0) | np.eye(len(wins), dtype=bool)
    for _ in range(len(wins).bit_length()):
        # BUG(connected-by-one-step): pass
        # WHEN two players must have beaten each other directly.
        reaches = (reaches.astype(int) @ reaches.astype(int)) > 0
    # BUG(connected-by-a-win-and-a-loss): return bool(reaches.all() and wins.any(axis=0).all() and wins.any(axis=1).all())
    # BUG(connected-from-the-first): return bool(reaches[0].all())
    # WHEN it is enough that the first player reaches everybody, or that everybody reaches the first
    # WHEN player.
    # BUG(connected-from-the-first, 2): return bool(reaches[:, 0].all())
    return bool(reaches.all())
    ### END SOLUTION


def mm_step(wins: NDArray[np.integer], theta: Array) -> Array:
    """One minorise-maximise update of all log-abilities at once.

    With abilities p = exp(theta), wins W_i = sum_j wins[i, j] and games N_ij = wins[i, j] + wins[j,
    i]:

        p_i <- W_i / sum over j != i of N_ij / (p_i + p_j)                           (Hunter, eq. 3)

    then theta = log p, shifted to mean 0. The old p stands on the right throughout. No step lowers
    the likelihood.

    Args:
        wins: (n, n) counts, each player with at least one win and one loss.
        theta: (n,) log-abilities.

    Returns:
        (n,) float64 with mean 0.

    Raises:
        ValueError: the table is not square, holds negative counts or has a diagonal.
    """
    wins = _check_table(wins)
    # TODO(fitting): the update above, in logarithms and with mean 0 in the end.
    ### BEGIN SOLUTION
    ability = np.exp(theta)
    # BUG(wins-for-games): games = wins
    # WHEN only the games that a player won count as games of that pair.
    games = wins + wins.T
    weight = (games / (ability[:, None] + ability[None, :])).sum(axis=1)
    # BUG(losses-for-wins): new = np.log(wins.sum(axis=0) / weight)
    # BUG(losses-for-wins, 2): new = np.log(wins.sum(axis=0) / weight)
    # BUG(old-ability-kept): new = theta + np.log(wins.sum(axis=1) / weight)
    # WHEN the update is multiplied onto the old ability, which it should replace.
    new = np.log(wins.sum(axis=1) / weight)
    # BUG(gauge-of-the-first): return new - new[0]
    # WHEN the first player is set to zero instead of the mean of all.
    # BUG(gauge-of-the-last): return new - new[-1]
    # WHEN the last player is set to zero, as Agresti's table has it, while this course sets the
    # WHEN mean of all to zero.
    # BUG(gauge-in-abilities): return new - np.log(np.exp(new).mean())
    # WHEN the abilities are given a mean or a sum of 1 instead of the log-abilities the mean 0.
    # BUG(gauge-in-abilities, 2): return new - np.log(np.exp(new).sum())
    return new - new.mean()
    ### END SOLUTION


def fit_bt(wins: NDArray[np.integer], tol: float = 1e-8) -> Array:
    """Maximum-likelihood log-abilities by MM, from theta = 0.

    Stops when nobody's expected number of wins, sum_j N_ij * sigmoid(theta_i - theta_j), differs
    from the number of actual wins by more than ``tol`` games.

    Args:
        wins: (n, n) counts.
        tol: in games, above 0.

    Returns:
        (n,) float64 with mean 0.

    Raises:
        ValueError: tol is not positive, the table is none, a player has no win or no loss, or
            players cannot be compared (see ``is_connected``).
    """
    wins = _check_table(wins)
    if not tol > 0:
        raise ValueError(f"tol must be positive, but it is {tol}.")
    # TODO(fitting): refuse what is_connected refuses; then repeat the MM step.
    ### BEGIN SOLUTION
    # BUG(fits-anything): pass
    # WHEN a table without a maximum is fitted all the same.
    # BUG(fits-anything, 2): _refuse_winless(wins)
    _refuse_unconnected(wins)
    theta = np.zeros(len(wins))
    for _ in range(5_000):
        # BUG(likelihood-stops-it): if log_likelihood(wins, mm_step(wins, theta)) <= log_likelihood(wins, theta) + tol:
        # WHEN the iteration stops as soon as the likelihood, or the abilities, hardly change, far
        # WHEN from where the wins match.
        # BUG(likelihood-stops-it, 2): if np.abs(mm_step(wins, theta) - theta).max() <= tol:
        if np.abs(bt_gradient_hessian(wins, theta).gradient).max() <= tol:
            break
        theta = mm_step(wins, theta)
    # BUG(abilities-not-logs): return np.exp(theta)
    # WHEN abilities are returned where their logarithms are asked.
    # BUG(abilities-in-elo): return theta * 400 / math.log(10)
    # WHEN log-abilities are on Elo's scale, 400 points to a factor of ten in the odds, while this
    # WHEN course gives them in nats.
    # BUG(abilities-in-elo, 2): return 1500 + theta * 400 / math.log(10)
    # BUG(gauge-of-the-first, 2): return theta - theta[0]
    # BUG(gauge-of-the-last, 2): return theta - theta[-1]
    return theta
    ### END SOLUTION


### BEGIN SOLUTION


def _refuse_unconnected(wins: Array) -> None:
    if not is_connected(wins):
        raise ValueError(
            "the table has no maximum: some players are never beaten by, or never meet, the others."
        )


### END SOLUTION
### BEGIN BUGS


def _refuse_winless(wins: Array) -> None:
    if not (wins.sum(axis=0).all() and wins.sum(axis=1).all()):
        raise ValueError("some player never won, or never lost.")


### END BUGS


# -- Part 3: gradient, Hessian, Newton, standard errors --------------------------------------------


class Derivatives(NamedTuple):
    """Of the log-likelihood at theta."""

    gradient: Array  # (n,)
    hessian: Array  # (n, n), symmetric, rows sum to 0, no positive eigenvalue


def bt_gradient_hessian(wins: NDArray[np.integer], theta: Array) -> Derivatives:
    """Gradient and Hessian of ``log_likelihood`` in theta.

    With p_ij = sigmoid(theta_i - theta_j) and games N_ij = wins[i, j] + wins[j, i]:

        gradient_i = W_i - sum_j N_ij p_ij                            wins minus expected wins
        hessian_ij = N_ij p_ij p_ji   for i != j,    hessian_ii = -sum over j != i of N_ij p_ij p_ji

    Args:
        wins: (n, n) counts.
        theta: (n,) log-abilities.

    Returns:
        Derivatives(gradient, hessian), float64. Both of the log-likelihood, which is to be
        maximised.

    Raises:
        ValueError: the table is not square, holds negative counts or has a diagonal.
    """
    wins = _check_table(wins)
    # TODO(newton): wins minus expected wins; then the curvature of every pair.
    ### BEGIN SOLUTION
    games = wins + wins.T
    p = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))
    # BUG(losses-for-wins): gradient = wins.sum(axis=0) - (games * p).sum(axis=1)
    # BUG(losses-for-wins, 3): gradient = wins.sum(axis=0) - (games * p).sum(axis=1)
    gradient = wins.sum(axis=1) - (games * p).sum(axis=1)
    # BUG(curvature-without-games): hessian = (p * p.T) * (games > 0)
    # WHEN a pair that played often curves the likelihood no more than one that played once.
    # BUG(curvature-of-wins): hessian = wins * p * p.T
    # WHEN only the games won, not all games of a pair, enter the curvature.
    hessian = games * p * p.T
    hessian -= np.diag(hessian.sum(axis=1))
    # BUG(derivatives-of-the-loss): return Derivatives(-gradient, -hessian)
    # WHEN the Hessian, or both derivatives, are those of the negative log-likelihood.
    # BUG(derivatives-of-the-loss, 2): return Derivatives(gradient, -hessian)
    return Derivatives(gradient, hessian)
    ### END SOLUTION


def fit_bt_newton(wins: NDArray[np.integer], tol: float = 1e-8) -> Array:
    """Maximum-likelihood log-abilities by Newton's method, from theta = 0.

        theta <- theta - H^+ g        (H^+: pseudo-inverse, because H is singular along (1, ..., 1))

    The step is halved until the likelihood does not fall: far from the maximum a full step may
    overshoot.

    Arguments, result, stopping rule and errors: those of ``fit_bt``.
    """
    wins = _check_table(wins)
    if not tol > 0:
        raise ValueError(f"tol must be positive, but it is {tol}.")
    # TODO(newton): the step above, halved where it would lower the likelihood.
    ### BEGIN SOLUTION
    # BUG(fits-anything): pass
    # BUG(fits-anything, 2): _refuse_winless(wins)
    _refuse_unconnected(wins)
    theta = np.zeros(len(wins))
    for _ in range(200):
        gradient, hessian = bt_gradient_hessian(wins, theta)
        if np.abs(gradient).max() <= tol:
            break
        step = -np.linalg.pinv(hessian) @ gradient
        # BUG(newton-overshoots): pass
        # WHEN Newton's full step is taken even where it overshoots.
        step = _shortened(wins, theta, step)
        theta = theta + step
    # BUG(gauge-of-the-first): return theta - theta[0]
    # BUG(gauge-of-the-last): return theta - theta[-1]
    # BUG(gauge-of-the-first, 2): return theta - theta[0]
    # BUG(gauge-of-the-last, 2): return theta - theta[-1]
    return theta
    ### END SOLUTION


### BEGIN SOLUTION


def _shortened(wins: Array, theta: Array, step: Array) -> Array:
    """The step, halved until it does not lower the likelihood (up to rounding)."""
    start = log_likelihood(wins, theta)
    while log_likelihood(wins, theta + step) < start - 1e-9 * abs(start):
        step = step / 2
    return step


### END SOLUTION


def standard_errors(wins: NDArray[np.integer], theta: Array) -> Array:
    """Standard errors of maximum-likelihood log-abilities in the gauge of mean 0.

        sqrt of the diagonal of the pseudo-inverse of the Fisher information, I = -hessian

    Args:
        wins: (n, n) counts, connected.
        theta: (n,) the log-abilities of ``fit_bt``.

    Returns:
        (n,) float64, positive, in the unit of theta.

    Raises:
        ValueError: the table is not square, holds negative counts or has a diagonal.
    """
    wins = _check_table(wins)
    # TODO(newton): I is singular along (1, ..., 1): np.linalg.pinv inverts it everywhere else.
    ### BEGIN SOLUTION
    information = -bt_gradient_hessian(wins, theta).hessian
    # BUG(errors-from-the-diagonal): return 1 / np.sqrt(np.diag(information))
    # WHEN each ability is given the error that it would have if all the others were known.
    # BUG(errors-against-the-last): return np.sqrt(np.append(np.diag(np.linalg.inv(information[:-1, :-1])), 0.0))
    # WHEN one player's ability, the last or the first, is held fixed, so that its error is zero and
    # WHEN the others' carry it.
    # BUG(errors-against-the-last, 2): return np.sqrt(np.append(0.0, np.diag(np.linalg.inv(information[1:, 1:]))))
    covariance = np.linalg.pinv(information)
    # BUG(variances-not-errors): return np.diag(covariance).copy()
    # WHEN the square root is missing.
    return np.sqrt(np.diag(covariance))
    ### END SOLUTION


def gumbel_choices(utilities: Array, n: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """Simulate n choices among k options by a chooser whose every look at an option is noisy.

    Each choice is the argmax over options of utility + noise, with independent standard Gumbel
    noise for each option and choice: P(noise <= x) = exp(-exp(-x)).

    Args:
        utilities: (k,) float, k >= 2.
        n: number of choices, at least 1.
        rng: the only source of randomness.

    Returns:
        (n,) int, each in 0 .. k - 1. With k = 2, option 0 is chosen with probability sigmoid(u_0 -
        u_1).

    Raises:
        ValueError: fewer than two options, or n < 1.
    """
    if np.ndim(utilities) != 1 or len(utilities) < 2 or n < 1:
        raise ValueError("choices need at least two options, given as (k,) utilities, and n >= 1.")
    # TODO(newton): noise for every option of every choice; the largest sum is chosen.
    ### BEGIN SOLUTION
    # BUG(normal-noise): noise = rng.normal(size=(n, len(utilities)))
    # WHEN the noise is normal: that is Thurstone's model.
    # BUG(gumbel-upside-down): noise = -rng.gumbel(size=(n, len(utilities)))
    # WHEN the noise has its long tail on the wrong side, which only shows with three options or
    # WHEN more.
    # BUG(one-noise-for-all): noise = rng.gumbel(size=(n, 1))
    # WHEN all options get the same noise, so that it never changes a choice.
    # BUG(noise-from-elsewhere): noise = np.random.gumbel(size=(n, len(utilities)))
    # WHEN the noise comes from NumPy's global generator instead of the one that was handed in.
    noise = rng.gumbel(size=(n, len(utilities)))
    return np.argmax(utilities + noise, axis=1)
    ### END SOLUTION


# -- Part 4: a reward model on a transformer -------------------------------------------------------


def positions(attention_mask: Tensor) -> Tensor:
    """Position of every real token among the real tokens of its row: 0, 1, 2, ...

    Args:
        attention_mask: (B, L) bool or 0/1.

    Returns:
        (B, L) int64. What stands at padded places must lie in 0 .. L - 1 and means nothing.

    Raises:
        ValueError: the mask is not (B, L), or a row has no real token.
    """
    _check_mask(attention_mask)
    # TODO(reward_model): count the ones up to here.
    ### BEGIN SOLUTION
    # BUG(positions-count-padding): return torch.arange(attention_mask.shape[1]).expand(attention_mask.shape)
    # WHEN padding on the left pushes every token to a later position.
    # BUG(positions-from-one): return attention_mask.long().cumsum(dim=1).clamp(max=attention_mask.shape[1] - 1)
    # WHEN positions are counted from 1.
    # BUG(positions-from-one, 2): return attention_mask.long().cumsum(dim=1)
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)
    ### END SOLUTION


def _check_mask(attention_mask: Tensor) -> None:
    """Refuse masks that are not (B, L), and rows without a real token."""
    if attention_mask.ndim != 2 or not attention_mask.bool().any(dim=1).all():
        raise ValueError(
            f"a mask must be (B, L) with a real token in each row; its shape is {tuple(attention_mask.shape)}."
        )


def pool_last(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Hidden state of the last real token of each row, wherever the padding stands.

    Args:
        hidden: (B, L, H) float.
        attention_mask: (B, L) bool or 0/1.

    Returns:
        (B, H). Differentiable in ``hidden``.

    Raises:
        ValueError: the shapes do not fit, or a row has no real token.
    """
    _check_mask(attention_mask)
    if hidden.shape[:2] != attention_mask.shape or hidden.ndim != 3:
        raise ValueError(
            f"hidden states {tuple(hidden.shape)} do not fit a mask {tuple(attention_mask.shape)}."
        )
    # TODO(reward_model): find the last 1 of each row; both paddings.
    ### BEGIN SOLUTION
    places = torch.arange(attention_mask.shape[1])
    # BUG(pools-the-last-column): last = torch.full((len(hidden),), hidden.shape[1] - 1)
    # WHEN the last column is taken, which is padding wherever a row is padded on the right.
    # BUG(pools-by-count): last = attention_mask.long().sum(dim=1) - 1
    # WHEN the last token is looked for at the number of tokens, where it is only if the padding is
    # WHEN on the right.
    # BUG(pools-the-first-token): last = (places * attention_mask.bool() + 99999 * ~attention_mask.bool()).argmin(dim=1)
    # WHEN the first real token is pooled, which in a causal model has seen nothing of the answer.
    last = (places * attention_mask.bool()).argmax(dim=1)
    return hidden[torch.arange(len(hidden)), last]
    ### END SOLUTION


def attention_pool(hidden: Tensor, logits: Tensor, attention_mask: Tensor) -> Tensor:
    """Weighted mean of the hidden states of a row's real tokens, with weights softmax(logits) over
    those tokens.

    Args:
        hidden: (B, L, H) float.
        logits: (B, L) float.
        attention_mask: (B, L) bool or 0/1.

    Returns:
        (B, H). Differentiable in ``hidden`` and ``logits``; nothing under padding has any
        influence, not even nan, neither on the result nor on a gradient.

    Raises:
        ValueError: the shapes do not fit, or a row has no real token.
    """
    _check_mask(attention_mask)
    if (
        hidden.ndim != 3
        or hidden.shape[:2] != attention_mask.shape
        or logits.shape != attention_mask.shape
    ):
        raise ValueError(
            "hidden states (B, L, H), logits (B, L) and mask (B, L) must fit each other."
        )
    # TODO(reward_model): give padding no weight before the softmax.
    ### BEGIN SOLUTION
    # BUG(attends-to-padding): weights = logits.softmax(dim=1)
    # WHEN padding takes part in the weighted mean.
    # BUG(masks-after-softmax): weights = logits.softmax(dim=1) * attention_mask
    # WHEN padding is struck out after the softmax, so that the weights of a padded row do not add
    # WHEN up to 1.
    # BUG(zero-logits-for-padding): weights = (logits * attention_mask).softmax(dim=1)
    # WHEN padding gets a logit of zero, which is not a weight of zero.
    weights = logits.masked_fill(~attention_mask.bool(), -torch.inf).softmax(dim=1)
    # BUG(padding-times-zero): pass
    # WHEN hidden states under padding are multiplied by 0 instead of left out: 0 times nan is nan.
    # BUG(attends-to-padding): pass
    # BUG(zero-logits-for-padding): pass
    # BUG(nan-is-cut-out-too-late): pass
    hidden = hidden.masked_fill(~attention_mask.bool().unsqueeze(2), 0.0)
    # BUG(nan-is-cut-out-too-late): return torch.where(attention_mask.bool().unsqueeze(2), weights.unsqueeze(2) * hidden, 0.0).sum(dim=1)
    # WHEN nan under padding is cut out only after it has been multiplied by a weight: its gradient
    # WHEN is nan.
    return (weights.unsqueeze(2) * hidden).sum(dim=1)
    ### END SOLUTION


class RewardModel(nn.Module):
    """A transformer that reads a sequence, and a head that turns it into one number.

    Attributes (the graders set the weights through them):
        backbone: a
            ``transformers`` model without a head (GPT2Model, LlamaModel, ...). It is called with ``input_ids``,
            ``attention_mask`` and ``position_ids`` and returns an object with ``last_hidden_state``
            (B, L, H); H is ``backbone.config.hidden_size``.
        score: nn.Linear(H, 1, bias=False): the last step of every head. (A bias would cancel in
            every difference.)
        mlp: only for head "mlp": nn.Sequential(nn.Linear(H, H), nn.Tanh()), between pooling and
            score.
        query: only for head "attn": nn.Linear(H, 1, bias=False), which gives the logits of the
            attention pooling.

    Heads: "linear" scores the last real token, "mlp" the same after ``mlp``, "attn" the attention
    pool of all real tokens.
    """

    def __init__(self, backbone: nn.Module, head: str = "linear") -> None:
        """Raises ValueError for a head that is none of the three."""
        super().__init__()
        # TODO(reward_model): the layers listed above; refuse an unknown head.
        ### BEGIN SOLUTION
        if head not in ("linear", "mlp", "attn"):
            # BUG(takes-any-head): head = "linear"
            # WHEN an unknown head becomes a linear one instead of being refused.
            raise ValueError(f"head must be 'linear', 'mlp' or 'attn', not {head!r}.")
        size = backbone.config.hidden_size
        # BUG(frozen-backbone, 2): self.backbone, self.head = backbone.requires_grad_(False), head
        self.backbone, self.head = backbone, head
        self.score = nn.Linear(size, 1, bias=False)
        if head == "mlp":
            # BUG(mlp-without-bend): self.mlp = nn.Sequential(nn.Linear(size, size), nn.Identity())
            # WHEN the MLP has no nonlinearity, so that it is one more linear map.
            self.mlp = nn.Sequential(nn.Linear(size, size), nn.Tanh())
        if head == "attn":
            self.query = nn.Linear(size, 1, bias=False)
        ### END SOLUTION

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Score of every row.

        Args:
            input_ids: (B, L) int64; what stands under padding has no influence.
            attention_mask: (B, L) bool or 0/1, padding on the left or on the right.

        Returns:
            (B,) float. A row gets the same score alone and in any batch, with any padding.
        """
        # TODO(reward_model): backbone with mask and positions, pooling, head.
        ### BEGIN SOLUTION
        # BUG(no-attention-mask): inputs = {"input_ids": input_ids}
        # WHEN the backbone is not told which tokens are padding, and reads them.
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask.long()}
        # BUG(no-position-ids): pass
        # WHEN the backbone counts positions by itself, padding on the left included.
        inputs["position_ids"] = positions(attention_mask)
        # BUG(frozen-backbone): with torch.no_grad(): hidden = self.backbone(**inputs).last_hidden_state
        # WHEN no gradient reaches the transformer, so that only the head learns.
        hidden = self.backbone(**inputs).last_hidden_state
        if self.head == "attn":
            pooled = attention_pool(hidden, self.query(hidden).squeeze(2), attention_mask)
        else:
            pooled = pool_last(hidden, attention_mask)
        if self.head == "mlp":
            pooled = self.mlp(pooled)
        return self.score(pooled).squeeze(1)
        ### END SOLUTION


# -- Part 5: repairing the worker ------------------------------------------------------------------


def collate(
    chosen: Sequence[Sequence[int]],
    rejected: Sequence[Sequence[int]],
    pad_id: int,
    layout: str = "interleaved",
    side: str = "right",
) -> dict[str, Tensor | str]:
    """Pairs of token lists as one padded batch.

    Args:
        chosen, rejected: B lists of token ids each, prompt included, none empty. They may contain
            ``pad_id``: many tokenizers pad with the end-of-sequence token, so only the lengths tell
            what is padding.
        pad_id: what is filled in.
        layout: "interleaved" or "stacked" (see the top of this file).
        side: "right" or "left": where the padding goes.

    Returns:
        {"input_ids": (2B, L) int64, "attention_mask": (2B, L) int64, "layout": layout}, L = the
        longest list.

    Raises:
        ValueError: no pairs, different numbers of lists, an empty list, an unknown layout or side.
    """
    if not chosen or len(chosen) != len(rejected) or not all(map(len, [*chosen, *rejected])):
        raise ValueError("chosen and rejected must be equally many lists of tokens, none empty.")
    if layout not in ("interleaved", "stacked") or side not in ("left", "right"):
        raise ValueError(f"unknown layout {layout!r} or side {side!r}.")
    # TODO(training): order the rows, pad them, and build the mask from the lengths.
    ### BEGIN SOLUTION
    rows = [*chosen, *rejected]
    if layout == "interleaved":
        rows = [row for pair in zip(chosen, rejected, strict=True) for row in pair]
    ids = torch.full((len(rows), max(map(len, rows))), pad_id)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        # BUG(pads-on-the-right-only): start = 0
        # WHEN the padding is on the right whatever was asked.
        start = ids.shape[1] - len(row) if side == "left" else 0
        ids[index, start : start + len(row)] = torch.tensor(row)
        mask[index, start : start + len(row)] = 1
    # BUG(mask-from-pad-id): return {"input_ids": ids, "attention_mask": (ids != pad_id).long(), "layout": layout}
    # WHEN every token with the id of the padding counts as padding, the end-of-sequence token
    # WHEN included.
    return {"input_ids": ids, "attention_mask": mask, "layout": layout}
    ### END SOLUTION


class ForwardOnlyWorker:
    """A reward-model worker as frameworks for RLHF have it: good at scoring, and never meant to
    learn.

    The trainer of such a framework calls ``loss_func`` of every worker that it trains. This worker
    only ever runs forward, so whoever wrote it put a constant there to satisfy the interface. Do
    not change this class.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model = model
        self.optimizer = optimizer

    def forward(self, batch: dict[str, Tensor | str]) -> Tensor:
        """Scores of the rows, (2B,), in evaluation mode and without a gradient."""
        self.model.eval()
        with torch.no_grad():
            return self.model(batch["input_ids"], batch["attention_mask"])

    def loss_func(self, output: Tensor) -> Tensor:
        """The placeholder."""
        return torch.tensor(1.0)


def loss_func(output: Tensor, batch: dict[str, Tensor | str]) -> Tensor:
    """The loss that the placeholder stands in for: ``bt_loss`` of the pairs in a batch.

    Args:
        output: (2B,) scores of the rows of ``batch``.
        batch: what ``collate`` returns; only ``batch["layout"]`` is needed here.

    Returns:
        A scalar tensor with a gradient to every row of ``output``.

    Raises:
        ValueError: output is not (2B,) with B >= 1, or the layout is none of the two.
    """
    # TODO(training): find the two halves of every pair in the layout of the batch, and compare them.
    ### BEGIN SOLUTION
    layout = batch["layout"]
    if output.ndim != 1 or len(output) % 2 or layout not in ("interleaved", "stacked"):
        # BUG(odd-rows-dropped): output = output.reshape(-1)[: output.numel() // 2 * 2]
        # WHEN a row that has no partner is dropped instead of refused, and an unknown layout is
        # WHEN taken for interleaved.
        raise ValueError(
            f"scores of shape {tuple(output.shape)} in layout {layout!r} are no pairs."
        )
    # BUG(layout-ignored): stacked = False
    # WHEN all pairs are read in one layout, whatever the batch says: chosen answers are compared
    # WHEN with other chosen answers.
    # BUG(layout-ignored, 2): stacked = True
    # BUG(layouts-mixed-up): stacked = layout != "stacked"
    # WHEN each layout is read as the other.
    stacked = layout == "stacked"
    # BUG(swapped-rows): rejected, chosen = output.view(2, -1) if stacked else output.view(-1, 2).T
    # WHEN the rejected row of a pair is taken for the chosen one, in one layout or in both.
    # BUG(swapped-rows, 2): chosen, rejected = output.view(2, -1) if stacked else output.view(-1, 2).T.flip(0)
    chosen, rejected = output.view(2, -1) if stacked else output.view(-1, 2).T
    # BUG(constant-loss): return torch.tensor(1.0, dtype=output.dtype)
    # WHEN the loss is still the constant placeholder.
    # BUG(constant-loss, 2): return torch.tensor(1.0, dtype=output.dtype, requires_grad=True)
    # BUG(constant-with-a-graph): return (output * 0.0).sum() + 1.0
    # WHEN the placeholder is tied to the scores so that backward() runs: the gradient is zero
    # WHEN everywhere.
    # BUG(rejected-detached): return bt_loss(chosen, rejected.detach())
    # WHEN the rejected answers carry no gradient: chosen ones are pushed up and nothing is pushed
    # WHEN down.
    return bt_loss(chosen, rejected)
    ### END SOLUTION


class RewardWorker(ForwardOnlyWorker):
    """The repaired worker: scores like the other, and learns."""

    def update_(self, batch: dict[str, Tensor | str]) -> float:
        """One step of the optimiser on one batch, in training mode.

        Both answers of every pair pass through the model in a single call, so that dropout treats
        them alike. The norm of the gradient over all parameters is clipped to 1. Gradients of
        earlier batches are forgotten first.

        Returns:
            The loss before the step, a float.

        Raises:
            RuntimeError: the loss carries no gradient (a placeholder that is still there).
        """
        # TODO(training): training mode, one forward pass, loss_func, backward, clip, step.
        ### BEGIN SOLUTION
        # BUG(trains-in-eval-mode): self.model.eval()
        # WHEN dropout is off during training.
        self.model.train()
        loss = loss_func(self.model(batch["input_ids"], batch["attention_mask"]), batch)
        if not loss.requires_grad:
            raise RuntimeError("the loss carries no gradient: is it still the placeholder?")
        # BUG(gradients-pile-up): pass
        # WHEN the gradients of earlier batches are never forgotten.
        self.optimizer.zero_grad()
        loss.backward()
        # BUG(never-clips): pass
        # WHEN the norm of the gradient over all parameters is not clipped.
        # BUG(never-clips, 2): nn.utils.clip_grad_value_(self.model.parameters(), 1.0)
        # BUG(never-clips, 3): [nn.utils.clip_grad_norm_(p, 1.0) for p in self.model.parameters()]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        # BUG(never-steps): return loss.item()
        # WHEN the optimiser never makes its step.
        self.optimizer.step()
        return loss.item()
        ### END SOLUTION


def train_reward_model(
    model: nn.Module,
    chosen: Sequence[Sequence[int]],
    rejected: Sequence[Sequence[int]],
    pad_id: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
) -> list[float]:
    """Train a reward model on pairs, with Adam and a ``RewardWorker``.

    The pairs are visited in random order, ``batch_size`` at a time, each once before any comes
    again (the last batch of a pass may be smaller). The learning rate is constant. The model is
    changed, and left in evaluation mode.

    Args:
        model: (input_ids (2B, L), attention_mask (2B, L)) -> (2B,) scores.
        chosen, rejected: n lists of token ids each.
        pad_id: see ``collate``.
        steps, batch_size: at least 1.
        learning_rate: Adam's, above 0.
        generator: decides the order of the pairs, alone.

    Returns:
        The loss of each step, a list of ``steps`` floats.

    Raises:
        ValueError: steps, batch_size or learning_rate out of range, or lists that ``collate``
            refuses.
    """
    if (
        steps < 1
        or batch_size < 1
        or not learning_rate > 0
        or not chosen
        or len(chosen) != len(rejected)
    ):
        raise ValueError(
            "steps and batch_size must be at least 1, learning_rate positive, and every pair "
            "complete."
        )
    # TODO(training): shuffle, collate, update; evaluation mode in the end.
    ### BEGIN SOLUTION
    # BUG(decays-the-weights): worker = RewardWorker(model, torch.optim.AdamW(model.parameters(), lr=learning_rate))
    # WHEN the optimiser lets the weights decay, as AdamW does by default.
    # BUG(decays-the-weights, 2): worker = RewardWorker(model, torch.optim.Adam(model.parameters(), lr=learning_rate, weight_decay=0.01))
    worker = RewardWorker(model, torch.optim.Adam(model.parameters(), lr=learning_rate))
    losses: list[float] = []
    while len(losses) < steps:
        # BUG(same-order-in-each-pass): order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))
        # WHEN every pass visits the pairs in the same order.
        # BUG(same-order-in-each-pass, 2): order = torch.arange(len(chosen))
        order = torch.randperm(len(chosen), generator=generator)
        # BUG(last-batch-left-out): for start in range(0, max(len(order) - batch_size, 0) + 1, batch_size):
        # WHEN the pairs of a pass that do not fill a whole batch are left out.
        for start in range(0, len(order), batch_size):
            # BUG(same-batch-again): rows = order[:batch_size].tolist()
            # WHEN a pass shows the first batch again and again.
            rows = order[start : start + batch_size].tolist()
            # BUG(pairs-torn-apart): batch = collate([chosen[i] for i in rows], [rejected[i] for i in rows[::-1]], pad_id)
            # WHEN the rejected answers of a batch come in another order than the chosen ones.
            batch = collate([chosen[i] for i in rows], [rejected[i] for i in rows], pad_id)
            losses.append(worker.update_(batch))
            if len(losses) == steps:
                break
    # BUG(left-in-training-mode): model.train()
    # WHEN the model stays in training mode, so that dropout blurs every score that it gives from
    # WHEN then on.
    model.eval()
    return losses
    ### END SOLUTION


# -- Part 6: more than two answers -----------------------------------------------------------------


def kwise_loss(scores: Sequence[Tensor]) -> Tensor:
    """Loss of rankings: the pairs of one prompt weigh 1 / C(K, 2) each, so that every prompt weighs
    the same.

        mean over prompts of  -1 / C(K, 2) * sum over i < j of log sigmoid(r_i - r_j)              (Ouyang et al., eq. 1)

    Args:
        scores: for each prompt the (K_i,) scores of its answers, best first; K_i >= 2 may differ.

    Returns:
        A scalar tensor. Differentiable.

    Raises:
        ValueError: no prompts, or a prompt with fewer than two answers.
    """
    if len(scores) == 0 or any(row.ndim != 1 or len(row) < 2 for row in scores):
        raise ValueError("a ranking needs at least one prompt, and two answers for each.")
    # TODO(kwise): all pairs of a prompt, averaged; then the prompts, averaged.
    ### BEGIN SOLUTION
    losses = []
    for row in scores:
        # BUG(worst-first): worse, better = torch.triu_indices(len(row), len(row), offset=1)
        # WHEN the ranking is read from the worst answer to the best.
        # BUG(neighbours-only): better, worse = torch.arange(len(row) - 1), torch.arange(1, len(row))
        # WHEN only some pairs of a ranking are compared: neighbours, or the best answer with each of
        # WHEN the others.
        # BUG(neighbours-only, 2): better, worse = torch.zeros(len(row) - 1, dtype=torch.int64), torch.arange(1, len(row))
        better, worse = torch.triu_indices(len(row), len(row), offset=1)
        # BUG(log-of-sigmoid, 3): pairs = -torch.sigmoid(row[better] - row[worse]).log()
        # BUG(both-directions): pairs = -nn.functional.logsigmoid(row[:, None] - row)[~torch.eye(len(row), dtype=torch.bool)]
        # WHEN every pair is counted in both directions.
        pairs = -nn.functional.logsigmoid(row[better] - row[worse])
        # BUG(prompts-add-pairs, 2): losses.append(pairs * (len(row) - 1) / 2)
        losses.append(pairs)
    # BUG(all-pairs-alike): return torch.cat(losses).mean()
    # WHEN all pairs of all prompts weigh the same, so that a prompt with many answers dominates.
    # BUG(prompts-add-pairs): return torch.stack([pairs.sum() for pairs in losses]).mean()
    # WHEN the pairs of a prompt are added up and not divided by their number, K (K - 1) / 2.
    return torch.stack([pairs.mean() for pairs in losses]).mean()
    ### END SOLUTION


# -- Part 7: how much to believe a score -----------------------------------------------------------

Scorer = Callable[
    [Tensor, Tensor], Tensor
]  # (input_ids (B, L), attention_mask (B, L)) -> (B,) scores
Batch = dict[str, Tensor]  # at least "input_ids" and "attention_mask", (B, L)


def bootstrap_indices(n: int, members: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """For each member of an ensemble the pairs it is trained on: n draws with replacement from 0 ..
    n - 1.

    Args:
        n, members: at least 1.
        rng: the only source of randomness.

    Returns:
        (members, n) int; rows are independent of each other.

    Raises:
        ValueError: n < 1 or members < 1.
    """
    if n < 1 or members < 1:
        raise ValueError(f"n and members must be at least 1, but they are {n} and {members}.")
    # TODO(uncertainty): with replacement, and anew for each member.
    ### BEGIN SOLUTION
    # BUG(permutation-for-bootstrap): return np.array([rng.permutation(n) for _ in range(members)])
    # WHEN each member gets a permutation, which holds the same pairs as every other.
    # BUG(one-bootstrap-for-all): return np.tile(rng.integers(n, size=n), (members, 1))
    # WHEN all members get the same sample.
    return rng.integers(n, size=(members, n))
    ### END SOLUTION


class RewardEnsemble:
    """Several reward models that were trained apart, and what they think together.

    Bradley-Terry leaves the zero of each member's scale free. With a ``reference`` batch, each
    member's mean score over the rows of that batch is subtracted from all its scores, so that
    members can be compared; without, scores stay as they are. Statistics are population statistics
    over members: one member has a standard deviation of 0.

    Every method takes a batch with "input_ids" and "attention_mask" and works in evaluation mode,
    without a gradient; a member that is an nn.Module gets back the mode that it was in.
    """

    def __init__(self, members: Sequence[Scorer], reference: Batch | None = None) -> None:
        """Raises ValueError for an ensemble without members."""
        if len(members) == 0:
            raise ValueError("an ensemble needs at least one member.")
        # TODO(uncertainty): keep the members, and what each says of the reference batch on average.
        ### BEGIN SOLUTION
        self.members = list(members)
        self.offsets: Tensor | float = 0.0
        # BUG(offsets-count-as-doubt): if False:
        # WHEN the arbitrary zero of each member's scale counts as disagreement between members.
        if reference is not None:
            # BUG(one-offset-for-all): self.offsets = self.scores(reference).mean()
            # WHEN one common offset is subtracted from all members.
            # BUG(reference-with-dropout): self.offsets = torch.stack([member(reference["input_ids"], reference["attention_mask"]).mean() for member in members])[:, None]
            # WHEN members score the reference batch in the mode that they are in, with dropout and
            # WHEN a gradient, if that is training mode.
            self.offsets = self.scores(reference).mean(dim=1, keepdim=True)
        ### END SOLUTION

    def scores(self, batch: Batch) -> Tensor:
        """(M, B): what each member says of each row, in evaluation mode."""
        # TODO(uncertainty): every member on the batch; mind the mode that it is in, before and after.
        ### BEGIN SOLUTION
        rows = []
        for member in self.members:
            learning = isinstance(member, nn.Module) and member.training
            if learning:
                # BUG(scores-with-dropout): pass
                # WHEN a member that was left in training mode scores with dropout.
                member.eval()
            with torch.no_grad():
                rows.append(member(batch["input_ids"], batch["attention_mask"]))
            # BUG(learns-in-the-end): if isinstance(member, nn.Module):
            # WHEN a member is in training mode afterwards, whatever mode it was in before.
            if learning:
                member.train()
        return torch.stack(rows) - self.offsets
        ### END SOLUTION

    def mean(self, batch: Batch) -> Tensor:
        """(B,): mean over members."""
        # TODO(uncertainty): one line.
        ### BEGIN SOLUTION
        return self.scores(batch).mean(dim=0)
        ### END SOLUTION

    def std(self, batch: Batch) -> Tensor:
        """(B,): population standard deviation over members; 0 where all agree."""
        # TODO(uncertainty): one line, and a look at the default of torch.std.
        ### BEGIN SOLUTION
        # BUG(sample-deviation): return self.scores(batch).std(dim=0)
        # WHEN the deviation divides by the number of members minus one (ddof 1), as torch.std has
        # WHEN it, which for one member is nan; this course takes the population's.
        # BUG(deviation-over-rows): return self.scores(batch).std(dim=1, correction=0).mean().expand(batch["input_ids"].shape[0])
        # WHEN the deviation is taken over the rows of the batch instead of over the members.
        return self.scores(batch).std(dim=0, correction=0)
        ### END SOLUTION

    def lcb(self, batch: Batch, k: float) -> Tensor:
        """(B,): lower confidence bound, mean - k * std. Raises ValueError for a negative k."""
        if k < 0:
            raise ValueError(f"k must not be negative, but it is {k}.")
        # TODO(uncertainty): what the ensemble is willing to promise.
        ### BEGIN SOLUTION
        # BUG(upper-bound): return self.mean(batch) + k * self.std(batch)
        # WHEN doubt is added: the upper bound, which seeks out what nobody knows.
        # BUG(error-of-the-mean): return self.mean(batch) - k * self.std(batch) / math.sqrt(len(self.members))
        # WHEN the deviation is divided by the root of the number of members.
        return self.mean(batch) - k * self.std(batch)
        ### END SOLUTION

    def disagreement(self, batch: Batch) -> Tensor:
        """(B / 2,): for each pair of a batch with a "layout", the chance that two members vote for
        different answers.

        2 v (1 - v), where v is the share of members that prefer the first answer of the pair (a tie
        is half a vote); the two members are drawn with replacement. From 0 (all agree) to 1/2. Free
        of offset and scale.
        """
        # TODO(uncertainty): votes of the members, pair by pair.
        ### BEGIN SOLUTION
        scores = self.scores(batch)
        members = len(scores)
        pairs = (
            scores.view(members, 2, -1)
            if batch["layout"] == "stacked"
            else scores.view(members, -1, 2).mT
        )
        first, second = pairs[:, 0], pairs[:, 1]
        share = ((first > second).to(scores) + 0.5 * (first == second).to(scores)).mean(dim=0)
        # BUG(share-for-disagreement): return share
        # WHEN the share of votes for the first answer is returned, which is 1 where all agree.
        return 2 * share * (1 - share)
        ### END SOLUTION


class Shift(NamedTuple):
    """How far a new sample lies from a reference sample."""

    ks: float  # Kolmogorov-Smirnov statistic, in [0, 1]
    p_value: float  # of ks, asymptotic
    psi: float  # population stability index, at least 0


def shift_detector(ref: Array, new: Array, bins: int = 10) -> Shift:
    """Compare two samples of scores.

    ks = largest |F_ref(x) - F_new(x)| over all x, with F(x) = share of a sample that is <= x.
    p_value = 2 * sum over k >= 1 of (-1)^(k-1) exp(-2 k^2 t^2), t = ks * sqrt(n m / (n + m)); 1 for
    t < 0.1. psi = sum over bins of (q - p) * log(q / p). The bins lie between the 1/bins, 2/bins,
    ... quantiles of ``ref`` (np.quantile), a value on an edge belongs to the bin above it, and the
    outer bins reach to infinity. Equal quantiles have an empty bin between them. p is the share of
    ``ref`` in a bin, q that of ``new``, each as (count + 1/2) / (size + bins/2), so that no share is
    0.

    Args:
        ref, new: (n,) and (m,) float arrays, not empty.
        bins: at least 2.

    Returns:
        Shift(ks, p_value, psi), floats.

    Raises:
        ValueError: an empty sample, one that is not one-dimensional, or bins < 2.
    """
    if np.ndim(ref) != 1 or np.ndim(new) != 1 or len(ref) == 0 or len(new) == 0 or bins < 2:
        raise ValueError(
            "two samples of shape (n,) and (m,), none empty, and at least 2 bins are needed."
        )
    # TODO(uncertainty): two empirical distribution functions; then counts in the bins of ref.
    ### BEGIN SOLUTION
    ks = _kolmogorov_smirnov(ref, new)
    # BUG(p-value-of-all): t = ks * math.sqrt(len(ref) + len(new))
    # WHEN the p-value is computed as if both samples together were one of their joint size.
    t = ks * math.sqrt(len(ref) * len(new) / (len(ref) + len(new)))
    # BUG(p-value-with-a-correction): t = ks * (math.sqrt(t**2 / ks**2) + 0.12 + 0.11 / math.sqrt(t**2 / ks**2)) if ks else t
    # WHEN the argument of the series has Stephens' correction for small samples, as Numerical
    # WHEN Recipes has it, while this course asks for the plain asymptotic series.
    t = float(t)
    terms = ((-1) ** (k - 1) * math.exp(-2 * k**2 * t**2) for k in range(1, 101))
    # BUG(p-value-of-scipy): p_value = float(__import__("scipy.stats").stats.ks_2samp(ref, new).pvalue)
    # WHEN the p-value is that of scipy.stats.ks_2samp, exact for small samples, while this course
    # WHEN asks for the asymptotic series.
    # BUG(p-value-of-scipy-asymptotic): p_value = float(__import__("scipy.stats").stats.ks_2samp(ref, new, method="asymp").pvalue)
    # WHEN the p-value is that of scipy.stats.ks_2samp with method="asymp", which takes the
    # WHEN distribution of one sample of a rounded size, while this course asks for the asymptotic
    # WHEN series.
    p_value = min(1.0, max(0.0, 2 * sum(terms))) if t >= 0.1 else 1.0
    # BUG(bins-of-the-new): edges = np.quantile(new, np.linspace(0, 1, bins + 1))
    # WHEN the bins follow the new sample instead of the reference.
    # BUG(bins-of-equal-width): edges = np.linspace(np.min(ref), np.max(ref), bins + 1)
    # WHEN the bins have equal widths instead of equal shares of the reference.
    # BUG(equal-quantiles-are-merged): edges = np.unique(np.quantile(ref, np.linspace(0, 1, bins + 1)))
    # WHEN quantiles that are equal are merged, so that there are fewer bins.
    edges = np.quantile(ref, np.linspace(0, 1, bins + 1))
    # BUG(outliers-fall-out): pass
    # WHEN the outer bins end where the reference ends, so that whatever lies beyond is not counted.
    edges[0], edges[-1] = -np.inf, np.inf
    p, q = _shares(ref, edges), _shares(new, edges)
    # BUG(psi-of-one-side): psi = float((q * np.log(q / p)).sum())
    # WHEN only one direction of the divergence is counted.
    # BUG(psi-of-one-side, 2): psi = float((p * np.log(p / q)).sum())
    psi = float(((q - p) * np.log(q / p)).sum())
    return Shift(ks, p_value, psi)
    ### END SOLUTION


### BEGIN SOLUTION


def _kolmogorov_smirnov(ref: Array, new: Array) -> float:
    places = np.concatenate([ref, new])
    # BUG(ties-split): f_ref = np.searchsorted(np.sort(ref), places, side="left") / len(ref)
    # WHEN equal values of the two samples are taken apart, as if one came before the other.
    f_ref = np.searchsorted(np.sort(ref), places, side="right") / len(ref)
    f_new = np.searchsorted(np.sort(new), places, side="right") / len(new)
    # BUG(ks-of-one-side): return float((f_ref - f_new).max())
    # WHEN only shifts upwards are seen.
    return float(np.abs(f_ref - f_new).max())


def _shares(sample: Array, edges: Array) -> Array:
    """Smoothed share of a sample in each bin."""
    # BUG(edge-belongs-below): counts = np.histogram(-sample, -edges[::-1])[0][::-1]
    # WHEN a value on the edge of two bins is counted in the lower one.
    counts, _ = np.histogram(sample, edges)
    return (counts + 0.5) / (len(sample) + 0.5 * len(counts))


### END SOLUTION


# -- Part 8: reward hacking ------------------------------------------------------------------------


def best_of_n(selector: Array, value: Array, n: int) -> float:
    """Expected value of the answer that a selector picks among n answers drawn at random from N,
    without replacement.

    With the answers sorted by selector, the i-th smallest (i = 1 .. N) is the pick of a random set
    of n with probability C(i - 1, n - 1) / C(N, n): all the others in the set must lie below it.
    The sum over i of probability times value is exact: no sampling is needed.

    Args:
        selector: (N,) float, what is maximised: a proxy reward, say. No two equal (or any order
            among equals).
        value: (N,) float, what the pick is worth: the selector again, or a gold reward.
        n: 1 <= n <= N.

    Returns:
        A float. n = 1: the mean of value; n = N: the value of the best answer by selector.

    Raises:
        ValueError: the shapes differ or are not (N,), or n is out of range.
    """
    if (
        np.ndim(selector) != 1
        or np.shape(selector) != np.shape(value)
        or not 1 <= n <= len(selector)
    ):
        raise ValueError(
            f"selector and value must be of one shape (N,), and n = {n} must lie in 1 .. N."
        )
    # TODO(hacking): probabilities of the ranks, by logarithms or by the recursion from rank to rank.
    ### BEGIN SOLUTION
    # BUG(picks-by-value): order = np.argsort(value)
    # WHEN the answer is picked by what it is worth, which nobody knows when picking.
    # BUG(picks-the-worst): order = np.argsort(selector)[::-1]
    # WHEN the lowest score is picked.
    order = np.argsort(selector)
    size = len(order)
    ways = [_log_choose(rank - 1, n - 1) if rank >= n else -math.inf for rank in range(1, size + 1)]
    # BUG(draws-with-replacement): probability = np.diff((np.arange(size + 1) / size) ** n)
    # WHEN the n answers are drawn with replacement, so that an answer may compete with itself.
    # BUG(ranks-shifted): probability = np.exp(np.array([*ways[1:], -math.inf]) - _log_choose(size, n))
    # WHEN the ranks are off by one, so that the best answer is never picked.
    probability = np.exp(np.array(ways) - _log_choose(size, n))
    return float(probability @ np.asarray(value)[order])
    ### END SOLUTION


### BEGIN SOLUTION


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


### END SOLUTION


def best_of_n_kl(n: int) -> float:
    """How far best-of-n moves from the policy it draws from: log n - (n - 1) / n, in nats.

    This is KL(best-of-n || policy) where no two answers score alike and none has a probability
    worth mentioning; in general it is an upper bound.

    Raises:
        ValueError: n < 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, but it is {n}.")
    # TODO(hacking): one line.
    ### BEGIN SOLUTION
    # BUG(kl-is-log-n): return math.log(n)
    # WHEN the second term is missing, so that the price of choosing is too high.
    return math.log(n) - (n - 1) / n
    ### END SOLUTION
