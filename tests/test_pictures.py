"""The pictures of the handouts: drawn by the script that ships, given to students, legible."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.parent.name for path in ROOT.glob("assignments/*/assignment.yml"))
PAGES = ("#ffffff", "#0d1117")


def test_the_script_draws_the_pictures_that_ship():
    command = [sys.executable, str(ROOT / "assignments" / "pictures.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_handout_shows_its_picture_and_students_get_it(name):
    folder = ROOT / "assignments" / name
    assert "](idea.svg)" in (folder / "README.md").read_text(encoding="utf-8")
    picture = (ROOT / "starter" / name / "idea.svg").read_bytes()
    assert picture == (folder / "idea.svg").read_bytes()
    words = "".join(ElementTree.fromstring(picture).itertext())
    assert "prefers-color-scheme:dark" in words


def luminance(colour):
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_colour_can_be_read_on_its_page():
    """The contrast that WCAG 2.1 asks of text, 4.5 to 1, on a light and on a dark page."""
    path = ROOT / "assignments" / "drawing.py"
    spec = importlib.util.spec_from_file_location("drawing", path)
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    for name, pair in drawing.COLOURS.items():
        for colour, page in zip(pair, PAGES, strict=True):
            dark, light = sorted((luminance(colour), luminance(page)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, colour)
