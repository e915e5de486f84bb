"""One normal form of names, for submissions, rosters and times of receipt."""

from __future__ import annotations

import re
import unicodedata


def safe(name: str) -> str:
    """The name as a folder may have it: letters, digits and . _ @ + - in Unicode's composed form.

    Spaces, commas and apostrophes become underscores.
    """
    composed = unicodedata.normalize("NFC", name)
    return re.sub(r"[^\w.@+-]", "_", composed).lstrip(".")[:80] or "_"


def key(name: str) -> str:
    """What two spellings of one name have in common: ``safe``, and no difference of case."""
    return unicodedata.normalize("NFC", safe(name.strip()).casefold())
