"""Other conventions are recognised in code that is not ours, and the checkpoint of grpo is what its handout says.

    PYTHONPATH=. python tests/assignments/test_grpo.py      prints the distribution that grading/grpo quotes (four minutes of one core)
"""

import pytest

pytest.importorskip("transformers")

import functools
import importlib.util
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch

from autograder import plugin
from autograder.course import load_assignment
from autograder.diagnose import AnswerKey, judge
from autograder.examine import InProcess
from autograder.model import Verdict

ROOT = Path(__file__).resolve().parents[2]
OTHER_STYLE = ROOT / "tests" / "independent" / "grpo" / "loops_and_functional.py"

STD = "(values.std(ddof=ddof) + eps)"
CONVENTIONS = {  # known bug that stands for a convention -> (line of the other solution, the same line in that convention, how it is called)
    "population-std": (STD, "(values.std() + eps)", "the population one (ddof 0)"),
    "eps-inside-the-root": (STD, "np.sqrt(values.var(ddof=ddof) + eps)", "inside the root"),
    "eps-as-a-floor": (STD, "max(values.std(ddof=ddof), eps)", "the smallest standard deviation"),
    "never-divides-by-std": (f"centred if scale == \"none\" else centred / {STD}", "centred", "Dr. GRPO"),
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
    "constant-is-the-row-width": ("1 / (B * (max_len or 1))", "1 / (B * m.shape[1])", "the padded width of the batch"),
    "empty-rows-leave-the-mean": ("    B = len(m)\n", "    B = max(int(m.any(dim=1).sum()), 1)\n", "left out of the number of rows"),
    "ratio-of-the-sequence": (
        "    ratio = (new - old).exp()\n",
        "    means = torch.stack([(logp[i] - old_logp[i].detach())[m[i]].mean() for i in range(len(m))])\n"
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
    text = OTHER_STYLE.read_text(encoding="utf-8")
    assert text.count(ours) == 1
    candidate = InProcess.of(text.replace(ours, theirs), "grpo.py")
    outcomes = key.settle([judge(test, candidate, 5, key) for test in tests if bug in test.catches])
    said = {outcome.diagnosis for outcome in outcomes if outcome.verdict is Verdict.FAILED}
    assert f"These are the numbers one gets when {key.texts[bug]}" in said
    assert name in key.texts[bug]


def hidden():
    """The hidden tests' own decoder and checkpoint reader."""
    spec = importlib.util.spec_from_file_location("grpo_hidden_tests", ROOT / "grading" / "grpo" / "test_hidden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_checkpoint_is_small_and_right_three_times_in_ten():
    module = hidden()
    assert module.WARM_START.stat().st_size < 1_000_000
    assert 0.25 < module.pass_rate(module.warm_start(), np.random.default_rng(0)) < 0.39


def distribution(seeds):
    """Pass rates of the reference after the learning check's training, judged by the learning check's decoder."""
    spec = importlib.util.spec_from_file_location("grpo", ROOT / "solutions" / "grpo" / "grpo.py")
    work = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(work)
    module = hidden()
    start = work.build_policy(module.warm_start())
    cfg = work.GRPOConfig(iterations=30)
    for seed in seeds:
        state = work.train_grpo(start, cfg, seed).policy.state_dict()
        yield module.pass_rate(state, np.random.default_rng(1), count=2000)


if __name__ == "__main__":
    torch.set_num_threads(1)
    rates = []
    for rate in distribution(range(40)):
        rates.append(rate)
        print(len(rates) - 1, rate, flush=True)
    print("min, mean, max, sd:", min(rates), statistics.mean(rates), max(rates), statistics.stdev(rates))
