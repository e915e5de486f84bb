"""The map, the papers, and the page that reads results.json: by keys, and without the network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from built import PICTURES, ROOT, SITE, Opens, findings

sys.path.insert(0, str(ROOT / "site"))

from course_pages import vault
from course_pages.museum.laws import laws

from autograder.authoring.course import Assignment, load_assignment, load_course
from autograder.authoring.source import Source
from autograder.errors import CourseError
from autograder.marking.result_files import results
from autograder.model import Grade, Mistake, Outcome, Verdict

COURSE = load_course(ROOT)
PAGES = ["map.html", "papers.html", "progress.html"]
DOCUMENTS = ["docs/WHY_RL.html", "docs/ACTOR_AND_CRITIC.html"]
GAE = load_assignment(ROOT, "gae")
LEAK = next(bug for bug in Source(GAE.solution).bugs if bug.name == "leaks-past-the-end")


@pytest.mark.parametrize("path", [*PAGES, *DOCUMENTS])
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_picture_to_look_at(path: str, width: int, scheme: str, opened: Opens) -> None:
    with opened(path, width, scheme, reduced_motion="reduce") as page:
        name = path.replace("/", "_").removesuffix(".html")
        page.screenshot(path=PICTURES / f"{name}_{width}_{scheme}.png")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


# -- the map ---------------------------------------------------------------------------------------


def test_the_map_shows_every_assignment_below_what_it_needs(opened: Opens) -> None:
    with opened("map.html", java_script_enabled=False) as page:
        tops = {}
        for box in page.locator(".course-map a").all():
            name = box.get_attribute("href").split("/")[1]
            tops[name] = box.locator("rect").bounding_box()["y"]
        assert set(tops) == {one.name for one in COURSE.catalogue}
        for one in COURSE.catalogue:
            assert all(tops[need] < tops[one.name] for need in one.prerequisites)


def test_the_map_is_walked_by_keys(opened: Opens) -> None:
    with opened("map.html") as page:
        page.locator(".course-map a").first.focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('svg') !== null")
        page.keyboard.press("Enter")
        page.wait_for_url("**/README.html")


# -- the papers ------------------------------------------------------------------------------------


def test_there_are_papers_enough_in_three_tracks() -> None:
    found = vault.load(COURSE)
    assert len(found.papers) >= 50
    assert all(len(track.papers) >= 15 for track in found.tracks)
    assert sum(len(paper.ours) for paper in found.papers.values()) >= 40


def test_every_source_of_an_assignment_is_on_the_page(opened: Opens) -> None:
    with opened("papers.html", java_script_enabled=False) as page:
        words = _plain(str(page.locator("article").text_content())).casefold()
        rest = dict.fromkeys(source for _, source in vault.further(vault.load(COURSE), COURSE))
        assert all(_plain(source).casefold() in words for source in rest)
        titles = [paper.title for paper in vault.load(COURSE).papers.values()]
        for source in (source for one in COURSE.catalogue for source in one.sources):
            known = any(title.casefold() in source.casefold() for title in titles)
            assert known or source in rest


def test_every_chain_ends_in_what_the_proof_says(opened: Opens) -> None:
    with opened("papers.html", java_script_enabled=False) as page:
        words = " ".join(str(page.locator("article").text_content()).split())
        for paper in vault.load(COURSE).papers.values():
            assert _plain(paper.adds) in _plain(words)
            for chain in paper.ours:
                name = chain.function.partition(".")[0]
                assignment = COURSE.assignment(name)
                kills = json.loads(
                    assignment.hidden_tests.with_name("proof.json").read_text(encoding="utf-8")
                )["kills"]
                says = [laws(assignment.hidden_tests)[test].says for test in kills[chain.bug]]
                assert any(_plain(one) in _plain(words) for one in says), chain


def _plain(words: str) -> str:
    """Without what Markdown makes of quotes, stars and dashes."""
    return "".join(c for c in words if c.isalnum())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bug": "no-such-bug"}, "gae has no bug 'no-such-bug'"),
        ({"function": "gae.no_such"}, "gae.py has no no_such"),
        ({"function": "nowhere.gae"}, "there is no assignment 'nowhere'"),
        ({"number": "eq. 99"}, "the docstring of gae does not say 'eq. 99'"),
    ],
)
def test_a_chain_that_does_not_hold_is_refused(
    change: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = vault.read_yaml(vault.PATH)
    data["policies"]["papers"]["schulman-2016"]["ours"][0] |= change
    _use(data, tmp_path, monkeypatch)
    with pytest.raises(CourseError, match=said):
        vault.load(COURSE)


def test_another_arxiv_number_than_in_assignment_yml_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = vault.read_yaml(vault.PATH)
    data["policies"]["papers"]["schulman-2016"]["arxiv"] = "1506.02439"
    _use(data, tmp_path, monkeypatch)
    with pytest.raises(CourseError, match=r"assignment.yml says arXiv:1506\.02438"):
        vault.load(COURSE)


def _use(data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "papers.yml"
    path.write_text(json.dumps(data), encoding="utf-8")
    monkeypatch.setattr(vault, "PATH", path)


# -- results.json ----------------------------------------------------------------------------------


def _graded(assignment: Assignment, verdicts: dict[str, Verdict]) -> str:
    """A results.json as the grader writes it: one test for each part."""
    outcomes = tuple(
        Outcome(
            f"test_{part}",
            f"The law of {part}.",
            part,
            verdicts.get(part, Verdict.PASSED),
            2.0,
            mistakes=(Mistake(LEAK.name, LEAK.when),)
            if verdicts.get(part) is Verdict.FAILED
            else (),
        )
        for part in assignment.parts
    )
    grade = Grade("ada", outcomes, provenance={"assignment": assignment.name})
    return json.dumps(results(assignment, 14.0, grade))


def _given(page: Any, *texts: str) -> None:
    files = [
        {"name": f"results{i}.json", "mimeType": "application/json", "buffer": text.encode()}
        for i, text in enumerate(texts)
    ]
    page.get_by_label("Files results.json").set_input_files(files)
    page.wait_for_function("document.querySelector('.progress-said').textContent !== ''")


def test_results_show_progress_mistakes_and_what_to_read(opened: Opens) -> None:
    text = _graded(GAE, {"recursion": Verdict.FAILED, "scan": Verdict.NOT_WRITTEN})
    with opened("progress.html") as page:
        _given(page, text)
        said = page.locator(".progress-said").text_content()
        assert said.strip() == "Results of 1 assignment."
        words = page.locator(".progress-found").text_content()
        assert "10 of 14 points; 5 of 7 tests passed." in words
        rows = [row.text_content() for row in page.locator(".progress tbody tr").all()]
        states = {row.split("0 of 1 ")[-1].split("1 of 1 ")[-1] for row in rows}
        assert states == {"done", "open", "not written"}
        assert f"These are the numbers one gets when {LEAK.when}" in words
        links = page.locator(".progress-found li a").all()
        museum = next(one for one in links if "museum" in one.get_attribute("href"))
        museum.click()
        page.wait_for_url("**/museum/gae.html#board-*")
        assert page.locator(page.evaluate("location.hash")).is_visible()


def test_who_is_done_reads_what_comes_next(opened: Opens) -> None:
    with opened("progress.html") as page:
        _given(page, _graded(GAE, {}))
        links = page.locator(".progress-found ul a").all()
        assert [one.text_content() for one in links] == ["Proximal policy optimisation"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "this is not JSON"),
        ("[1, 2]", "there are no results of this course in it"),
        ('{"tests": [{}], "extra_data": {"provenance": {"assignment": "x"}}}', "not here: x"),
    ],
)
def test_another_file_is_refused_in_a_sentence_and_loses_nothing(
    text: str, said: str, opened: Opens
) -> None:
    with opened("progress.html") as page:
        _given(page, _graded(GAE, {}), text)
        assert said in page.locator(".progress-said").text_content()
        assert page.locator(".progress-found section").count() == 1


def test_what_a_file_says_is_text_and_never_markup(opened: Opens) -> None:
    data = json.loads(_graded(GAE, {"recursion": Verdict.FAILED}))
    data["tests"][1]["output"] = "These are the numbers one gets when <img src=x onerror=alert(1)>"
    with opened("progress.html") as page:
        _given(page, json.dumps(data))
        assert page.locator(".progress-found img").count() == 0
        assert "<img src=x" in page.locator(".progress-found").text_content()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_results_are_accessible(width: int, scheme: str, opened: Opens) -> None:
    with opened("progress.html", width, scheme) as page:
        _given(page, _graded(GAE, {"recursion": Verdict.FAILED}))
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        path = PICTURES / f"progress_read_{width}_{scheme}.png"
        page.screenshot(path=path, full_page=True)


def test_nothing_is_kept_of_the_results(opened: Opens) -> None:
    with opened("progress.html") as page:
        _given(page, _graded(GAE, {}))
        assert page.evaluate("localStorage.length + sessionStorage.length") <= 1
        kept = page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")
        assert "gae" not in kept
        page.reload()
        assert page.locator(".progress-found").text_content() == ""


def test_the_site_has_these_pages() -> None:
    assert all((SITE / path).is_file() for path in [*PAGES, *DOCUMENTS])
