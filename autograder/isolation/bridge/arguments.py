"""What reaches the student's code: the arguments of a call, and stand-ins for what the test lent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from autograder.isolation import codec

if TYPE_CHECKING:
    from autograder.isolation.bridge.worker import Worker


class Arguments:
    """The decoded arguments of one call, and what the call changed in them."""

    def __init__(self, worker: Worker, node: Any, buffers: list[memoryview]) -> None:
        self._mutable: list[Any] = []
        decoder = codec.Decoder(
            buffers,
            worker.resolve,
            self._mutable.__getitem__,
            register=self._mutable.append,
            classes=worker.student_class,
        )
        self.values: list[Any] = decoder.decode(node)
        self.leaves = (
            decoder.leaves
        )  # tensors that the grader wants gradients for, in the order in which it sent them
        self.known = {id(value): index for index, value in enumerate(self._mutable)}
        self._worker = worker
        self._before = [self._picture(value) for value in self._mutable]

    def changes(self, encoder: codec.Encoder) -> list[Any]:
        """[index, node] for every mutable argument that is not what it was."""
        changed = [
            index
            for index, value in enumerate(self._mutable)
            if self._picture(value) != self._before[index]
        ]
        return [[index, self._node(self._mutable[index], encoder)] for index in changed]

    def _node(self, value: Any, encoder: codec.Encoder) -> Any:
        torch = codec.torch_module()
        return (
            encoder.tensor(value.detach())
            if torch and isinstance(value, torch.Tensor)
            else encoder.encode_mutable(value)
        )

    def _picture(self, value: Any) -> Any:
        """What tells whether the value is still the same; the frequent kinds are not encoded for it."""
        if type(value) is list and codec.SCALARS.issuperset(map(type, value)):
            return tuple(value)
        if type(value) is np.random.Generator:
            return str(value.bit_generator.state)
        if type(value) is np.ndarray and not value.dtype.hasobject:
            return value.dtype, value.shape, value.strides, value.tobytes()
        torch = codec.torch_module()
        if torch is not None and type(value) is torch.Tensor:
            with contextlib.suppress(
                RuntimeError, TypeError
            ):  # what NumPy has no view of takes the longer way
                data = value.detach().numpy()
                grad = value.requires_grad, value.is_leaf
                return grad, data.dtype, data.shape, data.strides, data.tobytes()
        encoder = codec.Encoder(self._worker.special, self.known)
        try:
            return encoder.encode_mutable(value), encoder.buffers
        except Exception:  # what the student put in may not be data: it counts as changed, and says why when it is sent
            return object()


def lend(loan: codec.Loan, worker: Worker) -> Any:
    """The stand-in for an object of the test; a plain function for a function."""
    lent = Lent(loan, worker)
    if loan.methods != ("__call__",) or loan.data:
        return lent
    function = lent._method("__call__")
    function._loan = loan  # type: ignore[attr-defined]
    return function


class Lent:
    """The stand-in for an object of the test: its data, and methods that run in the grader."""

    def __init__(self, loan: codec.Loan, worker: Worker) -> None:
        self._loan = loan
        self._worker = worker
        vars(self).update(loan.data)
        for method in loan.methods:
            if method != "__call__":
                setattr(self, method, self._method(method))

    def _method(self, name: str) -> Callable[..., Any]:
        def method(*args: Any, **kwargs: Any) -> Any:
            return self._worker.call_back(self._loan.id, name, args, kwargs)

        method.__name__ = name
        return method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._worker.call_back(self._loan.id, "__call__", args, kwargs)
