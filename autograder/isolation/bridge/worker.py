"""The student's side of the wall: does what the grader asks for and answers with data.

`Worker` is the same in a sandboxed process (workers/server.py) and in-process (client.Loopback),
so a test behaves alike in both. It trusts the grader. It need not be trusted: student code that
tampers with it changes only answers that student code may choose anyway.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

from autograder.errors import Stopped
from autograder.isolation import cells, codec
from autograder.isolation.bridge import layers
from autograder.isolation.bridge.changes_there import Arguments
from autograder.isolation.bridge.importer import Importer
from autograder.isolation.bridge.mirrors import Mirrors
from autograder.isolation.bridge.objects import Objects, is_data
from autograder.isolation.bridge.operations import Operations
from autograder.isolation.bridge.stand_ins import Lent, Loan, number_of, stand_in
from autograder.isolation.codec.exceptions import describe, frames_of

# backward() may reach back over this many calls.
MAX_GRAPHS = 1000

# Sends a request to the grader's side and returns its answer.
Callback = Callable[[bytes], bytes]

# This memory is freed when there is no more, so that the worker can still say so. The heap grows by
# huge pages of 2 MiB: less may not be enough for one more object.
_reserve = bytearray(4 << 20)


class Worker(Operations):
    """Holds the student's objects by number and answers one message at a time."""

    def __init__(
        self, module: types.ModuleType, source_files: tuple[str, ...], importer: Importer
    ) -> None:
        self.module = module
        self.source_files = source_files
        # What importing the file raised: the fields of codec.exceptions.describe.
        self.failure: tuple[str, list[str], str, list[list[Any]]] | None = None
        self._importer = importer
        self._objects = Objects(module)
        self._mirrors = Mirrors()
        # For each call, by its number: outputs, and the leaves that backward() has gradients for.
        self._graphs: dict[int, tuple[list[Any], list[Any]]] = {}
        self._callback: Callback | None = None

    # -- messages ---------------------------------------------------------------------------------

    def report(self) -> bytes:
        """What loading has come to, in the form of an answer to question number 0.

        [functions and classes of the module by name, code objects by file], or what was raised.
        """
        if self.failure:
            return codec.pack([0, "raise", *self.failure], [])
        encoder = codec.Encoder()
        node = ["l", self._objects.callables(), encoder.encode(self._importer.compiled())]
        return codec.pack([0, "ok", node, [], [], []], encoder.buffers)

    def handle(self, message: bytes, callback: Callback) -> bytes:
        """Answer one request.

        [number, operation, arguments, keep the result here?, grad enabled?, changed parameters]
        """
        (request, operation, node, keep, grad, parameters), buffers = codec.unpack(message)
        self._mirrors.apply(parameters, codec.Decoder(buffers))
        self._callback = callback
        try:
            return self._answer(request, operation, node, buffers, keep, grad)
        except MemoryError as error:
            _reserve.clear()
            frames = frames_of(error, self.source_files)
            fields = ["MemoryError", ["MemoryError"], "out of memory", frames]
            return codec.pack([request, "raise", *fields], [])
        except Stopped:
            raise
        # Even SystemExit is only the student's answer here.
        except BaseException as error:
            return codec.pack([request, "raise", *self._described(error)], [])

    def _described(self, error: BaseException) -> tuple[str, list[str], str, list[list[Any]]]:
        """As `describe` does, but a NameError also names a notebook's left-out statement."""
        kind, bases, text, frames = describe(error, self.source_files)
        if isinstance(error, NameError):
            text = (text + cells.explain(vars(self.module), error.name))[:2000]
        return kind, bases, text, frames

    def _answer(
        self,
        request: int,
        operation: str,
        node: Any,
        buffers: list[memoryview],
        keep: bool,
        grad: bool,
    ) -> bytes:
        hooks = self.special, self.resolve, self.student_class
        arguments = Arguments(node, buffers, *hooks)
        torch = codec.torch_module()
        with torch.set_grad_enabled(grad) if torch else contextlib.nullcontext():
            result = getattr(self, f"_op_{operation}")(*arguments.values)
        outputs: list[Any] = []
        encoder = codec.Encoder(self.special, dict(arguments.known), outputs)
        constructed = operation == "call" and isinstance(arguments.values[0], type)
        if _stays(result, keep, constructed):
            answer = self._objects.reference(result)
        else:
            answer = encoder.encode(result)
        tensors = [encoder.tensor(output) for output in outputs]
        if outputs:
            self._graphs[request] = outputs, [*arguments.leaves, *self._mirrors.trainable()]
            self._graphs.pop(request - MAX_GRAPHS, None)
        changes = arguments.changes(encoder)
        parameters = self._mirrors.changes(encoder.buffers)
        return codec.pack([request, "ok", answer, tensors, changes, parameters], encoder.buffers)

    def _op_left_out(self) -> list[str]:
        """What of a notebook was left out, for its student to read."""
        return self._importer.left_out()

    # -- operations on gradients and parameters ---------------------------------------------------

    def _op_backward(self, call: int, grads: list[Any]) -> list[Any]:
        """Gradients of one call's inputs, given those of its outputs (None where there is none).

        The grader accumulates gradients; parameters that it does not mirror accumulate here.
        """
        outputs, leaves = self._graphs[call]
        before = [leaf.grad for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        used = [
            (output, grad) for output, grad in zip(outputs, grads, strict=True) if grad is not None
        ]
        # torch.autograd.backward with gradients would import sympy. The derivative of this sum is
        # `grad` itself; `conj` and `real` are for complex outputs.
        with codec.torch_module().enable_grad():
            weighted = [(output * grad.conj()).real.sum() for output, grad in used]
            if weighted:
                sum(weighted).backward(retain_graph=True)
        after = [leaf.grad for leaf in leaves]
        for leaf, grad in zip(leaves, before, strict=True):
            leaf.grad = grad
        return after

    def _op_parameters(self, module: Any) -> list[Any]:
        """[name, value, gradient] of a network's parameters, which are mirrored from now on."""
        number, found = self._objects.number(module), []
        for name, parameter in module.named_parameters():
            self._mirrors.add(number, name, parameter)
            value = parameter.detach().requires_grad_(parameter.requires_grad)
            found.append([name, value, parameter.grad])
        return found

    def _op_unmirror(self, module: Any) -> None:
        self._mirrors.drop(self._objects.number(module))

    # -- references -------------------------------------------------------------------------------

    def special(self, value: Any, encoder: codec.Encoder) -> list[Any] | None:
        """The node of what was lent and of what stays here: everything that is not plain data."""
        if isinstance(value, Lent):
            return ["k", number_of(value)]
        return None if is_data(value) else self._objects.reference(value)

    def resolve(self, tag: str, fields: list[Any], decoder: codec.Decoder) -> Any:
        """The object behind a tag of the grader: one of ours, or one that is lent."""
        if tag == "h":
            return self._objects[fields[0]]
        if tag == "m":
            return layers.build(decoder.inner(fields[0]))
        if tag == "k":
            number, methods, names, values = fields
            plain = codec.Decoder([], self.resolve)
            data = {name: plain.decode(value) for name, value in zip(names, values, strict=True)}
            return stand_in(Loan(number, tuple(methods), data), self)
        raise codec.WireError(f"unknown tag {tag!r}")

    def student_class(self, name: str, fields: list[str]) -> type | None:
        """The student's own named tuple or dataclass of this name, if its fields are these."""
        found = getattr(self.module, name, None)
        if not isinstance(found, type):
            return None
        if dataclasses.is_dataclass(found):
            return found if [field.name for field in dataclasses.fields(found)] == fields else None
        return found if list(getattr(found, "_fields", ())) == fields else None

    def call_back(
        self, loan: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call a method of an object that the grader lent."""
        assert self._callback is not None
        encoder = codec.Encoder(self.special)
        node = encoder.encode([loan, method, list(args), kwargs])
        (verdict, answer), buffers = codec.unpack(self._callback(codec.pack(node, encoder.buffers)))
        if verdict == "raise":
            raise getattr(builtins, answer[0], RuntimeError)(answer[1])
        return codec.Decoder(buffers, self.resolve, classes=self.student_class).decode(answer)


def _stays(result: Any, keep: bool, constructed: bool) -> bool:
    """Whether a result is answered with a handle, even if it is data.

    An object that a test makes by calling its class stays here, so that the test can use it.
    """
    if keep and not isinstance(result, (bool, int, float, str, type(None))):
        return True
    return constructed and not isinstance(result, (tuple, BaseException)) and not is_data(result)


def load(files: Mapping[str, bytes], main: str, compiled: dict[str, bytes] | None = None) -> Worker:
    """Import ``files[main]`` as a module, which can import the other files.

    What that raises is what the worker reports. ``compiled`` holds the files' code objects,
    marshalled, as far as they are known; parsing the files again would cost more than forking.
    Others are added to it, and reported.
    """
    importer = Importer(files, compiled)
    for finder in [finder for finder in sys.meta_path if isinstance(finder, Importer)]:
        sys.meta_path.remove(finder)
        finder.forget()
    sys.meta_path.insert(0, importer)
    name = main.removesuffix(".py")
    worker = Worker(types.ModuleType(name), tuple(files), importer)
    sys.modules[name] = worker.module
    try:
        importer.run(worker.module, main)
    except BaseException as error:
        worker.failure = describe(error, worker.source_files)
    return worker
