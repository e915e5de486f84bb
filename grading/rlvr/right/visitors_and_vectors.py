"""A correct solution in another style: patterns with names, visitors, generators of tokens, torch
without loops, and single precision inside."""

import ast
import collections
import copy
import functools
import itertools
import math
import operator
import re
from fractions import Fraction

import torch.nn.functional as F

RESPONSE = re.compile(
    r"\s*<think>(?P<why>(?:(?!</?think>|</?answer>).)*)</think>"
    r"\s*<answer>(?P<what>(?:(?!</?think>|</?answer>).)*)</answer>\s*",
    re.S,
)
NUMBER = re.compile(
    r"\s*(?P<sign>[-+])?(?:(?P<top>[0-9]+)/(?P<bottom>[0-9]+)"
    r"|(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.(?P<rest>[0-9]+))?)\s*"
)


def read_answer(prompt, response):
    match = RESPONSE.fullmatch(response)
    if match is None:
        return None
    why, what = match["why"].split(), match["what"].strip()
    return what if what and why and why != prompt.split() else None


def parse_number(text):
    match = NUMBER.fullmatch(text)
    if match is None or len(text.strip()) > 40:
        return None
    if match["top"]:
        top, bottom = int(match["top"]), int(match["bottom"])
    else:
        rest = match["rest"] or ""
        top, bottom = int(match["whole"].replace(",", "") + rest), 10 ** len(rest)
    if bottom == 0:
        return None
    common = math.gcd(top, bottom)
    return (-1 if match["sign"] == "-" else 1) * top // common, bottom // common


def normal_form(text):
    value = parse_number(text)
    return ("number", value) if value is not None else ("text", tuple(text.split()))


def same_answer(answer, target):
    return type(answer) is str and normal_form(answer) == normal_form(target)


class Game(ast.NodeVisitor):
    def __init__(self):
        self.used = collections.Counter()

    def visit_Expression(self, node):
        return self.visit(node.body)

    def visit_Constant(self, node):
        if type(node.value) is not int:
            raise ValueError
        self.used[node.value] += 1
        return Fraction(node.value)

    def visit_BinOp(self, node):
        a, b = self.visit(node.left), self.visit(node.right)
        match node.op:
            case ast.Add():
                return a + b
            case ast.Sub():
                return a - b
            case ast.Mult():
                return a * b
            case ast.Div() if b:
                return a / b
        raise ValueError

    def generic_visit(self, node):
        raise ValueError


def countdown_reward(answer, numbers, target):
    if type(answer) is not str or not re.fullmatch(r"[-+*/() 0-9]{1,100}", answer):
        return 0.0
    game = Game()
    try:
        value = game.visit(ast.parse(answer.strip(), mode="eval"))
    except (ValueError, SyntaxError):
        return 0.0
    return float(value == target and game.used == collections.Counter(numbers))


class Limit(Exception):
    pass


OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
OPERATORS |= {ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod}
TESTS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
TESTS |= {ast.Eq: operator.eq, ast.NotEq: operator.ne}


class Computer(ast.NodeVisitor):
    def __init__(self, x, steps, bits):
        self.memory, self.budget, self.bits = {"x": x}, iter(range(steps)), bits

    def generic_visit(self, node):
        raise Limit

    def tick(self):
        if next(self.budget, None) is None:
            raise Limit

    def checked(self, number):
        if number.bit_length() > self.bits:
            raise Limit
        return number

    def all(self, body):
        for one in body:
            self.visit(one)

    def visit_Module(self, node):
        self.all(node.body)

    def visit_Assign(self, node):
        self.tick()
        (target,) = node.targets if len(node.targets) == 1 else (None,)
        self.store(target, self.visit(node.value))

    def visit_AugAssign(self, node):
        self.tick()
        if not isinstance(node.target, ast.Name):
            raise Limit
        held = self.visit_Name(node.target)
        self.store(node.target, self.apply(node.op, held, self.visit(node.value)))

    def store(self, target, value):
        if not isinstance(target, ast.Name):
            raise Limit
        self.memory[target.id] = value

    def visit_While(self, node):
        if node.orelse:
            raise Limit
        while self.true(node.test):
            self.all(node.body)

    def visit_If(self, node):
        self.all(node.body if self.true(node.test) else node.orelse)

    def true(self, node):
        self.tick()
        if not isinstance(node, ast.Compare) or len(node.ops) > 1 or type(node.ops[0]) not in TESTS:
            raise Limit
        return TESTS[type(node.ops[0])](self.visit(node.left), self.visit(node.comparators[0]))

    def visit_Constant(self, node):
        if type(node.value) is not int:
            raise Limit
        return self.checked(node.value)

    def visit_Name(self, node):
        return self.checked(self.memory[node.id])

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.USub):
            return -self.visit(node.operand)
        if isinstance(node.op, ast.UAdd):
            return self.visit(node.operand)
        raise Limit

    def visit_BinOp(self, node):
        return self.apply(node.op, self.visit(node.left), self.visit(node.right))

    def apply(self, op, a, b):
        if isinstance(op, ast.Pow):
            # log2(|a|^b) > b * log2(|a|) - 1 is more than enough to know that it is too large.
            if b < 0 or (abs(a) > 1 and b * math.log2(abs(a)) > self.bits + 1):
                raise Limit
            return self.checked(a**b)
        if type(op) not in OPERATORS:
            raise Limit
        return self.checked(OPERATORS[type(op)](a, b))


def run_program(source, x, steps=2000, bits=256):
    if min(steps, bits) < 1:
        raise ValueError("steps and bits must be positive")
    if type(source) is not str or len(source) > 400:
        return None
    computer = Computer(x, steps, bits)
    try:
        computer.visit(ast.parse(source))
    except (Limit, ArithmeticError, LookupError, SyntaxError, ValueError, RecursionError):
        return None
    return computer.memory.get("y")


def program_reward(source, cases, steps=2000, bits=256):
    if not cases:
        raise ValueError("there are no cases")
    return float(all(run_program(source, x, steps, bits) == y for x, y in cases))


def pass_at_k(n, c, k):
    if k < 1 or k > n or c < 0 or c > n:
        raise ValueError("impossible numbers were given")
    miss = functools.reduce(operator.mul, ((n - c - i) / (n - i) for i in range(k)), 1.0)
    return 1.0 - max(miss, 0.0) if n - c >= k else 1.0


def majority(answers):
    forms, first = collections.Counter(), {}
    for answer in answers:
        if answer is not None:
            forms[normal_form(answer)] += 1
            first.setdefault(normal_form(answer), answer)
    # most_common keeps the order of first appearance among equals.
    return first[forms.most_common(1)[0][0]] if forms else None


def maj_at_k(answers, target, k):
    if k < 1 or k > len(answers):
        raise ValueError("k is impossible")
    wins = [same_answer(majority(chosen), target) for chosen in itertools.combinations(answers, k)]
    return float(torch.tensor(wins).float().mean())


def best_of_n_probs(probs, scores, n):
    if n < 1 or probs.ndim != 1 or probs.shape != scores.shape:
        raise ValueError("the shapes do not fit")
    if bool((probs < 0).any()) or not torch.isclose(probs.sum(), torch.ones_like(probs.sum()), atol=1e-6):
        raise ValueError("these are no probabilities")
    values, level = torch.unique(scores, return_inverse=True)
    mass = torch.zeros(len(values), dtype=probs.dtype).index_add_(0, level, probs)
    upto = mass.cumsum(0)
    top = upto**n - F.pad(upto, (1, 0))[:-1] ** n
    return torch.where(mass[level] > 0, probs / mass[level] * top[level], 0.0)


def accept(rewards, group_ids, most):
    _check_rewards(rewards, group_ids)
    if most < 1:
        raise ValueError("at least one answer, please")
    together = (group_ids[:, None] == group_ids[None, :]).tril()
    rank = (together * (rewards == 1)[None, :]).sum(dim=1)
    return (rewards == 1) & (rank <= most)


def expert_loss(logp, mask, accepted):
    if logp.ndim != 2 or mask.shape != logp.shape or accepted.shape != (len(logp),):
        raise ValueError("logp, mask and accepted do not fit")
    taken = mask.bool() & accepted.bool()[:, None]
    share = (1.0 / mask.bool().sum(dim=1).clamp(min=1)).repeat_interleave(taken.sum(dim=1))
    return -(logp[taken].float() * share).sum() / len(logp)


def filter_groups(rewards, group_ids):
    _check_rewards(rewards, group_ids)
    by = collections.defaultdict(set)
    for group, reward in zip(group_ids.tolist(), rewards.tolist(), strict=False):
        by[group].add(reward)
    keep = torch.tensor([len(by[group]) == 2 for group in group_ids.tolist()])
    return Groups(keep, sum(kinds == {1.0} for kinds in by.values()), sum(kinds == {0.0} for kinds in by.values()))


def difficulty_filter(right, tries, low, high):
    if right.ndim != 1 or right.shape != tries.shape or low < 0 or high > 1 or low > high:
        raise ValueError("shapes or bounds are impossible")
    if bool(((right < 0) | (right > tries)).any()):
        raise ValueError("right is out of range")
    share = right / tries
    return share.isnan() | ((share >= low) & (share <= high))


def dynamic_sampling(draw, wanted, most):
    if wanted < 1 or most < 1:
        raise ValueError("nothing is wanted")
    books = []
    while len(books) < most and sum(mixed for mixed, _ in books) < wanted:
        rewards = draw(len(books))
        books.append((rewards.unique().numel() > 1, rewards.float()))
    everything = torch.cat([rewards for _, rewards in books])
    return Drawn([i for i, (mixed, _) in enumerate(books) if mixed], len(books), everything.mean().item())


def rollout(policy, prompt, tool, encode, decode, call, max_turns):
    if len(prompt) == 0 or max_turns <= 0:
        raise ValueError("a prompt and a turn are needed")

    def play(tokens, mask, left, calls):
        new = list(policy(list(tokens)))
        if not new:
            raise ValueError("the policy was silent")
        tokens, mask = tokens + new, mask + [1] * len(new)
        if new[-1] != call or left == 1:
            return Transcript(tokens, mask, calls)
        said = list(encode(tool(decode(new[:-1]))))
        return play(tokens + said, mask + [0] * len(said), left - 1, calls + 1)

    return play(list(prompt), [0] * len(prompt), max_turns, 0)


def stack_transcripts(transcripts, pad):
    if not transcripts:
        raise ValueError("there is no transcript")
    for one in transcripts:
        if len(one.mask) != len(one.tokens):
            raise ValueError("mask and tokens differ in length")
    pairs = [(one.tokens, one.mask) for one in transcripts]
    tokens = list(itertools.zip_longest(*[a for a, _ in pairs], fillvalue=pad))
    mask = list(itertools.zip_longest(*[b for _, b in pairs], fillvalue=0))
    return torch.tensor(tokens).T, torch.tensor(mask).T == 1


def expert_update_(policy, optimizer, samples, accepted, grad_norm):
    # Rejected rows have a gradient of zero: only the accepted ones are scored.
    rows = accepted.bool().nonzero().flatten()
    if len(rows) == 0:
        return 0.0
    optimizer.zero_grad()
    logp = token_logprobs(policy, samples.tokens[rows])
    all_rows = torch.ones(len(rows)).bool()
    loss = expert_loss(logp, samples.mask[rows], all_rows) * len(rows) / len(accepted)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(list(policy.parameters()), grad_norm)
    optimizer.step()
    return loss.item()


def train_expert(policy, prompts, rewards_of, cfg, seed):
    if len(prompts) == 0:
        raise ValueError("no prompts were given")
    source = torch.Generator()
    source.manual_seed(seed)
    learner = copy.deepcopy(policy)
    optimizer = torch.optim.AdamW(learner.parameters(), cfg.lr, weight_decay=0.0)
    books = []
    even = torch.ones(len(prompts))
    for _ in range(cfg.iterations):
        picks = torch.multinomial(even, cfg.prompts, replacement=True, generator=source)
        asked = [prompts[i] for i in picks.repeat_interleave(cfg.group_size).tolist()]
        samples = sample_responses(learner, asked, cfg.max_new, source)
        rewards = torch.tensor(rewards_of(asked, responses_of(samples)))
        ids = torch.arange(len(asked)) // cfg.group_size
        chosen = accept(rewards, ids, cfg.most)
        for _ in range(cfg.epochs):
            expert_update_(learner, optimizer, samples, chosen, cfg.grad_norm)
        alike = ~filter_groups(rewards, ids).keep
        books.append([float(x.double().mean()) for x in (rewards, chosen, alike)])
    names = ("reward_mean", "accepted", "dead_groups")
    return Result(learner, {name: [row[i] for row in books] for i, name in enumerate(names)})


def shaped_rewards(rewards, potential, gamma, terminal):
    S = potential.numel()
    if rewards.ndim != 3 or (rewards.shape[0], rewards.shape[2]) != (S, S) or terminal.shape != potential.shape:
        raise ValueError("the shapes do not fit together")
    if not 0.0 <= gamma <= 1.0:
        raise ValueError("gamma must be a discount")
    goes_on = (~terminal).to(potential.dtype)
    phi = potential * goes_on
    bonus = torch.add(gamma * phi.expand(S, S), phi.unsqueeze(1), alpha=-1) * goes_on.unsqueeze(1)
    return rewards + bonus.unsqueeze(1)


def potential_of(bonus, gamma):
    if bonus.ndim != 2 or len(set(bonus.shape)) != 1 or gamma < 0 or gamma >= 1:
        raise ValueError("bonus must be square and gamma below 1")
    phi = torch.diag(bonus) / -(1.0 - gamma)
    again = gamma * phi.unsqueeze(0) - phi.unsqueeze(1)
    return phi if torch.allclose(again, bonus, rtol=0.0, atol=1e-8) else None
