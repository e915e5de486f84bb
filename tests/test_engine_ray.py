"""The engine of a Ray cluster, on a real one: several nodes, one of which is killed in between.

Needs Ray (requirements/cluster.txt) and the wall. The nodes share this machine's file system and
its cores.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from collections import Counter, deque
from pathlib import Path

import pytest
from toy import MAIN, NAME, Toy

from autograder.errors import IsolationError
from autograder.marking import engines
from autograder.marking.engines import Job
from autograder.marking.provenance import fingerprint
from autograder.model import Verdict

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements/cluster.txt")

from ray.cluster_utils import Cluster

from autograder.marking.engines import ray as engine_module
from autograder.marking.engines.ray import RayEngine

pytestmark = pytest.mark.timeout(900)  # a cluster starts slowly on a busy machine
REPOSITORY = Path(__file__).parents[1]
QUICK_TO_NOTICE = {
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
    "health_check_initial_delay_ms": 2000,
}
# Imported for each of four tests (a kept worker cannot look into an object), so that a node is lost
# while it marks.
SLOW = "import time\nremembers = object()\ntime.sleep(0.3)\n"


@pytest.fixture(scope="module")
def toy_on_cluster(tmp_path_factory, server) -> Toy:
    """``server`` is asked for because it skips where there can be no wall."""
    return Toy.build(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def cluster():
    """A head without cores and two nodes with two each."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "_system_config": QUICK_TO_NOTICE,
        },
    )
    for _ in range(2):
        cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def engine(cluster, toy_on_cluster, notices):
    engine = RayEngine(toy_on_cluster.assignment, 0, cluster.address, notices.append)
    yield engine
    engine.close()


def job(toy: Toy, number: int, before: str = "") -> Job:
    return Job(f"s{number}", {MAIN: f"{before}{toy.submission()}# {number}\n".encode()}, number)


def grade(toy: Toy, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "autograder",
        "grade",
        NAME,
        str(toy.root / "class"),
        "--out",
        str(out),
        "--json",
        *options,
    ]
    return subprocess.run(
        command,
        cwd=toy.root,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_results_are_those_of_one_machine_to_the_byte(cluster, toy_on_cluster, tmp_path):
    toy = toy_on_cluster
    toy.write("class/ada.py", toy.submission())
    toy.write(
        "class/ben.py",
        toy.submission("gamma ** np.arange(float(len(rewards)))", "np.ones(len(rewards))"),
    )
    toy.write("class/cleo.py", toy.source.stub())
    toy.write("class/dan.zip", "no zip")
    here = grade(toy, tmp_path / "here")
    there = grade(toy, tmp_path / "there", "--engine", "ray", "--address", cluster.address)
    assert (
        (there.returncode, there.stdout, there.stderr)
        == (here.returncode, here.stdout, here.stderr)
        == (0, here.stdout, "")
    )
    for path in (tmp_path / "here").rglob("*"):
        if path.is_file():
            other = tmp_path / "there" / path.relative_to(tmp_path / "here")
            assert _without_times(other) == _without_times(path)


def _without_times(path: Path) -> list[str]:
    return [
        line
        for line in path.read_text().splitlines()
        if not line.startswith((' "execution_time":', ' "seconds":'))
    ]


def test_every_core_of_every_node_is_used_at_once(engine, toy_on_cluster):
    waiting = deque(job(toy_on_cluster, number) for number in range(5))
    calls = engine._assign(waiting)
    assert [node.busy for node in engine._nodes.values()] == [2, 2] and len(waiting) == 1
    found = engine._cluster.ray.get(list(calls))
    assert [
        (progress.finished, progress.trouble, len(progress.outcomes)) for progress in found
    ] == [(True, "", 4)] * 4


def test_a_node_that_is_killed_in_the_middle_costs_nothing(cluster, toy_on_cluster, notices):
    doomed = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    engine = RayEngine(toy_on_cluster.assignment, 2, cluster.address, notices.append)
    try:
        jobs = [job(toy_on_cluster, number, SLOW) for number in range(24)]
        killer = threading.Timer(2.0, lambda: cluster.remove_node(doomed, allow_graceful=False))
        killer.start()
        found = list(engine.run(jobs))
        killer.join()
    finally:
        engine.close()
    # No job is lost, and none comes twice.
    assert Counter(progress.job.student for progress in found) == Counter(
        job.student for job in jobs
    )
    for progress in found:
        assert progress.finished and not progress.trouble
        assert [outcome.verdict for outcome in progress.outcomes.values()] == [Verdict.PASSED] * 4
    assert (
        len(
            [text for text in notices if "is lost: what it was marking is marked elsewhere" in text]
        )
        == 1
    )


def test_a_node_that_joins_later_is_used(cluster, toy_on_cluster, notices, monkeypatch):
    monkeypatch.setattr(engine_module, "RAY_LOOK_SECONDS", 0.5)
    engine = RayEngine(toy_on_cluster.assignment, 1, cluster.address, notices.append)
    try:
        running = engine.run([job(toy_on_cluster, number, SLOW) for number in range(30)])
        found = [next(running)]
        newcomer = cluster.add_node(num_cpus=1)
        found += running
    finally:
        engine.close()
        cluster.remove_node(newcomer)
    assert len({progress.job.student for progress in found}) == len(found) == 30
    assert any(text.endswith("has joined") for text in notices)


def test_a_submission_that_takes_every_node_along_stays_ungraded(
    engine, toy_on_cluster, monkeypatch
):
    class Lost(Exception):
        pass

    monkeypatch.setattr(engine._cluster.ray.exceptions, "RayError", Lost)
    monkeypatch.setattr(engine._cluster.ray, "get", lambda call: (_ for _ in ()).throw(Lost))
    monkeypatch.setattr(engine, "_drop", lambda node: None)
    (found,) = engine.run([job(toy_on_cluster, 1)])
    assert found.finished and found.trouble == "3 nodes were lost while they marked this submission"


def test_a_node_with_other_files_or_a_weaker_wall_is_named(engine, toy_on_cluster):
    node = next(iter(engine._nodes.values()))
    assert engine._problem(node) == ""
    other = dataclasses.replace(
        node,
        hello=node.hello
        | {
            "fingerprint": fingerprint(toy_on_cluster.assignment)
            | {"hidden_tests": "x", "python": "2.7"}
        },
    )
    assert engine._problem(other) == (
        "it has other files or versions than this machine (the hidden tests, Python): "
        "bring both up to date"
    )
    weak = dataclasses.replace(
        node,
        hello=node.hello
        | {"layers": dataclasses.replace(engine.layers, seccomp=False), "leaks": ["open a socket"]},
    )
    assert engine_module._lacks(weak, engine.layers, []) == "seccomp, open a socket"
    assert engine_module._is_weak(weak) and not engine_module._is_weak(node)


def test_a_mistake_on_a_node_is_told_with_its_name(cluster, toy):
    toy.edit_solution("# TODO(means): subtract the mean.", "# TODO: subtract the mean.")
    with pytest.raises(
        IsolationError, match=r"node [\d.]+ \(\w+\): .*looks like a marker but is none"
    ):
        RayEngine(toy.assignment, 0, cluster.address)


def test_doctor_looks_at_every_node(cluster, toy_on_cluster):
    found = engines.examine("ray", toy_on_cluster.root, cluster.address)
    assert len(found) == len(cluster.worker_nodes) == 2
    here = engines.examine("local", toy_on_cluster.root, "")["this machine"]
    for place, findings in found.items():
        assert place.startswith("node ")
        assert [(one.layer, one.holds) for one in findings] == [
            (one.layer, one.holds) for one in here
        ]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_no_cluster_is_a_sentence(toy, address):
    with pytest.raises(
        IsolationError, match=f"--address {address}: no Ray cluster answers there: "
    ):
        RayEngine(toy.assignment, 0, address)
