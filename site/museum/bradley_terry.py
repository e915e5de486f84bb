"""Boards of bradley_terry: curves of the loss, and tables of three or four players."""

import numpy as np
import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table

GAPS = torch.linspace(-4, 4, 41)
PLAYERS = ["A", "B", "C"]
# Row i, column j: how often i beat j.
WINS = np.array([[0, 8, 4], [2, 0, 6], [1, 3, 0]])
GAMES = ["beat B 8 times, C 4 times", "beat A twice, C 6 times", "beat A once, B 3 times"]


def _loss(**options):
    def run(work):
        found = [work.bt_loss(gap[None], torch.zeros(1), **options) for gap in GAPS]
        return curve({"score of the chosen less the rejected answer": GAPS}, {"loss": found})

    return run


def _large(work):
    ones, others = torch.tensor([2.0, 300.0, 300.0]), torch.tensor([1.0, 1.0, 302.0])
    found = work.bt_prob(ones, others)
    return table({"score of i": ones, "score of j": others}, {"P(i beats j)": found})


def _accuracy(work):
    cases = {
        "right, right, wrong, wrong": ([2.0, 3.0, 0.0, 1.0], [1.0, 1.0, 1.0, 2.0]),
        "the same score for all": ([1.0] * 4, [1.0] * 4),
        "right, right, right, tied": ([2.0, 2.0, 2.0, 1.0], [1.0] * 4),
    }
    found = [work.accuracy(*map(torch.tensor, pair)) for pair in cases.values()]
    return table({"four pairs": [*cases]}, {"accuracy": found})


def _step(work):
    given = {"player": PLAYERS, "games": GAMES}
    theta = np.array([1.0, 0.0, -1.0])
    return table({**given, "theta before": theta}, {"after a step": work.mm_step(WINS, theta)})


def _fit(work):
    return table({"player": PLAYERS, "games": GAMES}, {"theta": work.fit_bt(WINS)})


def _errors(work):
    theta = np.array([1.0, -0.221, -0.779])
    given = {"player": PLAYERS, "games": GAMES, "theta": theta}
    return table(given, {"standard error": work.standard_errors(WINS, theta)})


def _derivatives(work):
    gradient, hessian = work.bt_gradient_hessian(WINS, np.zeros(3))
    given = {"player": PLAYERS, "games": GAMES}
    return table(given, {"gradient": gradient, "curvature": np.diag(hessian)})


def _connected(work):
    circle = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    chain = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    loser = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 0]])
    cases = {
        "A beats B, B beats C, C beats A": circle,
        "A beats B and C, B beats C": chain,
        "A and B beat each other, and both C": loser,
        "C never lost to A or B": loser.T,
    }
    return table({"games": [*cases]}, {"has a fit": [work.is_connected(w) for w in cases.values()]})


def _choices(work):
    utilities = np.array([1.0, 0.0, 0.0])
    drawn = work.gumbel_choices(utilities, 20_000, np.random.default_rng(3))
    shares = np.bincount(drawn, minlength=3) / 20_000
    right = np.exp(utilities) / np.exp(utilities).sum()
    given = {"option": range(3), "utility": utilities, "softmax": right}
    return table(given, {"share of 20,000 choices": shares})


MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]])


def _positions(work):
    found = work.positions(MASK)
    rows = {"left": 0, "right": 1}
    given = {"place": range(5), **{f"mask, padded {s}": MASK[r] for s, r in rows.items()}}
    # What stands at padded places means nothing.
    shown = {
        f"position, padded {s}": [
            int(p) if m else "" for p, m in zip(found[r], MASK[r], strict=True)
        ]
        for s, r in rows.items()
    }
    return table(given, shown)


def _pooled(work):
    hidden = torch.tensor([[9.0, 9.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 9.0, 9.0]])[..., None]
    last = work.pool_last(hidden, MASK)[:, 0]
    mean = work.attention_pool(hidden, torch.tensor([[0.0] * 5] * 2), MASK)[:, 0]
    names = ["pad, pad, 1, 2, 3", "1, 2, 3, pad, pad"]
    return table({"row, where pad is 9": names}, {"last token": last, "mean of tokens": mean})


def _layouts(work):
    found = {}
    scores = [4.0, 1.0, 2.0, 0.0]
    for layout in ("interleaved", "stacked"):
        output = torch.tensor(scores, requires_grad=True)
        loss = work.loss_func(output, {"layout": layout})
        if not loss.requires_grad:
            loss = loss + 0 * output.sum()
        loss.backward()
        found[f"gradient, {layout}"] = [*output.grad, loss.item()]
    return table({"row": [*range(4), "loss"], "score": [*scores, ""]}, found)


def _ranking(work):
    scores = [torch.tensor([3.0, 1.0, 0.0, -2.0]), torch.tensor([0.0, 2.0])]
    found = [work.kwise_loss([row]) for row in scores] + [work.kwise_loss(scores)]
    names = ["3, 1, 0, -2", "0, 2", "both"]
    return table({"scores, best answer first": names}, {"loss": found})


SCENES = (
    Scene(
        "model",
        "bt_loss",
        "The loss of one pair.",
        _loss(),
        {"swapped-pair": "The better the chosen answer scores, the more it costs."},
    ),
    Scene(
        "model",
        "bt_loss",
        "The loss of one pair with a margin of 1.5.",
        _loss(margin=1.5),
        {"margin-added": "A margin should make a pair cost more."},
    ),
    Scene(
        "model",
        "bt_loss",
        "The loss of one pair with label smoothing 0.4.",
        _loss(label_smoothing=0.4),
        {"smoothing-halved": "On the right it should rise with 0.4, not 0.2."},
    ),
    Scene(
        "model",
        "bt_prob",
        "Three pairs of scores, in float32.",
        _large,
        {
            "probability-of-the-other": "The higher score should win more often.",
            "exponentials-overflow": "exp(300) is too large for a float32.",
        },
    ),
    Scene(
        "model",
        "accuracy",
        "A model that scores four pairs, three times.",
        _accuracy,
        {
            "ties-count-as-right": "Who says nothing is always right.",
            "ties-count-as-wrong": "Who says nothing is always wrong.",
        },
    ),
    Scene(
        "fitting",
        "mm_step",
        "Three players, one step of MM.",
        _step,
        {
            "wins-for-games": "Only games won were counted on the right side.",
            "losses-for-wins": "Who wins most comes last.",
            "old-ability-kept": "The order is right, and everybody is much too far apart.",
            "gauge-of-the-first": "A stands at 0, not the mean.",
            "gauge-in-abilities": "The mean of theta is not 0.",
        },
    ),
    Scene(
        "fitting",
        "fit_bt",
        "Three players.",
        _fit,
        {
            "abilities-in-elo": "Hundreds, where nats are about 1.",
            "abilities-not-logs": "No theta is negative.",
        },
    ),
    Scene(
        "newton",
        "standard_errors",
        "Three players and their abilities: how well are they known?",
        _errors,
        {
            "errors-from-the-diagonal": "All are too large: a mean of 0 ties a player to the"
            " others.",
            "errors-against-the-last": "C has no error.",
            "variances-not-errors": "Take the root.",
        },
    ),
    Scene(
        "newton",
        "bt_gradient_hessian",
        "Three players, theta = 0.",
        _derivatives,
        {
            "derivatives-of-the-loss": "All signs are turned round.",
            "curvature-without-games": "Whoever played, the curvature is 1/4 for each opponent.",
            "curvature-of-wins": "Wins alone bend the likelihood.",
        },
    ),
    Scene(
        "fitting",
        "is_connected",
        "Four tables of three players.",
        _connected,
        {
            "connected-by-games": "It is enough that all have played.",
            "connected-by-one-step": "A circle has a fit, too.",
            "connected-from-the-first": "C, who never wins, does not run away.",
        },
    ),
    Scene(
        "newton",
        "gumbel_choices",
        "20,000 choices among three options.",
        _choices,
        {
            "normal-noise": "Close to softmax; the best option wins too often.",
            "gumbel-upside-down": "Close to softmax; the best option wins too often.",
            "one-noise-for-all": "Nothing is left to chance.",
        },
    ),
    Scene(
        "reward_model",
        "positions",
        "Two rows of three tokens, padded on either side.",
        _positions,
        {
            "positions-count-padding": "Only the row with padding on the left is off.",
            "positions-from-one": "The first token should stand at 0.",
        },
    ),
    Scene(
        "reward_model",
        "pool_last and attention_pool",
        "Two rows of tokens 1, 2, 3, padded on either side; all logits are 0.",
        _pooled,
        {
            "pools-the-last-column": "Padding on the right was pooled.",
            "pools-by-count": "The third place is the third token only in the second row.",
            "pools-the-first-token": "Both rows show their first token.",
            "attends-to-padding": "The mean is 4.8: of all five places.",
            "masks-after-softmax": "The mean is too small: its weights add up to 3/5.",
        },
    ),
    Scene(
        "training",
        "loss_func",
        "Four scores, read in both layouts: (4, 1), (2, 0) or (4, 2), (1, 0).",
        _layouts,
        {
            "layout-ignored": "Both columns agree.",
            "layouts-mixed-up": "The columns have changed places.",
            "constant-with-a-graph": "A loss of 1, and nobody moves.",
            "rejected-detached": "Only half the rows have a gradient.",
        },
    ),
    Scene(
        "kwise",
        "kwise_loss",
        "A ranking of four answers, a wrong one of two, and both together.",
        _ranking,
        {
            "worst-first": "The right ranking costs more than the wrong one.",
            "neighbours-only": "Only the ranking of four is off.",
        },
    ),
)
