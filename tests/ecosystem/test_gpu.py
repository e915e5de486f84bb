"""The gpu target's requirements resolve to a torch with CUDA, at the locked versions: asked of pip,
nothing is downloaded whole or built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import routes

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
pytestmark = [pytest.mark.ecosystem, pytest.mark.timeout(900)]


def test_the_gpu_target_resolves_to_cuda(tmp_path):
    report = tmp_path / "report.json"
    options = ["--dry-run", "--ignore-installed", "--quiet", "--report", report, "--no-cache-dir"]
    wanted = ["-c", REQUIREMENTS / "lock.txt", "-r", REQUIREMENTS / "image.txt"]
    # A local CPU wheel is not what the image would get.
    own = {"PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    try:
        done = routes.run(
            sys.executable,
            "-m",
            "pip",
            "install",
            *options,
            *wanted,
            cwd=tmp_path,
            limit=300,
            **own,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("pip's index did not answer within 300 seconds")
    if done.returncode != 0 and "Retrying" in done.stderr:
        pytest.skip("pip cannot reach its index")
    assert done.returncode == 0, done.stderr
    found = {
        one["metadata"]["name"].lower(): one["metadata"]["version"]
        for one in json.loads(report.read_text())["install"]
    }
    locked = dict(
        line.split("==") for line in (REQUIREMENTS / "lock.txt").read_text().lower().split()
    )
    assert found["torch"] == locked["torch"] and "+" not in found["torch"]
    assert [name for name in found if name.startswith("nvidia-") and "cudnn" in name]
    strangers = found.keys() - locked.keys() - {"triton", "setuptools"}
    assert not [name for name in strangers if not name.startswith(("nvidia-", "cuda-"))]
