"""A class of five of all kinds, as grades: for the pages that are made of it."""

from __future__ import annotations

import dataclasses

from toy import NAME

from autograder.model import Grade, Mistake, Outcome, State, Verdict
from autograder.reports.similar import Pair, Passage

STRONG = {"assignment": NAME, "wall": {"uid": True, "seccomp": True}}
SECRET = "expected [0.31415926]"
MISTAKE = Mistake("no-discount", "gamma is never used.")
EVIL = "<script>alert(1)</script>"

PASSED = Outcome("test_a", "Sums are sums.", "sums", Verdict.PASSED, 4.0, curve=(0.0, 5.0, 10.0))
FAILED = Outcome(
    "test_b",
    "Means are means.",
    "means",
    Verdict.FAILED,
    6.0,
    hint="Think.",
    error=f"ValueError: {EVIL}",
    prints=EVIL,
    mistakes=(MISTAKE,),
    detail=SECRET,
)
UNGRADED = dataclasses.replace(FAILED, verdict=Verdict.UNGRADED, mistakes=(), error="", prints="")


def grade(student: str, *outcomes: Outcome, **more) -> Grade:
    return Grade(student, outcomes, provenance=STRONG, **({"seconds": 1.0} | more))


CLASS = [
    grade(
        "ada", PASSED, dataclasses.replace(FAILED, verdict=Verdict.PASSED, mistakes=()), seconds=3.0
    ),
    grade("ben", PASSED, FAILED, late_days=1, late_factor=0.5),
    grade(
        "cleo+x@y", dataclasses.replace(PASSED, verdict=Verdict.FAILED, curve=(1.0, 2.0)), FAILED
    ),
    grade("dan", PASSED, UNGRADED, complete=False),
    grade("eve", problem=f"{EVIL}.zip is not a zip file", state=State.NOT_OPENED),
]
PAIRS = [
    Pair(
        "ada", "ben", (0.91, 0.4), ((Passage(3, "x = 1\ny = 2"),), (Passage(40, "a = 1\nb = 2"),))
    ),
    Pair("ada", "zoe", (0.7, 0.7), ((Passage(5, "z = 3"),), (Passage(6, EVIL),)), "class-2026"),
]
