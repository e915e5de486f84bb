"""Objects of a test that the student's code may use.

They stay here, and only calls of them cross.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from autograder.errors import StudentMisuse, StudentTimeout
from autograder.isolation import codec

__tracebackhide__ = True

# Calls of lent objects in one test.
MAX_CALLBACKS = 100_000


class Exposed:
    """A test's object lent to the student: these methods and attributes, nothing else."""

    def __init__(self, target: Any, methods: tuple[str, ...], data: tuple[str, ...]) -> None:
        self.target = target
        self.methods = methods
        self.data = data


class Loans:
    """What one test has lent, by number.

    ``special`` and ``resolve`` are the bridge's hooks for the codec.
    """

    def __init__(
        self,
        special: Callable[[Any, codec.Encoder], list[Any] | None],
        resolve: Callable[[str, list[Any], codec.Decoder], Any],
    ) -> None:
        self._special = special
        self._resolve = resolve
        self._lent: dict[int, Exposed] = {}
        self._calls = 0
        self._in_use = False
        self._failed_check: Exception | None = None

    def lend(self, loan: Exposed) -> list[Any]:
        """The node of a lent object. One that was lent before keeps its number."""
        number = next(
            (n for n, lent in self._lent.items() if lent is loan or lent.target is loan.target),
            len(self._lent),
        )
        self._lent[number] = loan
        plain = codec.Encoder(self._special)
        values = [plain.encode(getattr(loan.target, name)) for name in loan.data]
        if plain.buffers:
            raise TypeError(
                "data of a lent object must be plain numbers, strings or handles (lab.make)"
            )
        return ["k", number, list(loan.methods), list(loan.data), values]

    def target(self, number: Any) -> Any:
        """The object that was lent under this number. Raises KeyError."""
        return self._lent[number].target

    def check(self) -> None:
        """Raise the check that failed in a lent object's method, if one did."""
        if self._failed_check is not None:
            raise self._failed_check

    def must_not_be_in_use(self) -> None:
        """Raise StudentMisuse while a lent object works for the student's process.

        That process waits for the answer meanwhile, so it cannot be asked anything.
        """
        if self._in_use:
            text = "an object of the student's was used while they waited"
            raise StudentMisuse("no request", text)

    def serve(self, message: bytes) -> bytes:
        """Answer one call of a lent object: only the listed methods, only with data."""
        self._calls += 1
        try:
            loan, method, args, kwargs = self._asked(message)
        except (codec.WireError, KeyError, TypeError, ValueError) as error:
            raise StudentMisuse("no request", f"the student's process asked for {error}") from None
        self._in_use = True
        try:
            function = loan.target if method == "__call__" else getattr(loan.target, method)
            result = function(*args, **kwargs)
        except StudentTimeout:
            raise
        except Exception as error:
            return self._refusal(error)
        finally:
            self._in_use = False
        encoder = codec.Encoder(self._special)
        answer = encoder.encode(result)
        return codec.pack(["ok", answer], encoder.buffers)

    def _asked(self, message: bytes) -> tuple[Exposed, str, list[Any], dict[str, Any]]:
        node, buffers = codec.unpack(message)
        if self._calls > MAX_CALLBACKS:
            raise codec.WireError(f"more than {MAX_CALLBACKS} calls of lent objects in one test")
        number, method, args, kwargs = codec.Decoder(buffers, self._resolve).decode(node)
        loan = self._lent[number]
        if method not in loan.methods:
            raise codec.WireError("a call of a method that was not lent")
        return loan, method, args, kwargs

    def _refusal(self, error: Exception) -> bytes:
        """What the student's code gets to see of an exception of the lent object."""
        # Student code may neither read what a check of the test says nor swallow it.
        if _is_a_check(error):
            self._failed_check = self._failed_check or error
            return codec.pack(["raise", ["AssertionError", "the test has seen enough"]], [])
        return codec.pack(["raise", [type(error).__name__, str(error)[:500]]], [])


def _is_a_check(error: Exception) -> bool:
    """A check of the hidden tests has failed, not one that a library makes of its arguments."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = trace.tb_frame.f_code.co_filename if trace is not None else ""
    ours = os.path.basename(where).startswith("test_") or hasattr(error, "finding")
    return isinstance(error, AssertionError) and ours
