"""Parameters of student networks that exist on both sides, values and gradients.

On the grader's side they are real `nn.Parameter`s. A test may give ``net.parameters()`` to its own
optimizer, call ``loss.backward()``, read ``p.grad``, save and load a state dict. Each
request and each answer carries what has changed on the side that sends it. Mirrors are made when a
test first asks for them.

Not supported: hooks, and walking through the submodules here (they are handles, like any other
attribute).
"""

from __future__ import annotations

from typing import Any

from autograder.isolation import codec


class Mirrors:
    """The parameters that one side mirrors, by the network's number and the parameter's name.

    Both sides have one of these. It holds each parameter with a picture of it: what both sides
    last knew of its value and gradient.
    """

    def __init__(self) -> None:
        self._parameters: dict[tuple[int, str], Any] = {}
        self._pictures: dict[tuple[int, str], _Picture] = {}

    def add(self, module: int, name: str, parameter: Any) -> None:
        """Mirror this parameter from now on; the other side knows it as it is now."""
        self._parameters[module, name] = parameter
        self._pictures[module, name] = _Picture(parameter)

    def drop(self, module: int) -> None:
        """Mirror this network's parameters no longer."""
        for key in [key for key in self._parameters if key[0] == module]:
            del self._parameters[key], self._pictures[key]

    def of(self, module: int) -> list[tuple[str, Any]]:
        """Names and parameters of one network, in the order in which they were added."""
        return [
            (name, value) for (number, name), value in self._parameters.items() if number == module
        ]

    def trainable(self) -> list[Any]:
        """All mirrored parameters that require grad."""
        return [parameter for parameter in self._parameters.values() if parameter.requires_grad]

    def changes(self, buffers: list[Any]) -> list[Any]:
        """[module, name, value, gradient or None] of every parameter that is not as its picture.

        The pictures are renewed: the other side is told now.
        """
        encoder = codec.Encoder()
        encoder.buffers = buffers
        changed = []
        for (module, name), parameter in self._parameters.items():
            if not self._pictures[module, name].is_true_of(parameter):
                self._pictures[module, name] = _Picture(parameter)
                grad = None if parameter.grad is None else encoder.tensor(parameter.grad.detach())
                changed.append([module, name, encoder.tensor(parameter.detach()), grad])
        return changed

    def apply(self, changed: Any, decoder: codec.Decoder) -> None:
        """Take over what changed on the other side. Raises WireError for what does not fit."""
        for module, name, value, grad in changed:
            parameter = self._parameters.get((module, name))
            if parameter is None:
                raise codec.WireError("a parameter that is not there")
            _overwrite(parameter, decoder.decode(value))
            gradient = None if grad is None else decoder.decode(grad)
            form = (parameter.shape, parameter.dtype)
            if gradient is not None and (gradient.shape, gradient.dtype) != form:
                raise codec.WireError("a gradient of the wrong shape")
            parameter.grad = gradient
            self._pictures[module, name] = _Picture(parameter)


def _overwrite(parameter: Any, new: Any) -> None:
    """Give a parameter a new value in place, or a new type after net.double() on the other side."""
    torch = codec.torch_module()
    if not isinstance(new, torch.Tensor) or new.shape != parameter.shape:
        raise codec.WireError("a parameter of another kind or shape")
    with torch.no_grad():
        if new.dtype == parameter.dtype:
            parameter.copy_(new)
        else:
            parameter.grad, parameter.data = None, new


class _Picture:
    """The value and gradient of a parameter as both sides last knew them."""

    def __init__(self, parameter: Any) -> None:
        self._value = parameter.detach().clone()
        self._grad = None if parameter.grad is None else parameter.grad.detach().clone()

    def is_true_of(self, parameter: Any) -> bool:
        """Neither value nor gradient has changed since."""
        if (self._grad is None) != (parameter.grad is None):
            return False
        same_grad = self._grad is None or _identical(self._grad, parameter.grad)
        return same_grad and _identical(self._value, parameter)


def _identical(one: Any, other: Any) -> bool:
    torch = codec.torch_module()
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    other = other.detach()
    equal_with_nan = {"rtol": 0, "atol": 0, "equal_nan": True}
    return bool(torch.equal(one, other)) or bool(torch.allclose(one, other, **equal_with_nan))
