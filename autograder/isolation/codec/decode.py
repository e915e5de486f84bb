"""Tagged nodes and buffers -> values. Everything is checked; what is wrong is a WireError."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograder.isolation.codec.limits import (
    MAX_BUFFERS,
    MAX_CLASSES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_KEYS,
    MAX_NODES,
    NUMPY_DTYPES,
    SCALARS,
    TORCH_DTYPES,
    WireError,
    torch_module,
)
from autograder.isolation.codec.structures import (
    check_names,
    fields_class,
    instance,
    named_tuple_class,
)


class Decoder:
    """Turns nodes back into values. Everything is checked; a mistake raises WireError.

    ``special(tag, fields, decoder)`` decodes the tags that are not data (handles, loans).
    ``known(index)`` resolves back references. ``outputs`` are the tensors that "o" nodes are for.
    ``register`` is told each mutable object in the encoder's order. ``classes(name, fields)`` may
    offer a class for a named tuple or dataclass.
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
        # Tensors that came with requires_grad, in order.
        self.leaves: list[Any] = []

    def decode(self, node: Any) -> Any:
        """The value of ``node``."""
        try:
            return self._decode(node, 0)
        except WireError:
            raise
        # Any error here is the fault of a malformed message.
        except Exception as error:
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
        count = len(nodes)
        # Such as a row of tokens.
        if self._nodes + count <= MAX_NODES and SCALARS.issuperset(map(type, nodes)):
            self._nodes += count
            return list(nodes)
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
        cls = self._classes(name, names) or named_tuple_class(name, tuple(names))
        return instance(cls, names, values)

    def _record(self, fields: list[Any], depth: int) -> Any:
        name, names, nodes = fields
        self._check_class(name, names)
        values = _exactly(len(names), self._items(nodes, depth))
        return instance(self._classes(name, names) or fields_class(name), names, values)

    def _hashable(self, values: list[Any]) -> list[Any]:
        """The values again. Raises WireError for too many keys whose hashes could collide."""
        self._keys += sum(not isinstance(value, str) for value in values)
        if self._keys > MAX_KEYS:
            raise WireError(f"more than {MAX_KEYS} keys that are not strings")
        return values

    def _check_class(self, name: Any, names: Any) -> None:
        check_names(name, names)
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
        inverse = _inverse(order, shape)
        if inverse is None:
            result = flat.reshape(shape)
        else:
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
        flat = (
            torch.frombuffer(bytearray(raw), dtype=dtype) if count else torch.empty(0, dtype=dtype)
        )
        inverse = _inverse(order, shape)
        if inverse is None:
            result = flat.reshape(shape)
        else:
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
        if (
            not 0 <= decoded.get("buffer_pos", 0) <= 4
            or not 0 <= decoded["state"].get("pos", 0) <= 624
        ):
            raise WireError("a generator's state that points outside of it")
        bit_generator.state = decoded
        result = np.random.Generator(bit_generator)
        self._register(result)
        return result

    def _state(self, node: Any, depth: int) -> Any:
        if isinstance(node, list) and node[:1] == ["u8"] and len(node) < 1000:
            wide = max(node[1:], default=0) >= 2**32 or len(node) < 100
            return np.array(node[1:], dtype=np.uint64 if wide else np.uint32)
        if isinstance(node, list) and node[:1] == ["d"] and depth < 6:
            return {
                str(key): self._state(value, depth + 1)
                for key, value in zip(node[1], node[2], strict=True)
            }
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
        """Each buffer can be used once: otherwise a small message could become a large value."""
        buffers = self._buffers
        if (
            type(index) is not int
            or not 0 <= index < len(buffers)
            or (buffer := buffers[index]) is None
        ):
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
    "l": Decoder._list, "t": Decoder._tuple, "s": Decoder._set, "fs": Decoder._frozenset,
    "d": Decoder._dict, "n": Decoder._named_tuple, "D": Decoder._record, "y": Decoder._bytes,
    "c": Decoder._complex, "i": Decoder._int, "sl": Decoder._slice, "e": Decoder._ellipsis,
    "rg": Decoder._range, "nd": Decoder._numpy_dtype, "x": Decoder._numpy_scalar,
    "a": Decoder._array, "T": Decoder._tensor, "o": Decoder._output, "g": Decoder._numpy_generator,
    "G": Decoder._torch_generator, "td": Decoder._torch_dtype, "tv": Decoder._torch_device,
    "tz": Decoder._torch_size, "b": Decoder._back_reference,
}  # fmt: skip


def _exactly(count: int, values: list[Any]) -> list[Any]:
    if len(values) != count:
        raise WireError("a wrong number of fields")
    return values


def _count(shape: Any) -> int:
    if (
        not isinstance(shape, list)
        or len(shape) > 32
        or not all(type(n) is int and 0 <= n <= 2**40 for n in shape)
    ):
        raise WireError("a malformed shape")
    # Zeros do not count: [2**40, 0] holds nothing, but walking over it would never end.
    if math.prod(size for size in shape if size) > MAX_BUFFERS:
        raise WireError("an array that is too large")
    return math.prod(shape)


def _inverse(order: Any, shape: list[int]) -> list[int] | None:
    """The axes that undo a memory order; None where the data lie as they are read."""
    if order is None or order == (plain := list(range(len(shape)))):
        return None
    if not isinstance(order, list) or sorted(order) != plain:
        raise WireError("a malformed axis order")
    return sorted(plain, key=order.__getitem__)
