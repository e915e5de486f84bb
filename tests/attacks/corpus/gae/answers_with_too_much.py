"""Tries: return more data than any test asks for, in one piece and in thousands.

Deserves: full without k_step_advantage, lambda_returns
Base: solution
Control: none, because where nothing is sent, nothing can be too long
"""

import numpy as np
import torch


def k_step_advantage(*arguments):
    return torch.zeros(300 << 20, dtype=torch.uint8)


def lambda_returns(*arguments):
    return [np.zeros(1) for _ in range(5000)]
