"""The student's side of the wall: runs what the grader asks for on the student's module and answers with data.

`Worker` is the same in a sandboxed process (`serve`) and in-process (the client's loopback), so a test behaves alike in
both. It trusts the grader and need not trust itself: whatever student code does to it changes only answers that student
code may choose anyway.
"""

from __future__ import annotations

import builtins
import dataclasses
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autograder.isolation import cells, codec
from autograder.isolation.bridge import generators, mirrors
from autograder.isolation.bridge.arguments import Arguments, Lent, lend
from autograder.isolation.bridge.importer import Importer
from autograder.isolation.codec.exceptions import describe, frames_of

MAX_GRAPHS = 1000  # calls back to which backward() may reach

Callback = Callable[[bytes], bytes]  # sends a request to the grader's side and returns its answer


class Worker:
    """Holds the student's objects by number (0 is the module) and answers one message at a time."""

    def __init__(
        self, module: types.ModuleType, source_files: tuple[str, ...], importer: Importer
    ) -> None:
        self.module = module
        self._objects: dict[int, Any] = {0: module}
        self._numbers: dict[int, int] = {id(module): 0}
        self._next = 1
        self.source_files = source_files
        self._importer = importer
        self._graphs: dict[
            int, tuple[list[Any], list[Any]]
        ] = {}  # call -> outputs, leaves: kept for backward
        self._mirrored: dict[
            tuple[int, str], Any
        ] = {}  # (module, name) -> the parameter that the grader mirrors
        self._pictures: dict[tuple[int, str], mirrors.Picture] = {}
        self._callback: Callback | None = None
        self.failure: tuple[str, list[str], str, list[list[Any]]] | None = (
            None  # what importing the file raised
        )

    def again(self) -> Worker:
        """Another one for the same module, without anything that this one has been told."""
        return Worker(self.module, self.source_files, self._importer)

    def modules(self) -> list[types.ModuleType]:
        """The student's module, and what it has imported of the other submitted files."""
        return [self.module, *self._importer.modules()]

    # -- messages ---------------------------------------------------------------------------------------------

    def handle(self, message: bytes, callback: Callback) -> bytes:
        """Answer one request: [id, operation, arguments, keep the result here?, grad enabled?, changed parameters]."""
        (request, operation, node, keep, grad, parameters), buffers = codec.unpack(message)
        mirrors.apply(parameters, self._mirrored, self._pictures, codec.Decoder(buffers))
        self._callback = callback
        if self.failure:
            return codec.pack([request, "raise", *self.failure], [])
        try:
            return self._answer(request, operation, node, buffers, keep, grad)
        except MemoryError as error:
            _reserve.clear()  # so that there is room to say so
            return codec.pack(
                [
                    request,
                    "raise",
                    "MemoryError",
                    ["MemoryError"],
                    "out of memory",
                    frames_of(error, self.source_files),
                ],
                [],
            )
        except BaseException as error:  # even SystemExit is only the student's answer here
            return codec.pack([request, "raise", *self._described(error)], [])

    def _described(self, error: BaseException) -> tuple[str, list[str], str, list[list[Any]]]:
        """As `describe` does; a name that a notebook's left-out statement would have made says so."""
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
        arguments = Arguments(self, node, buffers)
        torch = codec.torch_module()
        with torch.set_grad_enabled(grad) if torch else _nothing():
            result = getattr(self, f"_op_{operation}")(*arguments.values)
        outputs: list[Any] = []
        constructed = operation == "call" and isinstance(arguments.values[0], type)
        encoder = codec.Encoder(self.special, dict(arguments.known), outputs)
        keep = keep and not isinstance(result, (bool, int, float, str, type(None)))
        if keep or (
            constructed and not isinstance(result, (tuple, BaseException)) and not _is_data(result)
        ):
            answer = self._reference(result)
        else:
            answer = encoder.encode(result)
        tensors = [encoder.tensor(output) for output in outputs]
        if outputs:
            self._graphs[request] = (
                outputs,
                [*arguments.leaves, *(p for p in self._mirrored.values() if p.requires_grad)],
            )
            self._graphs.pop(request - MAX_GRAPHS, None)
        changes = arguments.changes(encoder)
        parameters = mirrors.changes(self._mirrored, self._pictures, encoder.buffers)
        return codec.pack([request, "ok", answer, tensors, changes, parameters], encoder.buffers)

    # -- operations -------------------------------------------------------------------------------------------

    def _op_get(self, target: Any, name: str) -> Any:
        return getattr(target, name)

    def _op_set(self, target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)

    # Tuples, not a list and a dict: what is mutable is looked at before and after, in case the student's code changes it.

    def _op_call(
        self, target: Any, args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]
    ) -> Any:
        return target(*args, **dict(kwargs))

    def _op_method(self, target: Any, name: str, args: tuple[Any, ...]) -> Any:
        return getattr(target, name)(*args)

    def _op_item(self, target: Any, key: Any) -> Any:
        return target[key]

    def _op_setitem(self, target: Any, key: Any, value: Any) -> None:
        target[key] = value

    def _op_len(self, target: Any) -> int:
        return len(target)

    def _op_iter(self, target: Any) -> list[Any]:
        """[iterator, what "next" would answer]: whoever asks for an iterator asks for its first item next."""
        iterator = _Iterator(iter(target))
        return [iterator, self._op_next(iterator)]

    def _op_next(self, target: Any) -> list[Any]:
        """[item], or [] at the end."""
        return [item for item in [next(target.iterator, _END)] if item is not _END]

    def _op_value(self, target: Any) -> Any:
        return target

    def _op_identify(self, target: Any) -> Any:
        """The handle to what the grader knows by its name only."""
        return target

    def _op_make(
        self, path: str, args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]
    ) -> Any:
        """A library's object or function by its dotted path, called."""
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)(*args, **dict(kwargs))

    def _op_compiled(self) -> dict[str, bytes]:
        """The files' code objects, marshalled: opaque to the grader, which only hands them to the next worker."""
        return self._importer.compiled()

    def _op_left_out(self) -> list[str]:
        """What of a notebook was left out, for its student to read."""
        return self._importer.left_out()

    def _op_seed(self, number: int) -> None:
        generators.seed(number)

    def _op_rng_state(self) -> str:
        return hashlib.sha256(b"".join(generators.states())).hexdigest()

    def _op_backward(self, call: int, grads: list[Any]) -> list[Any]:
        """Gradients of one call's tensor inputs, given the gradients of its outputs (None where there is none)."""
        torch = codec.torch_module()
        outputs, leaves = self._graphs[call]
        before = [
            leaf.grad for leaf in leaves
        ]  # the grader accumulates; parameters that it does not mirror accumulate here
        for leaf in leaves:
            leaf.grad = None
        used = [
            (output, grad) for output, grad in zip(outputs, grads, strict=True) if grad is not None
        ]
        torch.autograd.backward([o for o, _ in used], [g for _, g in used], retain_graph=True)
        after = [leaf.grad for leaf in leaves]
        for leaf, grad in zip(leaves, before, strict=True):
            leaf.grad = grad
        return after

    def _op_parameters(self, module: Any) -> list[Any]:
        """[name, value, gradient] of a network's parameters, which are mirrored from now on."""
        number, found = self._numbers[id(module)], []
        for name, parameter in module.named_parameters():
            self._mirrored[number, name] = parameter
            self._pictures[number, name] = mirrors.Picture(parameter)
            found.append(
                [name, parameter.detach().requires_grad_(parameter.requires_grad), parameter.grad]
            )
        return found

    def _op_unmirror(self, module: Any) -> None:
        number = self._numbers[id(module)]
        for key in [key for key in self._mirrored if key[0] == number]:
            del self._mirrored[key], self._pictures[key]

    # -- references -------------------------------------------------------------------------------------------

    def special(self, value: Any, encoder: codec.Encoder) -> list[Any] | None:
        """What stays here and what was lent: everything that is no plain data."""
        if isinstance(value, Lent):
            return ["k", value._loan.id]
        return None if _is_data(value) else self._reference(value)

    def _reference(self, value: Any) -> list[Any]:
        number = self._numbers.get(id(value))
        if number is None:
            number, self._next = self._next, self._next + 1
            self._objects[number], self._numbers[id(value)] = value, number
        torch = codec.torch_module()
        is_module = torch is not None and isinstance(value, torch.nn.Module)
        return ["h", number, type(value).__name__[:100], callable(value), is_module]

    def resolve(self, tag: str, fields: list[Any], decoder: codec.Decoder) -> Any:
        """The object behind a tag of the grader: one of ours, or one that is lent."""
        if tag == "h":
            return self._objects[fields[0]]
        if tag == "hn":
            return getattr(self._objects[fields[0]], fields[1])
        if tag == "m":
            return mirrors.build(decoder.inner(fields[0]))
        if tag == "k":
            number, methods, names, values = fields
            data = {
                name: self.decode_plain(value) for name, value in zip(names, values, strict=True)
            }
            return lend(codec.Loan(number, tuple(methods), data), self)
        raise codec.WireError(f"unknown tag {tag!r}")

    def decode_plain(self, node: Any) -> Any:
        """A node without buffers (attributes of lent objects)."""
        return codec.Decoder([], self.resolve).decode(node)

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


_END = object()
_reserve = bytearray(
    4 << 20
)  # the heap grows by huge pages of 2 MiB: less may not be enough for one more object


class _Iterator:
    """Wraps an iterator, so that stepping through a generator is a handle like any other object."""

    def __init__(self, iterator: Any) -> None:
        self.iterator = iterator


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *exc: object) -> None: ...


_DATA = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    list,
    tuple,
    dict,
    set,
    frozenset,
    range,
    slice,
    type(None),
)


def _is_data(value: Any) -> bool:
    """True for what crosses by value; a dataclass does unless it has methods of its own."""
    if isinstance(
        value,
        (
            *_DATA,
            np.ndarray,
            np.generic,
            np.dtype,
            np.random.Generator,
            codec.Record,
            type(Ellipsis),
        ),
    ):
        return True
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        return False
    return not any(
        inspect.isfunction(member)
        for name, member in vars(type(value)).items()
        if not name.startswith("__")
    )


def load(
    files: Mapping[str, bytes], main: str, compiled: Mapping[str, bytes] | None = None
) -> Worker:
    """Import ``files[main]`` as a module; the other files can be imported by it. Every request answers with what that raised.

    ``compiled`` holds what an earlier worker of the same submission answered to "compiled": parsing again costs more than forking.
    """
    importer = Importer(files, compiled or {})
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
