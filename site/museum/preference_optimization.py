"""Boards of preference_optimization: losses as curves, four answers to one prompt."""

import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table

MARGINS = torch.linspace(-6, 6, 49)


def _four(margin):
    """Log-probabilities whose margin over the reference, which prefers the chosen one, is given."""
    return margin[None] - 3.0, torch.tensor([-4.0]), torch.tensor([-2.0]), torch.tensor([-3.0])


def _dpo(**options):
    def run(work):
        found = [work.dpo_loss(*_four(margin), **options) for margin in MARGINS]
        return curve({"h, the margin": MARGINS}, {"loss": found})

    return run


def _weights(work):
    found = work.dpo_weights(MARGINS, beta=0.5, label_smoothing=0.2)
    return curve({"h, the margin": MARGINS}, {"weight of the pair": found})


def _ipo(work):
    found = [work.ipo_loss(*_four(margin), tau=0.25) for margin in MARGINS]
    return curve({"h, the margin": MARGINS}, {"loss": found})


def _two_pairs(work):
    chosen, rejected = torch.tensor([3.0, -1.0]), torch.tensor([0.0, 0.0])
    zero = torch.zeros(2)
    names = ["DPO, beta = 1", "IPO, tau = 0.5"]
    found = [
        work.dpo_loss(chosen, rejected, zero, zero, beta=1.0),
        work.ipo_loss(chosen, rejected, zero, zero, tau=0.5),
    ]
    return table({"loss of two pairs with h = 3 and -1": names}, {"loss": found})


def _reference_point(work):
    cases = {"0.5, 1.5": [0.5, 1.5], "3, -1": [3.0, -1.0], "-2, -1": [-2.0, -1.0]}
    found = [
        work.kto_reference_point(torch.tensor(gaps), torch.zeros(2)) for gaps in cases.values()
    ]
    return table({"log-ratios of two rows": [*cases]}, {"reference point": found})


def _kto(desirable):
    def run(work):
        thumb = torch.tensor([desirable])
        found = [
            work.kto_loss(r[None] - 2.0, torch.tensor([-2.0]), thumb, 2.0, 0.5, 1.0, 1.5)
            for r in MARGINS
        ]
        return curve({"log-ratio": MARGINS}, {"loss": found})

    return run


def _partners(work):
    found = work.mismatched(5)
    return table({"prompt": range(5)}, {"gets the response of": found})


def _simpo(work):
    found = [work.simpo_loss(m[None] - 1, torch.tensor([-1.0]), 2.0, 3.0) for m in MARGINS / 2]
    x = {"mean log-probability, chosen less rejected": MARGINS / 2}
    return curve(x, {"loss": found})


def _odds(work):
    p = torch.linspace(0.02, 0.98, 49, dtype=torch.float64)
    return curve({"probability": p}, {"log-odds": work.log_odds(p.log())})


def _sure(work):
    logs = torch.tensor([-0.7, -1e-9, -1e-15, 0.0], dtype=torch.float64)
    names = ["-0.7", "-1e-9", "-1e-15", "0"]
    return table({"log p": names}, {"log-odds": work.log_odds(logs)})


def _orpo(work):
    chances = torch.linspace(0.05, 0.95, 46)
    found = [work.orpo_loss(p.log()[None], torch.tensor([-0.7]), 0.3) for p in chances]
    return curve({"probability of the chosen answer": chances}, {"loss": found})


REFERENCE = torch.tensor([0.5, 0.3, 0.2])
REWARDS = torch.tensor([0.0, 1.0, 2.0])


def _optimum(work):
    found = work.rlhf_optimum(REFERENCE.log(), REWARDS, beta=2.0).exp()
    given = {"answer": ["a", "b", "c"], "reference": REFERENCE, "reward": REWARDS}
    return table(given, {"best policy": found})


def _objective(work):
    policies = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.01, 0.01, 0.98]])
    reference = REFERENCE.expand(3, 3)
    found = work.rlhf_objective(policies.log(), reference.log(), REWARDS.expand(3, 3), 0.5)
    names = ["0.5, 0.3, 0.2: the reference", "0.2, 0.3, 0.5", "0.01, 0.01, 0.98"]
    return table({"policy": names}, {"objective": found})


def _fit(work):
    shares = torch.tensor([[0.0, 0.3, 0.2], [0.7, 0.0, 0.4], [0.8, 0.6, 0.0]])
    found = work.fit_dpo_table(REFERENCE.log(), shares, beta=2.0).exp()
    wins = ["30 % against b, 20 % against c", "70 % against a, 40 % against c"]
    given = {"answer": ["a", "b", "c"], "wins": [*wins, "80 % against a, 60 % against b"]}
    return table({**given, "reference": REFERENCE}, {"fitted policy": found})


def _collated(work):
    batch = work.collate_pairs(work.Pairs([[5, 6]], [[7, 8, 9]], [[4]]))
    mask = [" ".join(str(int(x)) for x in row) for row in batch.mask]
    given = {"row": ["chosen: prompt of 2, response of 3", "rejected: prompt of 2, response of 1"]}
    return table(given, {"mask": mask})


def _sequences(work):
    logp = torch.tensor([[-9.0, -9.0, -1.0, -2.0, -3.0], [-9.0, -9.0, -4.0, -9.0, -9.0]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [0, 0, 1, 0, 0]])
    found = {
        "sum": work.sequence_logprobs(logp, mask),
        "mean": work.sequence_logprobs(logp, mask, average=True),
    }
    names = ["prompt -9, -9; response -1, -2, -3", "prompt -9, -9; response -4; padding -9, -9"]
    return table({"row": names}, found)


SCENES = (
    Scene(
        "dpo",
        "dpo_loss",
        "The loss of one pair, beta = 0.3; the reference prefers the chosen answer by 1 nat.",
        _dpo(beta=0.3),
        {
            "reference-forgotten": "At a margin of 0 it should be log 2; it is as if h were 1"
            " more.",
            "reference-added": "It is shifted by 2 nats.",
            "swapped-pair": "The better the pair, the more it costs.",
            "beta-forgotten": "Its slope is 1 on the left, not 0.3.",
            "beta-divides": "It is far too steep.",
            "beta-multiplies-the-loss": "Its shape is right, and its height is 0.3 of it.",
        },
    ),
    Scene(
        "dpo",
        "dpo_loss",
        "The loss of one pair, beta = 1, label smoothing 0.3.",
        _dpo(beta=1.0, label_smoothing=0.3),
        {
            "smoothing-halved": "On the right it should rise with 0.3, not 0.15.",
            "smoothing-turned-round": "It is lowest where the pair is wrong.",
            "robust-smoothing": "It falls below 0.",
        },
    ),
    Scene(
        "dpo",
        "dpo_weights",
        "How hard a pair pulls, beta = 0.5, label smoothing 0.2.",
        _weights,
        {
            "weight-of-the-right-ones": "Pairs that are right already pull hardest.",
            "weight-without-smoothing": "It is never negative.",
            "weight-without-beta": "Twice as strong everywhere.",
        },
    ),
    Scene(
        "ipo",
        "ipo_loss",
        "The loss of one pair, tau = 0.25.",
        _ipo,
        {
            "ipo-target-one-over-tau": "The lowest point lies at 4, not at 2.",
            "ipo-target-below-zero": "The lowest point lies at -2.",
            "ipo-one-sided": "More than enough costs nothing.",
            "ipo-halved": "The shape is right, the height half of it.",
            "ipo-in-rewards": "The lowest point is right, and all the rest nearly flat.",
        },
    ),
    Scene(
        "ipo",
        "dpo_loss and ipo_loss",
        "A batch of two pairs.",
        _two_pairs,
        {
            "ipo-of-the-mean": "3 and -1 lie on both sides of the target 1, and are 1 on average.",
            "sums-over-pairs": "Only DPO is off: by a factor of 2.",
        },
    ),
    Scene(
        "kto",
        "kto_reference_point",
        "Three batches of two rows.",
        _reference_point,
        {
            "point-below-zero": "A divergence is not negative.",
            "point-clamped-by-row": "3 and -1 are 1 on average.",
            "point-is-absolute": "-1.5 should count as 0.",
            "point-is-a-sum": "Twice as much each time.",
            "point-the-other-way": "Only the last row is above 0.",
        },
    ),
    Scene(
        "kto",
        "kto_loss",
        "The loss of one undesirable answer with weight 1.5; the point is 2, beta = 0.5.",
        _kto(False),
        {
            "thumbs-down-count-as-up": "The likelier a bad answer, the less it costs.",
            "point-forgotten": "Half its weight should be paid at 2, not at 0.",
            "weights-swapped": "It should rise to 1.5.",
            "kto-logarithm": "It rises without end.",
            "point-without-beta": "Half its weight should be paid at 2, not at 4.",
        },
    ),
    Scene(
        "kto",
        "mismatched",
        "Five prompts.",
        _partners,
        {
            "reversed-batch": "Prompt 2 keeps its own response.",
            "previous-responses": "Each gets that of the one before it.",
        },
    ),
    Scene(
        "reference_free",
        "simpo_loss",
        "The loss of one pair, beta = 2, gamma = 3.",
        _simpo,
        {
            "gamma-beta-ratio": "It is shifted by 3, not by 3/2.",
            "gamma-added": "A margin should make a pair cost more.",
            "gamma-forgotten": "At a difference of 0 it is log 2.",
        },
    ),
    Scene(
        "reference_free",
        "log_odds",
        "The log-odds of a probability.",
        _odds,
        {"ratio-for-odds": "It never rises above 0."},
    ),
    Scene(
        "reference_free",
        "log_odds",
        "Log-probabilities close to 0, in float64.",
        _sure,
        {
            "odds-shifted": "Beyond 9 nothing grows any more.",
            "odds-of-certainty": "The last row should be finite.",
        },
    ),
    Scene(
        "reference_free",
        "orpo_loss",
        "The loss of one pair with weight 0.3; the rejected answer has probability 0.5.",
        _orpo,
        {
            "orpo-without-imitation": "It hardly costs anything.",
            "orpo-odds-turned-round": "It is too low on the left: to be rarer than the rejected"
            " answer costs more.",
        },
    ),
    Scene(
        "optimum",
        "rlhf_optimum",
        "Three answers, beta = 2.",
        _optimum,
        {
            "optimum-without-the-reference": "Equal steps of reward give equal ratios: nothing"
            " else counts.",
            "reward-times-beta": "The best answer has nearly everything.",
            "optimum-not-normalised": "Add them up.",
        },
    ),
    Scene(
        "optimum",
        "rlhf_objective",
        "Three policies on three answers with rewards 0, 1, 2; beta = 0.5.",
        _objective,
        {
            "penalty-added": "The further away, the better.",
            "penalty-without-beta": "The reference is right, and distance costs twice as much.",
            "objective-without-the-penalty": "These are mean rewards.",
            "objective-under-the-reference": "The reference weighs all, and distance pays.",
            "penalty-the-other-way": "Only the extreme policy is far off.",
        },
    ),
    Scene(
        "optimum",
        "fit_dpo_table",
        "Three answers, their shares of wins, beta = 2.",
        _fit,
        {
            "losses-for-wins": "Answer a wins least often, and gains most over the reference.",
            "fit-without-the-reference": "The reference prefers a, which is not to be seen.",
            "fit-forgets-beta": "The wins move the reference too far.",
        },
    ),
    Scene(
        "logprobs",
        "collate_pairs",
        "One prompt of two tokens, with responses of three tokens and of one.",
        _collated,
        {
            "prompt-counted": "The first two places belong to the prompt.",
            "pads-counted": "The second response is one token long.",
            "mask-one-place-early": "The responses begin at the third place.",
            "last-token-dropped": "The second row is empty.",
        },
    ),
    Scene(
        "logprobs",
        "sequence_logprobs",
        "Two rows of log-probabilities.",
        _sequences,
        {
            "mean-over-the-width": "Both means are fifths.",
            "mean-over-all-tokens": "Both sums were divided by 2, the mean length.",
            "mean-for-dpo, 2": "The sums are means.",
            "sum-for-ipo, 2": "The means are sums.",
        },
    ),
)
