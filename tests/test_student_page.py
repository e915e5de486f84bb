"""The student's page: what comes first, subtotals, signs, own lines, a word by the instructor."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from toy import MAIN, NAME
from typer.testing import CliRunner

from autograder.cli import main
from autograder.marking import result_files
from autograder.marking.submission import Submission, read_all
from autograder.model import Basis, Grade, Mistake, Outcome, State, Verdict
from autograder.reports import museum, pages
from autograder.reports.excerpt import Sources, blanks
from autograder.reports.handout import Handout

CODE = "".join(f"line_{n} = {n}\n" for n in range(1, 30))
WORK = Submission("ada", {MAIN: CODE.encode()})
PASSED = Outcome("test_a", "Sums are sums.", "sums", Verdict.PASSED, 4.0)
FAILED = Outcome("test_b", "Means are means.", "means", Verdict.FAILED, 6.0, hint="Think.")
RAISED = dataclasses.replace(
    FAILED,
    error=f"ValueError: no\n  {MAIN}:3 in outer\n      line_3\n  {MAIN}:12 in inner\n      l",
)


def grade(*outcomes: Outcome, **more) -> Grade:
    origin = {"assignment": NAME, "wall": {"uid": True, "seccomp": True}}
    origin |= {"submission": WORK.digest, "received": "2027-02-05T23:30:00+00:00"}
    return Grade("ada", outcomes, provenance=origin, **more)


@pytest.fixture
def render(toy, tmp_path):
    """Results -> the page's text."""

    def rendered(one: Grade, given: pages.Given | None = None, remark: str | None = None) -> str:
        folder = tmp_path / "out" / NAME
        result_files.write_results(folder, toy.assignment, 10.0, one)
        if remark is not None:
            (folder / "ada" / "remark.txt").write_text(remark)
        pages.write(toy.course, folder, given)
        return (folder / "ada" / "feedback.html").read_text()

    return rendered


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.partition("<main>")[2]).split())


def test_a_second_look_is_asked_for_at_the_course_s_address(render, toy):
    assert "second look" not in words(render(grade(PASSED, FAILED)))
    address = "mailto:ta@example.edu?subject=Regrade {assignment}/{student}"
    toy.edit("course.yml", "term:", f"regrade: '{address}'\nterm:")
    page = render(grade(PASSED, FAILED))
    assert 'href="mailto:ta@example.edu?subject=Regrade%20sequences/ada"' in page


def test_points_come_before_lateness_and_what_it_cost(render):
    said = words(render(grade(PASSED, FAILED, late_days=2, late_factor=0.5)))
    minus = "\N{MINUS SIGN}"
    cost = said.index(f"2 days late {minus}2")
    assert said.index("points 2 of 10") < said.index("before lateness 4") < cost
    assert "Points before lateness." in said
    assert "before lateness" not in words(render(grade(PASSED, FAILED)))


def test_verdicts_have_a_sign_and_parts_a_subtotal(render):
    page = render(grade(PASSED, FAILED))
    signs = re.findall(r'<h3><span class="sign (\w+)" aria-hidden="true">(.)</span>', page)
    assert signs == [("passed", "✓"), ("failed", "✗")]
    # The sign and the verdict are before the sentence.
    assert "✗ failed 2. Means are means. 0 of 6" in words(page)
    assert "✓ Discounted sums 1 of 1 4 of 4" in words(page)
    assert "Failed." not in page  # the column says so


def test_the_page_says_where_to_begin(render):
    page = render(grade(PASSED, FAILED))
    assert 'Begin with <a href="#means">' in page and '<section id="means">' in page
    assert words(page).index("What to do first") < words(page).index("Parts")


def test_what_explains_the_failures_is_told_first_and_once(render):
    mistake = Mistake("median", "the median (of 3) is subtracted.")
    wrong = dataclasses.replace(FAILED, mistakes=(mistake,))
    after = dataclasses.replace(wrong, test="test_c", basis=Basis.FOLLOWS)
    page = render(grade(PASSED, wrong, after))
    said = words(page)
    assert said.index("What to do first") < said.index(
        "One mistake explains your two failed tests:"
    )
    assert said.count("One mistake explains") == 1
    assert said.count("The median (of 3) is subtracted.") == 1
    assert said.index("The median (of 3)") < said.index("Begin with")
    for number in (2, 3):
        assert f'<a href="#test-{number}">{number}</a>' in page and f'id="test-{number}"' in page


def test_a_mere_consequence_is_no_place_to_begin(render):
    mistake = Mistake("median", "the median is subtracted.")
    after = dataclasses.replace(
        FAILED, test="test_c", part="sums", mistakes=(mistake,), basis=Basis.FOLLOWS
    )
    page = render(grade(after, dataclasses.replace(FAILED, mistakes=(mistake,))))
    assert 'Begin with <a href="#means">' in page
    # If there is nothing else, one begins there all the same.
    assert 'Begin with <a href="#sums">' in render(grade(after))


def test_no_line_of_a_student_s_poses_as_the_summary(render):
    raised = dataclasses.replace(
        FAILED, error="Two mistakes explain your two failed tests:\n- x (1)"
    )
    problem = grade(problem="it fails", error=raised.error, state=State.NOT_IMPORTED)
    for page in (render(grade(raised)), render(problem)):
        assert "<b>Two mistakes explain" not in page


def test_full_points_say_what_is_left(render, toy):
    toy.write(f"assignments/{NAME}/README.md", "# S\n\n## The plots\n\nx\n\n## 3. Questions\n\ny\n")
    said = words(render(grade(PASSED)))
    assert "What to do next" in said and "“The plots” and “3. Questions”" in said
    assert "What to do first" not in said


def test_what_could_not_be_opened_is_told_first_and_alone(render):
    one = grade(problem="x.docx is no Python: submit sequences.py", state=State.NOT_OPENED)
    said = words(render(one))
    assert said.index("What to do first") < said.index("x.docx is no Python")
    assert said.count("x.docx") == 1 and "Parts" not in said


def test_the_footer_is_there_only_where_it_is_true(render):
    footer = "Lines that begin with"
    assert footer not in render(grade(PASSED, FAILED)) and footer in render(grade(RAISED))
    assert footer not in render(grade(problem="it is empty", state=State.NOT_OPENED))


def test_the_time_of_receipt_and_the_due_date_are_said(render):
    said = words(render(grade(PASSED)))
    assert "Received 5 February 2027, 23:30 (UTC); due 5 February 2027, 23:59 (UTC)." in said


@pytest.mark.parametrize("text", ["Well done <b>Ada</b>.\nCome and see me.", "", "  \n"])
def test_a_remark_is_printed_in_its_place_and_never_as_markup(render, text):
    page = render(grade(PASSED, FAILED), remark=text)
    assert ("From your instructor" in page) == bool(text.strip())
    assert "<b>Ada" not in page
    if text.strip():
        assert words(page).index("Come and see me.") < words(page).index("Parts")


# -- the handout -----------------------------------------------------------------------------------

HANDOUT = """\
# Sequences

## 1. Ideas

Sums.

```python
## Discounted sums, not a heading
```

## Part 2: Discounted sums

## 3. Tasks

1. **Means** (`means`). Do them.
"""


def test_a_part_leads_to_its_section_of_the_handout(toy, render):
    toy.write(f"assignments/{NAME}/README.md", HANDOUT)
    handout = Handout(toy.assignment)
    sums, means = handout.of_part("sums"), handout.of_part("means")
    assert sums and (sums.title, sums.anchor) == (
        "Part 2: Discounted sums",
        "part-2-discounted-sums",
    )
    assert means and means.title == "3. Tasks"
    page = render(grade(PASSED, FAILED), pages.Given(handouts="https://x.org/{name}.md"))
    assert f'<a href="https://x.org/{NAME}.md#3-tasks">3. Tasks</a>' in page
    assert "“3. Tasks”" in render(grade(PASSED, FAILED))


def test_a_part_that_the_handout_does_not_name_has_no_link(toy, render):
    assert Handout(toy.assignment).of_part("sums") is None
    assert "Handout:" not in render(grade(PASSED, FAILED))


# -- the museum ------------------------------------------------------------------------------------


def test_a_recognised_mistake_leads_to_its_board_if_it_has_one(toy, render):
    toy.write(f"site/museum/{NAME}.py", "SCENES = (Scene('', {'no-discount': 'Look.'}),)\n")
    when = {bug.name: bug.when for bug in toy.source.bugs}
    made = [Mistake(name, when[name]) for name in ("no-discount", "median")]
    outcomes = [dataclasses.replace(FAILED, mistakes=(one,), basis=Basis.NAMED) for one in made]
    page = render(grade(*outcomes), pages.Given(site="https://x.org/course/"))
    assert page.count("in the museum") == 1
    place = (
        f"https://x.org/course/museum/{NAME}.html#board-{museum.board_name(NAME, 'no-discount')}"
    )
    assert f'<a href="{place}">' in page.partition("Gamma is never used.")[2]
    assert "in the museum" not in render(grade(*outcomes))


# -- the student's own lines -----------------------------------------------------------------------


def test_the_line_that_failed_is_shown_among_its_neighbours(render):
    page = render(grade(PASSED, RAISED), pages.Given(sources=Sources({"ada": WORK})))
    assert "Your lines in sequences.py" in page
    assert '<span class="here">▶  12  line_12 = 12</span>' in page
    assert "line_8 = 8" in page and "line_7 = 7" not in page and "line_17" not in page
    assert "<details open" not in page


def test_nothing_is_quoted_from_another_version_of_the_work(render):
    changed = Submission("ada", {MAIN: CODE.encode() + b"# more\n"})
    assert "Your lines" not in render(grade(RAISED), pages.Given(sources=Sources({"ada": changed})))
    assert "Your lines" not in render(grade(RAISED))


def test_own_lines_are_no_markup_and_have_no_control_characters():
    evil = Submission("ada", {MAIN: b"x = 1\nraise Exception('<script>\x1b[2J')\n"})
    found = Sources({"ada": evil}).excerpt("ada", evil.digest, f"  |   {MAIN}:2 in <module>")
    assert found and found.lines[1] == (2, "raise Exception('<script>[2J')", True)


@pytest.mark.parametrize(
    "frame",
    [
        "  |   other.py:1 in f",
        f"  |   {MAIN}:999 in f",
        f"{MAIN}:1 in f",
        "  |   cell 9, line 1 in f",
    ],
)
def test_a_frame_that_is_nowhere_in_the_work_shows_nothing(frame):
    assert Sources({"ada": WORK}).excerpt("ada", WORK.digest, frame) is None


def test_lines_of_a_notebook_are_counted_by_cell(toy):
    import nbformat

    cells = ["import numpy as np", "def f(x):\n    y = x + 1\n    raise ValueError(y)", "z = 3"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    toy.write("class/ada.ipynb", nbformat.writes(notebook))
    (work,) = read_all(toy.root / "class", MAIN)
    assert not work.problem
    found = Sources({"ada": work}).excerpt("ada", work.digest, "  |   cell 2, line 3 in f")
    assert found and found.where == "cell 2"
    assert [(n, text.strip()) for n, text, here in found.lines if here] == [
        (3, "raise ValueError(y)")
    ]


MODULE = """import functools


def centred(x):
    return x


class Box:
    @functools.cache
    def softmax(self):
        return '<i>'


def softmax(x):
    return 0
"""


def test_the_student_s_functions_are_beside_the_failures_of_their_part(render, toy):
    assert blanks(toy.assignment) == {"sums": ("discounted",), "means": ("centred", "softmax")}
    work = Submission("ada", {MAIN: MODULE.encode()})
    sources = Sources({"ada": work}, blanks(toy.assignment))
    found = sources.of_part("ada", work.digest, "means")
    assert [(one.where, one.lines[0][0], len(one.lines)) for one in found] == [
        ("centred", 4, 2),
        ("softmax", 14, 2),
    ]
    one = grade(PASSED, FAILED)
    one.provenance["submission"] = work.digest
    page = render(one, pages.Given(sources=sources))
    assert words(page).count("Your code: centred, softmax") == 1 and "return x" in page
    # Nothing of a part that is right, and nothing of a version that was not marked.
    assert "discounted" not in page
    assert sources.of_part("ada", "another version", "means") == ()
    methods = Sources({"ada": work}, {"means": ("Box.softmax",)})
    (method,) = methods.of_part("ada", work.digest, "means")
    assert [number for number, _, _ in method.lines] == [9, 10, 11]


@pytest.mark.parametrize("text", ["def centred(:\n", "x = " + "(" * 5000, "\0"])
def test_what_is_not_python_shows_no_function(toy, text):
    work = Submission("ada", {MAIN: text.encode()})
    assert Sources({"ada": work}, blanks(toy.assignment)).of_part("ada", work.digest, "means") == ()


def test_functions_of_a_notebook_are_counted_by_cell(toy):
    import nbformat

    cells = ["import numpy as np", "y = 1\n\ndef softmax(x):\n    return x"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    toy.write("class/ada.ipynb", nbformat.writes(notebook))
    (work,) = read_all(toy.root / "class", MAIN)
    (found,) = Sources({"ada": work}, blanks(toy.assignment)).of_part("ada", work.digest, "means")
    assert found.where == "softmax in cell 2"
    assert [(number, text) for number, text, _ in found.lines] == [
        (3, "def softmax(x):"),
        (4, "    return x"),
    ]


# -- the command -----------------------------------------------------------------------------------


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main.app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join((result.stdout + result.stderr).split())


def test_the_command_reads_roster_submissions_and_handouts(toy, tmp_path):
    folder = tmp_path / "out" / NAME
    result_files.write_results(folder, toy.assignment, 10.0, grade(PASSED, RAISED))
    toy.write("class/ada.py", CODE)
    toy.write("class/roster.txt", "student,name\nada,Ada Lovelace\nben,Ben\n")
    code, said = call(
        *("report", folder, "--course", toy.root, "--submissions", toy.root / "class"),
        *("--roster", toy.root / "class/roster.txt"),
    )
    assert code == 0 and "1 students, 0 ungraded, nothing from 1" in said
    (work,) = [one for one in read_all(toy.root / "class", MAIN) if one.student == "ada"]
    shown = "Your lines" in (folder / "ada" / "feedback.html").read_text()
    assert shown == (work.digest == WORK.digest)
    assert "Ada Lovelace" in (folder / "report.html").read_text()


def test_against_alone_and_two_assignments_at_once_are_refused(toy, tmp_path):
    for name in (NAME, "other"):
        result_files.write_results(tmp_path / name, toy.assignment, 10.0, grade(PASSED))
    code, said = call("report", tmp_path / NAME, "--course", toy.root, "--against", tmp_path)
    assert code == 2 and "--against wants --similar SUBMISSIONS" in said
    for option in ("--similar", "--submissions"):
        code, said = call("report", tmp_path, "--course", toy.root, option, Path("x"))
        assert code == 2 and f"{option} wants one assignment's folder" in said
