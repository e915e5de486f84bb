"""The bar of sft: how often a student answers as its teacher most likely would."""

import functools
from pathlib import Path

from autograder.authoring.course import load_assignment
from autograder.isolation.bridge.lab import Lab
from autograder.judging.diagnose import AnswerKey
from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]
hidden = load(ROOT / "grading" / "sft" / "test_hidden.py")


@functools.cache
def answer_key():
    """The answer key, read once."""
    return AnswerKey(load_assignment(ROOT, "sft"))


def agreement(seed):
    """The agreement of the reference in the world of one seed."""
    bridge = answer_key().reference.open(lambda event: None, None)
    try:
        return hidden.agreement(bridge.student, Lab(bridge), seed)
    finally:
        bridge.close()


BARS = {"test_a_student_learns_what_its_teacher_means": Bar(0.7, agreement, range(1000, 1030))}
