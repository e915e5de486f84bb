"""The page of papers: what each added, and the way from its equation to a named mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator

from autograder.authoring.course import Course
from course_pages import navigation
from course_pages.citations import drawing
from course_pages.facts import linked
from course_pages.museum.laws import law_of
from course_pages.vault import Chain, Paper, Vault, further, key_of, load, readers


def page(course: Course, boards: dict[tuple[str, str], str]) -> str:
    """The page in Markdown. ``boards``: assignment and bug -> where it hangs in the museum."""
    vault = load(course)
    papers = vault.papers
    chains = sum(len(paper.ours) for paper in papers.values())
    lines = [
        "# Papers",
        "",
        f"{len(papers)} papers in three tracks. For each: what it added, what it builds on and what"
        f" it led to. In {chains} places one can follow an equation to the function that you write,"
        " to what a hidden test demands of it, and to the mistake that breaks this demand. S&B is"
        " the book of Sutton and Barto.",
        "",
    ]
    for track in vault.tracks:
        lines += [f"## {track.title}", "", drawing(track.title, track.papers), ""]
        for key, paper in sorted(track.papers.items(), key=lambda one: one[1].year):
            lines += [f"(paper-{key})=", "", _cited(paper), "", *_around(key, paper, vault, course)]
            lines += [line for one in paper.ours for line in _chain(one, course, boards)]
            lines.append("")
    rest = [
        f"- {linked(source)}. Read in {_handout(course, name)}."
        for name, source in further(vault, course)
    ]
    if rest:
        lines += ["## Further sources of the assignments", "", *rest]
    return "\n".join(lines) + "\n"


def _handout(course: Course, name: str) -> str:
    return f"[{course.assignment(name).title}]({navigation.handout(name)}.md)"


def _cited(paper: Paper) -> str:
    where = paper.where
    if "/" in where and "." in where.split("/")[0]:
        where = f"[{where}](https://{where})"
    if paper.arxiv:
        number = f"[arXiv:{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})"
        where = number if where == "arXiv" else f"{where}, {number}"
    stop = "" if paper.title.endswith(("?", "!")) else "."
    return f"**{paper.authors} ({paper.year}).** *{paper.title}{stop}* {where}. {paper.adds}"


def _around(key: str, paper: Paper, vault: Vault, course: Course) -> Iterator[str]:
    """What it builds on, what it led to, and where it is read."""

    def listed(keys: list[str]) -> str:
        return ", ".join(f"[{vault.papers[one].short}](#paper-{one})" for one in keys)

    led = [other for other, one in vault.papers.items() if key in one.builds_on]
    read = [_handout(course, name) for name in readers(paper, course)]
    parts = [f"Builds on {listed(list(paper.builds_on))}."] if paper.builds_on else []
    parts += [f"Led to {listed(led)}."] if led else []
    parts += [f"Read in {', '.join(read)}."] if read else []
    if parts:
        yield from (" ".join(parts), "")


def _chain(chain: Chain, course: Course, boards: dict[tuple[str, str], str]) -> Iterator[str]:
    name = chain.function.partition(".")[0]
    key = key_of(course.root, name)
    law = law_of(course.assignment(name), key.kills, chain.bug)
    number = _number(chain.number)
    yield f"- ${chain.equation}${number} → [`{chain.function}`]({navigation.handout(name)}.md)"
    yield f"  - The hidden test demands: “{law}”"
    board = boards.get((name, chain.bug))
    seen = f' <a href="{board}">See it in the museum.</a>' if board else ""
    yield f"  - It fails when {key.texts[chain.bug]}{seen}"


def _number(number: str) -> str:
    """An equation's number in brackets. Those with a dot are the book's."""
    if not number or number.startswith("arXiv"):
        return ""
    from_the_book = re.fullmatch(r"(?:eq\. )?\d+\.\d+", number)
    return f" (S&B {number})" if from_the_book else f" ({number})"
