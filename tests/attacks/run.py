"""Marks the whole corpus with the real engine and says whether everything was contained.

    python tests/attacks/run.py [NAME...]   a table; exit code 1 on any surprise
    python tests/attacks/run.py --controls  shows that each attack works where there is no wall
    python tests/attacks/run.py --markdown  writes the table, or NAME's rows, into docs/ATTACKS.md
    python tests/attacks/run.py --check     says whether the table in docs/ATTACKS.md is fresh

NAME limits the run to cases whose name contains it. Each assignment's attacks are marked together
with honest neighbours: the solution, and the solution without the functions that an attack gives
up. An attack must get exactly what it deserves, and its neighbours must not notice. At the end no
worker process may be left, and no file with the attacks' mark. The course is a copy of the real one
with less time for each test, so that attacks which use up their time do not take an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))

import packages
from cases import MARK, NAIVE, ROOT, Case, base, control_holds, files, without

from autograder.authoring.course import load_course
from autograder.marking.engines import LocalEngine
from autograder.marking.grade import Grading
from autograder.marking.score import score
from autograder.marking.submission import read_all
from autograder.model import Grade, State, Verdict

WORKER_UIDS = range(61000, 65000)
LIMITS = {"call_seconds": 3, "test_seconds": 10}
# Learning checks need two CPU seconds, on a busy machine ten by the clock.
LEARNING = {"call_seconds": 4, "test_seconds": 24}
LEARN = ("q_learning", "distributed_ppo")
JOBS = 4  # some attacks only wait
AS_DESERVED = "as deserved"
HEAD = ("attack", "what it tries", "what comes of it", "score deserved", "score", "without a wall")
RULE = ("--",) * len(HEAD)
BEGIN, END = "<!-- attacks:begin -->", "<!-- attacks:end -->"
ATTACKS = ROOT / "docs" / "ATTACKS.md"
HONEST = ("aaa_honest", "zzz_honest")  # marked before and after the attacks


@dataclass(frozen=True)
class Result:
    """What one attack came to."""

    case: Case
    outcome: str
    points: float | None
    deserved: float | None  # None: anything
    seconds: float

    @property
    def surprise(self) -> str:
        """Why this is not as it should be; empty if it is."""
        if self.points is None:
            return "ungraded"
        if self.deserved is not None and abs(self.points - self.deserved) > 1e-6:
            return f"{self.points:g} points where {self.deserved:g} are deserved"
        return ""


@dataclass
class Report:
    """The corpus, marked."""

    results: list[Result] = field(default_factory=list)
    # Harm to others: neighbours, processes and files left behind.
    harm: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def surprises(self) -> list[str]:
        """Everything that is not as it should be."""
        return [
            f"{r.case}: {r.surprise} ({r.outcome})" for r in self.results if r.surprise
        ] + self.harm


def all_cases(names: Sequence[str] = ()) -> list[Case]:
    """The corpus, or the cases whose assignment/name holds one of these."""
    cases = [*files(), *packages.cases()]
    return [case for case in cases if not names or any(name in str(case) for name in names)]


def run(cases: Sequence[Case], folder: Path) -> Report:
    """Mark all cases below ``folder``, an empty one."""
    begun, report = time.monotonic(), Report()
    course = copied_course(folder / "course")
    before = set(marked_files())
    os.environ.setdefault("AUTOGRADER_SECRET", "a secret that attacks look for")
    for assignment in dict.fromkeys(case.assignment for case in cases):
        mine = [case for case in cases if case.assignment == assignment]
        _mark(course, assignment, mine, folder / assignment, report)
    report.harm += [f"a worker process is left behind: {name}" for name in workers_left()]
    report.harm += [f"a file was written: {path}" for path in marked_files() if path not in before]
    report.seconds = time.monotonic() - begun
    return report


def _mark(
    course: Path, assignment: str, cases: Sequence[Case], folder: Path, report: Report
) -> None:
    neighbours = {name: base(assignment, "solution") for name in HONEST}
    neighbours |= {
        _left_out(names): without(assignment, names)
        for names in {case.without for case in cases}
        if names
    }
    try:
        students = submit(cases, folder)
        for name, text in neighbours.items():
            (folder / "submitted" / f"{name}.py").write_text(text, encoding="utf-8")
        grades, worth = _grades(course, assignment, folder)
    finally:
        remove(folder / "submitted")
    report.harm += unclean(
        folder / "results" / assignment, course / "grading" / assignment / "test_hidden.py"
    )
    points = {name: score(grade, worth).points for name, grade in grades.items()}
    report.harm += [
        f"{assignment}: {name} has {points[name]} of {worth:g} points"
        for name in HONEST
        if points[name] != worth
    ]
    for case in cases:
        deserved = {"0": 0.0, "full": worth, "anything": None}.get(
            case.deserves, points.get(_left_out(case.without))
        )
        grade = grades[students[case]]
        report.results.append(
            Result(case, outcome(grade), points[students[case]], deserved, grade.seconds)
        )


def unclean(results: Path, hidden_tests: Path) -> list[str]:
    """Results that act on a terminal, pose as ours, or hold a line of the hidden tests."""
    lines = {line.strip() for line in hidden_tests.read_text(encoding="utf-8").splitlines()}
    asserting = {line for line in lines if len(line) > 30 and line.startswith("assert")}
    found = []
    for path in sorted(results.glob("*/results.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        for text in [told["output"], *(test["output"] for test in told["tests"])]:
            plain_text = all(line.replace("\t", "").isprintable() for line in text.split("\n"))
            ours = [line for line in text.split("\n") if not line.startswith("  | ")]
            if not plain_text or sum(line.startswith(("Passed", "Hint: ")) for line in ours) > 1:
                found.append(f"{path.parent.name}: its result is not plain text: {text[:80]!r}")
            if any(line in text for line in asserting):
                found.append(f"{path.parent.name}: a line of the hidden tests is in its result")
    return found


def remove(folder: Path) -> None:
    """One submission is too deep for shutil.rmtree."""
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def _left_out(names: tuple[str, ...]) -> str:
    return f"honest_without_{len(names)}_{zlib.crc32(' '.join(names).encode()):08x}"


def submit(cases: Sequence[Case], folder: Path) -> dict[Case, str]:
    """Put all submissions into folder/submitted; the name that each gets there."""
    together = folder / "submitted"
    together.mkdir(parents=True)
    students = {}
    for case in cases:
        alone = folder / "alone"
        alone.mkdir()
        case.write(alone)
        main = f"{case.assignment}.py"
        (submission,) = read_all(alone, main)
        students[case] = submission.student
        for entry in alone.iterdir():
            entry.rename(together / entry.name)
        alone.rmdir()
    return students


def _grades(course: Path, assignment: str, folder: Path) -> tuple[dict[str, Grade], float]:
    loaded = load_course(course)
    found = loaded.assignment(assignment)
    engine = LocalEngine(found, JOBS)
    try:
        grading = Grading(loaded, found, engine, folder / "results")
        grades = grading.run(
            read_all(folder / "submitted", found.main), True, lambda grade, left: None
        )
    finally:
        engine.close()
    return {grade.student: grade for grade in grades}, grading.worth


def copied_course(target: Path) -> Path:
    """The course with its hidden tests and solutions, and little time for each test."""
    target.mkdir()
    shutil.copy(ROOT / "course.yml", target)
    for part in ("assignments", "grading", "solutions"):
        shutil.copytree(
            ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__", "*.png")
        )
    for path in target.glob("assignments/*/assignment.yml"):
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        limits = told.get("limits", {}) | (LEARNING if path.parent.name in LEARN else LIMITS)
        path.write_text(yaml.safe_dump(told | {"limits": limits}), encoding="utf-8")
    return target


# -- what is left behind


def workers_left(patience: float = 5.0) -> list[str]:
    """Processes with a worker's uid whose fork server has gone. Ending takes a moment."""
    end = time.monotonic() + patience
    while (left := list(_orphans())) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def _orphans() -> Iterator[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = dict(
                line.split(":\t", 1)
                for line in (folder / "status").read_text().splitlines()
                if ":\t" in line
            )
            uid, parent = int(told["Uid"].split()[0]), told["PPid"].strip()
            if uid in WORKER_UIDS and not told["State"].startswith("Z"):
                mother = Path("/proc", parent, "cmdline").read_bytes()
                # Another run's fork server ends its own workers.
                if b"autograder" not in mother:
                    yield f"pid {folder.name}, uid {uid}"
        except (OSError, KeyError):
            continue


def marked_files() -> list[Path]:
    """Files with the attacks' mark in the places that programs may write to."""
    places = [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/"), ROOT, Path.cwd()]
    return sorted(
        {
            path
            for place in places
            if place.is_dir()
            for path in place.glob(f"{MARK}*")
            if "-control-" not in path.name
        }
    )


# -- telling


def outcome(grade: Grade) -> str:
    """What came of an attack, in a few words that are the same in every run."""
    if grade.state is State.NOT_IMPORTED:
        what = grade.error.split(":")[0].splitlines() or ["no reason"]
        return "not imported: " + plain(what[0])[:40]
    if grade.problem:
        return "refused: " + plain(grade.problem.split(":")[0])
    counts = Counter(one.verdict for one in grade.outcomes)
    if counts[Verdict.PASSED] == len(grade.outcomes):
        return "no effect"
    errors = Counter(
        one.error.split(":")[0].splitlines()[0] for one in grade.outcomes if one.error.strip()
    )
    findings = Counter(
        "wrong answer"
        for one in grade.outcomes
        if one.verdict is Verdict.FAILED and not one.error.strip()
    )
    what = (
        ", ".join(plain(name)[:40] for name, _ in (errors + findings).most_common(2))
        or "not written"
    )
    verdicts = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items())
    return f"{verdicts}: {what}"


def in_short(outcome: str) -> str:
    """The same without numbers, which change with every hidden test that is added."""
    verdicts, colon, what = outcome.partition(": ")
    if not colon or verdicts in ("refused", "not imported"):
        return outcome
    who = "some tests fail" if "passed" in verdicts else "every test fails"
    return f"{who}: {what.partition(', ')[0]}"


def plain(text: str) -> str:
    """Student text in a table: one line, nothing that is read as more than a letter."""
    return "".join(c if c.isprintable() and c not in "|<>`[]" else " " for c in text).strip()


def cell(text: str) -> str:
    """The same as the formatter of Markdown leaves it: single spaces, no lone backslash."""
    return " ".join(plain(text).split()).replace("\\", "\\\\")


def table(report: Report) -> str:
    """Markdown: attack, what it tries and achieves, the score deserved and given, its control."""
    rows: list[tuple[str, ...]] = [HEAD, RULE]
    for r in report.results:
        name, tries, deserves, control = row(r.case)
        rows.append(
            (name, tries, cell(in_short(r.outcome)), deserves, r.surprise or AS_DESERVED, control)
        )
    return _lines(rows)


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    contained = sum(cells[4] == AS_DESERVED for cells in rows[2:])
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join(
        [*lines, "", f"{contained} of {len(rows) - 2} attacks contained and scored as deserved."]
    )


def _cells(text: str) -> list[tuple[str, ...]]:
    """The rows of a table, its head left out."""
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    return [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in lines]


def merged(new: str, path: Path) -> str:
    """A document's table with a new one's rows, in the corpus's order, without lost attacks."""
    _, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    known = {cells[0]: cells for cells in (*_cells(rest.partition(END)[0]), *_cells(new))}
    names = [row(case)[0] for case in all_cases()]
    return _lines([HEAD, RULE, *(known[name] for name in names if name in known)])


def row(case: Case) -> tuple[str, str, str, str]:
    """What the table says of a case before it is marked: name, aim, score deserved, control."""
    control = case.control.partition(",")[0].replace("none", "-")
    name = f"`{cell(f'{case.assignment}/{case.name[:40]}')}`"
    return name, cell(case.tries), case.deserves, control


def stale(path: Path) -> list[str]:
    """What is missing in a document's table or does not belong there."""
    _, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    told = _cells(rest.partition(END)[0])
    written = {
        (cells[0], cells[1], cells[3], cells[5]): cells[4] for cells in told if len(cells) == 6
    }
    wanted = {row(case) for case in all_cases()}
    found = [f"{name} is missing or out of date" for name, *_ in sorted(wanted - written.keys())]
    found += [f"{name} is no longer in the corpus" for name, *_ in sorted(written.keys() - wanted)]
    return found + [
        f"{cells[0]}: {score}" for cells, score in written.items() if score != AS_DESERVED
    ]


def write_markdown(text: str, path: Path) -> None:
    """Put the table between the marks of a document."""
    document = (
        path.read_text(encoding="utf-8") if path.is_file() else f"# Attacks\n\n{BEGIN}\n{END}\n"
    )
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{path}: {BEGIN} and {END} are expected, each on its own line")
    path.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")


def run_controls(cases: Sequence[Case]) -> int:
    """Try every attack that has a control under the naive grader."""
    tried = [
        case for case in cases if not case.control.startswith("none") and case.assignment in NAIVE
    ]
    with ThreadPoolExecutor(2) as pool:
        failures = [
            (case, told)
            for case, told in zip(tried, pool.map(control_holds, tried), strict=True)
            if told
        ]
    for case, told in failures:
        print(f"{case}: '{case.control}' is said, but it {told}")
    print(f"{len(tried) - len(failures)} of {len(tried)} attacks work where there is no wall")
    return int(bool(failures))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "names", nargs="*", help="only cases whose assignment/name holds one of these"
    )
    parser.add_argument(
        "--controls", action="store_true", help="run the attacks without a wall instead"
    )
    parser.add_argument(
        "--slowest", type=int, default=0, metavar="N", help="say which N attacks took the longest"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="write the table into docs/ATTACKS.md"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="mark nothing; say whether the table in docs/ATTACKS.md is that of the corpus",
    )
    options = parser.parse_args()
    if options.check:
        found = stale(ATTACKS)
        print("\n".join(found) or "docs/ATTACKS.md is fresh")
        return int(bool(found))
    cases = all_cases(options.names)
    if options.controls:
        return run_controls(cases)
    folder = Path(tempfile.mkdtemp(prefix="attacks-"))
    try:
        report = run(cases, folder)
    finally:
        remove(folder)
    print(table(report))
    if options.markdown:
        write_markdown(merged(table(report), ATTACKS), ATTACKS)
    if options.slowest:
        for r in sorted(report.results, key=lambda r: -r.seconds)[: options.slowest]:
            print(f"{r.seconds:7.1f} s  {plain(str(r.case))}")
    for surprise in report.surprises:
        print(f"SURPRISE {plain(surprise)}")
    print(f"{report.seconds:.0f} seconds")
    return int(bool(report.surprises))


if __name__ == "__main__":
    sys.exit(main())
