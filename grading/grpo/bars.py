"""The bar of grpo, its checkpoint, and other conventions recognised in code that is not ours.

`python -m pytest -m slow grading/grpo/bars.py` shows that the reference raises the pass rate on
every seed (a minute and a half).
"""

import functools
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from autograder.authoring import right
from autograder.authoring.course import load_assignment
from autograder.judging import plugin
from autograder.judging.diagnose import AnswerKey
from autograder.judging.naming import examine
from autograder.model import Verdict
from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]
OTHER_STYLE = "loops_and_functional"  # of grading/grpo/right

STD = "(values.std(ddof=ddof) + eps)"
# The known bug that stands for a convention -> a line of the other solution, the same line in that
# convention, and what the convention is called.
CONVENTIONS = {
    "population-std": (STD, "(values.std() + eps)", "the population one (ddof 0)"),
    "divides-by-the-mean": (STD, "(values.mean() + eps)", "as CS336 offers it"),
    "eps-inside-the-root": (STD, "np.sqrt(values.var(ddof=ddof) + eps)", "inside the root"),
    "eps-as-a-floor": (STD, "max(values.std(ddof=ddof), eps)", "the smallest standard deviation"),
    "std-of-the-batch": (
        "        out[members] = whiten(values[members], eps, ddof, scale)",
        "        centred = values[members] - values[members].mean()\n"
        "        out[members] = centred / (values.std(ddof=1) + eps)",
        "as TRL offers it",
    ),
    "never-divides-by-std": (
        f'centred if scale == "none" else centred / {STD}',
        "centred",
        "Dr. GRPO",
    ),
    "baseline-of-the-others": (
        "centred = values - values.mean()",
        "centred = values - (values.sum() - values) / (values.size - 1)",
        "RLOO",
    ),
    "group-of-one-keeps-its-reward": (
        "        return 0.0 * values\n",
        "        return values / (1 + eps) if values.size == 1 else 0.0 * values\n",
        "as verl has it",
    ),
    "kl-is-k1": ("return torch.expm1(d) - d", "return -d", "k1"),
    "kl-is-k2": ("return torch.expm1(d) - d", "return 0.5 * d.square()", "k2"),
    "kl-in-the-reward": (
        "per_token = -torch.where(stuck, bound, ratio) * a",
        "k = k3_kl(new, ref_logp[m]).detach() if ref_logp is not None else 0 * new\n"
        "    a, beta = a - beta * k, 0.0\n"
        "    stuck = (upper & (a > 0)) | (lower & (a < 0))\n"
        "    per_token = -torch.where(stuck, bound, ratio) * a",
        "PPO-style RLHF",
    ),
    "always-token-mean": ("[agg]  # fmt: skip", '["token-mean"]  # fmt: skip', "DAPO"),
    "constant-is-the-row-width": (
        "1 / (B * (max_len or 1))",
        "1 / (B * m.shape[1])",
        "the padded width of the batch",
    ),
    "empty-rows-leave-the-mean": (
        "    B = len(m)\n",
        "    B = max(int(m.any(dim=1).sum()), 1)\n",
        "left out of the number of rows",
    ),
    "row-sum": (
        '"seq-mean-token-mean": 1 / (n * B)',
        '"seq-mean-token-mean": torch.full_like(n, 1 / B)',
        "seq-mean-token-sum",
    ),
    "clip-fraction-where-it-bites": (
        "average((upper | lower).double())",
        "average(stuck.double())",
        "as TRL and verl have it",
    ),
    "approx-kl-is-k1": (
        "average(ratio - 1 - (new - old))",
        "average(old - new)",
        "as verl reports it",
    ),
    "ratio-of-the-sequence": (
        "    ratio = (new - old).exp()\n",
        "    means = [(logp[i] - old_logp[i].detach())[m[i]].mean() for i in range(len(m))]\n"
        "    means = torch.stack(means)\n"
        "    old = new - means[row]\n"
        "    ratio = (new - old).exp()\n",
        "GSPO",
    ),
    "pieces-weigh-the-same": (
        'factor = here / max(total, 1) if cfg.agg == "token-mean" else len(part.adv) / B',
        "factor = 1 / len(range(0, B, size))",
        "divided by the number of pieces",
    ),
}


@functools.cache
def answers():
    """Hidden tests and answer key, read once."""
    assignment = load_assignment(ROOT, "grpo")
    return plugin.collect(assignment.hidden_tests), AnswerKey(assignment)


@pytest.mark.parametrize("bug", CONVENTIONS)
def test_another_convention_is_called_by_its_name(bug):
    tests, key = answers()
    ours, theirs, name = CONVENTIONS[bug]
    text = right.answers(load_assignment(ROOT, "grpo"))[OTHER_STYLE]
    assert text.count(ours) == 1
    candidate = key.candidate(text.replace(ours, theirs))
    outcomes = examine(key, [test for test in tests if bug in test.catches], candidate, 5)
    said = {m.bug for o in outcomes for m in o.named if o.verdict is Verdict.FAILED}
    assert bug in said
    assert name in key.texts[bug]


@functools.cache
def hidden():
    """The hidden tests' own decoder and checkpoint reader."""
    return load(ROOT / "grading" / "grpo" / "test_hidden.py")


def test_the_checkpoint_is_small_and_right_three_times_in_ten():
    module = hidden()
    assert module.WARM_START.stat().st_size < 1_000_000
    assert 0.25 < module.pass_rate(module.warm_start(), np.random.default_rng(0)) < 0.39


def loaded(path):
    """A module from its file, as starter code imports it: by its bare name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def reference():
    """The solution, imported."""
    return loaded(ROOT / "solutions" / "grpo" / "grpo.py")


def pass_rates(start, seeds):
    """Pass rates of the reference after the training and by the decoder of the learning check."""
    torch.set_num_threads(1)
    for seed in seeds:
        state = (
            reference()
            .train_grpo(
                reference().build_policy(start), reference().GRPOConfig(iterations=30), seed
            )
            .policy.state_dict()
        )
        yield hidden().pass_rate(state, np.random.default_rng(1), count=2000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_reference_raises_the_pass_rate_on_every_one_of_ten_seeds():
    before = hidden().pass_rate(hidden().warm_start(), np.random.default_rng(1), count=2000)
    gains = [after - before for after in pass_rates(hidden().warm_start(), range(10))]
    assert min(gains) >= 0.25, gains


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_warm_starts_are_as_good(seed):
    """Other checkpoints of the same script begin near 0.31 as well and gain as much."""
    reference()
    start = loaded(ROOT / "assignments" / "grpo" / "warm_start.py").train(seed)
    before = hidden().pass_rate(start, np.random.default_rng(1), count=2000)
    (after,) = pass_rates(start, [seed])
    assert 0.2 < before < 0.42 and after - before >= 0.25, (before, after)


def pass_rate(seed):
    """The pass rate of the reference after the learning check's training from the checkpoint."""
    return next(pass_rates(hidden().warm_start(), [seed]))


BARS = {
    "test_training_makes_the_skill_reliable": Bar(hidden().THRESHOLD, pass_rate, range(100, 140))
}
