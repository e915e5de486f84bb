"""Other conventions of bradley_terry are recognised in code that is not ours.

PYTHONPATH=. python grading/bradley_terry/bars.py     prints the distributions that grading/bradley_terry quotes (two minutes)
"""

import functools
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from autograder.authoring.course import load_assignment
from autograder.isolation.bridge.lab import Lab
from autograder.judging import plugin
from autograder.judging.diagnose import AnswerKey
from autograder.judging.hidden_test import InProcess
from autograder.judging.naming import examine
from autograder.model import Verdict

ROOT = Path(__file__).resolve().parents[2]
OTHER_STYLE = ROOT / "grading" / "bradley_terry" / "right" / "pairs_and_loops.py"

CONVENTIONS = {  # known bug that stands for a convention -> (lines of the other solution, the same in that convention, how it is called)
    "gauge-of-the-last": (
        "return np.array(new) - np.mean(new)",
        "return np.array(new) - new[-1]",
        "as Agresti's table has it",
    ),
    "abilities-in-elo": (
        "        theta = mm_step(wins, theta)\n    return theta\n",
        "        theta = mm_step(wins, theta)\n    return 400 * theta / math.log(10)\n",
        "Elo's scale",
    ),
    "smoothing-halved": (
        "softplus(-d) + label_smoothing * d)",
        "softplus(-d) + label_smoothing / 2 * d)",
        "as classifiers have it",
    ),
    "ties-count-as-right": (
        "(0.5 + 0.5 * torch.sign(chosen - rejected))",
        "(chosen >= rejected)",
        "a tie counts as a right answer",
    ),
    "all-pairs-alike": (
        "        total = total + softplus(s[None, :] - s[:, None])[upper].sum() * 2 / (k * (k - 1))\n    return total / len(scores)",
        "        total = total + softplus(s[None, :] - s[:, None])[upper].sum()\n"
        "    return total / sum(len(s) * (len(s) - 1) / 2 for s in scores)",
        "all pairs of all prompts weigh the same",
    ),
    "sample-deviation": ("((said - said.mean(0)) ** 2).mean(0).sqrt()", "said.std(0)", "(ddof 1)"),
    "p-value-of-scipy": (
        "    edges = [np.quantile(ref, b / bins) for b in range(1, bins)]",
        "    import scipy.stats\n\n    p_value = scipy.stats.ks_2samp(ref, new).pvalue\n"
        "    edges = [np.quantile(ref, b / bins) for b in range(1, bins)]",
        "scipy.stats.ks_2samp",
    ),
}


@functools.cache
def answers():
    """Hidden tests and answer key, read once."""
    assignment = load_assignment(ROOT, "bradley_terry")
    return plugin.collect(assignment.hidden_tests), AnswerKey(assignment)


@pytest.mark.parametrize("bug", CONVENTIONS)
def test_another_convention_is_called_by_its_name(bug):
    tests, key = answers()
    ours, theirs, name = CONVENTIONS[bug]
    text = OTHER_STYLE.read_text(encoding="utf-8")
    assert text.count(ours) == 1
    candidate = InProcess.of(text.replace(ours, theirs), "bradley_terry.py")
    outcomes = examine(key, [test for test in tests if bug in test.catches], candidate, 5)
    said = {m.bug for o in outcomes for m in o.named if o.verdict is Verdict.FAILED}
    assert bug in said
    assert name in key.texts[bug]


def distribution(seeds):
    """Correlation and excess NLL of the reference in the learning check of the reward model."""
    spec = importlib.util.spec_from_file_location(
        "bradley_terry_hidden_tests", ROOT / "grading" / "bradley_terry" / "test_hidden.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for seed in seeds:
        bridge = answers()[1].reference.open(lambda event: None, None)
        yield module.learned(bridge.student, Lab(bridge), seed)
        bridge.close()


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = []
    for pair in distribution(range(1000, 1036)):
        found.append(pair)
        print(len(found) - 1, *pair, flush=True)
    for name, numbers in zip(("correlation", "NLL - entropy"), np.array(found).T, strict=True):
        print(
            f"{name}: mean {numbers.mean():.4f}, sd {numbers.std(ddof=1):.4f}, min {numbers.min():.4f}, max {numbers.max():.4f}"
        )
