"""What the commands share: how they print, say what is wrong, and find the course."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from autograder.authoring.course import Course, find_root, load_course
from autograder.errors import AutograderError

out = Console()
err = Console(stderr=True)

CourseOption = Annotated[
    Path | None, typer.Option("--course", help="The course's folder (default: found from here).")
]


def explained(command: Callable[..., None]) -> Callable[..., None]:
    """Errors that a person can act on become their one paragraph and exit code 2."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except AutograderError as error:
            err.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(2) from None
        except OSError as error:
            err.print(
                f"{error.filename or 'a file'}: {error.strerror or error}",
                style="red",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
            raise typer.Exit(2) from None

    return wrapped


def say(text: str) -> None:
    """One line of ours, as it is."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def complain(text: str) -> None:
    """One line of ours that somebody should act on."""
    err.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def the_course(root: Path | None) -> Course:
    """The course that a command is about."""
    return load_course(find_root(root))
