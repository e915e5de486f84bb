"""Imports from the submitted files, which are held in memory.

What a submission does to its copies on disk changes nothing; there need not be any.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import marshal
import os
import sys
import types
from collections.abc import Mapping
from typing import Any

from autograder.isolation import cells

# The caches serve the grader, which loads the same broken variants again for each test, and a
# worker that serves several tests.


@functools.lru_cache(maxsize=512)
def _read(data: bytes) -> tuple[int, list[str]]:
    """Length and lines of a file, as linecache wants them."""
    text = importlib.util.decode_source(data)
    return len(text), [f"{line}\n" for line in text.removesuffix("\n").split("\n")]


@functools.lru_cache(maxsize=512)
def _compiled(data: bytes, file: str) -> types.CodeType:
    return compile(importlib.util.decode_source(data), file, "exec")


_unmarshalled = functools.lru_cache(maxsize=512)(marshal.loads)


class Importer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and runs the submitted files.

    ``known``: their code objects, marshalled; None if they are not collected.
    """

    def __init__(self, files: Mapping[str, bytes], known: dict[str, bytes] | None) -> None:
        self._files = files
        self._known = known
        self._ran: dict[str, types.CodeType] = {}
        self._notebooks: dict[str, types.ModuleType] = {}
        self._imported: list[str] = []

    def compiled(self) -> dict[str, bytes]:
        """The code objects of new files that were run, marshalled. From now on they are known."""
        if self._known is None:
            return {}
        new = {file: marshal.dumps(self._again(file, code)) for file, code in self._ran.items()}
        self._known.update(new)
        return new

    def left_out(self) -> list[str]:
        """What of notebooks was left out, a line each."""
        return [line for one in self._notebooks.values() for line in cells.left_out(vars(one))]

    def _again(self, file: str, code: types.CodeType) -> types.CodeType:
        """What the next worker runs: a notebook without the statements that took too long."""
        if file not in self._notebooks:
            return code
        text = importlib.util.decode_source(self._files[file])
        shorter = cells.without_the_slow(text, vars(self._notebooks[file]))
        return code if shorter == text else compile(shorter, file, "exec")

    def forget(self) -> None:
        """Have the files that were imported by others of them imported again."""
        for name in self._imported:
            sys.modules.pop(name, None)

    def find_spec(
        self, name: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        stem = name.replace(".", "/")
        if f"{stem}/__init__.py" in self._files:
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return importlib.util.spec_from_loader(name, self) if f"{stem}.py" in self._files else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        self._imported.append(module.__name__)
        stem = module.__name__.replace(".", "/")
        self.run(module, f"{stem}.py" if f"{stem}.py" in self._files else f"{stem}/__init__.py")

    def run(self, module: types.ModuleType, file: str) -> None:
        """Execute one of the files in this module."""
        data = self._files[file]
        size, lines = _read(data)
        linecache.cache[file] = (size, None, lines, file)
        module.__file__ = os.path.abspath(file)
        if f"{cells.HEADER}\n" in lines[:3]:
            self._notebooks[file] = module
        if self._known and file in self._known:
            code = _unmarshalled(self._known[file])
        else:
            self._ran[file] = code = _compiled(data, file)
        try:
            exec(code, vars(module))
        except cells.TooLong as error:
            error.abandon()
            self._ran[file] = code = self._again(file, code)
            vars(module).pop(cells.LEFT_OUT)
            exec(code, vars(module))
