"""A correct solution in another style: string methods, a tokenizer instead of a syntax tree for
Countdown, names of node kinds for programs, NumPy and counting instead of lists of subsets."""

import ast
import copy
import math
import re
from collections import Counter
from fractions import Fraction

import numpy as np

BLANK = re.compile(r"\s+")


def squeezed(text):
    return BLANK.sub(" ", text).strip()


def read_answer(prompt, response):
    for tag in TAGS:
        if len(response.split(tag)) != 2:
            return None
    before, rest = response.split("<think>")
    if before.strip() or "</think>" not in rest:
        return None
    reasoning, rest = rest.split("</think>")
    if "<answer>" not in rest:
        return None
    between, rest = rest.split("<answer>")
    if between.strip() or "</answer>" not in rest:
        return None
    answer, after = rest.split("</answer>")
    if after.strip() or squeezed(reasoning) in ("", squeezed(prompt)) or not answer.strip():
        return None
    return answer.strip()


def parse_number(text):
    text = text.strip()
    if len(text) > 40 or not text.isascii():
        return None
    sign = -1 if text[:1] == "-" else 1
    body = text[1:] if text[:1] in ("+", "-") else text
    top, slash, bottom = body.partition("/")
    if slash:
        if not (top.isdigit() and bottom.isdigit()) or not bottom.strip("0"):
            return None
        value = Fraction(int(top), int(bottom))
    else:
        whole, point, decimals = body.partition(".")
        first, *threes = whole.split(",")
        if not first.isdigit() or any(len(part) != 3 or not part.isdigit() for part in threes):
            return None
        if (threes and len(first) > 3) or (point and not decimals.isdigit()):
            return None
        value = Fraction(int(whole.replace(",", "") + decimals), 10 ** len(decimals))
    return (sign * value).as_integer_ratio()


def same_answer(answer, target):
    if isinstance(answer, str):
        one, two = parse_number(answer), parse_number(target)
        if one is None and two is None:
            return squeezed(answer) == squeezed(target)
        return one is not None and two is not None and one == two
    return False


def countdown_reward(answer, numbers, target):
    if not isinstance(answer, str) or len(answer) > 100:
        return 0.0
    tokens = re.findall(r"[0-9]+|[-+*/()]| ", answer)
    if "".join(tokens) != answer:
        return 0.0
    tokens = [token for token in tokens if token != " "]
    place = 0

    def peek():
        return tokens[place] if place < len(tokens) else ""

    def atom():
        nonlocal place
        token = peek()
        place += 1
        if token == "(":
            inside = total()
            if peek() != ")":
                raise ValueError
            place += 1
            return inside
        if token[:1] == "0":
            raise ValueError
        return Fraction(int(token))

    def product():
        nonlocal place
        value = atom()
        while peek() in ("*", "/"):
            place += 1
            value = value * atom() if tokens[place - 1] == "*" else value / atom()
        return value

    def total():
        nonlocal place
        value = product()
        while peek() in ("+", "-"):
            sign = 1 if peek() == "+" else -1
            place += 1
            value += sign * product()
        return value

    try:
        value = total()
    except (ValueError, ZeroDivisionError):
        return 0.0
    used = sorted(int(token) for token in tokens if token.isdigit())
    return 1.0 if place == len(tokens) and used == sorted(numbers) and value == target else 0.0


class Stop(Exception):
    pass


def combine(op, a, b, fits):
    kind = type(op).__name__
    if kind == "Add":
        return a + b
    if kind == "Sub":
        return a - b
    if kind == "Mult":
        return a * b
    if kind in ("FloorDiv", "Mod"):
        if b == 0:
            raise Stop
        return divmod(a, b)[kind == "Mod"]
    if kind == "Pow" and b >= 0:
        if abs(a) < 2:
            return a if b % 2 else a * a if b else 1
        # A factor of two at least each time: what does not fit is found before b factors.
        result = 1
        for _ in range(b):
            result = fits(result * a)
        return result
    raise Stop


def compare(op, a, b):
    kind = type(op).__name__
    table = {"Lt": a < b, "LtE": a <= b, "Gt": a > b, "GtE": a >= b, "Eq": a == b, "NotEq": a != b}
    if kind not in table:
        raise Stop
    return table[kind]


class Program:
    def __init__(self, x, steps, bits):
        self.memory, self.steps, self.bits = {"x": x}, steps, bits

    def pay(self):
        self.steps -= 1
        if self.steps < 0:
            raise Stop

    def fits(self, number):
        if abs(number) >= 2**self.bits:
            raise Stop
        return number

    def number(self, node):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return self.fits(node.value)
        if isinstance(node, ast.Name) and node.id in self.memory:
            return self.fits(self.memory[node.id])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
            inner = self.number(node.operand)
            return inner if isinstance(node.op, ast.UAdd) else -inner
        if isinstance(node, ast.BinOp):
            a, b = self.number(node.left), self.number(node.right)
            return self.fits(combine(node.op, a, b, self.fits))
        raise Stop

    def true(self, test):
        self.pay()
        if not isinstance(test, ast.Compare) or len(test.ops) != 1:
            raise Stop
        return compare(test.ops[0], self.number(test.left), self.number(test.comparators[0]))

    def assign(self, target, value):
        self.pay()
        if not isinstance(target, ast.Name):
            raise Stop
        self.memory[target.id] = self.number(value)

    def execute(self, statements):
        for one in statements:
            kind = type(one).__name__
            if kind == "Assign" and len(one.targets) == 1:
                self.assign(one.targets[0], one.value)
            elif kind == "AugAssign":
                self.assign(one.target, ast.BinOp(one.target, one.op, one.value))
            elif kind == "If":
                self.execute(one.body if self.true(one.test) else one.orelse)
            elif kind == "While" and not one.orelse:
                while self.true(one.test):
                    self.execute(one.body)
            else:
                raise Stop


def run_program(source, x, steps=2000, bits=256):
    if steps < 1 or bits < 1:
        raise ValueError("impossible limits were asked for")
    if not isinstance(source, str) or len(source) > 400:
        return None
    program = Program(x, steps, bits)
    try:
        program.execute(ast.parse(source).body)
    except (Stop, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return program.memory.get("y")


def program_reward(source, cases, steps=2000, bits=256):
    if len(cases) == 0:
        raise ValueError("no cases were given")
    for x, wanted in cases:
        found = run_program(source, x, steps, bits)
        if found is None or found != wanted:
            return 0.0
    return 1.0


def pass_at_k(n, c, k):
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError("these numbers do not fit together")
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def majority(answers):
    read = [answer for answer in answers if answer is not None]
    votes = [sum(same_answer(one, other) for other in read) for one in read]
    return read[int(np.argmax(votes))] if read else None


def maj_at_k(answers, target, k):
    n = len(answers)
    if not 1 <= k <= n:
        raise ValueError("k does not fit the answers")
    good = every = 0
    for number in range(2**n):
        chosen = [answers[i] for i in range(n) if number >> i & 1]
        if len(chosen) == k:
            every += 1
            winner = majority(chosen)
            good += winner is not None and same_answer(winner, target)
    return good / every


def best_of_n_probs(probs, scores, n):
    if n < 1 or probs.dim() != 1 or probs.shape != scores.shape:
        raise ValueError("these arguments do not fit")
    if (probs < 0).any() or not math.isclose(float(probs.sum()), 1.0, abs_tol=1e-6):
        raise ValueError("probs is no distribution")
    below = (probs[None, :] * (scores[None, :] < scores[:, None])).sum(dim=1)
    level = (probs[None, :] * (scores[None, :] == scores[:, None])).sum(dim=1)
    # The first of the best stands at draw j: j worse ones before it, none better after it.
    total = torch.zeros_like(probs)
    for j in range(n):
        total = total + probs * below**j * (below + level) ** (n - 1 - j)
    return total


def accept(rewards, group_ids, most):
    _check_rewards(rewards, group_ids)
    if most < 1:
        raise ValueError("most is too small")
    seen = Counter()
    flags = []
    for reward, group in zip(rewards.tolist(), group_ids.tolist(), strict=False):
        seen[group] += int(reward)
        flags.append(bool(reward) and seen[group] <= most)
    return torch.tensor(flags)


def expert_loss(logp, mask, accepted):
    if logp.dim() != 2 or tuple(mask.shape) != tuple(logp.shape) or len(accepted) != len(logp) or accepted.dim() != 1:
        raise ValueError("the shapes do not fit")
    total = (logp[:1, :0]).sum()
    for row in range(len(logp)):
        if bool(accepted[row]) and bool(mask[row].any()):
            total = total - logp[row][mask[row].bool()].mean()
    return total / len(logp)


def filter_groups(rewards, group_ids):
    _check_rewards(rewards, group_ids)
    names, inverse = torch.unique(group_ids, return_inverse=True)
    sizes = torch.bincount(inverse)
    right = torch.zeros(len(names)).index_add_(0, inverse, rewards.float())
    solved, failed = right == sizes, right == 0
    return Groups(~(solved | failed)[inverse], int(solved.sum()), int(failed.sum()))


def difficulty_filter(right, tries, low, high):
    if right.dim() != 1 or right.shape != tries.shape or not (0 <= low <= high <= 1):
        raise ValueError("right and tries do not fit")
    if any(c < 0 or c > n for c, n in zip(right.tolist(), tries.tolist(), strict=False)):
        raise ValueError("more right answers than tries")
    return torch.tensor([n == 0 or low * n <= c <= high * n for c, n in zip(right.tolist(), tries.tolist(), strict=False)])


def dynamic_sampling(draw, wanted, most):
    if min(wanted, most) < 1:
        raise ValueError("wanted and most must be positive")
    kept, total, count = [], 0.0, 0
    for number in range(most):
        rewards = draw(number).tolist()
        total, count = total + sum(rewards), count + len(rewards)
        if len(set(rewards)) > 1:
            kept.append(number)
        if len(kept) == wanted:
            break
    return Drawn(kept, number + 1, total / count)


def rollout(policy, prompt, tool, encode, decode, call, max_turns):
    if not prompt or max_turns < 1:
        raise ValueError("nothing can be played")
    pieces = [(list(prompt), 0)]
    calls = 0
    while True:
        new = [int(i) for i in policy([i for ids, _ in pieces for i in ids])]
        if len(new) == 0:
            raise ValueError("an empty turn was written")
        pieces.append((new, 1))
        max_turns -= 1
        if new[-1] != call or max_turns == 0:
            break
        pieces.append((list(encode(tool(decode(new[:-1])))), 0))
        calls += 1
    tokens = [i for ids, _ in pieces for i in ids]
    return Transcript(tokens, [own for ids, own in pieces for _ in ids], calls)


def stack_transcripts(transcripts, pad):
    if len(transcripts) == 0 or any(len(x.tokens) != len(x.mask) for x in transcripts):
        raise ValueError("these transcripts make no batch")
    tokens = [torch.tensor(x.tokens) for x in transcripts]
    mask = [torch.tensor(x.mask) for x in transcripts]
    together = torch.nn.utils.rnn.pad_sequence
    return together(tokens, True, float(pad)), together(mask, True, 0.0).bool()


def expert_update_(policy, optimizer, samples, accepted, grad_norm):
    if accepted.sum() == 0:
        return 0.0
    policy.zero_grad()
    loss = expert_loss(token_logprobs(policy, samples.tokens), samples.mask, accepted)
    loss.backward()
    grads = [p.grad for p in policy.parameters() if p.grad is not None]
    norm = torch.sqrt(sum((g**2).sum() for g in grads))
    for g in grads:
        g.mul_(torch.clamp(grad_norm / (norm + 1e-6), max=1.0))
    optimizer.step()
    return loss.item()


def train_expert(policy, prompts, rewards_of, cfg, seed):
    if not len(prompts):
        raise ValueError("there is nothing to ask")
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    policy = copy.deepcopy(policy)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=cfg.lr, weight_decay=0)
    history = {"reward_mean": [], "accepted": [], "dead_groups": []}
    for _ in range(cfg.iterations):
        asked = [str(prompts[i]) for i in rng.integers(len(prompts), size=cfg.prompts)]
        asked = np.repeat(asked, cfg.group_size).tolist()
        samples = sample_responses(policy, asked, cfg.max_new, generator)
        rewards = np.array(rewards_of(asked, responses_of(samples)), dtype=float).reshape(cfg.prompts, cfg.group_size)
        chosen = torch.tensor((rewards == 1) & (rewards.cumsum(axis=1) <= cfg.most)).flatten()
        for _ in range(cfg.epochs):
            expert_update_(policy, optimizer, samples, chosen, cfg.grad_norm)
        history["reward_mean"].append(rewards.mean().item())
        history["accepted"].append(chosen.float().mean().item())
        history["dead_groups"].append(float((rewards.std(axis=1) == 0).mean()))
    return Result(policy, history)


def shaped_rewards(rewards, potential, gamma, terminal):
    S = len(potential)
    if rewards.dim() != 3 or rewards.shape[0] != S or rewards.shape[2] != S or terminal.shape != (S,):
        raise ValueError("these shapes do not fit")
    if gamma < 0 or gamma > 1:
        raise ValueError("gamma is out of range")
    new = rewards.clone()
    for s in range(S):
        if terminal[s]:
            continue
        for after in range(S):
            arrival = 0.0 if terminal[after] else float(potential[after])
            new[s, :, after] += gamma * arrival - float(potential[s])
    return new


def potential_of(bonus, gamma):
    if bonus.dim() != 2 or bonus.shape[0] != bonus.shape[1] or not (0 <= gamma < 1):
        raise ValueError("this is no table of bonuses")
    S = len(bonus)
    rows = np.zeros((S * S, S))
    for s in range(S):
        for after in range(S):
            rows[s * S + after, after] += gamma
            rows[s * S + after, s] -= 1.0
    phi, *_ = np.linalg.lstsq(rows, bonus.numpy().ravel(), rcond=None)
    gap = np.abs(rows @ phi - bonus.numpy().ravel()).max()
    return torch.from_numpy(phi) if gap <= 1e-8 else None
