"""The lines of a Python text by its tokens, so that the contents of a string are never code."""

from __future__ import annotations

import io
import tokenize

_SILENT = {tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def comments(text: str) -> dict[int, str]:
    """Comments that are alone on their line: line number -> text."""
    return {
        token.start[0]: token.string.rstrip()
        for token in _tokens(text)
        if token.type == tokenize.COMMENT and token.line.strip() == token.string.rstrip()
    }


def logical(text: str) -> dict[int, int]:
    """First line -> last line of every logical line."""
    spans: dict[int, int] = {}
    first: int | None = None
    for token in _tokens(text):
        if first is None and token.type not in _SILENT:
            first = token.start[0]
        if token.type == tokenize.NEWLINE and first is not None:
            spans[first], first = token.start[0], None
    return spans


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text).readline))
