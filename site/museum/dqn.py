"""Boards of dqn: a few transitions, curves of schedules and losses."""

import numpy as np
import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table


def _replay(work):
    buffer = work.ReplayBuffer(4, (1,), np.float32)
    for number in range(1, 7):
        buffer.add(np.array([number]), 0, float(number), np.array([number + 1]), False)
    batch = buffer.sample(4000, np.random.default_rng(1))
    counts = np.bincount(batch.reward.long(), minlength=7)
    return table({"transition": range(1, 7)}, {"times drawn of 4000": counts[1:]})


def _held(work):
    buffer, lengths = work.ReplayBuffer(4, (1,), np.float32), []
    for number in range(1, 7):
        buffer.add(np.array([number]), 0, float(number), np.array([number + 1]), False)
        lengths.append(len(buffer))
    return table({"transitions added": range(1, 7)}, {"length": lengths})


def _half_full(work):
    buffer = work.ReplayBuffer(6, (1,), np.float32)
    for number in range(1, 4):
        buffer.add(np.array([number]), 0, float(number), np.array([10.0 * number]), False)
    batch = buffer.sample(3000, np.random.default_rng(1))
    counts = np.bincount(batch.reward.long(), minlength=4)
    belongs = (batch.next_obs[:, 0] == 10 * batch.reward).double().mean() * 100
    given = {"what": ["draws of an empty slot", "of 1", "of 2", "of 3", "rows that fit, in %"]}
    return table(given, {"found": [*counts, round(float(belongs))]})


REWARD = torch.tensor([1.0, 1.0, 0.0])
TARGET = torch.tensor([[2.0, 6.0, 4.0], [8.0, 1.0, 3.0], [-4.0, -2.0, -6.0]])
ONLINE = torch.tensor([[9.0, 3.0, 4.0], [2.0, 7.0, 5.0], [-5.0, -6.0, -1.0]])
ENDS = torch.tensor([False, True, False])


def _given(**more):
    rows = {name: [", ".join(f"{x:g}" for x in row) for row in q] for name, q in more.items()}
    return {"reward": REWARD, "terminated": ENDS, **rows}


def _targets(work):
    found = work.dqn_targets(REWARD, TARGET.clone(), ENDS, 0.5)
    return table(_given(**{"target network": TARGET.tolist()}), {"y": found})


def _double(work):
    found = work.double_dqn_targets(REWARD, ONLINE.clone(), TARGET.clone(), ENDS, 0.5)
    given = _given(**{"online network": ONLINE.tolist(), "target network": TARGET.tolist()})
    return table(given, {"y": found})


def _huber(work):
    errors = torch.linspace(-3, 3, 61)
    losses = [
        work.td_loss(torch.tensor([[float(e), 9.0]]), torch.tensor([0]), torch.tensor([0.0]))
        for e in errors
    ]
    return curve({"Q(s, a) less y": errors}, {"loss": losses})


def _losses(work):
    q = torch.tensor([[1.0, 5.0], [2.0, 4.0], [3.0, 0.0]])
    action, target = torch.tensor([0, 1, 0]), torch.tensor([2.0, 4.5, 3.0])
    kinds = ["mse", "huber"]
    words = "three rows: Q(s, a) is 1, 4, 3, the targets are 2, 4.5, 3"
    found = [work.td_loss(q, action, target, kind) for kind in kinds]
    return table({f"loss of {words}": kinds}, {"loss": found})


def _epsilon(work):
    steps = range(0, 161, 4)
    return curve(
        {"step": steps}, {"epsilon": [work.linear_epsilon(s, 1.0, 0.2, 100) for s in steps]}
    )


def _soft(work):
    online, target = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(online.weight, 1.0)
    torch.nn.init.constant_(target.weight, 0.0)
    followed = [0.0]
    for _ in range(40):
        work.soft_update_(target, online, 0.1)
        followed.append(target.weight.item())
    return curve({"updates": range(41)}, {"weight of the target network": followed})


def _hard(work):
    online, target = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    rows = []
    for value, learn in ((3.0, False), (5.0, False), (5.0, True)):
        torch.nn.init.constant_(online.weight, value)
        if learn or not rows:
            work.hard_update_(target, online)
        rows.append((online.weight.item(), target.weight.item()))
    ones, others = zip(*rows, strict=True)
    given = {"after": ["a copy", "the online one learns", "a copy"], "online weight": ones}
    return table(given, {"target weight": others})


def _explores(work):
    rng, q = np.random.default_rng(6), np.array([1.0, 4.0, 2.0, 3.0])
    drawn = [work.epsilon_greedy_action(q, 0.2, rng) for _ in range(5000)]
    counts = np.bincount(drawn, minlength=4)
    return table({"action": range(4), "Q": q}, {"times taken of 5000": counts})


def _network(work):
    network = work.QNetwork(1, 1, (4, 4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.linspace(-1.2, 1.0, parameter.numel()).reshape(parameter.shape))
        # The last bias: half the values are negative.
        parameter.fill_(-3.0)
        x = torch.linspace(-3, 3, 41)[:, None]
        return curve({"observation": x[:, 0]}, {"Q": network(x)[:, 0]})


SCENES = (
    Scene(
        "replay",
        "ReplayBuffer",
        "Room for four; six transitions were added, then 4000 drawn.",
        _replay,
        {
            "keeps-the-oldest": "1, 2 and 3 should be gone.",
            "never-draws-the-newest": "One transition that is held is never drawn.",
        },
    ),
    Scene(
        "replay",
        "ReplayBuffer.__len__",
        "Room for four; six transitions are added.",
        _held,
        {"length-keeps-growing": "There is room for four."},
    ),
    Scene(
        "replay",
        "ReplayBuffer.sample",
        "Room for six; three were added, then 3000 drawn. Transition n has reward n and leads to"
        " 10n.",
        _half_full,
        {
            "draws-empty-slots": "Half the draws found nothing.",
            "draws-each-field-apart": "Most rows mix two transitions.",
            "draws-without-replacement": "3000 draws were asked for.",
        },
    ),
    Scene(
        "targets",
        "dqn_targets",
        "Three transitions with the target network's values of what follows, gamma = 0.5.",
        _targets,
        {
            "bootstraps-through-termination": "Only the second row is off.",
            "masks-the-reward": "Only the second row is off: its reward is gone.",
            "one-maximum-for-the-batch": "The best value of all rows, 8, is in each of them.",
            "averages-the-next-values": "In the last row the mean is -4, the best -2.",
            "discounts-the-reward": "Rewards are halved, too.",
        },
    ),
    Scene(
        "double",
        "double_dqn_targets",
        "The same three transitions, with both networks' values of what follows.",
        _double,
        {
            "double-swaps-the-networks": "The target network's best action, at the online one's"
            " price.",
            "double-trusts-the-target-twice": "These are DQN's targets.",
            "double-trusts-the-online-twice": "9 and -1 come from the online network alone.",
        },
    ),
    Scene(
        "loss",
        "td_loss",
        "The Huber loss of one row against its error.",
        _huber,
        {
            "huber-is-squared": "It should be straight beyond 1.",
            "huber-without-the-half": "At an error of 1 it should be 1/2.",
            "trains-the-best-action": "It looks at another action, whose error is always 9.",
        },
    ),
    Scene(
        "loss",
        "td_loss",
        "Two kinds of loss for the same batch.",
        _losses,
        {
            "sums-over-the-batch": "Both are three times too large.",
            "compares-everything-with-everything": "Nine differences were averaged, not three.",
        },
    ),
    Scene(
        "loss",
        "linear_epsilon",
        "From 1 at step 0 to 0.2 at step 100.",
        _epsilon,
        {"epsilon-does-not-stop": "It goes on falling.", "epsilon-jumps": "There is no slope."},
    ),
    Scene(
        "loss",
        "soft_update_",
        "The online network's weight is 1, the target network's begins at 0; tau = 0.1.",
        _soft,
        {
            "tau-on-the-wrong-side": "It has arrived after three updates.",
            "moves-the-online-network": "The target network stays where it was.",
        },
    ),
    Scene(
        "loss",
        "hard_update_",
        "A copy at 3; then the online network learns until it is at 5; then another copy.",
        _hard,
        {"shares-the-storage": "The target network learned along."},
    ),
    Scene(
        "network",
        "epsilon_greedy_action",
        "5000 actions with epsilon = 0.2.",
        _explores,
        {
            "exploits-when-it-should-explore": "The best action is taken far too rarely.",
            "exploring-skips-the-best-action": "The best one should be near 4250, its share in"
            " exploring"
            " included.",
        },
    ),
    Scene(
        "network",
        "QNetwork",
        "One observation in, one value out, two hidden layers of four with fixed weights.",
        _network,
        {
            "no-activation": "A straight line, however deep.",
            "relu-on-the-output": "No value is below 0.",
        },
    ),
)
