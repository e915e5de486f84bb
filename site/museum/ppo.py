"""Boards of ppo: curves of the losses, and what watches over a policy's steps."""

import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table

RATIOS = torch.linspace(0.3, 2.4, 43)


def _surrogate(advantage, **options):
    def run(work):
        found = [
            work.clipped_surrogate(
                ratio.log()[None], torch.zeros(1), torch.tensor([advantage]), **options
            )[0]
            for ratio in RATIOS
        ]
        return curve({"ratio": RATIOS}, {"loss": found})

    return run


def _dual(work):
    ratios = torch.linspace(0.3, 6.0, 58)
    found = [
        work.dual_clip_surrogate(r.log()[None], torch.zeros(1), torch.tensor([-2.0]), c=3.0)[0]
        for r in ratios
    ]
    return curve({"ratio": ratios}, {"loss": found})


def _metrics(work):
    ratios = torch.tensor([0.5, 0.9, 1.0, 1.1, 1.3, 1.6])
    advantages = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, 1.0])
    metrics = work.clipped_surrogate(ratios.log(), torch.zeros(6), advantages)[1]
    words = "ratios 0.5, 0.9, 1, 1.1, 1.3, 1.6, clipped beyond 0.2"
    names = ["clip_fraction", "ratio_mean"]
    return table({f"metric of {words}": names}, {"found": [metrics[name] for name in names]})


def _value(work):
    values = torch.linspace(-1, 5, 61)
    one = torch.ones(1)
    # The old value is 1, the return 3, and values may move by 0.5.
    found = [work.value_loss(v[None], one, 3 * one, clip=0.5) for v in values]
    return curve({"value": values}, {"loss": found})


def _total(work):
    parts = [torch.tensor(x) for x in (2.0, 4.0, 1.5)]
    weights = [(0.5, 0.0), (0.5, 0.2), (0.0, 1.0)]
    found = [work.total_loss(*parts, *pair) for pair in weights]
    given = {"value_coef": [a for a, _ in weights], "entropy_coef": [b for _, b in weights]}
    return table(given, {"loss": found})


def _kl(kind):
    def run(work):
        logs = torch.linspace(-1.5, 1.5, 61)
        found = [work.approx_kl(x[None], torch.zeros(1), kind) for x in logs]
        return curve({"log-ratio, new less old": logs}, {kind: found})

    return run


def _betas(work):
    kls = [0.002, 0.008, 0.012, 0.03]
    found = [work.kl_penalty_beta(1.0, kl, 0.01) for kl in kls]
    return table({"KL of the update, target 0.01": kls}, {"beta, from 1": found})


def _controller(work):
    controller = work.AdaptiveKLController(1.0, 0.1, 1000)
    kls = [0.5] * 15 + [0.05] * 25
    found = [controller.update_(kl, 200) for kl in kls]
    return curve({"batch": range(1, 41)}, {"beta": found})


def _norms(work):
    cases = {
        "(3, 0), (0, 4)": ([3.0, 0.0], [0.0, 4.0]),
        "(0.3, 0), (0, 0.4)": ([0.3, 0.0], [0.0, 0.4]),
    }
    norms, after = [], []
    for one, other in cases.values():
        grads = [torch.tensor(one), torch.tensor(other)]
        norms.append(work.clip_grad_norm_(grads, 1.0))
        after.append((grads[0][0].item(), grads[1][1].item()))
    firsts, seconds = zip(*after, strict=True)
    found = {"norm": norms, "first after": firsts, "second after": seconds}
    return table({"gradients": [*cases]}, found)


def _schedule(work):
    shares = [i / 20 for i in range(21)]
    found = [work.linear_schedule(1.0, 0.4, share) for share in shares]
    return curve({"progress": shares}, {"learning rate": found})


def _rewards(work):
    normalizer = work.RewardNormalizer(1, 0.9)
    ends = [False, False, False, True] * 3
    for end in ends:
        normalizer.update_(torch.tensor([2.0]), torch.tensor([end]))
    rewards = torch.tensor([2.0, 0.0, -2.0])
    found = normalizer.normalize(rewards)
    return table({"reward, after twelve steps that paid 2": rewards}, {"normalised": found})


def _observations(work):
    normalizer = work.ObservationNormalizer((1,), clip=2.0)
    normalizer.update_(torch.tensor([[0.0], [8.0]]))
    asked = torch.tensor([[4.0], [8.0], [16.0], [-16.0]])
    found = [normalizer.normalize(row[None])[0, 0] for row in asked]
    return table({"observation, after 0 and 8": asked[:, 0]}, {"normalised": found})


SCENES = (
    Scene(
        "surrogate",
        "clipped_surrogate",
        "The loss of one action whose advantage is 1, clipped beyond 0.2.",
        _surrogate(1.0),
        {
            "min-and-max-swapped": "It falls without end on the right, and is flat on the left.",
            "only-the-clipped-term": "It is flat on both sides.",
            "never-clips": "A straight line.",
            "ratio-inverted": "It is flat on the left, where the action has become rare.",
            "surrogate-sign-flipped": "A good action is better the rarer it is.",
        },
    ),
    Scene(
        "surrogate",
        "clipped_surrogate",
        "The loss of one action whose advantage is 1, with clip_low = 0.2 and clip_high = 0.8.",
        _surrogate(1.0, clip_low=0.2, clip_high=0.8),
        {
            "symmetric-clip": "It is flat from 1.2 on, not from 1.8.",
            "clips-the-log-ratio": "It is flat from exp(0.8) = 2.23 on.",
        },
    ),
    Scene(
        "surrogate",
        "dual_clip_surrogate",
        "The loss of one action whose advantage is -2, with c = 3.",
        _dual,
        {
            "dual-clip-as-a-floor": "Every bad action costs at least 6.",
            "dual-clip-of-the-ratio": "It is flat from 3 on, not from 6.",
        },
    ),
    Scene(
        "surrogate",
        "clipped_surrogate",
        "What it reports of six actions.",
        _metrics,
        {
            "clip-fraction-one-sided": "Three of six are outside; one of them lies below.",
            "clip-fraction-where-it-bites": "Three of six are outside, whatever their advantages.",
        },
    ),
    Scene(
        "losses",
        "value_loss",
        "The old value is 1, the return 3; values may move by 0.5 before they lose their gradient.",
        _value,
        {
            "value-clip-takes-the-smaller-error": "Beyond 1.5 it should be flat, and it falls.",
            "value-clip-without-the-maximum": "It is flat on both sides of 1.",
            "clips-around-the-returns": "The kinks are at 2.5 and 3.5.",
            "value-loss-without-half": "Everything costs twice as much.",
        },
    ),
    Scene(
        "losses",
        "total_loss",
        "A policy loss of 2, a value loss of 4, an entropy of 1.5.",
        _total,
        {
            "entropy-punished": "Entropy should make the loss smaller.",
            "value-coefficient-forgotten": "4 was added each time.",
        },
    ),
    Scene(
        "kl",
        "approx_kl",
        "k3 of one action.",
        _kl("k3"),
        {
            "kl-direction-swapped": "Its mirror image.",
            "k3-with-a-plus": "It is negative on the left.",
        },
    ),
    Scene(
        "kl",
        "approx_kl",
        "k2 of one action.",
        _kl("k2"),
        {"k2-without-half": "At a log-ratio of 1 it should be 1/2."},
    ),
    Scene(
        "kl",
        "kl_penalty_beta",
        "Four updates with different divergences.",
        _betas,
        {
            "beta-rule-without-slack": "0.008 and 0.012 are near enough.",
            "beta-rule-backwards": "Who moved too far should pay more.",
        },
    ),
    Scene(
        "kl",
        "AdaptiveKLController",
        "Fifteen batches with five times the target's divergence, then half of it.",
        _controller,
        {
            "controller-never-saturates": "It shoots up.",
            "controller-absolute-error": "It falls far too slowly in the end.",
            "controller-adds": "It grows along a straight line.",
        },
    ),
    Scene(
        "network",
        "clip_grad_norm_",
        "Two gradients of two entries each, clipped to a joint norm of 1.",
        _norms,
        {
            "largest-entry-as-norm": "The norm of (3, 4) is 5.",
            "clips-each-tensor-alone": "3 and 4 have become equal.",
            "scales-small-gradients-up": "The second case should stay as it was.",
        },
    ),
    Scene(
        "network",
        "linear_schedule",
        "From 1 to 0.4.",
        _schedule,
        {"schedule-backwards": "It rises.", "schedule-ignores-the-end": "It ends at 0."},
    ),
    Scene(
        "network",
        "RewardNormalizer",
        "One environment that pays 2 in each step; every fourth step ends an episode. gamma = 0.9.",
        _rewards,
        {
            "statistics-of-rewards": "Rewards that never vary blow everything up.",
            "return-runs-past-the-end": "The returns have grown over episodes, and shrink the"
            " rewards.",
            "shifts-rewards": "A reward of 0 should stay 0.",
        },
    ),
    Scene(
        "network",
        "ObservationNormalizer",
        "It has seen 0 and 8, and clips at 2.",
        _observations,
        {
            "divides-by-the-variance": "8 lies one deviation above the mean.",
            "normaliser-without-clip": "3 and -5 were not held back.",
            "normaliser-learns-when-read": "Each question changes the next answer.",
        },
    ),
)
