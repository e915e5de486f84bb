"""Which assignments are to be proven again, and why."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from autograder.authoring.course import Assignment
from autograder.errors import CourseError
from autograder.proof import inputs, record

# If the autograder has changed, CI proves only these: arrays, training, and ranks.
SENTINELS = ("gae", "dqn", "distributed_ppo")
FOLDERS = ("assignments", "solutions", "grading")


def stale(assignments: Sequence[Assignment]) -> dict[str, str]:
    """Name -> why its proof is stale in content. Assignments with a fresh proof are left out."""
    found = ((assignment.name, record.staleness(assignment)) for assignment in assignments)
    return {name: why for name, why in found if why}


def engine_news(assignments: Sequence[Assignment]) -> str:
    """A sentence if proofs were made with another engine, otherwise nothing."""
    changes = {one.name: record.engine_staleness(one) for one in assignments}
    words = sorted({word for found in changes.values() for word in found})
    count = sum(map(bool, changes.values()))
    if not count:
        return ""
    what = " and ".join(words)
    which = "all proofs were" if count == len(assignments) else f"{count} proofs were"
    have = "have" if len(words) > 1 or words[0].endswith("s") else "has"
    tried = ", ".join(one.name for one in sentinels(assignments))
    return (
        f"{what} {have} changed since {which} written: "
        f"CI proves {tried} again, 'make verify-all' all."
    )


def sentinels(assignments: Sequence[Assignment]) -> list[Assignment]:
    """The assignments that are proven again when only the engine has changed."""
    known = [one for one in assignments if one.name in SENTINELS]
    return known or list(assignments[: len(SENTINELS)])


def since(base: str, assignments: Sequence[Assignment], root: Path) -> list[Assignment]:
    """Assignments that have changed since a commit or are stale anyway.

    If the engine has changed, the sentinels are among them. Raises CourseError if git does not know
    the commit.
    """
    paths = _changed_paths(base, root)
    names = {path.split("/")[1] for path in paths if path.split("/")[0] in FOLDERS and "/" in path}
    names |= set(stale(assignments))
    shared = {path for path in paths if path.startswith("assignments/given/")}
    for one in assignments:
        if shared & inputs.inputs(one).keys():
            names.add(one.name)
    package = f"{inputs.PACKAGE.name}/"
    relevant = [f"{package}{name}" for name in inputs.ENGINE] + ["requirements/lock.txt"]
    if any(path.startswith(tuple(relevant)) for path in paths) or engine_news(assignments):
        names |= {one.name for one in sentinels(assignments)}
    return [one for one in assignments if one.name in names]


def share(assignments: Sequence[Assignment], shard: str) -> list[Assignment]:
    """The third eighth of the assignments for "3/8". Raises CourseError for anything else."""
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", shard)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise CourseError(f"--shard {shard}: a share looks like 3/8, the third of eight")
    return list(assignments[number - 1 :: count])


def _changed_paths(base: str, root: Path) -> list[str]:
    """Paths that differ between a commit and the working tree, relative to the course."""
    command = ["git", "diff", "--name-only", "--relative", "--no-renames", base, "--"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CourseError("--since needs git, which is not installed") from None
    if done.returncode:
        raise CourseError(f"--since {base}: {done.stderr.strip().splitlines()[0]}")
    return done.stdout.splitlines()
