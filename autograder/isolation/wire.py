"""What may cross the wall: data, and references to things that stay where they are.

A message is a msgpack header of tagged nodes, plus raw buffers for the contents of arrays and tensors, so that a
hostile header can never make the grader build millions of objects. Every node that is not a scalar is a list that
begins with a tag, hence no user's data can pose as a control node. The decoder raises WireError and nothing else.
Whole messages are msgpack too; pickle appears nowhere.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import keyword
import math
import struct
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import numpy as np

MAX_HEADER = 4 << 20  # bytes
MAX_BUFFERS = 256 << 20  # bytes together
MAX_BUFFER_COUNT = 4096
MAX_DEPTH = 40
MAX_NODES = 200_000
MAX_KEYS = 4096  # that are not strings, in one message: their hashes can be made to collide
MAX_CLASSES = 64  # of named tuples and dataclasses in one message
MAX_DIGITS = 1000

NUMPY_DTYPES = frozenset(
    np.dtype(name).str
    for name in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", ">i4", ">i8", ">f4", ">f8")
)
TORCH_DTYPES = frozenset(
    ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128")
)


class WireError(Exception):
    """A message that is none: malformed, too large, or with something in it that may not cross."""


class Record(types.SimpleNamespace):
    """A dataclass of the other side: its fields as data, nothing else of it."""


@dataclasses.dataclass(frozen=True)
class Loan:
    """A grader's object lent to the student: its id, the methods that may be called, and attributes sent as data."""

    id: int
    methods: tuple[str, ...]
    data: dict[str, Any]


def torch_module() -> Any:
    """torch if this process has imported it already, else None: data that crosses never causes the import."""
    return sys.modules.get("torch")


# -- encoding --------------------------------------------------------------------------------------------------------


class Encoder:
    """Turns values into nodes and collects their buffers.

    ``known`` maps id(object) -> index of mutable objects that the other side has (or is being given) under that index; meeting
    one of them again yields a back reference, so identity and aliasing survive. ``special(value, encoder)`` may return a
    node for what is no data (handles, loans, module parameters); None means "no". ``outputs`` collects tensors that require
    grad when it is a list: they travel apart, because the other side must tie them to its own graph first.
    """

    def __init__(
        self,
        special: Callable[[Any, Encoder], list[Any] | None] | None = None,
        known: dict[int, int] | None = None,
        outputs: list[Any] | None = None,
        register: Callable[[Any], None] | None = None,
    ) -> None:
        self.buffers: list[bytes | memoryview] = []
        self._special = special
        self._known = {} if known is None else known
        self._outputs = outputs
        self._register = register

    def encode(self, value: Any, depth: int = 0) -> Any:
        """The node for ``value``. Raises TypeError for what cannot cross, WireError for what is nested too deeply."""
        if value is None or value is True or value is False:
            return value
        if isinstance(value, (bool, int, float, str)):
            return _scalar(value)
        if depth > MAX_DEPTH:
            raise WireError(f"data nested deeper than {MAX_DEPTH} levels")
        if (index := self._known.get(id(value))) is not None:
            return ["b", index]
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(value)
        torch = torch_module()
        if torch is not None and (node := self._torch(torch, value)) is not None:
            return node
        if self._special is not None and (node := self._special(value, self)) is not None:
            return node
        return self._container(value, depth + 1)

    def remember(self, value: Any) -> None:
        """Give a mutable object the next index (before its contents are encoded: it may hold itself)."""
        if self._register is not None:
            self._known[id(value)] = len(self._known)
            self._register(value)

    def encode_mutable(self, value: Any) -> Any:
        """The node of one registered object itself, with back references for other registered objects inside it."""
        index = self._known.pop(id(value))
        try:
            return self.encode(value)
        finally:
            self._known[id(value)] = index

    def _container(self, value: Any, depth: int) -> Any:
        def inner(items: Any) -> list[Any]:
            return [self.encode(item, depth) for item in items]

        if isinstance(value, (list, dict, set)):
            self.remember(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return ["n", type(value).__name__, list(value._fields), inner(value)]
        for kind, tag in ((list, "l"), (tuple, "t"), (set, "s"), (frozenset, "fs")):
            if isinstance(value, kind):
                return [tag, *inner(value)]
        if isinstance(value, dict):
            return ["d", inner(value.keys()), inner(value.values())]
        if isinstance(value, Record):
            return ["D", type(value).__name__, list(vars(value)), inner(vars(value).values())]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            return ["D", type(value).__name__, names, inner(getattr(value, name) for name in names)]
        if isinstance(value, (bytes, bytearray, memoryview)):
            return ["y", self._buffer(bytes(value))]
        if isinstance(value, complex):
            return ["c", value.real, value.imag]
        if isinstance(value, slice):
            return ["sl", *inner((value.start, value.stop, value.step))]
        if value is Ellipsis:
            return ["e"]
        if isinstance(value, range):
            return ["rg", value.start, value.stop, value.step]
        if isinstance(value, np.dtype) and value.str in NUMPY_DTYPES:
            return ["nd", value.str]
        if isinstance(value, np.random.Generator):
            self.remember(value)
            state = value.bit_generator.state
            return ["g", type(value.bit_generator).__name__, Encoder().encode_state(state)]
        raise TypeError(f"a {type(value).__name__} cannot cross the wall as data")

    def encode_state(self, state: Any) -> Any:
        """A bit generator's state: dicts, ints of 128 bits and small arrays (as lists, so that no buffer is needed)."""
        if isinstance(state, dict):
            return ["d", list(state), [self.encode_state(item) for item in state.values()]]
        if isinstance(state, np.ndarray):
            return ["u8", *(int(item) for item in state)]
        return self.encode(state)

    def _array(self, value: Any) -> Any:
        if value.dtype.str not in NUMPY_DTYPES:
            raise TypeError(f"an array of dtype {value.dtype} cannot cross the wall")
        if isinstance(value, np.generic):
            return ["x", value.dtype.str, self._buffer(value.tobytes())]
        self.remember(value)
        order, dense = _dense_order(value.strides, value.shape, value.itemsize)
        data = value.transpose(order) if dense else value
        return ["a", value.dtype.str, list(value.shape), order if dense else None, self._buffer(np.ascontiguousarray(data).tobytes())]

    def _torch(self, torch: Any, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            if self._outputs is not None and value.requires_grad:
                self._outputs.append(value)
                return ["o", len(self._outputs) - 1]
            return self.tensor(value)
        if isinstance(value, torch.Generator):
            self.remember(value)
            return ["G", self._buffer(value.get_state().numpy().tobytes())]
        if isinstance(value, torch.dtype) and str(value)[6:] in TORCH_DTYPES:
            return ["td", str(value)[6:]]
        if isinstance(value, torch.device):
            return ["tv", str(value)]
        if isinstance(value, torch.Size):
            return ["tz", *(int(size) for size in value)]
        return None

    def tensor(self, value: Any) -> Any:
        """A tensor's node. ``grad`` in it: 0 no, 1 a leaf that requires grad, 2 a result that requires grad."""
        torch = torch_module()
        name = str(value.dtype)[6:]
        if name not in TORCH_DTYPES or value.layout != torch.strided or value.is_meta:
            raise TypeError(f"a {value.layout} tensor of dtype {value.dtype} on {value.device} cannot cross the wall")
        self.remember(value)
        grad = (1 if value.is_leaf else 2) if value.requires_grad else 0
        plain = value.detach().resolve_conj().resolve_neg().cpu()
        order, dense = _dense_order(plain.stride(), plain.shape, 1)
        data = (plain.permute(order) if dense else plain).contiguous()
        raw = data.reshape(-1).view(torch.uint8).numpy().tobytes() if data.numel() else b""
        return ["T", name, list(value.shape), order if dense else None, grad, self._buffer(raw)]

    def _buffer(self, data: bytes) -> int:
        self.buffers.append(data)
        return len(self.buffers) - 1


def _scalar(value: Any) -> Any:
    """Subclasses of the scalars are flattened to the plain type: no method of theirs crosses."""
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        plain = int.__add__(value, 0)
        return plain if -(2**63) <= plain < 2**64 else ["i", _digits(plain)]
    return float.__add__(value, 0.0) if isinstance(value, float) else str.__str__(value)


def _digits(value: int) -> str:
    if value.bit_length() > 3 * MAX_DIGITS:
        raise WireError(f"an integer of more than {MAX_DIGITS} digits")
    return str(value)


def _dense_order(strides: Sequence[int], shape: Sequence[int], itemsize: int) -> tuple[list[int], bool]:
    """The axis order in which the data lie gapless in memory, if there is one (so that x.T stays x.T)."""
    order = sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis))
    expected = itemsize
    for axis in reversed(order):
        if shape[axis] > 1 and strides[axis] != expected:
            return order, False
        expected *= shape[axis]
    return order, True


# -- decoding --------------------------------------------------------------------------------------------------------


class Decoder:
    """Turns nodes back into values. Everything is checked; whatever is wrong is a WireError.

    ``special(tag, fields, decoder)`` decodes the tags that are no data (handles, loans); ``known(index)`` resolves back references;
    ``outputs`` are the tensors that "o" nodes stand for; ``register`` is told each mutable object in the encoder's order;
    ``classes(name, fields)`` may offer a class for a named tuple or dataclass.
    """

    def __init__(
        self,
        buffers: Sequence[Any],
        special: Callable[[str, list[Any], Decoder], Any] | None = None,
        known: Callable[[int], Any] | None = None,
        outputs: Sequence[Any] = (),
        register: Callable[[Any], None] | None = None,
        classes: Callable[[str, list[str]], type | None] | None = None,
    ) -> None:
        self._buffers = buffers
        self._special = special
        self._known = known
        self.outputs = outputs
        self._register = register or (lambda value: None)
        self._classes = classes or (lambda name, fields: None)
        self._nodes = self._keys = 0
        self._classes_made: set[tuple[str, ...]] = set()
        self.leaves: list[Any] = []  # tensors that came with requires_grad, in order

    def decode(self, node: Any) -> Any:
        """The value of ``node``."""
        try:
            return self._decode(node, 0)
        except WireError:
            raise
        except Exception as error:  # whatever a malformed node provokes is the message's fault
            raise WireError(f"malformed data ({type(error).__name__})") from None

    def _decode(self, node: Any, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise WireError(f"more than {MAX_NODES} values in one message")
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        if depth > MAX_DEPTH:
            raise WireError(f"data nested deeper than {MAX_DEPTH} levels")
        if not isinstance(node, list) or not node or not isinstance(node[0], str):
            raise WireError("a node without a tag")
        tag, fields = node[0], node[1:]
        if (method := _DECODERS.get(tag)) is not None:
            return method(self, fields, depth + 1)
        if self._special is not None:
            return self._special(tag, fields, self)
        raise WireError(f"unknown tag {tag[:10]!r}")

    def inner(self, node: Any) -> Any:
        """The value of a node inside a special one."""
        return self._decode(node, MAX_DEPTH // 2)

    def _items(self, nodes: Any, depth: int) -> list[Any]:
        if not isinstance(nodes, list):
            raise WireError("a list was expected")
        return [self._decode(node, depth) for node in nodes]

    def _list(self, fields: list[Any], depth: int) -> list[Any]:
        result: list[Any] = []
        self._register(result)
        result.extend(self._items(fields, depth))
        return result

    def _tuple(self, fields: list[Any], depth: int) -> tuple[Any, ...]:
        return tuple(self._items(fields, depth))

    def _set(self, fields: list[Any], depth: int) -> set[Any]:
        result: set[Any] = set()
        self._register(result)
        result.update(self._hashable(self._items(fields, depth)))
        return result

    def _frozenset(self, fields: list[Any], depth: int) -> frozenset[Any]:
        return frozenset(self._hashable(self._items(fields, depth)))

    def _dict(self, fields: list[Any], depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        self._register(result)
        keys, values = (self._items(nodes, depth) for nodes in fields)
        result.update(zip(self._hashable(keys), values, strict=True))
        return result

    def _named_tuple(self, fields: list[Any], depth: int) -> Any:
        name, names, nodes = fields
        self._check_class(name, names)
        values = _exactly(len(names), self._items(nodes, depth))
        return _instance(self._classes(name, names) or _named_tuple_class(name, tuple(names)), names, values)

    def _record(self, fields: list[Any], depth: int) -> Any:
        name, names, nodes = fields
        self._check_class(name, names)
        values = _exactly(len(names), self._items(nodes, depth))
        return _instance(self._classes(name, names) or _record_class(name), names, values)

    def _hashable(self, values: list[Any]) -> list[Any]:
        """Hashes of strings cannot be made to collide; of all other keys one message may hold so many."""
        self._keys += sum(not isinstance(value, str) for value in values)
        if self._keys > MAX_KEYS:
            raise WireError(f"more than {MAX_KEYS} keys that are not strings")
        return values

    def _check_class(self, name: Any, names: Any) -> None:
        _check_names(name, names)
        self._classes_made.add((name, *names))
        if len(self._classes_made) > MAX_CLASSES:
            raise WireError(f"more than {MAX_CLASSES} classes of named tuples")

    def _bytes(self, fields: list[Any], depth: int) -> bytes:
        return bytes(self._buffer(fields[0]))

    def _complex(self, fields: list[Any], depth: int) -> complex:
        return complex(float(fields[0]), float(fields[1]))

    def _int(self, fields: list[Any], depth: int) -> int:
        (text,) = fields
        if not isinstance(text, str) or len(text) > MAX_DIGITS:
            raise WireError("a malformed integer")
        return int(text)

    def _slice(self, fields: list[Any], depth: int) -> slice:
        return slice(*_exactly(3, self._items(fields, depth)))

    def _ellipsis(self, fields: list[Any], depth: int) -> Any:
        return Ellipsis

    def _range(self, fields: list[Any], depth: int) -> range:
        result = range(*fields)
        if len(result) > MAX_NODES:
            raise WireError(f"a range of more than {MAX_NODES} numbers")
        return result

    def _numpy_dtype(self, fields: list[Any], depth: int) -> np.dtype[Any]:
        if fields[0] not in NUMPY_DTYPES:
            raise WireError("a dtype that may not cross")
        dtype: np.dtype[Any] = np.dtype(fields[0])
        return dtype

    def _numpy_scalar(self, fields: list[Any], depth: int) -> Any:
        dtype = self._numpy_dtype(fields, depth)
        return np.frombuffer(self._sized(fields[1], dtype.itemsize), dtype)[0]

    def _array(self, fields: list[Any], depth: int) -> Any:
        _, shape, order, buffer = fields
        dtype = self._numpy_dtype(fields, depth)
        count = _count(shape)
        raw = self._sized(buffer, count * dtype.itemsize)
        flat: Any = np.frombuffer(raw, dtype).copy() if count else np.empty(0, dtype)
        if order is None:
            result = flat.reshape(shape)
        else:
            inverse = np.argsort(_order(order, shape)).tolist()
            result = flat.reshape([shape[axis] for axis in order]).transpose(inverse)
        self._register(result)
        return result

    def _tensor(self, fields: list[Any], depth: int) -> Any:
        name, shape, order, grad, buffer = fields
        torch = torch_module()
        if torch is None or name not in TORCH_DTYPES or grad not in (0, 1, 2):
            raise WireError("a tensor that may not cross")
        dtype = getattr(torch, name)
        count = _count(shape)
        raw = self._sized(buffer, count * dtype.itemsize)
        flat = torch.frombuffer(bytearray(raw), dtype=dtype) if count else torch.empty(0, dtype=dtype)
        result = flat.reshape(shape)
        if order is not None:
            inverse = np.argsort(_order(order, shape)).tolist()
            result = flat.reshape([shape[axis] for axis in order]).permute(inverse)
        if grad:
            leaf = result.requires_grad_()
            self.leaves.append(leaf)
            result = leaf.view_as(leaf) if grad == 2 else leaf
        self._register(result)
        return result

    def _output(self, fields: list[Any], depth: int) -> Any:
        (index,) = fields
        if type(index) is not int or not 0 <= index < len(self.outputs):
            raise WireError("an output that is not there")
        return self.outputs[index]

    def _numpy_generator(self, fields: list[Any], depth: int) -> Any:
        name, state = fields
        if name not in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"):
            raise WireError("an unknown bit generator")
        bit_generator = getattr(np.random, name)(0)
        decoded = self._state(state, depth)
        if not 0 <= decoded.get("buffer_pos", 0) <= 4 or not 0 <= decoded["state"].get("pos", 0) <= 624:
            raise WireError("a generator's state that points outside of it")
        bit_generator.state = decoded
        result = np.random.Generator(bit_generator)
        self._register(result)
        return result

    def _state(self, node: Any, depth: int) -> Any:
        if isinstance(node, list) and node[:1] == ["u8"] and len(node) < 1000:
            return np.array(node[1:], dtype=np.uint64 if max(node[1:], default=0) >= 2**32 or len(node) < 100 else np.uint32)
        if isinstance(node, list) and node[:1] == ["d"] and depth < 6:
            return {str(key): self._state(value, depth + 1) for key, value in zip(node[1], node[2], strict=True)}
        return self._decode(node, depth)

    def _torch_generator(self, fields: list[Any], depth: int) -> Any:
        torch = torch_module()
        if torch is None:
            raise WireError("a tensor that may not cross")
        result = torch.Generator()
        result.set_state(torch.frombuffer(bytearray(self._buffer(fields[0])), dtype=torch.uint8))
        self._register(result)
        return result

    def _torch_dtype(self, fields: list[Any], depth: int) -> Any:
        if fields[0] not in TORCH_DTYPES:
            raise WireError("a dtype that may not cross")
        return getattr(torch_module(), fields[0])

    def _torch_device(self, fields: list[Any], depth: int) -> Any:
        return torch_module().device(fields[0])

    def _torch_size(self, fields: list[Any], depth: int) -> Any:
        return torch_module().Size(fields)

    def _back_reference(self, fields: list[Any], depth: int) -> Any:
        (index,) = fields
        if self._known is None or type(index) is not int:
            raise WireError("a back reference to nothing")
        return self._known(index)

    def _buffer(self, index: Any) -> Any:
        """Each buffer can be used once: a small message must not become large by naming one buffer many times."""
        buffers = self._buffers
        if type(index) is not int or not 0 <= index < len(buffers) or (buffer := buffers[index]) is None:
            raise WireError("a buffer that is not there, or is used twice")
        if isinstance(buffers, list):
            buffers[index] = None
        return buffer

    def _sized(self, index: Any, size: int) -> Any:
        buffer = self._buffer(index)
        if len(buffer) != size:
            raise WireError("a buffer of the wrong length")
        return buffer


_DECODERS: dict[str, Callable[[Decoder, list[Any], int], Any]] = {
    "l": Decoder._list, "t": Decoder._tuple, "s": Decoder._set, "fs": Decoder._frozenset, "d": Decoder._dict,
    "n": Decoder._named_tuple, "D": Decoder._record, "y": Decoder._bytes, "c": Decoder._complex, "i": Decoder._int,
    "sl": Decoder._slice, "e": Decoder._ellipsis, "rg": Decoder._range, "nd": Decoder._numpy_dtype, "x": Decoder._numpy_scalar,
    "a": Decoder._array, "T": Decoder._tensor, "o": Decoder._output, "g": Decoder._numpy_generator, "G": Decoder._torch_generator,
    "td": Decoder._torch_dtype, "tv": Decoder._torch_device, "tz": Decoder._torch_size, "b": Decoder._back_reference,
}  # fmt: skip


def _check_names(name: Any, names: Any) -> None:
    if not isinstance(names, list) or len(names) > 64 or len(set(map(str, names))) != len(names):
        raise WireError("malformed field names")
    for word in (name, *names):
        if not isinstance(word, str) or len(word) > 100 or not word.isidentifier() or keyword.iskeyword(word):
            raise WireError("malformed field names")
    if any(word.startswith("_") for word in names):
        raise WireError("malformed field names")


@functools.lru_cache(maxsize=256)
def _named_tuple_class(name: str, names: tuple[str, ...]) -> type:
    return collections.namedtuple(name, names)


@functools.lru_cache(maxsize=256)
def _record_class(name: str) -> type[Record]:
    return type(name, (Record,), {})


def _instance(cls: type, names: list[str], values: list[Any]) -> Any:
    """A named tuple or dataclass of the class that this side has under that name; its own constructor is not asked."""
    if issubclass(cls, tuple):
        return tuple.__new__(cls, values)
    if issubclass(cls, Record):
        return cls(**dict(zip(names, values, strict=True)))
    result: Any = object.__new__(cls)
    vars(result).update(zip(names, values, strict=True))
    return result


def _exactly(count: int, values: list[Any]) -> list[Any]:
    if len(values) != count:
        raise WireError("a wrong number of fields")
    return values


def _count(shape: Any) -> int:
    if not isinstance(shape, list) or len(shape) > 32 or not all(type(n) is int and 0 <= n <= 2**40 for n in shape):
        raise WireError("a malformed shape")
    if math.prod(size for size in shape if size) > MAX_BUFFERS:  # [2**40, 0] holds nothing and is walked for ever
        raise WireError("an array that is too large")
    return math.prod(shape)


def _order(order: Any, shape: list[int]) -> list[int]:
    if not isinstance(order, list) or sorted(order) != list(range(len(shape))):
        raise WireError("a malformed axis order")
    return order


# -- messages --------------------------------------------------------------------------------------------------------

_PREFIX = struct.Struct("!II")


def pack(header: Any, buffers: Sequence[bytes | memoryview]) -> bytes:
    """One message as bytes: count and lengths, header, buffers. Raises WireError for what the other side would refuse."""
    head = msgpack.packb(header)
    sizes = [len(buffer) for buffer in buffers]
    check_sizes(len(head), sizes)
    lengths = struct.pack(f"!{len(sizes)}Q", *sizes)
    return b"".join((_PREFIX.pack(len(head), len(sizes)), lengths, head, *buffers))


def unpack(message: bytes | memoryview) -> tuple[Any, list[memoryview]]:
    """The header and the buffers of one whole message."""
    view = memoryview(message)
    try:
        head_size, count = _PREFIX.unpack_from(view)
        check_sizes(head_size, [0] * min(count, MAX_BUFFER_COUNT + 1))
        sizes = struct.unpack_from(f"!{count}Q", view, _PREFIX.size)
    except struct.error:
        raise WireError("a message cut short") from None
    check_sizes(head_size, sizes)
    start = _PREFIX.size + 8 * count
    if len(view) != start + head_size + sum(sizes):
        raise WireError("a message of the wrong length")
    header = unpack_header(view[start : start + head_size])
    buffers, at = [], start + head_size
    for size in sizes:
        buffers.append(view[at : at + size])
        at += size
    return header, buffers


def unpack_header(head: bytes | memoryview) -> Any:
    """The msgpack part of a message: lists and scalars only."""
    try:
        return msgpack.unpackb(
            head, strict_map_key=True, max_map_len=0, max_ext_len=0, max_bin_len=0, max_array_len=MAX_NODES, max_str_len=MAX_HEADER
        )
    except Exception as error:
        raise WireError(f"malformed message ({type(error).__name__})") from None


def check_sizes(head: int, sizes: Sequence[int]) -> None:
    """Raise WireError where a message is larger than may cross; nothing has been allocated for it yet."""
    if head > MAX_HEADER:
        raise WireError(f"a message with {head} bytes of structure, more than {MAX_HEADER}: return arrays instead of long lists")
    if len(sizes) > MAX_BUFFER_COUNT or sum(sizes) > MAX_BUFFERS:
        raise WireError(f"more than {MAX_BUFFERS >> 20} MiB of data, or more than {MAX_BUFFER_COUNT} arrays, in one message")


def prefix_sizes(prefix: bytes | bytearray) -> tuple[int, int]:
    """Header length and number of buffers of the message that begins with these bytes; checked."""
    head, count = _PREFIX.unpack(prefix)
    check_sizes(head, [0] * min(count, MAX_BUFFER_COUNT + 1))
    return head, count


PREFIX_SIZE = _PREFIX.size
