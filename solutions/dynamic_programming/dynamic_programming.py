"""Dynamic programming: solving a Markov decision process whose transition table is known.

S states and A actions are numbered from 0. Arrays are float64 unless stated otherwise:

    v  (S,)    a value for each state: expected discounted return from there
    q  (S, A)  a value for each action in each state
    pi (S, A)  a policy: pi[s, a] is the probability of action a in state s, every row sums to one

Operators take v first and return a new array; algorithms take the MDP first. Nothing here is
random. Equation numbers are those of Sutton & Barto, Reinforcement Learning, 2nd edition (2018),
chapters 3 and 4.
"""

### BEGIN SOLUTION
import itertools

### END SOLUTION
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
    ### BEGIN SOLUTION
    states, actions = len(table), len(table[0])
    P = np.zeros((states, actions, states))
    R = np.zeros((states, actions))
    terminal = np.zeros(states, dtype=bool)
    for s, a in itertools.product(range(states), range(actions)):
        for probability, s2, reward, done in table[s][a]:
            # BUG(keeps-the-last-reward): R[s, a] = reward
            # WHEN the reward of an action is that of the last outcome in its list, not the mean
            # WHEN over all.
            # BUG(loses-the-final-reward): R[s, a] += 0.0 if done else probability * reward
            # WHEN an outcome that ends the episode is skipped together with its reward.
            R[s, a] += probability * reward
            # BUG(ignores-done): if False:
            # WHEN the flag done is ignored, so that life goes on after the end of an episode.
            if done:
                # BUG(marks-the-state-before): terminal[s] = True
                # WHEN the state from which an episode ends is called terminal, not the state where
                # WHEN it ends.
                # BUG(marks-the-state-before, 2): terminal[[s, s2]] = True
                terminal[s2] = True
            else:
                # BUG(overwrites-duplicates): P[s, a, s2] = probability
                # WHEN a next state that is listed twice keeps only the probability that was listed
                # WHEN last.
                P[s, a, s2] += probability
    # BUG(terminal-rows-stay): pass
    # WHEN terminal states keep moving and collecting rewards.
    P[terminal] = 0.0
    # BUG(terminal-rows-stay): pass
    # BUG(terminal-rows-stay, 2): pass
    R[terminal] = 0.0
    return MDP(P, R, terminal, float(gamma))
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    if not 0 <= slip <= 1:
        raise ValueError(f"slip is a probability in [0, 1], not {slip}")
    if len({len(row) for row in rows}) != 1:
        raise ValueError("a grid has at least one row, and all its rows have the same length")
    # BUG(unknown-cells-are-free): unknown = set()
    # WHEN characters that mean nothing are taken for free cells.
    unknown = set("".join(rows)) - set("S.#HG")
    if unknown:
        raise ValueError(f"a grid is drawn with S . # H G, not with {''.join(sorted(unknown))}")
    cells = [(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell != "#"]
    if not cells:
        raise ValueError("this grid has no cell outside its walls")
    number = {cell: s for s, cell in enumerate(cells)}
    terminal = np.array([rows[r][c] in "HG" for r, c in cells])
    P = np.zeros((len(cells), 4, len(cells)))
    R = np.full((len(cells), 4), float(step_reward))
    for (r, c), s in number.items():
        for a, (turn, probability) in itertools.product(range(4), _astray(slip)):
            dr, dc = MOVES[(a + turn) % 4]
            # BUG(edges-wrap-around): s2 = number.get(((r + dr) % len(rows), (c + dc) % len(rows[0])), s)
            # WHEN a move off one edge of the grid comes in again at the opposite edge.
            # BUG(edges-wrap-around, 2): s2 = number.get((r + dr, (c + dc) % len(rows[0])), s)
            s2 = number.get((r + dr, c + dc), s)
            if not terminal[s2]:
                P[s, a, s2] += probability
    # BUG(terminal-rows-stay): pass
    P[terminal] = 0.0
    # BUG(terminal-rows-stay): pass
    # BUG(terminal-rows-stay, 2): pass
    R[terminal] = 0.0
    return MDP(P, R, terminal, float(gamma))
    ### END SOLUTION


### BEGIN SOLUTION
# BUG(rows-and-columns-swapped): MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
# WHEN rows and columns change places, so that "left" walks up and "down" walks right.
MOVES = (
    (0, -1),
    (1, 0),
    (0, 1),
    (-1, 0),
)  # (row, column) steps of left, down, right, up: quarter turns


def _astray(slip):
    """Pairs (quarter turns away from the action, probability)."""
    # BUG(slips-backwards): return [(0, 1 - slip), (1, slip / 3), (2, slip / 3), (3, slip / 3)]
    # WHEN a slip can go in any of the three other directions, backwards included.
    # BUG(slips-backwards, 2): return [(0, 1 - slip), (2, slip / 2), (3, slip / 2)]
    return [(0, 1 - slip), (1, slip / 2), (3, slip / 2)]


### END SOLUTION
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
    ### BEGIN SOLUTION
    P_pi, r_pi = induced_chain(mdp, pi)
    # BUG(overwrites-its-input): v[:] = r_pi + mdp.gamma * (P_pi @ v); return v
    # WHEN an operator writes the new values into the array v that it was given.
    # BUG(discounts-the-reward): return mdp.gamma * (r_pi + P_pi @ v)
    # WHEN the reward of the step itself is discounted too, as if it came one step later.
    # BUG(discounts-the-reward, 2): return mdp.gamma * (r_pi + P_pi @ v)
    return r_pi + mdp.gamma * (P_pi @ v)
    ### END SOLUTION


### BEGIN SOLUTION
def induced_chain(mdp, pi):
    """The Markov chain that is left when pi chooses the actions: P_pi (S, S) and r_pi (S,)."""
    # BUG(follows-one-action): P_pi = mdp.P[np.arange(len(pi)), pi.argmax(axis=1)]
    # WHEN only the likeliest action of the policy is followed, instead of the average over all its
    # WHEN actions.
    # BUG(follows-one-action, 2): P_pi = mdp.P[np.arange(len(pi)), pi.argmax(axis=1)]
    P_pi = np.einsum("sa,sat->st", pi, mdp.P)
    # BUG(follows-one-action): r_pi = mdp.R[np.arange(len(pi)), pi.argmax(axis=1)]
    # BUG(follows-one-action, 3): r_pi = mdp.R[np.arange(len(pi)), pi.argmax(axis=1)]
    r_pi = np.sum(pi * mdp.R, axis=1)
    return P_pi, r_pi


### END SOLUTION
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
    ### BEGIN SOLUTION
    v, changes = fixed_point(lambda v: bellman_expectation(v, pi, mdp), len(mdp.R), theta)
    # BUG(forgets-the-last-sweep, 2): return v, len(changes) - 1
    return v, len(changes)
    ### END SOLUTION


### BEGIN SOLUTION
def fixed_point(operator, states, theta):
    """Sweep v_k = operator(v_(k-1)) from v_0 = 0 until the largest change is below theta: v_k, all
    changes."""
    v, changes = np.zeros(states), []
    while True:
        # BUG(sweeps-in-place): new = v.copy(); [new.put(s, operator(new)[s]) for s in range(states)]
        # WHEN a sweep works in place: it uses the new values of the states before, not the old
        # WHEN values of all.
        # BUG(sweeps-in-place, 2): new = v.copy(); [new.put(s, operator(new)[s]) for s in reversed(range(states))]
        new = operator(v)
        # BUG(change-without-abs): changes.append(np.max(new - v))
        # WHEN the largest change is taken without its absolute value: falling values look like no
        # WHEN change.
        changes.append(np.max(np.abs(new - v)))
        # BUG(stops-at-equal): if not changes[-1] > theta:
        # WHEN the sweeps stop as soon as the largest change is equal to theta, although it is not
        # WHEN below.
        if not changes[-1] >= theta:  # also where rewards hold nan, which would never settle
            # BUG(returns-the-sweep-before): return v, changes
            # WHEN the values of the sweep before the last one are returned.
            # BUG(forgets-the-last-sweep): return new, changes[:-1]
            # WHEN the last sweep, the one that finds that it is time to stop, is not counted or
            # WHEN recorded.
            return new, changes
        v = new


### END SOLUTION
def policy_value_exact(mdp, pi):
    """The value of a policy by solving the Bellman equation (4.4), a linear system in S unknowns.

        (I - gamma P_pi) v = r_pi,   P_pi(s, s2) = sum_a pi(a|s) P(s2|s, a),   r_pi(s) = sum_a pi(a|s) R(s, a)

    Returns (S,). Raises ValueError for an unfit pi, and where np.linalg.solve finds the system
    singular. With gamma = 1 it is, if some state never reaches the end of an episode under pi;
    rounding may hide that in a large system.
    """
    pi = _as_policy(pi, mdp)
    # TODO(evaluation): build matrix and right-hand side, then solve the system.
    ### BEGIN SOLUTION
    P_pi, r_pi = induced_chain(mdp, pi)
    try:
        # BUG(transposes-the-matrix): return np.linalg.solve(np.eye(len(r_pi)) - mdp.gamma * P_pi.T, r_pi)
        # WHEN the transition matrix is transposed, so that values flow from a state to its
        # WHEN successors.
        return np.linalg.solve(np.eye(len(r_pi)) - mdp.gamma * P_pi, r_pi)
    except np.linalg.LinAlgError:
        raise ValueError(
            "under this policy some state never reaches the end of an episode"
        ) from None
    ### END SOLUTION


# -- part 3: a better policy -----------------------------------------------------------------------


def q_from_v(v, mdp):
    """Action values: take action a in state s once, then collect v (eq. 4.6).

        q(s, a) = R(s, a) + gamma * sum_s2 P(s2|s, a) v(s2)

    v: (S,). Returns (S, A). Raises ValueError for a wrong shape.
    """
    v = _as_values(v, mdp)
    # TODO(improvement): one reward plus the discounted value of where it leads.
    ### BEGIN SOLUTION
    # BUG(discounts-the-reward): return mdp.gamma * (mdp.R + mdp.P @ v)
    # BUG(forgets-gamma): return mdp.R + mdp.P @ v
    # WHEN the values of the next states are not discounted.
    # BUG(discounts-the-reward, 3): return mdp.gamma * (mdp.R + mdp.P @ v)
    return mdp.R + mdp.gamma * (mdp.P @ v)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(best-over-states): best = q.max(axis=0, keepdims=True)
    # WHEN each action is compared with the same action in other states, not with its state's other
    # WHEN actions.
    best = q.max(axis=1, keepdims=True)
    # BUG(first-of-ties): ties = np.arange(q.shape[1]) == q.argmax(axis=1)[:, None]
    # WHEN one of several best actions gets all the probability.
    # BUG(relative-tolerance): ties = np.isclose(q, best, atol=tol)
    # WHEN the tolerance for ties grows with the size of the values, as np.isclose does unless rtol
    # WHEN is 0.
    # BUG(first-of-ties, 2): ties = np.arange(q.shape[1]) == (q.shape[1] - 1 - q[:, ::-1].argmax(axis=1))[:, None]
    ties = q >= best - tol
    return ties / ties.sum(axis=1, keepdims=True)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    # BUG(evaluates-one-sweep): pi, v = np.full(mdp.R.shape, 1 / mdp.R.shape[1]), np.zeros(len(mdp.R))
    # WHEN each policy is evaluated by one sweep only, and the search stops as soon as the policy
    # WHEN repeats.
    pi = np.full(mdp.R.shape, 1 / mdp.R.shape[1])
    for iters in range(1, 1001):
        # BUG(evaluates-one-sweep): v = bellman_expectation(v, pi, mdp)
        # BUG(flips-on-ties): v = policy_evaluation(mdp, pi, 1e-4)[0]
        # WHEN policies are evaluated only roughly and compared action by action: equally good ones
        # WHEN take turns for ever.
        # BUG(evaluates-one-sweep, 2): v = policy_value_exact(mdp, pi) if iters == 1 else bellman_expectation(v, pi, mdp)
        v = policy_value_exact(mdp, pi)
        # BUG(flips-on-ties): better = np.eye(mdp.R.shape[1])[q_from_v(v, mdp).argmax(axis=1)]
        better = greedy(q_from_v(v, mdp))
        if np.array_equal(better, pi):
            # BUG(forgets-the-last-improvement): return pi, v, iters - 1
            # WHEN the last improvement, the one that changes nothing, is not counted.
            return pi, v, iters
        pi = better
    raise RuntimeError("the policy still changes after 1000 improvements")
    ### END SOLUTION


# -- part 5: without a policy ----------------------------------------------------------------------


def bellman_optimality(v, mdp):
    """The Bellman optimality operator, one synchronous sweep of value iteration (eq. 4.10).

        (T v)(s) = max_a ( R(s, a) + gamma * sum_s2 P(s2|s, a) v(s2) )

    v: (S,). Returns a new (S,) array; v is left as it is. Raises ValueError for a wrong shape.
    """
    v = _as_values(v, mdp)
    # TODO(value_iteration): the value of the best action in each state.
    ### BEGIN SOLUTION
    # BUG(overwrites-its-input): v[:] = np.max(mdp.R + mdp.gamma * (mdp.P @ v), axis=1); return v
    # BUG(discounts-the-reward): return np.max(mdp.gamma * (mdp.R + mdp.P @ v), axis=1)
    # BUG(averages-over-actions): return np.mean(mdp.R + mdp.gamma * (mdp.P @ v), axis=1)
    # WHEN the mean over the actions is taken where the best action belongs.
    return np.max(mdp.R + mdp.gamma * (mdp.P @ v), axis=1)
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    v, errors = fixed_point(lambda v: bellman_optimality(v, mdp), len(mdp.R), theta)
    # BUG(greedy-for-the-next-reward): return v, greedy(mdp.R), np.array(errors)
    # WHEN the policy is greedy for the next reward alone and never looks at the values.
    return v, greedy(q_from_v(v, mdp)), np.array(errors)
    ### END SOLUTION


# -- part 6: how fast, and when to stop ------------------------------------------------------------


def stopping_sweeps(gamma, eps, r_max=1.0):
    """The smallest number of sweeps after which value iteration from v_0 = 0 is surely within eps
    of v*.

        smallest k >= 0 with gamma^k * r_max / (1 - gamma) <= eps

    gamma in [0, 1), eps > 0, r_max >= 0 a bound on |R|. Returns an int. Raises ValueError outside
    these ranges.
    """
    # TODO(contraction): check the arguments, then find the smallest k.
    ### BEGIN SOLUTION
    # BUG(gamma-one-passes): if not (0 <= gamma <= 1 and eps > 0 and r_max >= 0):
    # WHEN gamma = 1 is let through, although the bound divides by 1 - gamma.
    if not (0 <= gamma < 1 and eps > 0 and r_max >= 0):
        raise ValueError(
            f"need 0 <= gamma < 1, eps > 0 and r_max >= 0, not {gamma}, {eps} and {r_max}"
        )
    # BUG(forgets-the-horizon): bound, k = r_max, 0
    # WHEN the error at the start is taken for r_max, although values add up to r_max / (1 - gamma).
    bound, k = r_max / (1 - gamma), 0
    while gamma**k * bound > eps:
        k += 1
    # BUG(rounds-down): return k - 1
    # WHEN the number of sweeps is rounded down.
    return k
    ### END SOLUTION


def contraction_ratio(u, v, mdp):
    """By how much one sweep of value iteration pulls two value functions together, in the maximum
    norm.

        ||T u - T v||_inf / ||u - v||_inf,    which is at most gamma

    u, v: (S,). Returns a float. Raises ValueError for wrong shapes or u equal to v.
    """
    u, v = _as_values(u, mdp), _as_values(v, mdp)
    # TODO(contraction): distance after a sweep over distance before it.
    ### BEGIN SOLUTION
    Tu, Tv = bellman_optimality(u, mdp), bellman_optimality(v, mdp)
    # BUG(euclidean-norm): before, after = np.linalg.norm(u - v), np.linalg.norm(Tu - Tv)
    # WHEN distances are Euclidean instead of the largest difference over the states.
    before, after = np.max(np.abs(u - v)), np.max(np.abs(Tu - Tv))
    # BUG(divides-zero-by-zero): if before < 0:
    # WHEN two equal value functions are let through and zero is divided by zero.
    # BUG(nearly-equal-is-refused): if np.allclose(u, v):
    # WHEN two value functions that are nearly equal are refused as if they were equal.
    if before == 0:
        raise ValueError("u and v are equal: a distance of zero has no ratio")
    return float(after / before)
    ### END SOLUTION


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
