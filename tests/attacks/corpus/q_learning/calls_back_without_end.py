"""Tries: call the lent environment for ever: each call costs the grader as much as the student.

Deserves: full without train
Base: solution
Control: none, because an in-process grader has no callbacks
"""


import gymnasium


def train(env, *arguments, **options):
    if isinstance(env, gymnasium.Env):
        raise RuntimeError("this one is the student's own, nobody else pays for its calls")
    while True:
        env.reset(seed=1)
