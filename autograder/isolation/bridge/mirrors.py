"""Student networks in a test: real `nn.Parameter`s here that mirror the ones over there, values and gradients, both ways.

A test may hand ``net.parameters()`` to an optimiser of its own, call ``loss.backward()``, read ``p.grad``, save and load a state dict. Before
each request what changed here is sent along; each answer brings what changed there. Mirrors are made when a test first asks for them.

Not supported: hooks, and walking through the submodules here (they are handles, like any other attribute).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from autograder.errors import StudentMisuse
from autograder.isolation import codec

BY_VALUE = {  # layers of the test that travel to the student by value: their constructor's arguments, by attribute
    "Linear": ("in_features", "out_features"),
    "Embedding": ("num_embeddings", "embedding_dim"),
    "LayerNorm": ("normalized_shape",),
    "Identity": (),
    "ReLU": (),
    "Tanh": (),
    "GELU": (),
    "Sigmoid": (),
    "Flatten": ("start_dim", "end_dim"),
}


class Picture:
    """The value and gradient of a parameter as both sides last knew them."""

    def __init__(self, parameter: Any) -> None:
        self.value = parameter.detach().clone()
        self.grad = None if parameter.grad is None else parameter.grad.detach().clone()

    def still_true(self, parameter: Any) -> bool:
        """Neither value nor gradient has changed since."""
        torch = codec.torch_module()
        if (self.grad is None) != (parameter.grad is None):
            return False
        same_grad = self.grad is None or _identical(torch, self.grad, parameter.grad)
        return same_grad and _identical(torch, self.value, parameter)


def _identical(torch: Any, one: Any, other: Any) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    other = other.detach()
    return bool(torch.equal(one, other)) or bool(
        torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    )


def changes(
    parameters: dict[tuple[int, str], Any],
    pictures: dict[tuple[int, str], Picture],
    buffers: list[Any],
) -> list[Any]:
    """[module, name, value, gradient or None] of every parameter that is not as its picture; the pictures are renewed."""
    encoder = codec.Encoder()
    encoder.buffers = buffers
    changed = []
    for (module, name), parameter in parameters.items():
        picture = pictures.get((module, name))
        if picture is None or not picture.still_true(parameter):
            pictures[module, name] = Picture(parameter)
            grad = None if parameter.grad is None else encoder.tensor(parameter.grad.detach())
            changed.append([module, name, encoder.tensor(parameter.detach()), grad])
    return changed


def apply(
    changed: Any,
    parameters: dict[tuple[int, str], Any],
    pictures: dict[tuple[int, str], Picture],
    decoder: codec.Decoder,
) -> None:
    """Take over what changed on the other side."""
    torch = codec.torch_module()
    for module, name, value, grad in changed:
        parameter = parameters.get((module, name))
        new = decoder.decode(value)
        if parameter is None or not isinstance(new, torch.Tensor) or new.shape != parameter.shape:
            raise codec.WireError("a parameter that is not there")
        with torch.no_grad():
            if new.dtype == parameter.dtype:
                parameter.copy_(new)
            else:  # net.double() over there
                parameter.grad, parameter.data = None, new
        gradient = None if grad is None else decoder.decode(grad)
        if gradient is not None and (gradient.shape, gradient.dtype) != (
            parameter.shape,
            parameter.dtype,
        ):
            raise codec.WireError("a gradient of the wrong shape")
        parameter.grad = gradient
        pictures[module, name] = Picture(parameter)


# -- the student's modules, seen from a test ---------------------------------------------------------------------------


class _ModuleMethods:
    """What of nn.Module's interface acts on the mirrors; everything else of it is asked over there."""

    _bridge: Any
    _number: int

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Names and mirrors, in the student's order."""
        for (module, name), parameter in list(self._bridge.mirror(self).items()):
            if module == self._number:
                yield (f"{prefix}.{name}" if prefix else name), parameter

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """The mirrors."""
        for _, parameter in self.named_parameters():
            yield parameter

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the mirrors' gradients; the next request tells the other side."""
        for parameter in self.parameters():
            parameter.grad = None if set_to_none else parameter.grad * 0

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Freeze or unfreeze over there; mirrors are made anew."""
        self._bridge.ask("method", self, "requires_grad_", (requires_grad,), keep=True)
        self._bridge.forget_mirrors(self)
        return self

    def state_dict(self) -> Any:
        """The student's state dict, as data."""
        return self._bridge.ask("method", self, "state_dict", ())

    def load_state_dict(self, state: Any, strict: bool = True) -> None:
        """Load a state dict over there."""
        self._bridge.ask("method", self, "load_state_dict", (dict(state), strict), keep=True)

    def train(self, mode: bool = True) -> Any:
        """Training mode, over there."""
        self._bridge.ask("method", self, "train", (mode,), keep=True)
        return self

    def eval(self) -> Any:
        """Evaluation mode, over there."""
        return self.train(False)

    def double(self) -> Any:
        """Double precision, over there; mirrors are made anew."""
        self._bridge.ask("method", self, "double", (), keep=True)
        self._bridge.forget_mirrors(self)
        return self


@functools.cache
def student_module_class(remote: type) -> type:
    """The class of handles to student networks: a Remote that is an nn.Module as well."""
    import torch

    def forwarded(name: str) -> Any:
        return property(lambda self: remote.__getattr__(self, name))  # type: ignore[attr-defined]

    own = set(dir(_ModuleMethods)) | set(dir(remote))
    rest = {
        name: forwarded(name)
        for name in dir(torch.nn.Module)
        if not name.startswith("_") and name not in own
    }
    first = {name: vars(remote)[name] for name in ("__init__", "__setattr__", "__getattr__")}
    bases = (_ModuleMethods, remote, torch.nn.Module)
    return type("StudentModule", bases, rest | first | {"__slots__": ()})


# -- a test's modules, sent by value ------------------------------------------------------------------------------------


def spec(module: Any) -> list[Any] | None:
    """[class, constructor's arguments, parameters or children] of a plain layer of the test; None for anything else."""
    torch = codec.torch_module()
    name = type(module).__name__
    if type(module) is torch.nn.Sequential:
        children = [spec(child) for child in module]
        return None if None in children else [name, [], children]
    if name not in BY_VALUE or type(module) is not getattr(torch.nn, name):
        return None
    return [
        name,
        [getattr(module, attribute) for attribute in BY_VALUE[name]],
        dict(module.named_parameters()),
    ]


def build(description: list[Any]) -> Any:
    """The layer again, made of the very tensors that were sent, so that changes and gradients find their way back."""
    torch = codec.torch_module()
    name, arguments, content = description
    if name == "Sequential":
        return torch.nn.Sequential(*map(build, content))
    if name not in BY_VALUE:
        raise StudentMisuse("no layer", f"{name} does not travel by value")
    layer = getattr(torch.nn, name)(
        *arguments, **({"bias": False} if name == "Linear" and "bias" not in content else {})
    )
    for parameter, tensor in content.items():
        tensor.__class__ = torch.nn.Parameter
        layer._parameters[parameter] = tensor
    return layer
