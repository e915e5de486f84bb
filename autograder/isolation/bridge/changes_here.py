"""The grader's half of one rule: only functions whose name ends in ``_`` change their arguments.

changes_there.py finds what the student's code changed in its copies of the arguments. Here a
permitted change is written into the test's own object, and any other one is remembered. Otherwise
a student could rewrite the data that a test computes its expectations from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autograder.errors import StudentMisuse
from autograder.isolation import codec

__tracebackhide__ = True


class Changes:
    """What the student's code changed in the arguments of one test."""

    def __init__(self) -> None:
        self._attempted: list[Any] = []

    def take(self, sent: list[Any], index: Any, new: Any, may_change: bool) -> None:
        """Take over the change of argument number ``index`` of ``sent``, or remember the attempt.

        The state of a generator always comes back.
        """
        if type(index) is not int or not 0 <= index < len(sent):
            raise codec.WireError("a change of something that was not sent")
        if may_change or _is_generator(sent[index]):
            _overwrite(sent[index], new)
        else:
            self._attempted.append(sent[index])

    def was_attempted(self, value: Any) -> bool:
        """Whether this object of the test was changed there without permission."""
        return any(value is changed for changed in self._attempted)


def _is_generator(value: Any) -> bool:
    """A generator of numpy or torch."""
    torch = codec.torch_module()
    return isinstance(value, np.random.Generator) or (
        torch is not None and isinstance(value, torch.Generator)
    )


def _overwrite(old: Any, new: Any) -> None:
    """Give a test's own object the contents that the student's code gave to its copy."""
    torch = codec.torch_module()
    if torch is not None and isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
        _overwrite_tensor(old, new)
    elif torch is not None and isinstance(old, torch.Generator):
        if not isinstance(new, torch.Generator):
            raise codec.WireError("a change into something of another kind")
        old.set_state(new.get_state())
    elif isinstance(old, np.ndarray) and isinstance(new, np.ndarray) and _same_form(old, new):
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


def _overwrite_tensor(old: Any, new: Any) -> None:
    torch = codec.torch_module()
    if old.requires_grad and not old.is_leaf:
        text = "an input that is part of a graph was changed in place"
        raise StudentMisuse("no answer", text)
    with torch.no_grad():
        if old.shape != new.shape:
            old.set_(new.detach().to(old.dtype))
        else:
            old.copy_(new.detach())


def _same_form(old: Any, new: Any) -> bool:
    return bool(old.shape == new.shape and old.dtype == new.dtype)
