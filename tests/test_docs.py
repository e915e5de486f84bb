"""What the documents name exists: commands and their options, files, make targets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt

from autograder.cli.main import app

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("assignments", "autograder", "docs", "examples", "grading", "requirements")
FOLDERS += ("solutions", "starter", "tests", ".ci")
HANDOUTS = sorted(ROOT.glob("assignments/*/*.md"))
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
DOCUMENTS += [ROOT / "requirements" / "README.md", ROOT / "examples" / "submissions" / "README.md"]
# These are described but not in the code yet. When one is added, remove it from this list.
COMING: set[str] = set()
ENDS = {"|", "||", "&&", ";", ">", "<", "&", "\\"}


def code(text: str) -> Iterator[str]:
    """Every code span of a document, and every command line of its code blocks."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "fence":
            yield from token.content.replace("\\\n", " ").splitlines()
        for child in token.children or ():
            if child.type == "code_inline":
                yield child.content


def calls(text: str) -> Iterator[list[str]]:
    """The words after `python -m autograder` (AG for short) up to the end of that command."""
    for line in code(text):
        for found in re.finditer(r"(?:python3? -m autograder|\bAG)\s+([a-z].*)", line):
            try:
                words = shlex.split(found[1].rstrip("'"), comments=True)
            except ValueError:  # the rest of the line closes a quotation
                words = found[1].split()
            end = next((at for at, word in enumerate(words) if word in ENDS), len(words))
            yield words[:end]


def unknown(words: list[str], command: Any) -> Iterator[str]:
    """Those of the words that name neither a command nor one of its options."""
    path = []
    words = list(words)
    while (commands := getattr(command, "commands", None)) and words and words[0][0] != "-":
        path.append(words.pop(0).rstrip("."))
        if path[-1] not in commands:
            yield " ".join(path)
            return
        command = commands[path[-1]]
    options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    for word in words:
        if word.startswith("--") and word.partition("=")[0] not in {*options, "--help"}:
            yield " ".join([*path, word])


def paths(text: str) -> Iterator[str]:
    """Files and folders of the course that a document names. A capital word stands for anything."""
    named = [span for line in code(text) for span in line.split()]
    own = re.sub(r"https?://\S+", "", text)
    named += re.findall(r"\b(?:docs|requirements)/[\w.]+\w", own)
    for name in named:
        name = name.strip("`'\"(),:;").rstrip(".").partition("::")[0]
        first = name.partition("/")[0]
        if "/" in name and re.fullmatch(r"[\w./*-]+", name):
            if first in FOLDERS:
                yield name
            elif first and (ROOT / "autograder" / first).is_dir() and "." not in first:
                yield f"autograder/{name}"


def targets(text: str) -> Iterator[str]:
    """The make targets that a document names."""
    for line in code(text):
        for found in re.finditer(r"(?:^|\s)make((?: +[a-z][a-z-]*\b(?!=))+)", line.split("#")[0]):
            yield from found[1].split()


def exists(path: str) -> bool:
    return any(ROOT.glob(re.sub(r"\b[A-Z]{3,}\b(?!\.md)", "*", path).rstrip("/")))


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, *HANDOUTS], ids=lambda path: str(path.relative_to(ROOT))
)
def test_what_a_document_names_exists(document):
    text = re.sub("<!--.*?-->", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    command = typer.main.get_command(app)
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lost = [f"autograder {name}" for call in calls(text) for name in unknown(call, command)]
    lost += [path for path in paths(text) if not exists(path)]
    lost += [f"make {target}" for target in targets(text) if target not in made]
    coming = [name for name in lost if name.removeprefix("autograder ").rstrip("/") in COMING]
    assert not set(lost) - set(coming)


def test_what_is_said_to_be_coming_is_not_there_yet():
    command = typer.main.get_command(app)
    there = {name for name in COMING if "/" in name and exists(name)}
    there |= {name for name in COMING if "/" not in name and not [*unknown(name.split(), command)]}
    assert not there, "take these out of COMING"


def test_each_kind_of_name_is_found_in_a_document():
    text = """Run `python -m autograder grade gae X --oout marks`, or `AG mark`, see docs/NONE.md.

```sh
make demo checks PARITY=gae    # make nothing
cat cli/main.py docs/TERM.md tests/none.py \\
    && python -m autograder export gradescop
```
"""
    command = typer.main.get_command(app)
    found = [name for call in calls(text) for name in unknown(call, command)]
    assert found == ["grade --oout", "mark", "export gradescop"]
    assert list(targets(text)) == ["demo", "checks"]
    assert [path for path in paths(text) if not exists(path)] == ["tests/none.py", "docs/NONE.md"]
    assert "autograder/cli/main.py" in set(paths(text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_line_is_longer_than_100_columns(document):
    lines = document.read_text(encoding="utf-8").splitlines()
    long = [line for line in lines if len(line) > 100 and not line.lstrip().startswith("|")]
    assert [line for line in long if "$" not in line and "http" not in line] == []


def test_the_readme_is_short_and_the_glossary_explains_what_it_promises():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    glossary = text.partition("## Glossary")[2].partition("## ")[0]
    assert len(re.findall(r"^\| (?!--|word)[\w ]+ \| .+ \|$", glossary, re.MULTILINE)) == 15
