"""CSV files as spreadsheets and learning platforms write them."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from autograder.errors import CourseError

SEPARATORS = ",;\t"
# Excel writes and reads this on the first line.
_SAID = re.compile(rf"sep=([{SEPARATORS}])\s*$", re.MULTILINE | re.IGNORECASE)


def read_table(path: Path) -> list[tuple[int, list[str]]]:
    """The rows with their line numbers, cells without spaces around them.

    Commas, semicolons or tabs separate cells. Raises CourseError for what is not such a table.
    """
    try:
        # Spreadsheets begin with a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text))
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
        return rows[1:] if _SAID.match(text) else rows
    except FileNotFoundError:
        raise CourseError(f"{path}: there is no such file") from None
    except (UnicodeDecodeError, csv.Error):
        raise CourseError(f"{path}: this is not CSV in UTF-8: save it as CSV (UTF-8)") from None


def _separator(text: str) -> str:
    """The separator that the file names, or that of its first line with any text."""
    if said := _SAID.match(text):
        return said[1]
    head = next((line for line in text.splitlines() if line.strip()), "")
    try:
        return csv.Sniffer().sniff(head, SEPARATORS).delimiter
    except csv.Error:
        return ","
