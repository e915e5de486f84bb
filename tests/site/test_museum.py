"""The museum of mistakes: every board shows a real run, has one right answer, and works by keys."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from built import PICTURES, ROOT, SITE, Opens, findings, pages

sys.path.insert(0, str(ROOT / "site"))

from course_pages.museum import boards as museum
from course_pages.museum.drawing import picture
from course_pages.museum.runs import SEED, Runs
from course_pages.museum.shown import Shown, curve, difference, look_alike, table

from autograder.authoring.course import Course, load_course
from autograder.authoring.source import Source
from autograder.reports.museum import boards

COURSE: Course = load_course(ROOT)
NAMES = [one.name for one in COURSE.catalogue if museum.scenes(one.name)]
BOARDS = [path for path in pages() if path.startswith("museum/") and "index" not in path]
FIRST = "museum/gae.html"


@cache
def _boards(name: str) -> list[museum.Board]:
    return museum.boards(COURSE.assignment(name))


def _page(name: str) -> str:
    return (SITE / "museum" / f"{name}.html").read_text(encoding="utf-8")


def _ran(scene: Any, text: str, file: str) -> Shown:
    """A scene with the module that this text is, loaded for this run alone."""
    module = ModuleType("fresh")
    sys.modules["fresh"] = module
    exec(compile(text, file, "exec"), module.__dict__)
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scene.run(module)


@pytest.mark.parametrize("name", NAMES)
def test_every_board_is_a_run_of_the_broken_variant(name: str) -> None:
    assignment = COURSE.assignment(name)
    source, page = Source(assignment.solution), _page(name)
    found = _boards(name)
    assert len(found) == page.count('<section class="board"')
    for board in found:
        right = _ran(board.scene, source.solution(), assignment.main)
        broken = _ran(board.scene, source.broken(board.spelling), assignment.main)
        assert picture(right, broken) in page
        assert not look_alike(right, broken)


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_the_sentence_of_the_bug_and_no_other_fits(name: str, opened: Opens) -> None:
    assignment = COURSE.assignment(name)
    when = {bug.name: bug.when for bug in Source(assignment.solution).bugs}
    with opened(f"museum/{name}.html", java_script_enabled=False) as page:
        for board in _boards(name):
            shown = page.locator(f"#board-{board.name}")
            sentences = shown.locator(".board-choices li").all_text_contents()
            answer = int(shown.get_attribute("data-answer"))
            assert sentences[answer] == when[board.spelling.partition(", ")[0]]
            assert len(set(sentences)) == museum.CHOICES
            assert set(sentences) <= set(when.values())


def test_there_are_boards_enough() -> None:
    counts = {name: _page(name).count('<section class="board"') for name in NAMES}
    assert sum(counts.values()) >= 60
    assert min(counts.values()) >= 5


def test_what_looks_the_same_makes_no_board() -> None:
    gae = COURSE.assignment("gae")
    scene = next(one for one in museum.scenes("gae") if one.calls == "explained_variance")
    view = museum.View(Runs(gae), scene)
    assert "looks like the right run" in view.unfit("nan-for-constants")
    assert view.unfit("counts-a-constant-error") == ""
    assert "no known bug" in view.unfit("no-such-bug")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (table({"x": [1]}, {"y": [1.0]}), table({"x": [1]}, {"y": [1.04]}), True),
        (table({"x": [1]}, {"y": [1.0]}), table({"x": [1]}, {"y": [1.06]}), False),
        # Beside a thousand nobody sees a tenth.
        (table({"x": [1, 2]}, {"y": [1e3, 0.1]}), table({"x": [1, 2]}, {"y": [1e3, 0.2]}), True),
        (table({"x": [1]}, {"y": [1.0]}), table({"x": [1]}, {"y": [float("nan")]}), False),
        (table({"x": [1]}, {"y": ["a"]}), table({"x": [1]}, {"y": ["b"]}), False),
        (curve({"x": [0, 1]}, {"y": [0.0, 9.0]}), curve({"x": [0, 1]}, {"y": [0.4, 9.0]}), True),
        (curve({"x": [0, 1]}, {"y": [0.0, 9.0]}), curve({"x": [0, 1]}, {"y": [0.5, 9.0]}), False),
    ],
)
def test_when_two_runs_look_the_same(one: Shown, other: Shown, same: bool) -> None:
    assert look_alike(one, other) is same
    assert difference(one, one) == 0.0


def test_everything_is_there_without_scripts(opened: Opens) -> None:
    with opened(FIRST, java_script_enabled=False) as page:
        board = page.locator(".board").first
        assert board.locator(".board-choices li").count() == 4
        assert board.locator("button").count() == 0
        board.locator("summary").click()
        answer = unescape(str(board.locator("details").text_content()))
        assert "These are the numbers one gets when" in answer
        assert "Where to look" in answer


def test_a_board_is_answered_by_keys_and_the_score_stays(opened: Opens) -> None:
    with opened(FIRST) as page:
        board = page.locator(".board").first
        answer = int(board.get_attribute("data-answer"))
        score = page.locator(".museum-score")
        assert "None of the" in score.text_content()
        board.locator("button").first.focus()
        for _ in range(answer):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert board.locator(".board-verdict").text_content() == f"{'ABCD'[answer]} is right."
        assert board.locator("details").get_attribute("open") is not None
        assert board.locator("[aria-pressed=true]").count() == 1
        assert "You have named 1 of" in score.text_content()
        page.reload()
        assert "You have named 1 of" in page.locator(".museum-score").text_content()
        page.goto(f"{SITE.as_uri()}/museum/index.html")
        assert "You have named 1 of" in page.locator(".museum-score").text_content()
        assert page.locator('[data-part="gae"]').text_content() == ", 1 named"
        page.get_by_role("button", name="Begin again").click()
        assert "None of the" in page.locator(".museum-score").text_content()


def test_a_wrong_answer_says_what_it_would_show(opened: Opens) -> None:
    with opened(FIRST) as page:
        board = page.locator(".board").first
        wrong = (int(board.get_attribute("data-answer")) + 1) % 4
        board.locator("button").nth(wrong).click()
        verdict = board.locator(".board-verdict").text_content()
        assert verdict.startswith(f"Not {'ABCD'[wrong]}. With it, ")
        assert board.locator("details").get_attribute("open") is None
        assert "named 0 of" in page.locator(".museum-score").text_content()


def test_a_link_shows_an_answer_and_counts_for_nothing(opened: Opens) -> None:
    with opened(FIRST) as page:
        board = page.locator(".board").nth(3)
        right = "ABCD"[int(board.get_attribute("data-answer"))]
        link = f"{FIRST}#{board.get_attribute('id')}:{right}"
    with opened(link) as page:
        board = page.locator(".board").nth(3)
        assert board.locator(".board-verdict").text_content() == f"{right} is right."
        page.wait_for_load_state("load")
        page.wait_for_timeout(450)
        assert 0 <= board.bounding_box()["y"] < 900
        assert "None of the" in page.locator(".museum-score").text_content()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_an_answered_board_is_accessible(width: int, scheme: str, opened: Opens) -> None:
    with opened("museum/ppo.html", width, scheme, reduced_motion="reduce") as page:
        page.evaluate(
            "document.querySelectorAll('.board').forEach((one, i) =>"
            " one.querySelectorAll('button')[i % 4].click())"
        )
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        path = PICTURES / f"museum_{width}_{scheme}.png"
        page.locator(".board").first.screenshot(path=path)


@pytest.mark.parametrize("name", NAMES)
def test_a_student_s_page_leads_to_each_board_and_to_no_other(name: str) -> None:
    assignment = COURSE.assignment(name)
    when = {bug.name: bug.when for bug in Source(assignment.solution).bugs}
    hung = {
        when[one.spelling.partition(", ")[0]]: f"museum/{name}.html#board-{one.name}"
        for one in _boards(name)
    }
    assert boards(assignment) == hung


def test_data_files_are_read_for_every_assignment() -> None:
    files = {path.stem for path in Path(ROOT / "site" / "museum").glob("*.py")}
    assert files == set(NAMES)
    assert {Path(path).stem for path in BOARDS} == set(NAMES)
    assert len(NAMES) >= 12
