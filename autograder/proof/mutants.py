"""Mutants of a solution: one small change each, in what students write.

A mutant is made by replacing one logical line of the solution file, as a known bug is. It is known
by its function and by the statement before and after, so that moving code does not change its name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from autograder.authoring import lines
from autograder.authoring.markers import Markers
from autograder.authoring.source import Source
from autograder.proof import operators


@dataclass(frozen=True)
class Mutant:
    """``name``: "function: `old` -> `new`". ``text``: the whole file. ``line``: in that file.

    ``function``: the qualified name of what differs, None outside functions.
    """

    name: str
    function: str | None
    line: int
    text: str


@dataclass(frozen=True)
class _Place:
    """A statement, the qualified name of the function it is in, and what is around that.

    ``top``: the statement of the module that holds it.
    """

    statement: ast.stmt
    scope: str
    inside: bool
    top: ast.stmt


def make(source: Source) -> list[Mutant]:
    """All mutants in file order; none does what the solution does or what another one does."""
    text = source.text
    rows, spans = text.split("\n"), lines.logical(text)
    marks = Markers(source.path, text)
    made: list[Mutant] = []
    counts: dict[str, int] = {}
    for top in marks.tree.body:
        seen = {_behaviour(_compiled(rows, top, top.lineno, top.lineno, None))}
        for place in _places([top], "", False, top):
            first = place.statement.lineno
            inside = any(block.begin < first < block.end for block in marks.blocks)
            if not inside or _shares_its_line(place.statement) or first not in spans:
                continue
            old = operators.line(place.statement)
            for new in operators.changed(place.statement):
                row = _row(rows[first - 1], new)
                behaviour = _behaviour(_compiled(rows, top, first, spans[first], row))
                if behaviour in seen:
                    continue
                seen.add(behaviour)
                name = f"{place.scope or 'module'}: `{old}` -> `{new}`"
                counts[name] = count = counts.get(name, 0) + 1
                name += f" ({count})" if count > 1 else ""
                other = "\n".join([*rows[: first - 1], row, *rows[spans[first] :]])
                function = place.scope if place.inside else None
                made.append(Mutant(name, function, first, other))
    return made


def _places(body: list[ast.stmt], scope: str, inside: bool, top: ast.stmt) -> Iterator[_Place]:
    """All statements, outer ones first."""
    for node in body:
        function = isinstance(node, ast.FunctionDef)
        here, within = scope, inside
        if not inside and isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            here, within = f"{scope}.{node.name}".lstrip("."), function
        yield _Place(node, here, within, top)
        for name in ("body", "orelse", "handlers", "finalbody", "cases"):
            for part in getattr(node, name, []):
                # An `except` and a `case` are no statements, but hold some.
                inner = [part] if isinstance(part, ast.stmt) else part.body
                yield from _places(inner, here, within, top)


def _shares_its_line(statement: ast.stmt) -> bool:
    body = getattr(statement, "body", None)
    return isinstance(body, list) and body[0].lineno == statement.lineno


def _row(before: str, statement: str) -> str:
    """The statement, indented like the line that it replaces."""
    code = before.lstrip()
    word = "el" if code.startswith("elif") and statement.startswith("if") else ""
    return before[: len(before) - len(code)] + word + statement


def _compiled(rows: list[str], top: ast.stmt, first: int, last: int, row: str | None) -> CodeType:
    """The code of a statement of the module in which a row stands for others (None: for itself)."""
    decorators = getattr(top, "decorator_list", [])
    begin = min([top.lineno, *(one.lineno for one in decorators)]) - 1
    new = rows[first - 1 : last] if row is None else [row]
    text = "\n".join([*rows[begin : first - 1], *new, *rows[last : top.end_lineno]])
    return compile(text, "mutant", "exec", dont_inherit=True)


def _behaviour(code: CodeType) -> tuple[Any, ...]:
    """What code does, without its lines. Equal constants of two types are two constants."""
    constants = [
        _behaviour(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts
    ]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return (code.co_code, names, tuple(constants), code.co_exceptiontable)
