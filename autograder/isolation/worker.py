"""The student's side of the wall: runs what the grader asks for on the student's module and answers with data.

`Worker` is the same in a sandboxed process (`serve`) and in-process (the client's loopback), so a test behaves alike in
both. It trusts the grader and need not trust itself: whatever student code does to it changes only answers that student
code may choose anyway.
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import linecache
import marshal
import os
import random
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autograder.isolation import modules, wire

MAX_TEXT = 2000  # characters of an exception's message that travel
MAX_FRAMES = 12
MAX_GRAPHS = 1000  # calls back to which backward() may reach
BUILTIN_ERRORS = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)
)

Callback = Callable[[bytes], bytes]  # sends a request to the grader's side and returns its answer


class Worker:
    """Holds the student's objects by number (0 is the module) and answers one message at a time."""

    def __init__(
        self, module: types.ModuleType, source_files: tuple[str, ...], compiled: dict[str, bytes]
    ) -> None:
        self.module = module
        self._objects: dict[int, Any] = {0: module}
        self._numbers: dict[int, int] = {id(module): 0}
        self._next = 1
        self._source_files = source_files
        self._compiled = compiled
        self._graphs: dict[
            int, tuple[list[Any], list[Any]]
        ] = {}  # call -> outputs, leaves: kept for backward
        self._mirrored: dict[
            tuple[int, str], Any
        ] = {}  # (module, name) -> the parameter that the grader mirrors
        self._pictures: dict[tuple[int, str], modules.Picture] = {}
        self._callback: Callback | None = None
        self.failure: tuple[str, list[str], str, list[list[Any]]] | None = (
            None  # what importing the file raised
        )

    # -- messages ---------------------------------------------------------------------------------------------

    def handle(self, message: bytes, callback: Callback) -> bytes:
        """Answer one request: [id, operation, arguments, keep the result here?, grad enabled?, changed parameters]."""
        (request, operation, node, keep, grad, parameters), buffers = wire.unpack(message)
        modules.apply(parameters, self._mirrored, self._pictures, wire.Decoder(buffers))
        self._callback = callback
        if self.failure:
            return wire.pack([request, "raise", *self.failure], [])
        try:
            return self._answer(request, operation, node, buffers, keep, grad)
        except MemoryError as error:
            _reserve.clear()  # so that there is room to say so
            return wire.pack(
                [request, "raise", "MemoryError", ["MemoryError"], "out of memory", self._frames(error)], []
            )
        except BaseException as error:  # even SystemExit is only the student's answer here
            return wire.pack([request, "raise", *self._describe(error)], [])

    def _answer(
        self, request: int, operation: str, node: Any, buffers: list[memoryview], keep: bool, grad: bool
    ) -> bytes:
        arguments = _Arguments(self, node, buffers)
        torch = wire.torch_module()
        with torch.set_grad_enabled(grad) if torch else _nothing():
            result = getattr(self, f"_op_{operation}")(*arguments.values)
        outputs: list[Any] = []
        constructed = operation == "call" and isinstance(arguments.values[0], type)
        encoder = wire.Encoder(self._special, dict(arguments.known), outputs)
        keep = keep and not isinstance(result, (bool, int, float, str, type(None)))
        if keep or (constructed and not isinstance(result, (tuple, BaseException)) and not _is_data(result)):
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
        parameters = modules.changes(self._mirrored, self._pictures, encoder.buffers)
        return wire.pack([request, "ok", answer, tensors, changes, parameters], encoder.buffers)

    # -- operations -------------------------------------------------------------------------------------------

    def _op_get(self, target: Any, name: str) -> Any:
        return getattr(target, name)

    def _op_set(self, target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)

    def _op_call(self, target: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return target(*args, **kwargs)

    def _op_method(self, target: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return getattr(target, name)(*args, **kwargs)

    def _op_item(self, target: Any, key: Any) -> Any:
        return target[key]

    def _op_setitem(self, target: Any, key: Any, value: Any) -> None:
        target[key] = value

    def _op_len(self, target: Any) -> int:
        return len(target)

    def _op_iter(self, target: Any) -> Any:
        return _Iterator(iter(target))

    def _op_next(self, target: Any) -> list[Any]:
        """[item], or [] at the end."""
        return [item for item in [next(target.iterator, _END)] if item is not _END]

    def _op_value(self, target: Any) -> Any:
        return target

    def _op_make(self, path: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """A library's object or function by its dotted path, called."""
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    def _op_compiled(self) -> dict[str, bytes]:
        """The files' code objects, marshalled: opaque to the grader, which only hands them to the next worker."""
        return self._compiled

    def _op_seed(self, seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        if torch := wire.torch_module():
            torch.manual_seed(seed)

    def _op_rng_state(self) -> str:
        digest = hashlib.sha256(repr(random.getstate()).encode())
        digest.update(repr(np.random.get_state()).encode())
        if torch := wire.torch_module():
            digest.update(torch.get_rng_state().numpy().tobytes())
        return digest.hexdigest()

    def _op_backward(self, call: int, grads: list[Any]) -> list[Any]:
        """Gradients of one call's tensor inputs, given the gradients of its outputs (None where there is none)."""
        torch = wire.torch_module()
        outputs, leaves = self._graphs[call]
        before = [
            leaf.grad for leaf in leaves
        ]  # the grader accumulates; parameters that it does not mirror accumulate here
        for leaf in leaves:
            leaf.grad = None
        used = [(output, grad) for output, grad in zip(outputs, grads, strict=True) if grad is not None]
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
            self._pictures[number, name] = modules.Picture(parameter)
            found.append([name, parameter.detach().requires_grad_(parameter.requires_grad), parameter.grad])
        return found

    def _op_unmirror(self, module: Any) -> None:
        number = self._numbers[id(module)]
        for key in [key for key in self._mirrored if key[0] == number]:
            del self._mirrored[key], self._pictures[key]

    # -- references -------------------------------------------------------------------------------------------

    def _special(self, value: Any, encoder: wire.Encoder) -> list[Any] | None:
        """What stays here and what was lent: everything that is no plain data."""
        if isinstance(value, Lent):
            return ["k", value._loan.id]
        return None if _is_data(value) else self._reference(value)

    def _reference(self, value: Any) -> list[Any]:
        number = self._numbers.get(id(value))
        if number is None:
            number, self._next = self._next, self._next + 1
            self._objects[number], self._numbers[id(value)] = value, number
        torch = wire.torch_module()
        is_module = torch is not None and isinstance(value, torch.nn.Module)
        return ["h", number, type(value).__name__[:100], callable(value), is_module]

    def resolve(self, tag: str, fields: list[Any], decoder: wire.Decoder) -> Any:
        """The object behind a tag of the grader: one of ours, or one that is lent."""
        if tag == "h":
            return self._objects[fields[0]]
        if tag == "m":
            return modules.build(decoder.inner(fields[0]))
        if tag == "k":
            number, methods, names, values = fields
            data = {name: self.decode_plain(value) for name, value in zip(names, values, strict=True)}
            lent = Lent(wire.Loan(number, tuple(methods), data), self)
            return lent._function() if methods == ["__call__"] and not data else lent
        raise wire.WireError(f"unknown tag {tag!r}")

    def decode_plain(self, node: Any) -> Any:
        """A node without buffers (attributes of lent objects)."""
        return wire.Decoder([], self.resolve).decode(node)

    def student_class(self, name: str, fields: list[str]) -> type | None:
        """The student's own named tuple or dataclass of this name, if its fields are these."""
        found = getattr(self.module, name, None)
        if not isinstance(found, type):
            return None
        if dataclasses.is_dataclass(found):
            return found if [field.name for field in dataclasses.fields(found)] == fields else None
        return found if list(getattr(found, "_fields", ())) == fields else None

    def call_back(self, loan: int, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method of an object that the grader lent."""
        assert self._callback is not None
        encoder = wire.Encoder(self._special)
        node = encoder.encode([loan, method, list(args), kwargs])
        (verdict, answer), buffers = wire.unpack(self._callback(wire.pack(node, encoder.buffers)))
        if verdict == "raise":
            raise getattr(builtins, answer[0], RuntimeError)(answer[1])
        return wire.Decoder(buffers, self.resolve, classes=self.student_class).decode(answer)

    # -- errors -----------------------------------------------------------------------------------------------

    def _describe(self, error: BaseException) -> tuple[str, list[str], str, list[list[Any]]]:
        """Class name, the builtin classes it derives from, text, and the student's own lines."""
        kind = type(error)
        bases = [
            cls.__name__
            for cls in kind.__mro__
            if cls.__name__ in BUILTIN_ERRORS and cls.__module__ == "builtins"
        ]
        try:
            text = str(error)[:MAX_TEXT]
        except BaseException:
            text = "(its message could not be read)"
        return _printable(kind.__name__)[:100], bases, _printable(text), self._frames(error)

    def _frames(self, error: BaseException) -> list[list[Any]]:
        if isinstance(error, SyntaxError) and error.filename in self._source_files:
            text = _printable(error.text or "").strip()[:200]
            return [[os.path.basename(error.filename), error.lineno or 0, "the file", text]]
        frames, trace = [], error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            if code.co_filename in self._source_files:
                line = linecache.getline(code.co_filename, trace.tb_lineno).strip()[:200]
                file, name = os.path.basename(code.co_filename), _printable(code.co_name)[:100]
                frames.append([file, trace.tb_lineno, name, _printable(line)])
            trace = trace.tb_next
        return frames[:2] + frames[-(MAX_FRAMES - 2) :] if len(frames) > MAX_FRAMES else frames


class _Arguments:
    """The decoded arguments of one call, and what the call changed in them."""

    def __init__(self, worker: Worker, node: Any, buffers: list[memoryview]) -> None:
        self._mutable: list[Any] = []
        decoder = wire.Decoder(
            buffers,
            worker.resolve,
            self._mutable.__getitem__,
            register=self._mutable.append,
            classes=worker.student_class,
        )
        self.values: list[Any] = decoder.decode(node)
        self.leaves = (
            decoder.leaves
        )  # tensors that the grader wants gradients for, in the order in which it sent them
        self.known = {id(value): index for index, value in enumerate(self._mutable)}
        self._worker = worker
        self._before = [self._picture(value) for value in self._mutable]

    def changes(self, encoder: wire.Encoder) -> list[Any]:
        """[index, node] for every mutable argument that is not what it was."""
        changed = [
            index for index, value in enumerate(self._mutable) if self._picture(value) != self._before[index]
        ]
        return [[index, self._node(self._mutable[index], encoder)] for index in changed]

    def _node(self, value: Any, encoder: wire.Encoder) -> Any:
        torch = wire.torch_module()
        return (
            encoder.tensor(value.detach())
            if torch and isinstance(value, torch.Tensor)
            else encoder.encode_mutable(value)
        )

    def _picture(self, value: Any) -> Any:
        encoder = wire.Encoder(self._worker._special, dict(self.known))
        try:
            return encoder.encode_mutable(value), encoder.buffers
        except (
            Exception
        ):  # what the student put in may not be data: it counts as changed, and says why when it is sent
            return object()


class Lent:
    """The stand-in for an object of the test: its data, and methods that run in the grader."""

    def __init__(self, loan: wire.Loan, worker: Worker) -> None:
        self._loan = loan
        self._worker = worker
        vars(self).update(loan.data)
        for method in loan.methods:
            if method != "__call__":
                setattr(self, method, self._method(method))

    def _method(self, name: str) -> Callable[..., Any]:
        def method(*args: Any, **kwargs: Any) -> Any:
            return self._worker.call_back(self._loan.id, name, args, kwargs)

        method.__name__ = name
        return method

    def _function(self) -> Callable[..., Any]:
        function = self._method("__call__")
        function._loan = self._loan  # type: ignore[attr-defined]
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._worker.call_back(self._loan.id, "__call__", args, kwargs)


def _printable(text: str) -> str:
    """A lone surrogate cannot be sent as UTF-8."""
    return str.__str__(text).encode("utf-8", "backslashreplace").decode()


_END = object()
_reserve = bytearray(1 << 20)


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
        value, (*_DATA, np.ndarray, np.generic, np.dtype, np.random.Generator, wire.Record, type(Ellipsis))
    ):
        return True
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        return False
    return not any(
        inspect.isfunction(member) for name, member in vars(type(value)).items() if not name.startswith("__")
    )


def load(files: Mapping[str, bytes], main: str, compiled: Mapping[str, bytes] | None = None) -> Worker:
    """Import ``files[main]`` as a module; the other files can be imported by it. Every request answers with what that raised.

    ``compiled`` holds what an earlier worker of the same submission answered to "compiled": parsing again costs more than forking.
    """
    importer = _Importer(files, compiled or {})
    sys.meta_path[:] = [importer, *(finder for finder in sys.meta_path if not isinstance(finder, _Importer))]
    name = main.removesuffix(".py")
    worker = Worker(types.ModuleType(name), tuple(files), importer.compiled)
    sys.modules[name] = worker.module
    try:
        importer.run(worker.module, main)
    except BaseException as error:
        worker.failure = worker._describe(error)
    return worker


@functools.lru_cache(maxsize=512)  # in the grader the same broken variants are loaded again for each test
def _compiled(text: str, file: str) -> types.CodeType:
    return compile(text, file, "exec")


class _Importer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports from the submitted files, which are held in memory: a worker needs no folder and can leave none."""

    def __init__(self, files: Mapping[str, bytes], compiled: Mapping[str, bytes]) -> None:
        self._files = files
        self.compiled = dict(compiled)

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        stem = name.replace(".", "/")
        if f"{stem}/__init__.py" in self._files:
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return importlib.util.spec_from_loader(name, self) if f"{stem}.py" in self._files else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        stem = module.__name__.replace(".", "/")
        self.run(module, f"{stem}.py" if f"{stem}.py" in self._files else f"{stem}/__init__.py")

    def run(self, module: types.ModuleType, file: str) -> None:
        text = importlib.util.decode_source(self._files[file])
        linecache.cache[file] = (len(text), None, text.split("\n"), file)
        if file in self.compiled:
            code = marshal.loads(self.compiled[file])
        else:
            code = _compiled(text, file)
            self.compiled[file] = marshal.dumps(code)
        exec(code, vars(module))
