"""What may cross the wall: data, and references to things that stay where they are.

A message is a msgpack header of tagged nodes, plus raw buffers for the contents of arrays and
tensors, so that a hostile header can never make the grader build millions of objects. Every node
that is not a scalar is a list that begins with a tag, hence no user's data can pose as a control
node. The decoder raises WireError and nothing else. Whole messages are msgpack too; pickle appears
nowhere.

limits (how much, and of which kinds) -> structures (named tuples and dataclasses) -> encode and
decode (values) -> message (whole messages as bytes) -> exceptions (errors of the student's code).
"""

from autograder.isolation.codec.decode import Decoder
from autograder.isolation.codec.encode import Encoder
from autograder.isolation.codec.limits import WireError, torch_module
from autograder.isolation.codec.message import pack, unpack
from autograder.isolation.codec.structures import Fields

__all__ = ["Decoder", "Encoder", "Fields", "WireError", "pack", "torch_module", "unpack"]
