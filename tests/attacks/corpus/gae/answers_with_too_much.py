"""Tries: return more data than any test asks for, in one piece and in thousands.

Deserves: full without td_residuals, lambda_returns
Base: solution
Control: none, because where nothing is sent, nothing can be too long
"""

import numpy as np
import torch


def td_residuals(*arguments):
    return torch.zeros(300 << 20, dtype=torch.uint8)


def lambda_returns(*arguments):
    return [np.zeros(1) for _ in range(5000)]
