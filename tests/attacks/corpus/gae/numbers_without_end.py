"""Tries: return ranges and empty arrays that have 2^40 rows, and iterators that never end: code that loops over them never returns.

Deserves: full without k_step_advantage, lambda_returns, RolloutBuffer
Base: solution
Control: none, because the naive grader does not loop over answers
"""

import itertools

import torch


def k_step_advantage(*arguments):
    return range(2**62)


def lambda_returns(*arguments):
    return torch.zeros(2**40, 0)


class RolloutBuffer:
    def __init__(self, *arguments, **options):
        pass

    def minibatches(self, *arguments, **options):
        return map(torch.tensor, itertools.repeat([0]))

    def __len__(self):
        return 2**70
