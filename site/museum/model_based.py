"""Boards of model_based: what a model knows, how a search narrows, how imagination goes wrong."""

import numpy as np
import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table


def _model(work, *steps):
    model = work.TabularModel()
    for step in steps:
        model.learn_(*step)
    return model


def _known(work):
    # Pair (0, 0) is taken twice, and the world has changed in between.
    steps = [(0, 0, 1.0, 1, False), (0, 1, 2.0, 2, False), (1, 0, 5.0, 3, True)]
    model = _model(work, *steps, (0, 0, 4.0, 2, False))
    rows = [model.outcomes.get(s, {}).get(a) for s, a in ((0, 0), (0, 1), (1, 0))]
    found = ["nothing" if row is None else "{:g}, {}, {}".format(*row) for row in rows]
    seen = ["1, 1, False; later 4, 2, False", "2, 2, False", "5, 3, True"]
    given = {"state, action": ["0, 0", "0, 1", "1, 0"], "r, s', terminated, as seen": seen}
    return table(given, {"what the model says": found})


def _corridor(work):
    """Four states in a row; action 1 goes right. The last step ends the episode and pays 8."""
    steps = [(s, 1, 8.0 * (s == 2), s + 1, s == 2) for s in range(3)]
    return _model(work, *steps, (1, 0, 0.0, 1, False))


def _planned(work):
    Q = np.zeros((4, 2))
    Q[3] = 5.0
    work.plan_(Q, _corridor(work), 2000, 0.5, 0.5, np.random.default_rng(1))
    pairs = [(0, 1), (1, 1), (1, 0), (2, 1), (0, 0)]
    given = {"step": ["0 to 1", "1 to 2", "1 to 1", "2 to the end", "never tried in 0"]}
    return table(given, {"value": [Q[pair] for pair in pairs]})


def _queue(work):
    queue = work.PriorityQueue()
    pushes = [(0, 3.0), (1, 5.0), (2, 4.0), (0, 9.0), (1, 1.0)]
    for s, urgency in pushes:
        queue.push_(s, 0, urgency)
    order = [queue.pop_()[0] for _ in range(3)]
    listed = ", ".join(f"{s} with {urgency:g}" for s, urgency in pushes)
    return table({"pushed": [listed]}, {"popped": [", ".join(map(str, order))]})


def _swept(work):
    Q, model, queue = np.zeros((4, 2)), _corridor(work), work.PriorityQueue()
    Q[3], Q[0, 1] = 5.0, 1.5
    queue.push_(2, 1, 8.0)
    made = work.sweep_(Q, model, queue, 20, 1.0, 0.5, 0.1)
    names = ["0 to 1", "1 to 2", "2 to the end"]
    return table({"value of": [*names, "updates made, of 20"]},
                 {"found": [Q[0, 1], Q[1, 1], Q[2, 1], made]})  # fmt: skip


DATA = np.array([[1.0, 100.0, 3.0], [3.0, 300.0, 3.0], [5.0, 500.0, 3.0], [7.0, 700.0, 3.0]])


def _normalised(work):
    found = work.normalise(work.fit_normaliser(DATA), np.array([[7.0, 700.0, 3.5]]))[0]
    columns = ["1, 3, 5, 7", "100, 300, 500, 700", "3, 3, 3, 3"]
    return table({"column": columns, "asked for": [7.0, 700.0, 3.5]}, {"normalised": found})


def _losses(work):
    gaps, row = {"2 and 0": (2.0, 0.0), "1 and -1": (1.0, -1.0)}, torch.zeros(2, 2, 2)
    found = [
        work.ensemble_loss(row + torch.tensor(gap)[:, None, None], row) for gap in gaps.values()
    ]
    return table({"the members are off by": [*gaps]}, {"loss": found})


class Halves(torch.nn.Module):
    """Two members that say half of the first input, and twice as much."""

    def forward(self, x):
        return x[..., :1] * torch.tensor([0.5, 1.0], dtype=x.dtype)[:, None, None]


def _dynamics(work):
    inputs = work.Normaliser(np.array([10.0, 0.0]), np.array([2.0, 1.0]))
    return work.Dynamics(Halves(), inputs, work.Normaliser(np.array([1.0]), np.array([4.0])))


def _stepped(work):
    after = _dynamics(work).step(np.full((2, 1, 1), 14.0), np.zeros((1, 1)))[:, 0, 0]
    given = {"member": [0, 1], "state": [14, 14], "normalised": [2, 2], "says": [1, 2]}
    return table({**given, "change": [5, 9]}, {"next state": after})


def _refitted(work):
    old = work.Gaussian(np.array([0.0, 0.0]), np.array([10.0, 10.0]))
    best = np.array([[1.0, 5.0], [5.0, 5.0], [9.0, 5.0]])
    found = work.refit(old, best, 0.25, 4.0)
    given = {"elites": ["1, 5, 9", "5, 5, 5"], "old mean": [0, 0], "old deviation": [10, 10]}
    return table(given, {"mean": found.mean, "deviation": found.std})


def _narrowing(work):
    """The deviation of a search on a slope that never ends."""
    found, start = [10.0], work.Gaussian(np.zeros(1), np.full(1, 10.0))
    for n in range(1, 13):
        settings = work.CemSettings(200, 20, n, 0.1, 0.4)
        rng = np.random.default_rng(6)
        bounds = np.full(1, -1e9), np.full(1, 1e9)
        found.append(work.cem(lambda c: c[:, 0], start, *bounds, settings, rng).std[0])
    return curve({"iteration": range(13)}, {"deviation": found})


def _bounded(work):
    settings, rng = work.CemSettings(400, 40, 4, 0.0, 0.5), np.random.default_rng(7)
    seen = []

    def score(candidates):
        seen.append(np.abs(candidates).max())
        return -((candidates[:, 0] - 3.0) ** 2)

    start, bound = work.Gaussian(np.zeros(1), np.full(1, 1.0)), np.array([1.0])
    found = work.cem(score, start, -bound, bound, settings, rng)
    names = ["answer", "deviation in the end", "largest candidate scored"]
    return table({"best is 3, allowed is -1 to 1": names},
                 {"found": [found.mean[0], found.std[0], max(seen)]})  # fmt: skip


def _counter(states, actions):
    return states + 1.0


def _problem(work, **more):
    settings = {
        # What a step pays is the state that it leaves, and state 3 is the end.
        "reward": lambda states, actions, after: states[..., 0],
        "terminal": lambda after: after[..., 0] == 3.0,
        "low": np.array([0.0]),
        "high": np.array([8.0]),
        "gamma": 0.5,
    }
    return work.Problem(**(settings | more))


def _imagined(work):
    found = [
        work.imagine(_counter, _problem(work), np.array([1.0]), np.zeros((1, h, 1)), 1)[0, 0]
        for h in (1, 2, 3, 4)
    ]
    return table({"steps, from state 1": [1, 2, 3, 4]}, {"imagined return": found})


def _decided(work):
    # Three steps that should be 2, 6 and 7: the reward of a step knows its number.
    wanted = np.array([2.0, 6.0, 7.0, 7.0, 7.0])

    def reward(states, actions, after):
        number = states[..., 0].astype(int)
        return np.broadcast_to(-((actions[..., 0] - wanted[number]) ** 2), states.shape[:-1])

    problem = _problem(work, reward=reward, terminal=lambda after: after[..., 0] < 0, gamma=1.0)
    settings, rng = work.CemSettings(300, 30, 12, 0.0), np.random.default_rng(8)
    plan = np.full((3, 1), 4.0)
    action, later = work.mpc_action(_counter, problem, 1, np.zeros(1), plan, settings, rng)
    found = [action[0], ", ".join(f"{round(x):g}" for x in later[:, 0])]
    return table({"best plan 2, 6, 7, within 0 to 8": ["the action", "where the next begins"]},
                 {"found": [f"{round(found[0]):g}", found[1]]})  # fmt: skip


def _open(work):
    """The world grows by 1.2 and adds its action; the model grows by 1.3 and adds a little more."""
    actions = np.array([[1.0], [-2.0], [3.0], [0.5], [2.0], [-1.0]])
    states = [np.array([1.0])]
    for action in actions:
        states.append(1.2 * states[-1] + action)
    step = lambda s, a: 1.3 * s + a + np.array([0.1, 0.3])[:, None, None]  # noqa: E731
    found = work.open_loop_errors(step, np.stack(states), actions, 4, 2)
    return table({"steps without looking": [1, 2, 3, 4]}, {"mean distance": found})


def _bound(work):
    return curve({"steps": range(1, 13)}, {"bound": work.growth_bound(1.0, 1.2, 12)})


SCENES = (
    Scene(
        "dyna",
        "TabularModel",
        "Four steps were taken in; the pair 0, 0 comes twice, because the world has changed.",
        _known,
        {
            "model-forgets-other-actions": "Two actions were tried in state 0.",
            "first-outcome-stays": "The first line is out of date.",
            "model-forgets-the-end": "Only the last line is off.",
        },
    ),
    Scene(
        "dyna",
        "plan_",
        "2000 imagined steps in a corridor of four states, gamma = 0.5. The last step pays 8 and"
        " ends the episode; the table says 5 behind the end, and 0 everywhere else.",
        _planned,
        {
            "plans-unseen-actions": "The last pair was never seen, and has a value.",
            "imagined-end-is-ignored": "The last step is worth 8 and no more.",
        },
    ),
    Scene(
        "sweeping",
        "PriorityQueue",
        "Three pairs, pushed five times.",
        _queue,
        {
            "latest-priority-counts": "1 waits with 5, not with 1.",
            "first-priority-counts": "0 waits with 9, not with 3.",
            "smallest-priority-first": "The most urgent one comes last.",
        },
    ),
    Scene(
        "sweeping",
        "sweep_",
        "A corridor of four states, whose last step pays 8 and ends the episode; it alone waits for"
        " an update. gamma = 0.5. The value of the first step is 1.5, of the others 0.",
        _swept,
        {
            "sweeps-forwards": "The news never reaches the step before.",
            "counts-what-was-allowed": "Four updates were enough.",
            "sources-skip-the-state-itself": "The values are right, and one update is missing.",
        },
    ),
    Scene(
        "ensemble",
        "fit_normaliser",
        "Three columns of data, and a row to be normalised.",
        _normalised,
        {
            "scale-is-the-variance": "The unit of a column should not matter.",
            "scale-of-a-sample": "The deviation of 1, 3, 5, 7 is 2.24, and 3 over it 1.34.",
            "one-scale-for-all-columns": "The first two columns differ by their unit alone.",
            "constant-columns-explode": "Half a unit has become 5000.",
        },
    ),
    Scene(
        "ensemble",
        "ensemble_loss",
        "Two members with two rows of two components each.",
        _losses,
        {
            "loss-averages-over-members": "Each member's share has become half.",
            "loss-of-the-mean-prediction": "1 and -1 are right on average.",
            "loss-sums-over-components": "Both are twice too large.",
        },
    ),
    Scene(
        "ensemble",
        "Dynamics.step",
        "Two members in state 14. Inputs have mean 10 and scale 2, changes mean 1 and scale 4; the"
        " second member says twice what the first one says.",
        _stepped,
        {
            "raw-inputs": "They were asked about 14, not about 2.",
            "change-taken-for-the-state": "14 was not added.",
            "change-stays-normalised": "1 and 2 were added, not 5 and 9.",
            "members-follow-the-mean": "Both go on from the same place.",
        },
    ),
    Scene(
        "cem",
        "refit",
        "Two entries, three elites; smoothing 0.25, no deviation below 4.",
        _refitted,
        {
            "smoothing-turned-round": "A quarter of the old should stay, not three.",
            "smoothing-is-ignored": "5 is the mean of the elites alone.",
            "deviation-is-the-variance": "The elites spread by 3.27, whose square is 10.7.",
            "deviation-of-a-sample": "Divided by 2, not by 3.",
            "no-floor": "2.5 is below 4.",
        },
    ),
    Scene(
        "cem",
        "cem",
        "The deviation of a search for the largest number, from 10; it stops at 0.4.",
        _narrowing,
        {"deviation-collapses": "Two iterations, and nothing new is tried."},
    ),
    Scene(
        "cem",
        "cem",
        "A search for 3 within -1 to 1; no deviation below 0.5.",
        _bounded,
        {
            "leaves-the-bounds": "3 is not allowed.",
            "elites-before-clipping": "What was scored was allowed, and the answer is not.",
            "elites-with-the-lowest-score": "Further from 3 it cannot be.",
        },
    ),
    Scene(
        "mpc",
        "imagine",
        "Each step leads to the next number and pays the one it leaves; 3 is the end. gamma = 0.5.",
        _imagined,
        {
            "reward-one-step-late": "The first step leaves 1, and should pay 1.",
            "plans-without-discount": "The second step pays 2, one step later.",
            "first-reward-is-discounted": "Half of everything.",
            "the-end-pays-nothing": "The step into 3 pays, too.",
            "story-goes-on-after-the-end": "There is no third step.",
            "rises-from-the-dead": "The third step is silent, and the fourth pays.",
        },
    ),
    Scene(
        "mpc",
        "mpc_action",
        "One decision, rounded. The search begins with 4, 4, 4.",
        _decided,
        {
            "plan-is-not-shifted": "2 was done already.",
            "plan-is-shifted-in-a-circle": "The 2 comes back.",
            "plan-repeats-its-last-action": "7 stands twice.",
            "plan-ends-with-zeros": "The middle of 0 and 8 is not 0.",
            "action-of-the-wrong-plan": "4 is where the search began.",
        },
    ),
    Scene(
        "error",
        "open_loop_errors",
        "A model of two members that grows by 1.3 where the world grows by 1.2.",
        _open,
        {
            "model-is-told-the-truth": "After four steps it should be far more.",
            "actions-of-the-start": "The first line alone is right.",
            "compares-one-step-early": "One step off by 2 already.",
            "distance-is-squared": "Small ones have become smaller, large ones larger.",
        },
    ),
    Scene(
        "error",
        "growth_bound",
        "A step error of 1, which grows by 1.2 with each further step.",
        _bound,
        {
            "growth-without-a-sum": "Twelve errors of 1 add up to 12, even if none of them grows.",
            "errors-only-add-up": "A straight line.",
        },
    ),
)
