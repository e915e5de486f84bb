"""Public tests of `grpo`: small worked examples, in the order of the tasks. No points; everything
is visible.

    python -m pytest test_local.py               all of them
    python -m pytest test_local.py -k advantages one part
    python -m pytest test_local.py -x --pdb      stop at the first failure and look around

At first each of them fails with NotImplementedError. The hidden tests are of another kind: they
check laws that hold for every batch, on data that you have not seen. Importing transformers takes a
few seconds, once.
"""

import math

import grpo as work
import pytest
import torch


def close(actual, expected, tolerance=1e-5):
    """The same shape, and the same numbers up to what float32 can tell."""
    torch.testing.assert_close(
        actual.detach().double(), torch.as_tensor(expected).double(), rtol=tolerance, atol=tolerance
    )


@pytest.fixture(scope="module")
def model():
    """A tiny GPT-2 with weights that a formula gives: nothing depends on a seed."""
    policy = work.build_policy(width=8, layers=1, heads=2)
    with torch.no_grad():
        for number, weight in enumerate(policy.parameters()):
            places = torch.arange(weight.numel(), dtype=torch.float32).reshape(weight.shape)
            weight.copy_(0.5 * torch.sin(1.7 * places + number))
    return policy


# -- Part 1: advantages within a group -------------------------------------------------------------


def test_advantages_of_two_groups():
    # Group 7 earned 1, 0, 0, 0: mean 1/4; squared distances 9/16 + 3 * 1/16 = 3/4, divided by 4 -
    # 1: std = 1/2. The winner gets (1 - 1/4) / (1/2) = 1.5, the others -0.5. Group 3 earned 4 and
    # 2: mean 3, std = sqrt(2).
    rewards = torch.tensor([1.0, 4.0, 0.0, 0.0, 2.0, 0.0])
    groups = torch.tensor([7, 3, 7, 7, 3, 7])
    half = 1 / math.sqrt(2)
    close(work.group_advantages(rewards, groups), [1.5, half, -0.5, -0.5, -half, -0.5])
    close(
        work.group_advantages(rewards, groups, scale="none"), [0.75, 1.0, -0.25, -0.25, -1.0, -0.25]
    )


def test_advantages_with_the_population_standard_deviation():
    # ddof = 0 divides by 2 instead of 1: the standard deviation of 0 and 2 is 1. eps = 1 makes it 2.
    rewards, groups = torch.tensor([0.0, 2.0]), torch.tensor([5, 5])
    close(work.group_advantages(rewards, groups, eps=0.0, ddof=0), [-1.0, 1.0])
    close(work.group_advantages(rewards, groups, eps=1.0, ddof=0), [-0.5, 0.5])


def test_advantages_of_two_relatives():
    # Rewards 0, 1 and 2: the others' means are 3/2, 1 and 1/2; the group's mean is 1.
    rewards, groups = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([4, 4, 4])
    close(work.group_advantages(rewards, groups, scale="none", baseline="others"), [-1.5, 0.0, 1.5])
    close(work.group_advantages(rewards, groups, eps=0.25, scale="mean"), [-0.8, 0.0, 0.8])


def test_advantages_of_groups_without_spread():
    rewards, groups = torch.tensor([1.0, 1.0, 9.0]), torch.tensor([0, 0, 1])
    assert work.group_advantages(rewards, groups).tolist() == [0.0, 0.0, 0.0]
    assert work.informative_groups(rewards, groups).tolist() == [False, False, False]
    assert work.informative_groups(rewards, torch.tensor([0, 1, 1])).tolist() == [False, True, True]


# -- Part 2: process supervision -------------------------------------------------------------------


def test_process_of_two_samples():
    # The step rewards 1, 3 (first sample) and 2 (second) have mean 2 and standard deviation 1: they
    # become -1, 1 and 0. First sample, steps ending at tokens 1 and 3: tokens 0-1 get -1 + 1 = 0,
    # tokens 2-3 get 1, token 4 nothing.
    rewards = [torch.tensor([1.0, 3.0]), torch.tensor([2.0])]
    ends = [torch.tensor([1, 3]), torch.tensor([2])]
    close(
        work.process_advantages(rewards, ends, 5, eps=0.0), [[0.0, 0.0, 1.0, 1.0, 0.0], [0.0] * 5]
    )


# -- Part 3: the KL term ---------------------------------------------------------------------------


def test_kl_at_two_points():
    # The reference finds the token twice as likely as the policy: 2 - log 2 - 1; half as likely:
    # 1/2 + log 2 - 1.
    d = math.log(2)
    close(
        work.k3_kl(torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([-1.0 + d, -1.0 - d, -1.0])),
        [1 - d, d - 0.5, 0.0],
    )


# -- Part 4: the loss ------------------------------------------------------------------------------


def test_loss_of_two_rows_three_ways():
    # On policy each token costs -A. Row 0: A = 1, one token; row 1: A = -2, three tokens: token
    # losses -1 and 2, 2, 2.
    #   row means -1 and 2, their mean 1/2; all tokens: (-1 + 6) / 4 = 5/4; sums -1 and 6, over
    #   max_len 10: 1/4
    logp = torch.full((2, 4), -1.0)
    adv, mask = torch.tensor([1.0, -2.0]), torch.tensor([[0, 1, 0, 0], [0, 1, 1, 1]])
    for agg, expected in (
        ("seq-mean-token-mean", 0.5),
        ("token-mean", 1.25),
        ("seq-sum-const", 0.25),
    ):
        loss, metrics = work.grpo_loss(logp, logp, None, adv, mask, agg=agg, max_len=10)
        close(loss, expected)
        assert metrics["ratio_mean"] == pytest.approx(1.0)
        assert metrics["clip_fraction"] == 0.0


def test_loss_aggregate_is_public():
    # Three tokens and one, losses 1, 2, 3 and 8: row means 2 and 8; all tokens 14 / 4; sums 6 and
    # 8, over max_len 10. What stands under mask 0 does not count, whatever it is.
    losses = torch.tensor([[1.0, 2.0, 3.0], [8.0, math.nan, 5.0]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    close(work.aggregate(losses, mask), 5.0)
    close(work.aggregate(losses, mask, "token-mean"), 3.5)
    close(work.aggregate(losses, mask, "seq-sum-const", 10), 0.7)


def test_loss_with_one_ratio_for_a_row():
    # Ratios 4 and 1: their geometric mean is 2, for both tokens. A = -1: no clip above.
    logp = torch.log(torch.tensor([[4.0, 1.0]]))
    args = logp, torch.zeros(1, 2), None, -torch.ones(1), torch.ones(1, 2)
    close(work.grpo_loss(*args)[0], 2.5)
    close(work.grpo_loss(*args, level="sequence")[0], 2.0)


def test_loss_is_clipped():
    # A = 1: a ratio of 1.5 is clipped to 1.2, and no gradient is left; a ratio of 0.5 is not
    # clipped: min(0.5, 0.8).
    logp = torch.log(torch.tensor([[1.5], [0.5]])).requires_grad_(True)
    loss, metrics = work.grpo_loss(logp, torch.zeros(2, 1), None, torch.ones(2), torch.ones(2, 1))
    close(loss, -(1.2 + 0.5) / 2)
    loss.backward()
    close(logp.grad, [[0.0], [-0.25]])
    assert metrics["clip_fraction"] == 1.0


def test_loss_holds_the_kl_term():
    # Advantage 0: what is left is beta times k3, here 0.5 * (2 - log 2 - 1).
    logp = torch.zeros(1, 1)
    loss, _ = work.grpo_loss(
        logp, logp, logp + math.log(2), torch.zeros(1), torch.ones(1, 1), beta=0.5
    )
    close(loss, 0.5 * (1 - math.log(2)))


# -- Part 5: log-probabilities and samples ---------------------------------------------------------


def test_sampling_scores_a_row_like_the_model_itself(model):
    ids = torch.tensor([[11, 3, 1, 4]])
    logits = model(input_ids=ids).logits[0] / 0.7
    expected = [0.0] + [logits[t - 1].log_softmax(-1)[ids[0, t]].item() for t in (1, 2, 3)]
    close(work.token_logprobs(model, ids, torch.ones(1, 4), 0.7), [expected])


def test_sampling_scores_do_not_see_padding(model):
    # The same row with two places of padding before it and one behind.
    alone = work.token_logprobs(model, torch.tensor([[11, 3, 1, 4]]), torch.ones(1, 4))
    tokens, attention = (
        torch.tensor([[14, 14, 11, 3, 1, 4, 14]]),
        torch.tensor([[0, 0, 1, 1, 1, 1, 0]]),
    )
    padded = work.token_logprobs(model, tokens, attention)
    close(padded[:, 2:6], alone)
    assert padded[0, [0, 1, 6]].tolist() == [0.0, 0.0, 0.0]


def test_sampling_two_prompts_three_times(model):
    prompts = [work.encode("r12>"), work.encode("s1>")]
    samples = work.sample_groups(
        model, prompts, 3, 5, temperature=1.0, generator=torch.Generator().manual_seed(0)
    )
    assert samples.tokens.shape == samples.mask.shape == samples.logp.shape == (6, 9)
    assert [work.decode(row[:4]) for row in samples.tokens] == ["r12>"] * 3 + ["_s1>"] * 3
    assert not samples.mask[:, :4].any()
    for row, mask in zip(samples.tokens, samples.mask, strict=True):
        response = work.decode(row[mask.bool()])
        assert "$" not in response[:-1]  # nothing after the end of sequence
        assert response.endswith("$") or len(response) == 5
    again = work.token_logprobs(
        model, samples.tokens, work.attention_mask(samples.tokens, samples.mask)
    )
    close(samples.logp, again * samples.mask, tolerance=1e-4)


# -- Part 6: rewards that can be checked -----------------------------------------------------------


def test_reward_of_answers():
    assert work.verifiable_reward("r312>", "213$") == 1.0
    assert work.verifiable_reward("s312>", "123$") == 1.0
    for response in ("213", "213$$", "312$", "r312>213$", "21$", ""):
        assert work.verifiable_reward("r312>", response) == 0.0
    with pytest.raises(ValueError, match=" "):
        work.verifiable_reward("hello", "213$")


def test_reward_of_programs():
    cases = [(0, 1), (3, 7)]
    assert work.program_reward("2*x + 1", cases) == 1.0
    assert work.program_reward("-(-1 - x) + x", cases) == 1.0
    assert work.program_reward("  2*x + 1 ", cases) == 1.0  # blanks around it do not matter
    assert work.program_reward("x + 1", cases) == 0.0  # right in the first case only
    assert work.program_reward("9**9**9**9", cases) == 0.0  # and at once
    assert work.program_reward("2*x + ", cases) == 0.0


# -- Part 7: training ------------------------------------------------------------------------------


@pytest.mark.parametrize("agg", ["seq-mean-token-mean", "token-mean", "seq-sum-const"])
def test_training_step_goes_down_the_loss(model, agg):
    # Plain gradient descent with a small rate, nothing clipped: the loss falls, and the pieces do
    # not matter. The rows have two tokens and one: a mean over all tokens weighs them 2 to 1.
    tokens = torch.tensor([work.encode("_r1>1$"), work.encode("r12>2_")])
    mask = torch.tensor([[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 0]]).bool()
    moved = []
    for size in (None, 1):
        policy = work.build_policy(model.state_dict(), width=8, layers=1, heads=2)
        attention = work.attention_mask(tokens, mask)
        old = work.token_logprobs(policy, tokens, attention).detach()
        batch = work.Batch(tokens, mask, old, old, torch.tensor([1.0, -1.0]))
        cfg = work.GRPOConfig(grad_norm=1e9, micro_batch=size, agg=agg)
        before = work.grpo_loss(old, old, None, batch.adv, mask, agg=agg, max_len=cfg.max_new)[0]
        metrics = work.grpo_update_(
            policy, torch.optim.SGD(policy.parameters(), lr=0.002), batch, cfg
        )
        assert metrics["ratio_mean"] == pytest.approx(1.0, abs=1e-4)
        new = work.token_logprobs(policy, tokens, attention)
        after = work.grpo_loss(new, old, None, batch.adv, mask, agg=agg, max_len=cfg.max_new)[0]
        assert after.item() < before.item()
        moved.append(new)
    close(moved[1], moved[0], tolerance=1e-5)


def test_training_keeps_its_books(model):
    cfg = work.GRPOConfig(iterations=2, prompts=2, group_size=3, minibatches=2, max_new=4, digits=2)
    before = model.state_dict()["transformer.wte.weight"].clone()
    result = work.train_grpo(model, cfg, seed=0)
    assert {name: len(numbers) for name, numbers in result.history.items()} == dict.fromkeys(
        ("reward_mean", "reward_std", "dead_groups", "kl", "length", "clip_fraction"), 2
    )
    assert result.history["kl"][0] == pytest.approx(0.0, abs=1e-5)
    assert torch.equal(model.state_dict()["transformer.wte.weight"], before)  # a copy was trained
