"""What every report.py needs: options, one figure after the other, bands over seeds."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike


def parser(description: str, report: str) -> argparse.ArgumentParser:
    """The options of a report: ``--out DIR``, the folder of the report by default.

    Args:
        description: the report's docstring; ``--help`` shows its first paragraph.
        report: the report's file.
    """
    options = argparse.ArgumentParser(description=description.split("\n\n")[0])
    here = Path(report).resolve().parent
    options.add_argument(
        "--out", type=Path, default=here, help="folder for the PNG files (default: this one)"
    )
    return options


def save_all(out: Path, figures: Mapping[str, Callable[..., Figure]], *arguments: Any) -> None:
    """Draw each figure and save it as ``out``/NAME.png.

    A figure whose functions are not written yet is left out, and a line says so.

    Args:
        out: a folder; it is made if it does not exist.
        figures: by name, the function that draws it.
        *arguments: what each of these functions is called with.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in figures.items():
        path = out / f"{name}.png"
        try:
            figure = draw(*arguments)
        except NotImplementedError as error:
            print(f"{path.name} is left out because a part of it is not written yet: {error}")
            continue
        figure.savefig(path, dpi=150)
        plt.close(figure)
        print(path)


def save_study(write: Callable[..., None], *arguments: Any) -> None:
    """Make the runs of a study: ``write`` is called with ``arguments`` and writes study.csv.

    If a function that it needs is not written yet, a line says so.
    """
    try:
        write(*arguments)
    except NotImplementedError as error:
        print(f"study.csv is left out because a part of it is not written yet: {error}")


def band(axis: Axes, x: ArrayLike, runs: ArrayLike, label: str, colour: str, **line: Any) -> None:
    """The median of some runs as a line, and all of them, from the lowest to the highest, as a
    band.

    Args:
        x: (n,) where the curves were measured.
        runs: (runs, n), one row for each run.
        **line: further settings of the line, as in ``axis.plot``.
    """
    curves = np.asarray(runs)
    axis.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.15, lw=0)
    axis.plot(x, np.median(curves, axis=0), color=colour, label=label, **line)


def running_mean(values: ArrayLike, window: int) -> np.ndarray:
    """(n,) The mean of the latest ``window`` values, of fewer at the beginning."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(sums))
    first = np.maximum(last - window, 0)
    return (sums[last] - sums[first]) / (last - first)
