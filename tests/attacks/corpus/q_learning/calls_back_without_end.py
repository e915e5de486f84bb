"""Tries: call the lent environment for ever: each call costs the grader as much as the student.

Deserves: full without train
Base: solution
Control: none, because an in-process grader has no callbacks
"""


def train(env, *arguments, **options):
    while True:
        env.reset(seed=1)
