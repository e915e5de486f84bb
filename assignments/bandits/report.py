"""The plots of the handout, drawn from your bandits.py: `python report.py [--out DIR] [--runs N]`.

Takes about half a minute with the 200 runs of the default; fewer runs are faster and noisier.
`python report.py --study` writes study.csv, the numbers for your study, and draws nothing.
"""

import csv
import itertools
from functools import partial

import bandits as work
import matplotlib.pyplot as plt
import numpy as np
import plots

K = 10
# Agents are told apart by colour and by the kind of line.
BLUE, VERMILION, GREEN = "#0072b2", "#c04e00", "#007a59"
PURPLE, OCHRE, GREY = "#8f3f97", "#8a6500", "0.45"

AGENTS = {  # name -> how to make one, colour, line
    "ε = 0 (greedy)": (lambda: work.EpsilonGreedy(K, 0.0), GREY, ":"),
    "ε = 0.01": (lambda: work.EpsilonGreedy(K, 0.01), VERMILION, "--"),
    "ε = 0.1": (lambda: work.EpsilonGreedy(K, 0.1), BLUE, "-"),
    "UCB, c = 2": (lambda: work.UCB(K, 2.0), GREEN, "-"),
    r"optimistic, $Q_1$ = 5, $\alpha$ = 0.1": (
        lambda: work.EpsilonGreedy(K, 0.0, alpha=0.1, initial=5.0),
        PURPLE,
        "--",
    ),
    r"gradient, $\alpha$ = 0.1": (lambda: work.GradientBandit(K, 0.1), OCHRE, "-."),
}
_played = {}  # curves are shared between plots


def play(make_agent, runs, steps):
    """Average reward, share of optimal actions and mean regret at every step, each (steps,)."""
    rewards, optimal, regret = np.zeros(steps), np.zeros(steps), np.zeros(steps)
    for run in range(runs):
        means = np.random.default_rng([run, 0]).normal(size=K)  # the same testbeds for every agent
        trace = work.run_bandit(make_agent(), means, steps, np.random.default_rng([run, 1]))
        rewards += trace.rewards / runs
        optimal += (trace.actions == np.argmax(means)) / runs
        regret += work.pseudo_regret(means, trace.actions) / runs
    return rewards, optimal, regret


def curves(name, runs):
    if name not in _played:
        _played[name] = play(AGENTS[name][0], runs, 1000)
    return _played[name]


def smooth(values, window):
    """Mean of the last `window` values, from the first step that has so many."""
    return np.convolve(values, np.ones(window) / window, mode="valid")


def dress(axes, title, xlabel, ylabel):
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def reward_and_optimal(names, runs, title):
    """Two panels: average reward (faint, and its mean over 25 steps), share of optimal actions."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    steps = np.arange(1, 1001)
    for name in names:
        rewards, optimal, _ = curves(name, runs)
        _, colour, line = AGENTS[name]
        left.plot(steps, rewards, color=colour, linewidth=0.7, alpha=0.3)
        left.plot(steps[24:], smooth(rewards, 25), line, color=colour, linewidth=1.6, label=name)
        right.plot(steps[9:], 100 * smooth(optimal, 10), line, color=colour, linewidth=1.4)
    dress(left, "Average reward", "step", "reward")
    dress(right, "Optimal action, mean of 10 steps", "step", "% of runs")
    right.set_ylim(0, 100)
    left.legend(frameon=False, loc="lower right")
    figure.suptitle(f"{title}   (10 arms, mean of {runs} runs)", fontsize=12)
    return figure


def testbed(runs):
    return reward_and_optimal(list(AGENTS)[:3], runs, "ε-greedy on the testbed")


def exploration(runs):
    names = list(AGENTS)[2:5]
    figure = reward_and_optimal(names, runs, "Three ways to explore")
    left = figure.axes[0]
    # the spikes are in the first steps: show those, unsmoothed; the other panel shows the long run
    left.clear()
    for name in names:
        rewards = curves(name, runs)[0][:100]
        _, colour, line = AGENTS[name]
        left.plot(np.arange(1, 101), rewards, line, color=colour, linewidth=1.4, label=name)
    left.axvline(11, color="black", linewidth=0.7, linestyle=":")
    left.annotate("step 11", (11, -0.55), xytext=(4, 0), textcoords="offset points", fontsize=9)
    left.set_ylim(-0.6, 1.9)
    dress(left, "Average reward, first 100 steps", "step", "reward")
    left.legend(frameon=False, loc="upper right")
    return figure


def regret(runs):
    figure, axes = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
    steps = np.arange(1, 1001)
    for name, (_, colour, line) in AGENTS.items():
        axes.plot(steps, curves(name, runs)[2], line, color=colour, linewidth=1.6, label=name)
        print(f"{name}: regret {curves(name, runs)[2][-1]:.0f} after 1000 steps")
    axes.set_xscale("log")
    dress(
        axes,
        f"Cumulative pseudo-regret   (10 arms, mean of {runs} runs)",
        "step (logarithmic)",
        "regret",
    )
    axes.legend(frameon=False)
    return figure


def parameter_study(runs):
    runs = max(runs // 10, 1)
    families = {
        "ε-greedy   (ε)": (lambda x: work.EpsilonGreedy(K, x), range(-7, -1), BLUE),
        "UCB   (c)": (lambda x: work.UCB(K, x), range(-4, 3), GREEN),
        r"optimistic, $\alpha$ = 0.1   ($Q_1$)": (
            lambda x: work.EpsilonGreedy(K, 0.0, 0.1, x),
            range(-2, 3),
            PURPLE,
        ),
        r"gradient   ($\alpha$)": (lambda x: work.GradientBandit(K, x), range(-5, 2), OCHRE),
    }
    figure, axes = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
    marks = dict(zip(families, "os^D", strict=True))
    for name, (make, powers, colour) in families.items():
        values = [2.0**power for power in powers]
        scores = [play(partial(make, value), runs, 1000)[0].mean() for value in values]
        axes.plot(values, scores, color=colour, marker=marks[name], markersize=5, label=name)
    axes.set_xscale("log", base=2)
    ticks = 2.0 ** np.arange(-7, 3)
    axes.set_xticks(ticks, [f"1/{round(1 / x)}" if x < 1 else f"{x:g}" for x in ticks])
    title = f"Parameter study   (mean of {runs} runs, the same testbeds for every point)"
    dress(axes, title, "parameter (logarithmic)", "average reward over 1000 steps")
    axes.legend(frameon=False)
    return figure


def drifting(runs):
    runs, steps, window = max(runs // 10, 1), 10_000, 200
    kinds = {
        "sample averages": (None, VERMILION, "--"),
        r"constant step, $\alpha$ = 0.1": (0.1, BLUE, "-"),
    }
    figure, axes = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
    for name, (alpha, colour, line) in kinds.items():
        rewards = np.zeros(steps)
        for run in range(runs):
            agent, rng = work.EpsilonGreedy(K, 0.1, alpha=alpha), np.random.default_rng(run)
            rewards += work.run_bandit(agent, np.zeros(K), steps, rng, walk_sd=0.01).rewards / runs
        late = np.arange(window, steps + 1)
        axes.plot(late, smooth(rewards, window), line, color=colour, linewidth=1.4, label=name)
    dress(
        axes,
        f"Drifting arms, walk_sd = 0.01, ε = 0.1   (mean of {runs} runs)",
        "step",
        f"reward, mean of the last {window} steps",
    )
    axes.legend(frameon=False)
    return figure


def watch(runs):
    """One testbed, four agents: which arm each of them pulled when. The best arm is on top."""
    means = np.sort(np.random.default_rng([6, 0]).normal(size=K))
    names = [name for name in AGENTS if not name.startswith(("ε = 0.01", "optimistic"))]
    figure, panels = plt.subplots(len(names), 1, figsize=(11, 7), sharex=True, layout="constrained")
    for axes, name in zip(panels, names, strict=True):
        make, colour, _ = AGENTS[name]
        actions = work.run_bandit(make(), means, 500, np.random.default_rng([6, 1])).actions
        axes.plot(np.arange(1, 501), actions, "|", color=colour, markersize=7)
        best = np.mean(actions[-100:] == K - 1)
        title = f"{name}: the best arm in {best:.0%} of the last 100 steps"
        dress(axes, title, "step" if axes is panels[-1] else "", "mean of the arm")
        axes.set_yticks(range(K)[::3], [f"{means[arm]:.1f}" for arm in range(K)[::3]])
    return figure


def write_study(out, runs, steps=2000):
    """Mean regret and its standard error, for two agents, two arms and five gaps, in study.csv."""
    out.mkdir(parents=True, exist_ok=True)
    agents = {"ε = 0.1": lambda: work.EpsilonGreedy(2, 0.1), "UCB, c = 2": lambda: work.UCB(2)}
    with (out / "study.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["agent", "gap", "step", "regret", "standard error"])
        for (name, make), gap in itertools.product(agents.items(), (0.05, 0.1, 0.2, 0.5, 1.0)):
            means, found = np.array([0.0, gap]), []
            for run in range(runs):
                actions = work.run_bandit(make(), means, steps, np.random.default_rng(run)).actions
                found.append(work.pseudo_regret(means, actions))
            for step in np.unique(np.geomspace(1, steps, 60).astype(int)):
                cost = np.array(found)[:, step - 1]
                table.writerow([name, gap, step, cost.mean(), cost.std() / runs**0.5])
    print(f"{out / 'study.csv'}: the figure is yours to draw")


FIGURES = {
    "testbed": testbed,
    "exploration": exploration,
    "regret": regret,
    "parameter_study": parameter_study,
    "drifting": drifting,
    "watch": watch,
}


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--runs", type=int, default=200, help="runs for each curve (default 200)")
    parser.add_argument("--study", action="store_true", help="only write study.csv")
    options = parser.parse_args()
    if options.study:
        plots.save_study(write_study, options.out, options.runs)
    else:
        plots.save_all(options.out, FIGURES, options.runs)
