"""The options of `grade` and `verify`, and those that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AddressOption = Annotated[str, typer.Option(help="Where the Ray cluster is, for --engine ray.")]
CourseOption = Annotated[
    Path | None, typer.Option("--course", help="The course's folder (default: found from here).")
]

# -- grade -----------------------------------------------------------------------------------------

Assignment = Annotated[str, typer.Argument(help="The assignment.")]
Submissions = Annotated[
    Path,
    typer.Argument(
        help="A file, a zip, a notebook, or a folder with one of these or a folder for each "
        "student."
    ),
]
Out = Annotated[
    Path, typer.Option("--out", help="Where results go: DIR/NAME/STUDENT/results.json.")
]
Jobs = Annotated[
    int,
    typer.Option(help="Submissions marked at a time on each machine (default: one for each core)."),
]
EngineName = Annotated[str, typer.Option("--engine", help="local, or ray: all nodes of a cluster.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Mark again even what has not changed.")]
AllowWeak = Annotated[
    bool,
    typer.Option("--allow-weak", help="Run student code without the full wall; results say so."),
]
Only = Annotated[
    str | None,
    typer.Option("--only", help="Mark this student again and keep everybody else's marks."),
]
Roster = Annotated[
    Path | None, typer.Option(help="Who takes the course; its late_days move a student's due date.")
]
Layout = Annotated[
    str,
    typer.Option(
        help="How the folder names things: plain, canvas, moodle or gradescope (auto: found out)."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar and no table.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="One line of JSON for each submission instead of the table.")
]

# -- verify ----------------------------------------------------------------------------------------

ToProve = Annotated[
    list[str] | None,
    typer.Argument(help="Assignments (default: none; only say which proofs are stale)."),
]
Stale = Annotated[bool, typer.Option("--stale", help="Prove what is stale.")]
Everything = Annotated[bool, typer.Option("--all", help="Prove every assignment.")]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="COMMIT",
        help="Prove what has changed since this commit, and three more if the engine has.",
    ),
]
Shard = Annotated[
    str | None, typer.Option(metavar="K/N", help="Of these, only the K-th of N shares.")
]
Compare = Annotated[
    bool, typer.Option("--compare", help="Write nothing: the committed proof must say the same.")
]
Bars = Annotated[bool, typer.Option("--bars", help="Measure the learning checks again (minutes).")]
Mutants = Annotated[
    bool, typer.Option("--mutants", help="Change the solution in many small ways; tests must see.")
]
Thorough = Annotated[
    bool, typer.Option("--thorough", help="Also prove what takes too long for every change.")
]
ProofJobs = Annotated[
    int, typer.Option(min=0, help="Assignments proven at a time (default: one for each core).")
]
Draws = Annotated[int, typer.Option(min=0, help="Try this many further draws of the test data.")]
