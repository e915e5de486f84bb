"""What one submission may use of the machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# How many bytes and files a worker may write in all (wall/world.py).
WORLD_BYTES, WORLD_FILES = 64 << 20, 1024


class Limits(BaseModel):
    """What one test may use of the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # CPU seconds of the student's code in one test.
    call_seconds: Annotated[float, Field(gt=0)] = 10
    # What `with_share` has made of the CPU seconds. A test's own CPU seconds are shared alike.
    share: Annotated[float, Field(gt=0, le=1)] = 1
    # Seconds that one test may wait without computing (workers/meter.py).
    test_seconds: Annotated[float, Field(gt=0)] = 60
    # Seconds of computing and waiting in all tests of one submission. Once they are used up, each
    # remaining test gets only the minimum time.
    total_seconds: Annotated[float, Field(gt=0)] = 600
    # On top of what the interpreter and its libraries take.
    memory_mib: Annotated[int, Field(gt=0)] = 1024
    # Printed text beyond this is dropped.
    prints_kib: Annotated[int, Field(gt=0)] = 64
    # Threads of one worker.
    processes: Annotated[int, Field(gt=0)] = 16
    # A new worker for every test, also where the last one passed (workers/reuse.py).
    fresh_workers: bool = False

    def with_share(self, share: float) -> Limits:
        """These limits, but with only this part of the CPU seconds."""
        return self.model_copy(
            update={"call_seconds": self.call_seconds * share, "share": self.share * share}
        )
