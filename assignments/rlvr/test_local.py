"""Public tests of `rlvr`: small worked examples, in the order of the tasks. No points; everything
is visible.

    python -m pytest test_local.py                 all of them
    python -m pytest test_local.py -k answers      one part
    python -m pytest test_local.py -x --pdb        stop at the first failure and look around

At first each of them fails with NotImplementedError. The hidden tests are of another kind: they
check laws, on data that you have not seen, and attack your checkers. Importing transformers takes a
few seconds, once.
"""

import math

import pytest
import rlvr as work
import torch

# -- Part 1: reading and comparing answers ---------------------------------------------------------


def test_answers_are_read():
    good = "<think>3 and 7 make 10</think>\n<answer> 10 </answer>"
    assert work.read_answer("3+7?", good) == "10"
    assert work.read_answer("3+7?", good + " or 11") is None
    assert work.read_answer("3+7?", "<think> </think><answer>10</answer>") is None
    assert work.read_answer("3+7?", "<think>3+7?</think><answer>10</answer>") is None


def test_answers_that_are_numbers():
    assert work.parse_number("0.50") == (1, 2)
    assert work.parse_number("-6/8") == (-3, 4)
    assert work.parse_number("1,234") == (1234, 1)
    assert work.parse_number("1,2") is None  # a list
    assert work.parse_number("1e999999999") is None


def test_answers_are_compared():
    assert work.same_answer("1/2", "0.5") is True
    assert work.same_answer("0.333333", "1/3") is False
    assert work.same_answer(" no  solution", "no solution") is True
    assert work.same_answer(None, "None") is False
    assert work.answer_reward("?", "<think>so</think><answer>2/4</answer>", "0.5") == 1.0


# -- Part 2: programs with limits ------------------------------------------------------------------

DIGIT_SUM = """
y = 0
while x > 0:
    y += x % 10
    x //= 10
"""


def test_programs_of_countdown():
    assert work.countdown_reward("(7 - 4) * 8", [4, 7, 8], 24) == 1.0
    assert work.countdown_reward("8 / 3 * 3", [3, 3, 8], 8) == 1.0
    assert work.countdown_reward("3 * 8", [3, 8, 1], 24) == 0.0  # the 1 is left out
    assert work.countdown_reward("2 ** 3", [2, 3], 8) == 0.0  # no powers in this game


def test_programs_run():
    # 472: 4 + 7 + 2 = 13. 1 assignment, 4 looks at the condition, 3 times 2 assignments: 11 steps.
    assert work.run_program(DIGIT_SUM, 472) == 13
    assert work.run_program(DIGIT_SUM, 472, steps=11) == 13
    assert work.run_program(DIGIT_SUM, 472, steps=10) is None
    assert work.run_program("y = 2 ** 7", 0, bits=8) == 128  # 10000000 in binary: eight bits
    assert work.run_program("y = 2 ** 8", 0, bits=8) is None


def test_programs_are_refused():
    for source in ("y = open('x')", "import os", "y = [1][0]", "y = True", "y = z", "z = 1", "y ="):
        assert work.run_program(source, 3) is None
    assert work.run_program("y = 1\nwhile 1 == 1:\n    y = 2", 3) is None


def test_programs_pass_all_cases():
    cases = [(472, 13), (0, 0), (9, 9)]
    assert work.program_reward(DIGIT_SUM, cases) == 1.0
    assert work.program_reward("y = x", cases) == 0.0


# -- Part 3: several tries -------------------------------------------------------------------------


def test_tries_pass_at_k():
    # 4 answers, 1 right: of the 6 pairs 3 hold it. With replacement it would be 1 - (3/4)^2 = 7/16.
    assert work.pass_at_k(4, 1, 2) == pytest.approx(0.5)
    assert work.pass_at_k(4, 2, 3) == pytest.approx(1.0)  # only two are wrong


def test_tries_majority():
    assert work.majority(["7", "1/2", None, "0.5"]) == "1/2"
    assert work.majority(["7", "8"]) == "7"
    assert work.majority([None]) is None
    # Pairs of (7, 1/2, 0.5), in order: (7, 1/2) gives 7, (7, 0.5) gives 7, (1/2, 0.5) gives 1/2.
    assert work.maj_at_k(["7", "1/2", "0.5"], "0.5", 2) == pytest.approx(1 / 3)


def test_tries_best_of_two():
    # Right with probability 1/4: the best of two is wrong only if both are, 9/16.
    probs = torch.tensor([0.25, 0.75]).double()
    found = work.best_of_n_probs(probs, torch.tensor([1.0, 0.0]), 2)
    torch.testing.assert_close(found, torch.tensor([7 / 16, 9 / 16]).double())


# -- Part 4: rejection sampling --------------------------------------------------------------------


def test_expert_accepts():
    rewards = torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0])
    groups = torch.tensor([5, 5, 2, 5, 5])
    assert work.accept(rewards, groups, 2).tolist() == [True, False, True, True, False]


def test_expert_loss_by_hand():
    # Row 0: accepted, two tokens, (ln 2 + ln 8) / 2 = 2 ln 2. Row 1: rejected. Mean of both: ln 2.
    logp = torch.tensor([[0.0, 0.5, 0.125], [0.0, 0.1, 0.1]]).double().log()
    mask = torch.tensor([[0, 1, 1], [0, 1, 0]]).bool()
    found = work.expert_loss(logp, mask, torch.tensor([True, False]))
    torch.testing.assert_close(found, torch.tensor(math.log(2)).double())
    with pytest.raises(ValueError):
        work.expert_loss(logp[:, :2], mask, torch.tensor([True, False]))


# -- Part 5: which prompts teach -------------------------------------------------------------------


def test_filters_count():
    rewards = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0])
    groups = torch.tensor([4, 4, 9, 9, 1])
    found = work.filter_groups(rewards, groups)
    assert found.keep.tolist() == [False, False, True, True, False]
    assert (found.solved, found.failed) == (1, 1)


def test_filters_by_difficulty():
    right, tries = torch.tensor([0, 2, 8, 0]), torch.tensor([8, 8, 8, 0])
    kept = work.difficulty_filter(right, tries, 0.25, 0.75)
    assert kept.tolist() == [False, True, False, True]


def test_filters_while_drawing():
    groups = [torch.tensor(x) for x in ([0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0])]
    found = work.dynamic_sampling(lambda i: groups[i], wanted=2, most_groups=4)
    assert (found.kept, found.drawn) == ([1, 3], 4)
    assert found.reward_mean == pytest.approx(0.5)
    assert work.dynamic_sampling(lambda i: groups[i], wanted=1, most_groups=4).drawn == 2


# -- Part 6: turns with a tool ---------------------------------------------------------------------

# "12" is two ids if the policy writes digit by digit, and one if the tokeniser does.
PIECES = ["0", "1", "2", "3", "+", "=", "12", "?"]
CALL = PIECES.index("?")


def encode(text):
    ids = []
    while text:
        piece = max((p for p in PIECES if text.startswith(p)), key=len)
        ids.append(PIECES.index(piece))
        text = text[len(piece) :]
    return ids


def decode(ids):
    return "".join(PIECES[i] for i in ids)


def test_tools_are_asked():
    turns = iter([[1, 2, 4, 0, CALL], [1, 2]])
    asked = []
    found = work.rollout(
        lambda ids: next(turns),
        [3],
        lambda text: asked.append(text) or "=12",
        encode,
        decode,
        CALL,
        5,
    )
    assert asked == ["12+0"]
    #                       3  1  2  +  0  ?     =  12  1  2
    assert found.tokens == [3, 1, 2, 4, 0, CALL, 5, 6, 1, 2]
    assert found.mask == [0, 1, 1, 1, 1, 1, 0, 0, 1, 1]
    assert found.calls == 1


def test_tools_in_a_batch():
    short, long = work.Transcript([1, 2], [0, 1], 0), work.Transcript([1, 2, 3], [0, 1, 0], 1)
    tokens, mask = work.stack_transcripts([short, long], pad=7)
    assert tokens.tolist() == [[1, 2, 7], [1, 2, 3]]
    assert mask.tolist() == [[False, True, False], [False, True, False]]
    with pytest.raises(ValueError):
        work.stack_transcripts([work.Transcript([1, 2], [0, 1, 1], 0)], pad=7)


# -- Part 7: expert iteration ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    """A tiny GPT-2 with weights that a formula gives: nothing depends on a seed."""
    network = work.build_policy(width=8, layers=1, heads=2)
    with torch.no_grad():
        for number, weight in enumerate(network.parameters()):
            places = torch.arange(weight.numel(), dtype=torch.float32).reshape(weight.shape)
            weight.copy_(0.5 * torch.sin(1.7 * places + number))
    return network


def test_training_does_nothing_without_success(model):
    samples = work.Samples(torch.tensor([[1, 2, 3]]), torch.tensor([[False, True, True]]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    before = [weight.clone() for weight in model.parameters()]
    assert work.expert_update_(model, optimizer, samples, torch.tensor([False]), 1.0) == 0.0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_training_finds_what_is_rewarded(model):
    # Right is whatever begins with a 7. After a while most samples do.
    cfg = work.ExpertConfig(iterations=20, prompts=4, group_size=16, max_new=1, lr=0.03)
    result = work.train_expert(
        model, ["1>", "2>"], lambda prompts, said: [float(x[0] == "7") for x in said], cfg, seed=0
    )
    history = result.history
    assert len(history["reward_mean"]) == 20
    assert history["reward_mean"][-1] > history["reward_mean"][0]
    assert all(0 <= share <= 0.25 for share in history["accepted"])  # at most 4 of each 16


# -- Part 8: shaping -------------------------------------------------------------------------------


def test_shaping_by_hand():
    # Two states, the second terminal; Phi = (2, 5), gamma = 1/2. From 0 to 0: 1/2 * 2 - 2 = -1.
    # From 0 to 1: the end has no potential, 0 - 2 = -2. Out of the end nothing changes.
    rewards = torch.zeros(2, 1, 2).double()
    phi, end = torch.tensor([2.0, 5.0]).double(), torch.tensor([False, True])
    found = work.shaped_rewards(rewards, phi, 0.5, end)
    assert found[:, 0].tolist() == [[-1.0, -2.0], [0.0, 0.0]]


def test_shaping_backwards():
    phi = torch.tensor([2.0, 5.0]).double()
    bonus = 0.5 * phi[None, :] - phi[:, None]
    torch.testing.assert_close(work.potential_of(bonus, 0.5), phi)
    bonus[0, 1] += 1
    assert work.potential_of(bonus, 0.5) is None
