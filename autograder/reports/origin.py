"""Dates, the course's commit and versions: what tells two reports of a class apart."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import autograder
from autograder.authoring.course import Assignment
from autograder.marking.result_files import STAFF
from autograder.model import Grade


def origin(assignment: Assignment, folder: Path, grades: Sequence[Grade]) -> list[tuple[str, str]]:
    """Label and text of each fact that is known."""
    zone = assignment.due.tzinfo if assignment.due else UTC
    received = [time for grade in grades if (time := received_at(grade.provenance))]
    files = (folder / grade.student / STAFF for grade in grades)
    marked = [datetime.fromtimestamp(file.stat().st_mtime, UTC) for file in files if file.is_file()]
    known = len(received)
    facts = [
        ("due", shown(assignment.due) if assignment.due else "no due date"),
        (
            "received",
            _between([time.astimezone(zone) for time in received])
            + ("" if known == len(grades) else f" (a time is known of {known} of {len(grades)})"),
        ),
        ("marked", _between([time.astimezone(zone) for time in marked])),
        ("course", _commit(assignment.root)),
        ("versions", _versions(grades)),
    ]
    return [(label, text) for label, text in facts if text]


def received_at(provenance: object) -> datetime | None:
    """When a submission was received, if that is known."""
    text = provenance.get("received") if isinstance(provenance, dict) else None
    try:
        return datetime.fromisoformat(text) if text else None
    except (TypeError, ValueError):
        return None


def shown(time: datetime) -> str:
    """A time as people read it: "5 February 2027, 23:59 (UTC)"."""
    return f"{time.day} {time:%B %Y, %H:%M} ({time.tzname()})"


def _between(times: Iterable[datetime]) -> str:
    found = sorted(times)
    if not found:
        return ""
    first, last = shown(found[0]), shown(found[-1])
    return first if first == last else f"{first} to {last}"


def _commit(root: Path) -> str:
    """The commit of the course, and whether files were changed since; nothing without git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    commit, dash, _ = done.stdout.strip().partition("-dirty")
    return f"commit {commit}" + (" with changes that are not committed" if dash else "")


def _versions(grades: Sequence[Grade]) -> str:
    """Of the programs that marked; several where the class was marked with several."""
    found: dict[str, set[str]] = {}
    for grade in grades:
        libraries = grade.provenance.get("versions")
        python = {"Python": grade.provenance.get("python")}
        for name, version in (python | (libraries if isinstance(libraries, dict) else {})).items():
            if version:
                found.setdefault(name, set()).add(str(version))
    lines = [f"{name} {' and '.join(sorted(versions))}" for name, versions in found.items()]
    return ", ".join([f"autograder {autograder.__version__}", *lines])
