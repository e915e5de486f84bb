"""Boards of grpo: groups of rewards, tokens and their losses, and answers that may pass."""

import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table


def _advantages(**options):
    def run(work):
        rewards = [1.0, 0.0, 4.0, 9.0, 3.0, 2.0]
        # Two groups whose rows take turns.
        groups = torch.tensor([7, 3, 7, 3, 7, 3])
        found = work.group_advantages(torch.tensor(rewards), groups, **options)
        return table({"group": groups, "reward": rewards}, {"advantage": found})

    return run


def _small_groups(work):
    rewards = torch.tensor([5.0, 0.1, 0.1, 0.1, 0.0, 1.0])
    groups = torch.tensor([0, 1, 1, 1, 2, 2])
    found = work.group_advantages(rewards, groups)
    return table({"group": groups, "reward": rewards}, {"advantage": found})


def _informative(work):
    rewards = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    groups = torch.tensor([0, 0, 1, 1, 2, 2])
    found = work.informative_groups(rewards, groups)
    return table({"group": groups, "reward": rewards}, {"kept": found})


def _process(work):
    """Two samples of six tokens: steps that end at 1 and 4, and at 2."""
    rewards = [torch.tensor([1.0, 5.0]), torch.tensor([0.0])]
    ends = [torch.tensor([1, 4]), torch.tensor([2])]
    found = work.process_advantages(rewards, ends, 6)
    told = ["", "ends, pays 1", "", "", "ends, pays 5", ""]
    given = {"token": range(6), "step of sample 0": told}
    given["step of sample 1"] = ["", "", "ends, pays 0", "", "", ""]
    return table(given, {"A of sample 0": found[0], "A of sample 1": found[1]})


def _k3(work):
    logs = torch.linspace(-1.5, 1.5, 61)
    found = work.k3_kl(logs, torch.zeros(61))
    return curve({"log-probability, policy less reference": logs}, {"estimate": found})


def _loss(advantage, **options):
    def run(work):
        ratios = torch.linspace(0.3, 2.2, 39)
        mask = torch.ones(1, 1, dtype=torch.bool)
        found = [
            work.grpo_loss(
                r.log()[None, None],
                torch.zeros(1, 1),
                torch.zeros(1, 1),
                torch.tensor([advantage]),
                mask,
                **options,
            )[0]
            for r in ratios
        ]
        return curve({"ratio of the only token": ratios}, {"loss": found})

    return run


def _aggregates(work):
    losses = torch.tensor([[1.0, 1.0, 1.0, 1.0], [4.0, 6.0, 0.0, 0.0], [9.0, 9.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    kinds = ["seq-mean-token-mean", "token-mean", "seq-sum-const"]
    found = [work.aggregate(losses, mask, kind, max_len=8) for kind in kinds]
    words = "rows 1, 1, 1, 1; then 4, 6; then an empty one; max_len is 8"
    return table({f"loss of {words}": kinds}, {"loss": found})


def _sequence(work):
    logp = torch.tensor([[0.4, -0.1, 0.3], [-0.2, -0.2, 0.0]], requires_grad=True)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    loss, metrics = work.grpo_loss(
        logp, torch.zeros(2, 3), None, torch.ones(2), mask, 10.0, agg="token-mean", level="sequence"
    )
    given = {"what": ["loss", "mean of the ratios"]}
    return table(given, {"found": [loss, metrics["ratio_mean"]]})


def _metrics(work):
    ratios = torch.tensor([[0.7, 1.1, 1.5, 9.0]])
    mask, adv = torch.tensor([[1, 1, 1, 0]]), torch.tensor([1.0])
    metrics = work.grpo_loss(ratios.log(), torch.zeros(1, 4), None, adv, mask)[1]
    names = ["clip_fraction", "approx_kl", "ratio_mean"]
    words = "ratios 0.7, 1.1, 1.5, and 9 under the mask"
    return table({f"metric of {words}": names}, {"found": [metrics[name] for name in names]})


def _rewards(work):
    prompt = "r0312>"
    responses = ["2130$", "2130", "2130$9", "12130$", "0312$", "2131$"]
    found = [work.verifiable_reward(prompt, response) for response in responses]
    return table({f"response to {prompt}": responses}, {"reward": found})


def _sorted(work):
    responses = ["0123$", "123$", "2130$", "0123$\n"]
    found = [work.verifiable_reward("s0312>", response) for response in responses]
    names = [response.replace("\n", "\\n") for response in responses]
    return table({"response to s0312>": names}, {"reward": found})


def _programs(work):
    cases = [(0, 1), (3, 7), (5, 11)]
    programs = ["2*x + 1", "1", "x + 1", "abs(2*x + 1)", "2**x"]
    found = [work.program_reward(program, cases) for program in programs]
    return table({"program, asked for 0 → 1, 3 → 7, 5 → 11": programs}, {"reward": found})


SCENES = (
    Scene(
        "advantages",
        "group_advantages",
        "Two groups of three, with the defaults.",
        _advantages(),
        {
            "normalises-over-the-batch": "One mean for both groups: more reward, more advantage.",
            "assumes-groups-in-a-row": "The first three rows add up to 0, and they are no group.",
            "std-of-the-batch": "Centred in each group, and both divided by the same number.",
            "no-baseline": "Nothing is negative.",
            "baseline-of-the-others": "Each is half as far again from 0.",
            "never-divides-by-std": "The distances to 8/3 and 11/3 themselves.",
            "divides-by-the-mean": "In each group, the distance to the mean over the mean.",
            "population-std": "All are 1.22 times too large.",
            "divides-by-the-variance": "The group with the wide rewards has small advantages.",
        },
    ),
    Scene(
        "advantages",
        "group_advantages",
        'The same groups with baseline="others" and scale="none".',
        _advantages(baseline="others", scale="none"),
        {
            "others-include-oneself": "A reward is compared with a mean that it is part of.",
            "always-divides-by-std": "Somebody has divided.",
        },
    ),
    Scene(
        "advantages",
        "group_advantages",
        "A group of one, a group without spread, and a pair.",
        _small_groups,
        {
            "group-of-one-keeps-its-reward": "With nobody to compare it is 0.",
            "group-of-one-gives-nan": "A single number has no deviation.",
        },
    ),
    Scene(
        "advantages",
        "informative_groups",
        "Three groups of two.",
        _informative,
        {
            "drops-failed-groups-only": "Where all succeed there is nothing to compare either.",
            "drops-rows-of-groups": "A group is kept or dropped as a whole.",
        },
    ),
    Scene(
        "process",
        "process_advantages",
        "Two samples of six tokens, with two steps and with one.",
        _process,
        {
            "steps-reach-forward": "The tokens after a step get its reward, not those before.",
            "step-misses-its-last-token": "Tokens 1 and 4 should have what stands before them.",
            "step-pays-its-own-tokens-only": "The first step does not hear of the second.",
            "outcome-of-the-steps": "All tokens of a row are paid alike.",
            "steps-normalised-per-sample": "A sample with a single step gets 0.",
        },
    ),
    Scene(
        "kl",
        "k3_kl",
        "The estimate for one token.",
        _k3,
        {
            "kl-swapped": "Its mirror image.",
            "kl-is-k1": "A straight line, negative on the left.",
            "kl-is-k2": "The same on both sides.",
        },
    ),
    Scene(
        "loss",
        "grpo_loss",
        "The loss of one token with advantage 1, clip_low = 0.2, clip_high = 0.6.",
        _loss(1.0, clip_low=0.2, clip_high=0.6),
        {
            "one-bound-for-both-sides": "It is flat from 1.2 on, not from 1.6.",
            "clips-without-min": "It is flat on the left, too.",
            "max-for-min": "It is flat on the left, and falls without end.",
            "never-clips": "A straight line.",
            "loss-with-the-wrong-sign": "It rises.",
        },
    ),
    Scene(
        "loss",
        "grpo_loss",
        "The loss of one token with advantage 0.5 and a KL term of weight 1; the reference gives"
        " what the old policy gave.",
        _loss(0.5, beta=1.0),
        {
            "kl-rewarded": "Far away from the reference it pays.",
            "kl-in-the-reward": "On the left the divergence should cost twice as much.",
        },
    ),
    Scene(
        "loss",
        "grpo_loss",
        "Two rows of three tokens and two; all share the ratio of their row. No clipping to speak"
        " of, advantages 1.",
        _sequence,
        {"sequence-ratio-not-normalised": "The ratios grow with the length."},
    ),
    Scene(
        "loss",
        "aggregate",
        "Three ways to average three rows.",
        _aggregates,
        {
            "always-token-mean": "The first number is the second: 14/6.",
            "never-token-mean": "The second number is the first.",
            "token-mean-over-padding": "Sums over twelve places, padding included.",
            "constant-is-the-row-width": "Only the last number is off, by 8/4.",
            "row-sum": "Only the first number is off: 4 + 10 over three rows.",
            "empty-rows-leave-the-mean": "The empty row should count in the first and the last"
            " number.",
            "sums-the-rows": "Three times too large, where rows are averaged.",
            "row-mean-over-padding": "A row of two tokens was divided by 4.",
            "adds-up-under-the-mask": "The 9s under the mask are in it.",
        },
    ),
    Scene(
        "loss",
        "grpo_loss",
        "What it reports of three tokens and one of padding.",
        _metrics,
        {
            "metrics-count-padding": "Padding counts as a fourth ratio, of 1.",
            "clip-fraction-from-above-only": "0.7 is outside, too.",
            "approx-kl-is-k1": "It is negative.",
        },
    ),
    Scene(
        "reward",
        "verifiable_reward",
        "Six responses; the digits are asked for in reverse.",
        _rewards,
        {
            "end-not-required": "The second has no end of sequence.",
            "prefix-is-enough": "The third goes on after its end.",
            "answer-anywhere": "The fourth has tried something before.",
            "partial-credit": "Nearly right earns something.",
        },
    ),
    Scene(
        "reward",
        "verifiable_reward",
        "Four responses; the digits are asked for in ascending order.",
        _sorted,
        {
            "sorts-nothing": "The reverse was rewarded.",
            "compares-numbers": "0123 and 123 are the same number, and not the same answer.",
            "newline-passes": "The last has something after its end.",
        },
    ),
    Scene(
        "reward",
        "program_reward",
        "Five programs and three test cases.",
        _programs,
        {
            "cases-are-averaged": "Who guesses one case earns a share.",
            "first-case-decides": "The first case alone was looked at.",
        },
    ),
)
