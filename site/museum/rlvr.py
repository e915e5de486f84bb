"""Boards of rlvr: answers that pass, programs that end, samples that teach."""

import re

import torch
from course_pages.museum.scenes import Scene
from course_pages.museum.shown import curve, table


def _said(value):
    return "no answer" if value is None else str(value) or "an empty text"


def _read(work):
    responses = {
        "as asked": "<think>2 and 3</think><answer> 5 </answer>",
        "over two lines": "<think>2\nand 3</think>\n<answer>5</answer>",
        "a word in front": "Well: <think>2 and 3</think><answer>5</answer>",
        "two answers": "<think>2 and 3</think><answer>4</answer><answer>5</answer>",
        "no reasoning": "<think>  </think><answer>5</answer>",
        "the prompt, copied": "<think>2  + 3?</think><answer>5</answer>",
        "no answer": "<think>2 and 3</think><answer> </answer>",
    }
    found = [work.read_answer("2 + 3?", one) for one in responses.values()]
    return table({"response to “2 + 3?”": [*responses]}, {"answer": map(_said, found)})


def _numbers(work):
    texts = ["1,200", "1,2", "-3/4", "- 7", "0.1", "12345678901234567891", "٣"]
    found = [work.parse_number(one) for one in texts]
    words = [_said(None) if one is None else f"{one[0]}/{one[1]}" for one in found]
    return table({"text": texts}, {"value": words})


class Flatterer:
    """Says that it is equal to everything."""

    __hash__ = None

    def __eq__(self, other):
        return True


def _same(work):
    pairs = {
        "1/2 and 0.50": ("1/2", "0.50"),
        "7 and 17": ("7", "17"),
        "Paris and paris": ("Paris", "paris"),
        "cat and dog": ("cat", "dog"),
        "0.33333 and 1/3": ("0.33333", "1/3"),
        "the number 7 and “7”": (7, "7"),
        "an object that says yes": (Flatterer(), "7"),
    }
    found = [work.same_answer(*pair) for pair in pairs.values()]
    return table(
        {"answer and target": [*pairs]}, {"the same": ["yes" if x else "no" for x in found]}
    )


PROGRAMS = {
    "y = x * x": "y = x * x",
    "y = -7 // 2": "y = -7 // 2",
    "y = -7 % 3": "y = -7 % 3",
    "y = 2 ** -1": "y = 2 ** -1",
    "y = True + x": "y = True + x",
    "z = x": "z = x",
    "y += x": "y += x",
    "while x > 0: x = x + 1": "y = 1\nwhile x > 0:\n    x = x + 1",
}


def _programs(work):
    found = [work.run_program(one, 5, steps=40, bits=64) for one in PROGRAMS.values()]
    return table({"program, x = 5, at most 40 steps": [*PROGRAMS]}, {"y": map(_said, found)})


def _tries(work):
    return curve(
        {"k": range(1, 11)}, {"pass at k": [work.pass_at_k(10, 3, k) for k in range(1, 11)]}
    )


def _votes(work):
    polls = {
        "1/2, 3, 0.5": ["1/2", "3", "0.5"],
        "3, nothing, nothing": ["3", None, None],
        "4, 3, 3, 4": ["4", "3", "3", "4"],
        "5, 2.0, 2": ["5", "2.0", "2"],
    }
    found = [work.majority(one) for one in polls.values()]
    return table({"answers": [*polls]}, {"majority": map(_said, found)})


def _best(work):
    probs = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    scores = torch.tensor([0.0, 1.0, 1.0, 2.0])
    found = work.best_of_n_probs(probs, scores, 4)
    return table({"answer": list("abcd"), "policy": probs, "score": scores}, {"best of 4": found})


def _accepted(work):
    rewards = torch.tensor([0.0, 1, 1, 1, 1, 0, 1, 0])
    groups = torch.tensor([7, 7, 7, 7, 3, 3, 3, 3])
    found = work.accept(rewards, groups, 2)
    return table({"group": groups, "right": [["no", "yes"][int(x)] for x in rewards]},
                 {"learnt from": ["yes" if one else "no" for one in found]})  # fmt: skip


def _imitated(work):
    """Two rows of which one is accepted; what the policy did not write is nan."""
    logp = torch.tensor([[torch.nan, -1.0, -3.0, torch.nan], [torch.nan, -8.0, torch.nan, -9.0]])
    mask = torch.tensor([[0, 1, 1, 0], [0, 1, 0, 0]])
    logp.requires_grad_(True)
    loss = work.expert_loss(logp, mask, torch.tensor([True, False]))
    loss.backward()
    names = ["loss", "gradient of an accepted token", "gradient of a rejected token"]
    return table({"accepted: -1, -3; rejected: -8": names},
                 {"found": [loss.detach(), logp.grad[0, 1], logp.grad[1, 1]]})  # fmt: skip


GROUPS = [[1, 1], [1, 0, 0, 0], [0, 0], [0, 1], [1, 0]]


def _drawn(work):
    found = work.dynamic_sampling(lambda i: torch.tensor(GROUPS[i], dtype=torch.float), 2, 5)
    words = [", ".join(map(str, found.kept)), str(found.drawn), f"{found.reward_mean:.3g}"]
    return table({"what": ["groups kept", "groups drawn", "mean reward"]}, {"found": words})


TOKENS = ["Q", "se", "ven", "CALL", "seven", "!"]
CALL = 3


def _encode(text):
    """The longest tokens that the text begins with."""
    return [TOKENS.index(one) for one in re.findall("Q|seven|se|ven|CALL|!", text)]


def _decode(ids):
    return "".join(TOKENS[one] for one in ids)


def _turns(work):
    turns, asked = iter([[1, 2, CALL], [4, 5, CALL]]), []

    def tool(text):
        asked.append(text)
        return "seven"

    found = work.rollout(lambda ids: next(turns), [0], tool, _encode, _decode, CALL, 2)
    rows = [" ".join(TOKENS[one] for one in found.tokens), " ".join(map(str, found.mask))]
    names = ["tokens", "mask", "the tool was asked", "calls"]
    told = [*rows, "; ".join(asked), str(found.calls)]
    return table({"Q; then se ven CALL; then seven ! CALL": names}, {"found": told})


def _shaped(work):
    """Three states in a row; the last one is terminal and yet has a potential."""
    potential = torch.tensor([1.0, 3.0, 6.0], dtype=torch.float64)
    terminal = torch.tensor([False, False, True])
    found = work.shaped_rewards(torch.zeros(3, 1, 3).double(), potential, 0.5, terminal)
    steps = [(0, 1), (1, 0), (1, 2), (2, 1)]
    given = {"step": ["1 to 3", "3 to 1", "3 to the end, 6", "out of the end, to 3"]}
    return table(given, {"bonus": [found[s, 0, after] for s, after in steps]})


SCENES = (
    Scene(
        "answers",
        "read_answer",
        "Seven responses to one prompt; all but the last say 5 somewhere.",
        _read,
        {
            "several-answers-pass": "The fourth one gave two answers.",
            "answer-anywhere": "The third one says something before it thinks.",
            "line-breaks-are-refused": "Only the second line is off.",
            "empty-reasoning-passes": "Blanks are no reasoning.",
            "echo-of-the-prompt-passes": "The sixth one thought what it was asked.",
            "empty-answer-counts": "Nothing is not an answer.",
        },
    ),
    Scene(
        "answers",
        "parse_number",
        "Texts, and the numbers that they are, as fractions. The last one is a three in Arabic"
        " digits.",
        _numbers,
        {
            "inner-blanks-are-dropped": "A blank stands after the sign.",
            "any-commas": "1,2 is a list of two.",
            "commas-are-refused": "1,200 is a number.",
            "digits-of-all-scripts": "The last one should not count.",
            "through-floats, 2": "The long one has lost its last digits.",
            "sign-is-lost": "Only the third line is off.",
        },
    ),
    Scene(
        "answers",
        "same_answer",
        "Seven pairs.",
        _same,
        {
            "equal-by-string": "One half is one half.",
            "case-is-ignored": "Paris has a capital letter.",
            "two-failures-agree": "Neither cat nor dog is a number.",
            "nearly-equal": "0.33333 is no third.",
            "asked-whether-it-is-equal": "Whoever says yes is believed.",
            "anything-is-compared": "A number is not a text.",
        },
    ),
    Scene(
        "programs",
        "run_program",
        "Eight small programs.",
        _programs,
        {
            "unset-names-are-zero": "Nobody has said what y was.",
            "booleans-are-numbers": "True is not in the language.",
            "division-towards-zero": "-3.5 is rounded down.",
            "remainder-with-the-sign-of-the-left": "-7 is -3 times 3, and 2.",
            "negative-powers-are-rounded": "A half is no whole number.",
            "executes-it": "A half, and True plus 5: this is all of Python.",
            "returns-the-input": "The sixth program never sets y.",
        },
    ),
    Scene(
        "tries",
        "pass_at_k",
        "Ten answers, three of them right.",
        _tries,
        {
            "tries-with-replacement": "With eight of ten one is sure.",
            "tries-add-up": "With two it is 0.6, and should be less.",
            "all-must-be-right": "It falls.",
            "exactly-one": "With all ten it is 0.",
        },
    ),
    Scene(
        "tries",
        "majority",
        "Four polls.",
        _votes,
        {
            "votes-by-string": "2.0 and 2 vote together.",
            "none-votes": "Nothing has won.",
            "last-one-wins-ties": "4 came first.",
            "winner-in-its-last-spelling": "The winners are right, and written as they were last.",
        },
    ),
    Scene(
        "tries",
        "best_of_n_probs",
        "Four draws, of which the best is taken.",
        _best,
        {
            "ties-share-alike": "b is twice as likely as c.",
            "first-index-wins-ties": "c can never win.",
            "tilts-by-powers": "a should win where all four draws are a.",
            "one-draw": "This is the policy.",
            "worst-of-n": "The worst answer wins.",
        },
    ),
    Scene(
        "expert",
        "accept",
        "Two groups of four answers, of each group at most two.",
        _accepted,
        {
            "wrong-answers-are-accepted": "The first one was wrong.",
            "first-rows-of-a-group": "Only the first two of each group were looked at.",
            "bound-on-the-batch": "The second group has none.",
            "bound-is-ignored": "Three of one group.",
            "last-answers-of-a-group": "The first right answer is left out.",
        },
    ),
    Scene(
        "expert",
        "expert_loss",
        "An accepted row with two tokens, a rejected one with one. What the policy did not write is"
        " nan, or -9.",
        _imitated,
        {
            "multiplies-by-the-mask": "0 times nan.",
            "divides-by-all-places": "Half of everything: four places, two tokens.",
            "token-sums": "4 is the sum of the row, 2 its mean.",
            "imitates-everything": "The rejected token is pulled up.",
            "pushes-failures-down": "The rejected token is pushed down.",
        },
    ),
    Scene(
        "filters",
        "dynamic_sampling",
        "Two groups with spread are wanted. Drawn are (1, 1), (1, 0, 0, 0), (0, 0), (0, 1), (1, 0),"
        " at most these five.",
        _drawn,
        {
            "draws-a-fixed-number": "The fourth draw was enough.",
            "solved-groups-are-kept": "The first group is solved.",
            "counts-from-one": "The first group has the number 0.",
            "failed-samples-leave-the-metric": "Of ten answers four were right.",
            "mean-of-group-means": "0.438 is the mean of 1, 1/4, 0 and 1/2.",
        },
    ),
    Scene(
        "tools",
        "rollout",
        "The prompt is Q. The policy writes se ven CALL; the tool answers seven, a token of its"
        " own; the policy writes seven ! CALL in its last turn.",
        _turns,
        {
            "retokenises, 2": "The policy never wrote the first seven.",
            "prompt-is-trained": "The mask begins with 1.",
            "call-token-is-lost": "To ask is an action, too.",
            "last-call-is-answered": "Nobody reads the last answer.",
            "tool-reads-everything": "The tool was told the question.",
            "tool-is-trained": "The fifth token is the tool's.",
            "mask-counts-characters": "The mask is longer than the tokens.",
        },
    ),
    Scene(
        "shaping",
        "shaped_rewards",
        "The bonus of four steps, gamma = 0.5. The states have the potentials 1, 3 and 6; the last"
        " one is terminal.",
        _shaped,
        {
            "terminal-potential-counts": "The end is worth nothing, whatever the potential says.",
            "bonus-without-gamma": "Half of 3, less 1.",
            "bonus-with-the-wrong-sign": "Upside down.",
            "bonus-is-the-potential": "Nothing was taken off.",
            "bonus-turned-round": "The first two lines have changed places.",
            "terminal-states-are-shaped": "Nothing happens after the end.",
        },
    ),
)
