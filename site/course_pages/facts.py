"""What course.yml and assignment.yml say about an assignment, on its handout's page."""

from __future__ import annotations

import re
from collections.abc import Callable

from sphinx.application import Sphinx

from autograder.authoring.course import Assignment, Course
from course_pages import editor, navigation


def setup(app: Sphinx, course: Course) -> None:
    """Add the facts to each handout while Sphinx reads it. The file itself does not change."""
    by_document = {navigation.handout(one.name): one for one in course.catalogue}

    def add(app: Sphinx, document: str, source: list[str]) -> None:
        if document in by_document:
            source[0] = with_facts(source[0], by_document[document], course)

    app.connect("source-read", add)


def with_facts(handout: str, assignment: Assignment, course: Course) -> str:
    """The handout in Markdown, with facts below its title and sources at its end."""
    title, rest = handout.split("\n", 1)
    parts = [title, _box(assignment, course), rest.strip(), _sources(assignment)]
    beside = navigation.extras(course.root, assignment.name)
    if beside:
        names = "\n".join(document.rsplit("/", 1)[1] for document in beside)
        parts.append(f"```{{toctree}}\n:hidden:\n\n{names}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def _box(assignment: Assignment, course: Course) -> str:
    links = [
        f"[{course.assignment(name).title}](../{name}/README.md)"
        for name in assignment.prerequisites
    ]
    facts = [f"about {assignment.hours:g} hours"]
    facts += [f"after {', '.join(links)}"] if links else []
    facts += [f"due {assignment.due:%-d %B %Y, %H:%M %Z}"] if assignment.due else []
    facts += [f"hand in `{', '.join(assignment.submit)}`"]
    if editor.in_browser(assignment):
        facts += [f"[write and test it in your browser](../../write/{assignment.name}.md)"]
    return f"```{{container}} facts\n{' · '.join(facts)}\n```"


def _sources(assignment: Assignment) -> str:
    if not assignment.sources:
        return ""
    lines = "\n".join(f"- {linked(source)}" for source in assignment.sources)
    summary = "<summary>All sources of this assignment</summary>"
    return f'<details class="sources">{summary}\n\n{lines}\n\n</details>'


def linked(source: str) -> str:
    """A source in Markdown, with a link where it names a paper's number or a web address."""
    rules: list[tuple[str, Callable[[re.Match[str]], str]]] = [
        (r"arXiv:(\d{4}\.\d{4,5})", lambda m: f"[{m[0]}](https://arxiv.org/abs/{m[1]})"),
        (r"(?<![/\w.])[\w-]+(\.[\w-]+)*\.\w{2,}/[\w./-]+\w", lambda m: f"<https://{m[0]}>"),
    ]
    for pattern, link in rules:
        if re.search(pattern, source):
            return re.sub(pattern, link, source)
    return source
