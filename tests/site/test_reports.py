"""The class report and students' pages: accessible by axe, and by a keyboard alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from built import Opens, findings
from five import CLASS, PAIRS
from toy import NAME, Toy

from autograder.marking import result_files
from autograder.marking.roster import read_roster
from autograder.marking.submission import Submission
from autograder.reports import pages
from autograder.reports.excerpt import Sources, blanks

CODE = b"def discounted(rewards, gamma):\n    return 0\n\n\ndef centred(numbers):\n    return 0\n"
# Whatever an author of results has written: everything, failures and late, not opened, all right.
PATHS = ["report.html", "ben/feedback.html", "eve/feedback.html", "ada/feedback.html"]
# What the focus is on: its kind, its name for a screen reader, whether a ring is round it, whether
# it is in the window, and whether it was there before.
FOCUS = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const box = one.getBoundingClientRect(), again = one.dataset.seen === "yes";
  one.dataset.seen = "yes";
  return {
    kind: one.localName,
    name: (one.ariaLabel || one.labels?.[0]?.textContent || one.textContent || "").trim(),
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1,
    inside: box.bottom > 0 && box.top < innerHeight && box.width > 0,
    again,
  };
}"""


@pytest.fixture
def marked(toy: Toy, tmp_path: Path) -> Path:
    """A marked class of five with everything that pages can show."""
    folder = tmp_path / "out" / NAME
    sources = {one.student: Submission(one.student, {"sequences.py": CODE}) for one in CLASS}
    for one in CLASS:
        one.provenance["submission"] = sources[one.student].digest
        result_files.write_results(folder, toy.assignment, 10.0, one)
    (folder / "ben" / "remark.txt").write_text("Well done.")
    toy.edit("course.yml", "term:", "regrade: 'mailto:ta@example.edu'\nterm:")
    roster = toy.write("roster.csv", "student,section\nada,Mon\nben,Tue\nfay,Tue\n")
    given = pages.Given(PAIRS, read_roster(roster), Sources(sources, blanks(toy.assignment)))
    pages.write(toy.course, folder, given)
    return folder


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_axe_finds_nothing_serious(
    path: str, width: int, scheme: str, marked: Path, opened: Opens
) -> None:
    # The pages' own policy lets no other script run, and axe is one.
    with opened(path, width, scheme, base=marked.as_uri(), bypass_csp=True) as page:
        assert findings(page) == []
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("path", PATHS)
def test_the_tab_key_reaches_everything_and_shows_where_it_is(
    path: str, marked: Path, opened: Opens
) -> None:
    with opened(path, base=marked.as_uri()) as page:
        walked = _walk(page)
        reachable = page.locator("a, button, summary, input, select, [tabindex='0']")
        assert len(walked) == sum(one.is_visible() for one in reachable.all())
        for one in walked:
            assert one["name"] and one["ring"] and one["inside"], one


def _walk(page: Any) -> list[dict[str, Any]]:
    """What has the focus after each press of Tab, until the page is left or begins again."""
    walked = []
    for _ in range(1000):
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUS)
        if at["kind"] == "body" or at["again"]:
            return walked
        walked.append(at)
    raise AssertionError("the Tab key never leaves the page")


def test_keys_open_details_and_sort(marked: Path, opened: Opens) -> None:
    with opened("report.html", base=marked.as_uri()) as page:
        summary = page.locator("#tests summary").first
        summary.focus()
        page.keyboard.press("Enter")
        assert page.locator("#tests details").first.get_attribute("open") is not None
        page.locator("#students th button", has_text="points").focus()
        page.keyboard.press("Space")
        head = page.locator("#students th", has_text="points")
        assert head.get_attribute("aria-sort") == "ascending"
