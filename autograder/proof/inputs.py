"""Digests of what a proof depends on; says in words what has changed since it was written."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from autograder.authoring.course import Assignment

PACKAGE = Path(__file__).resolve().parents[1]
# What can change a verdict. Reports, exports and commands cannot.
ENGINE = (
    "errors.py",
    "model.py",
    "authoring/course.py",
    "authoring/given.py",
    "authoring/leaks.py",
    "authoring/lines.py",
    "authoring/right.py",
    "authoring/source.py",
    "isolation",
    "judging",
    "marking/engines/local.py",
    "marking/grader.py",
    "marking/messages.py",
    "marking/start_up.py",
    "proof",
)
PROOF = "proof.json"
# Files in grading/NAME that a proof does not depend on.
ASIDE = (PROOF, "CHANGES.md", "diary.md")
ENGINE_WORDS = {"code": "the autograder", "lock": "the locked requirements", "python": "Python"}


def inputs(assignment: Assignment) -> dict[str, str]:
    """The digest of each file that the proof depends on, by its path in the course."""
    root = assignment.root
    return {
        path.relative_to(root).as_posix(): _digest(path.read_bytes()) for path in _files(assignment)
    }


def engine(root: Path) -> dict[str, str]:
    """Digests of what all proofs depend on: our own code, the locked requirements, Python."""
    lock = root / "requirements" / "lock.txt"
    return {
        "code": _digest(_code().encode()),
        "lock": _digest(lock.read_bytes()) if lock.is_file() else "none",
        "python": "{}.{}".format(*sys.version_info),
    }


def changed_inputs(assignment: Assignment, proof: Mapping[str, Mapping[str, str]]) -> list[str]:
    """In words, the inputs that have changed since the proof: "hidden tests", "solution"."""
    before, now = proof["inputs"], inputs(assignment)
    paths = [path for path in sorted({*before, *now}) if before.get(path) != now.get(path)]
    return sorted({word(path) for path in paths})


def changed_engine(root: Path, proof: Mapping[str, Mapping[str, str]]) -> list[str]:
    """In words, what of the engine has changed since the proof."""
    before, now = proof["engine"], engine(root)
    return [words for key, words in ENGINE_WORDS.items() if before.get(key) != now[key]]


def word(path: str) -> str:
    """What an input is for: "hidden tests" for grading/gae/test_hidden.py."""
    top, folder, *rest = path.split("/")
    if top == "solutions":
        return "solution"
    if top == "grading":
        named = {"right": "right answers", "bars.py": "bars"}
        named["equivalent.yml"] = "equivalent mutants"
        return named.get(rest[0], "hidden tests")
    if folder == "given":
        return "given modules"
    named = {"assignment.yml": "assignment.yml", "test_local.py": "public tests"}
    return named.get(rest[0], "files of the handout")


def code_digest(sources: Iterable[str | ast.AST]) -> str:
    """A digest of what code does: comments, docstrings and formatting do not count."""
    trees = (ast.parse(one) if isinstance(one, str) else one for one in sources)
    return _digest("\n".join(ast.dump(_without_docstrings(tree)) for tree in trees).encode())


def _files(assignment: Assignment) -> list[Path]:
    handout = ("assignment.yml", "test_local.py", *assignment.files)
    found = [assignment.handout / name for name in handout]
    found += given_modules(assignment)
    for folder in (assignment.solution.parent, assignment.hidden_tests.parent):
        found += [path for path in folder.rglob("*") if "__pycache__" not in path.parts]
    return sorted(path for path in found if path.is_file() and path.name not in ASIDE)


def given_modules(assignment: Assignment) -> list[Path]:
    """The modules that the course gives to this assignment's students."""
    folder = assignment.root / "assignments" / "given"
    names = (str(name).removesuffix(".py") for name in getattr(assignment, "given", ()))
    return [folder / f"{name}.py" for name in names]


def _code() -> str:
    """All our code that is relevant for proofs, as text without comments and docstrings."""
    texts = []
    for name in ENGINE:
        path = PACKAGE / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest = code_digest([file.read_text(encoding="utf-8")])
            texts.append(f"{file.relative_to(PACKAGE).as_posix()} {digest}")
    return "\n".join(texts)


def _without_docstrings(tree: ast.AST) -> ast.AST:
    scopes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, scopes) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
