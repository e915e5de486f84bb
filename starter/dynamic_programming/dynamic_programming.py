"""Dynamic programming: solving a Markov decision process whose transition table is known.

S states and A actions are numbered from 0. Arrays are float64 unless stated otherwise:

    v  (S,)    a value for each state: expected discounted return from there
    q  (S, A)  a value for each action in each state
    pi (S, A)  a policy: pi[s, a] is the probability of action a in state s, every row sums to one

Operators take v first and return a new array; algorithms take the MDP first. Nothing here is
random. Equation numbers are those of Sutton & Barto, Reinforcement Learning, 2nd edition (2018),
chapters 3 and 4.
"""

from typing import NamedTuple

import numpy as np


class MDP(NamedTuple):
    """A finite Markov decision process as arrays.

    P: (S, A, S), P[s, a, s2] = probability of moving on from s to s2 under action a. A move that
    ends the
        episode is left out, so a row sums to one minus the probability that the episode ends there.
    R: (S, A), expected reward of action a in state s, the last reward of an episode included.
    terminal: (S,) bool, True where an episode ends on arrival. The rows of P and R of a terminal
    state are
        zero, so its value is zero and no operator needs a mask.
    gamma: discount factor in [0, 1].
    """

    P: np.ndarray
    R: np.ndarray
    terminal: np.ndarray
    gamma: float


# -- part 1: from a transition table to arrays -----------------------------------------------------


def mdp_from_gym(env, gamma):
    """The MDP behind a Gymnasium environment that publishes its transition table ("toy text" does).

    ``env.unwrapped.P[s][a]`` is a list of outcomes ``(probability, next_state, reward, done)``:

        P[s, a, s2] = sum of the probabilities of the outcomes of (s, a) that lead to s2 and are not
        done
        R[s, a]     = sum of probability * reward over all outcomes of (s, a)

    The same next state may occur in several outcomes of one action. A state is terminal if some
    outcome that is done leads to it; its rows of P and R are zero, whatever the table says. The
    table is left as it is.

    Returns an MDP. Raises ValueError if gamma is outside [0, 1] or the environment has no table.
    """
    _check_gamma(gamma)
    table = getattr(env.unwrapped, "P", None)
    if table is None:
        raise ValueError("this environment has no transition table: env.unwrapped.P is missing")
    # TODO(model): add up the outcomes, then silence the terminal states.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(model): add up the outcomes, then silence the terminal states.")


def grid_mdp(rows, slip=0.0, gamma=0.99, step_reward=-1.0):
    """The MDP of a grid world drawn with characters.

    rows: list of strings of equal length. ``S`` start, ``.`` free, ``#`` wall, ``H`` hole and ``G``
    goal;
        hole and goal are terminal.
    slip: probability in [0, 1] that the move goes astray: with probability slip/2 each to one of
    the two
        directions perpendicular to the action, with probability 1 - slip in the direction of the
        action.
    step_reward: reward of every action in every state that is not terminal.

    States are the cells that are not walls, numbered row by row from the top left. Actions: 0 left,
    1 down, 2 right, 3 up. A move against a wall or off the grid leaves the agent where it is. A
    move into a terminal cell ends the episode and is left out of P.

    Returns an MDP with A = 4. Raises ValueError for an empty grid, rows of different lengths,
    characters other than S . # H G, no cell outside the walls, slip outside [0, 1] or gamma outside
    [0, 1].
    """
    _check_gamma(gamma)
    # TODO(model): check the drawing, number the cells, follow actions and slips.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(model): check the drawing, number the cells, follow actions and slips.")


# -- part 2: what a policy is worth ----------------------------------------------------------------


def bellman_expectation(v, pi, mdp):
    """The Bellman operator of a policy, one synchronous sweep of iterative policy evaluation (eq.
    4.5).

        (T_pi v)(s) = sum_a pi(a|s) * ( R(s, a) + gamma * sum_s2 P(s2|s, a) v(s2) )

    v: (S,), pi: (S, A). Returns a new (S,) array; v is left as it is. Raises ValueError for wrong
    shapes or a pi whose rows are not probabilities.
    """
    v, pi = _as_values(v, mdp), _as_policy(pi, mdp)
    # TODO(evaluation): average over the policy's actions and over the next states.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): average over the policy's actions and over the next states.")


def policy_evaluation(mdp, pi, theta):
    """Iterative policy evaluation (eq. 4.5): v_0 = 0, v_k = T_pi v_(k-1), synchronous sweeps.

    Stops after the first sweep whose largest change max|v_k - v_(k-1)| is below theta; that sweep
    counts.

    Returns (v, sweeps): (S,) the values after the last sweep, and the number of sweeps as an int.
    Raises ValueError for theta <= 0 or an unfit pi. With gamma = 1 it ends only if every episode
    under pi ends.
    """
    pi = _as_policy(pi, mdp)
    _check_theta(theta)
    # TODO(evaluation): sweep until the largest change is below theta.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): sweep until the largest change is below theta.")


def policy_value_exact(mdp, pi):
    """The value of a policy by solving the Bellman equation (4.4), a linear system in S unknowns.

        (I - gamma P_pi) v = r_pi,   P_pi(s, s2) = sum_a pi(a|s) P(s2|s, a),   r_pi(s) = sum_a pi(a|s) R(s, a)

    Returns (S,). Raises ValueError for an unfit pi, and where np.linalg.solve finds the system
    singular. With gamma = 1 it is, if some state never reaches the end of an episode under pi;
    rounding may hide that in a large system.
    """
    pi = _as_policy(pi, mdp)
    # TODO(evaluation): build matrix and right-hand side, then solve the system.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(evaluation): build matrix and right-hand side, then solve the system.")


# -- part 3: a better policy -----------------------------------------------------------------------


def q_from_v(v, mdp):
    """Action values: take action a in state s once, then collect v (eq. 4.6).

        q(s, a) = R(s, a) + gamma * sum_s2 P(s2|s, a) v(s2)

    v: (S,). Returns (S, A). Raises ValueError for a wrong shape.
    """
    v = _as_values(v, mdp)
    # TODO(improvement): one reward plus the discounted value of where it leads.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(improvement): one reward plus the discounted value of where it leads.")


def greedy(q, tol=1e-9):
    """The greedy policy (eq. 4.9) that shares its probability equally among the best actions.

    q: (S, A). An action is among the best if its value is within tol of the largest value of its
    row (an absolute tolerance: values that are equal on paper differ by rounding). Returns (S, A),
    rows sum to one. Raises ValueError if q is not two-dimensional or tol is negative.
    """
    q = np.asarray(q, dtype=float)
    if q.ndim != 2 or not tol >= 0:
        raise ValueError(
            f"greedy needs q of shape (S, A) and tol >= 0, not shape {q.shape} and tol {tol}"
        )
    # TODO(improvement): find each state's best actions, share the probability.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(improvement): find each state's best actions, share the probability.")


# -- part 4: evaluate, improve, repeat -------------------------------------------------------------


def policy_iteration(mdp):
    """Policy iteration (section 4.3): evaluate the policy, make it greedy, until that changes
    nothing.

    Returns (pi, v, iters): an optimal policy (S, A), its value (S,), and the number of improvements
    as an int, of which the last one changed nothing. Ends on every MDP with gamma < 1, also where
    several policies are optimal (exercise 4.4). With gamma = 1 every policy on the way must end its
    episodes. The value is exact up to rounding: solve the system, or sweep until nothing moves by
    more than 1e-11.
    """
    # TODO(policy_iteration): evaluate and improve by turns; mind the ties.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(policy_iteration): evaluate and improve by turns; mind the ties.")


# -- part 5: without a policy ----------------------------------------------------------------------


def bellman_optimality(v, mdp):
    """The Bellman optimality operator, one synchronous sweep of value iteration (eq. 4.10).

        (T v)(s) = max_a ( R(s, a) + gamma * sum_s2 P(s2|s, a) v(s2) )

    v: (S,). Returns a new (S,) array; v is left as it is. Raises ValueError for a wrong shape.
    """
    v = _as_values(v, mdp)
    # TODO(value_iteration): the value of the best action in each state.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(value_iteration): the value of the best action in each state.")


def value_iteration(mdp, theta):
    """Value iteration (eq. 4.10): v_0 = 0, v_k = T v_(k-1), synchronous sweeps.

    Stops after the first sweep whose largest change is below theta; that sweep counts.

    Returns (v, pi, errors): (S,) the values after the last sweep; (S, A) a policy that is greedy
    with respect to them; and an array with max|v_k - v_(k-1)| of each sweep k = 1, 2, ..., the last
    one included. Raises ValueError for theta <= 0. With gamma = 1 it ends only if the optimal
    values are finite.
    """
    _check_theta(theta)
    # TODO(value_iteration): sweep until the largest change is below theta.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(value_iteration): sweep until the largest change is below theta.")


# -- part 6: how fast, and when to stop ------------------------------------------------------------


def stopping_sweeps(gamma, eps, r_max=1.0):
    """The smallest number of sweeps after which value iteration from v_0 = 0 is surely within eps
    of v*.

        smallest k >= 0 with gamma^k * r_max / (1 - gamma) <= eps

    gamma in [0, 1), eps > 0, r_max >= 0 a bound on |R|. Returns an int. Raises ValueError outside
    these ranges.
    """
    # TODO(contraction): check the arguments, then find the smallest k.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(contraction): check the arguments, then find the smallest k.")


def contraction_ratio(u, v, mdp):
    """By how much one sweep of value iteration pulls two value functions together, in the maximum
    norm.

        ||T u - T v||_inf / ||u - v||_inf,    which is at most gamma

    u, v: (S,). Returns a float. Raises ValueError for wrong shapes or u equal to v.
    """
    u, v = _as_values(u, mdp), _as_values(v, mdp)
    # TODO(contraction): distance after a sweep over distance before it.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(contraction): distance after a sweep over distance before it.")


# -- given: checks of the arguments ----------------------------------------------------------------


def _check_gamma(gamma):
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma is a discount factor in [0, 1], not {gamma}")


def _check_theta(theta):
    if not theta > 0:
        raise ValueError(f"theta is a positive threshold, not {theta}")


def _as_values(v, mdp):
    """v as a float64 array (the same one where it is one already), or ValueError for a wrong
    shape."""
    v = np.asarray(v, dtype=float)
    if v.shape != mdp.R.shape[:1]:
        raise ValueError(f"values have shape {v.shape}, but the MDP has {len(mdp.R)} states")
    return v


def _as_policy(pi, mdp):
    """pi as a float64 array, or ValueError if it is not one distribution over actions for each
    state."""
    pi = np.asarray(pi, dtype=float)
    if pi.shape != mdp.R.shape:
        raise ValueError(f"a policy for this MDP has shape {mdp.R.shape}, not {pi.shape}")
    if pi.min() < 0 or np.abs(pi.sum(axis=1) - 1).max() > 1e-6:
        raise ValueError("each row of a policy is a probability distribution over the actions")
    return pi


# How many minutes did each part take? The answer is never marked; it helps the next class.
# model=  evaluation=  improvement=  policy_iteration=  value_iteration=  contraction=
