"""Boards of gae: rollouts that a pencil can follow."""

import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import table


def _column(numbers):
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


# Two episodes in one environment: the first ends for real, the second by the clock.
REWARDS = [1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0]
ENDS = ["", "terminated", "", "truncated", "", ""]


def _rollout():
    next_values = [0.0] * 6
    next_values[3] = 7000.0
    ended = [[[end == kind] for end in ENDS] for kind in ("terminated", "truncated")]
    return (_column(REWARDS), _column([0.0] * 6), _column(next_values), *map(torch.tensor, ended))


def _ends(work):
    advantages = work.gae(*_rollout(), gamma=1.0, lam=1.0).advantages[:, 0]
    given = {"step": range(6), "reward": REWARDS, "the step was": ENDS}
    return table(given, {"advantage": advantages})


VALUES = [4.0, 3.0, 5.0, 2.0, 6.0]


def _faded(work):
    false = torch.zeros(5, 1, dtype=torch.bool)
    rewards, values = _column([1.0, 0.0, 2.0, 0.0, 8.0]), _column(VALUES)
    next_values = _column([*VALUES[1:], 3.0])
    found = work.gae(rewards, values, next_values, false, false, gamma=0.9, lam=0.5)
    given = {"step": range(5), "reward": rewards[:, 0], "V": VALUES, "V after": next_values[:, 0]}
    names = {"advantage": found.advantages[:, 0], "return": found.returns[:, 0]}
    return table(given, names)


def _k_steps(work):
    false = torch.zeros(6, 1, dtype=torch.bool)
    zero = _column([0.0] * 6)
    rewards = _column([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    found = work.k_step_advantage(rewards, zero, zero, false, false, gamma=1.0, k=2)
    return table({"step": range(6), "reward": rewards[:, 0]}, {"advantage": found[:, 0]})


def _scan(work):
    rollout = _rollout()
    found = work.gae_scan(*rollout, gamma=0.8, lam=1.0).advantages[:, 0]
    given = {"step": range(6), "reward": REWARDS, "the step was": ENDS}
    return table(given, {"advantage": found})


def _long_scan(work):
    false, zero = torch.zeros(8, 1, dtype=torch.bool), _column([0.0] * 8)
    ones = _column([1.0] * 8)
    found = work.gae_scan(ones, zero, zero, false, false, gamma=1.0, lam=1.0).advantages[:, 0]
    return table({"step": range(8), "reward": ones[:, 0]}, {"advantage": found})


def _tokens(work):
    mask = torch.tensor([[0, 1, 1, 0, 0, 1, 1, 0]])
    rewards = torch.tensor([[9.0, 0.0, 0.0, 9.0, 9.0, 0.0, 8.0, 9.0]])
    values = torch.tensor([[5.0, 2.0, 1.0, 5.0, 5.0, 3.0, 4.0, 5.0]])
    found = work.token_gae(rewards, values, mask, gamma=1.0, lam=0.5)
    given = {"token": range(8), "mask": mask[0], "reward": rewards[0], "V": values[0]}
    return table(given, {"advantage": found.advantages[0], "return": found.returns[0]})


def _statistics(work):
    seen = work.RunningMeanStd()
    rows = []
    for batch in ([2.0, 4.0], [10.0] * 6, [3.0]):
        seen.update_(torch.tensor(batch))
        rows.append((seen.count, float(seen.mean), float(seen.var)))
    counts, means, variances = zip(*rows, strict=True)
    given = {"batch": ["2, 4", "10, six times", "3"]}
    return table(given, {"count": counts, "mean": means, "variance": variances})


def _normalised(work):
    adv, mask = torch.tensor([1.0, 2.0, 6.0, 50.0]), torch.tensor([1, 1, 1, 0])
    found = work.normalize_advantages(adv, mask)
    return table({"advantage": adv, "mask": mask}, {"normalised": found})


def _explained(work):
    returns = torch.tensor([1.0, 2.0, 3.0, 4.0])
    guesses = {
        "right but for 3": returns + 3,
        "half as wide": returns / 2,
        "always 2.5": torch.full((4,), 2.5),
        "turned round": -returns,
    }
    found = [work.explained_variance(values, returns) for values in guesses.values()]
    return table({"values, where returns are 1, 2, 3, 4": [*guesses]}, {"explained": found})


SCENES = (
    Scene(
        "recursion",
        "gae",
        "Six steps of one environment, all values 0, except that 7000 is what the state after"
        " step 3"
        " would have been worth. gamma = lambda = 1.",
        _ends,
        {
            "leaks-past-the-end": "Step 1 ended an episode, and yet it hears of rewards after it.",
            "truncation-keeps-recursion": "The end of step 1 is kept; that of step 3 is not.",
            "done-shifted": "The advantages are cut one row too early.",
            "merged-done": "Only the 7000 after the truncated step is missing.",
        },
    ),
    Scene(
        "recursion",
        "gae",
        "Five steps in the middle of an episode, gamma = 0.9, lambda = 0.5.",
        _faded,
        {
            "lambda-without-gamma": "The last row is right: only what comes from later rows is"
            " off.",
            "recursion-starts-from-a-value": "The last row is off already, by gamma lambda V.",
            "normalises-too-early": "Advantages are small and centred, and returns stay near V.",
        },
    ),
    Scene(
        "recursion",
        "k_step_advantage",
        "Rewards that double from step to step, values 0, gamma = 1, k = 2.",
        _k_steps,
        {
            "k-counts-from-zero": "Step 0 should be 1 + 2.",
            "drops-short-windows": "All is right but the last row.",
        },
    ),
    Scene(
        "scan",
        "gae_scan",
        "The six steps of the first boards with gamma = 0.8, lambda = 1.",
        _scan,
        {"scan-squares-the-decay": "Neighbours are joined rightly; wider windows cross the end."},
    ),
    Scene(
        "scan",
        "gae_scan",
        "Eight rewards of 1 in the middle of an episode, values 0, gamma = lambda = 1.",
        _long_scan,
        {"scan-does-not-double": "There are eight rewards, and step 0 should count each once."},
    ),
    Scene(
        "tokens",
        "token_gae",
        "One row of eight tokens. Mask 0: a tool's answer, and padding. gamma = 1, lambda = 0.5.",
        _tokens,
        {
            "gap-resets-the-recursion": "The tokens before the gap hear nothing from behind it.",
            "padding-is-the-next-state": "V = 5 under the mask appears in what stands before it.",
            "returns-under-the-mask": "The returns under mask 0 should be 0.",
        },
    ),
    Scene(
        "statistics",
        "RunningMeanStd.update_",
        "Three batches of 2, 6 and 1 samples, taken in one after the other.",
        _statistics,
        {
            "averages-the-means": "The second mean lies halfway between 3 and 10.",
            "forgets-the-gap-between-means": "The means are right; the spread between batches is"
            " gone.",
            "counts-batches": "Look at the count.",
        },
    ),
    Scene(
        "statistics",
        "normalize_advantages",
        "Four advantages; the last one is padding.",
        _normalised,
        {
            "normalises-over-padding": "The 50 under the mask has pulled the mean up.",
            "normalised-under-the-mask": "What is masked should come out as 0.",
        },
    ),
    Scene(
        "returns",
        "explained_variance",
        "Four value functions for the returns 1, 2, 3, 4.",
        _explained,
        {
            "counts-a-constant-error": "A value function that is off by 3 everywhere explains it"
            " all.",
            "divides-by-the-variance-of-values": "Values half as wide leave as much over as they"
            " have.",
        },
    ),
)
