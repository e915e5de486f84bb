"""Which pages there are, and in which order one reads them.

The assignments come from course.yml. The other documents are listed here, and none may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autograder.authoring.course import Course
from autograder.errors import CourseError

# A document whose own title says nothing in a list has another one there.
TITLES = {
    "README": "This repository",
    "docs/WHY_RL": "Why not fine-tuning alone?",
    "docs/ACTOR_AND_CRITIC": "Why separate workers?",
    "docs/SYLLABUS": "Syllabus",
    "requirements/README": "Dependencies",
    "examples/submissions/README": "The pretend class",
}
# Heading -> documents, relative to the root and without ".md". Before and after the assignments.
BEFORE = {"The course": ("docs/SYLLABUS", "docs/CONVENTIONS", "docs/DEBUGGING")}
# These are written while the site is built.
GENERATED = ("write/index", "map", "museum/index", "papers", "progress")
BESIDE = {"Look and try": (*GENERATED, "docs/WHY_RL", "docs/ACTOR_AND_CRITIC")}
AFTER = {
    "For instructors": (
        "README",
        "docs/TERM",
        "docs/PLATFORMS",
        "docs/GRADING",
        "docs/SUBMISSIONS",
        "docs/CLUSTER",
        "docs/BENCHMARKS",
        "docs/PEERS",
    ),
    "For TAs and developers": (
        "docs/AUTHORING",
        "docs/ARCHITECTURE",
        "docs/ATTACKS",
        "requirements/README",
        "examples/submissions/README",
        "CHANGELOG",
    ),
}


def handout(name: str) -> str:
    """The document of an assignment's handout."""
    return f"assignments/{name}/README"


def groups(course: Course) -> Iterator[tuple[str, list[str]]]:
    """Heading and documents of each group of pages, in reading order."""
    yield from ((title, list(documents)) for title, documents in BEFORE.items())
    for track, names in course.tracks.items():
        yield f"Assignments: {track}", [handout(name) for name in names]
    yield from ((title, list(documents)) for title, documents in BESIDE.items())
    yield from ((title, list(documents)) for title, documents in AFTER.items())


def extras(root: Path, name: str) -> list[str]:
    """Further documents beside a handout, such as what has changed since its release."""
    beside = sorted((root / "assignments" / name).glob("*.md"))
    return [f"assignments/{name}/{path.stem}" for path in beside if path.stem != "README"]


def documents(course: Course) -> list[str]:
    """All Markdown files that are pages, in reading order. Raises CourseError for one in no
    group."""
    found = []
    for _, group in groups(course):
        for document in group:
            if document in GENERATED:
                continue
            found.append(document)
            parts = document.split("/")
            if parts[0] == "assignments":
                found += extras(course.root, parts[1])
    for path in sorted((course.root / "docs").glob("*.md")):
        if f"docs/{path.stem}" not in found:
            raise CourseError(f"{path}: add it to a group in site/course_pages/navigation.py")
    return found
