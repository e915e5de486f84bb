"""A tiny language model: tokens, prompts of digits, a small GPT-2, and its cache.

A batch is (B, L): B rows, L places. A row is padding, a prompt, a response, padding.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

VOCABULARY = "0123456789>rs$_"  # one character is one token
EOS = VOCABULARY.index("$")  # ends a response
PAD = VOCABULARY.index("_")  # fills a row up


def encode(text: str) -> list[int]:
    """Token ids of a text. Raises ValueError for a character that is no token."""
    return [VOCABULARY.index(character) for character in text]


def decode(ids: Sequence[int] | Tensor) -> str:
    """The text of token ids."""
    return "".join(VOCABULARY[int(number)] for number in ids)


def draw_prompts(task: str, digits: int, count: int, generator: torch.Generator) -> list[str]:
    """Prompts like "r31425>" (task "reverse") or "s3142>" (task "sort"), digits uniform and
    independent."""
    numbers = torch.randint(0, 10, (count, digits), generator=generator).tolist()
    return [task[0] + "".join(map(str, row)) + ">" for row in numbers]


def gpt2_config(
    tokens: int, places: int, width: int, layers: int, heads: int, **changes: Any
) -> Any:
    """The configuration of a small GPT-2 of ``transformers`` without dropout.

    Args:
        tokens: size of the vocabulary.
        places: the longest sequence.
        width, layers, heads: of the network; heads divides width.
        **changes: further arguments of ``GPT2Config``. Token 0 ends and begins a sequence by
            default.
    """
    from transformers import GPT2Config

    settings = {"bos_token_id": 0, "eos_token_id": 0, "attn_implementation": "eager"} | changes
    return GPT2Config(
        vocab_size=tokens, n_positions=places, n_embd=width, n_layer=layers, n_head=heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **settings,
    )  # fmt: skip


def build_policy(
    state: dict[str, Tensor] | None = None, width: int = 64, layers: int = 2, heads: int = 4
) -> Any:
    """A small GPT-2 of ``transformers``, without dropout, with weights from ``state`` if there is
    one."""
    from transformers import GPT2LMHeadModel

    config = gpt2_config(
        len(VOCABULARY), 24, width, layers, heads,
        bos_token_id=EOS, eos_token_id=EOS, pad_token_id=PAD,
    )  # fmt: skip
    policy = GPT2LMHeadModel(config)
    if state is not None:
        policy.load_state_dict(state)
    return policy.eval()


def attention_mask(tokens: Tensor, mask: Tensor) -> Tensor:
    """Which places hold a token: the prompt's and the response's. (B, L) bool.

    A policy may sample PAD like any other token; under ``mask`` it counts as one.
    """
    return (tokens != PAD) | mask.bool()


def run_with_cache(
    model: Any, tokens: Tensor, attention: Tensor, positions: Tensor, cache: Any = None
) -> tuple[Tensor, Any]:
    """The model on the places that the cache has not seen yet: what makes sampling fast, if you
    like.

    Args:
        model: a causal language model of ``transformers``.
        tokens, positions: (B, n) int64, the new places only.
        attention: (B, m + n), the m places in the cache and the new ones.
        cache: what the last call returned; None at the first.

    Returns:
        Logits (B, n, V), and the cache with the new places in it (the one that was handed in is
        used up).
    """
    # Releases of transformers differ in what the argument is called.
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    inputs = {"input_ids": tokens, "attention_mask": attention.long(), "position_ids": positions}
    out = model(**inputs, **{name: cache}, use_cache=True)
    return out.logits, getattr(out, name)
