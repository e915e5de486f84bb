"""Tries: reach through the lent environment for its diary, its moves and its class, and call methods that were not lent.

Deserves: full without train
Base: solution
Control: none, because an in-process grader lends the object itself
"""


def train(env, *arguments, **options):
    reached = [name for name in ("diary", "moves", "rewards", "sums", "__dict__", "seeds", "lab") if name in dir(env)]
    worker = getattr(env, "_worker", None)
    for name in ("sums", "__init__", "__class__", "__getattribute__", "diary", "_bridge"):
        try:
            reached.append(worker.call_back(env._loan.id, name, (), {}))
        except RuntimeError:
            continue
    raise ValueError(f"nothing reached but {reached}")
