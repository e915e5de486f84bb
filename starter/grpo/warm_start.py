"""Makes warm_start.safetensors: a GPT-2 of 0.1 million weights that has read noisy demonstrations.

    python warm_start.py            takes about ten seconds of one core; needs tiny_lm.py beside it, or on PYTHONPATH

A demonstration is a prompt and its right answer, except that every digit of the answer is replaced
by a uniformly drawn one with probability 0.23. So each digit is right with probability 0.793, and
what the model learns is the error rate of its teachers: a whole answer of five digits is right
about 0.793**5 = 0.31 of the time when it samples, and nearly always when it decodes greedily. The
skill is there; what reinforcement learning has to do is to make it reliable.

Weights that start from a seed may differ between releases of torch and transformers. That is why
the file ships.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import tiny_lm
import torch
from torch import Tensor

NOISE = 0.23
STEPS = 300
BATCH = 128
LEARNING_RATE = 3e-3
TASKS = (("reverse", 5), ("sort", 4))  # every step reads half a batch of each


def demonstrations(
    task: str, digits: int, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows "r31425>52413$", padded on the right to 13 places, and a mask of the answers. (count, 13)
    each."""
    texts, width = [], 13
    for prompt in tiny_lm.draw_prompts(task, digits, count, generator):
        numbers = prompt[1:-1]
        answer = numbers[::-1] if task == "reverse" else "".join(sorted(numbers))
        wrong = torch.rand(digits, generator=generator) < NOISE
        other = torch.randint(0, 10, (digits,), generator=generator).tolist()
        noisy = "".join(str(o) if w else a for a, w, o in zip(answer, wrong, other, strict=True))
        texts.append(f"{prompt}{noisy}$")
    tokens = torch.tensor([tiny_lm.encode(text.ljust(width, "_")) for text in texts])
    places = torch.arange(width)
    return tokens, (places > digits + 1) & (tokens != tiny_lm.PAD)


def train(seed: int) -> dict[str, Tensor]:
    """Supervised learning: the mean negative log-likelihood of the answers' tokens."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    policy = tiny_lm.build_policy()
    optimizer = torch.optim.AdamW(policy.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = (
            LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        )
        halves = [demonstrations(task, digits, BATCH // 2, generator) for task, digits in TASKS]
        tokens, mask = (torch.cat(parts) for parts in zip(*halves, strict=True))
        logp = (
            policy(input_ids=tokens, attention_mask=tokens != tiny_lm.PAD)
            .logits[:, :-1]
            .log_softmax(dim=-1)
        )
        picked = logp.gather(2, tokens[:, 1:, None]).squeeze(2)
        loss = -picked[mask[:, 1:]].mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    return {name: weight.detach().clone() for name, weight in policy.state_dict().items()}


def main() -> None:
    """Train and save."""
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).with_name("warm_start.safetensors")
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    state = train(arguments.seed)
    save_file(
        state, arguments.out, metadata={"made by": "warm_start.py", "seed": str(arguments.seed)}
    )
    arguments.out.chmod(0o644)
    print(arguments.out)


if __name__ == "__main__":
    main()
