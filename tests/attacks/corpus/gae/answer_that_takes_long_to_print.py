"""Tries: return wrong arrays with 21 dimensions of two entries, which code that explains the difference prints number by number.

Deserves: full without gae
Base: solution
Control: none, because the naive grader prints no answers
"""

import torch

calls = []


def gae(rewards, *arguments, **options):
    calls.append(1)
    result = torch.zeros(*[2] * 21) + len(calls)
    return Advantages(result, result)  # noqa: F821  of the solution above
