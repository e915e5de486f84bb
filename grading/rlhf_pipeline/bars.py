"""The bar of rlhf_pipeline: how much of the possible gain PPO wins."""

import functools
from pathlib import Path

from autograder.authoring.course import load_assignment
from autograder.isolation.bridge.lab import Lab
from autograder.judging.diagnose import AnswerKey
from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]
hidden = load(ROOT / "grading" / "rlhf_pipeline" / "test_hidden.py")


@functools.cache
def answer_key():
    """The answer key, read once."""
    return AnswerKey(load_assignment(ROOT, "rlhf_pipeline"))


def gained(seed):
    """The gain of the reference in the world of one seed."""
    bridge = answer_key().reference.open(lambda event: None, None)
    try:
        return hidden.gained(bridge.student, Lab(bridge), seed)
    finally:
        bridge.close()


BARS = {"test_training_comes_near_the_optimum": Bar(0.7, gained, range(1000, 1030))}
