"""Imports from the submitted files, which are held in memory: a worker needs no folder and can leave none."""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import marshal
import types
from collections.abc import Mapping
from typing import Any


@functools.lru_cache(maxsize=512)  # in the grader the same broken variants are loaded again for each test
def _compiled(text: str, file: str) -> types.CodeType:
    return compile(text, file, "exec")


class Importer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and runs the submitted files. ``compiled`` holds code objects of theirs, marshalled, and what is compiled joins them."""

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
        """Execute one of the files in this module."""
        text = importlib.util.decode_source(self._files[file])
        linecache.cache[file] = (len(text), None, text.split("\n"), file)
        if file in self.compiled:
            code = marshal.loads(self.compiled[file])
        else:
            code = _compiled(text, file)
            self.compiled[file] = marshal.dumps(code)
        exec(code, vars(module))
