"""The corpus: hostile submissions, what each tries, which score it deserves, and how to show that
it works without a wall.

A case of the corpus is one file under corpus/ASSIGNMENT/ that begins with

    \"""Tries: what it does, in a sentence or two.

    Deserves: full without softmax
    Base: solution
    Control: taken down
    \"""

Deserves   0                         nothing
           full                      all points: a trick around right code neither gains nor loses
           full without F, G         what the solution gets when F and G raise an error
           anything                  its own score does not matter, only everybody else's
Base       nothing | stub | solution what is in the submission above the attack
Control    full marks                the naive grader (naive.py) gives all points
           taken down                the naive grader gives no score at all
           works                     the attack ends the naive grader with SystemExit("the attack
                                     worked")
           none, because ...

What cannot be committed as a file (archives, links, devices, odd names) is made by packages.py with
the same four lines.
"""

from __future__ import annotations

import ast
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORKED = "the attack worked"
MARK = "autograder-attack"  # the beginning of every name that an attack leaves anywhere
NAIVE = ("bandits", "dynamic_programming", "gae")  # what naive.py can ask about

sys.path.insert(0, str(ROOT))

from autograder.authoring.course import load_assignment  # noqa: E402
from autograder.authoring.source import Source  # noqa: E402

KEYS = ("Tries", "Deserves", "Base", "Control")
DESERVES = re.compile(r"0|full|anything|full without \w+(?:, \w+)*")
CONTROL = re.compile(r"full marks|taken down|works|none, because .+")


class CorpusError(Exception):
    """A case does not say what it must; the message names the file."""


@dataclass(frozen=True)
class Case:
    """One hostile submission."""

    assignment: str
    name: str
    tries: str
    deserves: str
    base: str
    control: str
    attack: str = ""  # the text that is put below the base
    build: Callable[[Path, str], None] | None = (
        None  # instead: makes the submission from a folder and the base's text
    )

    def __str__(self) -> str:
        return f"{self.assignment}/{self.name}"

    @property
    def without(self) -> tuple[str, ...]:
        """The functions that it does not deserve points for."""
        _, _, names = self.deserves.partition("full without ")
        return tuple(names.split(", ")) if names else ()

    @property
    def text(self) -> str:
        """The submitted file."""
        return f"{base(self.assignment, self.base)}\n\n{self.attack}"

    def write(self, folder: Path) -> None:
        """Submit it: put a file, an archive or a folder into ``folder``."""
        if self.build:
            self.build(folder, base(self.assignment, self.base))
        else:
            (folder / f"{self.name}.py").write_text(self.text, encoding="utf-8")


def base(assignment: str, kind: str) -> str:
    """The honest part of a submission."""
    if kind == "nothing":
        return ""
    source = Source(load_assignment(ROOT, assignment).solution)
    return source.stub() if kind == "stub" else source.solution()


def without(assignment: str, names: tuple[str, ...]) -> str:
    """The solution with these functions raising an error: what a student would submit who
    could not write them."""
    missing = "".join(
        f"def {name}(*args, **kwargs):\n    raise RuntimeError('left out')\n\n\n" for name in names
    )
    return f"{base(assignment, 'solution')}\n\n{missing}"


def files() -> list[Case]:
    """The cases that are files, in order."""
    return [_read(path) for path in sorted((HERE / "corpus").glob("*/*.py"))]


def _read(path: Path) -> Case:
    text = path.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text)) or ""
    return described(
        docstring, f"{path.parent.name}/{path.name}", path.parent.name, path.stem, attack=text
    )


def described(
    docstring: str,
    place: str,
    assignment: str,
    name: str,
    attack: str = "",
    build: Callable[[Path, str], None] | None = None,
) -> Case:
    """A case from its four lines. Raises CorpusError."""
    found: dict[str, str] = {}
    key = ""
    for line in docstring.splitlines():
        head, colon, rest = line.partition(": ")
        if colon and head in KEYS:
            key = head
            found[key] = rest.strip()
        elif line.strip() and key:
            found[key] += " " + line.strip()
        elif line.strip():
            raise CorpusError(f"{place}: begins with {line[:40]!r}, not with 'Tries: ...'")
    if tuple(found) != KEYS:
        raise CorpusError(
            f"{place}: has {', '.join(found) or 'nothing'}; {', '.join(KEYS)} are expected, "
            f"in this order"
        )
    for key, pattern in (
        ("Deserves", DESERVES),
        ("Base", re.compile("nothing|stub|solution")),
        ("Control", CONTROL),
    ):
        if not pattern.fullmatch(found[key]):
            raise CorpusError(
                f"{place}: {key}: {found[key]!r} is none of the forms that cases.py describes"
            )
    return Case(
        assignment,
        name,
        found["Tries"],
        found["Deserves"],
        found["Base"],
        found["Control"],
        attack,
        build,
    )


# -- controls: the same attack without a wall ------------------------------------------------------


def control_holds(case: Case) -> str:
    """Run the attack under the naive grader. Empty if it does there what its Control line says,
    otherwise what it did instead."""
    with tempfile.TemporaryDirectory(prefix=f"{MARK}-control-") as name:
        folder = Path(name)
        (folder / "student.py").write_text(case.text, encoding="utf-8")
        (folder / "reference.py").write_text(base(case.assignment, "solution"), encoding="utf-8")
        shutil.copy(HERE / "naive.py", folder)
        (folder / "expected.json").write_text(_snapshot(case.assignment), encoding="utf-8")
        # An attack that ends by itself may take long on a busy machine.
        patience = 10.0 if case.control == "taken down" else 60.0
        score, complaint = _under_the_naive_grader(folder, case.assignment, patience)
    if case.control == "full marks":
        return (
            ""
            if score and score["score"] == score["of"]
            else f"no full marks but {score} ({complaint[-200:]})"
        )
    if case.control == "taken down":
        return "" if score is None else f"the naive grader went on and said {score}"
    if case.control == "works":
        return "" if WORKED in complaint else f"did not say that it worked but {complaint[-200:]!r}"
    return "" if case.control.startswith("none, because ") else "unknown control"


_snapshots: dict[str, str] = {}


def _snapshot(assignment: str) -> str:
    """The right answers to the naive grader's questions."""
    if assignment not in _snapshots:
        sys.path.insert(0, str(HERE))
        import naive

        reference = type(sys)("reference")
        exec(base(assignment, "solution"), vars(reference))
        asked = naive.questions(assignment, reference)
        _snapshots[assignment] = json.dumps(
            {name: getattr(reference, name)(*args).tolist() for name, args in asked}
        )
    return _snapshots[assignment]


def _under_the_naive_grader(
    folder: Path, assignment: str, seconds: float
) -> tuple[dict[str, int] | None, str]:
    """The score, if there is one, and the end of what was said on stderr. Everything that is left
    of it is ended."""
    family = uuid.uuid4().hex
    environment = {
        "PATH": "/usr/bin:/bin",
        "AUTOGRADER_SECRET": "a secret of the naive grader",
        "AUTOGRADER_FAMILY": family,
    }
    environment |= dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, str(folder / "naive.py"), str(folder), assignment],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=_bounded,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = 1
        end_family(family)
        process.wait()
    with (folder / "out").open("rb") as log:
        # What an attack prints beyond this is not read.
        said = log.read(1 << 20).decode(errors="replace").strip().splitlines()
    complaint = (folder / "err").read_bytes()[-2000:].decode(errors="replace")
    try:
        score = json.loads(said[-1]) if said and code == 0 else None
    except ValueError:
        score = None
    return score if isinstance(score, dict) and "score" in score else None, complaint


def _bounded() -> None:
    """Limits for attacks that run without a wall: they are bounded themselves, this is the second
    line."""
    for kind, limit in (
        (resource.RLIMIT_AS, 8 << 30),
        (resource.RLIMIT_FSIZE, 256 << 20),
        (resource.RLIMIT_CPU, 20),
    ):
        resource.setrlimit(kind, (limit, limit))


def end_family(family: str) -> None:
    """Kill every process that has this family in its environment: a control's, wherever it
    moved."""
    mark = f"AUTOGRADER_FAMILY={family}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            continue
