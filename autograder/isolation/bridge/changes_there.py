"""The student's half of one rule: only functions whose name ends in ``_`` change their arguments.

Here the arguments of a call are pictured before it and compared afterwards. What has changed is
sent along with the answer; changes_here.py decides what becomes of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from autograder.isolation import codec
from autograder.isolation.codec.limits import SCALARS


class Arguments:
    """The decoded arguments of one call, and what the call changed in them.

    ``special``, ``resolve`` and ``classes`` are the worker's hooks for the codec.
    """

    def __init__(
        self,
        node: Any,
        buffers: list[memoryview],
        special: Callable[[Any, codec.Encoder], list[Any] | None],
        resolve: Callable[[str, list[Any], codec.Decoder], Any],
        classes: Callable[[str, list[str]], type | None],
    ) -> None:
        self._special = special
        self._mutable: list[Any] = []
        known, register = self._mutable.__getitem__, self._mutable.append
        decoder = codec.Decoder(buffers, resolve, known, register=register, classes=classes)
        self.values: list[Any] = decoder.decode(node)
        # Tensors that the grader wants gradients for, in the order in which it sent them.
        self.leaves = decoder.leaves
        self.known = {id(value): index for index, value in enumerate(self._mutable)}
        self._before = [self._picture(value) for value in self._mutable]

    def changes(self, encoder: codec.Encoder) -> list[Any]:
        """[index, node] for every mutable argument that is not what it was."""
        changed = [
            index
            for index, value in enumerate(self._mutable)
            if self._picture(value) != self._before[index]
        ]
        return [[index, _node(self._mutable[index], encoder)] for index in changed]

    def _picture(self, value: Any) -> Any:
        """What tells whether the value is still the same.

        The frequent kinds are not encoded for it: that would take longer than the call itself.
        """
        if type(value) is list and SCALARS.issuperset(map(type, value)):
            return tuple(value)
        if type(value) is np.random.Generator:
            return str(value.bit_generator.state)
        if type(value) is np.ndarray and not value.dtype.hasobject:
            return value.dtype, value.shape, value.strides, value.tobytes()
        torch = codec.torch_module()
        if torch is not None and type(value) is torch.Tensor:
            # What NumPy has no view of takes the longer way.
            with contextlib.suppress(RuntimeError, TypeError):
                data = value.detach().numpy()
                grad = value.requires_grad, value.is_leaf
                return grad, data.dtype, data.shape, data.strides, data.tobytes()
        encoder = codec.Encoder(self._special, self.known)
        try:
            return encoder.encode_mutable(value), encoder.buffers
        # What the student put in may not be data. It counts as changed; sending it says why.
        except Exception:
            return object()


def _node(value: Any, encoder: codec.Encoder) -> Any:
    torch = codec.torch_module()
    if torch and isinstance(value, torch.Tensor):
        return encoder.tensor(value.detach())
    return encoder.encode_mutable(value)
