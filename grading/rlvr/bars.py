"""The bar of rlvr: how many sums the trained policy knows."""

import functools
from pathlib import Path

from autograder.authoring.course import load_assignment
from autograder.isolation.bridge.lab import Lab
from autograder.judging.diagnose import AnswerKey
from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]
hidden = load(ROOT / "grading" / "rlvr" / "test_hidden.py")


@functools.cache
def answer_key():
    """The answer key, read once."""
    return AnswerKey(load_assignment(ROOT, "rlvr"))


def solved(seed):
    """The share of prompts that the reference answers rightly after the training of one seed."""
    bridge = answer_key().reference.open(lambda event: None, None)
    try:
        return hidden.solved(bridge.student, Lab(bridge), seed)
    finally:
        bridge.close()


BARS = {"test_sums_are_learnt_from_rewards_alone": Bar(0.7, solved, range(1000, 1030))}
