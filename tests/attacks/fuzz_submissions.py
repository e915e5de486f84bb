"""Mutated and random submissions: each gets a valid result, and no other score changes.

    python tests/attacks/fuzz_submissions.py [--count 500] [--seed 0]

They are the toy course's solution (tests/toy.py) with lines dropped, doubled, exchanged, cut and
garbled, with lines of the corpus's attacks put in, or nothing but noise: as files, in folders, in
zips and as notebooks, some with cells that fail. Honest neighbours come before, among and after.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

import toy  # noqa: E402

from autograder.marking.engines import LocalEngine  # noqa: E402
from autograder.marking.grade import Grading  # noqa: E402
from autograder.marking.result_files import GRADEBOOK, RESULTS  # noqa: E402
from autograder.marking.submission import read_all  # noqa: E402

WORDS = [
    *("0", "None", "1e999", "float('nan')", "lambda: 0", "[]", "'\\ud800'", "10**400"),
    *("np.zeros((2, 0))", "np", "raise", "while True: pass", "import os; os._exit(3)", "def f(: "),
    *("\t", "\x00", "\u2028", "é", "return", "yield 1", "global x", "print('x' * 10**6)"),
    *("class A(float): __eq__ = lambda a, b: True", "await x", "@", "(((", "{}[0]", "exit()"),
    "__import__('gc').get_objects()",
]


def attack_lines() -> list[str]:
    """Single statements of the corpus's attacks that stand at the left margin."""
    lines = [
        line
        for path in HERE.glob("corpus/*/*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return sorted(
        {line for line in lines if line[:1].isalpha() and not line.endswith((":", ",", "("))}
    )


def mutated(rng: random.Random, text: str, lines_of_attacks: list[str]) -> str:
    """The text with a few changes."""
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 3, 10))):
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        kind = rng.randrange(8)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[other])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3:
            cut = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:cut] + rng.choice(WORDS) + lines[at][cut + rng.randrange(4) :]
        elif kind == 4:
            indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
            lines.insert(at, indent + rng.choice(WORDS))
        elif kind == 5:
            lines.insert(at, rng.choice(lines_of_attacks))
        elif kind == 6:
            lines[at] = lines[at].replace("return ", f"return {rng.choice(WORDS)} or ")
        else:
            lines[at] = "".join(
                rng.choice("()[]{}.,:+-*/@=<> abcnp01\n\t") if rng.random() < 0.1 else c
                for c in lines[at]
            )
        lines = lines or [""]
    return "\n".join(lines)


def write_one(
    rng: random.Random, folder: Path, name: str, text: str, lines_of_attacks: list[str]
) -> None:
    """One submission, in one of the forms that submissions have."""
    changed = mutated(rng, text, lines_of_attacks).encode("utf-8", "replace")
    if rng.random() < 0.1:
        changed = rng.randbytes(rng.randrange(2000))
    form = rng.random()
    if form < 0.6:
        (folder / f"{name}.py").write_bytes(changed)
    elif form < 0.75:
        (folder / name).mkdir()
        (folder / name / rng.choice((toy.MAIN, toy.MAIN, "other.py"))).write_bytes(changed)
        (folder / name / "helpers.py").write_bytes(rng.choice((b"import os\n", changed, b"\xff")))
    elif form < 0.9:
        path = folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(rng.choice((toy.MAIN, f"deep/er/{toy.MAIN}")), changed)
        if rng.random() < 0.4:
            data = bytearray(path.read_bytes())
            for _ in range(rng.choice((1, 3, 20))):
                data[rng.randrange(len(data))] = rng.randrange(256)
            path.write_bytes(data)
    else:
        sources = [changed.decode(errors="replace")]
        if rng.random() < 0.5:  # cell by cell, with experiments that fail among them
            sources = sources[0].split("\n\n\n")
            for _ in range(rng.choice((0, 1, 3))):
                sources.insert(rng.randrange(len(sources) + 1), rng.choice(WORDS))
        cells = [
            {
                "cell_type": "code",
                "metadata": {},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for source in sources
        ]
        notebook = json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells})
        cut = rng.randrange(len(notebook)) if rng.random() < 0.2 else None
        (folder / f"{name}.ipynb").write_text(notebook[:cut], encoding="utf-8")


def fuzz(
    count: int, seed: int, folder: Path, tell: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Mark ``count`` of them below an empty folder; what is not as it should be."""
    rng, course = random.Random(seed), toy.Toy.build(folder / "course")
    course.edit(
        "assignments/sequences/assignment.yml",
        "call_seconds: 2, test_seconds: 20",
        "call_seconds: 1, test_seconds: 6",
    )
    submitted, text, lines = folder / "submitted", course.submission(), attack_lines()
    submitted.mkdir()
    for number in range(count):
        write_one(rng, submitted, f"student{number:04}", text, lines)
    honest = [f"student{number:04}-honest" for number in {0, count // 2, count}]
    for name in honest:
        (submitted / f"{name}.py").write_text(text, encoding="utf-8")
    submissions = read_all(submitted, toy.MAIN)
    engine = LocalEngine(course.assignment, 2)
    try:
        grading = Grading(course.course, course.assignment, engine, folder / "results")
        grading.run(submissions, True, lambda grade, left: tell(grade.student))
    finally:
        engine.close()
    return problems(
        grading.folder,
        {submission.student for submission in submissions},
        honest,
        count,
        grading.worth,
    )


def problems(
    results: Path, students: set[str], honest: list[str], count: int, worth: float
) -> list[str]:
    """Everything that is wrong with the results."""
    found = []
    if len(students) != count + len(honest):
        found.append(f"{count + len(honest)} submissions became {len(students)} submissions")
    rows = (results / GRADEBOOK).read_text(encoding="utf-8").splitlines()[1:]
    if len(rows) != len(students):
        found.append(f"the gradebook has {len(rows)} rows for {len(students)} submissions")
    for student in sorted(students):
        try:
            told = json.loads((results / student / RESULTS).read_text(encoding="utf-8"))
            total = round(sum(test["score"] for test in told["tests"]), 6)
        except (OSError, ValueError, KeyError) as error:
            found.append(f"{student}: {type(error).__name__} {error}")
            continue
        if told.get("score") != total or not 0 <= total <= worth:
            found.append(
                f"{student}: {told.get('score')} points, but the tests come to {total} of {worth}"
            )
        if not told["tests"] and not told["extra_data"]["problem"]:
            found.append(f"{student}: neither tests nor a problem")
        if student in honest and total != worth:
            found.append(f"{student}: honest, and has {total} of {worth} points")
    return found


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        found = fuzz(options.count, options.seed, Path(folder))
        if found:
            kept = Path(tempfile.mkdtemp(prefix="fuzz-kept-"))
            subprocess.run(["cp", "-r", folder, str(kept)], check=True)
            found.append(f"everything is kept in {kept}")
    for line in found:
        print(line)
    print(
        f"{options.count} submissions, seed {options.seed}: {len(found)} problems; "
        f"{time.monotonic() - begun:.0f} seconds"
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
