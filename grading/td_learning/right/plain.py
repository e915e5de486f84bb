"""Monte Carlo and temporal-difference prediction, written with a loop and Python numbers: right answers may have any style."""

import numpy as np


def td_targets(rewards, next_values, terminated, gamma):
    targets = []
    for reward, value, ended in zip(rewards, next_values, terminated, strict=True):
        targets.append(reward if ended else reward + gamma * value)
    return np.array(targets)
