"""Boards of reinforce: returns by hand, policies, losses and a gradient without sampling."""

import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table


def _returns(work):
    rewards = torch.tensor([1.0, 0.0, 4.0, 8.0])
    found = work.discounted_returns(rewards, 0.5)
    return table({"step": range(4), "reward": rewards}, {"return": found})


def _padded(work):
    rewards = torch.tensor([1.0, 2.0, 4.0, 16.0])
    mask = torch.tensor([1, 1, 1, 0])
    found = work.discounted_returns(rewards, 0.5, mask)
    return table({"step": range(4), "reward": rewards, "mask": mask}, {"return": found})


def _logits(work):
    logits = torch.tensor([2.0, 0.0, -1.0, 3.0])
    policy = work.CategoricalPolicy(logits.expand(4, 4))
    found = policy.log_prob(torch.arange(4)).exp()
    return table({"action": range(4), "logit": logits}, {"probability": found})


def _entropies(work):
    odds = torch.linspace(0.01, 0.99, 49)
    logits = torch.stack([odds.log(), (1 - odds).log()], dim=1)
    found = work.CategoricalPolicy(logits).entropy()
    return curve({"probability of action 0": odds}, {"entropy": found})


def _density(work):
    x = torch.linspace(-4, 4, 41)
    policy = work.GaussianPolicy(torch.zeros(41, 1), torch.tensor([0.7]))
    return curve({"action": x}, {"log-density": policy.log_prob(x[:, None])})


def _two_components(work):
    actions = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    policy = work.GaussianPolicy(torch.zeros(3, 2), torch.tensor([0.0, 1.0]))
    names = [", ".join(f"{x:g}" for x in row) for row in actions.tolist()]
    found = {"log-density": policy.log_prob(actions), "entropy": policy.entropy()}
    return table({"action": names}, found)


def _loss(work):
    logp = torch.tensor([[-1.0, -2.0], [-0.5, -1.5], [-1.0, -9.0]], requires_grad=True)
    weights = torch.tensor([[2.0, 1.0], [4.0, -2.0], [1.0, 7.0]])
    mask = torch.tensor([[1, 1], [1, 1], [1, 0]])
    loss = work.policy_gradient_loss(logp, weights, mask)
    (pull,) = torch.autograd.grad(loss, logp)
    steps = [f"step {t}, episode {n}" for t in range(3) for n in range(2)]
    given = {"": [*steps, "loss"], "weight": [*weights.flatten().tolist(), ""]}
    given["mask"] = [*mask.flatten().tolist(), ""]
    return table(given, {"gradient": [*pull.flatten().tolist(), loss.item()]})


def _standard(work):
    x, mask = torch.tensor([2.0, 4.0, 9.0, 60.0]), torch.tensor([1, 1, 1, 0])
    return table({"return": x, "mask": mask}, {"standardised": work.standardize(x, mask)})


def _others(work):
    returns = torch.tensor([2.0, 4.0, 9.0])
    return table({"return": returns}, {"baseline": work.leave_one_out_baseline(returns)})


def _value(work):
    guesses = torch.linspace(-2, 6, 41)
    mask = torch.tensor([1, 0])
    found = [work.value_loss(torch.stack([v, v]), torch.tensor([2.0, 9.0]), mask) for v in guesses]
    return curve({"value of a step whose return is 2": guesses}, {"loss": found})


def _exact(work):
    """State 0 leads to 1 by action 1, which ends there; state 1 pays, and ends."""
    P = torch.zeros(2, 2, 2, dtype=torch.float64)
    P[0, 1, 1] = 1.0
    P[0, 0, 0] = 0.5
    R = torch.tensor([[1.0, 0.0], [2.0, 10.0]], dtype=torch.float64)
    start = torch.tensor([1.0, 0.0], dtype=torch.float64)
    theta = torch.tensor([[0.0, 0.5], [0.0, 0.0]], dtype=torch.float64)
    J, gradient = work.exact_policy_gradient(P, R, 0.8, start, theta)
    what = [f"d/d theta({s}, {a})" for s in range(2) for a in range(2)]
    return table({"of": [*what, "J"]}, {"found": [*gradient.flatten().tolist(), J.item()]})


SCENES = (
    Scene(
        "returns",
        "discounted_returns",
        "Four rewards, gamma = 0.5.",
        _returns,
        {
            "returns-forget-gamma": "13 is the plain sum.",
            "discounts-the-own-reward": "The last step should be worth its own reward.",
            "discounts-from-the-start": "The first row is right, and each later one too small.",
            "no-reward-to-go": "All steps are paid alike.",
            "returns-start-one-late": "Each row shows what belongs to the next one.",
        },
    ),
    Scene(
        "returns",
        "discounted_returns",
        "Three rewards and a row of padding, gamma = 0.5.",
        _padded,
        {"padding-leaks-into-returns": "The 16 under the mask is heard in every row."},
    ),
    Scene(
        "policies",
        "CategoricalPolicy",
        "Four logits.",
        _logits,
        {
            "double-softmax": "The probabilities are nearly equal.",
            "logits-not-normalised": "Add them up.",
        },
    ),
    Scene(
        "policies",
        "CategoricalPolicy.entropy",
        "Two actions: the entropy against the probability of one of them.",
        _entropies,
        {
            "entropy-sign": "An entropy of actions is never negative.",
            "entropy-averaged-over-actions": "It should reach ln 2, 0.69.",
        },
    ),
    Scene(
        "policies",
        "GaussianPolicy.log_prob",
        "One component with mean 0 and log_std = 0.7.",
        _density,
        {
            "log-std-taken-for-log-variance": "It is too narrow: exp(0.7) is 2.",
            "density-without-its-width": "The shape is right, and all of it too high by 0.7.",
        },
    ),
    Scene(
        "policies",
        "GaussianPolicy",
        "Two components with means 0 and log_std 0 and 1.",
        _two_components,
        {
            "log-density-averaged": "All log-densities are halved; entropies are right.",
            "entropy-without-its-constant": "ln(2 pi e) / 2 = 1.42 is missing twice.",
        },
    ),
    Scene(
        "loss",
        "policy_gradient_loss",
        "Two episodes, of three steps and of two; log-probabilities -1, -2, -0.5, -1.5, -1.",
        _loss,
        {
            "descends": "The loss should fall when a step with a good weight becomes likelier.",
            "averages-over-time": "Each pull is divided by five steps, not by two episodes.",
            "sums-over-episodes": "All pulls are twice as strong.",
            "padding-leaks-into-the-loss": "A row of padding pulls.",
        },
    ),
    Scene(
        "baselines",
        "standardize",
        "Three returns and a row of padding.",
        _standard,
        {
            "statistics-of-the-padding": "The 60 under the mask has pulled the mean up.",
            "sample-deviation": "A bit too small: by the root of 2/3.",
            "divides-by-the-variance": "Much too small, and centred.",
            "scales-without-centering": "Nothing is negative.",
            "padding-not-zeroed": "What is masked should come out as 0.",
        },
    ),
    Scene(
        "baselines",
        "leave_one_out_baseline",
        "Three episodes that began alike.",
        _others,
        {
            "baseline-includes-itself": "All three have the same baseline.",
            "leaves-one-out-divides-by-n": "The others' sum, 13, 11 and 6, over 3.",
        },
    ),
    Scene(
        "baselines",
        "value_loss",
        "One step with a return of 2, and one of padding.",
        _value,
        {
            "value-loss-without-half": "Two away it should cost 2.",
            "value-loss-counts-padding": "Two away it should cost 2, not 1.",
        },
    ),
    Scene(
        "exact",
        "exact_policy_gradient",
        "Two states, two actions. Action 1 leads from state 0 to state 1, where action 1 pays 10."
        " gamma = 0.8, every episode begins in state 0.",
        _exact,
        {
            "reward-instead-of-q": "In state 0 the action that pays 1 at once should not win.",
            "visits-only-the-start": "State 1 learns nothing, and state 0 too little.",
            "visits-run-backwards": "State 0 is right, and state 1 learns nothing.",
            "softmax-derivative-without-the-others": "In a state, pushes up and down should"
            " cancel.",
            "objective-ignores-the-start": "Only the last row is off.",
        },
    ),
)
