"""Runs the public tests on some work: as a student would, and once more as grading would."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from autograder.authoring import starter
from autograder.authoring.course import Assignment
from autograder.authoring.given import with_given

SECONDS = 600
ENDLESS = f"The public tests did not end within {SECONDS} seconds: look for a loop without an end."


def run_public_tests(
    assignment: Assignment,
    files: Mapping[str, bytes],
    options: tuple[str, ...] = ("-q", "--tb=short"),
) -> tuple[int, str]:
    """Run test_local.py on ``files`` in a fresh starter folder; exit code and output of pytest."""
    given = starter.files(assignment)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (given | with_given(assignment, files)).items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", folder]
        command += ["-p", "no:cacheprovider", "-p", "autograder.proof.as_graded"]
        command += ["--as-graded", assignment.main, *options, folder]
        # A starter needs pytest alone, so plugins that happen to be installed are not loaded.
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 1, ENDLESS
    return done.returncode, done.stdout + done.stderr
