"""Draws the plots of the handout from your own continuous_control.py.

python report.py              saves PNG files beside this one (--out DIR for another place)
python report.py --quick      one short run of each kind
python report.py --opening    the numbers of the handout's first table; no figures
python report.py --study      the runs of the study, in study.csv; no figures
"""

import csv
import math

import continuous_control as work
import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import plots
import torch

STEP = 0.004
GRID = torch.arange(-50.0, 50.0, STEP, dtype=torch.float64)[:, None]  # of u, before tanh


# -- 1. how random is a squashed Gaussian? ---------------------------------------------------------


def entropies(std):
    """(entropy of u, entropy of tanh(u)) for mean 0, in nats, by quadrature."""
    log_std = torch.full_like(GRID, math.log(std))
    normal = torch.distributions.Normal(0.0, std).log_prob(GRID)[:, 0]
    squashed = work.squashed_log_prob(GRID, torch.zeros_like(GRID), log_std)
    weight = normal.exp() * STEP
    return float(-(weight * normal).sum()), float(-(weight * squashed).sum())


def opening():
    """The table on the handout's first page."""
    for std in (0.25, 0.5, 0.875, 2.0, 4.0):
        before, after = entropies(std)
        ends = math.erfc(math.atanh(0.9) / std / math.sqrt(2.0))
        print(f"deviation {std:5.3f}: entropy {before:5.2f} before tanh, {after:5.2f} after, {ends:4.0%} beyond 0.9")  # fmt: skip


def plot_entropy(quick):
    """Densities of squashed actions, and their entropy against the deviation."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    actions = np.linspace(-0.999, 0.999, 801)
    u = torch.atanh(torch.tensor(actions))[:, None]
    for std, colour in ((0.25, "C0"), (0.875, "C2"), (4.0, "C3")):
        log_std = torch.full_like(u, math.log(std))
        density = work.squashed_log_prob(u, torch.zeros_like(u), log_std).exp()
        left.plot(actions, density, color=colour, label=f"deviation {std:g}")
    left.set(xlabel="squashed action", ylabel="density", ylim=(0, 2.2))
    left.legend(fontsize=9)
    stds = np.geomspace(0.1, 6.0, 12 if quick else 40)
    found = np.array([entropies(float(std)) for std in stds])
    right.plot(stds, found[:, 0], "--", color="0.5", label="before tanh")
    right.plot(stds, found[:, 1], color="C4", label="after tanh")
    right.axhline(math.log(2.0), color="k", ls=":", label="uniform: log 2")
    right.set(xlabel="standard deviation before tanh", ylabel="entropy in nats", xscale="log")
    right.legend(fontsize=9)
    return figure


# -- 2. a world whose answer is known --------------------------------------------------------------

KNOWN = {
    "algorithm": "td3", "total_steps": 2_500, "warmup_steps": 400, "batch_size": 128, "gamma": 0.9,
    "hidden": (64, 64), "learning_rate": 2e-3, "policy_delay": 2, "tau": 0.02, "target_std": 0.05,
    "target_clip": 0.1,
}  # fmt: skip


def plot_known_answer(quick):
    """What TD3 has learned of a linear-quadratic problem, beside Riccati's solution."""
    env = work.LinearQuadratic(limit=8)
    config = work.Config(**KNOWN | ({"total_steps": 500} if quick else {}))
    agent = work.train(env, config, 0).agent
    P = env.value_matrix(config.gamma)
    gain = env.gain(P, config.gamma)
    rng = np.random.default_rng(1)
    states = rng.uniform(-0.7, 0.7, size=(300, 2))
    actions = rng.uniform(-1.0, 1.0, size=(300, 1))
    after = states @ env.A.T + 4.0 * actions @ env.B.T
    cost = (states @ env.Q * states).sum(1) + env.R[0, 0] * (4.0 * actions[:, 0]) ** 2
    truth = -cost - config.gamma * (after @ P * after).sum(1)
    with torch.no_grad():
        obs = torch.tensor(states, dtype=torch.float32)
        squashed = torch.tensor(actions, dtype=torch.float32)
        believed = work.q_values(agent.critic, obs, squashed)[:, 0].numpy()
    done = 4.0 * np.array([work.act(agent, state.astype(np.float32))[0] for state in states])
    best = np.clip(-(states @ gain.T)[:, 0], -4.0, 4.0)
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    for axis, x, y, name in (
        (axes[0], truth, believed, "Q of random actions"),
        (axes[1], best, done, "action of the actor"),
    ):
        axis.axline((x.mean(), x.mean()), slope=1.0, color="0.6", lw=1)
        axis.plot(x, y, ".", ms=4, color="C0")
        axis.set(xlabel=f"{name}: Riccati", ylabel=f"{name}: learned")
    return figure


# -- 3. the pendulum -------------------------------------------------------------------------------

STEPS = 3_000
KINDS = {
    "DDPG": ({"algorithm": "ddpg"}, "C3"),
    "TD3": ({"algorithm": "td3", "policy_delay": 2}, "C1"),
    "SAC": ({"algorithm": "sac"}, "C0"),
}


def run(seed, steps, **settings):
    """(result, record (n, 3)): after some environment steps, the temperature and the entropy."""
    record = []

    def listen(news):
        if news.step % 50 == 0 and news.agent.config.algorithm == "sac":
            obs = torch.tensor(probe)
            with torch.no_grad():
                heads = work.gaussian_heads(news.agent.actor(obs))
                log_prob = work.squash(*heads, noise).log_prob
            alpha = news.agent.log_alpha.exp().item()
            record.append((news.step, alpha, -float(log_prob.mean())))

    rng = np.random.default_rng(99)
    angle, speed = rng.uniform(-np.pi, np.pi, 256), rng.uniform(-4.0, 4.0, 256)
    probe = np.stack([np.cos(angle), np.sin(angle), speed], axis=1).astype(np.float32)
    noise = torch.tensor(rng.standard_normal((256, 1)), dtype=torch.float32)
    config = work.Config(total_steps=steps, callback=listen, **settings)
    return work.train(gymnasium.make("Pendulum-v1"), config, seed), np.array(record)


def plot_pendulum(quick):
    """Returns of the three algorithms, and what SAC does with its temperature."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    steps, seeds = (1_000, (0,)) if quick else (STEPS, (0, 1))
    for name, (settings, colour) in KINDS.items():
        for seed in seeds:
            result, record = run(seed, steps, **settings)
            label = name if seed == seeds[0] else None
            left.plot(
                result.steps, result.returns, "o-", ms=3, color=colour, label=label, alpha=0.8
            )
    left.set(xlabel="environment steps", ylabel="return of the episode", ylim=(None, 0))
    left.set_title(f"Pendulum-v1, {len(seeds)} seeds each", fontsize=10)
    left.legend(fontsize=9)
    right.plot(record[:, 0], record[:, 2], color="C4", label="entropy")
    right.axhline(-1.0, color="C4", ls=":", label="its target")
    right.plot(record[:, 0], np.log(record[:, 1]), color="C5", label="log temperature")
    right.set(xlabel="environment steps", ylabel="nats; log of the temperature")
    right.set_title("SAC, the last seed", fontsize=10)
    right.legend(fontsize=9)
    return figure


def study(out, seeds=range(5), steps=3_000):
    """study.csv: the greedy return of SAC for several target entropies."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "study.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["target_entropy", "seed", "return", "temperature"])
        for target in (1.0, 0.0, -1.0, -2.0, -4.0):
            for seed in seeds:
                result, _ = run(seed, steps, target_entropy=target)
                env = gymnasium.make("Pendulum-v1")
                mean = work.evaluate(result.agent, env, 20, 1000 + seed).mean()
                alpha = result.agent.log_alpha.exp().item()
                rows.writerow([target, seed, f"{mean:.1f}", f"{alpha:.4f}"])
                file.flush()
    print(out / "study.csv")


FIGURES = {"entropy": plot_entropy, "known_answer": plot_known_answer, "pendulum": plot_pendulum}


if __name__ == "__main__":
    parser = plots.parser(__doc__, __file__)
    parser.add_argument("--quick", action="store_true", help="one short run of each kind")
    parser.add_argument("--opening", action="store_true", help="the numbers of the first table")
    parser.add_argument("--study", action="store_true", help="the runs of the study, no figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.opening:
        opening()
    elif options.study:
        plots.save_study(study, options.out)
    else:
        plots.save_all(options.out, FIGURES, options.quick)
