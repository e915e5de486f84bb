"""How much may cross the wall, of which kinds, and the error for anything else."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

# Bytes of the header, and of all buffers together.
MAX_HEADER = 4 << 20
MAX_BUFFERS = 256 << 20
MAX_BUFFER_COUNT = 4096
MAX_DEPTH = 40
MAX_NODES = 200_000
# Keys in one message that are not strings: their hashes can be made to collide.
MAX_KEYS = 4096
# Classes of named tuples and dataclasses in one message.
MAX_CLASSES = 64
MAX_DIGITS = 1000

NUMPY_DTYPES = frozenset(
    np.dtype(name).str
    for name in "? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16 >i4 >i8 >f4 >f8".split()
)
TORCH_DTYPES = frozenset(
    "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64".split()
    + ["complex128"]
)

# Exactly these types cross as they are.
SCALARS = frozenset({type(None), bool, int, float, str})


class WireError(Exception):
    """A message that cannot be accepted: malformed, too large, or with something forbidden."""


def torch_module() -> Any:
    """torch if this process has imported it already, otherwise None.

    Data that crosses never causes the import.
    """
    return sys.modules.get("torch")
