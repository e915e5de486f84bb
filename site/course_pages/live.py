"""Live formulas: what each term means, its number in the explorer, who asks for it and pins it.

explorers/NAME/formula.tex holds formulas with an empty line between them, in which
\\htmlData{term=x}{...} marks the terms, and explorers/NAME/terms.json says what these are. A
formula that the page has already, without marks, becomes live where it stands; another one is put
behind the explorer. Without scripts, a list says the same, except for the numbers.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from course_pages import katex

EXPLORERS = katex.SITE / "explorers"
STARTER = katex.SITE.parent / "starter"
MARK = re.compile(r"\\htmlData\{term=(\w+)\}")


class TermError(Exception):
    """A term that is not explained, or names what does not exist."""


@dataclass(frozen=True)
class Term:
    """One term. ``file`` and ``line``: where the starter asks for the function ``where``."""

    label: str
    says: str
    where: str
    test: str
    file: str
    line: int


def with_live_formulas(body: str, explorer: str) -> str:
    """A page's body with an explorer's formulas. Raises TermError."""
    for marked in formulas(explorer):
        block = _block(marked, explorer)
        there = f'<div class="formula">{katex.html(plain(marked), True)}</div>'
        if there in body:
            body = body.replace(there, block, 1)
        else:
            body = body.replace(f"</rl-{explorer}>", f"</rl-{explorer}>{block}", 1)
    return body


def formulas(explorer: str) -> list[str]:
    """The marked formulas of an explorer; none without a file."""
    path = EXPLORERS / explorer / "formula.tex"
    if not path.is_file():
        return []
    return [one.strip() for one in path.read_text(encoding="utf-8").split("\n\n")]


def plain(marked: str) -> str:
    """A formula without its marks: \\htmlData{term=r}{r_t} is r_t."""
    while found := MARK.search(marked):
        inner = marked[found.end() + 1 : (end := _closing(marked, found.end()))]
        marked = f"{marked[: found.start()]}{inner}{marked[end + 1 :]}"
    return marked


def _closing(tex: str, start: int) -> int:
    """Where the brace that opens at ``start`` is closed."""
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", tex[start:]):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return start + brace.start()
    raise TermError(f"a brace is not closed: {tex}")


@cache
def terms(explorer: str) -> dict[str, Term]:
    """What an explorer's terms are. Raises TermError for a function or a test that is not there."""
    path = EXPLORERS / explorer / "terms.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: located(path, **said) for name, said in found.items()}


def located(path: Path, label: str, says: str, assignment: str, where: str, test: str) -> Term:
    """A term with its line in the starter. Raises TermError; ``path`` is named in it."""
    folder = STARTER / assignment
    file = f"{assignment}.py"
    text = (folder / file).read_text(encoding="utf-8")
    node: Any = ast.parse(text)
    for name in where.split("."):
        inner = (one for one in node.body if getattr(one, "name", None) == name)
        node = next(inner, None)
        if node is None:
            raise TermError(f"{path}: {file} has no {where}")
    lines = enumerate(text.splitlines(), 1)
    asked = (n for n, x in lines if node.lineno <= n <= node.end_lineno and "# TODO(" in x)
    line = next(asked, None)
    if line is None:
        raise TermError(f"{path}: in {file}, nothing of {where} is left to write")
    if f"def {test}(" not in (folder / "test_local.py").read_text(encoding="utf-8"):
        raise TermError(f"{path}: {assignment} has no public test {test}")
    return Term(label, says, where, test, file, line)


def _block(marked: str, explorer: str) -> str:
    """A formula, and below it what its terms are."""
    known = terms(explorer)
    names = list(dict.fromkeys(MARK.findall(marked)))
    if unknown := set(names) - set(known):
        raise TermError(f"terms.json of {explorer} does not explain {', '.join(sorted(unknown))}")
    rows = "".join(_row(name, known[name]) for name in names)
    return (
        f'<div class="live" data-script="formula" data-of="{explorer}">'
        f'<div class="formula">{katex.html(marked, True)}</div>'
        f'<details class="terms"><summary>Term by term</summary><dl>{rows}</dl></details></div>'
    )


def _row(name: str, term: Term) -> str:
    where = (
        f"{term.file}, line {term.line}: <code>{term.where}</code>. Pinned by"
        f" <code>{term.test}</code>."
    )
    return (
        f'<div data-row="{name}"><dt>{escape(term.label)}</dt><dd>{escape(term.says)}'
        f' <span class="rl-where">{where}</span></dd></div>'
    )
