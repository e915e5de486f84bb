"""grading/NAME/proof.json: what was proven of an assignment, as data that can be compared.

The same inputs give the same file on every machine: keys are sorted, and no time is in it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autograder.authoring.course import Assignment
from autograder.errors import CourseError
from autograder.proof.inputs import PROOF, changed_engine, changed_inputs

Record = dict[str, Any]
# These only say whether a proof is stale; `--compare` looks at everything else.
WORDS = {
    "bars": "the bars of the learning checks",
    "inputs": "the digests of its inputs",
    "mutants": "how many mutants are killed",
    "points": "the points",
    "survivors": "the mutants that survive",
    "tests": "the hidden tests",
    "unnamed": "the bugs without a name",
    "wall": "what was shown behind the wall",
}


def path_of(assignment: Assignment) -> Path:
    """The path of an assignment's proof."""
    return assignment.hidden_tests.with_name(PROOF)


def read(assignment: Assignment) -> Record | None:
    """The committed proof, or None. Raises CourseError for a file that is not a proof."""
    path = path_of(assignment)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(record[key], dict) for key in ("inputs", "engine", "kills", "bars")):
            return dict(record)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    raise CourseError(
        f"{path}: this is not a proof: write it again with "
        f"'python -m autograder verify {assignment.name}'"
    )


def text(record: Record) -> str:
    """The proof as text: one line for each bug, each test and each input."""
    entries = (f"{json.dumps(key)}: {_lines(value)}" for key, value in sorted(record.items()))
    return "{\n " + ",\n ".join(entries) + "\n}\n"


def _lines(value: Any) -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    entries = (
        f"{json.dumps(key)}: {json.dumps(one, sort_keys=True)}"
        for key, one in sorted(value.items())
    )
    return "{\n  " + ",\n  ".join(entries) + "\n }"


def differences(committed: Record, fresh: Record) -> list[str]:
    """What a fresh proof says differently from the committed one, as sentences."""
    found = [
        f"the committed proof has other figures for {words}"
        for key, words in WORDS.items()
        if committed.get(key, type(fresh[key])()) != fresh[key]
    ]
    before, now = committed["kills"], fresh["kills"]
    for bug in sorted({*before, *now}):
        if before.get(bug) != now.get(bug):
            caught = ", ".join(now.get(bug, [])) or "no test"
            found.append(f"'{bug}' is caught by {caught}; the committed proof says otherwise")
    return found


def staleness(assignment: Assignment) -> str:
    """In words why a proof is stale ("hidden tests, solution"); empty if its content is not."""
    record = read(assignment)
    if record is None:
        return "there is none yet"
    return ", ".join(changed_inputs(assignment, record))


def engine_staleness(assignment: Assignment) -> list[str]:
    """In words what of the engine has changed since the proof."""
    record = read(assignment)
    return changed_engine(assignment.root, record) if record is not None else []
