"""Draws assignments/NAME/idea.svg, the picture that carries each handout's idea.

python assignments/pictures.py            writes the pictures that differ
python assignments/pictures.py --check    names them and exits with 1 if there are any
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

from drawing import Picture


def bandits() -> Picture:
    """What looks best, and what could still be best."""
    picture = Picture(250, "Three arms: estimates, and how good each could still be")
    picture.text(20, 24, "What looks best, and what could still be best", anchor="start", size=16)
    base, scale = 215, 50
    for x, name, q, n in ((140, "A", 1.0, 50), (330, "B", 0.8, 8), (520, "C", 0.3, 2)):
        bonus = 2 * math.sqrt(math.log(61) / n)
        top = base - scale * q
        picture.box(x - 35, top, 70, base - top, "value", full=True)
        picture.arrow(x, top, x, top - scale * bonus, "ink", dashed=True)
        picture.text(x + 44, top + 5, f"Q = {q:.1f}", "value", "start")
        picture.text(x + 12, top - scale * bonus + 10, f"{q + bonus:.2f}", anchor="start")
        picture.text(x, 236, f"arm {name}, pulled {n} times")
    picture.path([(60, base), (640, base)])
    picture.text(140, 110, "greed takes A")
    picture.text(600, 90, "UCB takes C", anchor="start")
    return picture


def dynamic_programming() -> Picture:
    """Values spread from the goal, one field for each sweep."""
    picture = Picture(
        245, "Value iteration on a corridor: news of the goal moves one field a sweep"
    )
    picture.text(20, 24, "News of the goal moves one field in each sweep", anchor="start", size=16)
    rows = [("-1.00", "-1.00", "-1.00"), ("-1.90", "-1.90", "-1.00"), ("-2.71", "-1.90", "-1.00")]
    settled = (1, 2, 3)
    for k, (row, known) in enumerate(zip(rows, settled, strict=True)):
        y = 45 + 62 * k
        picture.text(120, y + 30, f"sweep {k + 1}", anchor="end")
        for field, word in enumerate(row):
            right = field >= 3 - known
            picture.box(140 + 110 * field, y, 100, 46, "value", full=right)
            picture.text(190 + 110 * field, y + 29, word, "value", size=16)
        picture.box(470, y, 100, 46, "reward")
        picture.text(520, y + 29, "goal", "reward")
        x = 470 - 110 * known + (110 if known > 1 else 0)
        if known > 1:
            picture.arrow(x - 60, y - 12, x - 110, y - 2)
    picture.text(580, 72, "each step pays -1", "reward", "start")
    picture.text(580, 92, "discount 0.9", "ink", "start")
    picture.text(580, 196, "shaded: right", "value", "start")
    return picture


def td_learning() -> Picture:
    """One episode, and how far each method looks before it trusts the table."""
    picture = Picture(300, "Targets of the first step: one, two and three steps, and Monte Carlo")
    picture.text(
        20, 24, "How far does one look before one trusts the table?", anchor="start", size=16
    )
    states, rewards, x0 = ("A", "B", "A", "C", "end"), ("1", "0", "2", "4"), 130
    for k, state in enumerate(states):
        picture.dot(x0 + 95 * k, 62, 15, full=False)
        picture.text(x0 + 95 * k, 67, state, size=14 if k < 4 else 11)
        if k < 4:
            picture.arrow(x0 + 95 * k + 17, 62, x0 + 95 * k + 78, 62, "faint")
            picture.text(x0 + 95 * k + 47, 54, rewards[k], "reward")
    rows = (
        ("one step", 1, "1/2 x V(B)", "3", "1/2"),
        ("two steps", 2, "1/4 x V(A)", "1.5", "1/4"),
        ("three steps", 3, "1/8 x V(C)", "2.25", "1/8"),
        ("Monte Carlo", 4, "", "2", "1/8"),
    )
    picture.text(700, 24, "V(A) = 2, V(B) = 4, V(C) = 6", "value", "end")
    picture.text(580, 67, "target")
    picture.text(660, 67, "weight")
    for row, (name, looks, worth, target, weight) in enumerate(rows):
        y = 100 + 42 * row
        picture.text(x0 - 22, y + 20, name, anchor="end")
        for k in range(looks):
            picture.box(x0 + 95 * k + 10, y, 75, 30, "reward", full=True)
            factor = ("", "1/2 x ", "1/4 x ", "1/8 x ")[k]
            picture.text(x0 + 95 * k + 47, y + 20, factor + rewards[k], "reward")
        if worth:
            picture.text(x0 + 95 * looks + 47, y + 20, worth, "value")
        picture.text(580, y + 20, target, "advantage", size=16)
        picture.text(660, y + 20, weight)
    picture.path([(545, 270), (700, 270)], "faint", 1.2)
    picture.text(580, 290, "2.41", "advantage", size=16)
    picture.text(
        535, 290, "discount and lambda 1/2; their mean is the lambda-return:", anchor="end"
    )
    return picture


def model_based() -> Picture:
    """One real surprise, and how imagined steps carry it back."""
    picture = Picture(285, "A corridor walked once: imagined steps carry the reward back")
    picture.text(20, 24, "One walk to the goal. What does A know of it?", anchor="start", size=16)
    states, x0 = ("A", "B", "C", "goal"), 190
    for k, state in enumerate(states):
        picture.dot(x0 + 110 * k, 62, 17, full=False)
        picture.text(x0 + 110 * k, 67, state, size=14 if k < 3 else 11)
        if k < 3:
            picture.arrow(x0 + 110 * k + 19, 62, x0 + 110 * k + 91, 62, "faint")
            picture.text(x0 + 110 * k + 55, 54, "001"[k], "reward")
    rows = (
        ("the walk itself", ("0", "0", "1"), 2),
        ("imagine B again", ("0", "0.9", "1"), 1),
        ("imagine A again", ("0.81", "0.9", "1"), 0),
    )
    for row, (name, values, fresh) in enumerate(rows):
        y = 96 + 46 * row
        picture.text(x0 - 45, y + 22, name, anchor="end")
        for k, value in enumerate(values):
            picture.box(x0 + 110 * k - 30, y, 60, 32, "value", full=k >= fresh)
            picture.text(x0 + 110 * k, y + 22, value, "value", size=16)
    picture.text(580, 118, "three real steps", anchor="start")
    picture.path([(572, 142), (572, 220)], "faint", 1.2)
    picture.text(580, 172, "two imagined", anchor="start")
    picture.text(580, 192, "ones, no new", anchor="start")
    picture.text(580, 212, "experience", anchor="start")
    words = "In order of urgency 2 imagined steps are enough; at random one needs 6 on average"
    picture.text(360, 266, words, "ink")
    return picture


def continuous_control() -> Picture:
    """A Gaussian behind tanh, ever wider: what its actions look like."""
    picture = Picture(290, "Densities of squashed actions for three standard deviations")
    picture.text(20, 24, "A Gaussian behind tanh, ever wider", anchor="start", size=16)
    base, width, scale = 205, 180, 88
    cases = ((0.25, "careful", -0.03), (0.875, "nearly uniform", 0.68), (4.0, "on or off", -2.35))
    for column, (std, word, entropy) in enumerate(cases):
        left = 30 + 235 * column
        points = []
        for k in range(1, 200):
            a = -1 + k / 100
            u = math.atanh(a)
            normal = math.exp(-((u / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))
            points.append((left + width * (a + 1) / 2, base - scale * normal / (1 - a * a)))
        points = [(x, max(y, 48.0)) for x, y in points]
        picture.path(points, "kl", 2.4)
        picture.path([(left, base), (left + width, base)])
        for share, name in ((0.0, "-1"), (0.5, "0"), (1.0, "1")):
            picture.path([(left + width * share, base), (left + width * share, base + 5)])
            picture.text(left + width * share, base + 21, name, "faint")
        picture.text(left + width / 2, base + 48, f"deviation {std:g}: {word}")
        picture.text(left + width / 2, base + 70, f"entropy {entropy:.2f}", "kl")
    picture.text(700, 24, "density of the action", "kl", anchor="end")
    return picture


def offline_rl() -> Picture:
    """A state with four actions, one of them never tried, and what each method makes of it."""
    picture = Picture(285, "Four actions, one of them never tried: what is the state worth?")
    picture.text(
        20,
        24,
        "Four actions, one of them never tried: what is this state worth?",
        "ink",
        "start",
        16,
    )
    base, scale = 230, 45
    actions = (("60 times", 1.0), ("35 times", 2.0), ("5 times", 1.5), ("never", 3.4))
    for k, (count, value) in enumerate(actions):
        x, height = 40 + 80 * k, scale * value
        picture.box(x, base - height, 54, height, "value" if k < 3 else "faint", full=k < 3)
        words = f"{value:.1f}" if k < 3 else "3.4?"
        picture.text(x + 27, base - height - 8, words, "value" if k < 3 else "faint", size=16)
        picture.text(x + 27, base + 20, count)
    picture.path([(25, base), (350, base)])
    picture.text(188, base + 44, "how often each was taken; bars: what Q says", "faint")
    methods = (
        ("Q-learning", "3.40", "the largest, a guess"),
        ("CQL", "less", "pushes the guess down first"),
        ("BCQ", "2.00", "the best of the likely ones"),
        ("IQL", "1.70", "high among what was done"),
        ("cloning", "1.38", "what was done, on average"),
    )
    for k, (name, value, words) in enumerate(methods):
        y = 72 + 42 * k
        picture.text(380, y, name, anchor="start")
        picture.text(512, y, value, "value" if k else "faint", "end", 16)
        picture.text(524, y, words, anchor="start", size=13)
    return picture


def q_learning() -> Picture:
    """Four backup diagrams that differ below the next state."""
    picture = Picture(
        290, "Backup diagrams of Q-learning, SARSA, Expected SARSA and Double Q-learning"
    )
    picture.text(20, 24, "One step, four opinions about what comes next", anchor="start", size=16)
    columns = (
        (95, "Q-learning", "the largest Q", (0, 1, 0)),
        (270, "SARSA", "Q of the action taken", (1, 0, 0)),
        (445, "Expected SARSA", "mean under the policy", (1, 1, 1)),
        (620, "Double Q-learning", "Q1 chooses, Q2 judges", (0, 1, 0)),
    )
    for x, name, words, used in columns:
        picture.text(x, 55, name, size=15)
        picture.dot(x, 80, 6)
        picture.text(x + 14, 85, "S, A", anchor="start")
        picture.arrow(x, 86, x, 136)
        picture.text(x + 10, 115, "R", "reward", "start")
        picture.dot(x, 146, 10, full=False)
        picture.text(x + 18, 151, "S'", anchor="start")
        for place, on in zip((-45, 0, 45), used, strict=True):
            colour = "value" if on else "faint"
            picture.path([(x, 156), (x + place, 205)], colour, 2.4 if on else 1.2, dashed=not on)
            picture.dot(x + place, 211, 6, colour)
        picture.text(x, 250, words, "value")
    picture.path([(71, 190), (95, 178), (119, 190)], "value")
    picture.path([(596, 190), (620, 178), (644, 190)], "value")
    picture.text(
        360, 280, "full circle: an action; empty circle: a state; arc: the maximum", "faint"
    )
    return picture


def reinforce() -> Picture:
    """Which rewards an action is paid with."""
    picture = Picture(260, "Rewards to go: an action is paid with what comes after it")
    picture.text(20, 24, "An action is paid with what comes after it", anchor="start", size=16)
    rewards, x0, y0 = (2, 0, -1, 4), 200, 70
    for k, reward in enumerate(rewards):
        picture.text(x0 + 80 * k + 35, y0 - 12, f"r{k} = {reward}", "reward")
    for t in range(4):
        y = y0 + 40 * t
        picture.text(x0 - 15, y + 23, f"action a{t}", anchor="end")
        for k, reward in enumerate(rewards):
            picture.box(x0 + 80 * k, y, 70, 32, "reward" if k >= t else "faint", full=k >= t)
            word = f"{reward:+d}" if reward and k >= t else "0" if k >= t else "past"
            picture.text(x0 + 80 * k + 35, y + 21, word, "reward" if k >= t else "faint")
        picture.text(x0 + 345, y + 22, f"G{t} = {sum(rewards[t:])}", "advantage", "start", 16)
    picture.text(x0 + 345, 250, "discount 1", anchor="start")
    picture.text(x0 + 155, 250, "left of the diagonal: mean 0, pure noise", "faint")
    return picture


def gae() -> Picture:
    """One column of a rollout with its two kinds of ends."""
    picture = Picture(270, "A rollout with a termination and a truncation")
    picture.text(20, 24, "Two kinds of ends, two questions", anchor="start", size=16)
    ends = {2: "terminated", 5: "truncated"}
    for t in range(8):
        x = 60 + 85 * t
        picture.dot(x, 120, 17, full=False)
        picture.text(x, 125, f"s{t}")
        if t in ends:
            picture.path([(x + 42, 60), (x + 42, 185)], "ink", 3, dashed=ends[t] == "truncated")
            picture.text(x + 42, 52, ends[t])
        elif t < 7:
            picture.arrow(x + 19, 120, x + 65, 120, "faint")
        if t == 2:
            picture.text(x + 36, 162, "worth 0", "value", "end")
        elif t == 5:
            picture.arrow(x + 10, 137, x + 10, 163, "value")
            picture.text(x + 12, 178, "V(*)", "value", "end")
        if t not in ends and t < 7:
            picture.arrow(x + 72, 220, x + 12, 220, "advantage")
    picture.text(
        60, 205, "the recursion runs backwards and stops at both ends", "advantage", "start"
    )
    picture.text(
        60,
        252,
        "the bootstrap: V of the state that was reached, unless it terminated",
        "value",
        "start",
    )
    return picture


def dqn() -> Picture:
    """Where data and parameters flow."""
    picture = Picture(250, "DQN: an environment, a replay buffer, an online and a target network")
    picture.text(20, 24, "Old experience, and a target that holds still", anchor="start", size=16)
    places = {
        "environment": (30, 90, "ink"),
        "replay buffer": (210, 90, "ink"),
        "minibatch": (390, 90, "ink"),
        "online network": (560, 50, "value"),
        "target network": (560, 150, "value"),
    }
    for name, (x, y, colour) in places.items():
        picture.box(x, y, 130, 46, colour, full=colour == "value")
        picture.text(x + 65, y + 28, name, colour)
    picture.arrow(162, 113, 207, 113)
    picture.text(185, 82, "s, a, r, s', end", "reward")
    picture.arrow(342, 113, 387, 113)
    picture.text(365, 82, "at random")
    picture.arrow(522, 105, 557, 82)
    picture.arrow(522, 121, 557, 163)
    picture.arrow(625, 98, 625, 147, "value", dashed=True)
    picture.text(632, 126, "copy, now", "value", "start")
    picture.text(632, 142, "and then", "value", "start")
    picture.text(540, 215, "target r + discount · Q(s', best), no gradient", "value")
    picture.path([(625, 48), (625, 38), (95, 38), (95, 80)], "faint")
    picture.arrow(95, 78, 95, 89, "faint")
    picture.text(360, 56, "acts, mostly greedily", "faint")
    return picture


def ppo() -> Picture:
    """Gain of one sample against the ratio, for both signs of the advantage."""
    picture = Picture(
        290, "The clipped objective of one sample for a positive and a negative advantage"
    )
    picture.text(
        20, 24, "Clipping takes away the incentive, not the freedom", anchor="start", size=16
    )
    for x0, sign, words in ((50, 1, "gain at advantage +1"), (410, -1, "gain at advantage -1")):
        middle = 160

        def place(ratio: float, gain: float, x0: float = x0, middle: float = middle):
            return x0 + 140 * ratio, middle - 62 * gain

        picture.path([place(0, 0), place(1.9, 0)], "faint", 1)
        for mark in (0.8, 1.0, 1.2):
            x = place(mark, 0)[0]
            picture.path([(x, 55), (x, 262)], "faint", 1, dashed=True)
            picture.text(x, 280, f"{mark:g}", "ratio")
        bend = 1.2 if sign > 0 else 0.8
        slope = [(r, sign * r) for r in ((0.0, bend) if sign > 0 else (bend, 1.6))]
        flat = [(bend, sign * bend), ((1.8, bend) if sign > 0 else (0.0, -bend))]
        picture.path([place(*point) for point in slope], "advantage", 3)
        picture.path([place(*point) for point in flat], "advantage", 3, dashed=True)
        picture.text(x0 + 140, 48, words, "advantage", size=15)
    picture.text(228, 76, "no slope:", "advantage", "start")
    picture.text(228, 106, "likely enough", "advantage", "start")
    picture.text(470, 190, "no slope:", "advantage")
    picture.text(470, 230, "rare enough", "advantage")
    picture.text(15, 185, "slope also left of 0.8:", "ink", "start", 13)
    picture.text(15, 203, "the way back is open", "ink", "start", 13)
    picture.text(588, 120, "slope also right", "ink", "start", 13)
    picture.text(588, 138, "of 1.2: here too", "ink", "start", 13)
    picture.text(335, 280, "ratio", "ratio")
    picture.text(695, 280, "ratio", "ratio")
    return picture


def bradley_terry() -> Picture:
    """A difference of scores becomes a probability."""
    picture = Picture(
        260, "Two scores, their difference, and the probability that the first is chosen"
    )
    picture.text(20, 24, "Only the difference counts", anchor="start", size=16)
    for y, name, word in ((75, "chosen", "2.1"), (165, "rejected", "1.0")):
        picture.box(30, y, 110, 46)
        picture.text(85, y + 28, name)
        picture.arrow(144, y + 23, 205, y + 23)
        picture.text(230, y + 28, word, "reward", size=18)
    picture.text(230, 140, "difference 1.1", "reward")
    picture.arrow(285, 135, 360, 135)
    x0, y0 = 530, 215

    def place(d: float) -> tuple[float, float]:
        return x0 + 36 * d, y0 - 150 / (1 + math.exp(-d))

    picture.path([(x0 - 150, y0), (x0 + 150, y0)], "faint", 1)
    picture.path([(x0, y0), (x0, y0 - 160)], "faint", 1)
    picture.path([place(d / 5) for d in range(-20, 21)], "ratio", 2.6)
    x, y = place(1.1)
    picture.path([(x, y0), (x, y), (x0, y)], "ink", 1.2, dashed=True)
    picture.dot(x, y, 5, "reward")
    picture.text(x0 - 10, y + 5, "probability 0.75", "ratio", "end")
    picture.text(x0 + 60, y0 + 20, "1.1", "reward", "end")
    picture.text(530, 50, "pull on the scores: 1 - 0.75 = 0.25", "advantage")
    return picture


def sft() -> Picture:
    """One conversation: what stands there, what is trained, and who predicts it."""
    picture = Picture(262, "The tokens of a conversation, their labels, and who predicts them")
    picture.text(20, 24, "Two answers and their ends are trained", anchor="start", size=16)
    tokens, trained, x0 = "r31$>13$r7$>7$", (5, 6, 7, 12, 13), 96
    for first, last, words in ((0, 3, "user"), (4, 7, "assistant"), (8, 10, "user"), (11, 13, "assistant")):  # fmt: skip
        left, right = x0 + 44 * first, x0 + 44 * last + 38
        picture.path([(left, 66), (left, 60), (right, 60), (right, 66)], "faint", 1.2)
        picture.text((left + right) / 2, 52, words, "faint")
    picture.text(x0 - 12, 97, "token", anchor="end")
    picture.text(x0 - 12, 187, "label", anchor="end")
    for place, token in enumerate(tokens):
        x, learns = x0 + 44 * place, place in trained
        picture.box(x, 72, 38, 38, "value" if learns else "ink", full=learns)
        picture.text(x + 19, 97, token, "value" if learns else "ink", size=16)
        picture.text(x + 19, 187, token if learns else "-", "value" if learns else "faint", size=16)
        if learns:
            picture.box(x, 162, 38, 38, "value")
            picture.arrow(x - 25, 112, x + 14, 158, "ratio")
    picture.text(x0 - 12, 140, "logits", "ratio", "end")
    picture.text(
        360, 228, "The logits at a place are about the next token: the loss shifts by one."
    )
    words = "- : ignored. Headers (r, >), users and their ends are read, not learnt."
    picture.text(360, 250, words, "faint")
    return picture


def preference_optimization() -> Picture:
    """Both answers may become less likely; what counts is by how much."""
    picture = Picture(
        270, "Two answers under the reference and under the policy, and the margin between them"
    )
    picture.text(20, 24, "Who has fallen less?", anchor="start", size=16)
    rows = (("chosen", 85, -12.0, -13.0), ("rejected", 165, -10.0, -14.5))

    def place(logp: float) -> float:
        return 150 + 58 * (logp + 15.5)

    picture.text(place(-12.5), 50, "log-probability of the answer", "faint")
    for name, y, reference, policy in rows:
        picture.text(115, y + 5, name, anchor="end", size=15)
        picture.path([(place(-15.5), y), (place(-9.5), y)], "faint", 1)
        picture.dot(place(reference), y, 7, "ink", full=False)
        picture.arrow(place(reference) - 9, y, place(policy) + 9, y, "ratio")
        picture.dot(place(policy), y, 7, "ratio")
        picture.text(place(reference), y - 15, f"{reference:.1f}")
        picture.text(place(policy), y - 15, f"{policy:.1f}", "ratio")
        picture.text(530, y + 5, f"{policy - reference:+.1f}", "ratio", "start", 18)
    picture.path([(585, 85), (600, 85), (600, 165), (585, 165)], "ink", 1.4)
    picture.text(612, 130, "h = 3.5", "advantage", "start", 18)
    picture.dot(160, 212, 6, full=False)
    picture.text(174, 217, "reference", anchor="start")
    picture.dot(270, 212, 6, "ratio")
    picture.text(284, 217, "policy", "ratio", "start")
    picture.text(555, 60, "log-ratio", "ratio")
    words = (
        "With beta = 0.2: probability 0.67 that the chosen answer wins, although both have fallen"
    )
    picture.text(360, 252, words, "ink")
    return picture


def rlhf_pipeline() -> Picture:
    """One response: what each token is paid, where the score lands, what is never looked at."""
    picture = Picture(
        330, "A row of a batch: prompt, response and padding, and each token's reward"
    )
    picture.text(20, 24, "Who is paid what, and where", anchor="start", size=16)
    tokens, x0, step = ("_", "_", "r", "4", "2", ">", "2", "4", "$", "_"), 130, 56
    logp, ref = (-0.5, -0.4, -0.2), (-1.5, -0.6, -0.1)
    groups = ((0, 1, "padding"), (2, 5, "prompt"), (6, 8, "response"), (9, 9, "padding"))
    for first, last, words in groups:
        left, right = x0 + step * first, x0 + step * last + 48
        picture.path([(left, 62), (left, 56), (right, 56), (right, 62)], "faint", 1.2)
        picture.text((left + right) / 2, 48, words, "faint")
    for place, token in enumerate(tokens):
        x, said = x0 + step * place, 6 <= place <= 8
        picture.box(x, 68, 48, 38, "ratio" if said else "ink", full=said)
        picture.text(x + 24, 93, token, "ratio" if said else "faint", size=16)
    rows = (("log pi", 136, "ratio"), ("log ref", 164, "ink"), ("KL, beta = 0.1", 192, "kl"))
    for words, y, colour in (*rows, ("score", 220, "reward"), ("reward", 252, "reward")):
        picture.text(x0 - 12, y, words, colour, "end")
    for k, place in enumerate((6, 7, 8)):
        x = x0 + step * place + 24
        paid = -0.1 * (logp[k] - ref[k])
        picture.text(x, 136, f"{logp[k]:.1f}", "ratio")
        picture.text(x, 164, f"{ref[k]:.1f}")
        picture.text(x, 192, f"{paid:+.2f}", "kl")
        score = 1.0 if place == 8 else 0.0
        picture.text(x, 220, "+1" if score else "0", "reward")
        picture.text(x, 252, f"{paid + score:+.2f}", "reward", size=16)
    picture.arrow(x0 + step * 5 + 24, 110, x0 + step * 5 + 24, 272, "value")
    picture.text(
        x0 + step * 5 + 24, 290, "the critic reads up to here: V of the next token", "value"
    )
    words = (
        "The rewards add up to the score, less beta times the log-ratio of the whole response: 0.89"
    )
    picture.text(360, 318, words)
    return picture


def rlvr() -> Picture:
    """What a policy writes, and what a checker that holds makes of it."""
    picture = Picture(330, "Six answers of a policy, and what a checker makes of each")
    picture.text(
        20, 24, "Whatever the policy writes, only being right pays", anchor="start", size=16
    )
    picture.text(40, 56, "asked: 3 + 7", "faint", "start")
    picture.text(490, 56, "reward", "faint")
    rows = (
        ("<think>3 + 7 make 10</think><answer>10</answer>", "right, and in the form", 1),
        ("<think> </think><answer>10</answer>", "no reasoning", 0),
        ("<think>hm</think><answer>9</answer><answer>10</answer>", "two answers", 0),
        ("y = Yes()  # whose == says yes", "no calls, no classes", 0),
        ("while 1 == 1: y = 1 - y", "budget of steps", 0),
        ("y = 9 ** 9 ** 9 ** 9", "never worked out", 0),
    )
    picture.text(40, 180, "asked: a program for y", "faint", "start")
    for place, (words, why, reward) in enumerate(rows):
        y = 84 + 32 * place + 28 * (place > 2)
        picture.box(30, y - 18, 390, 26, "value" if reward else "ink", full=bool(reward))
        size = 13 if len(words) < 50 else 11
        picture.text(40, y, words, "value" if reward else "ink", "start", size)
        picture.arrow(424, y - 5, 465, y - 5, "value" if reward else "faint", dashed=not reward)
        picture.text(490, y, f"{reward}", "reward", size=18)
        picture.text(520, y, why, "reward" if reward else "faint", "start", 13)
    words = "What passed is imitated; then the policy is sampled from again."
    picture.text(40, 312, words, "value", "start")
    return picture


def grpo() -> Picture:
    """Eight answers to one prompt, and what each is worth beside its siblings."""
    picture = Picture(270, "A group of eight answers, their rewards and their advantages")
    picture.text(20, 24, "Judged against its siblings", anchor="start", size=16)
    rewards = (1, 0, 0, 1, 0, 0, 1, 0)
    mean = sum(rewards) / 8
    deviation = math.sqrt(sum((r - mean) ** 2 for r in rewards) / 7)
    picture.text(95, 62, "reward", "reward", "end")
    picture.text(95, 165, "advantage", "advantage", "end")
    for i, reward in enumerate(rewards):
        x, advantage = 140 + 72 * i, (reward - mean) / deviation
        picture.box(x - 27, 42, 54, 30, "reward", full=bool(reward))
        picture.text(x, 62, "right" if reward else "wrong", "reward")
        picture.arrow(x, 160, x, 160 - 48 * advantage, "advantage")
        picture.text(x, 98 if reward else 212, f"{advantage:+.2f}", "advantage")
    picture.path([(105, 160), (690, 160)], "ink", 1.2)
    picture.text(
        20, 250, "mean 3/8, deviation 0.52: the eight advantages add up to 0", "ink", "start"
    )
    return picture


def distributed_ppo() -> Picture:
    """What ranks exchange, and what a token weighs."""
    picture = Picture(280, "Two ranks with 900 and 100 tokens exchange sums and counts")
    picture.text(20, 24, "Sums travel, means do not", anchor="start", size=16)
    for y, rank, count in ((55, 0, 900), (165, 1, 100)):
        picture.box(30, y, 90, 60)
        picture.text(75, y + 35, f"rank {rank}")
        picture.box(140, y + 15, count / 6, 30, full=True)
        picture.text(150 + count / 6, y + 35, f"{count} tokens", anchor="start")
        target = 120 if rank == 0 else 160
        picture.arrow(385 if rank == 0 else 255, y + 30, 455, target)
    picture.box(460, 105, 110, 70, "ink")
    picture.text(515, 135, "all-reduce:")
    picture.text(515, 155, "sum, count")
    picture.arrow(572, 140, 610, 140)
    picture.text(616, 135, "the same step", anchor="start", size=13)
    picture.text(616, 153, "on both ranks", anchor="start", size=13)
    picture.text(30, 252, "A token weighs 1/1000 on either rank.", anchor="start")
    words = "A mean of the two means would give it 1/1800 on rank 0 and 1/200 on rank 1."
    picture.text(30, 272, words, "faint", "start")
    return picture


PICTURES: dict[str, Callable[[], Picture]] = {
    "bandits": bandits,
    "dynamic_programming": dynamic_programming,
    "td_learning": td_learning,
    "model_based": model_based,
    "continuous_control": continuous_control,
    "offline_rl": offline_rl,
    "q_learning": q_learning,
    "reinforce": reinforce,
    "gae": gae,
    "dqn": dqn,
    "ppo": ppo,
    "bradley_terry": bradley_terry,
    "sft": sft,
    "rlvr": rlvr,
    "preference_optimization": preference_optimization,
    "rlhf_pipeline": rlhf_pipeline,
    "grpo": grpo,
    "distributed_ppo": distributed_ppo,
}


def main(check: bool) -> int:
    """Write what differs, or only name it."""
    folder = Path(__file__).resolve().parent
    differing = []
    for name, draw in PICTURES.items():
        path, svg = folder / name / "idea.svg", draw().svg()
        if not path.is_file() or path.read_text(encoding="utf-8") != svg:
            differing.append(path)
            if not check:
                path.write_text(svg, encoding="utf-8", newline="\n")
    print("\n".join(map(str, differing)) or "All pictures are up to date.")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
