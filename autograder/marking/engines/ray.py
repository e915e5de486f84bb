"""The engine of a Ray cluster: on each node an actor with its own LocalEngine.

Each submission is a task of one of them. Every node has the course in the same folder (an image, a
shared file system): nothing of the hidden tests travels. A node takes part only if its files and
versions are this machine's and its wall holds. A submission whose node is lost is marked again on
another one; its result counts once, when it arrives.
"""

from __future__ import annotations

import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder.authoring.course import Assignment, load_assignment
from autograder.errors import AutograderError, IsolationError
from autograder.isolation import doctor
from autograder.isolation.times import NO_NODE_SECONDS, NODE_START_SECONDS, RAY_LOOK_SECONDS
from autograder.isolation.wall.sandbox import Layers
from autograder.marking.engines.base import Job, Listed, Progress
from autograder.marking.engines.local import LocalEngine
from autograder.marking.provenance import changes, fingerprint
from autograder.model import GpuState, GpuStatus

# If this many nodes are lost while they mark one submission, it stays ungraded.
LOSSES = 3
PACKAGE = str(Path(__file__).resolve().parents[3])


class NodeActor:
    """The actor: one node's engine."""

    def start(self, root: str, name: str, jobs: int) -> dict[str, Any]:
        """Start the engine there. Returns the state of the wall and the files, or what is wrong."""
        try:
            assignment = load_assignment(Path(root), name)
            self._engine = LocalEngine(assignment, jobs)
            found = fingerprint(assignment)
        except (AutograderError, OSError) as error:
            return {"error": str(error)}
        engine = self._engine
        return {
            "tests": engine.tests,
            "layers": engine.layers,
            "leaks": engine.leaks,
            "gpu": engine.gpu,
            "fingerprint": found,
        }

    def mark(self, job: Job) -> Progress:
        """Mark one submission; called from as many threads as the engine has jobs."""
        *_, last = self._engine.run([job])
        return last

    def inspect(self, root: str) -> list[doctor.Finding]:
        """`doctor` on this node."""
        return doctor.inspect(Path(root))


@dataclass
class Node:
    """One machine of the cluster and the actor on it."""

    key: str
    name: str
    jobs: int
    actor: Any
    busy: int = 0
    hello: dict[str, Any] = field(default_factory=dict)


class Cluster:
    """A connection to a Ray cluster, and actors on its nodes."""

    def __init__(self, address: str) -> None:
        try:
            import ray
            import ray.util.scheduling_strategies
        except ImportError:
            raise IsolationError(
                "--engine ray needs Ray: pip install -r requirements/cluster.txt (docs/CLUSTER.md)"
            ) from None
        self.ray = ray
        environment = {"env_vars": {"PYTHONPATH": PACKAGE}}
        try:
            _reach(address)
            ray.init(
                address,
                runtime_env=environment,
                log_to_driver=False,
                logging_level="error",
                namespace="autograder",
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().split("\n")[0]
            raise IsolationError(
                f"--address {address}: no Ray cluster answers there: {reason}"
            ) from None

    def nodes(self) -> dict[str, tuple[str, int]]:
        """The living nodes that have cores to lend: their key, name and cores."""
        alive = [
            node
            for node in self.ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        ]
        return {node["NodeID"]: (_name(node), int(node["Resources"]["CPU"])) for node in alive}

    def actor(self, key: str, cores: int) -> Any:
        """A NodeActor on that node and no other, which takes up ``cores`` of it."""
        there = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(key, soft=False)
        options = {"num_cpus": cores, "max_concurrency": cores + 1, "scheduling_strategy": there}
        return self.ray.remote(NodeActor).options(**options).remote()

    def answers(self, calls: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The result of each call, or its error."""
        self.ray.wait(
            list(calls.values()), num_returns=len(calls), timeout=seconds
        ) if calls else None
        found: dict[str, Any] = {}
        for key, call in calls.items():
            try:
                found[key] = self.ray.get(call, timeout=0)
            except self.ray.exceptions.GetTimeoutError:
                found[key] = IsolationError(
                    f"no answer within {seconds:.0f} seconds: are its cores taken?"
                )
            except self.ray.exceptions.RayError as error:
                found[key] = IsolationError(str(error).strip().split("\n")[0])
        return found

    def close(self) -> None:
        """Leave; Ray ends this job's actors."""
        self.ray.shutdown()


def _reach(address: str) -> None:
    """Raise OSError if no process listens there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "://" not in address:
        socket.create_connection((host, int(port)), 10).close()


def _name(node: Mapping[str, Any]) -> str:
    return f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})"


def inspect(root: Path, address: str) -> dict[str, list[doctor.Finding]]:
    """`doctor` on every node, by the node's name."""
    cluster = Cluster(address)
    try:
        nodes = cluster.nodes()
        calls = {key: cluster.actor(key, 1).inspect.remote(str(root)) for key in nodes}
        found = cluster.answers(calls, NODE_START_SECONDS)
        return {
            nodes[key][0]: [doctor.Finding("node", False, str(answer), needed=True)]
            if isinstance(answer, Exception)
            else answer
            for key, answer in found.items()
        }
    finally:
        cluster.close()


class RayEngine:
    """All nodes of a Ray cluster. Raises IsolationError where one of them cannot be relied on."""

    def __init__(
        self,
        assignment: Assignment,
        jobs: int,
        address: str,
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._assignment, self._jobs, self._notice = assignment, jobs, notice
        self._expected = fingerprint(assignment)
        self._nodes: dict[str, Node] = {}
        # Nodes that were lost or refused.
        self._refused: Counter[str] = Counter()
        self._cluster = Cluster(address)
        try:
            self._enlist_all()
        except BaseException:
            self.close()
            raise

    def _enlist_all(self) -> None:
        """Every node must be fit from the beginning; the wall is as strong as on the weakest."""
        started = self._start(self._cluster.nodes())
        if problems := [
            f"node {node.name}: {problem}" for node in started if (problem := self._problem(node))
        ]:
            raise IsolationError("; ".join(problems))
        if not started:
            raise IsolationError(
                "the Ray cluster has no node with a free core: start some, see docs/CLUSTER.md"
            )
        self._nodes = {node.key: node for node in started}
        hellos = [node.hello for node in started]
        self.tests: list[Listed] = hellos[0]["tests"]
        weakest = {
            name: all(getattr(hello["layers"], name) for hello in hellos)
            for name in vars(hellos[0]["layers"])
        }
        self.layers = Layers(**weakest)
        self.leaks: list[str] = sorted({leak for hello in hellos for leak in hello["leaks"]})
        self.gpu = _gpu([hello["gpu"] for hello in hellos])
        weak = [node.name for node in started if _is_weak(node)]
        self.where = f"node {', '.join(weak)}" if weak else "this cluster"

    def run(self, jobs: Sequence[Job]) -> Iterator[Progress]:
        """Mark every job; yields each when it is done."""
        waiting = deque(jobs)
        running: dict[Any, tuple[Node, Job]] = {}
        losses: Counter[str] = Counter()
        looked = seen = time.monotonic()
        while waiting or running:
            running |= self._assign(waiting)
            for call in self._finished(running):
                node, job = running.pop(call)
                progress = self._collect(call, node, job, losses)
                if progress is None:
                    waiting.appendleft(job)
                else:
                    yield progress
            now = time.monotonic()
            if waiting and now - looked > RAY_LOOK_SECONDS:
                self._enlist_newcomers()
                looked = time.monotonic()
            seen = now if self._nodes else seen
            if now - seen > NO_NODE_SECONDS:
                raise IsolationError(
                    "all nodes are lost; results so far are kept: run the same command again"
                )

    def close(self) -> None:
        """End the engines on all nodes."""
        self._cluster.close()

    def _assign(self, waiting: deque[Job]) -> dict[Any, tuple[Node, Job]]:
        """Give jobs to free cores, the node with most of them first."""
        calls = {}
        while waiting and (
            free := [node for node in self._nodes.values() if node.busy < node.jobs]
        ):
            node = max(free, key=lambda node: node.jobs - node.busy)
            job = waiting.popleft()
            node.busy += 1
            calls[node.actor.mark.remote(job)] = (node, job)
        return calls

    def _finished(self, running: Mapping[Any, object]) -> list[Any]:
        """The calls that have ended, after at most a few seconds."""
        if not running:
            time.sleep(0.5)
            return []
        ready: list[Any] = self._cluster.ray.wait(list(running), timeout=RAY_LOOK_SECONDS)[0]
        return ready

    def _collect(self, call: Any, node: Node, job: Job, losses: Counter[str]) -> Progress | None:
        """The result of a job, or None if its node was lost and it must be marked elsewhere."""
        node.busy -= 1
        try:
            found: Progress = self._cluster.ray.get(call)
            found.job = job
            return found
        except self._cluster.ray.exceptions.RayError:
            self._drop(node)
        losses[job.student] += 1
        if losses[job.student] < LOSSES:
            return None
        return Progress(
            job,
            finished=True,
            trouble=f"{LOSSES} nodes were lost while they marked this submission",
        )

    def _drop(self, node: Node) -> None:
        if self._nodes.pop(node.key, None):
            self._refused[node.key] += 1
            self._cluster.ray.kill(node.actor)
            self._notice(f"node {node.name} is lost: what it was marking is marked elsewhere")

    def _enlist_newcomers(self) -> None:
        """Nodes that joined, or whose engine was lost while the machine is still there."""
        nodes = self._cluster.nodes()
        new = {
            key: nodes[key] for key in nodes if key not in self._nodes and self._refused[key] < 2
        }
        for node in self._start(new):
            problem = self._problem(node)
            if not problem and (weaker := _lacks(node, self.layers, self.leaks)):
                problem = f"the wall is weaker there: {weaker}"
            if problem:
                self._refused[node.key] = 2
                self._notice(f"node {node.name} is not used: {problem}")
            else:
                self._nodes[node.key] = node
                self._notice(f"node {node.name} has joined")

    def _start(self, nodes: Mapping[str, tuple[str, int]]) -> list[Node]:
        started = {
            key: Node(
                key,
                name,
                min(self._jobs or cores, cores),
                self._cluster.actor(key, min(self._jobs or cores, cores)),
            )
            for key, (name, cores) in nodes.items()
        }
        root, name = str(self._assignment.root), self._assignment.name
        calls = {
            key: node.actor.start.remote(root, name, node.jobs) for key, node in started.items()
        }
        for key, answer in self._cluster.answers(calls, NODE_START_SECONDS).items():
            started[key].hello = {"error": str(answer)} if isinstance(answer, Exception) else answer
        return list(started.values())

    def _problem(self, node: Node) -> str:
        if "error" in node.hello:
            return str(node.hello["error"])
        if changed := changes(node.hello["fingerprint"], self._expected):
            return (
                f"it has other files or versions than this machine ({changed}):"
                " bring both up to date"
            )
        return ""


def _gpu(each: Sequence[GpuStatus]) -> GpuStatus:
    """What happens to the GPU part on a cluster: it is run only if every node runs it."""
    lacking = sorted({one.reason for one in each if one.state is GpuState.NOT_RUN})
    return GpuStatus(GpuState.NOT_RUN, "; ".join(lacking)) if lacking else each[0]


def _is_weak(node: Node) -> bool:
    layers = node.hello["layers"]
    return bool(node.hello["leaks"]) or not (layers.uid and layers.seccomp)


def _lacks(node: Node, layers: Layers, leaks: Sequence[str]) -> str:
    there = node.hello["layers"]
    missing = [name for name, held in vars(layers).items() if held and not getattr(there, name)]
    return ", ".join(missing + [leak for leak in node.hello["leaks"] if leak not in leaks])
