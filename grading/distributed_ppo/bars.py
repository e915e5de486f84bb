"""The bar of `distributed_ppo`, and what its hidden tests do not reach.

That is the launcher itself, torchrun, and worker groups on a real Ray cluster.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autograder.authoring.source import Source
from autograder.proof.bars import Bar, load

ROOT = Path(__file__).resolve().parents[2]
SOLUTION = ROOT / "solutions" / "distributed_ppo" / "distributed_ppo.py"
PROGRAM = '''
import os
import signal
import sys
import time
import torch
import distributed_ppo as work

def total():
    rank, world = work.rank_and_world()
    return rank, float(work.sum_over_ranks(torch.tensor([1.0 + rank]))[0])

def fails():
    if work.rank_and_world()[0] == 1:
        raise ValueError("no more bread")
    time.sleep(600)

def waits_for_the_one_that_fails():
    if work.rank_and_world()[0] == 1:
        raise ValueError("no more bread")
    work.sum_over_ranks(torch.zeros(1))

def waits_for_the_one_that_is_killed():
    if work.rank_and_world()[0] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    work.sum_over_ranks(torch.zeros(1))

def looks_late(poll, stop, timeout_s, supervise=work.supervise):
    """Two ranks are in trouble before the first look, whatever the machine does."""
    time.sleep(1.0)
    while None in poll():
        time.sleep(0.1)
    supervise(poll, stop, timeout_s)

def forgets_them(poll, stop, timeout_s):
    """A supervise that does not wait."""

def hangs():
    if work.rank_and_world()[0] == 1:
        work.sum_over_ranks(torch.zeros(1))

if __name__ == "__main__":
    backend_seconds = 15.0 if sys.argv[1] == "hangs" else 120.0
    if sys.argv[1].startswith("waits"):
        work.supervise = looks_late
    if sys.argv[1] == "total" and sys.argv[3:] == ["forgets"]:
        work.supervise = forgets_them
    print(work.launch(globals()[sys.argv[1]], int(sys.argv[2]), timeout_s=backend_seconds))
'''


@pytest.fixture
def folder(tmp_path):
    """A folder with the solution and a program that uses it."""
    (tmp_path / "distributed_ppo.py").write_text(Source(SOLUTION).solution(), encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    return tmp_path


def run(folder, *command, seconds=240):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def of(folder):
    """Processes whose working directory is this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += [process.name] if os.readlink(process / "cwd") == str(folder) else []
        except OSError:
            continue
    return found


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@linux_only
@pytest.mark.parametrize("world", [1, 2, 4])
def test_launch_starts_ranks_and_leaves_nothing(folder, world):
    done = run(folder, sys.executable, "program.py", "total", str(world))
    total = sum(range(1, world + 1))
    assert done.stdout.strip() == str([(rank, float(total)) for rank in range(world)]), done.stderr
    assert of(folder) == []
    assert sorted(p.name for p in folder.iterdir() if not p.name.startswith("__")) == [
        "distributed_ppo.py",
        "program.py",
    ]


@linux_only
def test_an_exception_on_one_rank_ends_all(folder):
    done = run(folder, sys.executable, "program.py", "fails", "2")
    assert done.returncode == 1
    assert "RankError: rank 1: " in done.stderr and "no more bread" in done.stderr
    assert of(folder) == []


@linux_only
@pytest.mark.parametrize(
    ("name", "reason"),
    [("fails", "no more bread"), ("is_killed", "ended with exit code -9 and said nothing")],
)
def test_the_rank_that_failed_first_is_blamed_not_the_one_that_waited_for_it(folder, name, reason):
    done = run(folder, sys.executable, "program.py", f"waits_for_the_one_that_{name}", "2")
    assert done.returncode == 1
    assert "RankError: rank 1: " in done.stderr and reason in done.stderr
    assert of(folder) == []


@linux_only
def test_a_supervise_that_does_not_wait_is_told_so(folder):
    done = run(folder, sys.executable, "program.py", "total", "2", "forgets")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("RuntimeError: supervise returned before rank 0 had ended")
    assert of(folder) == []


@linux_only
def test_a_rank_that_waits_alone_ends_in_time(folder):
    begin = time.monotonic()
    done = run(folder, sys.executable, "program.py", "hangs", "2")
    assert done.returncode == 1
    assert "RankError" in done.stderr or "TimeoutError" in done.stderr
    assert time.monotonic() - begin < 200
    assert of(folder) == []


@linux_only
def test_under_torchrun_every_process_is_the_rank_that_it_is(folder):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "program.py",
        "total",
        "2",
    ]
    done = run(folder, *command)
    assert done.returncode == 0, done.stderr[-2000:]
    printed = sorted(
        re.findall(r"\[.*?\]", done.stdout)
    )  # the two may print at the same moment, on one line
    assert printed == ["[(0, 3.0)]", "[(1, 3.0)]"]


@linux_only
def test_two_launches_at_once_do_not_meet(folder):
    command = [sys.executable, "program.py", "total", "2"]
    both = [
        subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [p.communicate(timeout=240)[0].strip() for p in both] == ["[(0, 3.0), (1, 3.0)]"] * 2


# -- Ray ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """A local Ray cluster, if Ray is installed."""
    ray = pytest.importorskip(
        "ray", reason="Ray is not installed: pip install -r requirements/cluster.txt"
    )
    ray.init(num_cpus=6, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def work():
    """The solution as a module that Ray can send by value."""
    spec = importlib.util.spec_from_loader("distributed_ppo", loader=None)
    module = importlib.util.module_from_spec(spec)
    sys.modules["distributed_ppo"] = module
    exec(compile(Source(SOLUTION).solution(), "distributed_ppo.py", "exec"), vars(module))
    yield module
    del sys.modules["distributed_ppo"]


class Multiplier:
    """A worker that multiplies by its rank plus one, and fails when it is asked to."""

    def __init__(self, rank, world):
        self.rank = rank

    def scale(self, batch):
        return {name: value * (self.rank + 1) for name, value in batch.items()}

    def fail(self, batch):
        if self.rank == 1:
            raise ValueError("out of flour")
        return batch


def engines(work, ray):
    """The engines that a controller may meet."""
    import ray.cloudpickle as pickle

    pickle.register_pickle_by_value(work)
    pickle.register_pickle_by_value(sys.modules[__name__])
    return [work.InProcessEngine(), work.RayEngine()]


@pytest.mark.timeout(600)
def test_a_controller_runs_unchanged_on_ray(work, cluster):
    import torch

    config = work.PPOConfig(
        envs=4, rollout_steps=16, iterations=2, hidden=8, minibatches=2, epochs=1
    )
    runs = []
    for engine in engines(work, cluster):
        group = work.WorkerGroup(engine, Multiplier, 2)
        batch = {"x": torch.arange(5.0)}
        rows = group.finish(group.begin("scale", batch, work.Dispatch.DP_COMPUTE_PROTO))["x"]
        assert rows.tolist() == [0.0, 1.0, 2.0, 6.0, 8.0]
        runs.append(work.train_with_workers(engine, "CartPole-v1", config, actors=2, seed=0))
        with pytest.raises(
            work.WorkerError, match="rank 1 failed in fail: ValueError: out of flour"
        ):
            group.finish(group.begin("fail", None, work.Dispatch.ONE_TO_ALL))
    assert runs[0]["returns"] == runs[1]["returns"] and runs[0]["returns"]
    assert [role for role, *_ in runs[1]["timeline"]] == ["actor 0", "actor 1", "learner"] * 2


# -- the bar --------------------------------------------------------------------------------------

hidden = load(ROOT / "grading" / "distributed_ppo" / "test_hidden.py")


@functools.cache
def solution():
    """The solution as a module of its own name, as its ranks import it."""
    spec = importlib.util.spec_from_loader("distributed_ppo", None)
    module = sys.modules["distributed_ppo"] = importlib.util.module_from_spec(spec)
    exec(compile(Source(SOLUTION).solution(), "distributed_ppo.py", "exec"), vars(module))
    return module


def greedy_return(seed):
    """The greedy return after two ranks of the reference have trained."""
    work = solution()

    def job():
        result = work.train_distributed_ppo("CartPole-v1", work.PPOConfig(), seed)
        return hidden.greedy_return(result.model) if work.rank_and_world()[0] == 0 else 0.0

    return work.launch(job, 2, timeout_s=600.0)[0]


BARS = {
    "test_two_ranks_learn_to_balance_a_pole": Bar(hidden.LEARNED, greedy_return, range(100, 130))
}
