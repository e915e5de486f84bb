"""The grading image, as an instructor runs it: right, wrong and hostile submissions.

It runs with the engine's defaults and hardened. Needs $GRADER_IMAGE and $GRADER_ENGINE.
"""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import jsonschema
import pytest
import routes

from autograder.authoring.course import load_assignment
from autograder.authoring.source import Source

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "tests" / "schemas" / "gradescope_results.json").read_text())
GAE = load_assignment(ROOT, "gae")
SOURCE = Source(GAE.solution)
CORPUS = ROOT / "tests" / "attacks" / "corpus" / "gae"
HOSTILE = ("imports_the_solution", "reads_the_expected_values", "walks_the_heap")
pytestmark = [
    pytest.mark.ecosystem,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "GRADER_IMAGE" not in os.environ,
        reason="no grading image: .ci/image builds one and runs this",
    ),
]


@pytest.fixture(params=[(), routes.HARDENED], ids=["default", "hardened"])
def options(request):
    return request.param


def marked(folder: Path, text: str, options=(), name: str = "gae") -> dict:
    (folder / "submission").mkdir()
    (folder / "results").mkdir()
    (folder / "submission" / f"{name}.py").write_text(text)
    routes.must(*routes.in_a_container(name, folder, tuple(options)))
    results = json.loads((folder / "results" / "results.json").read_text())
    jsonschema.validate(results, SCHEMA)
    assert results["extra_data"]["provenance"]["leaks"] == []
    assert all(results["extra_data"]["provenance"]["wall"][layer] for layer in ("uid", "seccomp"))
    return results


def test_right(tmp_path, options):
    results = marked(tmp_path, SOURCE.solution(), options)
    assert results["score"] == results["extra_data"]["max_score"]


@pytest.mark.skipif(
    not os.environ.get("GRADER_IMAGE", "").endswith(":gpu"), reason="this is the gpu target's test"
)
@pytest.mark.parametrize("name", ["bandits", "gae", "bradley_terry", "grpo", "distributed_ppo"])
def test_the_gpu_target_marks_without_a_gpu(tmp_path, name):
    """GPU parts are not run, for a reason that is said."""
    assignment = load_assignment(ROOT, name)
    results = marked(tmp_path, Source(assignment.solution).solution(), name=name)
    assert results["score"] == results["extra_data"]["max_score"]
    gpu = results["extra_data"]["provenance"].get("gpu_part", {})
    assert bool(gpu) == assignment.scale_tests.is_file()
    assert not gpu or (gpu["state"] == "not_run" and gpu["reason"])


def test_wrong(tmp_path, options):
    results = marked(tmp_path, SOURCE.broken("leaks-past-the-end"), options)
    assert 0 < results["score"] < results["extra_data"]["max_score"]
    assert "the recursion runs on past the end of an episode" in json.dumps(results)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(tmp_path, options, name):
    text = (CORPUS / f"{name}.py").read_text()
    says = ast.get_docstring(ast.parse(text)) or ""
    assert "Deserves: 0" in says and "Base: nothing" in says
    assert marked(tmp_path, text, options)["score"] == 0


def test_without_the_right_to_change_users_it_refuses(tmp_path):
    """--cap-drop=ALL alone leaves no wall: nothing is marked, nobody gets a zero, and the reason is
    said."""
    for part in ("submission", "results"):
        (tmp_path / part).mkdir()
    (tmp_path / "submission" / "gae.py").write_text(SOURCE.solution())
    done = routes.run(*routes.in_a_container("gae", tmp_path, ("--cap-drop=ALL",)))
    assert done.returncode == 2 and "a worker could not enter its sandbox" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "results" / "results.json").exists()


def test_hidden_tests_are_root_s_alone_and_nothing_starts_by_itself():
    engine, tag = os.environ["GRADER_ENGINE"], os.environ["GRADER_IMAGE"]
    command = [engine, "run", "--rm", "--network=none", "--user", "student", tag]
    for folder in ("grading", "solutions"):
        done = routes.run(*command, "ls", f"/autograder/source/{folder}")
        assert done.returncode != 0 and "Permission denied" in done.stderr
    config = json.loads(routes.must(engine, "image", "inspect", tag))[0]["Config"]
    assert not config.get("Entrypoint") and config.get("Cmd") in (None, ["bash"])


def test_neither_compilers_nor_caches_are_in_it():
    engine, tag = os.environ["GRADER_ENGINE"], os.environ["GRADER_IMAGE"]
    look = (
        "command -v gcc cc c++ make; ls -A /root/.cache /var/lib/apt/lists /var/cache/apt/archives;"
        " echo looked"
    )
    told = routes.run(engine, "run", "--rm", "--network=none", tag, "sh", "-c", look).stdout
    left = [line for line in told.splitlines() if line and not line.endswith(":")]
    assert left[-1] == "looked" and set(left[:-1]) <= {"lock", "partial"}


@pytest.mark.parametrize(
    ("name", "says"),
    [("gea.py", "the nearest name is gea.py"), ("gae.zip", "is not a zip file that can be opened")],
)
def test_what_cannot_be_opened_is_said(tmp_path, name, says):
    for part in ("submission", "results"):
        (tmp_path / part).mkdir()
    (tmp_path / "submission" / name).write_text("x = 1\n")
    (tmp_path / "submission" / "notes.py").write_text("") if name.endswith(".py") else None
    routes.must(*routes.in_a_container("gae", tmp_path))
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert results["score"] == 0 and says in results["output"]
