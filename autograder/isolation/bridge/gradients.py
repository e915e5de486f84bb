"""Gradients across the wall: what the student's code returned is joined to the graph of the test."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autograder.errors import StudentMisuse
from autograder.isolation import codec

if TYPE_CHECKING:
    from autograder.isolation.bridge.client import Bridge

__tracebackhide__ = True


def tie_outputs(bridge: Bridge, call: int, plain: list[Any], inputs: list[Any]) -> Sequence[Any]:
    """These tensors again, whose backward() asks the student's process for the gradients of ``inputs``."""
    torch = codec.torch_module()
    anchor = torch.zeros(
        (), requires_grad=True
    )  # outputs may depend on the student's own parameters alone
    with torch.enable_grad():
        return _remote_function().apply(bridge, call, plain, anchor, *inputs)  # type: ignore[no-any-return]


@functools.cache
def _remote_function() -> Any:
    """The autograd function that asks the worker for gradients (made late: torch may not be there at all)."""
    import torch

    class RemoteFunction(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, bridge: Bridge, call: int, plain: list[Any], *inputs: Any) -> Any:
            ctx.bridge, ctx.call, ctx.shapes = (
                bridge,
                call,
                [(x.shape, x.dtype) for x in inputs[1:]],
            )
            ctx.set_materialize_grads(False)
            return tuple(tensor.clone() for tensor in plain)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *grads: Any) -> Any:
            answers = ctx.bridge.ask("backward", ctx.call, list(grads))
            if not isinstance(answers, list) or len(answers) != len(ctx.shapes):
                raise StudentMisuse("no answer", "the student's process returned no gradients")
            for answer, (shape, dtype) in zip(answers, ctx.shapes, strict=True):
                if answer is not None and not (
                    isinstance(answer, torch.Tensor)
                    and (answer.shape, answer.dtype) == (shape, dtype)
                ):
                    raise StudentMisuse(
                        "no answer", "the student's process returned a gradient of the wrong shape"
                    )
            return (None, None, None, None, *answers)

    return RemoteFunction
