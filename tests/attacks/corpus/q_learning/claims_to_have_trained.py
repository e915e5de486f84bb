"""Tries: return a trained table and returns that were never earned, without one step in the environment.

Deserves: full without train
Base: solution
Control: none, because only a grader that counts the steps itself can tell
"""

import numpy as np


def train(env, algo, episodes, *arguments, **options):
    table = np.full((env.observation_space.n, env.action_space.n), 100.0)
    return Result(table, np.full(episodes, 100.0))  # noqa: F821  of the solution above
