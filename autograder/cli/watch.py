"""What a person watches while a class is marked: rate, remaining time and verdicts.

At the end it says which results were kept, and why the others were not.
"""

from __future__ import annotations

from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from autograder.model import Grade


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{60 * task.speed:.0f} a minute" if task.speed else "")


class Watch:
    """A progress bar; silent if it is not wanted or the console is not a terminal."""

    def __init__(self, console: Console, silent: bool = False) -> None:
        columns = (
            TextColumn("marking"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        silent = silent or not console.is_terminal
        self._bar = Progress(
            *columns, console=console, disable=silent, transient=True, speed_estimate_period=60
        )
        self._task = self._bar.add_task("", total=None)
        self._counts: Counter[str] = Counter()

    def __enter__(self) -> Watch:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def tell(self, grade: Grade, total: int) -> None:
        """One more submission is marked, of ``total`` that have to be."""
        self._counts.update(outcome.verdict.value for outcome in grade.outcomes)
        words = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self._counts.items()))
        self._bar.update(self._task, advance=1, total=total, description=words)


def summary(
    kept: int, reasons: Counter[str], rescored: Counter[str] | None = None, idle: int = 0
) -> str:
    """Which results were kept, and why the others were marked. The numbers add up to the class.

    As in "Kept 990 unchanged; marked 10: 8 new, 2 (the submission changed)". ``idle``: submissions
    of which nothing could be run.
    """
    again = rescored or Counter()
    text = _kept_and_marked(kept - again.total(), reasons, bool(again))
    for what, count in again.most_common():
        text += f" Counted lateness again for {count}, without running anything: {what} changed."
    if idle:
        text += f" Nothing to run in {idle}: not opened, or waiting for your decision."
    if any("the hidden tests" in reason for reason in reasons):
        text += (
            " One test's time and diagnosis affect the others, so everybody is marked again when "
            "the hidden tests change."
        )
    return text


def _kept_and_marked(kept: int, reasons: Counter[str], rescored: bool) -> str:
    if not reasons:
        if rescored:
            return f"Kept {kept} unchanged."
        return f"Kept all {kept}: nothing has changed." if kept else "Nothing had to be marked."
    why = ", ".join(f"{count} {_because(reason)}" for reason, count in reasons.most_common())
    return f"Kept {kept} unchanged; marked {reasons.total()}: {why}."


def _because(reason: str) -> str:
    return reason if reason in ("new", "not finished before") else f"({reason})"
