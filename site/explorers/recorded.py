"""What the recordings of training runs have in common: the solutions, CartPole, compact numbers.

An explorer of recorded runs holds them in runs.json, which `record_NAME.py` writes, here:
PYTHONPATH=. .venv/bin/python site/explorers/record_NAME.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def solution(name: str, *others: str) -> Any:
    """The module of a solution, with the given modules and other solutions that it imports."""
    torch.set_num_threads(1)
    folders = [ROOT / "assignments" / "given", *(ROOT / "solutions" / x for x in (*others, name))]
    sys.path += [str(folder) for folder in folders]
    return import_module(name)


def packed(numbers: Iterable[float]) -> str:
    """Whole numbers from 0 to 1295 as two digits to the base of 36 each."""
    whole = [min(1295, max(0, round(one))) for one in numbers]
    return "".join(DIGITS[one // 36] + DIGITS[one % 36] for one in whole)


def write(name: str, data: Any) -> None:
    """Write explorers/NAME/runs.json."""
    text = json.dumps(data, separators=(",", ":"))
    (HERE / name / "runs.json").write_text(f"{text}\n", encoding="utf-8")
