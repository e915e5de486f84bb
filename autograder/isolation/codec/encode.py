"""Values -> tagged nodes and buffers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograder.isolation.codec.limits import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_NODES,
    NUMPY_DTYPES,
    SCALARS,
    TORCH_DTYPES,
    WireError,
    torch_module,
)
from autograder.isolation.codec.structures import Fields

SEQUENCES = (list, tuple)
CONTAINERS = (*SEQUENCES, dict)


class Encoder:
    """Turns values into nodes and collects their buffers.

    ``known`` maps id(object) -> index of mutable objects that the other side has (or is being
    given) under that index. Meeting one of them again yields a back reference, so identity and
    aliasing survive. ``special(value, encoder)`` may return a node for what is not data (handles,
    loans, module parameters); None means "no". ``outputs`` collects tensors that require grad
    when it is a list: they cross separately, because the other side must tie them to its own graph
    first. ``register`` is told each mutable object that gets an index.
    """

    def __init__(
        self,
        special: Callable[[Any, Encoder], list[Any] | None] | None = None,
        known: dict[int, int] | None = None,
        outputs: list[Any] | None = None,
        register: Callable[[Any], None] | None = None,
    ) -> None:
        self.buffers: list[bytes | memoryview] = []
        self._nodes = 0
        self._special = special
        self._known = {} if known is None else known
        self._outputs = outputs
        self._register = register

    def encode(self, value: Any, depth: int = 0) -> Any:
        """The node for ``value``.

        Raises TypeError for what cannot cross, WireError for what is too much or nested too deeply.
        """
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise WireError(f"more than {MAX_NODES} values: return arrays instead of long lists")
        if value is None or value is True or value is False:
            return value
        if isinstance(value, (bool, int, float, str)):
            return _scalar(value)
        if depth > MAX_DEPTH:
            raise WireError(f"data nested deeper than {MAX_DEPTH} levels")
        if (index := self._known.get(id(value))) is not None:
            return ["b", index]
        # The most frequent kinds come first: the checks below do not concern them.
        if type(value) in CONTAINERS:
            return self._container(value, depth + 1)
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(value)
        torch = torch_module()
        if torch is not None and (node := self._torch(torch, value)) is not None:
            return node
        if self._special is not None and (node := self._special(value, self)) is not None:
            return node
        return self._container(value, depth + 1)

    def remember(self, value: Any) -> None:
        """Give a mutable object the next index.

        This comes before its contents are encoded: it may hold itself.
        """
        if self._register is not None:
            self._known[id(value)] = len(self._known)
            self._register(value)

    def encode_mutable(self, value: Any) -> Any:
        """The node of one registered object itself, with back references for others inside it."""
        index = self._known.pop(id(value))
        try:
            return self.encode(value)
        finally:
            self._known[id(value)] = index

    def _container(self, value: Any, depth: int) -> Any:
        def inner(items: Any) -> list[Any]:
            return self._items(items, depth)

        if isinstance(value, (list, dict, set)):
            self.remember(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return ["n", type(value).__name__, list(value._fields), inner(value)]
        for kind, tag in ((list, "l"), (tuple, "t"), (set, "s"), (frozenset, "fs")):
            if isinstance(value, kind):
                return [tag, *inner(value)]
        if isinstance(value, dict):
            return ["d", inner(value.keys()), inner(value.values())]
        if isinstance(value, Fields):
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

    def _items(self, items: Any, depth: int) -> list[Any]:
        count = len(items) if type(items) in SEQUENCES else 0
        # Such as a row of tokens: they are nodes as they are.
        if count and self._nodes + count <= MAX_NODES and _are_nodes(items):
            self._nodes += count
            return list(items)
        return [self.encode(item, depth) for item in items]

    def encode_state(self, state: Any) -> Any:
        """A bit generator's state: dicts, ints of 128 bits, and small arrays as lists.

        So no buffer is needed for it.
        """
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
        return [
            "a",
            value.dtype.str,
            list(value.shape),
            order if dense else None,
            self._buffer(data.tobytes()),
        ]

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
        """A tensor's node. ``grad``: 1 for a leaf that requires grad, 2 for a result, or 0."""
        torch = torch_module()
        name = str(value.dtype)[6:]
        if name not in TORCH_DTYPES or value.layout != torch.strided or value.is_meta:
            raise TypeError(
                f"a {value.layout} tensor of dtype {value.dtype} on {value.device} "
                "cannot cross the wall"
            )
        self.remember(value)
        grad = (1 if value.is_leaf else 2) if value.requires_grad else 0
        if value.is_contiguous():
            # Most tensors are as NumPy would have them.
            try:
                raw = value.detach().numpy().tobytes()
                return [
                    "T",
                    name,
                    list(value.shape),
                    list(range(value.ndim)),
                    grad,
                    self._buffer(raw),
                ]
            except (RuntimeError, TypeError):
                pass
        plain = value.detach().resolve_conj().resolve_neg().cpu()
        order, dense = _dense_order(plain.stride(), plain.shape, 1)
        data = plain.permute(order) if dense else plain
        # NumPy has no bfloat16.
        bits = data.view(torch.int16) if data.dtype is torch.bfloat16 else data
        raw = bits.numpy().tobytes()
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
    return float.__pos__(value) if isinstance(value, float) else str.__str__(value)


def _are_nodes(items: Any) -> bool:
    """Whether all items of a list or tuple are nodes as they stand."""
    kinds = set(map(type, items))
    # msgpack knows no larger integers.
    if kinds == {int}:
        return bool(min(items) >= -(2**63) and max(items) < 2**64)
    return int not in kinds and kinds <= SCALARS


def _digits(value: int) -> str:
    if value.bit_length() > 3 * MAX_DIGITS:
        raise WireError(f"an integer of more than {MAX_DIGITS} digits")
    return str(value)


def _dense_order(
    strides: Sequence[int], shape: Sequence[int], itemsize: int
) -> tuple[list[int], bool]:
    """(axis order, True) if the data lie gapless in memory in that order: so x.T stays x.T."""
    order = sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis))
    expected = itemsize
    for axis in reversed(order):
        if shape[axis] > 1 and strides[axis] != expected:
            return order, False
        expected *= shape[axis]
    return order, True
