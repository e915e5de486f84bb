"""Names that a stub would show although only the solution uses them.

They would tell students what to write.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection


def names(stub: str, solution: str, given: Collection[str]) -> list[str]:
    """Private names and from-imports that the stub has, and that only the solution uses, in order.

    Args:
        stub, solution: the two readings.
        given: modules whose contents are there to be used: importing from them tells nothing.
    """
    left, whole = ast.parse(stub), ast.parse(solution)
    return sorted((_private_or_imported(left, given) - _used(left)) & _used(whole))


def _private_or_imported(tree: ast.Module, given: Collection[str]) -> set[str]:
    """Names at top level that are not for users: private ones, and from-imports.

    From-imports of ``given`` modules are not among them.
    """
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module not in {*given, "__future__"}:
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        ) and node.name.startswith("_"):
            found.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            bound = (
                n
                for n in ast.walk(node)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            )
            found |= {name.id for name in bound if name.id.startswith("_")}
    return found


def _used(tree: ast.Module) -> set[str]:
    """Names that are read somewhere, quoted annotations included."""
    read = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    quoted = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return read | {word for text in quoted for word in re.findall(r"\w+", text) if len(text) < 80}
