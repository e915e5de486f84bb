"""Live formulas: each term speaks, with its number in the explorer, and without scripts too."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from built import ROOT, SITE, Opens, findings, pages

sys.path.insert(0, str(ROOT / "site"))

from course_pages import live

LIVE = [path for path in pages() if 'class="live"' in (SITE / path).read_text(encoding="utf-8")]
# What this repository adds to one page, in bytes. CodeMirror is somebody else's.
BUDGET = 60_000


def _told(page: Any, explorer: str, at: int = 0) -> str:
    told = page.locator(f".live[data-of={explorer}] .rl-term").nth(at).text_content()
    return str(told).replace("\N{MINUS SIGN}", "-")


def test_the_central_formulas_are_live() -> None:
    for name in ("gae", "ppo", "dqn", "grpo", "bradley_terry"):
        assert f"assignments/{name}/README.html" in LIVE


@pytest.mark.parametrize("path", LIVE)
def test_a_list_says_it_without_scripts(path: str, opened: Opens) -> None:
    with opened(path, java_script_enabled=False) as page:
        for formula in page.locator(".live").all():
            assert formula.locator(".katex-html").is_visible()
            marked = formula.locator(".katex-html [data-term]").all()
            names = {one.get_attribute("data-term") for one in marked}
            formula.locator("summary").click()
            rows = formula.locator("[data-row]").all()
            assert {row.get_attribute("data-row") for row in rows} == names
            for row in rows:
                assert row.locator("dt").is_visible()
                assert re.search(
                    r"\w+\.py, line \d+: \w+. Pinned by test_\w+\.", row.text_content()
                )


@pytest.mark.parametrize("path", LIVE)
def test_each_term_is_reached_by_keys(path: str, opened: Opens) -> None:
    with opened(path) as page:
        for formula in page.locator(".live").all():
            chips, seen = formula.locator("button").all(), set()
            for chip in chips:
                chip.focus()
                assert chip.get_attribute("aria-pressed") == "true"
                assert formula.locator("[aria-pressed=true]").count() == 1
                name = chip.get_attribute("data-chip")
                assert formula.locator(f"[data-term={name}].chosen").count() > 0
                seen.add(formula.locator(".rl-term").text_content())
            assert len(seen) == len(chips) > 0


def test_a_term_is_hovered_and_its_number_follows_the_explorer(opened: Opens) -> None:
    with opened("assignments/ppo/README.html#clip:A=2&r=1.5") as page:
        page.get_by_role("button", name="clip(r)").focus()
        told = _told(page, "clip")
        assert "In the explorer now: 2.40." in told
        assert re.search(r"ppo\.py, line \d+: clipped_surrogate", told)
        page.locator(".live[data-of=clip] .katex-html [data-term=ratio]").first.hover()
        assert "In the explorer now: 1.50." in _told(page, "clip")
        page.get_by_role("slider", name="ratio").focus()
        page.keyboard.press("ArrowUp")
        number = re.search(r"now: ([\d.]+)\.", _told(page, "clip"))
        assert float(number[1]) > 1.5


@pytest.mark.parametrize(
    ("link", "explorer", "at", "chip", "number"),
    [
        # The handouts' examples by hand.
        ("gae#gae:r=1,0,2,4,0,0,0,0&v=1,2,1,4,0,0,0,0,0&g=0.5&l=0.5&step=0&ends=........",
         "gae", 0, "error δ", "1.00"),
        ("ppo#kl:old=0.5,0.25,0.15,0.1&now=0.25,0.5,0.15,0.1", "kl", 0, "k₁", "mean 0.173"),
        ("grpo#grpo:r=1,0,0,1,1,1,1,1&i=0", "grpo", 0, "mean of the group", "0.500"),
        ("bradley_terry#bt:", "bt", 0, "probability", "0."),
    ],
)  # fmt: skip
def test_numbers_of_other_explorers(
    link: str, explorer: str, at: int, chip: str, number: str, opened: Opens
) -> None:
    name, _, state = link.partition("#")
    with opened(f"assignments/{name}/README.html#{state}") as page:
        root = page.locator(f".live[data-of={explorer}]").nth(at)
        root.locator("button", has_text=chip).first.click()
        assert f"In the explorer now: {number}" in _told(page, explorer, at)


@pytest.mark.parametrize("path", LIVE)
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_live_formulas_are_accessible(path: str, width: int, scheme: str, opened: Opens) -> None:
    with opened(path, width, scheme) as page:
        assert findings(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_scripts_of_a_page_keep_the_budget() -> None:
    for path in pages():
        text = (SITE / path).read_text(encoding="utf-8")
        own = re.findall(r'src="[./]*(_static/(?:explorers|scripts)/\w+\.js)', text)
        sizes = {one: (SITE / one).stat().st_size for one in own if "editor" not in one}
        assert sum(sizes.values()) <= BUDGET, (path, sizes)


def test_marks_come_off() -> None:
    marked = r"\htmlData{term=a}{x \htmlData{term=b}{\{y_{t}\}}} + \frac{1}{2}"
    assert live.plain(marked) == r"x \{y_{t}\} + \frac{1}{2}"
    with pytest.raises(live.TermError, match="not closed"):
        live.plain(r"\htmlData{term=a}{x")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"where": "no_such"}, "dqn.py has no no_such"),
        ({"where": "Batch"}, "nothing of Batch is left to write"),
        ({"test": "test_no_such"}, "dqn has no public test test_no_such"),
    ],
)
def test_a_term_that_names_what_does_not_exist_is_refused(
    change: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = {"label": "x", "says": "x", "assignment": "dqn", "where": "ReplayBuffer.sample"}
    good |= {"test": "test_dqn_targets"}
    term = live.located(tmp_path, **good)
    starter = (ROOT / "starter/dqn/dqn.py").read_text(encoding="utf-8").splitlines()
    assert "TODO(replay): refuse an empty buffer" in starter[term.line - 1]
    with pytest.raises(live.TermError, match=said):
        live.located(tmp_path, **(good | change))
