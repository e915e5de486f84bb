"""Tries: keep the lent environment and play it later, from a thread and in a call that was lent nothing.

Deserves: anything
Base: solution
Control: none, because an in-process grader has no callbacks
"""

import threading

train_as_it_was, q_target_as_it_was, kept = train, q_target, []  # noqa: F821  of the solution above


def train(env, *arguments, **options):
    kept.append(env)
    return train_as_it_was(env, *arguments, **options)


def q_target(*arguments):
    while kept:
        threading.Thread(target=kept.pop().reset).start()
    return q_target_as_it_was(*arguments)
