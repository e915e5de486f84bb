"""Whose is what in a folder of submissions: a plain one, or a learning platform's bulk download.

plain       one file, notebook, zip or folder for each student, named after the student
canvas      flat files ``lastfirst_12345_67890_gae.py``, with ``_LATE`` after the name where Canvas
            counts it as late (and ``anonymous`` for a name that it hides), then the user's and the
            attachment's number. Canvas makes a name safe by dropping what is not a letter or digit.
            (Instructure's guide "How do I download all student submissions for an assignment?"; the
            order of the parts as in Canvas' lib/submission downloads, content_zipper.rb.)
moodle      folders ``First Last_12345_assignsubmission_file_`` (an online text's folder ends in
            ``_onlinetext_``); without "download in folders" files begin like that. (Moodle's manual
            "Assignment settings", "Download submissions in folders"; mod/assign/locallib.php.)
gradescope  ``submission_metadata.yml`` and folders ``submission_123``; the file gives for each one
            ``:submitters:`` (``:name:``, ``:sid:``, ``:email:``) and ``:created_at:``.
            (Gradescope's help, "Export submissions"; the same fields as otter-grader reads.)

Only Gradescope says when something came in; for the others the times are in received.csv.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from autograder.errors import CourseError
from autograder.marking.intake import archives, names

METADATA = "submission_metadata.yml"
CANVAS = re.compile(r"(?P<name>[^_]+)(?P<late>_LATE)?_(?P<id>\d+)_\d+_(?P<file>.+)", re.DOTALL)
MOODLE = re.compile(
    r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?P<kind>file|onlinetext)_?(?P<file>.*)", re.DOTALL
)
LAYOUTS = ("auto", "plain", "canvas", "moodle", "gradescope")


@dataclass
class Entry:
    """One student's files, by the names that the student gave them, and what the platform says."""

    # The name that says whose work it is.
    stem: str
    paths: dict[str, Path] = field(default_factory=dict)
    received: datetime | None = None
    # Further names for the same person: numbers, addresses.
    known_as: tuple[str, ...] = ()
    # The platform says that it is late, but not since when.
    late: bool = False


@dataclass
class Layout:
    """The entries of a folder, and the names of what is not a submission."""

    entries: list[Entry]
    passed_over: list[str]


def read(folder: Path, layout: str = "auto") -> Layout:
    """The submissions in a folder. Raises CourseError if the folder does not have the layout."""
    if layout not in LAYOUTS:
        raise CourseError(f"--layout {layout}: one of {', '.join(LAYOUTS)} is expected")
    listed = sorted(entry for entry in folder.iterdir() if not names.is_silent(entry.name))
    listed = [entry for entry in listed if not (entry.is_dir() and _is_tool_s(entry))]
    aside = [e for e in listed if not e.is_dir() and names.is_not_a_submission(e.name)]
    rest = [entry for entry in listed if entry not in aside]
    chosen = _recognised(folder, rest) if layout == "auto" else layout
    entries = _READERS[chosen](folder, rest)
    if layout not in ("auto", "plain") and not any(entry.paths for entry in entries):
        raise CourseError(f"{folder}: nothing here is named as {layout} names it: --layout plain")
    known = {METADATA} if chosen == "gradescope" else set()
    passed = [names.passed_over(entry.name) for entry in aside if entry.name not in known]
    taken = {path for entry in entries for path in entry.paths.values()}
    left = [names.passed_over(entry.name) for entry in rest if entry not in taken]
    return Layout(entries, passed + left)


def _is_tool_s(folder: Path) -> bool:
    return not folder.is_symlink() and archives.is_environment(folder)


def _recognised(folder: Path, entries: list[Path]) -> str:
    """The platform that names all of them; plain if one of them has another form."""
    if (folder / METADATA).is_file() and any(e.name.startswith("submission_") for e in entries):
        return "gradescope"
    if entries and all(MOODLE.fullmatch(entry.name) for entry in entries):
        return "moodle"
    if entries and all(not e.is_dir() and CANVAS.fullmatch(e.name) for e in entries):
        return "canvas"
    return "plain"


def _plain(folder: Path, entries: list[Path]) -> list[Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        is_folder = entry.is_dir() and not entry.is_symlink()
        stem = names.stem(entry.name, is_folder)
        found.setdefault(stem, Entry(stem)).paths[entry.name] = entry
    for one in found.values():
        readable = {n: p for n, p in one.paths.items() if p.is_dir() or names.kind(n)[1]}
        one.paths = readable or one.paths
    return list(found.values())


def _canvas(folder: Path, entries: list[Path]) -> list[Entry]:
    return _by_number(entries, CANVAS)


def _moodle(folder: Path, entries: list[Path]) -> list[Entry]:
    return _by_number(entries, MOODLE)


def _by_number(entries: list[Path], pattern: re.Pattern[str]) -> list[Entry]:
    """One entry for each person: those of the same name are told apart by their number."""
    people: dict[tuple[str, str], Entry] = {}
    for path in entries:
        if not (found := pattern.fullmatch(path.name)):
            continue
        parts = found.groupdict()
        person = (parts["name"], parts["id"])
        if person not in people:
            people[person] = Entry(parts["name"], known_as=(parts["id"],))
        if parts.get("kind") != "onlinetext":
            people[person].paths[parts["file"] or path.name] = path
        people[person].late |= bool(parts.get("late"))
    same = defaultdict(list)
    for (name, _), entry in people.items():
        same[name.casefold()].append(entry)
    for group in same.values():
        for entry in group if len(group) > 1 else ():
            entry.stem = f"{entry.stem}_{entry.known_as[0]}"
    return list(people.values())


def _gradescope(folder: Path, entries: list[Path]) -> list[Entry]:
    path = folder / METADATA
    try:
        told = yaml.load(path.read_text(encoding="utf-8"), _Symbols)
        told = dict(told)
    except FileNotFoundError:
        raise CourseError(f"{path} is missing: unpack the whole export of Gradescope") from None
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise CourseError(
            f"{path} cannot be read ({type(error).__name__}): download the export again"
        ) from None
    return [_one_of_gradescope(entry, told.get(entry.name)) for entry in entries if entry.is_dir()]


def _one_of_gradescope(folder: Path, told: Any) -> Entry:
    """The first submitter's work; a group's other members are among the further names."""
    data = told if isinstance(told, dict) else {}
    people = [one for one in data.get("submitters") or [] if isinstance(one, dict)]
    known = [str(one[key]) for one in people for key in ("email", "sid", "name") if one.get(key)]
    emails = [str(one["email"]) for one in people if one.get("email")]
    stem = emails[0] if emails else known[0] if known else folder.name
    time = data.get("created_at")
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.replace(" UTC", "+00:00").strip())
        except ValueError:
            time = None
    if isinstance(time, datetime) and time.tzinfo is None:
        # YAML's time stamps are UTC if they name no zone.
        time = time.replace(tzinfo=UTC)
    received = time if isinstance(time, datetime) else None
    return Entry(stem, {folder.name: folder}, received, tuple(known))


class _Symbols(yaml.SafeLoader):
    """Plain data; Ruby's symbols (``:name:``) are words, and its own tags are passed over."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value.startswith(":"):
                key.value, key.tag = key.value[1:], "tag:yaml.org,2002:str"
        super().flatten_mapping(node)


def _passed(loader: _Symbols, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        return loader.construct_mapping(node, deep=True)
    return None


_Symbols.add_multi_constructor("!ruby/", _passed)

_READERS: dict[str, Callable[[Path, list[Path]], list[Entry]]] = {
    "plain": _plain,
    "canvas": _canvas,
    "moodle": _moodle,
    "gradescope": _gradescope,
}
