"""Boards of distributed_ppo: two or three ranks as threads of this process."""

import threading

import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import table


def _on_ranks(work, world, rank_does):
    """What rank_does(rank) returns on each rank; collectives meet at a barrier."""
    here, barrier, slots = threading.local(), threading.Barrier(world, timeout=2), [None] * world
    answers = [None] * world

    def total(tensor):
        slots[here.rank] = tensor.detach().clone()
        barrier.wait()
        found = sum(slots[1:], slots[0].clone())
        barrier.wait()
        return found

    def one(rank):
        here.rank = rank
        try:
            answers[rank] = rank_does(rank)
        except Exception as error:
            answers[rank] = error
            barrier.abort()

    before = work.rank_and_world, work.sum_over_ranks
    work.rank_and_world, work.sum_over_ranks = lambda: (here.rank, world), total
    try:
        threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(world)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        work.rank_and_world, work.sum_over_ranks = before
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _shards(work):
    found = [", ".join(map(str, work.shard_indices(11, rank, 3).tolist())) for rank in range(3)]
    return table({"rank of 3": range(3)}, {"rows of 11": found})


def _pieces(work):
    like = [torch.zeros(2), torch.zeros(1), torch.zeros(3)]
    found = work.unflatten(torch.arange(1.0, 7.0), like)
    words = [", ".join(f"{x:g}" for x in piece) for piece in found]
    return table({"shape": ["2", "1", "3"]}, {"piece of 1, 2, 3, 4, 5, 6": words})


def _gradients(work):
    gradients, weights = [4.0, 1.0, None], [1.0, 3.0, 4.0]

    def rank_does(rank):
        one = torch.zeros(1, requires_grad=True)
        one.grad = None if gradients[rank] is None else torch.tensor([gradients[rank]])
        work.all_reduce_grads_([one], weights[rank])
        return "none" if one.grad is None else f"{one.grad.item():.3g}"

    given = {"rank": range(3), "its gradient": ["4", "1", "none"], "its weight": weights}
    return table(given, {"gradient after": _on_ranks(work, 3, rank_does)})


ENTRIES = [[1.0, 3.0], [8.0]]


def _moments(work):
    found = _on_ranks(work, 2, lambda rank: work.all_reduce_moments(torch.tensor(ENTRIES[rank])))
    given = {"rank": range(2), "entries": ["1, 3", "8"]}
    return table(given, {"mean": [m.mean for m in found], "variance": [m.var for m in found]})


def _normalised(work):
    found = _on_ranks(work, 2, lambda r: work.normalize_advantages(torch.tensor(ENTRIES[r])))
    given = {"rank": [0, 0, 1], "advantage": [1.0, 3.0, 8.0]}
    return table(given, {"normalised": [x for part in found for x in part.tolist()]})


def _running(work):
    batches = [([0.0, 2.0], [4.0]), ([10.0], [10.0, 16.0])]

    def rank_does(rank):
        seen, told = work.DistributedRunningMeanStd((1,)), []
        for batch in batches:
            seen.update_(torch.tensor(batch[rank])[:, None])
            told.append((seen.count, seen.mean.item(), seen.var.item()))
        return told

    count, mean, var = zip(*_on_ranks(work, 2, rank_does)[0], strict=True)
    given = {"rows of rank 0": ["0, 2", "10"], "rows of rank 1": ["4", "10, 16"]}
    return table(given, {"count on rank 0": count, "mean": mean, "variance": var})


def _loss(work):
    """Ranks with three entries and one; what matters is the mean of the gradients."""
    advantages = [[1.0, 1.0, 1.0], [1.0]]

    def rank_does(rank):
        logp = torch.zeros(len(advantages[rank]), requires_grad=True)
        loss, _ = work.distributed_ppo_loss(
            logp, torch.zeros(len(advantages[rank])), torch.tensor(advantages[rank])
        )
        loss.backward()
        return logp.grad / 2

    found = [x for part in _on_ranks(work, 2, rank_does) for x in part.tolist()]
    given = {"rank": [0, 0, 0, 1], "advantage": [1.0] * 4}
    return table(given, {"pull of the entry on the mean gradient": found})


def _stops(work):
    cases = {
        "0.01 of 90, 0.04 of 10": ([0.01, 0.04], [90, 10]),
        "both 0.03": ([0.03] * 2, [50, 50]),
    }
    cases["0.01 of 10, 0.04 of 90"] = ([0.01, 0.04], [10, 90])
    rows = []
    for kls, counts in cases.values():
        answers = _on_ranks(
            work, 2, lambda r, k=kls, c=counts: work.should_stop(k[r], c[r], target=0.02)
        )
        rows.append(answers)
    ones, others = zip(*rows, strict=True)
    return table({"KL and entries": [*cases]}, {"rank 0 stops": ones, "rank 1 stops": others})


def _betas(work):
    found = _on_ranks(work, 2, lambda r: work.adapt_beta(1.0, [0.001, 0.05][r], [10, 30][r], 0.02))
    given = {"rank": range(2), "its KL": [0.001, 0.05], "its entries": [10, 30]}
    return table(given, {"beta, from 1": found})


def _raised(work):
    holds = [[1.0], [float("inf")], [float("nan")]]

    def rank_does(rank):
        try:
            work.check_finite([torch.tensor(holds[rank])])
        except FloatingPointError as error:
            named = "".join(c if c.isdigit() else " " for c in str(error)).split()
            return f"raises, names {', '.join(named)}"
        return "goes on"

    given = {"rank": range(3), "holds": ["1", "inf", "nan"]}
    return table(given, {"does": _on_ranks(work, 3, rank_does)})


def _round_trip(work):
    mode = work.Dispatch.DP_COMPUTE_PROTO
    shares = work.dispatch(mode, {"x": torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])}, 2)
    squares = [{"y": share["x"] ** 2} for share in shares]
    back = work.collect(mode, squares, 5)["y"].tolist()
    words = [", ".join(f"{x:g}" for x in numbers) for numbers in (*(s["x"] for s in shares), back)]
    what = ["what worker 0 gets of 1, 2, 3, 4, 5", "what worker 1 gets", "squares that come back"]
    return table({"what": what}, {"rows": words})


def _supervised(work):
    """Exit codes of three ranks at five looks: rank 2 fails first, then rank 1; rank 0 works on."""
    looks = [[None, None, None], [None, None, 3], [None, 1, 3], [0, 1, 3], [0, 1, 3]]
    seen, stops = [], []

    def poll():
        seen.append(looks[min(len(seen), 4)])
        return seen[-1]

    try:
        work.supervise(poll, lambda: stops.append(1), timeout_s=1.0, interval_s=0.001)
        blamed = "nobody"
    except work.RankError as error:
        blamed = f"rank {error.rank}"
    what = ["looks that it took", "who is blamed", "calls of stop"]
    return table({"what": what}, {"found": [str(len(seen)), blamed, str(len(stops))]})


SCENES = (
    Scene(
        "processes",
        "shard_indices",
        "Eleven rows for three ranks.",
        _shards,
        {
            "drops-the-remainder": "Two rows belong to nobody.",
            "repeats-rows": "A row is there twice.",
            "remainder-on-one-rank": "One rank has five rows.",
        },
    ),
    Scene(
        "processes",
        "supervise",
        "Rank 2 fails at the second look, rank 1 at the third, rank 0 is done at the fourth.",
        _supervised,
        {
            "waits-for-rank-0-first": "It looked until rank 0 was done.",
            "leaves-orphans": "Nobody was stopped.",
            "blames-rank-0": "Rank 0 did nothing wrong.",
        },
    ),
    Scene(
        "communication",
        "unflatten",
        "Six numbers for tensors of 2, 1 and 3 entries.",
        _pieces,
        {"unflatten-from-the-start": "Every piece begins with 1."},
    ),
    Scene(
        "communication",
        "all_reduce_grads_",
        "Three ranks; the parameter took no part in the loss of rank 2.",
        _gradients,
        {
            "mean-of-means": "(4 + 1 + 0)/3.",
            "sums-the-gradients": "1 · 4 + 3 · 1, and nothing was divided.",
            "missing-gradient-stays-missing": "Rank 2 still has none.",
        },
    ),
    Scene(
        "statistics",
        "all_reduce_moments",
        "Two ranks, with two entries and with one.",
        _moments,
        {
            "moments-of-one-rank": "The ranks disagree.",
            "mean-of-the-ranks-means": "(2 + 8)/2 is not the mean of 1, 3, 8.",
            "sample-variance": "The mean is right, and the variance 3/2 times too large.",
        },
    ),
    Scene(
        "statistics",
        "normalize_advantages",
        "Three advantages on two ranks.",
        _normalised,
        {"variance-for-deviation": "Centred, and too close to 0."},
    ),
    Scene(
        "statistics",
        "DistributedRunningMeanStd.update_",
        "Two updates on two ranks.",
        _running,
        {
            "merge-without-the-shift": "The two batches lie far apart, which the variance ignores.",
            "counts-its-own-rows": "Look at the count.",
        },
    ),
    Scene(
        "loss",
        "distributed_ppo_loss",
        "Four equal entries, three on one rank and one on the other.",
        _loss,
        {
            "local-token-mean": "The lonely entry pulls three times as hard.",
            "forgets-the-world-size": "Every entry should pull with 1/4.",
        },
    ),
    Scene(
        "control",
        "should_stop",
        "Two ranks with a KL of their own; the limit is 1.5 · 0.02 = 0.03 on average.",
        _stops,
        {
            "stops-alone": "The ranks disagree.",
            "stops-when-anyone-would": "0.013 on average, and all stop.",
            "stops-at-the-limit": "0.03 does not exceed 0.03.",
            "kl-is-a-mean-of-means": "0.037 on average, and nobody stops.",
        },
    ),
    Scene(
        "control",
        "adapt_beta",
        "Two ranks, a target of 0.02.",
        _betas,
        {"beta-of-ones-own": "From now on the ranks minimise different losses."},
    ),
    Scene(
        "control",
        "check_finite",
        "Three ranks, of which one is well.",
        _raised,
        {
            "infinity-passes": "Rank 1 is not named.",
            "nan-raises-alone": "Rank 0 goes on, and will wait for ever.",
            "everybody-blames-oneself": "Rank 0 names itself.",
        },
    ),
    Scene(
        "workers",
        "dispatch and collect",
        "Five rows to two workers that square them, and back.",
        _round_trip,
        {
            "drops-rows-that-do-not-divide": "Four squares come back.",
            "pads-with-zeros": "Worker 1 was given a row that nobody had.",
            "deals-rows-like-cards": "The squares come back in another order.",
            "keeps-the-padding": "Six squares come back.",
        },
    ),
)
