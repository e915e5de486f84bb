"""What the site shows of trainings is what the solutions do: each recording is begun once more."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from built import ROOT

sys.path.insert(0, str(ROOT / "site" / "explorers"))

import record_internals
import record_surgery
from recorded import HERE, packed, solution


def _recorded(name: str) -> Any:
    return json.loads((HERE / name / "runs.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("on", ["1111", "0100", "1010"])
def test_an_operation_on_ppo_begins_as_recorded(on: str) -> None:
    data = _recorded("surgery")
    assert data["parts"] == [*record_surgery.PARTS]
    assert len(data["runs"]) == 2 ** len(data["parts"])
    # Two digits for each of the updates.
    length = 2 * data["updates"]
    assert {len(runs) for runs in data["runs"].values()} == {length * data["seeds"]}
    changes: dict[str, Any] = {}
    for part, is_on in zip(data["parts"], on, strict=True):
        changes |= {} if is_on == "1" else record_surgery.PARTS[part]
    ppo = solution("ppo", "gae")
    begun = packed(record_surgery.returns(ppo, changes, seed=1, updates=2))
    assert data["runs"][on][length:].startswith(begun)


def test_a_training_of_dqn_begins_as_recorded() -> None:
    data = _recorded("internals")
    begun = record_internals.moments(1000)
    (moment,) = begun.pop("moments")
    assert len(data["moments"]) == record_internals.MOMENTS
    assert moment == data["moments"][0]
    assert begun == {name: data[name] for name in begun}
