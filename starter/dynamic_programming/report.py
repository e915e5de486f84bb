"""The plots of the handout, drawn from your dynamic_programming.py: `python report.py [--out DIR]`.

`python report.py --study` writes study.csv, the numbers for your study, and draws nothing.
"""

import csv
import itertools

import dynamic_programming as work
import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import plots

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#c04e00", "#007a59", "#718096"
LAKE_STEPS = [
    (-1, 0),
    (0, 1),
    (1, 0),
    (0, -1),
]  # (x, y) of FrozenLake's actions 0 left, 1 down, 2 right, 3 up
CLIFF_STEPS = [
    (0, -1),
    (1, 0),
    (0, 1),
    (-1, 0),
]  # (x, y) of CliffWalking's actions 0 up, 1 right, 2 down, 3 left


def environment(name, gamma=0.99, **options):
    return work.mdp_from_gym(gymnasium.make(name, **options), gamma)


def garnet(states, actions, branches, gamma, seed):
    """A random MDP: each action leads to a few random states and has a random reward."""
    rng = np.random.default_rng(seed)
    P = np.zeros((states, actions, states))
    for s, a in np.ndindex(states, actions):
        P[s, a, rng.choice(states, branches, replace=False)] = rng.dirichlet(np.ones(branches))
    return work.MDP(
        P, rng.uniform(-1, 1, size=(states, actions)), np.zeros(states, dtype=bool), gamma
    )


# -- value heat maps with arrows -------------------------------------------------------------------


def draw_values(axes, mdp, shape, steps, marks, title):
    """A heat map of v*, and an arrow for every action that the greedy policy may take."""
    v, pi, _ = work.value_iteration(mdp, 1e-12)
    shown = np.where([mark in "HGC" for mark in marks], np.nan, v).reshape(shape)
    image = axes.imshow(shown, cmap="viridis")
    low, high = np.nanmin(shown), np.nanmax(shown)
    for s, (row, column) in enumerate(np.ndindex(shape)):
        if marks[s] in "HGC":
            axes.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, fc="#e2e8f0", ec="white"))
            axes.text(column, row, marks[s], ha="center", va="center", color=GREY, fontsize=9)
            continue
        colour = "black" if v[s] > low + 0.6 * (high - low) else "white"
        for x, y in (steps[a] for a in np.flatnonzero(pi[s] > 0)):
            arrow = {"arrowstyle": "->", "color": colour, "lw": 1.3, "shrinkA": 0, "shrinkB": 0}
            tip, tail = (column + 0.42 * x, row + 0.42 * y), (column - 0.02 * x, row - 0.02 * y)
            axes.annotate("", tip, tail, arrowprops=arrow)
        if marks[s] == "S":
            axes.text(column - 0.44, row - 0.42, "S", ha="left", va="top", color=colour, fontsize=8)
    axes.set(title=title, xticks=[], yticks=[])
    axes.figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02)


def values():
    """What each state is worth, and where to go from there."""
    figure = plt.figure(figsize=(10.5, 7.2), layout="constrained")
    axes = figure.subplot_mosaic([["small", "big"], ["cliff", "cliff"]], height_ratios=[1.5, 1])
    for key, size, name in (("small", 4, "4x4"), ("big", 8, "8x8")):
        marks = gymnasium.make("FrozenLake-v1", map_name=name).unwrapped.desc.tobytes().decode()
        title = f"FrozenLake {name}, slippery: chance to arrive, discounted"
        lake = environment("FrozenLake-v1", map_name=name, is_slippery=True)
        draw_values(axes[key], lake, (size, size), LAKE_STEPS, marks, title)
    marks = "." * 36 + "S" + "C" * 10 + "G"
    cliff = environment("CliffWalking-v1")
    draw_values(
        axes["cliff"],
        cliff,
        (4, 12),
        CLIFF_STEPS,
        marks,
        "CliffWalking: minus the discounted number of steps",
    )
    figure.suptitle("Optimal values and every optimal action, $\\gamma$ = 0.99")
    print_starts()
    return figure


def print_starts():
    """The values at the start of the handout's table."""
    for name, gamma, options in (
        ("FrozenLake-v1", 0.99, {"map_name": "4x4"}),
        ("FrozenLake-v1", 0.99, {"map_name": "8x8"}),
        ("FrozenLake-v1", 0.99, {"map_name": "4x4", "is_slippery": False}),
        ("CliffWalking-v1", 0.99, {}),
        ("Taxi-v4", 0.99, {}),
        ("FrozenLake-v1", 1.0, {"map_name": "4x4"}),
        ("CliffWalking-v1", 1.0, {}),
    ):
        starts = gymnasium.make(name, **options).unwrapped.initial_state_distrib
        value = starts @ work.value_iteration(environment(name, gamma, **options), 1e-12)[0]
        print(f"{name} {options or ''}, gamma {gamma}: {value:.6f} at the start")


def sweeps():
    """What value iteration knows after some sweeps, and the walk that it has found in the end."""
    cliff = environment("CliffWalking-v1")
    figure, panels = plt.subplots(3, 2, figsize=(10, 5.6), layout="constrained")
    v, done = np.zeros(len(cliff.R)), 0
    for axes, until in zip(panels.flat, (1, 2, 4, 8, 12, 14), strict=True):
        while done < until:
            v, done = work.bellman_optimality(v, cliff), done + 1
        shown = np.where(np.arange(48) > 36, np.nan, v).reshape(4, 12)
        axes.imshow(shown, cmap="viridis", vmin=-13, vmax=-1)
        for (row, column), value in np.ndenumerate(shown):
            word = "" if np.isnan(value) or until == 14 else f"{value:.1f}"
            ink = "black" if value > -5 else "white"
            axes.text(column, row, word, ha="center", va="center", fontsize=6.5, color=ink)
        axes.set(title=f"after {until} sweep{'s' if until > 1 else ''}", xticks=[], yticks=[])
    pi, s, walk = work.greedy(work.q_from_v(v, cliff)), 36, [36]
    while s != 47 and len(walk) < 20:
        x, y = CLIFF_STEPS[int(np.argmax(pi[s]))]
        s += x + 12 * y
        walk.append(s)
    axes.plot([s % 12 for s in walk], [s // 12 for s in walk], "o-", color="#ff9d5c", ms=4)
    axes.set_title(f"after 14 sweeps, and a walk of {len(walk) - 1} steps")
    figure.suptitle("CliffWalking, $\\gamma$ = 0.99: values spread from the goal (lower right)")
    return figure


# -- how fast value iteration converges ------------------------------------------------------------


def draw_errors(axes, make, gammas, title, sweeps=120):
    """The true error of each sweep, and the line gamma^k times the error at the start."""
    styles = (GREEN, "-."), (BLUE, "-"), (ORANGE, "-")
    for gamma, (colour, line) in zip(gammas, styles, strict=True):
        mdp = make(gamma)
        best = work.value_iteration(mdp, 1e-13)[0]
        v, errors = np.zeros(len(best)), []
        for _ in range(sweeps + 1):
            errors.append(np.max(np.abs(v - best)))
            v = work.bellman_optimality(v, mdp)
        k = np.arange(sweeps + 1)
        style = {"color": colour, "lw": 3, "alpha": 0.6, "label": f"$\\gamma$ = {gamma}"}
        axes.semilogy(k, np.maximum(errors, 1e-16), line, **style)
        axes.semilogy(k, errors[0] * gamma**k, "--", color="black", lw=0.9)
    axes.set(title=title, xlabel="sweep $k$", ylim=(1e-9, 2e2), xlim=(0, sweeps))
    axes.grid(alpha=0.25)


def convergence():
    """The error after each sweep against gamma^k."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), sharey=True, layout="constrained")
    gammas = (0.7, 0.9, 0.99)
    draw_errors(
        axes[0], lambda gamma: garnet(50, 4, 5, gamma, seed=1), gammas, "a random MDP (Garnet)"
    )
    draw_errors(
        axes[1],
        lambda gamma: environment("FrozenLake-v1", gamma, map_name="8x8"),
        gammas,
        "FrozenLake 8x8, slippery",
    )
    draw_errors(
        axes[2], lambda gamma: environment("CliffWalking-v1", gamma), gammas, "CliffWalking"
    )
    axes[0].set_ylabel("$\\max_s |v_k(s) - v_*(s)|$")
    axes[0].plot(
        [], [], "--", color="black", lw=0.9, label="$\\gamma^k \\; \\max_s |v_0(s) - v_*(s)|$"
    )
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
    )
    figure.suptitle("The error falls at least as fast as $\\gamma^k$")
    return figure


# -- policy iteration against value iteration ------------------------------------------------------


def iterations():
    """Improvements of policy iteration and sweeps of value iteration, for longer and longer
    horizons."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), sharey=True, layout="constrained")
    horizons = np.array([2, 5, 10, 20, 50, 100, 200])
    problems = {
        "a random MDP (Garnet)": lambda gamma: garnet(50, 4, 5, gamma, seed=1),
        "FrozenLake 8x8, slippery": lambda gamma: environment(
            "FrozenLake-v1", gamma, map_name="8x8"
        ),
        "CliffWalking": lambda gamma: environment("CliffWalking-v1", gamma),
    }
    eps = 1e-3
    for ax, (title, make) in zip(axes, problems.items(), strict=True):
        sweeps, improvements, promised = [], [], []
        for gamma in 1 - 1 / horizons:
            mdp = make(gamma)
            theta = eps * (1 - gamma) / gamma  # the last change that promises an error below eps
            sweeps.append(len(work.value_iteration(mdp, theta)[2]))
            improvements.append(work.policy_iteration(mdp)[2])
            promised.append(work.stopping_sweeps(gamma, eps, np.max(np.abs(mdp.R))))
        ax.loglog(
            horizons,
            promised,
            "--",
            color=GREY,
            label="sweeps that surely suffice (stopping_sweeps)",
        )
        ax.loglog(
            horizons,
            sweeps,
            "o-",
            color=BLUE,
            label=f"value iteration: sweeps until the error is below {eps}",
        )
        ax.loglog(
            horizons, improvements, "s-", color=ORANGE, label="policy iteration: improvements"
        )
        ax.set(title=title, xlabel="horizon $1/(1-\\gamma)$")
        ax.grid(alpha=0.25)
    axes[0].set_ylabel("iterations")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    figure.suptitle(
        "Policy iteration hardly notices a longer horizon; each of its iterations solves a linear "
        "system"
    )
    return figure


# -- contraction -----------------------------------------------------------------------------------


def contraction():
    """How much one sweep pulls two random value functions together."""
    figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    gamma, rng = 0.9, np.random.default_rng(0)
    problems = {
        "Garnet, 2 next states": (garnet(50, 4, 2, gamma, seed=1), BLUE),
        "Garnet, 20 next states": (garnet(50, 4, 20, gamma, seed=1), GREEN),
        "CliffWalking (certain moves)": (environment("CliffWalking-v1", gamma), ORANGE),
    }
    for name, (mdp, colour) in problems.items():
        ratios = [
            work.contraction_ratio(*rng.normal(size=(2, len(mdp.R))), mdp) for _ in range(1000)
        ]
        ax.hist(ratios, bins=np.linspace(0, gamma, 73) + 1e-9, color=colour, alpha=0.6, label=name)
    ax.axvline(gamma, color="black", ls="--", lw=1, label="$\\gamma$ = 0.9, the bound")
    ax.set(xlabel="contraction_ratio(u, v, mdp)", ylabel="pairs out of 1000", xlim=(0, 1))
    ax.legend(loc="upper left")
    figure.suptitle("One sweep on random pairs $u$, $v$: never above $\\gamma$")
    return figure


# -- numbers for a study of your own ---------------------------------------------------------------


def write_study(out):
    """Sweeps and improvements on empty grids of growing side, for three slips, in study.csv."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "study.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["side", "slip", "states", "sweeps", "improvements"])
        for side, slip in itertools.product((4, 6, 9, 13, 20), (0.0, 0.2, 0.6)):
            rows = ["S" + "." * (side - 1)] + ["." * side] * (side - 2) + ["." * (side - 1) + "G"]
            mdp = work.grid_mdp(rows, slip, gamma=0.99)
            found = len(work.value_iteration(mdp, 1e-6)[2]), work.policy_iteration(mdp)[2]
            table.writerow([side, slip, len(mdp.R), *found])
    print(f"{out / 'study.csv'}: the figure is yours to draw")


FIGURES = {
    "values": values,
    "convergence": convergence,
    "iterations": iterations,
    "contraction": contraction,
    "sweeps": sweeps,
}


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--study", action="store_true", help="only write study.csv")
    options = parser.parse_args()
    if options.study:
        plots.save_study(write_study, options.out)
    else:
        plots.save_all(options.out, FIGURES)
