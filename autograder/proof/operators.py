"""What one small change makes of a statement: the operators behind the mutants.

Each operator stands for a slip that people make: a comparison that is off by its end, a sign, an
exchanged argument, a forgotten ``detach``. Strings, annotations and the texts of exceptions stay as
they are.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

# Integers up to this are shifted by one; larger ones are doubled.
SMALL = 100
# Floats below this keep a division from failing. Nobody can see them doubled or subtracted.
TINY = 1e-6
Node = TypeVar("Node", bound=ast.AST)


def _both_ways(pairs: dict[type, type]) -> dict[type, type]:
    return pairs | {new: old for old, new in pairs.items()}


_COMPARISONS = _both_ways(
    {ast.Lt: ast.LtE, ast.Gt: ast.GtE, ast.Eq: ast.NotEq, ast.Is: ast.IsNot, ast.In: ast.NotIn}
)
_ARITHMETIC = _both_ways({ast.Add: ast.Sub, ast.Mult: ast.Div, ast.BitAnd: ast.BitOr}) | {
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
_JUMPS = {ast.Break: "continue", ast.Continue: "break"}
_TWINS = (
    "max min, amax amin, argmax argmin, maximum minimum, nanmax nanmin, cummax cummin, any all, "
    "floor ceil, sum mean, zeros ones, zeros_like ones_like"
)
_EXCHANGED = dict(pair.split() for pair in _TWINS.split(", "))
_EXCHANGED |= {new: old for old, new in _EXCHANGED.items()}
_BUILTIN = ("max", "min", "any", "all")
# Methods without arguments, and functions of one argument, that can be forgotten.
_METHODS = ("detach", "clone", "copy", "abs")
_WRAPPERS = ("copy", "deepcopy", "reversed", "abs")
_KEYWORDS = ("dim", "axis", "keepdim", "keepdims", "correction", "ddof", "generator", "reduction")
_NO_GRADIENT = ("no_grad", "inference_mode")
_SYMMETRIC = (
    "max min maximum minimum logaddexp allclose isclose equal array_equal mse_loss l1_loss "
    "smooth_l1_loss huber_loss"
).split()
# Keywords that change no result: they guard, or choose between equal ways.
_NO_MATTER = ("strict", "fused", "foreach")
_COUNTING = ("range", "arange")
_COMPOUND = (ast.If, ast.While, ast.For, ast.With, ast.FunctionDef)
_WITHOUT_HEAD = (ast.ClassDef, ast.Try, ast.Match, ast.Import, ast.ImportFrom)
_LEFT_ALONE = ("annotation", "returns", "decorator_list", "msg", "type_params")


def line(statement: ast.stmt) -> str:
    """A statement on one line, as ``ast`` writes it; of a compound one its head, colon included."""
    return ast.unparse(_head(statement)).split("\n")[0]


def changed(statement: ast.stmt) -> Iterator[str]:
    """What each operator makes of a statement, or of a compound statement's head, one line each."""
    if isinstance(statement, _WITHOUT_HEAD) or _is_docstring(statement):
        return
    yield from _as_a_whole(statement)
    head = _head(statement)
    if isinstance(statement, ast.Raise):
        return
    for parent, name, number, node in _places(head):
        for other in _others(node):
            _put(parent, name, number, other)
            yield line(head)
        _put(parent, name, number, node)


# -- statements -----------------------------------------------------------------------------------


def _as_a_whole(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.Expr, ast.AugAssign, ast.Raise, ast.Break, ast.Continue)):
        yield "pass"
    if isinstance(statement, ast.AugAssign):
        yield line(ast.Assign([statement.target], statement.value, lineno=0))
        if type(statement.op) in _ARITHMETIC:
            yield line(_with(statement, op=_ARITHMETIC[type(statement.op)]()))
    if isinstance(statement, ast.Assign) and not isinstance(
        statement.targets[0], (ast.Name, ast.Tuple)
    ):
        yield "pass"
    if type(statement) in _JUMPS:
        yield _JUMPS[type(statement)]
    if isinstance(statement, (ast.If, ast.While)):
        yield from (line(_with(statement, test=test)) for test in _negated(statement.test))
    if isinstance(statement, ast.With) and any(
        isinstance(item.context_expr, ast.Call) and _name(item.context_expr.func) in _NO_GRADIENT
        for item in statement.items
    ):
        yield "if True:"


def _head(statement: ast.stmt) -> ast.stmt:
    """A copy without the statements inside it and without decorators."""
    if not isinstance(statement, _COMPOUND):
        return copy.copy(statement)
    empty: dict[str, Any] = {"body": [ast.Pass()]}
    if isinstance(statement, (ast.If, ast.While, ast.For)):
        empty["orelse"] = []
    if isinstance(statement, ast.FunctionDef):
        empty["decorator_list"] = []
    return _with(statement, **empty)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


# -- expressions ----------------------------------------------------------------------------------


def _others(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    match node:
        case ast.Constant():
            yield from (ast.Constant(value) for value in _near(node.value))
        case ast.BinOp():
            if type(node.op) in _ARITHMETIC and not _is_tiny(node.right):
                yield _with(node, op=_ARITHMETIC[type(node.op)]())
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub()):
            yield node.operand
        case ast.Compare():
            for number, operator in enumerate(node.ops):
                if other := _COMPARISONS.get(type(operator)):
                    yield _with(node, ops=_replaced(node.ops, number, other()))
        case ast.IfExp():
            yield from (_with(node, test=test) for test in _negated(node.test))
        case ast.comprehension():
            for number, test in enumerate(node.ifs):
                for instead in [ast.Constant(True), *_negated(test)]:
                    yield _with(node, ifs=_replaced(node.ifs, number, instead))
        case ast.Slice():
            yield from _shifted_slices(node)
        case ast.Call():
            yield from _calls(node)


def _near(value: object) -> Sequence[bool | float]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1] if abs(value) <= SMALL else [2 * value]
    if isinstance(value, float):
        if 0 < abs(value) < TINY:
            return [0.0, 1e4 * value]
        return [2 * value, -value] if value else [1.0]
    return []


def _negated(test: ast.expr) -> Iterator[ast.expr]:
    """The opposite, unless it comes of another operator."""
    operators = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
    match test:
        case ast.Compare(ops=[operator]) if isinstance(operator, operators):
            return
        case ast.UnaryOp(op=ast.Not()):
            return
        case _:
            yield ast.UnaryOp(ast.Not(), test)


def _shifted_slices(node: ast.Slice) -> Iterator[ast.Slice]:
    """A slice with bounds that begins or ends one element earlier or later."""
    if node.lower is None and node.upper is None:
        return
    if node.lower is None:
        yield _with(node, lower=ast.Constant(1))
    if node.upper is None:
        yield _with(node, upper=ast.UnaryOp(ast.USub(), ast.Constant(1)))
    for bound in ("lower", "upper"):
        value = getattr(node, bound)
        yield from (_with(node, **{bound: other}) for other in _shifted(value))


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    name, args = _name(node.func), node.args
    if name in _EXCHANGED and (isinstance(node.func, ast.Attribute) or name in _BUILTIN):
        field = "attr" if isinstance(node.func, ast.Attribute) else "id"
        yield _with(node, func=_with(node.func, **{field: _EXCHANGED[name]}))
    if isinstance(node.func, ast.Attribute) and name in _METHODS and not args:
        yield node.func.value
    if name in _WRAPPERS and len(args) == 1:
        yield args[0]
    for number, keyword in enumerate(node.keywords):
        if keyword.arg in _KEYWORDS:
            yield _with(node, keywords=node.keywords[:number] + node.keywords[number + 1 :])
    if name in _COUNTING:
        for number, arg in enumerate(args[:2]):
            for other in _shifted(arg):
                yield _with(node, args=_replaced(args, number, other))
        if len(args) == 1:
            yield _with(node, args=[ast.Constant(1), *args])
    if name not in _SYMMETRIC:
        for number in range(len(args) - 1):
            first, second = args[number : number + 2]
            if not (_is_text(first) or _is_text(second)):
                yield _with(node, args=[*args[:number], second, first, *args[number + 2 :]])


def _is_tiny(node: ast.expr) -> bool:
    value = getattr(node, "value", None)
    return isinstance(value, float) and 0 < abs(value) < TINY


def _shifted(value: ast.expr | None) -> Iterator[ast.expr]:
    """One more and one less, unless the operator for constants sees to it."""
    parts = [value, getattr(value, "operand", None), getattr(value, "right", None)]
    if value is None or any(isinstance(part, ast.Constant) for part in parts):
        return
    for operator in (ast.Add(), ast.Sub()):
        yield ast.BinOp(value, operator, ast.Constant(1))


def _is_text(node: ast.expr) -> bool:
    """Such an argument is a message or a name, and nobody takes it for another one."""
    text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return text or isinstance(node, (ast.JoinedStr, ast.Starred))


# -- small things ---------------------------------------------------------------------------------


def _places(parent: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Each node below, with where it is: its parent, the field, and the number in a list."""
    for name, value in ast.iter_fields(parent):
        if name in _LEFT_ALONE:
            continue
        for number, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.AST) and not _stays(node):
                yield parent, name, number, node
                yield from _places(node)


def _stays(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or getattr(node, "arg", None) in _NO_MATTER


def _put(parent: ast.AST, name: str, number: int | None, node: ast.AST) -> None:
    if number is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[number] = node


def _with(node: Node, **fields: Any) -> Node:
    """A copy with other fields; what is below it is shared."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def _replaced(items: list[Any], number: int, new: ast.AST) -> list[Any]:
    return [*items[:number], new, *items[number + 1 :]]


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))
