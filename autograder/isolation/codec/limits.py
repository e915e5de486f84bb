"""How much may cross the wall, of which kinds, and what is said of anything else."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

MAX_HEADER = 4 << 20  # bytes
MAX_BUFFERS = 256 << 20  # bytes together
MAX_BUFFER_COUNT = 4096
MAX_DEPTH = 40
MAX_NODES = 200_000
MAX_KEYS = 4096  # in one message, that are not strings: their hashes can be made to collide
MAX_CLASSES = 64  # of named tuples and dataclasses in one message
MAX_DIGITS = 1000

NUMPY_DTYPES = frozenset(
    np.dtype(name).str
    for name in "? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16 >i4 >i8 >f4 >f8".split()
)
TORCH_DTYPES = frozenset(
    "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64".split()
    + ["complex128"]
)

SCALARS = frozenset({type(None), bool, int, float, str})  # exactly these cross as they are


class WireError(Exception):
    """A message that cannot be accepted: malformed, too large, or with something forbidden."""


def torch_module() -> Any:
    """torch if this process has imported it already, otherwise None.

    Data that crosses never causes the import.
    """
    return sys.modules.get("torch")
