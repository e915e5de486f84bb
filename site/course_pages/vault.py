"""The papers of site/papers.yml, and what of the course they lead to.

A function, an equation's number or a bug that does not exist is refused, and so is an arXiv number
that assignment.yml knows otherwise.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from autograder.authoring.course import Assignment, Course, load_assignment
from autograder.authoring.yaml_file import parse, read_yaml
from autograder.errors import CourseError
from autograder.judging.diagnose import AnswerKey
from course_pages.katex import SITE

PATH = SITE / "papers.yml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Chain(_Strict):
    """Equation -> function -> law -> mistake. ``number``: as the function's docstring has it."""

    equation: str
    number: str = ""
    function: str
    bug: str


class Paper(_Strict):
    """One paper; ``builds_on`` names others."""

    authors: str
    year: int
    title: str
    where: str
    arxiv: str = ""
    adds: str
    builds_on: tuple[str, ...] = ()
    ours: tuple[Chain, ...] = ()

    @property
    def short(self) -> str:
        """Who and when: one or two names, or the first of many."""
        names = self.authors.replace(" and ", ", ").split(", ")
        who = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
        return f"{who} ({self.year})"


class Track(_Strict):
    """Papers that one reads together, by their keys."""

    title: str
    papers: dict[str, Paper]


class Vault(_Strict):
    """All of them."""

    values: Track
    policies: Track
    language: Track

    @property
    def tracks(self) -> tuple[Track, ...]:
        """In the order of the course."""
        return self.values, self.policies, self.language

    @property
    def papers(self) -> dict[str, Paper]:
        """By their keys."""
        return {key: paper for track in self.tracks for key, paper in track.papers.items()}


def load(course: Course) -> Vault:
    """The papers. Raises CourseError with one line for each thing that is wrong."""
    vault = parse(Vault, PATH, read_yaml(PATH))
    if wrong := list(_mistakes(vault, course)):
        raise CourseError("\n".join(f"{PATH}: {one}" for one in wrong))
    return vault


def _mistakes(vault: Vault, course: Course) -> Iterator[str]:
    papers = vault.papers
    for key, paper in papers.items():
        yield from (
            f"{key} builds on {x}: no such paper" for x in paper.builds_on if x not in papers
        )
        for source in readers(paper, course).values():
            known = re.search(r"arXiv:(\d{4}\.\d{4,5})", source)
            if known and known[1] != paper.arxiv:
                yield f"{key}: assignment.yml says arXiv:{known[1]}"
        yield from (f"{key}: {finding}" for one in paper.ours for finding in _unfit(one, course))


def readers(paper: Paper, course: Course) -> dict[str, str]:
    """The assignments that name a paper as a source, and as which."""
    title = paper.title.casefold()
    return {
        one.name: source
        for one in course.catalogue
        for source in one.sources
        if title in source.casefold() and str(paper.year) in source
    }


def further(vault: Vault, course: Course) -> Iterator[tuple[str, str]]:
    """What assignments name as a source and these papers lack: name of the assignment, source."""
    titles = [paper.title.casefold() for paper in vault.papers.values()]
    for one in course.catalogue:
        for source in one.sources:
            if not any(title in source.casefold() for title in titles):
                yield one.name, source


def _unfit(chain: Chain, course: Course) -> Iterator[str]:
    name, _, function = chain.function.partition(".")
    if name not in {one.name for one in course.catalogue}:
        yield f"there is no assignment '{name}'"
        return
    assignment = course.assignment(name)
    documentation = _documentation(assignment).get(function)
    if documentation is None:
        yield f"{assignment.solution.name} has no {function}"
    elif chain.number not in " ".join(documentation.split()):
        yield f"the docstring of {function} does not say '{chain.number}'"
    key = key_of(course.root, name)
    if chain.bug not in key.texts:
        yield f"{name} has no bug '{chain.bug}'"
    elif not key.kills.get(chain.bug):
        yield f"no hidden test of {name} finds '{chain.bug}'"


@cache
def key_of(root: Path, name: str) -> AnswerKey:
    """The answer key of an assignment, made once."""
    return AnswerKey(load_assignment(root, name))


def _documentation(assignment: Assignment) -> dict[str, str]:
    """The docstrings of a solution's functions, methods and classes, by qualified name."""
    found: dict[str, str] = {}
    kinds = (ast.FunctionDef, ast.ClassDef)
    for node in ast.parse(assignment.solution.read_text(encoding="utf-8")).body:
        if isinstance(node, kinds):
            found[node.name] = ast.get_docstring(node) or ""
            inner = [one for one in node.body if isinstance(one, kinds)]
            found |= {f"{node.name}.{one.name}": ast.get_docstring(one) or "" for one in inner}
    return found
