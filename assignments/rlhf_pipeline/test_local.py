"""Public tests of `rlhf_pipeline`: small worked examples, in the order of the tasks. No points;
everything is visible.

    python -m pytest test_local.py                    all of them
    python -m pytest test_local.py -k responses       one part
    python -m pytest test_local.py -x --pdb           stop at the first failure and look around

At first each of them fails with NotImplementedError. The hidden tests are of another kind: they
check laws that hold for every batch, on data that you have not seen. Importing transformers takes a
few seconds, once.
"""

import math

import pytest
import rlhf_pipeline as work
import torch
from tiny_lm import gpt2_config


def close(actual, expected, tolerance=1e-5):
    """The same shape, and the same numbers up to what float32 can tell."""
    torch.testing.assert_close(
        actual.detach().double(), torch.as_tensor(expected).double(), rtol=tolerance, atol=tolerance
    )


def toy():
    """A tiny GPT-2 with three tokens and weights that a formula gives: nothing depends on a
    seed."""
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel(gpt2_config(3, 8, 8, 1, 2))
    state = {}
    for number, (name, weight) in enumerate(model.state_dict().items()):
        numbers = torch.arange(weight.numel()).reshape(weight.shape)
        state[name] = torch.sin(1.7 * numbers + number) * (0.1 if "ln_" in name else 0.4)
        if "ln_" in name and name.endswith("weight"):
            state[name] = state[name] + 1
    state["lm_head.weight"] = state["transformer.wte.weight"]
    model.load_state_dict(state)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return toy()


# Two rows: a prompt of one token and a response of two, and a prompt of two and a response of one.
# 0 fills up.
TOKENS = torch.tensor([[0, 2, 1, 2], [1, 0, 2, 0]])
ATTENTION = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 0]]).bool()
MASK = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 0]]).bool()


# -- Part 1: responses -----------------------------------------------------------------------------


def test_responses_end_at_the_first_end():
    # 9 is the end. In the first row it comes third in the response; in the second it stands in the
    # prompt, where it does not count, and the response has none.
    tokens = torch.tensor([[5, 6, 1, 2, 9, 9], [9, 6, 1, 2, 3, 4]])
    assert work.response_mask(tokens, 2, 9).long().tolist() == [[0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1]]  # fmt: skip
    assert work.response_mask(tokens, 2, None).long().sum() == 8


def test_responses_stand_behind_their_prompts(model):
    cfg = work.RLHFConfig(max_new=3, eos=2, pad=2)
    found = work.sample_responses(model, [[1, 0], [2]] * 4, cfg, torch.Generator().manual_seed(0))
    assert found.tokens.shape == (8, 5)
    # Padding, then a prompt that is the end token itself: the ids are the same, the attention is not.
    assert found.tokens[1, :2].tolist() == [2, 2]
    assert found.attention[1, :2].tolist() == [False, True]
    assert found.mask[:, 2].all()


# -- Part 2: log-probabilities, entropies, values --------------------------------------------------


def test_scoring_positions():
    assert work.positions(ATTENTION)[0, 1:].tolist() == [0, 1, 2]
    assert work.positions(ATTENTION)[1, :3].tolist() == [0, 1, 2]


def test_scoring_a_row_alone_and_beside_another(model):
    both = work.score_tokens(model, TOKENS, ATTENTION)
    alone = work.score_tokens(model, TOKENS[:1, 1:], ATTENTION[:1, 1:])
    close(both.logp[0, 2:], alone.logp[0, 1:].detach())
    close(both.entropy[0, 2:], alone.entropy[0, 1:].detach())
    # The first token has nothing before it, and padding is no token.
    assert both.logp[0, :2].tolist() == [0.0, 0.0]
    assert both.logp[1, 3] == 0.0
    # Three tokens: no entropy is above log 3, at a high temperature it comes near.
    warm = work.score_tokens(model, TOKENS, ATTENTION, temperature=100.0)
    close(warm.entropy[0, 3], math.log(3), 1e-3)


def test_scoring_values(model):
    # The critic's number at place t has read token t. The value of a token is the one before.
    critic = work.scalar_model(model)
    with torch.no_grad():
        critic.score.weight.copy_(torch.linspace(-1, 1, 8)[None])
    places = work.positions(ATTENTION)
    raw = critic(input_ids=TOKENS, attention_mask=ATTENTION.long(), position_ids=places)
    values = work.token_values(critic, TOKENS, ATTENTION)
    close(values[0], [0.0, 0.0, raw[0, 1].item(), raw[0, 2].item()])


HERE_ONLY = ("test_scoring_values", "test_reference_with_adapters")


# -- Part 3: the reference -------------------------------------------------------------------------


def test_reference_is_a_frozen_copy(model):
    reference = work.make_reference(model)
    assert not any(p.requires_grad for p in reference.parameters())
    found = work.reference_logprobs(model, reference, TOKENS, ATTENTION)
    close(found, work.score_tokens(model, TOKENS, ATTENTION).logp.detach())
    assert not found.requires_grad


def test_reference_with_adapters():
    adapted = toy()
    before = work.score_tokens(adapted, TOKENS, ATTENTION).logp.detach()
    work.add_lora_(adapted, ["c_attn"], 2, 4.0, torch.Generator().manual_seed(0))
    assert work.make_reference(adapted) is None  # fresh: off, it is its own reference
    with torch.no_grad():
        adapted.transformer.h[0].attn.c_attn.B.fill_(0.3)
    assert work.make_reference(adapted) is not None  # these have learned something
    close(work.reference_logprobs(adapted, None, TOKENS, ATTENTION), before)
    assert adapted.transformer.h[0].attn.c_attn.on


# -- Part 4: rewards for tokens --------------------------------------------------------------------


def test_rewards_penalty():
    # The end is 2: the first response ends with it, the second would if padding counted.
    tokens = torch.tensor([[0, 1, 1, 2], [2, 0, 1, 2]])
    mask = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 0]]).bool()
    scores = torch.tensor([3.0, 1.0])
    close(work.penalise_missing_ends(scores, tokens, mask, 2, 0.5), [3.0, 0.5])


def test_rewards_by_hand():
    # First row: log-ratios -1 - (-3) = 2 and -2 - (-1) = -1, beta = 0.1: -0.2 and 0.1 + 5. Second
    # row: -1 - (-2) = 1: -0.1 + 7, at its only token. 9 under mask 0 is never looked at.
    logp = torch.tensor([[9.0, 9.0, -1.0, -2.0], [9.0, 9.0, -1.0, 9.0]])
    ref = torch.tensor([[0.0, 0.0, -3.0, -1.0], [0.0, 0.0, -2.0, 0.0]])
    found = work.token_rewards(torch.tensor([5.0, 7.0]), logp, ref, MASK, 0.1)
    close(found, [[0.0, 0.0, -0.2, 5.1], [0.0, 0.0, 6.9, 0.0]])


# -- Part 5: advantages ----------------------------------------------------------------------------


def test_advantages_whitened():
    # 1, 3 and 8 have the mean 4 and the variance (9 + 1 + 16) / 3.
    x = torch.tensor([[7.0, 7.0, 1.0, 3.0], [7.0, 7.0, 8.0, 7.0]])
    deviation = math.sqrt(26 / 3)
    found = work.masked_whiten(x, MASK)
    close(found[MASK], [-3 / deviation, -1 / deviation, 4 / deviation])
    close(work.masked_whiten(x, MASK, shift_mean=False)[MASK].mean(), 4.0)


def test_advantages_by_hand():
    # Rewards -0.2 and 5.1, values 2 and 3, gamma = 1, lambda = 0.5. Last token: 5.1 - 3 = 2.1. The
    # one before: -0.2 + 3 - 2 + 0.5 * 2.1 = 1.85. Returns: 2.1 + 3 and 1.85 + 2.
    rewards = torch.tensor([[0.0, 0.0, -0.2, 5.1], [0.0, 0.0, 6.9, 0.0]])
    values = torch.tensor([[9.0, 9.0, 2.0, 3.0], [9.0, 9.0, 1.0, 9.0]])
    found = work.token_gae(rewards, values, MASK, 1.0, 0.5)
    close(found.advantages, [[0.0, 0.0, 1.85, 2.1], [0.0, 0.0, 5.9, 0.0]])
    close(found.returns, [[0.0, 0.0, 3.85, 5.1], [0.0, 0.0, 6.9, 0.0]])


# -- Part 6: the update ----------------------------------------------------------------------------


def batch(logp, advantages, values, returns):
    return work.Batch(TOKENS, ATTENTION, MASK, logp, values, advantages, returns)


def test_update_loss_by_hand():
    # Three tokens with ratios 1.5, 1 and 0.5, clipped to 1.2, 1 and 0.8, advantages 1, -2 and -1:
    # min(1.5, 1.2) = 1.2, -2, min(-0.5, -0.8) = -0.8. The loss is -(1.2 - 2 - 0.8) / 3.
    old = torch.zeros(2, 4)
    logp = torch.tensor([[0.0, 0.0, math.log(1.5), 0.0], [0.0, 0.0, math.log(0.5), 0.0]])
    adv = torch.tensor([[0.0, 0.0, 1.0, -2.0], [0.0, 0.0, -1.0, 0.0]])
    zeros = torch.zeros(2, 4)
    cfg = work.RLHFConfig(clip=0.2)
    loss, metrics = work.ppo_loss(work.Scores(logp, zeros), zeros, batch(old, adv, zeros, zeros), cfg)  # fmt: skip
    close(loss, 1.6 / 3)
    assert metrics["clip_fraction"] == pytest.approx(2 / 3)


def test_update_value_loss_by_hand():
    # Old value 0, return 1, clip 0.2. New value 0.5 would be clipped to 0.2: the errors are 0.25
    # and 0.64, the larger counts. New value -0.1: 1.21 twice. New value 2: 1 and 0.64.
    zeros = torch.zeros(2, 4)
    values = torch.tensor([[0.0, 0.0, 0.5, -0.1], [0.0, 0.0, 2.0, 0.0]])
    cfg = work.RLHFConfig(value_clip=0.2)
    data = batch(zeros, zeros, zeros, torch.ones(2, 4))
    _, metrics = work.ppo_loss(work.Scores(zeros, zeros), values, data, cfg)
    assert metrics["value_loss"] == pytest.approx((0.64 + 1.21 + 1.0) / 3 / 2)


def test_update_begins_with_ratio_one(model):
    policy, critic = toy(), work.scalar_model(model)
    optimizer = torch.optim.SGD([*policy.parameters(), *critic.parameters()], lr=0.1)
    logp = work.score_tokens(policy, TOKENS, ATTENTION).logp.detach()
    data = batch(logp, torch.ones(2, 4), torch.zeros(2, 4), torch.ones(2, 4))
    first = work.ppo_update_(policy, critic, optimizer, data, work.RLHFConfig())
    assert first["ratio_mean"] == pytest.approx(1.0)
    second = work.ppo_update_(policy, critic, optimizer, data, work.RLHFConfig())
    assert second["ratio_mean"] > 1.0  # all advantages are positive


# -- Part 7: the loop ------------------------------------------------------------------------------


def loves_two(tokens, attention):
    """A score: how often the last three tokens are a 2."""
    return (tokens[:, -3:] == 2).double().sum(dim=1)


CFG = {"max_new": 3, "eos": None, "pad": 0}


def test_loop_experience(model):
    critic, reference = work.scalar_model(model), work.make_reference(model)
    cfg = work.RLHFConfig(**CFG)
    generator = torch.Generator().manual_seed(0)
    data, metrics = work.collect(model, critic, reference, loves_two, [[1, 0], [2]] * 8, cfg, generator)  # fmt: skip
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-5)  # nothing has been learned yet
    assert metrics["length"] == 3.0
    close(data.advantages[data.mask].mean(), 0.0)
    close(data.advantages[data.mask].std(correction=0), 1.0, 1e-4)


def test_loop_learns(model):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    cfg = work.RLHFConfig(**CFG, iterations=15, batch_size=64, lr=0.01, beta=0.05)
    result = work.train_ppo(model, loves_two, [[1, 0], [2]], cfg, seed=0)
    assert result.history["score"][-1] > result.history["score"][0] + 0.5
    assert result.history["kl"][0] == pytest.approx(0.0, abs=1e-5)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])  # a copy was trained


# -- Part 8: the whole pipeline --------------------------------------------------------------------


def test_pipeline_score_of_the_last_token(model):
    critic = work.scalar_model(model)
    close(work.last_scores(critic, TOKENS, ATTENTION), [0.0, 0.0])  # it begins with zeros


def test_pipeline_comparisons(model):
    # Fresh, the reward model says 0 of everything: -log sigmoid(0) = log 2. Then it learns.
    mask = torch.ones(1, 3).bool()
    chosen = work.Samples(torch.tensor([[1, 2, 2]]), mask, mask)
    rejected = work.Samples(torch.tensor([[1, 2, 0]]), mask, mask)
    reward_model = work.scalar_model(model)
    cfg = work.RLHFConfig(reward_steps=20, stage_batch=4, stage_lr=0.01)
    losses = work.fit_reward_model_(reward_model, chosen, rejected, cfg, torch.Generator().manual_seed(0))  # fmt: skip
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert losses[-1] < 0.5 * losses[0]


def test_pipeline_stages(model):
    mask = torch.tensor([[0, 1, 1, 1]] * 4).bool()
    shown = work.Samples(torch.tensor([[1, 2, 2, 0]] * 4), torch.ones(4, 4).bool(), mask)
    cfg = work.RLHFConfig(
        **CFG, iterations=2, batch_size=8, sft_steps=30, pairs=10, reward_steps=2, stage_lr=0.02
    )
    stages = work.train_rlhf(model, shown, lambda s: s.tokens[:, -1].double(), [[1]], cfg, seed=0)
    said = torch.tensor([[2, 2, 0]])
    likely = work.response_logprobs(stages.sft, [1], said).exp()
    assert likely > 10 * work.response_logprobs(model, [1], said).exp()
    assert len(stages.result.history["kl"]) == 2


# -- Part 9: what the best policy would be ---------------------------------------------------------


def test_optimum_by_hand():
    # Two responses, 3/4 and 1/4 under the reference, rewards 0 and 1, beta = 1 / ln 3: the second is
    # multiplied by exp(ln 3) = 3. Z = 3/4 + 3/4, so both have 1/2, and the objective there is
    # beta * ln(3/2).
    ref = torch.tensor([0.75, 0.25]).double().log()
    rewards, beta = torch.tensor([0.0, 1.0]).double(), 1 / math.log(3)
    best = work.rlhf_optimum(ref, rewards, beta)
    close(best.exp(), [0.5, 0.5])
    close(work.rlhf_objective(best, ref, rewards, beta), math.log(1.5) / math.log(3))


def test_optimum_lists_everything(model):
    responses = work.all_responses(3, 3)
    assert responses.shape == (27, 3)
    assert responses[:4].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0]]
    close(work.response_logprobs(model, [1, 0], responses).exp().sum(), 1.0, 1e-4)


# -- Part 10: two rewards --------------------------------------------------------------------------


def test_two_rewards_by_hand():
    scores = torch.tensor([[1.0, 2.0], [3.0, 0.5]])
    close(work.combine_scores(scores, torch.tensor([1.0, -2.0])), [-3.0, 2.0])
    # Mean cost 2, limit 1.5: the price rises by 0.1 * 0.5. Far below the limit it stops at 0.
    assert work.lagrangian_step(0.3, torch.tensor([1.0, 3.0]), 1.5, 0.1) == pytest.approx(0.35)
    assert work.lagrangian_step(0.3, torch.tensor([1.0, 3.0]), 9.0, 0.1) == 0.0
    # The third is beaten by the first; the two equal ones do not beat each other.
    points = torch.tensor([[3.0, 1.0], [1.0, 3.0], [2.0, 1.0], [1.0, 3.0]])
    assert work.pareto_front(points).tolist() == [True, True, False, True]
