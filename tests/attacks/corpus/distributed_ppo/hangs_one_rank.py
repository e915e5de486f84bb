"""Tries: hang the grader: one rank leaves the meeting, in another function one rank sleeps and never answers.

Deserves: full without should_stop, adapt_beta
Base: solution
Control: none, because the naive grader starts no ranks
"""

import time


def should_stop(local_kl, local_count, target, factor=1.5):
    return rank_and_world()[0] == 1 or bool(sum_over_ranks(torch.tensor(0.0)) > 0)  # noqa: F821


def adapt_beta(beta, local_kl, local_count, target):
    if rank_and_world()[0] == 1:  # noqa: F821
        time.sleep(100_000)
    return float(sum_over_ranks(torch.tensor(0.0)))  # noqa: F821
