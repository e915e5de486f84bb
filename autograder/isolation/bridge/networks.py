"""A student's network, seen from a test: a handle that is an `nn.Module` as well."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from autograder.isolation.bridge.handles import Asker, Remote


class _ModuleMethods:
    """What acts on the mirrored parameters; the rest of nn.Module's interface is asked there."""

    _asker: Asker

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Names and mirrors, in the student's order."""
        for name, parameter in self._asker.parameters_of(_handle(self)):
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
        """Freeze or unfreeze over there; mirrors are made again."""
        self._change("requires_grad_", requires_grad)
        self._asker.forget_parameters(_handle(self))
        return self

    def state_dict(self) -> Any:
        """The student's state dict, as data."""
        return self._asker.ask("method", self, "state_dict", ())

    def load_state_dict(self, state: Any, strict: bool = True) -> None:
        """Load a state dict over there."""
        self._change("load_state_dict", dict(state), strict)

    def train(self, mode: bool = True) -> Any:
        """Training mode, over there."""
        self._change("train", mode)
        return self

    def eval(self) -> Any:
        """Evaluation mode, over there."""
        return self.train(False)

    def double(self) -> Any:
        """Double precision, over there; mirrors are made again."""
        self._change("double")
        self._asker.forget_parameters(_handle(self))
        return self

    def _change(self, method: str, *arguments: Any) -> None:
        self._asker.ask("method", self, method, arguments, keep=True)


def _handle(module: Any) -> Remote:
    """The same object under the type of its other base class."""
    assert isinstance(module, Remote)
    return module


@functools.cache
def student_module_class() -> type[Remote]:
    """The class of handles to student networks: a Remote that is an nn.Module as well."""
    import torch

    def forwarded(name: str) -> Any:
        return property(lambda self: Remote.__getattr__(self, name))

    own = set(dir(_ModuleMethods)) | set(dir(Remote))
    rest = {
        name: forwarded(name)
        for name in dir(torch.nn.Module)
        if not name.startswith("_") and name not in own
    }
    first = {name: vars(Remote)[name] for name in ("__init__", "__setattr__", "__getattr__")}
    bases = (_ModuleMethods, Remote, torch.nn.Module)
    return type("StudentModule", bases, rest | first | {"__slots__": ()})
