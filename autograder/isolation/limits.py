"""What one submission may use of the machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

WORLD_BYTES, WORLD_FILES = 64 << 20, 1024  # that a worker may write, in all (wall/world.py)


class Limits(BaseModel):
    """What one test may use of the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    call_seconds: Annotated[float, Field(gt=0)] = (
        10  # CPU seconds of the student's code in one test
    )
    test_seconds: Annotated[float, Field(gt=0)] = 60  # wall-clock seconds of one test
    total_seconds: Annotated[float, Field(gt=0)] = (
        600  # wall-clock seconds of one submission; what comes later gets little
    )
    memory_mib: Annotated[int, Field(gt=0)] = (
        1024  # on top of what the interpreter and its libraries take
    )
    prints_kib: Annotated[int, Field(gt=0)] = 64  # printed text that is kept
    processes: Annotated[int, Field(gt=0)] = 16  # threads of one worker
    fresh_workers: bool = (
        False  # for every test, also where the last one passed (isolation/kept.py)
    )
