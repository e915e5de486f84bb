"""Mutated messages against the decoder: it may return something or raise WireError, and may take no
more memory than a message brings.

    python tests/attacks/fuzz.py [--count 1000000] [--seed 0]

The messages are real ones, changed with an eye to their structure: nodes are exchanged, copied,
dropped and cut, numbers become extreme, tags and dtypes are mixed up, buffers swapped; then some
bytes are changed too. Values go through ``unpack`` and ``Decoder``; whole answers go through a
Bridge, which makes StudentErrors of what the decoder says.
"""

from __future__ import annotations

import argparse
import collections
import copy
import random
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from autograder.errors import StudentError
from autograder.isolation import codec
from autograder.isolation.bridge.client import Bridge
from autograder.isolation.codec.limits import NUMPY_DTYPES, TORCH_DTYPES

Pair = collections.namedtuple("Pair", "left right")
LOADED = codec.pack([0, "ok", ["l", ["d", [], []], ["d", [], []]], [], [], []], [])
ROOM = 96 << 20  # bytes that the process may grow by: the largest message here has less than 100 kB
EXTREMES = [
    0,
    -1,
    1,
    2,
    7,
    31,
    2**31,
    2**40,
    2**63,
    2**64 - 1,
    -(2**63),
    0.5,
    float("nan"),
    float("inf"),
    -0.0,
    "",
    "l",
    "a",
    "T",
    "x" * 2000,
    "9" * 1000,
    "__class__",
    "count",
    None,
    True,
    False,
    [],
    [[]],
    ["l"],
    ["b", 0],
    ["b", -1],
    ["o", 0],
]
TAGS = [
    "l",
    "t",
    "s",
    "fs",
    "d",
    "n",
    "D",
    "y",
    "c",
    "i",
    "sl",
    "e",
    "rg",
    "nd",
    "x",
    "a",
    "T",
    "o",
    "g",
    "G",
    "td",
    "tv",
    "tz",
    "b",
    "h",
    "k",
    "m",
    "u8",
]
NAMES = [
    *sorted(NUMPY_DTYPES),
    *sorted(TORCH_DTYPES),
    "PCG64",
    "MT19937",
    "cpu",
    "cuda:0",
    "meta",
    "|O",
    "V8",
    "U4",
    "M8[s]",
]


def samples() -> list[Any]:
    """Values of every kind that crosses."""
    array = np.arange(24.0).reshape(2, 3, 4)
    tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    return [
        [1, -2.5, "text", None, True, 2**70, [[], [1, [2]]]],
        {"a": array, (1, 2): {3, 4}, 5: frozenset(("x", "y"))},
        (array.T, array.astype("<i4"), np.float32(1.5), np.zeros((0, 3)), np.array(7)),
        (
            tensor,
            tensor.T,
            tensor.bool(),
            tensor.bfloat16(),
            torch.zeros(0, 2),
            tensor.clone().requires_grad_(),
        ),
        Pair(array[0], codec.Fields(one=tensor, other=[1, 2, 3])),
        [
            np.random.default_rng(0),
            np.random.Generator(np.random.MT19937(1)),
            torch.Generator().manual_seed(3),
        ],
        [
            slice(1, 2, 3),
            range(10),
            ...,
            b"bytes",
            1j,
            np.dtype("<f8"),
            torch.float64,
            torch.Size([2, 3]),
            torch.device("cpu"),
        ],
        [{"deep": [{"deeper": [({"deepest": array},)]}]}, list(range(300)), "long " * 200],
    ]


Target = Callable[[bytes], str]


def frames() -> list[tuple[Target, Any, list[bytes]]]:
    """Each sample as node and buffers, and as a whole answer with changes, outputs and a handle:
    with what each goes through."""
    found: list[tuple[Target, Any, list[bytes]]] = []
    for value in samples():
        encoder = codec.Encoder(outputs=[])
        node = encoder.encode(value)
        buffers = [bytes(buffer) for buffer in encoder.buffers]
        found.append((through_the_decoder, node, buffers))
        answer = [
            1,
            "ok",
            ["l", node, ["h", 3, "Thing", True, False]],
            [["T", "float64", [], None, 0, len(encoder.buffers)]],
            [[0, ["l", 1]]],
            [],
        ]
        found.append((through_a_bridge, answer, [*buffers, bytes(8)]))
    callables = [
        "d",
        ["f", "Net"],
        [["h", 1, "function", True, False], ["h", 2, "type", True, True]],
    ]
    report = [0, "ok", ["l", callables, ["d", ["work.py"], [["y", 0]]]], [], [], []]
    found.append((through_a_report, report, [b"code"]))
    raised = [1, "raise", "ValueError", ["ValueError"], "a message", [["work.py", 3, "f", "line"]]]
    return [*found, (through_a_bridge, raised, [])]


# -- mutations -------------------------------------------------------------------------------------


def places(node: Any) -> Iterator[tuple[list[Any], int]]:
    """Every position inside a node."""
    stack = [node]
    while stack:
        here = stack.pop()
        for index, item in enumerate(here):
            yield here, index
            if isinstance(item, list):
                stack.append(item)


def mutated(rng: random.Random, node: Any, buffers: list[bytes]) -> bytes:
    """The frame as bytes, with a few changes."""
    node, buffers = [copy.deepcopy(node)], list(buffers)
    everywhere = list(places(node))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(CHANGES)(rng, everywhere)
    if buffers and rng.random() < 0.3:
        index = rng.randrange(len(buffers))
        buffers[index] = rng.choice(
            (b"", buffers[index][1:], buffers[index] * 2, rng.choice(buffers), rng.randbytes(16))
        )
    if rng.random() < 0.1:
        rng.shuffle(buffers)
    try:
        message = bytearray(codec.pack(node[0] if node else None, buffers))
    except (ValueError, codec.WireError, OverflowError):
        message = bytearray(codec.pack(["l"], buffers))
    if rng.random() < 0.25:
        for _ in range(rng.choice((1, 1, 4, 30))):
            message[rng.randrange(len(message))] = rng.randrange(256)
    if rng.random() < 0.05:
        del message[rng.randrange(len(message)) :]
    return bytes(message)


def _replace(rng: random.Random, everywhere: list[tuple[list[Any], int]]) -> None:
    here, index = rng.choice(everywhere)
    if index < len(here):
        here[index] = copy.deepcopy(rng.choice(EXTREMES))


def _transplant(rng: random.Random, everywhere: list[tuple[list[Any], int]]) -> None:
    (here, index), (there, other) = rng.choice(everywhere), rng.choice(everywhere)
    if index < len(here) and other < len(there):
        here[index] = copy.deepcopy(there[other])


def _drop(rng: random.Random, everywhere: list[tuple[list[Any], int]]) -> None:
    here, index = rng.choice(everywhere)
    del here[index : index + rng.choice((1, 1, 2, 99))]


def _multiply(rng: random.Random, everywhere: list[tuple[list[Any], int]]) -> None:
    here, index = rng.choice(everywhere)
    if index < len(here) and len(here) < 1000:
        here[index:index] = [copy.deepcopy(here[index]) for _ in range(rng.choice((1, 2, 30)))]


def _retag(rng: random.Random, everywhere: list[tuple[list[Any], int]]) -> None:
    here, index = rng.choice(everywhere)
    if index < len(here):
        here[0 if index else index] = rng.choice(TAGS)


def _rename(rng: random.Random, everywhere: list[tuple[list[Any], int]]) -> None:
    named = [
        (here, index)
        for here, index in everywhere
        if index < len(here) and isinstance(here[index], str)
    ]
    if named:
        here, index = rng.choice(named)
        here[index] = rng.choice(NAMES)


def _count(rng: random.Random, everywhere: list[tuple[list[Any], int]]) -> None:
    numbered = [
        (here, index)
        for here, index in everywhere
        if index < len(here) and type(here[index]) is int
    ]
    if numbered:
        here, index = rng.choice(numbered)
        here[index] = rng.choice(
            (
                here[index] + 1,
                here[index] - 1,
                -here[index],
                here[index] * 2,
                2**20,
                2**26,
                2**40,
                3,
            )
        )


def _nest(rng: random.Random, everywhere: list[tuple[list[Any], int]]) -> None:
    here, index = rng.choice(everywhere)
    if index < len(here):
        for _ in range(rng.choice((1, 5, 39, 60))):
            here[index] = [rng.choice(("l", "t", "fs")), here[index]]


CHANGES: list[Callable[[random.Random, list[tuple[list[Any], int]]], None]] = [
    _replace,
    _replace,
    _transplant,
    _transplant,
    _drop,
    _multiply,
    _retag,
    _rename,
    _count,
    _count,
    _nest,
]


# -- the targets -----------------------------------------------------------------------------------


class Scripted:
    """A channel whose worker gives one prepared answer to everything."""

    prints = ""
    used = False

    def __init__(self, answer: bytes, report: bytes = LOADED) -> None:
        self._answer = answer
        self._report = report

    def loaded(self) -> bytes:
        return self._report

    def request(self, message: bytes, on_callback: Callable[[bytes], bytes]) -> bytes:
        return self._answer

    def close(self, passed: bool = False) -> None:
        pass


def through_the_decoder(message: bytes) -> str:
    """What the decoder says of a message: "value", or the WireError's text."""
    try:
        header, buffers = codec.unpack(message)
        decoder = codec.Decoder(
            buffers, lambda tag, fields, decoder: fields, [[1], {}].__getitem__, register=[].append
        )
        decoder.decode(header)
    except codec.WireError as error:
        return str(error)
    return "value"


def through_a_bridge(message: bytes) -> str:
    """What a test's call gets from such an answer: "value", or the StudentError's text."""
    try:
        Bridge(Scripted(message)).ask(
            "call", [1.0], {"a": np.zeros(3)}, torch.zeros(2, requires_grad=True)
        )
    except StudentError as error:
        return str(error)
    return "value"


def through_a_report(message: bytes) -> str:
    """What a test gets from such a report of loading: "value", or the StudentError's text."""
    try:
        Bridge(Scripted(b"", message)).load()
    except StudentError as error:
        return str(error)
    return "value"


def grown(since: int) -> int:
    """Bytes by which the largest size of this process has grown."""
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - since


def fuzz(count: int, seed: int, tell: Callable[[str], None] = lambda line: None) -> dict[str, int]:
    """Send ``count`` mutated messages. Raises AssertionError for the first that does what none may;
    counts what came of them."""
    rng, originals, seen = random.Random(seed), frames(), collections.Counter[str]()
    for target, node, buffers in originals:
        target(codec.pack(node, buffers))
        for _ in range(5):
            target(mutated(rng, node, buffers))
    before = grown(0)
    for number in range(count):
        target, node, buffers = rng.choice(originals)
        message, place = (
            mutated(rng, node, buffers),
            f"message {number}, seed {seed}: {target.__name__}",
        )
        try:
            told = target(message)
        except BaseException as error:
            raise AssertionError(f"{place} raised {type(error).__name__}\n{message!r}") from error
        assert "MemoryError" not in told, f"{place} ran out of memory\n{message!r}"
        assert grown(before) < ROOM, (
            f"{place} took {grown(before) >> 20} MiB for {len(message)} bytes\n{message[:300]!r}"
        )
        seen[told[:90]] += 1
        if number % 100_000 == 99_999:
            tell(f"{number + 1} messages, {grown(before) >> 20} MiB grown")
    return dict(seen)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    begun = time.monotonic()
    try:
        seen = fuzz(options.count, options.seed, print)
    except AssertionError:
        traceback.print_exc()
        return 1
    accepted = seen.pop("value", 0)
    print(
        f"{options.count} messages: {accepted} accepted, {sum(seen.values())} refused for "
        f"{len(seen)} reasons"
    )
    print(
        f"nothing but WireError and StudentError was raised; {time.monotonic() - begun:.0f} seconds"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
