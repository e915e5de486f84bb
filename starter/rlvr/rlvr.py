"""Rewards that can be verified: checkers that hold, and learning from what passes them.

Conventions, for every function of this file

* A reward is 1.0 or 0.0. What a policy wrote never raises an exception: text that cannot be read,
  a program that breaks a rule, an answer that is no text, all earn 0.0, and they all count.
* ``None`` stands for "no answer". It is never right, and it never leaves a mean.
* What a policy wrote is never handed to ``eval`` or ``exec``: it is read, and a short list of
  things is allowed.
* A batch of tokens is (B, L). ``mask`` (B, L) is 1 at a token that the policy wrote. Prompts, what
  a tool answered and padding are 0 and influence nothing.
* Rewards are one number for each row, (B,). Rows with equal ``group_ids`` answer the same prompt;
  ids are arbitrary integers in any order.
* Losses are to be minimised. Arguments are never changed, except by functions whose name ends in
  ``_``. Random numbers come from the generator or the seed that is handed in.
* Impossible arguments raise ValueError with a sentence.

Sources: Chen et al. (2021), arXiv:2107.03374; Zelikman et al. (2022), arXiv:2203.14465; Lambert et
al. (2024), arXiv:2411.15124; Yu et al. (2025), arXiv:2503.14476; Ng, Harada and Russell (1999),
"Policy invariance under reward transformations".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from typing import Any, NamedTuple

import torch
from tiny_lm import EOS, PAD, build_policy, decode, encode  # noqa: F401
from torch import Tensor

TAGS = ("<think>", "</think>", "<answer>", "</answer>")


class Groups(NamedTuple):
    """What ``filter_groups`` returns."""

    keep: Tensor  # (B,) bool: the row's group has right and wrong answers
    solved: int  # how many groups were dropped because every answer was right
    failed: int  # how many were dropped because every answer was wrong


class Drawn(NamedTuple):
    """What ``dynamic_sampling`` returns."""

    kept: list[int]  # the numbers of the groups that have spread, in order
    drawn: int  # how many groups were drawn in all
    reward_mean: float  # mean reward of all answers that were drawn, not of those that were kept


class Transcript(NamedTuple):
    """What ``rollout`` returns: one conversation of a policy with its tool."""

    tokens: list[int]  # prompt, what the policy wrote, what the tool answered, in their order
    mask: list[int]  # of the same length: 1 at a token that the policy wrote, else 0
    calls: int  # how often the tool was asked


class Samples(NamedTuple):
    """What ``sample_responses`` returns."""

    tokens: Tensor  # (B, L) int64: prompt, response, padding
    mask: Tensor  # (B, L) bool: the response, its end of sequence included


class Result(NamedTuple):
    """What ``train_expert`` returns."""

    policy: Any  # the trained copy
    history: dict[str, list[float]]  # one number for each iteration


@dataclass(frozen=True)
class ExpertConfig:
    """What ``train_expert`` needs to know."""

    iterations: int = 70
    prompts: int = 25  # for one iteration
    group_size: int = 32  # samples for one prompt
    most: int = 4  # right answers to one prompt that are learnt from
    max_new: int = 2  # tokens of a response, end of sequence included
    epochs: int = 4  # steps of the optimiser on the answers of one iteration
    lr: float = 3e-3
    grad_norm: float = 1.0


# -- Part 1: reading and comparing answers ---------------------------------------------------------


def read_answer(prompt: str, response: str) -> str | None:
    """The answer in a response of the form <think>reasoning</think><answer>answer</answer>.

    Nothing may stand before, between or after the two blocks but blanks (spaces, tabs, line
    breaks). Each of the four tags occurs exactly once. The reasoning must not be empty, and must
    not be the prompt once more, both judged with runs of blanks taken as one and blanks at the ends
    dropped. An empty answer is no answer.

    Args:
        prompt: what the policy was asked.
        response: what it wrote: any text at all.

    Returns:
        The answer without blanks at its ends, or None.
    """
    # TODO(answers): each tag once; one pattern for the whole text; judge the reasoning.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(answers): each tag once; one pattern for the whole text; judge the reasoning.")


def parse_number(text: str) -> tuple[int, int] | None:
    """The exact value of a number as people write it.

    An optional sign (+ or -), then one of
        digits                    7, 007
        digits in threes          1,234,567: up to three digits, then groups of three after commas
        either, and decimals      3.50, 1,234.5: at least one digit on both sides of the point
        a fraction                -6/8: digits on both sides, no decimals, the lower one not zero
    Only the digits 0 to 9. Blanks are allowed at the ends, where they do not count, and nowhere
    else; the rest has at most 40 characters. No exponents: "1e999999999" would fill the memory.

    Args:
        text: any text.

    Returns:
        (numerator, denominator) in lowest terms, the denominator at least 1; None if the text is
        not such a number.
    """
    # TODO(answers): one pattern for the whole text, then exact arithmetic.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(answers): one pattern for the whole text, then exact arithmetic.")


def same_answer(answer: object, target: str) -> bool:
    """Whether an answer is the right one.

    If both are numbers (``parse_number``), their values decide, exactly: "1/2", "0.50" and "2/4"
    are the same. If neither is, the texts decide, with runs of blanks taken as one and blanks at
    the ends dropped; upper and lower case differ. A number and a text are never the same.

    Args:
        answer: what was read: a text, or anything else. Whatever is not a ``str`` is not right,
            None and numbers included, and also objects that claim to be equal to everything.
        target: the right answer.
    """
    # TODO(answers): the type first, then values, then texts.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(answers): the type first, then values, then texts.")


def answer_reward(prompt: str, response: str, target: str) -> float:
    """1.0 for a response with the right answer in the right form, else 0.0 (given)."""
    return float(same_answer(read_answer(prompt, response), target))


# -- Part 2: programs with limits ------------------------------------------------------------------


def countdown_reward(answer: object, numbers: Sequence[int], target: int) -> float:
    """1.0 if an answer makes the target out of the numbers, as in the game Countdown, else 0.0.

    The answer is an expression of whole numbers without leading zeros, + - * /, parentheses and
    spaces, and nothing else: no signs before a number, no powers (**), no whole division (//), at
    most 100 characters. Each of ``numbers`` is used exactly as often as it is given. Values are exact: 8 / 3 * 3 is 8.

    Args:
        answer: what was read; anything but a ``str`` earns 0.0.
        numbers: whole numbers, at least 1 each.
        target: the number to reach.

    Returns:
        0.0 or 1.0; it never raises because of the answer.
    """
    # TODO(programs): allow characters; ast.parse(..., mode="eval"); walk the tree with Fractions; compare the numbers used.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(programs): allow characters; ast.parse(..., mode=\"eval\"); walk the tree with Fractions; compare the numbers used.")


def run_program(source: object, x: int, steps: int = 2000, bits: int = 256) -> int | None:
    """The value of ``y`` after a small program, or None if it breaks a rule.

    Statements, each on lines of its own, indented as in Python:
        name = expression       also +=, -=, *=, //=, %=, **=
        while condition:        without else
        if condition:           elif and else are allowed
    An expression has whole numbers, names that have a value, + - * // % **, signs and parentheses.
    A condition is one comparison of two expressions: < <= > >= == !=. Nothing else is in the
    language: no calls, imports, attributes, texts, lists, fractions, True, and, or, not, pass,
    break, continue. Comments and blank lines are as in Python. ``x`` has a value at the start.

    The rules that a running program may break: at most ``steps`` steps, of which each assignment
    and each look at a condition is one; no number that it writes, reads or works out has more than
    ``bits`` bits (``int.bit_length``), and a power that would have many more is never worked out;
    no division by zero, no negative exponent, no name without a value. At most 400 characters.

    Args:
        source: the program, as a policy wrote it; anything but a ``str`` gives None.
        x: its input.
        steps, bits: at least 1.

    Returns:
        An int, or None; nothing that the program does raises an exception.

    Raises:
        ValueError: steps or bits is below 1.
    """
    if steps < 1 or bits < 1:
        raise ValueError(f"steps and bits must be at least 1, but they are {steps} and {bits}.")
    # TODO(programs): ast.parse; walk the statements; count steps; look at sizes before and after.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(programs): ast.parse; walk the statements; count steps; look at sizes before and after.")


def program_reward(
    source: object, cases: Sequence[tuple[int, int]], steps: int = 2000, bits: int = 256
) -> float:
    """1.0 if a program gives the right number in every test case, else 0.0.

    Each case is a run of its own, with fresh names and the whole budget.

    Args:
        source: as for ``run_program``.
        cases: pairs (x, right result), at least one.
        steps, bits: as for ``run_program``.

    Returns:
        0.0 or 1.0.

    Raises:
        ValueError: there is no test case, or steps or bits is below 1.
    """
    if not cases:
        raise ValueError("at least one test case is needed.")
    # TODO(programs): all cases.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(programs): all cases.")


# -- Part 3: several tries -------------------------------------------------------------------------


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of k answers is right, from n answers of which c are right.

    The share of all subsets of k of the n answers that hold a right one (Chen et al. 2021, section
    2.1). No estimate of it from these answers is unbiased but this one.

    Args:
        n: answers, at least 1.
        c: right ones, 0 .. n.
        k: 1 .. n.

    Returns:
        A float.

    Raises:
        ValueError: a number is out of its range.
    """
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"1 <= k <= n and 0 <= c <= n, please: n = {n}, c = {c}, k = {k}.")
    # TODO(tries): count the subsets without a right answer.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(tries): count the subsets without a right answer.")


def majority(answers: Sequence[str | None]) -> str | None:
    """The answer that most give.

    Answers are the same if ``same_answer`` says so: "0.5" and "1/2" vote together. None has no
    vote. Of answers with equally many votes the one that was given first wins, and the winner is
    returned as it was written first.

    Args:
        answers: texts or None, any number of them.

    Returns:
        The winner, or None if there is no vote.
    """
    # TODO(tries): one pile for each answer, in the order in which they come.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(tries): one pile for each answer, in the order in which they come.")


def maj_at_k(answers: Sequence[str | None], target: str, k: int) -> float:
    """The chance that the majority of k answers is right, from n answers to one prompt.

    The share of all subsets of k of the n answers, each in the order of ``answers``, whose
    ``majority`` is the target (``same_answer``). Answers that could not be read are among the n.

    Args:
        answers: n texts or None; there are few enough subsets to list.
        target: the right answer.
        k: 1 .. n.

    Returns:
        A float.

    Raises:
        ValueError: k is out of its range.
    """
    if not 1 <= k <= len(answers):
        raise ValueError(f"k must lie between 1 and {len(answers)}, but it is {k}.")
    # TODO(tries): itertools.combinations.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(tries): itertools.combinations.")


def best_of_n_probs(probs: Tensor, scores: Tensor, n: int) -> Tensor:
    """The distribution of the best of n: draw n answers, take the one with the highest score.

    Of drawn answers with the same highest score the one that was drawn first is taken.

    Args:
        probs: (K,) float64, a policy over K answers.
        scores: (K,) float, what a verifier or reward model says.
        n: draws, with replacement, at least 1.

    Returns:
        (K,) float64: how probable each answer is in the end.

    Raises:
        ValueError: the shapes differ, probs is not a distribution, or n is below 1.
    """
    if probs.shape != scores.shape or probs.ndim != 1 or n < 1:
        raise ValueError("probs and scores must be (K,), and n at least 1.")
    if bool((probs < 0).any()) or abs(float(probs.sum()) - 1) > 1e-6:
        raise ValueError("probs must be a distribution.")
    # TODO(tries): the chance that the best score is at most s is a power; within a score, shares.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(tries): the chance that the best score is at most s is a power; within a score, shares.")


# -- Part 4: rejection sampling --------------------------------------------------------------------


def accept(rewards: Tensor, group_ids: Tensor, most: int) -> Tensor:
    """Which rows are learnt from: right answers, of each group the first ``most``.

    Without a bound an easy prompt, whose answers are all right, would weigh more than a hard one.

    Args:
        rewards: (B,) float, 0 or 1.
        group_ids: (B,) integers.
        most: at least 1.

    Returns:
        (B,) bool.

    Raises:
        ValueError: the shapes differ, a reward is neither 0 nor 1, or most is below 1.
    """
    _check_rewards(rewards, group_ids)
    if most < 1:
        raise ValueError(f"most must be at least 1, but it is {most}.")
    # TODO(expert): count right answers within each group.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(expert): count right answers within each group.")


def _check_rewards(rewards: Tensor, group_ids: Tensor) -> None:
    """Refuse what are no verified rewards of groups."""
    if rewards.ndim != 1 or rewards.shape != group_ids.shape:
        raise ValueError(
            f"rewards and group_ids must be (B,): {tuple(rewards.shape)}, {tuple(group_ids.shape)}."
        )
    if not bool(((rewards == 0) | (rewards == 1)).all()):
        raise ValueError("a verified reward is 0 or 1.")


def expert_loss(logp: Tensor, mask: Tensor, accepted: Tensor) -> Tensor:
    """The loss of expert iteration: imitate what was accepted.

    Each row's mean of -logp over its tokens under ``mask``, times 1 where it is accepted and 0
    where not, averaged over all B rows. Its gradient is that of GRPO's loss
    ("seq-mean-token-mean", no KL term) on fresh samples with the advantages 1 and 0.

    Args:
        logp: (B, L) float, log-probabilities of the tokens; carries the gradient. What stands under
            mask 0 is never used, not even nan.
        mask: (B, L) bool or 0/1. A row without a token counts as 0, and stays among the B rows.
        accepted: (B,) bool or 0/1.

    Returns:
        A scalar tensor that hangs on ``logp``.

    Raises:
        ValueError: the shapes do not fit; a mask that is longer than the tokens would be cut
            silently otherwise.
    """
    # TODO(expert): refuse shapes that do not fit; choose before you compute; two means.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(expert): refuse shapes that do not fit; choose before you compute; two means.")


# -- Part 5: which prompts teach -------------------------------------------------------------------


def filter_groups(rewards: Tensor, group_ids: Tensor) -> Groups:
    """Drop the groups without spread, and count them: a solved prompt is not a hopeless one.

    ``keep`` is what ``informative_groups`` of `grpo` gives.

    Args:
        rewards: (B,) float, 0 or 1.
        group_ids: (B,) integers.

    Returns:
        Groups(keep, solved, failed).

    Raises:
        ValueError: the shapes differ, or a reward is neither 0 nor 1.
    """
    _check_rewards(rewards, group_ids)
    # TODO(filters): one look at each group.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(filters): one look at each group.")


def difficulty_filter(right: Tensor, tries: Tensor, low: float, high: float) -> Tensor:
    """Which prompts are neither too easy nor too hard: low <= right / tries <= high.

    Args:
        right: (P,) int64, right answers of an earlier policy to each prompt.
        tries: (P,) int64, its answers, those that could not be read or ran out of time included. A
            prompt with 0 tries is kept: nothing is known about it.
        low, high: 0 <= low <= high <= 1.

    Returns:
        (P,) bool.

    Raises:
        ValueError: the shapes differ, right is not between 0 and tries, or the bounds are
            impossible.
    """
    if right.shape != tries.shape or right.ndim != 1 or not 0 <= low <= high <= 1:
        raise ValueError("right and tries must be (P,), and 0 <= low <= high <= 1.")
    if bool((right < 0).any()) or bool((right > tries).any()):
        raise ValueError("right must lie between 0 and tries.")
    # TODO(filters): a share for each prompt; nothing may be 0/0.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(filters): a share for each prompt; nothing may be 0/0.")


def dynamic_sampling(draw: Callable[[int], Tensor], wanted: int, most_groups: int) -> Drawn:
    """Draw groups until enough of them have spread (dynamic sampling, Yu et al. 2025).

    Group 0, 1, 2, ... is drawn, one after the other, until ``wanted`` of them hold right and wrong
    answers or ``most_groups`` have been drawn. What is reported is about all groups that were drawn: the
    mean over the kept ones says nothing about the policy.

    Args:
        draw: ``draw(i)`` gives the rewards of group i, (G,) float, 0 or 1; groups may differ in
            size. It is called once for each group and for no group more than needed: answers are
            expensive.
        wanted: groups with spread, at least 1.
        most_groups: groups in all, at least 1.

    Returns:
        Drawn(kept, drawn, reward_mean).

    Raises:
        ValueError: wanted or most_groups is below 1.
    """
    if wanted < 1 or most_groups < 1:
        raise ValueError(f"at least 1 of both, please: {wanted} wanted, {most_groups} groups.")
    # TODO(filters): draw, look, count; keep the books of everything.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(filters): draw, look, count; keep the books of everything.")


# -- Part 6: turns with a tool ---------------------------------------------------------------------


def rollout(
    policy: Callable[[list[int]], list[int]],
    prompt: Sequence[int],
    tool: Callable[[str], str],
    encode: Callable[[str], list[int]],
    decode: Callable[[list[int]], str],
    call: int,
    max_turns: int,
) -> Transcript:
    """A policy writes, and may ask a tool: tokens in, tokens out.

    In each turn the policy is shown all token ids so far, **the very ids**, and goes on. If the
    last id that it writes is ``call``, the tool gets the text of this turn without this last id,
    and the ids of its answer are appended; then comes the next turn. Otherwise the conversation
    ends: elsewhere in a turn ``call`` is an id like any other. A call in the last turn is not answered: nobody would read it.

    Text that the policy wrote is never encoded again: several rows of ids have the same text, and
    the policy wrote only one of them. Only what the tool says is encoded.

    Args:
        policy: all ids so far -> new ids, at least one.
        prompt: ids, at least one.
        tool: text -> text.
        encode, decode: of the tokenizer; ``encode(decode(ids))`` may differ from ``ids``.
        call: the id that asks the tool.
        max_turns: turns of the policy, at least 1.

    Returns:
        Transcript(tokens, mask, calls). The mask is 1 at the ids that the policy wrote, calls
        included, and 0 at the prompt and at the tool's.

    Raises:
        ValueError: an empty prompt, max_turns below 1, or a policy that writes nothing.
    """
    if not prompt or max_turns < 1:
        raise ValueError("a prompt of at least one token and at least one turn, please.")
    # TODO(tools): two lists that grow together.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(tools): two lists that grow together.")


def stack_transcripts(transcripts: Sequence[Transcript], pad: int) -> tuple[Tensor, Tensor]:
    """Transcripts as a batch, padded on the right.

    Args:
        transcripts: at least one.
        pad: the id that fills rows up; it may occur in transcripts too.

    Returns:
        (tokens, mask), both (B, L): int64 and bool. Padding is 0 in the mask.

    Raises:
        ValueError: there is no transcript, or one whose mask is not as long as its tokens.
    """
    # TODO(tools): refuse, then fill row by row.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(tools): refuse, then fill row by row.")


# -- Given: log-probabilities, samples, a task -----------------------------------------------------


def token_logprobs(model: Any, tokens: Tensor) -> Tensor:
    """The log-probability of each token given those before it, (B, L); 0 at the first place.

    Rows begin at the left edge; what is padding on the right disturbs nobody before it.
    """
    logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
    logp = logits[:, :-1].log_softmax(dim=-1)
    return torch.nn.functional.pad(logp.gather(2, tokens[:, 1:, None]).squeeze(2), (1, 0))


def sample_responses(
    model: Any, prompts: Sequence[str], max_new: int, generator: torch.Generator
) -> Samples:
    """One response to each prompt at temperature 1; the prompts are of equal length."""
    tokens = torch.tensor([encode(prompt) for prompt in prompts])
    alive = torch.ones(len(prompts), dtype=torch.bool)
    masks = [torch.zeros(tokens.shape, dtype=torch.bool)]
    for _ in range(max_new):
        with torch.no_grad():
            logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
        token = torch.multinomial(logits[:, -1].softmax(dim=-1), 1, generator=generator).squeeze(1)
        token = token.masked_fill(~alive, PAD)
        tokens = torch.cat([tokens, token[:, None]], dim=1)
        masks.append(alive[:, None])
        alive = alive & (token != EOS)
    return Samples(tokens, torch.cat(masks, dim=1))


def responses_of(samples: Samples) -> list[str]:
    """The text under the mask of each row."""
    return [decode(row[kept]) for row, kept in zip(samples.tokens, samples.mask, strict=True)]


def digit_sum_rewards(prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """1.0 for the last digit of the sum of a prompt's digits, and the end: ("37>", "0$")."""
    right = [f"{sum(map(int, prompt[:-1])) % 10}$" for prompt in prompts]
    return [float(a == b) for a, b in zip(responses, right, strict=True)]


# -- Part 7: expert iteration ----------------------------------------------------------------------


def expert_update_(
    policy: Any,
    optimizer: torch.optim.Optimizer,
    samples: Samples,
    accepted: Tensor,
    grad_norm: float,
) -> float:
    """One step of the optimiser down ``expert_loss``. Changes ``policy``.

    Old gradients are forgotten; the norm of the whole gradient is clipped to ``grad_norm`` once. If
    nothing is accepted there is nothing to learn: nothing is changed, not even by the momentum of
    the optimiser.

    Args:
        policy: a causal language model of ``transformers``.
        optimizer: holds the policy's parameters.
        samples: tokens and mask, (B, L).
        accepted: (B,) bool.
        grad_norm: above 0.

    Returns:
        The loss before the step; 0.0 if nothing is accepted.
    """
    # TODO(training): loss, gradient, clip, step.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): loss, gradient, clip, step.")


def train_expert(
    policy: Any,
    prompts: Sequence[str],
    rewards_of: Callable[[list[str], list[str]], list[float]],
    cfg: ExpertConfig,
    seed: int,
) -> Result:
    """Expert iteration: sample, verify, imitate what passed, again.

    An iteration draws ``cfg.prompts`` of the prompts at random, with replacement; samples
    ``cfg.group_size`` responses to each (``sample_responses``; rows i * group_size and following
    answer the i-th drawn prompt); has them rewarded, all at once; accepts (``accept``, with
    ``cfg.most``; each drawn prompt is a group of its own, also if it was drawn twice); and makes
    ``cfg.epochs`` calls of ``expert_update_`` on all rows (AdamW, no weight decay). A copy is
    trained.

    Args:
        policy: a causal language model of ``transformers``; it is not changed.
        prompts: texts of equal length, at least one.
        rewards_of: (prompts, responses), one of each for every row -> one reward for every row.
        cfg: see ``ExpertConfig``.
        seed: decides everything random.

    Returns:
        Result(policy, history). Entry i of each list is about iteration i:
        reward_mean     mean reward of all samples, the failed ones included
        accepted        share of all samples that was learnt from
        dead_groups     share of the groups without spread, solved or failed
    """
    if not prompts:
        raise ValueError("at least one prompt is needed.")
    # TODO(training): sample, verify, accept, update; keep the books.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(training): sample, verify, accept, update; keep the books.")


# -- Part 8: shaping -------------------------------------------------------------------------------


def shaped_rewards(rewards: Tensor, potential: Tensor, gamma: float, terminal: Tensor) -> Tensor:
    """Rewards with a potential-based bonus: R(s, a, s') + gamma * Phi(s') - Phi(s).

    A terminal state has the potential 0, whatever ``potential`` says: otherwise the way in which an
    episode ends would be paid for. Nothing happens in a terminal state, so rewards out of it stay
    as they are.

    Args:
        rewards: (S, A, S) float.
        potential: (S,) float.
        gamma: in [0, 1].
        terminal: (S,) bool.

    Returns:
        (S, A, S), float64 if the arguments are.

    Raises:
        ValueError: shapes that do not fit, or gamma outside of [0, 1].
    """
    states = len(potential)
    if rewards.ndim != 3 or rewards.shape[::2] != (states, states) or terminal.shape != (states,):
        raise ValueError("rewards must be (S, A, S), potential and terminal (S,).")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must lie in [0, 1], but it is {gamma}.")
    # TODO(shaping): the potential of terminal states first; mind which axis is s'.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(shaping): the potential of terminal states first; mind which axis is s'.")


def potential_of(bonus: Tensor, gamma: float) -> Tensor | None:
    """The potential behind a bonus, or None if there is none: then it may change what is optimal.

    A bonus F is potential-based if F(s, s') = gamma * Phi(s') - Phi(s) for all s and s'. All states
    go on here, none is terminal. For gamma below 1 there is at most one such potential: stay where
    you are, and F(s, s) = (gamma - 1) Phi(s).

    Args:
        bonus: (S, S) float64; entry (s, s') is paid for going from s to s'.
        gamma: in [0, 1).

    Returns:
        (S,) float64, or None if the formula misses an entry of ``bonus`` by more than 1e-8.

    Raises:
        ValueError: bonus is not (S, S), or gamma lies outside of [0, 1).
    """
    if bonus.ndim != 2 or bonus.shape[0] != bonus.shape[1] or not 0 <= gamma < 1:
        raise ValueError("bonus must be (S, S), and gamma in [0, 1).")
    # TODO(shaping): the diagonal gives it; all other entries are the check.
    # YOUR CODE HERE
    raise NotImplementedError("TODO(shaping): the diagonal gives it; all other entries are the check.")


# How many minutes did each part take? The answer is never marked; it helps the next class.
# answers=  programs=  tries=  expert=  filters=  tools=  training=  shaping=
