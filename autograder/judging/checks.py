"""What hidden tests compare with.

Every check looks at kind, shape and number kind before it looks at numbers. A failed check raises
CheckFailure. Its text is for staff and may hold expected values. Its ``finding`` is for students
and speaks only of kinds, shapes and non-finite numbers. No object of the student's is ever asked
whether it is equal or true.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

from autograder.errors import StudentError
from autograder.isolation.bridge import handles
from autograder.isolation.bridge.handles import Remote
from autograder.isolation.codec import torch_module

__tracebackhide__ = True

# A fair solution fails a frequency check once in a million draws of its inputs.
CHI_SQUARE_TAIL = 1e-6
# Of outcomes that do not fit, those are told that are off by this many standard deviations.
STRANGE, MOST_TOLD = 4.0, 4


class CheckFailure(AssertionError):
    """A check did not hold. ``finding`` is the part of the reason that a student may read."""

    def __init__(self, detail: str, finding: str = "") -> None:
        super().__init__(detail)
        self.finding = finding


class KnowsChanges(Protocol):
    """A test's lab, which knows what the student's code tried to change."""

    def was_changed(self, value: Any) -> bool:
        """Whether this object of the test was changed in place without permission."""


_lab: ContextVar[KnowsChanges | None] = ContextVar("lab", default=None)


@contextmanager
def changes_known_to(lab: KnowsChanges) -> Iterator[None]:
    """In this context, `assert_unchanged` asks this lab for attempts to change objects."""
    before = _lab.set(lab)
    try:
        yield
    finally:
        _lab.reset(before)


def assert_close(
    actual: Any, expected: Any, *, rtol: float = 1e-7, atol: float = 1e-9, what: str = "the result"
) -> None:
    """``actual`` is of the kind, shape and number kind of ``expected``, and close to it.

    ``expected`` is a number, an array, a tensor, or a list or tuple of them. ``actual`` is finite
    where that is, and |actual - expected| <= atol + rtol*|expected|.
    """
    if isinstance(expected, (list, tuple)):
        _same_length(actual, expected, what)
        for index, (one, other) in enumerate(zip(actual, expected, strict=True)):
            assert_close(one, other, rtol=rtol, atol=atol, what=f"{what}[{index}]")
        return
    got, want = map(_floating, _same_kind(actual, expected, what))
    if np.isfinite(want).all() and (np.abs(got - want) <= atol + rtol * np.abs(want)).all():
        # This is the usual case. The rest says what is wrong, or finds equal infinities.
        return
    if not np.array_equal(np.isfinite(got), np.isfinite(want)):
        bad = "nan" if np.isnan(got).any() else "infinite"
        finding = (
            f"{what} holds {bad} values where finite ones belong."
            if np.isfinite(want).all()
            else f"{what} is finite where it must not be, or the reverse."
        )
        raise CheckFailure(f"{finding}\n{_both(got, want)}", finding)
    finite = np.isfinite(want)
    same_infinite = np.array_equal(got[~finite], want[~finite], equal_nan=True)
    gap = np.abs(got[finite] - want[finite])
    if not same_infinite or (gap > atol + rtol * np.abs(want[finite])).any():
        worst = f"largest difference {gap.max():.6g}" if gap.size else "infinities differ"
        raise CheckFailure(
            f"{what} is not close to what is expected ({worst}; rtol {rtol:g}, atol {atol:g})\n"
            f"{_both(got, want)}"
        )


def assert_equal(actual: Any, expected: Any, what: str = "the result") -> None:
    """``actual`` is exactly ``expected``.

    ``expected`` is an int, a bool, a string, None, an array or tensor of integers or bools, or a
    list or tuple of these.
    """
    if isinstance(expected, (list, tuple)):
        _same_length(actual, expected, what)
        for index, (one, other) in enumerate(zip(actual, expected, strict=True)):
            assert_equal(one, other, f"{what}[{index}]")
        return
    if expected is None or isinstance(expected, str):
        if isinstance(actual, str) if isinstance(expected, str) else actual is None:
            if actual is expected or str(actual) == str(expected):
                return
            raise CheckFailure(f"{what} is {actual!r}, expected {expected!r}")
        finding = f"{what} is {_kind_name(actual)}; {_kind_name(expected)} was expected."
        raise CheckFailure(finding, finding)
    got, want = _same_kind(actual, expected, what)
    if not np.array_equal(got, want):
        raise CheckFailure(f"{what} is not what is expected\n{_both(got, want)}")


def assert_true(condition: bool | np.bool_, statement: str) -> None:
    """A bool that the test computed from checked data; ``statement`` tells staff what must hold."""
    if not isinstance(condition, (bool, np.bool_)):
        raise TypeError(
            f"assert_true takes a bool that the test computed, not {_kind_name(condition)}"
        )
    if not condition:
        raise CheckFailure(f"does not hold: {statement}")


def assert_finite(actual: Any, what: str = "the result") -> None:
    """Every number in an array, tensor or float is finite."""
    numbers_ = _numbers(actual, what)
    if not np.isfinite(numbers_).all():
        finding = f"{what} holds nan or infinite values."
        raise CheckFailure(finding, finding)


def assert_unchanged(before: Any, after: Any, what: str = "an input") -> None:
    """A copy made before the call equals the object after it, bit for bit.

    Behind the bridge only functions whose name ends in _ change a test's objects. If another one
    tries, the bridge knows it.
    """
    lab = _lab.get()
    attempted = lab is not None and lab.was_changed(after)
    old, new = _numbers(before, what), _numbers(after, what)
    if (
        attempted
        or old.shape != new.shape
        or old.dtype != new.dtype
        or old.tobytes() != new.tobytes()
    ):
        finding = f"{what} was changed in place: work on a copy."
        raise CheckFailure(finding, finding)


def assert_no_grad(tensor: Any, what: str = "the result") -> None:
    """A tensor that carries no gradient."""
    torch = torch_module()
    if torch is None or not isinstance(tensor, torch.Tensor):
        finding = f"{what} is {_kind_name(tensor)}; a tensor was expected."
        raise CheckFailure(finding, finding)
    if tensor.requires_grad:
        finding = f"{what} still requires grad: detach it, or compute it under torch.no_grad()."
        raise CheckFailure(finding, finding)


@contextmanager
def assert_raises(*kinds: type[Exception]) -> Iterator[None]:
    """The block raises one of ``kinds`` with a message that is more than a word."""
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        yield
    except NotImplementedError:
        raise
    except StudentError as error:
        if not isinstance(error, kinds):
            raise
        if len(error.message.split()) < 2:
            finding = f"{names} was raised without a sentence that says what is wrong."
            raise CheckFailure(finding, finding) from None
    else:
        finding = f"no {names} was raised for an impossible argument."
        raise CheckFailure(finding, finding)


def assert_frequencies(
    counts: Any,
    probabilities: Any,
    what: str = "the frequencies",
    names: Sequence[str] | None = None,
) -> None:
    """Counts of independent draws fit the probabilities; otherwise the student reads which do not.

    ``names`` say what is counted, say "the best arm"; without them, the index is told. The test is
    Pearson's chi-square, with an upper tail above 1e-6 by the normal approximation of Wilson and
    Hilferty (1931). Outcomes of probability zero must not occur.
    """
    seen, chance = _numbers(counts, what).astype(float), np.asarray(probabilities, float)
    if not np.isfinite(seen).all() or seen.sum() <= 0:
        raise CheckFailure(f"{what}: there is nothing to count: {seen}")
    if seen.shape != chance.shape:
        raise CheckFailure(f"{what}: counts {seen.shape}, probabilities {chance.shape}")
    expected = chance / chance.sum() * seen.sum()
    possible = chance > 0
    if seen[~possible].any():
        raise CheckFailure(
            f"{what}: something impossible happened: counts {seen}, probabilities {chance}",
            _drawn_wrongly(seen - expected, ~possible & (seen > 0), what, names),
        )
    share = (seen - expected)[possible] / np.sqrt(expected[possible])
    statistic, freedom = float((share**2).sum()), int(possible.sum()) - 1
    if freedom == 0:
        return
    z = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    if 0.5 * math.erfc(z / math.sqrt(2)) < CHI_SQUARE_TAIL:
        strange = np.zeros(seen.shape, bool)
        strange[possible] = np.abs(share) >= min(STRANGE, np.abs(share).max())
        raise CheckFailure(
            f"{what} do not fit: counts {seen}, expected {expected}, chi-square {statistic:.1f}"
            f" with {freedom} degrees of freedom",
            _drawn_wrongly(seen - expected, strange, what, names),
        )


def _drawn_wrongly(excess: Any, strange: Any, what: str, names: Sequence[str] | None) -> str:
    """Which outcomes came too often or too rarely, for the student: no number is told."""
    told = []
    for index in map(tuple, np.argwhere(strange)):
        name = names[index[0]] if names is not None else f"[{', '.join(map(str, index))}]"
        told.append(f"{name} came too {'often' if excess[index] > 0 else 'rarely'}")
    more = " and others" if len(told) > MOST_TOLD else ""
    return f"{what}: {', '.join(told[:MOST_TOLD])}{more}."


# -- kinds -----------------------------------------------------------------------------------------


def _same_kind(actual: Any, expected: Any, what: str) -> tuple[Any, Any]:
    """Both as NumPy arrays, after a check that kind, shape and number kind are the same."""
    kind, asked = _kind_name(actual), _kind_name(expected)
    if kind != asked and {kind, asked} != {"a float", "an int"}:
        finding = f"{what} is {kind}; {asked} was expected."
        raise CheckFailure(finding, finding)
    got, want = _numbers(actual, what), _numbers(expected, what)
    if got.shape != want.shape:
        finding = f"{what} has shape {_shape(got)}; {_shape(want)} was expected."
        raise CheckFailure(finding, finding)
    if (asked == "an int" and kind == "a float") or (
        want.dtype.kind in "iub" and got.dtype.kind not in ("b" if want.dtype.kind == "b" else "iu")
    ):
        finding = f"{what} holds numbers of type {got.dtype}; {_number_kind(want)} were expected."
        raise CheckFailure(finding, finding)
    if want.dtype.kind == "f" and got.dtype.kind not in ("f" if got.ndim else "fiu"):
        finding = f"{what} holds numbers of type {got.dtype}; floating-point numbers were expected."
        raise CheckFailure(finding, finding)
    return got, want


def _floating(array: Any) -> Any:
    return array.astype(complex if array.dtype.kind == "c" else float)


def _kind_name(value: Any) -> str:
    torch = torch_module()
    if torch is not None and isinstance(value, torch.Tensor):
        return "a tensor"
    if isinstance(value, np.ndarray):
        return "an array"
    if value is None:
        return "None"
    if isinstance(value, (bool, np.bool_)):
        return "a bool"
    if isinstance(value, numbers.Integral):
        return "an int"
    if isinstance(value, numbers.Real):
        return "a float"
    if isinstance(value, Remote):
        return f"an object of class {handles.type_name(value)}"
    return f"a {type(value).__name__}"


def _numbers(value: Any, what: str) -> Any:
    torch = torch_module()
    if torch is not None and isinstance(value, torch.Tensor):
        plain = value.detach().cpu()
        return (plain.float() if plain.dtype is torch.bfloat16 else plain).numpy()
    if isinstance(value, (np.ndarray, np.generic, bool, int, float, complex)):
        array = np.asarray(value)
        # Anything else is an integer of more than 64 bits.
        return array if array.dtype.kind in "biufc" else np.asarray(math.inf)
    finding = f"{what} is {_kind_name(value)}; numbers were expected."
    raise CheckFailure(finding, finding)


def _number_kind(array: Any) -> str:
    return {"b": "bools"}.get(array.dtype.kind, "integers")


def _shape(array: Any) -> str:
    return str(tuple(array.shape))


def _same_length(actual: Any, expected: Any, what: str) -> None:
    if not isinstance(actual, (list, tuple)) or len(actual) != len(expected):
        got = f"{len(actual)} values" if isinstance(actual, (list, tuple)) else _kind_name(actual)
        finding = f"{what} is {got}; {len(expected)} values were expected."
        raise CheckFailure(finding, finding)


def _both(got: Any, want: Any) -> str:
    with np.printoptions(precision=8, threshold=60, edgeitems=4):
        return f"got      {_excerpt(got)}\nexpected {_excerpt(want)}"


def _excerpt(array: Any) -> str:
    """Arrays of many small dimensions would be printed whole."""
    return (
        str(array) if array.size <= 1000 else f"{array.reshape(-1)[:60]} ... of shape {array.shape}"
    )
