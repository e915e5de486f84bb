"""What a case is, and the material that all are made of: gae's solution and its starter."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from autograder.authoring import notebook as notebooks
from autograder.authoring.course import Assignment, load_assignment
from autograder.authoring.source import Source

ROOT = Path(__file__).resolve().parents[2]
NAME, MAIN = "gae", "gae.py"
FULL, ZERO = "full marks", "no points"


@dataclass(frozen=True)
class Case:
    """A folder of submissions. ``deserves``: student -> FULL, ZERO or words of the problem.

    ``notes``: words that some student's remarks hold; ``over``: words of what is passed over.
    ``received``: whose time of receipt is known.
    """

    kind: str
    name: str
    files: dict[str, bytes]
    deserves: dict[str, str] = field(default_factory=lambda: {"ada": FULL})
    notes: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    received: tuple[str, ...] = ()
    layout: str = "auto"

    def build(self, folder: Path) -> Path:
        """Write it into a new folder."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.write_bytes(data)
        return folder


@cache
def assignment() -> Assignment:
    return load_assignment(ROOT, NAME)


@cache
def right() -> bytes:
    return Source(assignment().solution).solution().encode()


def stub() -> bytes:
    return (assignment().starter / MAIN).read_bytes()


def stub_notebook() -> bytes:
    return (assignment().starter / "gae.ipynb").read_bytes()


def cells_of(text: bytes) -> list[str]:
    return [source for kind, source in notebooks.split(text.decode()) if kind == "code"]


def notebook(*cells: str, outputs: str = "", minor: int = 5) -> bytes:
    made = [
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": 1,
            "source": source,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": outputs}],
        }
        | ({"id": f"c{number}"} if minor >= 5 else {})
        for number, source in enumerate(cells)
    ]
    whole = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": minor}
    return json.dumps(whole).encode()


def with_cells(*before: str, after: tuple[str, ...] = ()) -> bytes:
    """A right notebook with further cells."""
    return notebook(*before, *cells_of(right()), *after)


def packed(
    members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b""
) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
            archive.comment = comment
    return file.getvalue()
