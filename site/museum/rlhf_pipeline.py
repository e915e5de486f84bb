"""Boards of rlhf_pipeline: where a response ends, what a token earns, what the best policy is."""

from types import SimpleNamespace

import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table

END, PAD = 7, 9
# Two prompts of three tokens, the first of which holds an end; responses of three and of two.
TOKENS = torch.tensor([[1, END, 2, 3, 4, END, PAD, PAD], [1, 5, 2, 6, 3, 4, 5, 6]])


def _bits(row):
    return " ".join("1" if one else "0" for one in row)


def _listed(row):
    return ", ".join(f"{float(x):.3g}" for x in row)


def _masked(work):
    rows = [" ".join(str(int(x)) for x in row) for row in TOKENS]
    given = {"tokens, the response begins at the fourth, 7 is the end": rows}
    return table(given, {"mask": map(_bits, work.response_mask(TOKENS, 3, END))})


class Uneven:
    """A language model that wants token 1 more than 0, and says the same everywhere."""

    training = False

    def __call__(self, input_ids, attention_mask=None, position_ids=None, **_):
        logits = torch.tensor([0.0, 2.0, 0.0]).expand(*input_ids.shape, 3)
        return SimpleNamespace(logits=logits, past_key_values=None, cache=None)

    def forward(self, past_key_values=None):
        """Only its arguments' names count."""


def _sampled(work):
    found = []
    for temperature in (0.5, 1.0, 4.0):
        cfg = work.RLHFConfig(max_new=1, eos=None, pad=0, temperature=temperature)
        rng = torch.Generator().manual_seed(3)
        tokens = work.sample_responses(Uneven(), [[2]] * 3000, cfg, rng).tokens[:, 1]
        found.append((tokens == 1).sum())
    return table({"temperature": [0.5, 1.0, 4.0]}, {"times token 1, of 3000": found})


def _knows(input_ids, **_):
    """A language model that gives the next one of 0, 1, 2, 3 half of the probability."""
    following = torch.nn.functional.one_hot((input_ids + 1) % 4, 4)
    return SimpleNamespace(logits=following * torch.tensor(3.0).log())


def _scored(work):
    tokens, attention = torch.tensor([[3, 0, 1, 2, 0]]), torch.tensor([[0, 1, 1, 1, 1]])
    plain, sharp = (work.score_tokens(_knows, tokens, attention, t) for t in (1.0, 0.5))
    given = {"token": ["padding, 3", 0, 1, 2, 0]}
    found = {"p at temperature 1": plain.logp[0].exp(), "at 0.5": sharp.logp[0].exp()}
    return table(given, {**found, "entropy at 1": plain.entropy[0]})


def _valued(work):
    critic = lambda **given: torch.tensor([[10.0, 20.0, 30.0, 40.0, 50.0]])  # noqa: E731
    attention = torch.tensor([[1, 1, 1, 1, 0]])
    found = work.token_values(critic, torch.tensor([[1, 2, 3, 4, 0]]), attention)
    given = {"place": range(5), "the critic says, having read it": [10, 20, 30, 40, 50]}
    return table({**given, "a token": ["yes", "yes", "yes", "yes", "no"]}, {"value": found[0]})


def _ended(work):
    tokens = torch.tensor([[1, 2, 3, END], [1, 2, 3, 4], [END, 2, 3, 4], [1, 2, END, END]])
    mask = torch.tensor([[0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 0]])
    found = work.penalise_missing_ends(torch.full((4,), 6.0), tokens, mask, END, 2.0)
    kinds = ["ends", "is cut off", "is cut off; the prompt is an end", "ends; padding is the end"]
    return table({"a response with score 6": kinds}, {"final score": found})


def _earned(work):
    mask = torch.tensor([[0, 1, 1, 1, 0]])
    logp = torch.tensor([[-1.0, -1.0, -2.0, -1.0, -3.0]])
    reference = torch.tensor([[-2.0, -2.0, -1.0, -4.0, -1.0]])
    found = work.token_rewards(torch.tensor([8.0]), logp, reference, mask, 0.5)[0]
    names = ["prompt", "response", "response", "response", "padding"]
    given = {"token": names, "log-ratio": (logp - reference)[0]}
    return table(given, {"reward": found})


def _whitened(work):
    x = torch.tensor([[2.0, 4.0, 99.0, 99.0], [6.0, 8.0, 10.0, 99.0]])
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]])
    kept, moved = (work.masked_whiten(x, mask, shift) for shift in (False, True))
    given = {"row": ["2, 4 and two of padding", "6, 8, 10 and one of padding"]}
    return table(given, {"mean stays": map(_listed, kept), "mean taken off": map(_listed, moved)})


def _walked(work):
    rewards = torch.tensor([[9.0, 0.0, 0.0, 8.0, 9.0]])
    values = torch.tensor([[9.0, 2.0, 4.0, 6.0, 5.0]])
    found = work.token_gae(rewards, values, torch.tensor([[0, 1, 1, 1, 0]]), 0.5, 0.5)
    names = ["prompt", "response", "response", "response", "padding"]
    given = {"token": names, "reward": rewards[0], "value": values[0]}
    return table(given, {"advantage": found.advantages[0], "return": found.returns[0]})


def _loss(work):
    """A batch of two rows, with one valid token and with three."""
    mask = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 0]]).bool()
    zero = torch.zeros(2, 4)
    row = torch.tensor([[1.4, 1.0, 1.0, 1.0], [0.5, 1.1, 1.3, 1.0]])
    adv = torch.tensor([[2.0, 9.0, 9.0, 9.0], [-2.0, 4.0, -1.0, 9.0]])
    values = torch.tensor([[3.0, 9.0, 9.0, 9.0], [1.0, 1.0, 1.0, 9.0]])
    batch = work.Batch(zero.long(), mask, mask, zero, zero, adv, zero)
    scores = work.Scores(row.log(), torch.full((2, 4), 2.0))
    cfg = work.RLHFConfig(value_clip=0.5, value_coef=1.0, entropy_coef=0.25)
    loss, metrics = work.ppo_loss(scores, values, batch, cfg)
    names = ["policy_loss", "value_loss", "clip_fraction", "ratio_mean"]
    return table({"what": ["loss", *names]}, {"found": [loss, *(metrics[x] for x in names)]})


def _surrogate(work):
    """The policy's loss of one token with advantage 1, against its ratio."""
    ratios, one = torch.linspace(0.4, 2.0, 33), torch.ones(1, 1)
    cfg = work.RLHFConfig(value_coef=0.0)
    found = []
    for ratio in ratios:
        scores = work.Scores(ratio.log() * one, one)
        batch = work.Batch(one.long(), one.bool(), one.bool(), 0 * one, one, one, one)
        found.append(work.ppo_loss(scores, one, batch, cfg)[1]["policy_loss"])
    return curve({"ratio": ratios}, {"policy_loss": found})


def _read(work):
    tokens = torch.tensor([[1, 2, 3, 4, 0], [0, 1, 2, 3, 4], [1, 2, 0, 0, 0]])
    model = lambda **given: given["input_ids"] * 10.0 + 5.0 * (given["input_ids"] == 0)  # noqa: E731
    found = work.last_scores(model, tokens, (tokens > 0).long())
    rows = ["10 20 30 40 (5)", "(5) 10 20 30 40", "10 20 (5) (5) (5)"]
    return table({"the model's numbers, padding in brackets": rows}, {"score": found})


REFERENCE, REWARDS = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.0, 1.0, 2.0])


def _objective(work):
    policies = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.01, 0.01, 0.98]])
    found = [work.rlhf_objective(one.log(), REFERENCE.log(), REWARDS, 0.5) for one in policies]
    names = ["0.5, 0.3, 0.2: the reference", "0.2, 0.3, 0.5", "0.01, 0.01, 0.98"]
    return table({"policy": names}, {"objective": found})


def _price(work):
    price, prices = 1.0, [1.0]
    costs = [4.0] * 10 + [0.0] * 30
    for cost in costs:
        price = work.lagrangian_step(price, torch.tensor([cost, cost + 2.0]), 3.0, 0.1)
        prices.append(price)
    return curve({"step": range(41)}, {"price of the cost": prices})


def _front(work):
    points = torch.tensor([[1.0, 9.0], [5.0, 5.0], [5.0, 5.0], [5.0, 2.0], [2.0, 1.0], [9.0, 1.0]])
    found = work.pareto_front(points)
    given = {"policy": list("abcdef"), "first reward": points[:, 0], "second reward": points[:, 1]}
    return table(given, {"on the front": ["yes" if one else "no" for one in found]})


SCENES = (
    Scene(
        "responses",
        "response_mask",
        "Two rows: the prompt of the first holds an end, its response ends early; the response of"
        " the second has no end. 9 is padding.",
        _masked,
        {
            "end-searched-in-the-prompt": "The first response is gone.",
            "end-left-out": "Nobody would learn to stop.",
            "goes-on-after-the-end": "The two nines belong to nobody.",
        },
    ),
    Scene(
        "responses",
        "sample_responses",
        "3000 tokens of a policy whose logits are 0, 2 and 0.",
        _sampled,
        {
            "sampled-at-temperature-one": "The temperature changes nothing.",
            "takes-the-likeliest": "It never tries another one.",
        },
    ),
    Scene(
        "scoring",
        "score_tokens",
        "A padded row. The model gives the successor of a token half of the probability, and a"
        " sixth to each of the other three.",
        _scored,
        {
            "scored-at-temperature-one": "The second column should be more extreme than the first.",
            "one-place-off": "1 follows 0, which is what the model expects.",
            "entropy-of-the-token": "The entropy of a distribution does not depend on the draw.",
            "first-token-is-scored": "Nothing real stands before the first token.",
        },
    ),
    Scene(
        "scoring",
        "token_values",
        "What the critic says at each place, and the values that come of it.",
        _valued,
        {
            "value-has-read-the-token": "At place 1 it should be what the critic says at place 0.",
            "value-of-the-prompt": "All tokens have one value.",
        },
    ),
    Scene(
        "rewards",
        "penalise_missing_ends",
        "Four responses with score 6; the penalty is 2.",
        _ended,
        {
            "end-in-the-prompt-counts": "Only the third line is off.",
            "penalty-replaces-the-score": "6 less 2 is 4.",
            "penalty-for-all": "Two of them have an end.",
        },
    ),
    Scene(
        "rewards",
        "token_rewards",
        "A response of three tokens with score 8, beta = 0.5.",
        _earned,
        {
            "kl-turned-round": "A token that became likelier should pay, and is paid.",
            "kl-is-absolute": "Only the second token is off: it should earn 0.5.",
            "kl-of-padding": "Prompt and padding earn nothing.",
            "kl-on-the-last-token": "Each token should pay for itself.",
            "beta-forgotten": "All are twice as far from 0, or from 8.",
            "score-on-the-pad": "8 stands behind the response.",
            "score-at-the-first-token": "8 came two tokens early.",
            "score-by-the-number-of-tokens": "The third place of the row is not the third token.",
            "score-at-every-token": "8 is paid three times.",
            "score-replaces-the-kl": "The last token pays nothing for its 3 nats.",
        },
    ),
    Scene(
        "advantages",
        "masked_whiten",
        "Five valid numbers in two rows, whose mean is 6; 99 stands in the padding.",
        _whitened,
        {
            "whitens-padding-too": "6 is the mean, and should become 0.",
            "deviation-with-n-minus-one": "2.83 is the deviation of the five, not 3.16.",
            "mean-never-put-back": "Both columns are alike, around 0.",
            "mean-always-put-back": "Both columns are alike, around 6.",
            "padding-is-not-zero": "The 99s are still to be seen.",
        },
    ),
    Scene(
        "advantages",
        "token_gae",
        "A response of three tokens, gamma = lambda = 0.5.",
        _walked,
        {
            "padding-bootstraps": "The last error is 8 less 6, without a next value of 5.",
            "no-bootstrap": "The first error should be 0: 0 + 0.5 times 4 less 2.",
            "gamma-forgotten-in-delta": "Only the last token is right.",
            "gae-without-lambda": "The last error of 2 comes back as 1, and should come back as"
            " 0.5.",
            "rewards-for-returns, 3": "The returns are rewards.",
            "returns-are-advantages": "Both columns are alike.",
        },
    ),
    Scene(
        "update",
        "ppo_loss",
        "The loss of one token with advantage 1, clipped beyond 0.2.",
        _surrogate,
        {
            "ratio-turned-round": "It rises where it should fall.",
            "always-clipped": "It is flat on the left, too.",
            "never-clipped": "A straight line.",
            "policy-loss-not-negated": "Upside down.",
        },
    ),
    Scene(
        "update",
        "ppo_loss",
        "Two rows, with one valid token and with three. All returns and old values are 0; the"
        " values are 3, and 1, 1, 1; the ratios 1.4, and 0.5, 1.1, 1.3.",
        _loss,
        {
            "mean-over-all-places": "Half of the places are valid: both losses are half.",
            "mean-of-row-means": "The row of one token counts as much as that of three.",
            "value-loss-without-half": "The value loss is the mean of 9, 1, 1, 1, whole.",
            "value-clip-without-the-maximum": "The leash holds all values at 0.5.",
            "entropy-is-minimised": "The sum alone is off, by twice a quarter of 2.",
            "clip-fraction-where-it-bites": "1.4, 0.5 and 1.3 are outside: three of four.",
        },
    ),
    Scene(
        "pipeline",
        "last_scores",
        "Three rows; the score is the number at the last real token.",
        _read,
        {
            "reads-the-last-place": "5 stands at padding.",
            "reads-by-the-number-of-tokens": "Padding on the left moves it by one.",
            "reads-the-mean": "25 is the mean of 10, 20, 30 and 40.",
        },
    ),
    Scene(
        "optimum",
        "rlhf_objective",
        "Three policies on three responses with rewards 0, 1, 2; beta = 0.5.",
        _objective,
        {
            "mean-under-the-reference": "0.7 is the reference's mean reward, and distance is paid.",
            "objective-adds-the-kl": "The further away, the better.",
        },
    ),
    Scene(
        "two_rewards",
        "lagrangian_step",
        "Ten batches whose mean cost is 5, then thirty with 1; the limit is 3, the step size 0.1.",
        _price,
        {
            "price-falls-with-the-cost": "It falls while the limit is exceeded.",
            "excess-of-each": "It never comes down.",
        },
    ),
    Scene(
        "two_rewards",
        "pareto_front",
        "Six policies and two rewards.",
        _front,
        {
            "ties-are-beaten": "b and c are equal.",
            "beaten-in-everything": "d is no better than b in anything.",
            "less-is-better": "f is at least as good as e in both.",
        },
    ),
)
