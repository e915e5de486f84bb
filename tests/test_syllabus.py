"""docs/SYLLABUS.md, and what assignments build on."""

from __future__ import annotations

import pytest
from toy import ASSIGNMENT, NAME
from typer.testing import CliRunner

from autograder.authoring import prerequisites, syllabus
from autograder.cli import main
from autograder.errors import CourseError


@pytest.fixture
def course(toy):
    """Adds assignments after the toy's own: name -> what they need."""

    def build(needs: dict[str, list[str]], taught: tuple[str, ...] = ()) -> None:
        for name, before in needs.items():
            title = f"title: {name.title()}\nhours: 2.5\nprerequisites: [{', '.join(before)}]"
            toy.write(
                f"assignments/{name}/assignment.yml", ASSIGNMENT.replace("title: Sequences", title)
            )
        track = f"tracks: {{all: [{', '.join([NAME, *needs])}]}}\nassignments:"
        toy.edit("course.yml", "assignments:", track)
        text = (toy.root / "course.yml").read_text()
        toy.write("course.yml", text + "".join(f"  {name}: {{}}\n" for name in taught or needs))

    return build


def test_it_says_order_needs_hours_parts_and_sources(toy, course):
    course({"policies": [NAME], "later": ["policies"]}, taught=("policies",))
    toy.edit(f"assignments/{NAME}/assignment.yml", "parts:", "sources: [Bellman (1957)]\nparts:")
    text = syllabus.text(toy.course)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.split("\n")]
    assert ["1", "Sequences", "all", "", "5", "2027-02-05", "67 %"] in rows
    assert ["2", "Policies", "all", "1", "2.5", "", "33 %"] in rows
    assert "Spring 2027: 2 assignments, about 7.5 hours of work." in text
    assert "`policies`, about 2.5 hours, after `sequences`." in text
    assert "- Discounted sums\n" in text and "- Bellman (1957)\n" in text
    assert text.index("## Sequences") < text.index("## Policies")
    assert "## Not taught this term\n\n- Later (`later`), 2.5 hours\n" in text


def test_a_title_breaks_no_table_and_columns_without_cells_are_left_out(toy, course):
    toy.edit(f"assignments/{NAME}/assignment.yml", "title: Sequences", "title: A | B")
    toy.edit("course.yml", ", due: 2027-02-05T23:59:00+00:00", "")
    assert [line for line in syllabus.text(toy.course).split("\n") if line.startswith("|")] == [
        "|  | assignment | hours | weight |",
        "| :-: | -- | :-: | :-: |",
        "| 1 | A \\| B | 5 | 100 % |",
    ]


def test_a_prerequisite_that_is_not_there_is_named(toy, course):
    course({"policies": ["sequence"]})
    with pytest.raises(CourseError) as raised:
        prerequisites.check(toy.course)
    assert str(raised.value) == (
        f"{toy.root}/assignments/policies/assignment.yml: prerequisites names 'sequence', which is "
        "in no track and not in the term; did you mean 'sequences'?"
    )


@pytest.mark.parametrize(
    ("needs", "circle"),
    [
        ({"a": ["a"]}, "a needs a"),
        ({"a": ["b"], "b": ["a"]}, "a needs b needs a"),
        ({"a": [NAME, "c"], "b": ["a"], "c": ["b", NAME]}, "a needs c needs b needs a"),
    ],
)
def test_a_circle_of_prerequisites_is_shown(toy, course, needs, circle):
    course(needs)
    with pytest.raises(CourseError, match=f"lead back to where they began: {circle}$"):
        prerequisites.check(toy.course)


def test_what_comes_too_late_or_not_at_all_is_a_warning(toy, course):
    course({"a": ["b", NAME], "b": [], "c": ["d"], "d": []}, taught=("a", "b", "c"))
    warnings = [
        "a needs b, which comes later in the term",
        "c needs d, which this term does not teach",
    ]
    assert prerequisites.check(toy.course) == warnings
    assert "- Note: a needs b, which comes later in the term." in syllabus.text(toy.course)


def test_an_order_that_dates_contradict_is_a_warning(toy, course):
    course({"a": []})
    toy.edit("course.yml", "a: {}", "a: {due: 2027-02-04 23:59 UTC}")
    assert prerequisites.check(toy.course) == [
        "a is due before sequences, which is taught before it"
    ]


def test_the_command_writes_checks_and_complains(toy, course):
    course({"a": ["b"], "b": []})

    def call(*words: str):
        return CliRunner().invoke(main.app, ["syllabus", *words, "--course", str(toy.root)])

    said = call("--check")
    assert said.exit_code == 1 and "stale docs/SYLLABUS.md" in said.stdout
    said = call()
    assert said.exit_code == 0 and "a needs b, which comes later" in said.stderr
    assert (toy.root / "docs/SYLLABUS.md").read_text() == syllabus.text(toy.course)
    assert call("--check").exit_code == 0 and not syllabus.stale(toy.course)
    toy.edit("course.yml", "weight: 2", "weight: 3")
    assert call("--check").exit_code == 1
