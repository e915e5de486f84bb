"""What a name says: the kind of a file, whose it is, and that something is not a submission."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Mapping
from pathlib import PurePath

from autograder.marking.names import safe
from autograder.marking.received import RECEIVED

# Files beside the students' folders.
RESERVED = {"gradebook.csv", "report.html"}
KINDS = (".py", ".ipynb", ".zip")
SKIPPED_FOLDERS = {
    *("__MACOSX", "__pycache__", ".ipynb_checkpoints", ".git", ".venv", "venv"),
    *("site-packages", "node_modules"),
}
# Endings that systems and browsers add: gae.py.txt, gae.ipynb.json.
ADDED = (".txt", ".json", ".download", ".html")
# Kinds that a student may submit by mistake. Other kinds are passed over.
WORK = {
    *(".doc", ".docx", ".odt", ".pdf", ".rtf", ".txt", ".md", ".html", ".htm", ".pages", ".tex"),
    *(".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".pyc", ".java", ".m", ".r", ".c"),
    *(".cpp", ".jl", ".js", ".png", ".jpg", ".jpeg", ".heic", ".pyi", ".pkl", ".pt", ".pth"),
}
NOT_WORK = {
    *(".csv", ".tsv", ".xlsx", ".xls", ".ods", ".numbers", ".yml", ".yaml", ".json", ".xml"),
    *(".db", ".ini", ".log", ".toml", ".cfg", ".lnk", ".url", ".webloc", ".bak", ".tmp"),
    *(".part", ".crdownload", ".swp", ".lock", ".sh", ".bat", ".sqlite"),
}


def kind(name: str) -> tuple[str, str]:
    """Stem and kind of a file: ("gae", ".py") of gae.PY and gae.py.txt; ("x.doc", "") of x.doc."""
    path = PurePath(name)
    if path.suffix.lower() in ADDED and PurePath(path.stem).suffix.lower() in KINDS:
        path = PurePath(path.stem)
    suffix = path.suffix.lower()
    return (path.stem, suffix) if suffix in KINDS else (name, "")


def stem(name: str, is_folder: bool) -> str:
    """The owner of a file or folder among the submissions: its name without the kind."""
    found, suffix = kind(name)
    if suffix or is_folder:
        return found
    path = PurePath(name)
    while path.suffix.lower() in WORK:
        path = PurePath(path.stem)
    return path.name


def is_silent(name: str) -> bool:
    """Whether a file is so ordinary that it need not be mentioned."""
    hidden = name.startswith(".") or name.upper().startswith("README")
    return hidden or name == RECEIVED or name in SKIPPED_FOLDERS


def is_not_a_submission(name: str) -> bool:
    """A file that is not a submission: a table, a system's file, a file that is half written."""
    lower = name.lower()
    if kind(name)[1]:
        return False
    return PurePath(lower).suffix in NOT_WORK or lower.endswith("~") or lower == "icon\r"


def passed_over(name: str) -> str:
    """The name, with a question if it is nearly received.csv."""
    shown = "".join(c if c.isprintable() else " " for c in name)[:80]
    if name != RECEIVED and difflib.get_close_matches(name.lower(), [RECEIVED], cutoff=0.8):
        return f"{shown} (did you mean {RECEIVED}?)"
    return shown


def student(stem: str, taken: Mapping[str, object]) -> str:
    """A name that is safe for a folder and not yet taken: letters, digits, and . _ @ + -."""
    name = safe(stem)
    if name.casefold() in {other.casefold() for other in taken} | RESERVED:
        name += f"-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:6]}"
    return name
