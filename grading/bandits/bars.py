"""The bars of bandits' learning checks, with fresh reference runs."""

import functools
from pathlib import Path

from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]
hidden = load(ROOT / "grading" / "bandits" / "test_hidden.py")
reference = load(ROOT / "solutions" / "bandits" / "bandits.py")


@functools.cache
def share(agent, seed):
    """How often an agent of the reference takes the best arm in the end."""
    agents = {
        "explorer": lambda: reference.EpsilonGreedy(10, 0.1),
        "greedy": lambda: reference.EpsilonGreedy(10, 0.0),
        "optimist": lambda: reference.EpsilonGreedy(10, 0.0, 0.1, initial=5.0),
        "UCB": lambda: reference.UCB(10, 2.0),
    }
    return hidden.optimal_share(reference, agents[agent], seed)


EXPLORING = "test_exploring_beats_greed"
BARS = {
    f"{EXPLORING}: share": Bar(0.62, lambda seed: share("explorer", seed)),
    f"{EXPLORING}: lead": Bar(0.08, lambda seed: share("explorer", seed) - share("greedy", seed)),
    "test_ucb_finds_the_best_arm": Bar(0.71, lambda seed: share("UCB", seed)),
    "test_optimism_explores": Bar(0.63, lambda seed: share("optimist", seed)),
}
