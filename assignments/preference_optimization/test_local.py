"""Public tests of `preference_optimization`: small worked examples, in the order of the tasks. No
points; everything is visible.

    python -m pytest test_local.py                all of them
    python -m pytest test_local.py -k dpo         one part
    python -m pytest test_local.py -x --pdb       stop at the first failure and look around

At first each of them fails with NotImplementedError. The hidden tests are of another kind: they
check laws that hold for every batch, on data that you have not seen. Importing transformers takes a
few seconds, once.
"""

import math

import preference_optimization as work
import pytest
import torch


def close(actual, expected, tolerance=1e-5):
    """The same shape, and the same numbers up to what float32 can tell."""
    torch.testing.assert_close(
        actual.detach().double(), torch.as_tensor(expected).double(), rtol=tolerance, atol=tolerance
    )


def row(*numbers):
    """A tensor of doubles."""
    return torch.tensor(numbers, dtype=torch.float64)


@pytest.fixture(scope="module")
def model():
    """A tiny GPT-2 with weights that a formula gives: nothing depends on a seed."""
    policy = work.build_policy(width=8, layers=1, heads=2)
    with torch.no_grad():
        for number, weight in enumerate(policy.parameters()):
            places = torch.arange(weight.numel(), dtype=torch.float32).reshape(weight.shape)
            weight.copy_(0.5 * torch.sin(1.7 * places + number))
    return policy


PAIRS = work.Pairs(
    prompts=[[11, 3, 10], [11, 10]], chosen=[[3, 13], [7, 2, 13]], rejected=[[4, 4, 13], [2, 13]]
)


# -- Part 1: DPO -----------------------------------------------------------------------------------


def test_dpo_by_hand():
    # The picture of the handout. Chosen: -13.0 under the policy, -12.0 under the reference: -1.0.
    # Rejected: -14.5 and -10.0: -4.5. The margin is -1.0 + 4.5 = 3.5, beta h = 0.7, its sigmoid
    # 0.668, minus its logarithm 0.403. The pull is 0.2 * (1 - 0.668) = 0.0664.
    scores = row(-13.0), row(-14.5), row(-12.0), row(-10.0)
    close(work.preference_margin(*scores), [3.5])
    close(work.dpo_loss(*scores, beta=0.2), 0.403186, 1e-4)
    close(work.dpo_weights(row(3.5), beta=0.2), [0.066364], 1e-4)
    close(work.implicit_rewards(scores[0], scores[2], 0.2), [-0.2])


def test_dpo_before_the_first_step():
    same = row(-7.0, -3.0)
    close(work.dpo_loss(same, same - 1, same, same - 1), math.log(2))


def test_dpo_with_doubt():
    # beta h = 0.7 costs 0.403, the other label 0.403 + 0.7 = 1.103. With s = 0.1: 0.9 * 0.403 +
    # 0.1 * 1.103 = 0.473.
    scores = row(-13.0), row(-14.5), row(-12.0), row(-10.0)
    close(work.dpo_loss(*scores, beta=0.2, label_smoothing=0.1), 0.473186, 1e-4)


# -- Part 2: IPO -----------------------------------------------------------------------------------


def test_ipo_by_hand():
    # tau = 0.25: the target is 1 / 0.5 = 2, the margin 3.5, the loss 1.5^2.
    close(work.ipo_loss(row(-13.0), row(-14.5), row(-12.0), row(-10.0), tau=0.25), 2.25)


# -- Part 3: KTO -----------------------------------------------------------------------------------


def test_kto_mismatched():
    assert work.mismatched(5).tolist() == [1, 2, 3, 4, 0]


def test_kto_point():
    # Log-ratios 2 and -1: mean 0.5. Log-ratios 1 and -3: mean -1, so 0.
    ref = row(-5.0, -8.0)
    close(work.kto_reference_point(ref + row(2.0, -1.0), ref), 0.5)
    close(work.kto_reference_point(ref + row(1.0, -3.0), ref), 0.0)


def test_kto_by_hand():
    # Log-ratios 1.5 (desirable) and 1.0 (not), point 0.5, beta 1: gains 1.0 and -0.5. Their
    # sigmoids are 0.7311 and 0.3775: (0.2689 + 0.6225) / 2 = 0.4457.
    logp, ref, up = row(-4.5, -7.0), row(-6.0, -8.0), torch.tensor([True, False])
    close(work.kto_loss(logp, ref, up, 0.5, beta=1.0), 0.445700, 1e-4)


# -- Part 4: without a reference -------------------------------------------------------------------


def test_reference_free_simpo():
    # beta (chosen - rejected) = 2 * 0.6 = 1.2, minus gamma 0.5: 0.7. The same sigmoid as above.
    close(work.simpo_loss(row(-0.8), row(-1.4), beta=2.0, gamma=0.5), 0.403186, 1e-4)


def test_reference_free_odds():
    # p = 0.75 has odds of 3, p = 0.2 odds of 1/4.
    close(work.log_odds(row(0.75, 0.2).log()), [math.log(3), -math.log(4)])


def test_reference_free_orpo():
    # Odds 3 against 1/4 are a ratio of 12: sigmoid(log 12) = 12 / 13. -log 0.75 = 0.2877, and
    # 0.5 * -log(12 / 13) = 0.0400.
    close(work.orpo_loss(row(0.75).log(), row(0.2).log(), weight=0.5), 0.327703, 1e-4)


# -- Part 5: the optimum ---------------------------------------------------------------------------


def test_optimum_of_two_answers():
    # Reference 1/4 and 3/4, rewards log 9 and 0, beta 1: 9/4 against 3/4, so 3/4 and 1/4. Z = 3,
    # and the objective is log 3.
    ref, rewards = row(0.25, 0.75).log(), row(math.log(9), 0.0)
    best = work.rlhf_optimum(ref, rewards, 1.0)
    close(best.exp(), [0.75, 0.25])
    close(work.rlhf_objective(best, ref, rewards, 1.0), math.log(3))
    close(work.rlhf_objective(ref, ref, rewards, 1.0), 0.25 * math.log(9))


def test_optimum_from_comparisons():
    # The first answer wins 9 of 10: a reward log 9 ahead. So DPO fits the policy from above.
    preferences = row(0.5, 0.9, 0.1, 0.5).reshape(2, 2)
    found = work.fit_dpo_table(row(0.25, 0.75).log(), preferences, 1.0)
    close(found.exp(), [0.75, 0.25])


# -- Part 6: log-probabilities of responses --------------------------------------------------------


def test_logprobs_collate():
    # Four rows: two chosen, then two rejected. The longest has 3 + 3 tokens. PAD is 14.
    batch = work.collate_pairs(PAIRS)
    assert batch.tokens.tolist() == [
        [11, 3, 10, 3, 13, 14],
        [11, 10, 7, 2, 13, 14],
        [11, 3, 10, 4, 4, 13],
        [11, 10, 2, 13, 14, 14],
    ]
    assert batch.mask.long().tolist() == [
        [0, 0, 0, 1, 1, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 1],
        [0, 0, 1, 1, 0, 0],
    ]


def test_logprobs_split():
    chosen, rejected = work.split_pairs(row(1.0, 2.0, 3.0, 4.0))
    close(chosen, [1.0, 2.0])
    close(rejected, [3.0, 4.0])


def test_logprobs_of_a_row_alone_and_padded(model):
    # The row 11 3 10 3 alone, and with two pads on its left: the same numbers at the same tokens.
    alone = work.token_logprobs(model, torch.tensor([[11, 3, 10, 3]]), torch.ones(1, 4))
    padded = torch.tensor([[14, 14, 11, 3, 10, 3]])
    seen = torch.tensor([[0, 0, 1, 1, 1, 1]])
    found = work.token_logprobs(model, padded, seen)
    close(found[:, 2:], alone.detach())
    assert found[0, :3].tolist() == [0.0, 0.0, 0.0]  # padding, and the first token
    assert (found[0, 3:] < 0).all()


def test_logprobs_sum_and_mean():
    # The first response is -1 - 2 = -3, the second -4: the other places do not count.
    logp = row(-9.0, -1.0, -2.0, -9.0, -9.0, -9.0, -9.0, -4.0).reshape(2, 4)
    mask = torch.tensor([[0, 1, 1, 0], [0, 0, 0, 1]])
    close(work.sequence_logprobs(logp, mask), [-3.0, -4.0])
    close(work.sequence_logprobs(logp, mask, average=True), [-1.5, -4.0])


def test_logprobs_of_a_reference(model):
    model.train()
    chosen, rejected = work.reference_logprobs(model, work.collate_pairs(PAIRS))
    assert model.training
    assert not chosen.requires_grad and not rejected.requires_grad
    model.eval()
    again = work.pair_logprobs(model, work.collate_pairs(PAIRS))
    close(chosen, again[0].detach())
    close(rejected, again[1].detach())


# -- Part 7: training ------------------------------------------------------------------------------


def test_training_one_update(model):
    # Policy and reference agree: log 2, a margin of 0, and a tie in every pair. Then one step.
    policy = work.build_policy(model.state_dict(), width=8, layers=1, heads=2)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.01)
    cfg = work.PreferenceConfig(loss="dpo", beta=0.3)
    before = work.preference_update_(policy, model, optimizer, PAIRS, cfg)
    assert before["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert before["margin"] == pytest.approx(0.0, abs=1e-5)
    after = work.preference_update_(policy, model, optimizer, PAIRS, cfg)
    assert after["loss"] < before["loss"]
    assert after["margin"] > 0


def test_training_a_few_steps(model):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    cfg = work.PreferenceConfig(loss="dpo", steps=8, batch_size=2, lr=1e-2)
    result = work.train_preferences(model, PAIRS, cfg, seed=0)
    assert len(result.history["loss"]) == 8
    assert result.history["loss"][0] == pytest.approx(math.log(2), abs=1e-5)
    assert result.history["loss"][-1] < 0.6
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])  # the model handed in is the reference
