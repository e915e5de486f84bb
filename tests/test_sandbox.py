"""The wall: what a worker may not do, tried from inside, and the same tried without a wall."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from autograder.errors import IsolationError, StudentDied
from autograder.isolation import doctor, probe
from autograder.isolation.limits import WORLD_BYTES, Limits
from autograder.isolation.wall import sandbox, seccomp
from autograder.isolation.wall.sandbox import Layers
from autograder.isolation.workers.walled import ENVIRONMENT, WorkerServer, imported

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
FORBIDDEN = {
    "read the hidden tests",
    "read another process's environment",
    "read another process's memory",
    "signal another process",
    "trace another process",
    "start a process",
    "start a program",
    "open a network socket",
    "open a local socket",
    "write in /tmp",
    "write in /dev/shm",
    "make a memory file",
    "make namespaces",
    "become another user",
    "read /etc/passwd",
    "load a BPF program",
    "use the key ring",
}


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """A folder that other users could read, if only its permissions counted."""
    folder = tmp_path / "grading"
    folder.mkdir()
    (folder / "test_hidden.py").write_text("secret = 1\n")
    for path in (folder, *folder.parents):
        if path == Path(tempfile.gettempdir()):
            break
        path.chmod(0o755)
    return folder


# -- the probe -------------------------------------------------------------------------------------


def test_behind_the_wall_nothing_forbidden_is_allowed(server, hidden):
    bridge = doctor.probe(server)
    found = bridge.student.attempts(str(hidden), os.getpid(), seccomp.numbers(probe.CALLS))
    assert found.keys() >= FORBIDDEN
    assert {name: result for name, result in found.items() if result is not None} == {}
    assert doctor.allowed(bridge, hidden) == []
    bridge.close()


TRY = """
import json, sys
from autograder.isolation import probe
from autograder.isolation.wall import sandbox, seccomp
hidden, victim, layers = sys.argv[1], int(sys.argv[2]), sys.argv[3].split("+")
if "namespaces" in layers and not sandbox.separate([]):
    sys.exit("no namespaces here")
numbers = seccomp.numbers(probe.CALLS)
if layers != ["no wall"]:
    uid = 64999 if "uid" in layers else None
    bpf = seccomp.build_filter(own_uid=True) if "seccomp" in layers else None
    ruleset = sandbox.file_rules() if "landlock" in layers else None
    sandbox.enter(sandbox.Cell(uid, 5, sandbox.address_space() + (512 << 20), 16, bpf, ruleset))
tried = probe.attempts(hidden, victim, numbers)
print(json.dumps([name for name, result in tried.items() if result is not None]))
"""


@pytest.fixture
def allowed(hidden):
    """What the probe can do in a process of its own under these layers, against a victim of its
    own."""
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    def attempt(layers: str) -> set[str]:
        package = str(Path(sandbox.__file__).parents[3])
        command = [sys.executable, "-c", TRY, str(hidden), str(victim.pid), layers]
        done = subprocess.run(
            command,
            env={"PYTHONPATH": package},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if "no namespaces here" in done.stderr:
            pytest.skip("this machine has no namespaces for us")
        assert done.returncode == 0, done.stderr
        return set(json.loads(done.stdout.splitlines()[-1]))

    yield attempt
    victim.kill()
    victim.wait()
    for leftover in ("/tmp/autograder-probe", "/dev/shm/autograder-probe"):
        Path(leftover).unlink(missing_ok=True)


LAYERS = {
    "seccomp": {
        "start a process",
        "start a program",
        "open a network socket",
        "open a local socket",
        "make a memory file",
        "write in /tmp",
        "make namespaces",
        "trace another process",
        "become another user",
    },
    "landlock": {
        "read the hidden tests",
        "read /etc/passwd",
        "read another process's environment",
        "write in /tmp",
    },
    "uid": {
        "read another process's environment",
        "signal another process",
        "trace another process",
        "become another user",
    },
}


@root
def test_without_the_wall_nearly_all_of_it_is_allowed(allowed):
    """The control: what the probe tries is possible where nothing forbids it."""
    assert len(allowed("no wall")) >= len(FORBIDDEN) - 4  # containers forbid some of it themselves
    assert allowed("no wall") >= {
        "read the hidden tests",
        "start a process",
        "start a program",
        "open a network socket",
        "write in /tmp",
    }


@root
@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_alone_closes_what_it_is_for_and_not_the_rest(allowed, layer):
    if layer == "landlock" and not sandbox.landlock_version():
        pytest.skip("this kernel has no Landlock")
    if layer == "seccomp" and seccomp.build_filter(own_uid=True) is None:
        pytest.skip("libseccomp is not installed")
    possible = allowed(layer)
    assert not possible & LAYERS[layer]
    assert possible


@root
def test_groups_of_the_grader_s_are_left_behind():
    program = (
        "import os; from autograder.isolation.wall import sandbox; "
        "sandbox.enter(sandbox.Cell(64999, 5, sandbox.address_space() + (512 << 20), 16, "
        "None, None)); print(os.getgroups())"
    )
    package = str(Path(sandbox.__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": package},
        extra_groups=[7],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


@root
def test_all_layers_without_namespaces_close_everything(allowed):
    assert allowed("uid+seccomp+landlock") == set()


@root
def test_namespaces_stand_in_for_landlock_where_there_is_none(allowed):
    """Without either a worker reads what everybody may read; an instructor's folder of submissions,
    say."""
    assert {"read the hidden tests", "read /etc/passwd"} <= allowed("uid+seccomp")
    left = allowed("uid+seccomp+namespaces")
    assert not left & {"read the hidden tests", "read /etc/passwd"}


READ = """
import json, os, sys
from autograder.isolation.wall import sandbox, seccomp
if not sandbox.separate([]):
    sys.exit("no namespaces here")
bpf = seccomp.build_filter(own_uid=True)
sandbox.enter(sandbox.Cell(64999, 5, sandbox.address_space() + (512 << 20), 16, bpf, None))
import colorsys, zoneinfo  # these have not been imported yet
others = [path for path in ("/tmp", "/home", "/var", "/run", "/mnt") if os.path.isdir(path)]
found = [sorted(os.listdir("/etc")), [os.listdir(path) for path in others], colorsys.__name__]
print(json.dumps(found))
"""


@root
def test_behind_namespaces_nobody_s_files_are_left_and_python_still_imports():
    package = str(Path(sandbox.__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", READ],
        env={"PYTHONPATH": package},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "no namespaces here" in done.stderr:
        pytest.skip("this machine has no namespaces for us")
    etc, others, imported = json.loads(done.stdout)
    assert set(etc) <= {"ld.so.cache", "localtime"}
    # Python itself may be there.
    way = {part for folder in sandbox.interpreter_folders() for part in Path(folder).parts}
    assert not {name for names in others for name in names} - way and imported == "colorsys"


# -- what a worker has and has not -----------------------------------------------------------------

LOOK = """
    import os, resource, sys
    def look():
        return {
            "environment": dict(os.environ),
            "uid": (os.getuid(), os.geteuid()),
            "gid": (os.getgid(), os.getegid()),
            "groups": os.getgroups(),
            "cwd": os.getcwd(),
            "path": sys.path,
            "modules": sorted(name for name in sys.modules if name.startswith("autograder")),
            "descriptors": [fd for fd in range(64) if is_open(fd)],
            "limits": {
                name: resource.getrlimit(getattr(resource, "RLIMIT_" + name))
                for name in ("CPU", "NOFILE", "FSIZE", "CORE", "NPROC")
            },
        }
    def is_open(fd):
        try: os.fstat(fd); return True
        except OSError: return False
    def raise_limit(name):
        kind = getattr(resource, "RLIMIT_" + name)
        resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    def read_input(): return sys.stdin.read()
    def command_line(): return sys.argv + sys.orig_argv
    def own_command():
        try: return open("/proc/self/cmdline").read()
        except OSError: return ""
"""


def test_a_worker_has_an_identity_and_an_environment_of_its_own(behind_the_wall, monkeypatch):
    monkeypatch.setenv("AUTOGRADER_SECRET", "swordfish")
    found = behind_the_wall(LOOK).student.look()
    assert (
        found["uid"] == found["gid"] == (found["uid"][0],) * 2
        and found["uid"][0] >= 61000
        and found["groups"] == []
    )
    own = {"TMPDIR", "USER", "LOGNAME", "MPLCONFIGDIR"}
    assert set(found["environment"]) <= set(ENVIRONMENT) | own | {"LC_CTYPE"}
    assert found["cwd"].startswith(found["environment"]["HOME"])
    assert found["environment"]["HOME"].endswith(str(found["uid"][0]))


@root
def test_a_worker_does_not_know_what_is_hidden_from_it(tmp_path):
    hidden = tmp_path / "a-folder-of-secrets"
    hidden.mkdir()
    server = WorkerServer.start(["numpy"], [hidden])
    try:
        bridge = server.candidate(
            {"work.py": textwrap.dedent(LOOK).encode()}, "work.py", Limits()
        ).open(lambda event: None, None)
        assert list(bridge.student.command_line()) == ["", ""]
        assert hidden.name not in str(bridge.student.own_command())
        bridge.close()
    finally:
        server.close()


def test_a_worker_has_no_descriptor_but_its_own_lines(behind_the_wall):
    descriptors = behind_the_wall(LOOK).student.look()["descriptors"]
    assert descriptors[:3] == [0, 1, 2] and len(descriptors) == 4


def test_a_worker_knows_nothing_of_the_grader_s_modules(behind_the_wall):
    found = behind_the_wall(LOOK).student.look()
    grader_side = {"plugin", "grade", "grader", "diagnose", "source", "verify", "report", "course"}
    assert not {f"autograder.{name}" for name in grader_side} & set(found["modules"])
    assert str(Path(doctor.__file__).parents[2]) not in found["path"]


def test_limits_are_hard(behind_the_wall):
    student = behind_the_wall(LOOK, call_seconds=3, processes=5).student
    assert student.look()["limits"] == {
        "CPU": (3, 4),
        "NOFILE": (64, 64),
        "FSIZE": (WORLD_BYTES, WORLD_BYTES),
        "CORE": (0, 0),
        "NPROC": (5, 5),
    }
    for name in ("CPU", "NOFILE", "FSIZE", "NPROC"):
        with pytest.raises(
            ValueError, match=r"not allowed to raise maximum limit|exceeds maximum limit"
        ):
            student.raise_limit(name)
    assert student.read_input() == ""


def test_threads_are_counted(server):
    bridge = server.candidate(
        {"probe.py": doctor.PROBE.read_bytes()}, "probe.py", Limits(processes=4)
    ).open(lambda event: None, None)
    assert bridge.student.many_threads(20) < 4
    bridge.close()


def test_closing_a_bridge_ends_its_worker(server):
    """A uid is given back when its worker is gone: more workers than uids can only be had one after
    the other."""
    candidate = server.candidate(
        {"work.py": b"import os\ndef who(): return os.getuid()\n"}, "work.py", Limits()
    )
    seen = set()
    for _ in range(70):
        bridge = candidate.open(lambda event: None, None)
        seen.add(bridge.student.who())
        bridge.close()
    assert len(seen) <= 64


# -- when the wall cannot be had -------------------------------------------------------------------


def test_grading_needs_another_uid_and_seccomp():
    assert Layers(uid=True, seccomp=True, landlock=False, namespaces=False).strong
    assert not Layers(uid=False, seccomp=True, landlock=True, namespaces=True).strong
    assert not Layers(uid=True, seccomp=False, landlock=True, namespaces=True).strong


def test_without_libseccomp_there_is_no_filter(monkeypatch):
    monkeypatch.setattr(
        sandbox.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError("not found"))
    )
    assert seccomp.build_filter(own_uid=True) is None


def test_a_library_that_is_not_installed_is_named():
    with pytest.raises(
        IsolationError,
        match=(
            "a library that the assignment names cannot be imported: no_such_library: "
            "ModuleNotFoundError"
        ),
    ):
        WorkerServer.start(["no_such_library"])


def test_a_fork_server_that_does_not_start_says_why(monkeypatch):
    monkeypatch.setattr(
        "autograder.isolation.workers.walled.ENVIRONMENT",
        ENVIRONMENT | {"PYTHONHOME": "/nonexistent"},
    )
    with pytest.raises(
        IsolationError,
        match=r"the fork server did not start \(.+\): try 'python -m autograder doctor'",
    ):
        WorkerServer.start(["math"])


def test_an_assignment_may_name_no_library_at_all():
    WorkerServer.start([]).close()


def test_a_fork_server_that_has_gone_is_our_fault_and_not_the_student_s():
    server = WorkerServer.start(["math"])
    candidate = server.candidate({"work.py": b"def f(): return 1\n"}, "work.py", Limits())
    bridge = candidate.open(lambda event: None, None)
    server.close()
    with pytest.raises((IsolationError, StudentDied)) as ended:  # its worker is killed with it
        bridge.student.f()
    assert ended.value
    with pytest.raises(IsolationError, match="the fork server has gone"):
        candidate.open(lambda event: None, None).student.f()


def test_a_worker_that_cannot_enter_its_cell_is_our_fault(server):
    limits = Limits(memory_mib=1 << 50)  # more than setrlimit takes
    with pytest.raises(IsolationError, match="a worker could not enter its sandbox: OverflowError"):
        server.candidate({"work.py": b"x = 1\n"}, "work.py", limits).open(lambda event: None, None)


# -- doctor ----------------------------------------------------------------------------------------


@root
def test_the_doctor_finds_the_needed_layers_in_force(tmp_path):
    findings = {finding.layer: finding for finding in doctor.inspect(tmp_path)}
    assert all(finding.holds for finding in findings.values() if finding.needed)
    assert findings["probe"].text == "everything forbidden that was tried was refused"
    assert {
        "another uid",
        "seccomp",
        "landlock",
        "namespaces",
        "interpreter",
        "limits",
    } <= findings.keys()


def test_the_doctor_says_how_to_mend_what_is_missing(monkeypatch, server, tmp_path):
    weak = WorkerServer(server._control, server._process)
    weak.layers = Layers(uid=False, seccomp=False, landlock=False, namespaces=False)
    monkeypatch.setattr(doctor.WorkerServer, "start", lambda *args, **options: weak)
    monkeypatch.setattr(WorkerServer, "close", lambda self: None)
    monkeypatch.setattr(doctor, "allowed", lambda bridge, hidden: ["start a process (7)"])
    findings = {finding.layer: finding for finding in doctor.inspect(tmp_path)}
    assert "run as root" in findings["another uid"].text and not findings["another uid"].holds
    assert "libseccomp2" in findings["seccomp"].text
    assert findings["probe"].text == "not refused: start a process (7)" and findings["probe"].needed


def test_the_doctor_survives_a_machine_without_any_wall(monkeypatch, tmp_path):
    def refuse(*args):
        raise IsolationError("the fork server did not start")

    monkeypatch.setattr(doctor.WorkerServer, "start", refuse)
    (finding,) = doctor.inspect(tmp_path)
    assert (finding.layer, finding.holds, finding.needed) == ("fork server", False, True)


def test_the_probe_is_a_file_that_workers_can_be_sent():
    ast.parse(doctor.PROBE.read_text())
    assert "import autograder" not in doctor.PROBE.read_text()


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"work.py": b"import matplotlib.pyplot as plt\n"}, True),
        ({"work.py": b"def f():\n    from matplotlib import pyplot\n"}, True),
        ({"work.py": b"import helper\n", "helper.py": b"import matplotlib\n"}, True),
        (
            {"work.py": b"import work, helper\nimport math\n", "plots.py": b"import matplotlib"},
            False,
        ),
        ({"work.py": b"# import matplotlib\nname = 'import matplotlib'\n"}, False),
    ],
)
def test_what_a_submission_imports_is_read_from_its_lines(files, found):
    assert ("matplotlib" in imported(files, "work.py")) == found


def test_matplotlib_is_imported_once_and_only_where_it_is_needed(behind_the_wall):
    server = WorkerServer.start(["math"])
    text = "import sys\n{}\ndef ready():\n    return 'matplotlib.pyplot' in sys.modules\n"
    try:
        for line, ready in (("", False), ("import matplotlib", True), ("", True)):
            candidate = server.candidate(
                {"work.py": text.format(line).encode()}, "work.py", Limits()
            )
            bridge = candidate.open(lambda event: None, None)
            assert bridge.student.ready() == ready
            bridge.close()
    finally:
        server.close()
