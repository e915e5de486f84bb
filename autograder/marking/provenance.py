"""All that a score depends on in addition to the submission; says in words what has changed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autograder.authoring.course import Assignment, Course
from autograder.authoring.given import given_files
from autograder.isolation.wall.sandbox import Layers

WORDS = {
    "submission": "the submission",
    "seed": "the hidden inputs",
    "received": "the time of receipt",
    "extension": "the late days",
    "known_as": "the platform's names",
    "engine": "the autograder",
    "hidden_tests": "the hidden tests",
    "solution": "the solution",
    "proof": "the proof",
    "given": "the given modules",
    "requirements": "the locked requirements",
    "limits": "the limits",
    "late": "the due date or late rule",
    "python": "Python",
    "versions": "the libraries",
    "wall": "the wall",
    "leaks": "the wall",
    "secret": "the course's secret",
    "gpu_part": "the GPU part",
}

PACKAGE = Path(__file__).parents[1]
# What shows results and calls the rest: no outcome depends on it.
SHOWS = frozenset({"cli", "export", "reports"})
# What lateness and matching depend on: where nothing else has changed, no test runs again.
LATENESS = frozenset({"received", "extension", "late", "known_as"})


def fingerprint(assignment: Assignment) -> dict[str, Any]:
    """What must be the same on two machines for a submission to get the same outcomes on both."""
    engine = (path for path in sorted(PACKAGE.rglob("*.py")) if _matters(path))
    proof = assignment.hidden_tests.with_name("proof.json")
    locked = assignment.root / "requirements" / "lock.txt"
    return {
        "assignment": assignment.name,
        "engine": _digest(engine),
        "hidden_tests": _digest(
            path for path in (assignment.hidden_tests, assignment.scale_tests) if path.is_file()
        ),
        "solution": _digest([assignment.solution]),
        "proof": _digest([proof]) if proof.is_file() else None,
        "given": _content(given_files(assignment).items()),
        "requirements": _digest([locked]) if locked.is_file() else None,
        "limits": assignment.limits.model_dump(),
        "python": platform.python_version(),
        "versions": _versions(
            {"numpy", "torch", *(name.partition(".")[0] for name in assignment.libraries)}
        ),
    }


def _matters(path: Path) -> bool:
    return path.relative_to(PACKAGE).parts[0] not in SHOWS


def provenance(course: Course, assignment: Assignment, layers: Layers) -> dict[str, Any]:
    """The fingerprint, and what else a score depends on: dates, the wall in force, the secret."""
    due = assignment.due.isoformat() if assignment.due else None
    secret = (
        hashlib.sha256(b"fingerprint" + course.secret).hexdigest()[:8] if course.secret else "none"
    )
    return fingerprint(assignment) | {
        "late": assignment.late.model_dump() | {"due": due},
        "wall": dict(vars(layers)),
        "secret": secret,
    }


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any], ignored: frozenset[str] = frozenset()
) -> str:
    """What differs, in words: "the hidden tests, the limits". The keys ``ignored`` do not count.

    Only causes are named: new content always means new inputs.
    """
    keys = [key for key in {**new, **old} if old.get(key) != new.get(key) and key not in ignored]
    if {"submission", "secret"} & set(keys):
        keys = [key for key in keys if key != "seed"]
    return ", ".join(dict.fromkeys(WORDS.get(key, key) for key in keys))


def _versions(libraries: Iterable[str]) -> dict[str, str]:
    """The versions of those that are packages; the standard library has Python's version."""
    found = {}
    for name in sorted(libraries):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _digest(paths: Iterable[Path]) -> str:
    return _content((path.name, path.read_bytes()) for path in paths)


def _content(files: Iterable[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, data in files:
        total.update(name.encode() + b"\0" + data)
    return total.hexdigest()[:16]
