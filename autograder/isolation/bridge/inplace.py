"""Changes that the student's code made to an argument, taken over into the test's own object."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograder.errors import StudentMisuse
from autograder.isolation import codec

__tracebackhide__ = True


def is_generator(value: Any) -> bool:
    """A generator of numpy or torch: its state always comes back."""
    torch = codec.torch_module()
    return isinstance(value, np.random.Generator) or (
        torch is not None and isinstance(value, torch.Generator)
    )


def overwrite(old: Any, new: Any) -> None:
    """Give a test's own object the contents that the student's code gave to its copy."""
    torch = codec.torch_module()
    if torch is not None and isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
        if old.requires_grad and not old.is_leaf:
            raise StudentMisuse(
                "no answer", "an input that is part of a graph was changed in place"
            )
        with torch.no_grad():
            old.set_(new.detach().to(old.dtype)) if old.shape != new.shape else old.copy_(
                new.detach()
            )
    elif (
        torch is not None and isinstance(old, torch.Generator) and isinstance(new, torch.Generator)
    ):
        old.set_state(new.get_state())
    elif (
        isinstance(old, np.ndarray)
        and isinstance(new, np.ndarray)
        and old.shape == new.shape
        and old.dtype == new.dtype
    ):
        np.copyto(old, new)
    elif isinstance(old, np.random.Generator) and isinstance(new, np.random.Generator):
        if type(old.bit_generator) is not type(new.bit_generator):
            raise codec.WireError("a generator of another kind")
        old.bit_generator.state = new.bit_generator.state
    elif isinstance(old, list) and isinstance(new, list):
        old[:] = new
    elif isinstance(old, (dict, set)) and type(old) is type(new):
        old.clear()
        old.update(new)
    else:
        raise codec.WireError("a change into something of another kind")
