"""What an author of boards writes: site/museum/NAME.py holds a tuple SCENES."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_pages.katex import SITE
from course_pages.museum.shown import Shown

FOLDER = SITE / "museum"


@dataclass(frozen=True, eq=False)
class Scene:
    """One call on inputs that are shown, and the mistakes that can be seen in its results.

    part      the part of assignment.yml that the call belongs to
    calls     the function, as the page names it
    words     what goes in, for a reader
    run       the assignment's module -> what is shown
    mistakes  name of a bug, or of a spelling -> what one sees when looking at the right place
    """

    part: str
    calls: str
    words: str
    run: Callable[[Any], Shown]
    mistakes: Mapping[str, str]


def scenes(name: str) -> tuple[Scene, ...]:
    """The scenes of an assignment; none without a file."""
    path = FOLDER / f"{name}.py"
    if not path.is_file():
        return ()
    spec = importlib.util.spec_from_file_location(f"scenes_of_{name}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: tuple[Scene, ...] = module.SCENES
    return found


def path_of(name: str) -> Path:
    """Where an assignment's scenes are."""
    return FOLDER / f"{name}.py"
