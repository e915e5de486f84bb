"""Public tests of `bradley_terry`: small worked examples, in the order of the tasks. No points;
everything is visible.

    python -m pytest test_local.py             all of them
    python -m pytest test_local.py -k fitting  one part
    python -m pytest test_local.py -x --pdb    stop at the first failure and look around

At first each of them fails with NotImplementedError. The hidden tests are of another kind: they
check laws that hold for all data, on data that you have not seen.
"""

import math

import bradley_terry as work
import numpy as np
import pytest
import tiny_lm
import torch


def vector(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def close(actual, expected):
    """The same shape, and the same numbers up to what float32 can tell."""
    torch.testing.assert_close(actual.double(), expected.double(), rtol=1e-5, atol=1e-5)


# -- Part 1: probability and loss ------------------------------------------------------------------


def test_model_probability():
    # A difference of log 3 means odds of 3 to 1.
    close(work.bt_prob(vector(math.log(3), 0.0), vector(0.0, math.log(3))), vector(0.75, 0.25))


def test_model_loss():
    # The first pair is a coin flip: log 2. In the second the chosen answer had probability 3/4:
    # -log(3/4).
    chosen, rejected = vector(1.0, math.log(3)), vector(1.0, 0.0)
    expected = (math.log(2) - math.log(0.75)) / 2
    close(work.bt_loss(chosen, rejected), vector(expected).squeeze())
    # With a margin of log 3 the second pair is a coin flip, too.
    close(work.bt_loss(chosen[1:], rejected[1:], margin=math.log(3)), vector(math.log(2)).squeeze())


def test_model_smoothing():
    # One label in four is taken to be wrong: 3/4 * -log(3/4) + 1/4 * -log(1/4).
    loss = work.bt_loss(vector(math.log(3)), vector(0.0), label_smoothing=0.25)
    close(loss, vector(0.75 * -math.log(0.75) + 0.25 * -math.log(0.25)).squeeze())


def test_model_accuracy():
    assert work.accuracy(vector(1, 2, 3, 4), vector(0, 2, 5, 1)) == pytest.approx(
        (1 + 0.5 + 0 + 1) / 4
    )


# -- Part 2: fitting a table -----------------------------------------------------------------------

# Two players: i won 30 of 40 games, so the odds are 3 to 1 and the log-abilities are +-log(3)/2.
TWO = np.array([[0, 30], [10, 0]])


def test_fitting_likelihood():
    expected = 30 * math.log(0.75) + 10 * math.log(0.25)
    assert work.log_likelihood(TWO, np.array([math.log(3), 0.0])) == pytest.approx(expected)


def test_fitting_connected():
    assert work.is_connected(
        np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    )  # a ring: 0 beat 1 beat 2 beat 0
    assert not work.is_connected(np.array([[0, 1, 1], [0, 0, 1], [0, 1, 0]]))  # nobody ever beat 0


def test_fitting_one_step():
    # From equal abilities p = 1: weights 40 / (1 + 1) = 20 for both, so p = 30/20 and 10/20, odds
    # of 3 to 1 at once.
    np.testing.assert_allclose(work.mm_step(TWO, np.zeros(2)), np.array([1, -1]) * math.log(3) / 2)


def test_fitting_two_players():
    np.testing.assert_allclose(work.fit_bt(TWO), np.array([1, -1]) * math.log(3) / 2, atol=1e-6)
    with pytest.raises(ValueError, match=" "):
        work.fit_bt(np.array([[0, 5], [0, 0]]))


# -- Part 3: gradient, Hessian, Newton, standard errors --------------------------------------------


def test_newton_derivatives():
    # At theta = 0 everybody is expected to win half: 30 - 20 = 10 too many. Curvature 40 * 1/2 *
    # 1/2 = 10.
    gradient, hessian = work.bt_gradient_hessian(TWO, np.zeros(2))
    np.testing.assert_allclose(gradient, [10, -10])
    np.testing.assert_allclose(hessian, [[-10, 10], [10, -10]])


def test_newton_fit():
    np.testing.assert_allclose(
        work.fit_bt_newton(TWO), np.array([1, -1]) * math.log(3) / 2, atol=1e-6
    )


def test_newton_standard_errors():
    # The difference has variance 1 / (40 * 3/4 * 1/4) = 1 / 7.5; each ability is half of it: sqrt(1
    # / 7.5) / 2.
    errors = work.standard_errors(TWO, np.array([1, -1]) * math.log(3) / 2)
    np.testing.assert_allclose(errors, np.full(2, math.sqrt(1 / 7.5) / 2))


def test_newton_gumbel():
    choices = work.gumbel_choices(np.array([math.log(3), 0.0]), 4000, np.random.default_rng(0))
    assert abs(np.mean(choices == 0) - 0.75) < 0.05


# -- Part 4: a reward model on a transformer -------------------------------------------------------

LEFT = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
RIGHT = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])


def test_reward_model_positions():
    assert work.positions(LEFT)[0, 2:].tolist() == [0, 1]
    assert work.positions(RIGHT)[1].tolist() == [0, 1, 2, 3]


def test_reward_model_pooling():
    hidden = torch.arange(8.0).reshape(2, 4, 1)  # 0 1 2 3 / 4 5 6 7
    close(work.pool_last(hidden, LEFT), vector(3, 7).unsqueeze(1))
    close(work.pool_last(hidden, RIGHT), vector(1, 7).unsqueeze(1))


def test_reward_model_attention():
    # Real tokens 0 and 1 of the first row with weights 3/4 and 1/4; equal weights in the second.
    hidden = torch.arange(8.0).reshape(2, 4, 1)
    logits = torch.tensor([[math.log(3), 0.0, 9.0, 9.0], [0.0, 0.0, 0.0, 0.0]])
    close(work.attention_pool(hidden, logits, RIGHT), vector(0.25, 5.5).unsqueeze(1))


def tiny_model(head="linear"):
    from transformers import GPT2Model

    torch.manual_seed(0)
    config = tiny_lm.gpt2_config(12, 16, 8, 1, 2)
    return work.RewardModel(GPT2Model(config), head)


@pytest.mark.parametrize("head", ["linear", "mlp", "attn"])
def test_reward_model_ignores_padding(head):
    model = tiny_model(head).eval()
    row = torch.tensor([[5, 3]])
    with torch.no_grad():
        alone = model(row, torch.ones_like(row))
        padded = model(torch.tensor([[9, 9, 5, 3]]), LEFT[:1])
    assert alone.shape == (1,)
    close(padded, alone)


# -- Part 5: repairing the worker ------------------------------------------------------------------


def test_training_batches():
    batch = work.collate([[5, 0], [6]], [[7, 8, 0], [9, 0]], pad_id=0, side="left")
    assert batch["input_ids"].tolist() == [[0, 5, 0], [7, 8, 0], [0, 0, 6], [0, 9, 0]]
    assert batch["attention_mask"].tolist() == [[0, 1, 1], [1, 1, 1], [0, 0, 1], [0, 1, 1]]
    assert batch["layout"] == "interleaved"


def test_training_loss():
    # Two pairs: (log 3, 0) and (0, log 3): -log(3/4) and -log(1/4).
    output = vector(math.log(3), 0.0, 0.0, math.log(3)).requires_grad_()
    loss = work.loss_func(output, {"layout": "interleaved"})
    close(loss, vector(-(math.log(0.75) + math.log(0.25)) / 2).squeeze())
    loss.backward()
    close(output.grad, vector(-0.25, 0.25, -0.75, 0.75) / 2)


def test_training_learns():
    model = tiny_model()
    losses = work.train_reward_model(
        model,
        [[7, 8], [9, 7]],
        [[2, 3], [3, 1, 2]],
        0,
        20,
        2,
        0.02,
        torch.Generator().manual_seed(0),
    )
    assert len(losses) == 20
    assert losses[-1] < 0.1
    assert not model.training


# -- Part 6: more than two answers -----------------------------------------------------------------


def test_kwise_of_two_prompts():
    # The first prompt is one pair, odds 3 to 1. The second has three equal answers: three pairs of
    # log 2 each.
    loss = work.kwise_loss([vector(math.log(3), 0.0), vector(1.0, 1.0, 1.0)])
    close(loss, vector((-math.log(0.75) + math.log(2)) / 2).squeeze())


# -- Part 7: how much to believe a score -----------------------------------------------------------

BATCH = {
    "input_ids": torch.tensor([[1], [2]]),
    "attention_mask": torch.ones(2, 1).long(),
    "layout": "interleaved",
}


def says(*scores):
    """A member that gives the two rows of a batch these scores, whatever they are."""
    return lambda input_ids, attention_mask: vector(*scores)


def test_uncertainty_of_an_ensemble():
    # Row 0: 1 and 3, mean 2, deviation 1. Row 1: 5 and 5.
    ensemble = work.RewardEnsemble([says(1, 5), says(3, 5)])
    close(ensemble.mean(BATCH), vector(2, 5))
    close(ensemble.std(BATCH), vector(1, 0))
    close(ensemble.lcb(BATCH, 2.0), vector(0, 5))
    close(ensemble.disagreement(BATCH), vector(0))


def test_uncertainty_of_offsets():
    # The second member says 10 more of everything. Centred on the batch, they agree.
    ensemble = work.RewardEnsemble([says(1, 5), says(11, 15)], reference=BATCH)
    close(ensemble.scores(BATCH), torch.stack([vector(-2, 2), vector(-2, 2)]))


def test_uncertainty_bootstrap():
    picks = work.bootstrap_indices(20, 3, np.random.default_rng(0))
    assert picks.shape == (3, 20)
    assert len(set(picks[0].tolist())) < 20  # with replacement


def test_uncertainty_shift():
    shift = work.shift_detector(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.5, 9.0]), bins=2)
    assert shift.ks == pytest.approx(0.75)  # at 3: 3/4 against 0
    # The edge is the median, 2.5. Smoothed shares: 2.5/5 and 2.5/5 of ref, 0.5/3 and 2.5/3 of new.
    expected = (0.5 / 3 - 0.5) * math.log(0.5 / 3 / 0.5) + (2.5 / 3 - 0.5) * math.log(2.5 / 3 / 0.5)
    assert shift.psi == pytest.approx(expected)


# -- Part 8: reward hacking ------------------------------------------------------------------------


def test_hacking_best_of_two():
    # The three pairs of {a, b, c} with proxy 1, 2, 3 pick b, c, c; gold is 10, 30, 0: (30 + 0 + 0)
    # / 3.
    proxy, gold = np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 0.0])
    assert work.best_of_n(proxy, gold, 2) == pytest.approx(10.0)
    assert work.best_of_n(proxy, proxy, 2) == pytest.approx(8 / 3)


def test_hacking_kl():
    assert work.best_of_n_kl(1) == 0.0
    assert work.best_of_n_kl(4) == pytest.approx(math.log(4) - 0.75)
