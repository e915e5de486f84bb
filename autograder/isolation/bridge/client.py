"""The grader's side of the wall: asks a Worker, lends it objects of the test, and takes back nothing but data."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from autograder.errors import IsolationError, StudentError, StudentMisuse, StudentTimeout
from autograder.isolation import codec
from autograder.isolation.bridge import mirrors
from autograder.isolation.bridge.gradients import tie_outputs
from autograder.isolation.bridge.handles import MODULE, Exposed, Names, Remote
from autograder.isolation.bridge.inplace import is_generator, overwrite
from autograder.isolation.bridge.lab import Lab
from autograder.isolation.codec.exceptions import rebuild

__all__ = ["Bridge", "Channel", "Exposed", "Lab", "Loopback", "Remote", "open_bridges"]

__tracebackhide__ = True  # pytest shows the test's lines and the student's, not these

MAX_CALLBACKS = 100_000  # in one test
UNRECORDED = (
    "seed",
    "rng_state",
    "backward",
    "compiled",
    "unmirror",
    "identify",
)  # operations that say nothing of the student's numbers


open_bridges: weakref.WeakSet[Bridge] = weakref.WeakSet()


class Channel(Protocol):
    """A way to a Worker: a socket, or the same process."""

    @property
    def prints(self) -> str:
        """What the student's code printed so far, capped."""

    def request(self, message: bytes, on_callback: Callable[[bytes], bytes]) -> bytes:
        """Send one message and return the answer; requests that arrive meanwhile go to ``on_callback``."""

    def abort(self) -> None:
        """Break the conversation from another thread."""

    @property
    def used(self) -> bool:
        """Whether the worker has served a test before this one."""

    def close(self, passed: bool = False) -> None:
        """End the worker, if it is a process; one whose test has ``passed`` may be kept for the next test."""


class Bridge:
    """One test's connection to one worker. ``record`` is told every answer: what the diagnosis compares.

    ``names``: the types' names of what need not be asked for by what earlier tests of the same files have seen (`Remote`); it is added to.
    """

    def __init__(
        self,
        channel: Channel,
        record: Callable[[Any], None] | None = None,
        names: Names | None = None,
    ) -> None:
        self._channel = channel
        self.record = record or (lambda event: None)
        self.names: Names = {} if names is None else names
        self._request = 0
        self._loans: dict[int, Exposed] = {}
        self._callbacks = 0
        self._lending = False
        self._failed_check: Exception | None = None  # in a lent object's method
        self._changed: list[
            Any
        ] = []  # arguments that were changed in place by functions that may not
        self._mirrors: dict[tuple[int, str], Any] = {}  # (module, name) -> the nn.Parameter here
        self._pictures: dict[tuple[int, str], mirrors.Picture] = {}
        self.kept_back: Any = (
            None  # the generator of the test's data: whoever has it can set its state
        )
        self.callables: dict[tuple[Any, ...], Remote] = {}  # asked for before in this test
        self.student = Remote(self, MODULE, "module", False)
        open_bridges.add(self)

    def ask(
        self, operation: str, *arguments: Any, keep: bool = False, may_change: bool = False
    ) -> Any:
        """Carry out one operation over there and return its result.

        In-place changes of arguments are written back if they ``may_change``; else they are only remembered (see `was_changed`). Raises StudentError (or a subclass that is also the builtin exception it stands for).
        """
        if self._lending:
            raise StudentMisuse(
                "no request", "an object of the student's was used while they waited"
            )
        self._request += 1
        torch = codec.torch_module()
        sent: list[Any] = []
        encoder = codec.Encoder(self._special, {}, register=sent.append)
        node = encoder.encode(arguments)
        grad = torch is not None and torch.is_grad_enabled()
        changed = mirrors.changes(self._mirrors, self._pictures, encoder.buffers)
        header = [self._request, operation, node, keep, grad, changed]
        answer = self._channel.request(codec.pack(header, encoder.buffers), self._on_callback)
        if self._failed_check is not None:
            raise self._failed_check
        try:
            return self._take(answer, operation, sent, self._request, may_change)
        except (StudentError, IsolationError):
            raise
        except codec.WireError as error:
            raise StudentMisuse(
                "no answer", f"the student's process answered with {error}"
            ) from None
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise StudentMisuse(
                "no answer",
                f"the student's process answered with nonsense ({type(error).__name__})",
            ) from None

    def was_changed(self, value: Any) -> bool:
        """Whether this object of the test was changed in place over there without permission."""
        return any(value is changed for changed in self._changed)

    def close(self, passed: bool = False) -> None:
        """End the worker, or leave it to the next test if this one has ``passed`` and the candidate keeps it."""
        open_bridges.discard(self)
        self._channel.close(passed)

    @property
    def used(self) -> bool:
        """Whether the worker has served a test before this one."""
        return self._channel.used

    def prints(self) -> str:
        """What the student's code printed, capped."""
        return self._channel.prints

    def mirror(self, module: Remote) -> dict[tuple[int, str], Any]:
        """The mirrors of a student's network's parameters, made at the first call."""
        if not any(number == module._number for number, _ in self._mirrors):
            torch = codec.torch_module()
            for name, value, grad in self.ask("parameters", module):
                # A copy: the answer itself is remembered, and must not move when the parameter does.
                parameter = torch.nn.Parameter(
                    value.detach().clone(), requires_grad=value.requires_grad
                )
                parameter.grad = None if grad is None else grad.clone()
                self._mirrors[module._number, str(name)] = parameter
                self._pictures[module._number, str(name)] = mirrors.Picture(parameter)
        return self._mirrors

    def forget_mirrors(self, module: Remote) -> None:
        """Have the mirrors made anew: their kind has changed over there."""
        for key in [key for key in self._mirrors if key[0] == module._number]:
            del self._mirrors[key], self._pictures[key]
        self.ask("unmirror", module)

    def _take(
        self, answer: bytes, operation: str, sent: list[Any], request: int, may_change: bool
    ) -> Any:
        header, buffers = codec.unpack(answer)
        if not isinstance(header, list) or header[:1] != [request] or len(header) < 2:
            raise codec.WireError("an answer to another question")
        if header[1] == "raise":
            error = rebuild(header[2:])
            self.record(("raise", error.kind))
            raise error
        if header[1] != "ok" or len(header) != 6:
            raise codec.WireError("an answer of an unknown form")
        _, _, node, tensors, changes, parameters = header
        decoder = codec.Decoder(buffers, self._resolve, sent.__getitem__)
        mirrors.apply(parameters, self._mirrors, self._pictures, decoder)
        decoder.outputs = self._tie([decoder.decode(tensor) for tensor in tensors], sent, request)
        result = decoder.decode(node)
        changed = [(index, decoder.decode(new)) for index, new in changes]
        for index, new in changed:
            self._write_back(sent, index, new, may_change)
        if operation not in UNRECORDED:
            self.record(("ok", result, changed))
        return result

    def _tie(self, plain: list[Any], sent: list[Any], request: int) -> Sequence[Any]:
        """Join tensors that require grad over there to the graph here."""
        if not plain:
            return ()
        torch = codec.torch_module()
        inputs = [
            value for value in sent if isinstance(value, torch.Tensor) and value.requires_grad
        ]
        inputs += [parameter for parameter in self._mirrors.values() if parameter.requires_grad]
        return tie_outputs(self, request, plain, inputs)

    def _write_back(self, sent: list[Any], index: int, new: Any, may_change: bool) -> None:
        """Give a changed argument its new contents, if the function's name says that it changes arguments.

        Anything else would let a student rewrite the data that a test computes its expectations from.
        """
        if type(index) is not int or not 0 <= index < len(sent):
            raise codec.WireError("a change of something that was not sent")
        if may_change or is_generator(sent[index]):
            overwrite(sent[index], new)
        else:
            self._changed.append(sent[index])

    # -- references -------------------------------------------------------------------------------------------

    def _special(self, value: Any, encoder: codec.Encoder) -> list[Any] | None:
        if isinstance(value, Remote):
            return (
                ["h", value._number]
                if value._number is not None
                else ["hn", value._owner, value._name]
            )
        if isinstance(value, Exposed):
            return self._lend(value)
        if value is self.kept_back:
            raise TypeError(
                "rng draws the test's own data: give the student a generator of their own"
            )
        torch = codec.torch_module()
        if torch is not None and isinstance(value, torch.nn.Module):
            if (description := mirrors.spec(value)) is None:
                raise TypeError(
                    f"a {type(value).__name__} of the test cannot cross: make it there with lab.make"
                )
            return ["m", encoder.encode(description)]
        if callable(value) and not isinstance(value, type):
            return self._lend(Exposed(value, ("__call__",), ()))
        return None

    def _lend(self, loan: Exposed) -> list[Any]:
        number = next(
            (n for n, lent in self._loans.items() if lent is loan or (lent.target is loan.target)),
            len(self._loans),
        )
        self._loans[number] = loan
        plain = codec.Encoder(self._special)
        values = [plain.encode(getattr(loan.target, name)) for name in loan.data]
        if plain.buffers:
            raise TypeError(
                "data of a lent object must be plain numbers, strings or handles (lab.make)"
            )
        return ["k", number, list(loan.methods), list(loan.data), values]

    def _resolve(self, tag: str, fields: list[Any], decoder: codec.Decoder) -> Any:
        if tag == "h":
            number, type_name, is_callable, is_module = fields
            if (
                type(number) is not int
                or not isinstance(type_name, str)
                or not type_name.isidentifier()
                or len(type_name) > 100
            ):
                raise codec.WireError("a malformed handle")
            kind = (
                mirrors.student_module_class(Remote)
                if is_module is True and codec.torch_module()
                else Remote
            )
            return kind(self, number, type_name, is_callable is True)
        if tag == "k" and fields[0] in self._loans:
            return self._loans[fields[0]].target
        raise codec.WireError("an unknown tag")

    def _on_callback(self, message: bytes) -> bytes:
        """Let the student's code call what was lent to it: only the listed methods, only with data."""
        self._callbacks += 1
        try:
            node, buffers = codec.unpack(message)
            if self._callbacks > MAX_CALLBACKS:
                raise codec.WireError(
                    f"more than {MAX_CALLBACKS} calls of lent objects in one test"
                )
            number, method, args, kwargs = codec.Decoder(buffers, self._resolve).decode(node)
            loan = self._loans[number]
            if method not in loan.methods:
                raise codec.WireError("a call of a method that was not lent")
        except (codec.WireError, KeyError, TypeError, ValueError) as error:
            raise StudentMisuse("no request", f"the student's process asked for {error}") from None
        self._lending = True  # the student's process waits: it cannot be asked anything
        try:
            result = (loan.target if method == "__call__" else getattr(loan.target, method))(
                *args, **kwargs
            )
        except StudentTimeout:
            raise
        except Exception as error:
            if _is_a_check(error):  # student code may neither read nor swallow it
                self._failed_check = self._failed_check or error
                return codec.pack(["raise", ["AssertionError", "the test has seen enough"]], [])
            return codec.pack(["raise", [type(error).__name__, str(error)[:500]]], [])
        finally:
            self._lending = False
        encoder = codec.Encoder(self._special)
        answer = encoder.encode(result)
        return codec.pack(["ok", answer], encoder.buffers)


def _is_a_check(error: Exception) -> bool:
    """A check of the hidden tests has failed, and not one that a library makes of what it is given."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = trace.tb_frame.f_code.co_filename if trace is not None else ""
    ours = os.path.basename(where).startswith("test_") or hasattr(error, "finding")
    return isinstance(error, AssertionError) and ours


class Loopback:
    """The channel to a Worker in this very process: for authors, for `check`, and for replaying known bugs."""

    prints = ""
    used = False

    def __init__(self, worker: Any) -> None:
        self._worker = worker

    def request(self, message: bytes, on_callback: Callable[[bytes], bytes]) -> bytes:
        return self._worker.handle(message, on_callback)  # type: ignore[no-any-return]

    def abort(self) -> None:
        """Nobody waits: the call is in this thread."""

    def close(self, passed: bool = False) -> None:
        """Nothing to end."""
