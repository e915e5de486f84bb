"""Every page opens from a file without a complaint, fits a phone, and is accessible."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from built import PICTURES, SITE, Opens, findings, pages

# On these one looks at the pictures: width and scheme of each.
VIEWS = [(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]
LOOKED_AT = ["index.html", "assignments/ppo/README.html", "docs/SYLLABUS.html"]


@pytest.mark.parametrize("path", pages())
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_a_page(path: str, width: int, scheme: str, opened: Opens) -> None:
    with opened(path, width, scheme) as page:
        page.wait_for_load_state("load")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, "the page is wider than its window"
        assert page.locator(".katex-error").count() == 0
        assert (
            page.locator("text=/\\$\\$|\\\\frac|\\\\mathbb/").locator("visible=true").count() == 0
        )
        assert findings(page) == []


@pytest.mark.parametrize("path", LOOKED_AT)
@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_pictures_to_look_at(path: str, width: int, scheme: str, opened: Opens) -> None:
    with opened(path, width, scheme) as page:
        name = path.replace("/", "_").removesuffix(".html")
        page.wait_for_load_state("load")
        page.screenshot(path=PICTURES / f"{name}_{width}_{scheme}.png", full_page=True)
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (_brightness(dark) < 128) == (scheme == "dark")


def _brightness(colour: str) -> float:
    numbers = colour.removeprefix("rgb(").removesuffix(")").split(",")
    return sum(float(one) for one in numbers) / 3


def test_formulas_are_there_without_scripts(opened: Opens) -> None:
    with opened("assignments/gae/README.html", java_script_enabled=False) as page:
        formulas = page.locator(".formula .katex-html")
        assert formulas.count() >= 5
        assert all(box["height"] > 10 for box in map(_box, formulas.all()))
        # An explorer leaves no empty box.
        assert page.locator("rl-gae").count() == 1
        assert not page.locator("rl-gae").is_visible()


def _box(locator: Any) -> dict[str, float]:
    box = locator.bounding_box()
    assert box is not None
    return box


def test_print_is_on_white(opened: Opens) -> None:
    with opened("assignments/ppo/README.html", 1280, "dark") as page:
        page.emulate_media(media="print")
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert _brightness(colour) > 200 or colour == "rgba(0, 0, 0, 0)"
        assert not page.locator("rl-clip").is_visible()


def test_search_from_a_file(opened: Opens) -> None:
    with opened("search.html?q=bootstrap") as page:
        page.wait_for_selector("ul.search a")
        found = page.locator("ul.search a").all_text_contents()
        assert any("Generalized advantage estimation" in title for title in found)


def test_search_from_a_server(served: str, opened: Opens) -> None:
    with opened("search.html?q=bootstrap", base=served) as page:
        page.wait_for_selector("ul.search p.context")
        # Excerpts of several pages are still on their way.
        page.wait_for_load_state("networkidle")


def test_a_chosen_theme_counts_for_pictures_too(opened: Opens) -> None:
    with opened("assignments/gae/README.html") as page:
        theme = "document.body.dataset.theme = 'dark'"
        page.evaluate(theme)
        picture = page.locator("article img").first
        assert picture.evaluate("one => getComputedStyle(one).colorScheme") == "dark"
        picture.screenshot(path=PICTURES / "idea_on_a_chosen_dark_page.png")


def test_code_has_a_copy_button(opened: Opens) -> None:
    with opened("README.html") as page:
        button = page.locator("div.highlight button.copybtn").first
        assert (
            "cd gae" in page.locator(button.get_attribute("data-clipboard-target")).text_content()
        )


def test_pages_follow_each_other_in_teaching_order(opened: Opens) -> None:
    with opened("assignments/reinforce/CHANGES.html") as page:
        page.locator(".related-pages .next-page").click()
        assert "Generalized advantage estimation" in page.title()


class _Links(HTMLParser):
    """Ids, and addresses of links and of what is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if name in ("href", "src") and value:
                self.addresses.append(value)


def _parsed(path: str) -> _Links:
    links = _Links()
    links.feed((SITE / path).read_text(encoding="utf-8"))
    return links


def test_internal_links_resolve() -> None:
    parsed = {path: _parsed(path) for path in pages()}
    broken = [
        f"{path}: {address}"
        for path, links in parsed.items()
        for address in links.addresses
        if not _resolves(path, address, parsed)
    ]
    assert broken == []


def _resolves(path: str, address: str, parsed: dict[str, _Links]) -> bool:
    """Whether the file is there, and in it the place that is named. Others' sites are not asked."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return True
    there = (SITE / path).parent / unquote(parts.path) if parts.path else SITE / path
    if not there.is_file():
        return False
    target = there.resolve().relative_to(SITE.resolve()).as_posix()
    # A state of an explorer is no place in the page.
    if target not in parsed or not parts.fragment or ":" in parts.fragment:
        return True
    return unquote(parts.fragment) in parsed[target].ids


class _Assets(HTMLParser):
    """What a page loads by itself: scripts, styles, pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.addresses.append(said.get("src") or "")
        if tag == "link" and said.get("rel") in ("stylesheet", "icon", "preload"):
            self.addresses.append(said.get("href") or "")


def _assets(path: str) -> list[str]:
    assets = _Assets()
    assets.feed((SITE / path).read_text(encoding="utf-8"))
    return assets.addresses


def test_assets_come_with_the_site() -> None:
    loaded = {path: _assets(path) for path in pages()}
    assert all(loaded.values())
    outside = [
        f"{path}: {address}"
        for path, addresses in loaded.items()
        for address in addresses
        if urlsplit(address).scheme not in ("", "data")
    ]
    assert outside == []
