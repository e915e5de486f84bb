"""When two answers of a submission or a variant are the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograder.isolation.bridge.handles import Remote
from autograder.isolation.codec import Fields, torch_module
from autograder.judging.hidden_test import Trace

SETS = (set, frozenset)
# The same numbers in double precision, and where single precision is involved.
RTOL, RTOL_SINGLE = 1e-6, 1e-4


def gives_the_numbers_of(variant: Trace, student: Trace) -> bool:
    """Every answer of the student up to the failure is the variant's."""
    if len(variant.events) < len(student.events):
        return False
    return all(same(one, other) for one, other in zip(variant.events, student.events, strict=False))


def same(one: Any, other: Any) -> bool:
    """Equal up to rounding, in whatever precision and containers of the same numbers."""
    if isinstance(one, Remote) or isinstance(other, Remote):
        return isinstance(one, Remote) and isinstance(other, Remote)
    if isinstance(one, Fields) and isinstance(other, Fields):
        one, other = vars(one), vars(other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if _is_generator(one) or _is_generator(other):
        # How many draws a solution takes is its own affair.
        return type(one) is type(other)
    if getattr(one, "requires_grad", None) != getattr(other, "requires_grad", None):
        return False
    first, second = _array(one), _array(other)
    if first is None or second is None:
        return type(one) is type(other) and (
            one == other if isinstance(one, SETS) else str(one) == str(other)
        )
    return _same_numbers(first, second)


def _same_numbers(first: Any, second: Any) -> bool:
    if first.shape != second.shape:
        return False
    if "f" not in (first.dtype.kind, second.dtype.kind):
        return bool(np.array_equal(first, second))
    single = any(a.dtype.kind == "f" and a.dtype.itemsize < 8 for a in (first, second))
    rtol = RTOL_SINGLE if single else RTOL
    scale = float(np.max(np.abs(second[np.isfinite(second)]), initial=0.0))
    return bool(np.allclose(first, second, rtol=rtol, atol=rtol * scale, equal_nan=True))


def _is_generator(value: Any) -> bool:
    torch = torch_module()
    return isinstance(value, np.random.Generator) or (
        torch is not None and isinstance(value, torch.Generator)
    )


def _array(value: Any) -> Any:
    torch = torch_module()
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy()
    if isinstance(value, (np.ndarray, np.generic, bool, int, float)):
        array = np.asarray(value)
        # Integers of more than 64 bits are compared as text.
        return array if array.dtype.kind in "biufc" else None
    return None
