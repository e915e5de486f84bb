"""The grader's side of the wall: asks a Worker, lends it objects of the test, takes back only data.

`Bridge` puts its parts together: conversation.py (questions and answers), loans.py (objects lent),
mirrors.py (parameters of networks), changes_here.py (arguments that were changed), gradients.py,
and handles.py, which is what a test holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from autograder.isolation import codec
from autograder.isolation.bridge import handles, layers
from autograder.isolation.bridge.changes_here import Changes
from autograder.isolation.bridge.conversation import LOADING, Channel, Conversation, Listener
from autograder.isolation.bridge.gradients import tie_outputs
from autograder.isolation.bridge.handles import Remote
from autograder.isolation.bridge.loans import Exposed, Loans
from autograder.isolation.bridge.mirrors import Mirrors
from autograder.isolation.bridge.networks import student_module_class

__tracebackhide__ = True

# Operations whose answers say nothing of the student's numbers: `on_answer` is not told of them.
UNTOLD = ("load", "left_out", "seed", "rng_state", "backward", "unmirror")


class Bridge:
    """One test's connection to one worker. ``on_answer`` is told each answer of student code.

    Attributes:
        student: the handle to the student's module.
        withheld: the generator of the test's data. It must not cross: its holder can set its state.
        on_question: is told each question of which `on_answer` is told the answer.
    """

    def __init__(self, channel: Channel, on_answer: Listener | None = None) -> None:
        self.student = Remote(self, handles.MODULE, "module", False)
        self.withheld: Any = None
        self.on_question: Callable[[str, tuple[Any, ...]], None] = lambda operation, arguments: None
        self._channel = channel
        self._loans = Loans(self._special, self._resolve)
        self._conversation = Conversation(channel, self._loans.serve)
        self._mirrors = Mirrors()
        self._changes = Changes()
        # What is known to be callable, by the number of its owner and its name there: first what
        # loading has reported of the module, then also what this test has asked for.
        self._callables: dict[tuple[int, str], Remote] | None = None
        self._compiled: dict[str, bytes] = {}
        if on_answer is not None:
            self.listen(on_answer)

    # -- the worker -------------------------------------------------------------------------------

    @property
    def used(self) -> bool:
        """Whether the worker has served a test before this one."""
        return self._channel.used

    @property
    def asked(self) -> int:
        """The number of questions so far."""
        return self._conversation.asked

    def listen(self, on_answer: Listener) -> None:
        """Have each further answer told to ``on_answer``: it is what the diagnosis compares."""
        self._conversation.on_answer = on_answer

    def load(self) -> dict[str, bytes]:
        """Wait until the files are loaded. Raises the StudentError that importing them raised.

        Returns the files' code objects, marshalled, if the worker had to compile them.
        """
        if self._callables is None:
            report = self._conversation.report()
            self._conversation.read(report, LOADING, self._take_report)
        return self._compiled

    def prints(self) -> str:
        """What the student's code printed, capped."""
        return self._channel.prints

    def abort(self) -> None:
        """Break the conversation from another thread; the request that waits raises an error."""
        self._channel.abort()

    def close(self, passed: bool = False) -> None:
        """End the worker, or leave it to the next test if this one has ``passed``."""
        self._channel.close(passed)

    def was_changed(self, value: Any) -> bool:
        """Whether this object of the test was changed in place there without permission."""
        return self._changes.was_attempted(value)

    # -- what a handle asks -----------------------------------------------------------------------

    def ask(
        self, operation: str, *arguments: Any, keep: bool = False, may_change: bool = False
    ) -> Any:
        """Carry out one operation over there and return its result.

        In-place changes of arguments are written back if they ``may_change``; otherwise they are
        only remembered (see `was_changed`). Raises StudentError, or a subclass of it that is also
        the builtin exception it stands for.
        """
        self._loans.must_not_be_in_use()
        self.load()
        if operation not in UNTOLD:
            self.on_question(operation, arguments)
        torch = codec.torch_module()
        sent: list[Any] = []
        encoder = codec.Encoder(self._special, {}, register=sent.append)
        node = encoder.encode(arguments)
        grad = torch is not None and torch.is_grad_enabled()
        fields = [node, keep, grad, self._mirrors.changes(encoder.buffers)]
        answer = self._conversation.ask(operation, fields, encoder.buffers)
        number = self._conversation.asked
        self._loans.check()

        def take(fields: list[Any], buffers: list[memoryview]) -> Any:
            result, changed = self._decode(fields, buffers, sent, number)
            for index, new in changed:
                self._changes.take(sent, index, new, may_change)
            if operation not in UNTOLD:
                self._conversation.on_answer(("ok", result, changed))
            return result

        return self._conversation.read(answer, number, take)

    def attribute(self, owner: Remote, name: str, keep: bool) -> Any:
        """An attribute of a student's object: data, which are asked for, or a handle.

        A function or class of the module is known without asking.
        """
        self.load()
        callables, key = self._known(), (handles.number(owner), name)
        if key not in callables:
            found = self.ask("get", owner, name, keep=keep)
            if not isinstance(found, Remote) or not handles.is_callable(found):
                return found
            callables[key] = handles.named(found, name)
        return callables[key]

    def assign(self, owner: Remote, name: str, value: Any) -> None:
        """Set an attribute of a student's object. From then on its name is asked for."""
        self.load()
        self._known().pop((handles.number(owner), name), None)
        self.ask("set", owner, name, value)

    def parameters_of(self, module: Remote) -> list[tuple[str, Any]]:
        """Names and mirrors of a student's network's parameters; made at the first call."""
        number = handles.number(module)
        if not self._mirrors.of(number):
            torch = codec.torch_module()
            for name, value, grad in self.ask("parameters", module):
                # A copy: the answer is remembered, and must not move when the parameter does.
                copy = value.detach().clone()
                parameter = torch.nn.Parameter(copy, requires_grad=value.requires_grad)
                parameter.grad = None if grad is None else grad.clone()
                self._mirrors.add(number, str(name), parameter)
        return self._mirrors.of(number)

    def forget_parameters(self, module: Remote) -> None:
        """Have the mirrors made again: their kind has changed there."""
        self._mirrors.drop(handles.number(module))
        self.ask("unmirror", module)

    # -- answers ----------------------------------------------------------------------------------

    def _known(self) -> dict[tuple[int, str], Remote]:
        assert self._callables is not None
        return self._callables

    def _take_report(self, fields: list[Any], buffers: list[memoryview]) -> None:
        """What loading reports: [functions and classes of the module by name, code objects]."""
        (found, compiled), _ = self._decode(fields, buffers, [], LOADING)
        if not all(
            isinstance(name, str) and type(handle) is Remote for name, handle in found.items()
        ):
            raise codec.WireError("a report of something that cannot be called")
        if not all(isinstance(code, bytes) for code in compiled.values()):
            raise codec.WireError("a report of code that is not code")
        self._compiled = {str(file): code for file, code in compiled.items()}
        self._callables = {
            (handles.MODULE, name): handles.named(handle, name) for name, handle in found.items()
        }

    def _decode(
        self, fields: list[Any], buffers: list[memoryview], sent: list[Any], number: int
    ) -> tuple[Any, list[tuple[Any, Any]]]:
        """(result, changes of what was sent) of the answer to question ``number``."""
        node, tensors, changes, parameters = fields
        decoder = codec.Decoder(buffers, self._resolve, sent.__getitem__)
        self._mirrors.apply(parameters, decoder)
        plain = [decoder.decode(tensor) for tensor in tensors]
        decoder.outputs = self._tie(plain, sent, number)
        result = decoder.decode(node)
        return result, [(index, decoder.decode(new)) for index, new in changes]

    def _tie(self, plain: list[Any], sent: list[Any], number: int) -> Sequence[Any]:
        """Join tensors that require grad over there to the graph here."""
        if not plain:
            return ()
        torch = codec.torch_module()
        inputs = [x for x in sent if isinstance(x, torch.Tensor) and x.requires_grad]
        return tie_outputs(self, number, plain, [*inputs, *self._mirrors.trainable()])

    # -- references -------------------------------------------------------------------------------

    def _special(self, value: Any, encoder: codec.Encoder) -> list[Any] | None:
        """The node of a value that is not data."""
        if isinstance(value, Remote):
            return ["h", handles.number(value)]
        if isinstance(value, Exposed):
            return self._loans.lend(value)
        if value is self.withheld:
            raise TypeError("rng draws the test's own data: give the student another generator")
        torch = codec.torch_module()
        if torch is not None and isinstance(value, torch.nn.Module):
            if (description := layers.describe(value)) is None:
                kind = type(value).__name__
                raise TypeError(f"a {kind} of the test cannot cross: make it there with lab.make")
            return ["m", encoder.encode(description)]
        if callable(value) and not isinstance(value, type):
            return self._loans.lend(Exposed(value, ("__call__",), ()))
        return None

    def _resolve(self, tag: str, fields: list[Any], decoder: codec.Decoder) -> Any:
        """What a node that is not data stands for."""
        if tag == "h":
            return self._handle(*fields)
        if tag == "k":
            try:
                return self._loans.target(fields[0])
            except KeyError:
                raise codec.WireError("a loan that was never made") from None
        raise codec.WireError("an unknown tag")

    def _handle(self, number: Any, type_name: Any, is_callable: Any, is_module: Any) -> Remote:
        is_name = isinstance(type_name, str) and type_name.isidentifier() and len(type_name) <= 100
        if type(number) is not int or not is_name:
            raise codec.WireError("a malformed handle")
        with_parameters = is_module is True and codec.torch_module() is not None
        kind = student_module_class() if with_parameters else Remote
        return kind(self, number, type_name, is_callable is True)


class Answers(Protocol):
    """What of a Worker a channel in the same process needs."""

    def report(self) -> bytes:
        """What loading the files has come to."""

    def handle(self, message: bytes, callback: Callable[[bytes], bytes]) -> bytes:
        """Answer one question."""


class Loopback:
    """The channel to a Worker in this process: for authors, for `check`, and for replays."""

    prints = ""
    used = False

    def __init__(self, worker: Answers) -> None:
        self._worker = worker

    def loaded(self) -> bytes:
        """The report."""
        return self._worker.report()

    def request(self, message: bytes, on_callback: Callable[[bytes], bytes]) -> bytes:
        """The answer."""
        return self._worker.handle(message, on_callback)

    def abort(self) -> None:
        """Nothing to do: no other thread waits, because the call is in this thread."""

    def close(self, passed: bool = False) -> None:
        """Nothing to end."""
