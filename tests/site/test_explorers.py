"""Explorers: everything by keyboard and by dragging, in words, and with the state in the link."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from built import PICTURES, ROOT, SITE, Opens, pages

ELEMENT = re.compile(r"<rl-(\w+) data-explorer")
PAGES = {
    name: path
    for path in pages()
    for name in ELEMENT.findall((SITE / path).read_text(encoding="utf-8"))
}


def _settled(page: Any) -> None:
    """The address and the words follow a change within a quarter of a second."""
    page.wait_for_timeout(450)


def _words(page: Any, name: str) -> str:
    words = str(page.locator(f"rl-{name} .rl-words").text_content())
    return words.replace("\N{MINUS SIGN}", "-")


def _number(handle: Any) -> float:
    return float(handle.get_attribute("aria-valuenow"))


def test_there_are_explorers() -> None:
    assert "clip" in PAGES


@pytest.mark.parametrize("name", PAGES)
def test_keys_move_every_handle(name: str, opened: Opens) -> None:
    with opened(PAGES[name]) as page:
        handles = page.locator(f"rl-{name} .handle:not([hidden])")
        assert handles.count() > 0
        for handle in handles.all():
            handle.focus()
            before, words = _number(handle), handle.get_attribute("aria-valuetext")
            page.keyboard.press("ArrowDown" if before == _limit(handle, "max") else "ArrowUp")
            assert _number(handle) != before
            assert handle.get_attribute("aria-valuetext") != words
            page.keyboard.press("Home")
            assert _number(handle) <= before
            page.keyboard.press("End")
            assert _number(handle) == pytest.approx(_limit(handle, "max"))
            page.locator(f"rl-{name} .rl-reset").click()


@pytest.mark.parametrize("name", PAGES)
def test_no_state_breaks_the_numbers(name: str, opened: Opens) -> None:
    with opened(PAGES[name]) as page:
        for key in ("End", "Home", "End"):
            for handle in page.locator(f"rl-{name} .handle:not([hidden])").all():
                handle.focus()
                page.keyboard.press(key)
            _settled(page)
            shown = page.locator(f"rl-{name}").inner_html()
            assert not re.search(r"NaN|Infinity|undefined", shown)


def _limit(handle: Any, which: str) -> float:
    return float(handle.get_attribute(f"aria-value{which}"))


@pytest.mark.parametrize("name", PAGES)
def test_a_link_restores_the_state(name: str, opened: Opens) -> None:
    with opened(PAGES[name]) as page:
        start = _words(page, name)
        for number, handle in enumerate(page.locator(f"rl-{name} .handle:not([hidden])").all()):
            handle.focus()
            page.keyboard.press("ArrowUp" if number % 2 else "ArrowDown")
        _settled(page)
        words, link = _words(page, name), page.url
        assert words != start
    with opened(f"{PAGES[name]}#{link.partition('#')[2]}") as page:
        _settled(page)
        assert _words(page, name) == words
        box = page.locator(f"rl-{name}").bounding_box()
        assert box is not None
        assert -50 < box["y"] < 900, "the page has not moved to the explorer"
        page.locator(f"rl-{name} .rl-reset").click()
        _settled(page)
        assert _words(page, name) == start


@pytest.mark.parametrize("name", PAGES)
def test_a_handle_is_dragged(name: str, opened: Opens) -> None:
    with opened(PAGES[name]) as page:
        handle = page.locator(f"rl-{name} .handle:not([hidden])").first
        handle.scroll_into_view_if_needed()
        before, box = _number(handle), handle.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 30, y + 30, steps=3)
        page.mouse.up()
        assert _number(handle) != before


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_picture_to_look_at(name: str, width: int, scheme: str, opened: Opens) -> None:
    with opened(PAGES[name], width, scheme, reduced_motion="reduce") as page:
        _settled(page)
        page.locator(f"rl-{name}").screenshot(path=PICTURES / f"{name}_{width}_{scheme}.png")


@pytest.mark.parametrize(
    ("state", "words", "lit"),
    [
        # The four samples of the handout's table, and the second bound.
        ("A=2&r=1.5", "objective 2.40, slope 0.00", 2),
        ("A=2&r=1.1", "objective 2.20, slope 2.20", 1),
        ("A=-1&r=0.5", "objective -0.80, slope 0.00", 0),
        ("A=-1&r=1.5", "objective -1.50, slope -1.50", 2),
        ("A=-1&r=3.5&c=3&dual=on", "objective -3.00, slope 0.00", 3),
    ],
)
def test_clip_lights_the_case(state: str, words: str, lit: int, opened: Opens) -> None:
    with opened(f"{PAGES['clip']}#clip:{state}") as page:
        _settled(page)
        assert words in _words(page, "clip")
        rows = page.locator("rl-clip tbody tr")
        row = rows.nth(0 if "A=2" in state else 1)
        assert row.locator("td").nth(lit).get_attribute("aria-current") == "true"
        assert page.locator("rl-clip [aria-current=true]").count() == 1


def test_kl_counts_by_enumeration(opened: Opens) -> None:
    with opened(f"{PAGES['kl']}#kl:old=0.5,0.25,0.15,0.1&now=0.25,0.5,0.15,0.1") as page:
        _settled(page)
        # 0.5 log 2 - 0.25 log 2, in both directions.
        assert "KL(old‖new) = 0.173, KL(new‖old) = 0.173" in _words(page, "kl")
        page.get_by_role("button", name="Make the policies equal").click()
        _settled(page)
        assert "KL(old‖new) = 0.000" in _words(page, "kl")


def test_beta_by_hand(opened: Opens) -> None:
    # Once too far, then always at the target.
    kls = ",".join(["0.03"] + ["0.01"] * 11)
    with opened(f"{PAGES['beta']}#beta:kl={kls}&d=0.01&share=0.5") as page:
        _settled(page)
        words = _words(page, "beta")
        assert "doubling and halving ends at 2 and" in words
        assert "the proportional controller ends at 1.1." in words


@pytest.mark.parametrize(
    ("ends", "advantage"),
    # The three rows of the handout's example by hand; a truncated step really led to a value of 1.
    [("........", "0.81"), ("./......", "0.63"), (".T......", "0.50")],
)
def test_gae_by_hand(ends: str, advantage: str, opened: Opens) -> None:
    # After the three steps of the example comes a row whose error is 0: 0 + 0.5 * 0 - 4 = -4 + 4.
    state = f"r=1,0,2,4,0,0,0,0&v=1,2,1,4,0,0,0,0,0&star=1&ends={ends}&g=0.5&l=0.5&step=0"
    with opened(f"{PAGES['gae']}#gae:{state}") as page:
        _settled(page)
        assert f"The advantage of step 0 is {advantage}." in _words(page, "gae")


def test_bandits_without_doubt(opened: Opens) -> None:
    # Every arm equally good: nothing can be lost. Then one that stands out: UCB finds it.
    with opened(f"{PAGES['bandits']}#bandits:m=1,1,1,1,1") as page:
        _settled(page)
        assert "nobody can lose anything" in _words(page, "bandits")
    with opened(f"{PAGES['bandits']}#bandits:m=-1,-1,3,-1,-1&c=1") as page:
        _settled(page)
        row = page.locator("rl-bandits tbody tr").nth(2)
        assert "UCB" in row.locator("th").text_content()
        pulls = row.locator("td").nth(2).text_content()
        assert float(pulls.removesuffix(" %")) > 90


def test_gae_ends_are_buttons(opened: Opens) -> None:
    with opened(PAGES["gae"]) as page:
        button = page.get_by_role("button", name="step 4: goes on")
        button.focus()
        page.keyboard.press("Enter")
        assert page.get_by_role("button", name="step 4: terminated").count() == 1
        _settled(page)
        assert "step 5 hears" in _words(page, "gae")
        assert "ends=..T.T./." in page.url


def test_a_part_is_switched_off_and_the_whole_stays_to_compare(opened: Opens) -> None:
    with opened(PAGES["surgery"]) as page:
        whole = _words(page, "surgery")
        assert whole.startswith("Everything on: after 12,288 steps")
        here = page.locator("rl-surgery [aria-current=true]")
        middle = here.text_content().split()[-1]
        page.get_by_label("six epochs").uncheck()
        _settled(page)
        words = _words(page, "surgery")
        assert words.startswith("One epoch: after 12,288 steps")
        assert f"with everything on, {whole.split('. ')[1].split(' of ')[0]} of 10 seeds" in words
        assert "epochs=off" in page.url
        assert here.count() == 1
        assert (
            page.locator("rl-surgery tbody tr").first.locator("td").first.text_content() == middle
        )


def test_a_training_is_scrubbed_and_the_formulas_follow(opened: Opens) -> None:
    runs = json.loads((ROOT / "site/explorers/internals/runs.json").read_text(encoding="utf-8"))
    for number in (1, 20, 40):
        moment = runs["moments"][number - 1]
        with opened(f"{PAGES['internals']}#internals:moment={number}&angle=-3") as page:
            _settled(page)
            words = _words(page, "internals")
            assert f"After {moment['step']:,} steps" in words
            at = runs["angles"].index(-3)
            left, right = (column[at] for column in moment["values"])
            better = "right" if right >= left else "left"
            assert f"pushing {better} is worth {abs(right - left):.2f} more" in words
            future = moment["target"][moment["online"].index(max(moment["online"]))]
            y = moment["reward"] + (0 if moment["terminated"] else runs["gamma"] * future)
            told = page.locator(".live", has_text="judgement").locator(".rl-term")
            shown = told.text_content().replace("\N{MINUS SIGN}", "-")
            assert f"In the explorer now: {y:.2f}." in shown


def test_a_field_is_painted_and_one_backup_is_stepped(opened: Opens) -> None:
    with opened("assignments/dynamic_programming/README.html") as page:
        fields = page.locator("rl-gridworld [role=gridcell]")
        page.locator("rl-gridworld select").nth(1).select_option("wall")
        fields.nth(0).click()
        assert fields.nth(0).get_attribute("aria-label") == "row 1, column 1: wall"
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
            "row 2, column 1: free"
        )
        page.keyboard.press("+")
        _settled(page)
        assert "reward +0.5" in fields.nth(6).get_attribute("aria-label")
        page.get_by_role("button", name="One backup").click()
        assert "advantage" in page.locator("rl-gridworld svg").nth(2).inner_html()
        page.get_by_role("button", name="One sweep").click()
        _settled(page)
        assert _words(page, "gridworld").startswith("1 sweep done.")


def test_a_pointer_paints_walls_and_drags_a_reward(opened: Opens) -> None:
    with opened("assignments/dynamic_programming/README.html") as page:
        fields = page.locator("rl-gridworld [role=gridcell]")
        fields.nth(7).scroll_into_view_if_needed()
        _drag(page, fields.nth(7), 42)
        assert "reward +2.0" in fields.nth(7).get_attribute("aria-label")
        page.locator("rl-gridworld select").nth(1).select_option("wall")
        _drag(page, fields.nth(12), 2 * fields.nth(12).bounding_box()["width"])
        painted = [
            fields.nth(at).get_attribute("aria-label").endswith("wall") for at in range(11, 16)
        ]
        assert painted == [False, True, True, True, False]


def _drag(page: Any, field: Any, right: float) -> None:
    box = field.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right, y, steps=9)
    page.mouse.up()


def test_play_shows_the_end_at_once_to_who_wants_no_motion(opened: Opens) -> None:
    path = "assignments/dynamic_programming/README.html"
    with opened(path, reduced_motion="reduce") as page:
        page.get_by_role("button", name="Play").click()
        _settled(page)
        assert _words(page, "gridworld").startswith("30 sweeps done.")
    with opened(path, reduced_motion="no-preference") as page:
        page.get_by_role("button", name="Play").click()
        words = "document.querySelector('rl-gridworld .rl-words').textContent"
        page.wait_for_function(f"/^[1-9]\\d? sweeps? done/.test({words})")
        page.get_by_role("button", name="Pause").click()
        assert page.get_by_role("button", name="Play").is_visible()


@pytest.mark.parametrize("algo", ["policy iteration", "Q-learning", "SARSA", "TD(λ)"])
def test_an_algorithm_on_the_grid_gets_nearer(algo: str, opened: Opens) -> None:
    # Without slips and exploration all four have one right answer: off by 0.000 in the end.
    link = f"gridworld:algo={quote(algo)}&slip=0&g=0.99&a=0.2&e=0&l=0.5"
    errors = []
    for steps in (0, 3000):
        with opened(f"assignments/dynamic_programming/README.html#{link}&k={steps}") as page:
            _settled(page)
            found = re.search(r"error of a value.*? is (\d+\.\d+)", _words(page, "gridworld"))
            errors.append(float(found[1]))
    assert errors[0] > 2
    assert errors[1] < 0.1


def test_a_group_without_spread_is_dead_for_grpo_alone(opened: Opens) -> None:
    with opened("assignments/grpo/README.html") as page:
        page.get_by_role("button", name="all wrong").click()
        _settled(page)
        assert "Prompt 2 is dead: every answer earns 0.00; PPO still sees -0.80" in _words(
            page, "grpo"
        )
        row = page.locator("rl-grpo tbody tr").nth(5).locator("td")
        assert row.nth(2).text_content() == "0.00"
        # What stays are four rows instead of eight: each token of them counts twice.
        pull = page.locator("rl-grpo tbody tr").nth(1).locator("td").nth(3)
        before = pull.text_content()
        page.get_by_label("dead groups").select_option("are left out")
        first, second = (
            float(one.replace("\N{MINUS SIGN}", "-")) for one in (before, pull.text_content())
        )
        assert second == pytest.approx(2 * first, abs=2e-4)


@pytest.mark.parametrize(
    ("agg", "share"),
    [("seq-mean-token-mean", "0.27"), ("token-mean", "1.00"), ("seq-sum-const", "1.00")],
)
def test_a_long_answer_is_blamed_less_by_one_average(agg: str, share: str, opened: Opens) -> None:
    with opened("assignments/grpo/README.html") as page:
        page.get_by_label("average").select_option(agg)
        _settled(page)
        assert f"the longer one is pulled {share} times as hard" in _words(page, "grpo")


def test_a_table_is_edited_until_it_has_no_fit(opened: Opens) -> None:
    with opened("assignments/bradley_terry/README.html") as page:
        page.get_by_role("button", name="Scores of the fit").click()
        score = page.get_by_role("slider", name="score of A").get_attribute("aria-valuetext")
        # Scores are rounded to 0.05, so that the pull is not quite 0.
        assert abs(float(score.split()[-1].replace("\N{MINUS SIGN}", "-"))) < 1
        for other in "ABC":
            box = page.get_by_label(f"wins of D over {other}")
            box.fill("0")
            box.press("Tab")
        _settled(page)
        assert "It has no maximum" in _words(page, "bt")
        assert page.get_by_role("button", name="Scores of the fit").is_disabled()
        box.fill("3.4")
        box.press("Tab")
        _settled(page)
        assert box.input_value() == "3"
        assert "with a standard error of" in _words(page, "bt")
