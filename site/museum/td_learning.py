"""Boards of td_learning: episodes of a few steps, told in full."""

import numpy as np
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table


def _returns(work):
    rewards = np.array([1.0, 0.0, 4.0, 8.0])
    found = work.discounted_returns(rewards, 0.5)
    return table({"step": range(4), "reward": rewards}, {"return": found})


def _first(work):
    keys = np.array([2, 1, 1, 2, 0, 1])
    return table({"step": range(6), "state": keys}, {"first visit": work.first_visits(keys)})


def _episodes(work):
    return [
        work.Episode(np.array([0, 1, 0, 2]), np.array([0, 0, 0]), np.array([1.0, 2.0, 6.0]), True),
        work.Episode(np.array([1, 0, 2]), np.array([0, 0]), np.array([4.0, 20.0]), True),
    ]


TOLD = "0 pays 1, 1 pays 2, 0 pays 6, end; and 1 pays 4, 0 pays 20, end"


def _monte_carlo(work):
    first, every = (work.mc_prediction(_episodes(work), 3, 1.0, kind) for kind in (True, False))
    names = {"first visits": first.values[:2], "every visit": every.values[:2]}
    return table({"state": range(2)}, names)


def _one_step(work):
    V = np.array([1.0, 4.0, 6.0])
    errors = [
        work.td0_update_(V, 0, 2.0, 1, False, 0.5, 0.5),
        work.td0_update_(V, 1, 2.0, 2, True, 0.5, 0.5),
    ]
    given = {"what": ["V of 0", "V of 1", "V of 2", "first error", "second error"]}
    return table(given | {"before": [1.0, 4.0, 6.0, "", ""]}, {"after": [*V, *errors]})


def _walk(work, terminated=True):
    states, rewards = np.array([0, 1, 2, 1, 3]), np.array([0.0, 1.0, 0.0, 8.0])
    return work.Episode(states, np.zeros(4, int), rewards, terminated)


TABLE = np.array([2.0, 4.0, 6.0, 10.0])


def _looks_ahead(work):
    episode = _walk(work)
    found = work.n_step_returns(TABLE, episode, 2, 0.5)
    given = {"from state": episode.states[:4], "reward": episode.rewards}
    given["V"] = TABLE[episode.states[:4]]
    return table(given, {"2-step return": found})


def _mixes(work):
    episode = _walk(work)
    given = {"from state": episode.states[:4], "reward": episode.rewards}
    given["V after"] = TABLE[episode.states[1:]]
    return table(given, {"lambda-return": work.lambda_returns(TABLE, episode, 0.25, 0.5)})


def _cut_off(work):
    episode = _walk(work, terminated=False)
    given = {"from state": episode.states[:4], "reward": episode.rewards}
    given["V after"] = TABLE[episode.states[1:]]
    names = {
        "2-step return": work.n_step_returns(TABLE, episode, 2, 0.5),
        "lambda-return": work.lambda_returns(TABLE, episode, 0.25, 0.5),
    }
    return table(given, names)


def _traces(work):
    """One reward at the end of a walk that passes state 1 twice: who hears of it?"""
    episode = work.Episode(
        np.array([0, 1, 2, 1, 3]), np.zeros(4, int), np.array([0.0, 0.0, 0.0, 16.0]), True
    )
    found = {}
    for kind in ("accumulating", "replacing", "dutch"):
        V = np.zeros(4)
        work.td_lambda_(V, [episode], 0.5, 0.5, 1.0, kind)
        found[kind] = V[:3]
    return table({"state": range(3)}, found)


def _two_episodes(work):
    episode = work.Episode(np.array([0, 1]), np.zeros(1, int), np.array([0.0]), True)
    other = work.Episode(np.array([2, 1]), np.zeros(1, int), np.array([8.0]), True)
    V = np.zeros(3)
    work.td_lambda_(V, [episode, other], 0.9, 0.5, 1.0)
    return table({"state": range(3)}, {"value": V})


def _batch(work):
    episodes = _episodes(work)
    found = [work.batch_td(episodes, 3, 0.1, 1.0, n)[0] for n in range(1, 41)]
    return curve({"sweeps": range(1, 41)}, {"value of state 0": found})


def _policies():
    target = np.array([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5]])
    behaviour = np.array([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]])
    return target, behaviour


def _ratios(work):
    episode = work.Episode(np.array([0, 1, 0, 2]), np.array([0, 1, 1]), np.zeros(3), True)
    given = {"state": episode.states[:3], "action": episode.actions}
    target, behaviour = _policies()
    taken = episode.states[:3], episode.actions
    given |= {"target": target[taken], "behaviour": behaviour[taken]}
    return table(given, {"ratio": work.importance_ratios(episode, target, behaviour)})


def _weighted(work):
    episodes = [
        work.Episode(np.array([0, 1, 2]), np.array([0, 0]), np.array([0.0, 10.0]), True),
        work.Episode(np.array([0, 1, 2]), np.array([1, 1]), np.array([0.0, 2.0]), True),
    ]
    found = {}
    for weighted, name in ((True, "weighted"), (False, "ordinary")):
        found[name] = work.off_policy_v(episodes, *_policies(), 1.0, weighted).values[:2]
    return table({"state": range(2)}, found)


SCENES = (
    Scene(
        "monte_carlo",
        "discounted_returns",
        "Four rewards, gamma = 0.5.",
        _returns,
        {
            "returns-accumulate-forwards": "The last step should be worth its own reward.",
            "discount-counts-from-the-start": "The first row is right, and each later one too"
            " small.",
            "discounts-the-reward": "All returns are halved.",
        },
    ),
    Scene(
        "monte_carlo",
        "first_visits",
        "An episode that comes by two states again.",
        _first,
        {
            "first-visit-is-the-last": "The end of the episode has all the first visits.",
            "only-the-latest-is-remembered": "State 2 was there at the very beginning.",
        },
    ),
    Scene(
        "monte_carlo",
        "mc_prediction",
        f"Two episodes, gamma = 1: {TOLD}.",
        _monte_carlo,
        {
            "visit-is-the-arrival": "Nothing is earned on arrival.",
            "seen-is-never-cleared": "The second episode is not heard in the first column.",
            "divides-by-episodes": "Only state 0 of the second column is off: three visits, two"
            " episodes.",
            "count-begins-at-one": "All values are too small.",
            "mean-of-episode-means": "Three returns, 9, 6 and 20, should weigh the same.",
        },
    ),
    Scene(
        "td",
        "td0_update_",
        "State 0 pays 2 and leads to 1; then 1 pays 2 and ends in 2. alpha = gamma = 0.5.",
        _one_step,
        {
            "bootstraps-over-the-end": "The second error counts what stands in the table for"
            " state 2.",
            "moves-the-next-state": "The states that were left stay as they were.",
            "subtracts-the-error": "The errors say up, and the values go down.",
        },
    ),
    Scene(
        "batch",
        "batch_td",
        f"Sweeps with alpha = 0.1 over two episodes: {TOLD}.",
        _batch,
        {
            "batch-averages-the-errors": "It creeps.",
            "batch-counts-repeats-once": "It learns more slowly, and ends elsewhere.",
        },
    ),
    Scene(
        "n_step",
        "n_step_returns",
        "A walk that terminates, n = 2, gamma = 0.5. The table has 10 for the state after the end.",
        _looks_ahead,
        {
            "looks-one-step-further": "Three rewards are in the first row.",
            "n-step-bootstraps-over-the-end": "The last two rows count a value after the end.",
            "bootstrap-has-one-discount": "A value two steps away is worth a quarter.",
            "n-step-forgets-gamma": "The reward of the second step should be halved.",
        },
    ),
    Scene(
        "traces",
        "lambda_returns",
        "The same walk, lambda = 0.25, gamma = 0.5.",
        _mixes,
        {
            "lambda-is-turned-round": "A small lambda should stay near reward + gamma V.",
            "lambda-return-forgets-gamma": "What is further ahead counts too much.",
            "the-tail-loses-its-weight": "The last step's return should be its reward, 8.",
        },
    ),
    Scene(
        "traces",
        "lambda_returns and n_step_returns",
        "The same walk, but a clock cut it off: what is in the table for its last state counts.",
        _cut_off,
        {
            "n-step-drops-the-last-value": "Only the first column is off, at its end.",
            "lambda-return-drops-the-last-value": "Only the second column is off.",
        },
    ),
    Scene(
        "traces",
        "td_lambda_",
        "A walk 0, 1, 2, 1 that pays 16 at its end; lambda = alpha = 0.5, gamma = 1, values 0.",
        _traces,
        {
            "trace-forgets-lambda": "Who was there long ago hears as much as who was there last.",
            "only-the-present-state-learns": "Without dutch traces, one state alone hears of the"
            " reward.",
            "replacing-traces-pile-up": "The first two columns agree.",
            "accumulating-traces-replace": "The first two columns agree, on the other number.",
            "trace-fades-after-the-visit": "Each hears half of what it should.",
            "the-end-wipes-the-traces": "The reward reaches nobody but the last state.",
        },
    ),
    Scene(
        "traces",
        "td_lambda_",
        "Two episodes of a single step: from state 0, which pays nothing, and from state 2, which"
        " pays 8.",
        _two_episodes,
        {"traces-survive-the-episode": "State 0 hears of another episode's reward."},
    ),
    Scene(
        "off_policy",
        "importance_ratios",
        "Three steps, and how likely each action was under two policies.",
        _ratios,
        {
            "ratio-is-upside-down": "The target over the behaviour, not the other way round.",
            "ratio-of-the-next-state": "0.9 over 0.5 belongs to the first row.",
        },
    ),
    Scene(
        "off_policy",
        "off_policy_v",
        "Two episodes 0, 1, end. One takes action 0 twice and earns 10, one action 1 twice and"
        " earns 2. The target prefers action 0, the behaviour does not.",
        _weighted,
        {
            "weighted-divides-by-visits": "The two columns agree.",
            "ordinary-divides-by-weights": "The two columns agree, on the other number.",
            "weight-of-one-step": "State 1 is right: only one step is left there.",
        },
    ),
)
