"""The class report and the students' pages: their facts, their secrets, their looks."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from five import CLASS, EVIL, FAILED, MISTAKE, PAIRS, PASSED, SECRET, grade
from toy import NAME
from typer.testing import CliRunner

from autograder.cli import main
from autograder.marking import result_files
from autograder.marking.roster import read_roster
from autograder.model import Mistake
from autograder.reports import charts, pages
from autograder.reports.class_report import ClassReport

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)


@pytest.fixture
def folder(toy, tmp_path) -> Path:
    """A marked class of five."""
    folder = tmp_path / "out" / NAME
    for one in CLASS:
        result_files.write_results(folder, toy.assignment, 10.0, one)
    return folder


@pytest.fixture
def page(toy, folder) -> str:
    sections = {"ada": "Tue", "ben": "Mon", "cleo+x@y": "Mon", "dan": "Tue", "fay": "Tue"}
    people = [f"{student},{section}" for student, section in sections.items()]
    roster = toy.root / "roster.csv"
    roster.write_text("\n".join(["student,section", *people]))
    pages.write(toy.course, folder, pages.Given(PAIRS, read_roster(roster)))
    return (folder / "report.html").read_text()


# -- facts -----------------------------------------------------------------------------------------


def test_scores_are_those_of_the_graded_alone():
    found = ClassReport(CLASS, 10.0)
    # dan is ungraded, and eve's submission could not be opened: both stay out.
    assert sorted(found.percents) == [0.0, 20.0, 100.0]
    assert found.spread and (found.spread.mean, found.spread.median) == (40.0, 20.0)
    assert [row.student for row in found.late_rows] == ["ben"]
    assert [row.student for row in found.ungraded] == ["dan"]
    assert [row.student for row in found.untested] == ["eve"]
    # Full marks are apart from 90 to 99.
    assert {bin.label: bin.students for bin in found.histogram if bin.students} == {
        "0 to 9": ("cleo+x@y",),
        "20 to 29": ("ben",),
        "100": ("ada",),
    }


def test_pass_rates_leave_the_ungraded_out():
    sums, means = ClassReport(CLASS, 10.0).tests
    assert (sums.rate, sums.graded, sums.worth) == (0.75, 4, 4.0)
    assert (means.rate, means.graded, means.count("ungraded")) == (1 / 3, 3, 1)
    assert [part.name for part in ClassReport(CLASS, 10.0).parts] == ["means", "sums"]


def test_a_part_counts_all_its_tests():
    other = dataclasses.replace(FAILED, test="test_c", part="sums", worth=1.0)
    (_, part) = ClassReport([grade("ada", PASSED, FAILED, other)], 11.0).parts
    assert (part.worth, part.rate) == (5.0, 0.5)


def test_a_mistake_counts_once_for_each_student_and_the_frequent_ones_come_first():
    rare = dataclasses.replace(FAILED, test="test_c", mistakes=(Mistake("rare", "Rare."),))
    again = dataclasses.replace(FAILED, test="test_d", part="sums")
    first, second = ClassReport([*CLASS, grade("fay", FAILED, again, rare)], 10.0).mistakes
    assert (first.mistake, first.students, first.parts) == (
        MISTAKE,
        ("ben", "cleo+x@y", "fay"),
        ("means", "sums"),
    )
    assert (second.mistake.when, second.students) == ("Rare.", ("fay",))


def test_slowest_and_curves():
    found = ClassReport(CLASS, 10.0)
    assert found.slowest[0].student == "ada"
    (curves,) = found.curves
    assert curves.says == "Sums are sums." and curves.lines["cleo+x@y"] == (1.0, 2.0)


def test_nobody_graded_is_no_number():
    found = ClassReport([CLASS[3]], 10.0)
    assert found.spread is None and found.percents == []


def test_charts_stay_inside_their_frame():
    bars = charts.histogram([("0 to 10 %", 0), ("10 to 20 %", 7)])
    assert (
        bars[0].height == 0
        and bars[1].y == charts.TOP
        and bars[1].x + bars[1].width <= charts.WIDTH
    )
    chart = charts.line_chart([(0.0, 10.0), (10.0, 0.0, 10.0), (3.0,)])
    points = [
        tuple(map(float, point.split(",")))
        for line in (*chart.lines, chart.median)
        for point in line.split()
    ]
    assert all(
        0 <= x <= charts.WIDTH and charts.TOP - 0.1 <= y <= charts.HEIGHT - charts.BOTTOM + 0.1
        for x, y in points
    )
    assert [tick.label for tick in chart.ticks] == ["0", "5", "10"]
    # A flat line does not cause a division by zero.
    assert charts.line_chart([(2.0, 2.0)]).ticks[1].label == "2"
    assert charts.line_chart([]).lines == ()


# -- what is in the pages, and what must not be ---------------------------------------------------


class Shape(HTMLParser):
    """Checks nesting, and collects links, pictures and text."""

    VOID = frozenset(("meta", "br", "input", "rect", "line", "polyline"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_holds_every_section_and_leads_to_every_student(page, folder):
    for words in (
        "What to teach again",
        "gamma is never used.",
        "Who needs you",
        "Learning curves",
        "Slowest",
        "Similar pairs",
        "lines 3 to 4",
        "91 %",
        "zoe (class-2026)",
    ):
        assert words in page
    links = [attributes["href"] for tag, attributes in Shape(page).seen if tag == "a"]
    ids = {attributes.get("id") for _, attributes in Shape(page).seen}
    assert all(link[1:] in ids for link in links if link.startswith("#"))
    links = [link for link in links if not link.startswith("#")]
    assert {"ada/feedback.html", "cleo%2Bx%40y/feedback.html"} <= set(links)
    assert all((folder / unquote(link)).is_file() for link in links)


def test_a_section_that_would_be_empty_is_left_out(toy, tmp_path):
    result_files.write_results(
        tmp_path / NAME, toy.assignment, 10.0, grade("ada", dataclasses.replace(PASSED, curve=()))
    )
    pages.write(toy.course, tmp_path / NAME)
    page = (tmp_path / NAME / "report.html").read_text()
    assert not any(words in page for words in ("Who needs you", "Learning curves", "Similar pairs"))
    assert "No known mistake was recognised." in page


def test_a_student_s_page_holds_nothing_of_the_staff_s(page, folder):
    for one in CLASS:
        text = (folder / one.student / "feedback.html").read_text()
        assert SECRET not in text and one.student in text.replace("&#43;", "+")
        others = {other.student for other in CLASS} - {one.student}
        assert not any(re.search(rf"\b{re.escape(other)}\b", text) for other in others)
    text = (folder / "ben" / "feedback.html").read_text()
    assert "2 of 10" in text and "gamma is never used." in text
    assert "One mistake explains your failed test:" in text


def test_parts_stand_in_the_order_of_the_tests(page, folder):
    titles = re.findall(r"<h2>(.*?)</h2>", (folder / "ben" / "feedback.html").read_text())
    assert titles[-2:] == ["Discounted sums: 4 of 4", "Means and probabilities: 0 of 6"]


def test_a_student_s_page_is_made_without_reading_the_staff_s_file(toy, folder):
    pages.write(toy.course, folder)
    before = (folder / "ben" / "feedback.html").read_text()
    staff = json.loads((folder / "ben" / result_files.STAFF).read_text())
    for outcome in staff["outcomes"]:
        outcome |= {
            "detail": "changed",
            "mistake": {"bug": "changed", "when": "changed"},
            "hint": "changed",
            "error": "changed",
        }
    (folder / "ben" / result_files.STAFF).write_text(json.dumps(staff))
    pages.write(toy.course, folder)
    assert (folder / "ben" / "feedback.html").read_text() == before


def test_no_text_of_a_student_s_becomes_markup_and_no_page_needs_anything_else(page, folder):
    for text in [page, *[path.read_text() for path in folder.glob("*/feedback.html")]]:
        shape = Shape(text)
        assert "default-src 'none'" in text
        tags = [tag for tag, _ in shape.seen]
        assert not {"link", "img", "iframe", "object"} & set(tags)
        assert tags.count("script") == (1 if text is page else 0)
        assert not any(
            name.startswith("on") or name == "src"
            for _, attributes in shape.seen
            for name in attributes
        )
    assert (
        EVIL.replace("<", "&lt;").replace(">", "&gt;")
        in page + (folder / "ben" / "feedback.html").read_text()
    )


def test_charts_have_text_alternatives_and_tables(page):
    shape = Shape(page)
    pictures = [attributes for tag, attributes in shape.seen if tag == "svg"]
    assert all(
        one.get("aria-hidden") == "true" or (one.get("role") == "img" and one.get("aria-label"))
        for one in pictures
    )
    assert len([one for one in pictures if one.get("role") == "img"]) == 2
    headers = [attributes for tag, attributes in shape.seen if tag == "th"]
    assert all(header.get("scope") in ("row", "col") for header in headers)
    assert ("html", {"lang": "en"}) in shape.seen


def test_the_policy_lets_the_report_s_own_script_run_and_no_other(page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'content="(default-src.*?)"', page, re.DOTALL)
    assert html.unescape(policy).endswith(f"; script-src 'sha256-{digest}'")
    assert policy.count("script-src") == 1


# -- the command -----------------------------------------------------------------------------------


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main.app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join((result.stdout + result.stderr).split())


def test_the_command_takes_an_assignment_s_folder_or_the_one_above(toy, folder):
    for path in (folder, folder.parent):
        code, said = call("report", path, "--course", toy.root)
        assert code == 0 and said.endswith("report.html: 5 students, 1 ungraded")


def test_a_folder_without_results_is_a_sentence(toy, tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        code, said = call("report", path, "--course", toy.root)
        assert code == 2 and "no results here: give the folder of 'grade --out'" in said


def test_damaged_results_are_named(toy, folder):
    (folder / "ada" / result_files.STAFF).write_text("{")
    pages.write(toy.course, folder)
    assert "damaged results" in (folder / "report.html").read_text()
    (folder / "ben" / result_files.RESULTS).write_text("{")
    code, said = call("report", folder, "--course", toy.root)
    assert code == 2 and "ben/results.json: this file is damaged: run 'grade' again" in said


def test_pairs_with_little_in_common_are_behind_one_line(toy, folder):
    def drawn(count: int) -> str:
        many = [dataclasses.replace(PAIRS[0], second=f"s{n}") for n in range(count)]
        pages.write(toy.course, folder, pages.Given(many))
        return (folder / "report.html").read_text()

    assert "further pairs" not in drawn(20)
    page = drawn(23)
    assert page.count('<article class="pair">') == 23
    assert page.partition("3 further pairs, which")[0].count('<article class="pair">') == 20


def test_who_was_late_is_named_with_the_points_before(page):
    late = page[page.index("1\n student submitted late") :]
    row = late[late.index("<tbody>") : late.index("</tbody>")]
    # ben has 4 points, half of them after a day.
    assert ">ben</a>" in row and re.findall(r'class="number">([^<]*)<', row) == ["1", "4", "2"]


# -- in a browser ----------------------------------------------------------------------------------

FRAME = """<!doctype html>
<iframe id=page src="PAGE" style="border:0;width:WIDTHpx;height:3000px"></iframe>
<pre id=found></pre><script>
const channels = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = text => {
  const [r, g, b] = channels(text).map(v => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
document.getElementById("page").onload = event => {
  const inside = event.target.contentDocument, view = event.target.contentWindow;
  const root = inside.documentElement;
  for (const one of inside.querySelectorAll("details")) one.open = true;
  const behind = node => {
    for (let at = node; at; at = at.parentElement) {
      const colour = view.getComputedStyle(at).backgroundColor;
      if (!colour.endsWith(", 0)")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const paper = view.getComputedStyle(inside.body).backgroundColor;
  const found = {width: root.scrollWidth, room: root.clientWidth, low: [], small: [], paper};
  for (const node of inside.querySelectorAll("body *:not(script, option)")) {
    if (![...node.childNodes].some(child => child.nodeType === 3 && child.data.trim())) continue;
    const style = view.getComputedStyle(node), svg = node.closest("svg");
    const text = node.textContent.trim().slice(0, 30);
    if (contrast(svg ? style.fill : style.color, behind(node)) < 4.5) found.low.push(text);
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    if (parseFloat(style.fontSize) * scale < 9) found.small.push(text);
  }
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""


def look(page: Path, width: int, dark: bool, folder: Path) -> dict:
    """What a browser makes of a page: overflow, contrast below 4.5, letters below 9 pixels."""
    text = FRAME.replace("PAGE", page.as_uri()).replace("WIDTH", str(width))
    return in_chromium(text, folder, dark)


def in_chromium(text: str, folder: Path, dark: bool = False) -> dict:
    """What a page leaves, as JSON, in its element ``found``."""
    frame = folder / "frame.html"
    frame.write_text(text)
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += [f"--user-data-dir={folder / 'profile'}", "--disable-web-security"]
    command += ["--allow-file-access-from-files", "--virtual-time-budget=5000"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    done = subprocess.run(
        [*command, "--dump-dom", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL).group(1))


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["report.html", "ben/feedback.html"])
def test_pages_can_be_read_on_a_phone_and_on_a_desk_by_day_and_by_night(
    page, folder, tmp_path, name, width, dark
):
    found = look(folder / name, width, dark, tmp_path)
    assert found["width"] <= found["room"] <= width  # nothing sticks out
    assert found["low"] == [] and found["small"] == []
    assert found["paper"] == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")


CLICKS = """<!doctype html><iframe id=page src="PAGE"></iframe><pre id=found></pre><script>
document.getElementById("page").onload = event => {
  const inside = event.target.contentDocument, found = {};
  const rows = () => [...inside.querySelectorAll("#students tbody tr")];
  const names = () => rows().filter(row => !row.hidden).map(row => row.cells[0].textContent);
  const head = [...inside.querySelectorAll("#students th button")]
    .find(one => one.textContent === "points");
  found.before = names();
  head.click();
  found.up = names();
  head.click();
  found.down = names();
  const box = inside.getElementById("name");
  box.value = "BE";
  box.dispatchEvent(new Event("input"));
  found.left = names();
  found.said = inside.getElementById("shown").textContent;
  box.value = "";
  const section = inside.getElementById("section");
  section.value = "Tue";
  section.dispatchEvent(new Event("input"));
  found.tuesday = names();
  found.hidden = [...inside.querySelectorAll(".who li")].filter(one => one.hidden)
    .map(one => one.dataset.section);
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium: apt-get install chromium")
def test_the_script_sorts_and_filters(page, folder, tmp_path):
    found = in_chromium(CLICKS.replace("PAGE", (folder / "report.html").as_uri()), tmp_path)
    assert found["before"] == ["ada", "ben", "cleo+x@y", "dan", "eve"]
    # Points are 0, 0, 2, 10 and none, which is last in both directions.
    assert found["up"] == ["cleo+x@y", "eve", "ben", "ada", "dan"]
    assert found["down"] == ["ada", "ben", "cleo+x@y", "eve", "dan"]
    assert (found["left"], found["said"]) == (["ben"], "1 of 5 students shown")
    assert found["tuesday"] == ["ada", "dan"]
    # Of the people under bars, tests and parts too, those of other sections are hidden.
    assert "Mon" in found["hidden"] and "Tue" not in found["hidden"]
