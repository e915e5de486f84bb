"""Public tests of `distributed_ppo`: small examples with the arithmetic in comments. They earn
nothing and hide nothing.

Tests of several ranks start them with ``work.launch``: two processes on your machine, which meet
through a file. If such a test takes a long time and then complains of a rank that never came, one
of your ranks skipped a collective call that the other made.
"""

import io
import os
import time

import distributed_ppo as work
import pytest
import torch

SECONDS = 60.0
# start processes of their own or look at an exception's class; grading has other ways for both
HERE_ONLY = (
    "test_supervise_sees_that_rank_1_failed_while_rank_0_still_runs",
    "test_an_exception_on_one_rank_ends_all",
    "test_rank_0_is_everybodys_model",
    "test_gradients_are_weighed",
    "test_a_sum_in_three_steps_is_the_sum",
    "test_advantages_are_normalised_over_all_ranks",
    "test_a_step_of_two_ranks_is_the_step_of_one",
    "test_beta_is_the_same_everywhere",
    "test_one_nan_stops_every_rank",
    "test_moments_of_1_2_3_and_6",
    "test_every_token_counts_the_same",
    "test_all_stop_or_none",
    "test_a_worker_group",
    "test_two_ranks_train_one_model",
)


def on_two_ranks(program):
    """What ``program`` returns on rank 0 and on rank 1."""
    return work.launch(program, 2, timeout_s=SECONDS)


# -- Part 1 ----------------------------------------------------------------------------------------


def test_seven_rows_on_three_ranks():
    shards = [work.shard_indices(7, rank, 3) for rank in range(3)]
    assert sorted(len(shard) for shard in shards) == [2, 2, 3]
    assert sorted(int(row) for shard in shards for row in shard) == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_more_ranks_than_rows(rows):
    assert sum(len(work.shard_indices(rows, rank, 3)) for rank in range(3)) == rows


def test_seeds_of_neighbouring_runs_do_not_meet():
    assert work.rank_seed(0, 1) != work.rank_seed(1, 0)
    assert work.rank_seed(5, 2) == work.rank_seed(5, 2)


def test_supervise_sees_that_rank_1_failed_while_rank_0_still_runs():
    stopped = []
    with pytest.raises(work.RankError) as caught:
        work.supervise(lambda: [None, 3], lambda: stopped.append(True), timeout_s=5.0)
    assert caught.value.rank == 1
    assert stopped == [True]


def _fails_on_rank_1():
    if torch.distributed.get_rank() == 1:
        raise ValueError("no more bread")
    time.sleep(600)


def test_an_exception_on_one_rank_ends_all():
    begin = time.monotonic()
    with pytest.raises(work.RankError, match="no more bread") as caught:
        on_two_ranks(_fails_on_rank_1)
    assert caught.value.rank == 1
    assert time.monotonic() - begin < SECONDS


# -- Part 2 ----------------------------------------------------------------------------------------


def test_flatten_and_back():
    tensors = [torch.tensor([[1.0, 2.0]]), torch.tensor(3.0)]
    flat = work.flatten(tensors)
    assert flat.tolist() == [1.0, 2.0, 3.0]
    assert [t.tolist() for t in work.unflatten(flat, tensors)] == [[[1.0, 2.0]], 3.0]


def _broadcast():
    rank, _ = work.rank_and_world()
    tensor = torch.tensor([float(rank), 7.0])
    work.broadcast_params_([tensor])
    return tensor.tolist()


def test_rank_0_is_everybodys_model():
    assert on_two_ranks(_broadcast) == [[0.0, 7.0], [0.0, 7.0]]


def _weighted_mean():
    rank, _ = work.rank_and_world()
    parameter = torch.nn.Parameter(torch.zeros(2))
    idle = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.tensor([4.0, 0.0]) if rank == 0 else torch.tensor([0.0, 8.0])
    work.all_reduce_grads_([parameter, idle], weight=3.0 if rank == 0 else 1.0)
    return parameter.grad.tolist(), idle.grad is None


def test_gradients_are_weighed():
    # (3 * 4 + 1 * 0) / 4 = 3 and (3 * 0 + 1 * 8) / 4 = 2; nobody has a gradient of the second
    # parameter
    assert on_two_ranks(_weighted_mean) == [([3.0, 2.0], True)] * 2


def _in_three_steps():
    rank, _ = work.rank_and_world()
    mine = torch.tensor([1.0, 10.0]) if rank == 0 else torch.tensor([2.0, 20.0])
    return [work.hierarchical_all_reduce_(mine.clone(), size).tolist() for size in (1, 2)]


def test_a_sum_in_three_steps_is_the_sum():
    # nodes of one rank each, then one node of two: 1 + 2 and 10 + 20 everywhere
    assert on_two_ranks(_in_three_steps) == [[[3.0, 30.0], [3.0, 30.0]]] * 2


# -- Part 3 ----------------------------------------------------------------------------------------


def _moments():
    rank, _ = work.rank_and_world()
    return tuple(
        work.all_reduce_moments(torch.tensor([1.0, 2.0, 3.0]) if rank == 0 else torch.tensor([6.0]))
    )


def test_moments_of_1_2_3_and_6():
    # mean 12 / 4 = 3, variance (4 + 1 + 0 + 9) / 4 = 3.5; the mean of the ranks' means would be 4
    for mean, var, count in on_two_ranks(_moments):
        assert (mean, var, count) == (pytest.approx(3.0), pytest.approx(3.5), 4)


def _normalize():
    rank, _ = work.rank_and_world()
    mine = torch.tensor([1.0, 2.0, 3.0]) if rank == 0 else torch.tensor([6.0])
    return work.normalize_advantages(mine).tolist()


def test_advantages_are_normalised_over_all_ranks():
    # mean 3 and variance 3.5, as above: (A - 3) / sqrt(3.5)
    here, there = on_two_ranks(_normalize)
    assert here == pytest.approx([-2 / 3.5**0.5, -1 / 3.5**0.5, 0.0], abs=1e-6)
    assert there == pytest.approx([3 / 3.5**0.5])


def test_running_statistics_alone():
    stats = work.DistributedRunningMeanStd((1,))
    stats.update_(torch.tensor([[1.0], [3.0]]))
    stats.update_(torch.tensor([[8.0]]))
    # of 1, 3, 8: mean 4, variance (9 + 1 + 16) / 3
    assert (stats.mean.item(), stats.var.item(), stats.count) == (
        pytest.approx(4.0),
        pytest.approx(26 / 3),
        3,
    )


# -- Part 4 ----------------------------------------------------------------------------------------


def _loss():
    rank, _ = work.rank_and_world()
    advantages = torch.tensor([1.0, 2.0, 3.0]) if rank == 0 else torch.tensor([10.0])
    logp = torch.zeros_like(advantages, requires_grad=True)
    loss, metrics = work.distributed_ppo_loss(logp, torch.zeros_like(advantages), advantages)
    loss.backward()
    return loss.item(), logp.grad.tolist(), metrics["ratio_mean"]


def test_every_token_counts_the_same():
    # all ratios are 1: loss_r = -2 * (sum of this rank's advantages) / 4, and d loss / d logp = -2
    # A / 4
    (one, grad, ratio), (other, grad_there, _) = on_two_ranks(_loss)
    assert (one, other) == (pytest.approx(-3.0), pytest.approx(-5.0))
    assert grad == pytest.approx([-0.5, -1.0, -1.5])
    assert grad_there == pytest.approx([-5.0])
    assert ratio == pytest.approx(1.0)


STEP = {"hidden": 3, "optimizer": "sgd", "learning_rate": 0.5, "max_grad_norm": None}


def _three_rows():
    rows = torch.Generator().manual_seed(0)
    return work.Batch(
        torch.rand(3, 4, generator=rows),
        torch.tensor([0, 1, 1]),
        torch.full((3,), -0.7),
        torch.tensor([1.0, -2.0, 4.0]),
        torch.tensor([3.0, 0.0, 1.0]),
        torch.ones(3, dtype=torch.bool),
    )


def _step(pieces):
    """The parameters after one step on these rows of the three, in so many micro-batches."""
    config = work.PPOConfig(**STEP)
    model = work.ActorCritic(4, 2, 3)
    optimizer = work.make_optimizer(model, config)
    batches = [work.Batch(*(field[rows] for field in _three_rows())) for rows in pieces]
    work.distributed_step_(model, optimizer, batches, config)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).tolist()


def _step_on_a_share():
    rank, _ = work.rank_and_world()
    return _step([slice(0, 1), slice(1, 2)] if rank == 0 else [slice(2, 3)])


def test_a_step_of_two_ranks_is_the_step_of_one():
    # Rank 0 has two micro-batches of one row, rank 1 has the third row: the mean is over three rows.
    alone = _step([slice(0, 3)])
    here, there = on_two_ranks(_step_on_a_share)
    assert here == there == pytest.approx(alone, abs=1e-6)


# -- Part 5 ----------------------------------------------------------------------------------------


def _stop():
    rank, _ = work.rank_and_world()
    # rank 0: KL 0.06 on 10 entries, rank 1: 0.01 on 40: the mean is 0.02
    kl, count = ((0.06, 10), (0.01, 40))[rank]
    return work.should_stop(kl, count, target=0.01), work.should_stop(kl, count, target=0.02)


def test_all_stop_or_none():
    assert on_two_ranks(_stop) == [(True, False)] * 2


def _beta():
    rank, _ = work.rank_and_world()
    kl, count = ((0.06, 10), (0.01, 40))[rank]  # the mean is 0.02, as above
    return [work.adapt_beta(3.0, kl, count, target) for target in (0.01, 0.02, 0.04)]


def test_beta_is_the_same_everywhere():
    # 0.02 > 1.5 * 0.01: twice as much; near 0.02: as it was; 0.02 < 0.04 / 1.5: half as much
    assert on_two_ranks(_beta) == [[6.0, 3.0, 1.5]] * 2


def _check():
    rank, _ = work.rank_and_world()
    work.check_finite([torch.ones(2)])
    try:
        work.check_finite([torch.ones(2), torch.tensor([1.0, float("nan") if rank else 2.0])])
    except FloatingPointError as error:
        return str(error)
    return "nothing was raised"


def test_one_nan_stops_every_rank():
    here, there = on_two_ranks(_check)
    assert "1" in here and here == there


def test_checkpoint_in_a_file(tmp_path):
    state = {"w": torch.tensor([1.0, 2.0]), "step": 3, "nested": {"lr": [0.1, None]}}
    work.save_checkpoint(tmp_path / "run.pt", **state)
    back = work.load_checkpoint(tmp_path / "run.pt")
    assert back["w"].tolist() == [1.0, 2.0]
    assert (back["step"], back["nested"]) == (3, {"lr": [0.1, None]})
    with pytest.raises(ValueError):
        work.load_checkpoint(io.BytesIO(b"not a checkpoint"))


# -- Part 6 ----------------------------------------------------------------------------------------


def test_shares_are_equal_and_come_back_in_order():
    mode = work.Dispatch.DP_COMPUTE_PROTO
    shares = work.dispatch(mode, {"x": torch.arange(5)}, 2)
    assert [len(share["x"]) for share in shares] == [3, 3]  # one row is sent twice
    assert work.collect(mode, [{"x": 10 * share["x"]} for share in shares], 5)["x"].tolist() == [
        0,
        10,
        20,
        30,
        40,
    ]


class Adder:
    """A worker that adds its rank."""

    def __init__(self, rank, world):
        self.rank = rank

    def add(self, batch):
        return {"x": batch["x"] + self.rank}

    def fail(self, batch):
        if self.rank == 1:
            raise ValueError("out of flour")
        return batch


def test_a_worker_group():
    group = work.WorkerGroup(work.InProcessEngine(), Adder, 2)
    call = group.begin("add", {"x": torch.tensor([0, 0, 0, 0])}, work.Dispatch.DP_COMPUTE_PROTO)
    assert group.finish(call)["x"].tolist() == [0, 0, 1, 1]
    with pytest.raises(work.WorkerError, match="out of flour") as caught:
        group.finish(group.begin("fail", None, work.Dispatch.ONE_TO_ALL))
    assert caught.value.rank == 1


# -- Part 7 ----------------------------------------------------------------------------------------


def _short_run():
    config = work.PPOConfig(
        envs=3, rollout_steps=20, iterations=2, hidden=8, minibatches=2, epochs=1
    )
    result = work.train_distributed_ppo("CartPole-v1", config, seed=0)
    return (
        result.steps,
        [parameter.sum().item() for parameter in result.model.parameters()],
        os.getpid(),
    )


def test_two_ranks_train_one_model():
    (steps, model, process), (steps_there, model_there, process_there) = on_two_ranks(_short_run)
    assert process != process_there
    assert steps == steps_there == 3 * 20 * 2
    assert model == model_there


def test_a_learner_resumes():
    config = work.PPOConfig(hidden=8, minibatches=2, epochs=1)
    rows = torch.Generator().manual_seed(0)
    batch = work.Batch(
        torch.rand(12, 4, generator=rows), torch.ones(12, dtype=torch.int64), torch.full((12,), -0.7),
        torch.rand(12, generator=rows), torch.rand(12, generator=rows), torch.ones(12, dtype=torch.bool),
    )  # fmt: skip
    first = work.Learner(config)
    first.update_(batch)
    file = io.BytesIO()
    work.save_checkpoint(file, learner=first.state())
    first.update_(batch)
    file.seek(0)
    second = work.Learner(config)
    second.restore_(work.load_checkpoint(file)["learner"])
    second.update_(batch)
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
