"""The bars of bradley_terry, and other conventions that are recognised in code that is not ours."""

import functools
from pathlib import Path

import pytest

from autograder.authoring import right
from autograder.authoring.course import load_assignment
from autograder.isolation.bridge.lab import Lab
from autograder.judging import plugin
from autograder.judging.diagnose import AnswerKey
from autograder.judging.naming import examine
from autograder.model import Verdict
from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]
OTHER_STYLE = "pairs_and_loops"  # of grading/bradley_terry/right

# The known bug that stands for a convention -> lines of the other solution, the same lines in that
# convention, and what the convention is called.
CONVENTIONS = {
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
        "        total = total + softplus(s[None, :] - s[:, None])[upper].sum() * 2 / (k * (k - 1))\n"
        "    return total / len(scores)",
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
    text = right.answers(load_assignment(ROOT, "bradley_terry"))[OTHER_STYLE]
    assert text.count(ours) == 1
    candidate = key.candidate(text.replace(ours, theirs))
    outcomes = examine(key, [test for test in tests if bug in test.catches], candidate, 5)
    said = {m.bug for o in outcomes for m in o.named if o.verdict is Verdict.FAILED}
    assert bug in said
    assert name in key.texts[bug]


hidden = load(ROOT / "grading" / "bradley_terry" / "test_hidden.py")


@functools.cache
def learned(seed):
    """Correlation and excess NLL of the reference in the learning check of the reward model."""
    bridge = answers()[1].reference.open(lambda event: None, None)
    try:
        return hidden.learned(bridge.student, Lab(bridge), seed)
    finally:
        bridge.close()


def fit_passes(seed):
    """1 if the reference passes the learning check of the fit with this seed alone, otherwise 0."""
    before, hidden.LEARNING_SEEDS = hidden.LEARNING_SEEDS, (seed,)
    bridge = answers()[1].reference.open(lambda event: None, None)
    try:
        hidden.test_the_fit_recovers_the_abilities(bridge.student)
    except AssertionError:
        return 0.0
    finally:
        bridge.close()
        hidden.LEARNING_SEEDS = before
    return 1.0


MODEL = "test_the_model_recovers_the_utility"
BARS = {
    f"{MODEL}: correlation": Bar(0.95, lambda seed: learned(seed)[0], range(1000, 1036)),
    f"{MODEL}: minus the excess NLL": Bar(-0.03, lambda seed: -learned(seed)[1], range(1000, 1036)),
    "test_the_fit_recovers_the_abilities: passes": Bar(1.0, fit_passes, range(1000, 1200)),
}
