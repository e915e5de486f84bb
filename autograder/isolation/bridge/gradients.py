"""Gradients across the wall: a test's graph goes on through what the student's code returned."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from autograder.errors import StudentMisuse
from autograder.isolation import codec
from autograder.isolation.bridge.handles import Asker

__tracebackhide__ = True


def tie_outputs(asker: Asker, call: int, plain: list[Any], inputs: list[Any]) -> Sequence[Any]:
    """These tensors again, joined to the graph here.

    Their backward() asks the student's process for the gradients of ``inputs``, the tensors that
    went into question number ``call``.
    """
    torch = codec.torch_module()
    # Outputs may depend on the student's own parameters alone, and need an input nevertheless.
    anchor = torch.zeros((), requires_grad=True)
    with torch.enable_grad():
        tied: Sequence[Any] = _remote_function().apply(asker, call, plain, anchor, *inputs)
    return tied


@functools.cache
def _remote_function() -> Any:
    """The autograd function that asks the worker for gradients (torch is imported late)."""
    import torch

    class RemoteFunction(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, asker: Asker, call: int, plain: list[Any], *inputs: Any) -> Any:
            ctx.asker, ctx.call = asker, call
            ctx.forms = [(x.shape, x.dtype) for x in inputs[1:]]
            ctx.set_materialize_grads(False)
            return tuple(tensor.clone() for tensor in plain)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *grads: Any) -> Any:
            answers = ctx.asker.ask("backward", ctx.call, list(grads))
            if not isinstance(answers, list) or len(answers) != len(ctx.forms):
                raise StudentMisuse("no answer", "the student's process returned no gradients")
            for answer, form in zip(answers, ctx.forms, strict=True):
                if answer is not None and not _has_form(answer, form):
                    text = "the student's process returned a gradient of the wrong shape"
                    raise StudentMisuse("no answer", text)
            return (None, None, None, None, *answers)

    return RemoteFunction


def _has_form(answer: Any, form: tuple[Any, Any]) -> bool:
    torch = codec.torch_module()
    return isinstance(answer, torch.Tensor) and (answer.shape, answer.dtype) == form
