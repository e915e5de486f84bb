"""The pages on which one writes an assignment: what is typed is kept, tested, told, handed in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from built import PICTURES, ROOT, SITE, Opens, findings

sys.path.insert(0, str(ROOT / "site"))

import fetch_python
from course_pages import editor

from autograder.authoring.course import Course, load_course
from autograder.authoring.source import Source

COURSE: Course = load_course(ROOT)
NAMES = [one.name for one in COURSE.catalogue if editor.in_browser(one)]
FIRST = "write/bandits.html"
# Loading Python and running everything takes a tenth of this.
LONG = 120_000
PASTE = """(node, text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', text);
    node.dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true}));
}"""

needs_python = pytest.mark.skipif(
    not (SITE / "_static" / "python").is_dir(), reason="built without Python in the browser"
)


def _solution(name: str) -> str:
    return Source(COURSE.assignment(name).solution).solution()


def _starter(name: str) -> str:
    assignment = COURSE.assignment(name)
    return (assignment.starter / assignment.main).read_text(encoding="utf-8")


def _write(page: Any, text: str) -> None:
    """Put a text in place of what is in the editor, by keys and clipboard."""
    page.locator(".cm-content").focus()
    page.keyboard.press("ControlOrMeta+a")
    page.locator(".cm-content").evaluate(PASTE, text)


def _button(page: Any, words: str) -> Any:
    return page.get_by_role("button", name=words, exact=True)


def _said(page: Any) -> str:
    return str(page.locator(".write-said").text_content())


def _begin(page: Any) -> None:
    _button(page, "Run the tests").click()


def _run(page: Any) -> str:
    """Run the tests to their end. What was said then."""
    _begin(page)
    page.wait_for_selector('[data-do=run][aria-disabled="false"]', timeout=LONG)
    return _said(page)


def _downloaded(page: Any) -> tuple[str, str]:
    with page.expect_download() as waiting:
        _button(page, "Download").click()
    download = waiting.value
    return download.suggested_filename, Path(download.path()).read_text(encoding="utf-8")


def test_they_are_the_assignments_that_need_numpy_alone() -> None:
    assert {"bandits", "dynamic_programming", "q_learning", "td_learning"} <= set(NAMES)
    assert "gae" not in NAMES
    for name in NAMES:
        handout = (SITE / "assignments" / name / "README.html").read_text(encoding="utf-8")
        assert f'href="../../write/{name}.html"' in handout


@needs_python
@pytest.mark.parametrize("name", NAMES)
def test_the_starter_asks_and_the_solution_passes(name: str, opened: Opens, served: str) -> None:
    tests = (COURSE.assignment(name).starter / "test_local.py").read_text(encoding="utf-8")
    names = re.findall(r"^def (test_\w+)\(", tests, re.MULTILINE)
    with opened(f"write/{name}.html", base=served) as page:
        # Some tests look only at what is given.
        said = _run(page)
        rows = page.locator(".write-tests li")
        assert rows.count() >= len(names)
        unwritten = page.locator(".write-tests .is-unwritten").count()
        assert unwritten > len(names) / 2
        assert f"{unwritten} are not written yet" in said
        assert page.locator(".write-tests .is-failed").count() == 0
        first = _starter(name).split('raise NotImplementedError("TODO(')[1].partition(")")[0]
        assert page.locator(".write-next b").first.text_content() == first
        _write(page, _solution(name))
        assert f"All {rows.count()} public tests pass" in _run(page)
        assert page.locator(".write-tests .is-passed").count() == rows.count()
        assert page.locator(".write-next").count() == 0


@needs_python
def test_a_wrong_function_fails_with_the_tests_message(opened: Opens, served: str) -> None:
    wrong = "\n\ndef sample_average(q, n, reward):\n    print('I am', n)\n    return q\n"
    with opened(FIRST, base=served) as page:
        _write(page, _solution("bandits") + wrong)
        assert " fail." in _run(page)
        failed = page.locator(".write-tests .is-failed").first
        assert "sample average of three rewards" in failed.text_content()
        assert "assert 99.0 == 4.0" in failed.locator(".write-message").text_content()
        failed.locator("summary").click()
        shown = failed.locator("pre")
        assert "q = work.sample_average(99.0, 1, 4.0)" in shown.text_content()
        assert "Printed:\nI am 1" in shown.text_content()
        assert shown.is_visible()


@needs_python
def test_a_file_that_cannot_be_read_gets_one_sentence(opened: Opens, served: str) -> None:
    said = {
        "def broken(:\n": "Python cannot read it: invalid syntax.",
        "import torch\n": "there is no module 'torch' in the browser.",
        "numbers = 1 / 0\n": "ZeroDivisionError: division by zero.",
        "raise SystemExit\n": "SystemExit.",
        "input()\n": "EOFError",
        "def f():\n    return f()\nf()\n": "RecursionError",
    }
    with opened(FIRST, base=served) as page:
        for text, words in said.items():
            _write(page, _starter("bandits") + text)
            told = _run(page)
            assert re.match(r"bandits\.py, line 34\d: ", told)
            assert words in told
            assert "Traceback" not in told
            assert page.locator(".write-tests").count() == 0
        # The line is a way back to the editor.
        _write(page, "def broken(:\n" + _starter("bandits"))
        _run(page)
        _button(page, "line 1").click()
        page.keyboard.type("# ")
        assert page.locator(".cm-line").first.text_content() == "# "
        assert "are not written yet" in _run(page)


@needs_python
def test_an_endless_loop_is_stopped(opened: Opens, served: str) -> None:
    loop = "while True:\n    pass\n"
    with opened(FIRST, base=served) as page:
        _write(page, loop)
        _begin(page)
        page.wait_for_selector("text=The tests run.", timeout=LONG)
        _button(page, "Stop").click()
        assert _said(page).startswith("Stopped while bandits.py is read.")
        inside = f"def constant_step(*_):\n    {loop.replace('    ', '        ')}"
        text = f"{_solution('bandits')}\n\n{inside}"
        _write(page, text)
        _begin(page)
        page.wait_for_selector("text=Does a loop never end?", timeout=LONG)
        assert "“constant step moves a tenth of the way”" in _said(page)
        _button(page, "Stop").click()
        assert "What you wrote is still here." in _said(page)
        assert page.locator(".write-tests .is-passed").count() == 1
        assert "constant step" in page.locator(".write-tests .is-stopped").text_content()
        assert _downloaded(page) == ("bandits.py", text)
        _begin(page)
        _button(page, "Stop").click()
        assert _said(page).startswith("Stopped while Python was loading.")


def test_what_was_typed_survives_a_reload_and_is_downloaded(opened: Opens) -> None:
    with opened(FIRST) as page:
        page.locator(".cm-content").focus()
        page.keyboard.press("ControlOrMeta+Home")
        page.keyboard.type("# Grüße, 1 < 2 </script>")
        page.keyboard.press("Enter")
        typed = "# Grüße, 1 < 2 </script>\n" + _starter("bandits")
        assert _downloaded(page) == ("bandits.py", typed)
        page.reload()
        assert "what you wrote last time" in page.locator(".write-kept").text_content()
        assert _downloaded(page) == ("bandits.py", typed)
        page.once("dialog", lambda asked: asked.dismiss())
        _button(page, "Reset").click()
        assert _downloaded(page)[1] == typed
        page.once("dialog", lambda asked: asked.accept())
        _button(page, "Reset").click()
        assert _downloaded(page)[1] == _starter("bandits")
        page.locator(".cm-content").focus()
        page.keyboard.press("ControlOrMeta+z")
        assert _downloaded(page)[1] == typed


def test_a_browser_that_keeps_nothing_is_named(opened: Opens) -> None:
    with opened(FIRST) as page:
        full = "throw new DOMException('', 'QuotaExceededError')"
        page.evaluate(f"() => {{ Storage.prototype.setItem = () => {{ {full} }} }}")
        page.locator(".cm-content").focus()
        page.keyboard.type("x")
        page.wait_for_timeout(450)
        assert "This browser keeps nothing" in page.locator(".write-kept").text_content()


def test_another_tab_is_named(opened: Opens) -> None:
    with opened(FIRST) as page:
        other = page.context.new_page()
        other.goto(page.url)
        other.locator(".cm-content").focus()
        other.keyboard.type("x")
        page.wait_for_function(
            "document.querySelector('.write-kept').textContent.includes('Another tab')"
        )


def test_keys_go_in_and_out(opened: Opens) -> None:
    inside = "document.activeElement.closest('.cm-editor') !== null"
    with opened(FIRST) as page:
        _button(page, "Reset").focus()
        page.keyboard.press("Tab")
        assert page.evaluate(inside)
        assert "Esc" in page.locator("#write-keys").text_content()
        page.keyboard.press("ControlOrMeta+Home")
        page.keyboard.press("Tab")
        assert page.evaluate(inside)
        assert _downloaded(page)[1] == "    " + _starter("bandits")
        page.locator(".cm-content").focus()
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Run the tests"


def test_a_page_from_a_file_says_that_it_cannot_run(opened: Opens) -> None:
    with opened(FIRST) as page:
        page.locator(".cm-content").focus()
        page.keyboard.press("ControlOrMeta+Enter")
        assert _said(page).startswith("A page that is opened from a file cannot run Python")
        assert _button(page, "Run the tests").get_attribute("aria-disabled") == "true"


def test_a_site_without_python_says_so(opened: Opens, served: str) -> None:
    with opened(FIRST, base=served) as page:
        whole = (SITE / FIRST).read_text(encoding="utf-8")
        without = re.sub(r'"wheels": \[[^]]*\]', '"wheels": []', whole)
        page.route("**/bandits.html", lambda asked: asked.fulfill(body=without))
        page.reload()
        assert "was built without Python for the browser" in _said(page)
        assert _downloaded(page)[1] == _starter("bandits")


@needs_python
def test_pictures_to_look_at(opened: Opens, served: str) -> None:
    wrong = "\n\ndef ucb_scores(*_):\n    raise NotImplementedError('TODO(ucb): the bonus.')\n"
    with opened(FIRST, base=served, reduced_motion="reduce") as page:
        _look(page, "new")
        _run(page)
        _look(page, "starter")
        wrong += "\n\ndef sample_average(q, n, reward):\n    return q\n"
        _write(page, _solution("bandits") + wrong)
        _run(page)
        page.locator(".write-tests summary").first.click()
        _look(page, "wrong")
        _write(page, _solution("bandits"))
        _run(page)
        _look(page, "solved")
        _write(page, "import torch\n")
        _run(page)
        _look(page, "refused")


def _look(page: Any, state: str) -> None:
    """Three pictures of a state: none is too wide, and axe finds nothing serious."""
    for width, scheme in ((390, "dark"), (1280, "light"), (1920, "light")):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert findings(page) == []
        path = PICTURES / f"write_{state}_{width}_{scheme}.png"
        page.screenshot(path=path, full_page=width == 390)


def test_packages_are_those_of_the_lock() -> None:
    lock, pins = (
        dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / path).read_text(encoding="utf-8"), re.M))
        for path in ("requirements/lock.txt", "requirements/browser.txt")
    )
    carrier = pins.pop("open-webui")
    assert carrier
    assert pins.items() <= lock.items()


def test_a_build_without_packages_says_why(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, fetch_python.__file__, str(tmp_path / "python")],
        capture_output=True,
        text=True,
        env={"PATH": "", "PIP_NO_INDEX": "1"},
    )
    assert done.returncode == 0
    assert "built without Python in the browser" in done.stdout
    assert not (tmp_path / "python").exists()


def test_a_wheel_with_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = json.loads((fetch_python.PYODIDE / fetch_python.LIST).read_text(encoding="utf-8"))
    listed["packages"]["numpy"]["sha256"] = "0" * 64
    (tmp_path / fetch_python.LIST).write_text(json.dumps(listed), encoding="utf-8")
    monkeypatch.setattr(fetch_python, "PYODIDE", tmp_path)
    carrier = tmp_path / "carrier.whl"
    with fetch_python.ZipFile(carrier, "w") as packed:
        packed.writestr(f"some/{listed['packages']['numpy']['file_name']}", b"")
    with pytest.raises(fetch_python.NotToBeHadError, match="with the hash of Pyodide's list"):
        fetch_python.numpy_wheel(carrier, tmp_path)
