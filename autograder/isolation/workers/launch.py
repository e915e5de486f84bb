"""How a fork server is started: its environment, and what it is told.

The command imports this, so it imports no library of a course's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgpack

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ENVIRONMENT = ONE_THREAD | {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "MPLBACKEND": "Agg",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    # Otherwise asking for a GPU here would spoil it for every fork.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    # There is no home to keep it in.
    "CUDA_CACHE_DISABLE": "1",
}
# Everything is on malloc's heap, in huge pages. There are fewer page tables to copy, so forking
# torch costs half.
ENVIRONMENT |= {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


class Wanted(NamedTuple):
    """What a fork server is started for.

    Attributes:
        libraries: the modules that are to be warm.
        hidden: folders that no worker may see.
        profile: "distributed" lets several workers talk to each other over loopback.
        gpu: whether workers may use a GPU.
    """

    libraries: list[str]
    hidden: list[str]
    profile: str
    gpu: bool

    @classmethod
    def of(
        cls, libraries: Sequence[str], hidden: Sequence[Path], profile: str, gpu: bool = False
    ) -> Wanted:
        """The same, of any sequences."""
        return cls(list(libraries), list(map(str, hidden)), profile, gpu)

    def packed(self) -> bytes:
        """As the message that a fork server reads."""
        data: bytes = msgpack.packb(self)
        return data

    @classmethod
    def unpacked(cls, data: bytes) -> Wanted:
        """What such a message says."""
        return cls(*msgpack.unpackb(data))
