"""Whether this machine has a GPU for torch."""

from __future__ import annotations

import os


def gpu_missing() -> str:
    """Why no test can have a GPU on this machine; empty if one can."""
    import torch

    # NVML answers this. CUDA itself, once asked, could not be used in what this process forks.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    if torch.cuda.is_available():
        return ""
    built = torch.version.cuda or torch.version.hip
    return "torch.cuda.is_available() is False" + (
        "" if built else f": torch {torch.__version__} is a CPU build"
    )
