"""What may cross the wall: data, and references to things that stay where they are.

A message is a msgpack header of tagged nodes, plus raw buffers for the contents of arrays and tensors, so that a
hostile header can never make the grader build millions of objects. Every node that is not a scalar is a list that
begins with a tag, hence no user's data can pose as a control node. The decoder raises WireError and nothing else.
Whole messages are msgpack too; pickle appears nowhere.
"""

from autograder.isolation.codec.decode import Decoder
from autograder.isolation.codec.encode import Encoder
from autograder.isolation.codec.limits import (
    MAX_BUFFER_COUNT,
    MAX_BUFFERS,
    MAX_CLASSES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_HEADER,
    MAX_KEYS,
    MAX_NODES,
    NUMPY_DTYPES,
    SCALARS,
    TORCH_DTYPES,
    Loan,
    Record,
    WireError,
    torch_module,
)
from autograder.isolation.codec.message import (
    PREFIX_SIZE,
    check_sizes,
    pack,
    prefix_sizes,
    unpack,
    unpack_header,
)

__all__ = [
    "MAX_BUFFERS",
    "MAX_BUFFER_COUNT",
    "MAX_CLASSES",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_HEADER",
    "MAX_KEYS",
    "MAX_NODES",
    "NUMPY_DTYPES",
    "PREFIX_SIZE",
    "SCALARS",
    "TORCH_DTYPES",
    "Decoder",
    "Encoder",
    "Loan",
    "Record",
    "WireError",
    "check_sizes",
    "pack",
    "prefix_sizes",
    "torch_module",
    "unpack",
    "unpack_header",
]
