"""Each worker has its own small world: what right programs do at import works behind the wall,
and nothing of it is left afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from autograder.errors import StudentError
from autograder.isolation.limits import WORLD_BYTES, WORLD_FILES, Limits
from autograder.isolation.workers import prints, walled
from autograder.proof import import_as_graded
from autograder.proof.import_as_graded import Trial

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="the wall needs Linux and root"
)
MAIN = "work.py"

# What stands at the top of a file, and an expression whose value `answer()` gives.
ANYWHERE = {
    "the file's own folder": ("HERE = Path(__file__).parent", "HERE.is_absolute()", True),
    "the file's folder on the path": (
        "sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))",
        "len(sys.path) > 1",
        True,
    ),
    "a name for temporary files": ("T = tempfile.gettempdir()", "os.path.isdir(T)", True),
    "a temporary folder": (
        "with tempfile.TemporaryDirectory() as t: open(t + '/x', 'w').write('1')",
        "os.path.exists(t)",
        False,
    ),
    "an unnamed temporary file": (
        "with tempfile.TemporaryFile() as t: n = t.write(b'123')",
        "n",
        3,
    ),
    "a named temporary file": (
        "with tempfile.NamedTemporaryFile('w+') as t: t.write('abc'); t.seek(0); s = t.read()",
        "s",
        "abc",
    ),
    "output to nowhere": (
        "with open(os.devnull, 'w') as nowhere: print('x', file=nowhere)",
        "nowhere.closed",
        True,
    ),
    "prints that go nowhere": (
        "from contextlib import redirect_stdout as to\n"
        "with open(os.devnull, 'w') as f, to(f): print(1)",
        "f.closed",
        True,
    ),
    "the user's name": ("import getpass\nNAME = getpass.getuser()", "bool(NAME)", True),
    "the user's home": ("HOME = Path.home()", "HOME.is_dir()", True),
    "a plot": (
        "import io\nimport matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n"
        "plt.plot([1, 2]); plt.title('$x^2$'); b = io.BytesIO(); plt.savefig(b); plt.close()",
        "b.getvalue()[1:4]",
        b"PNG",
    ),
    "the usual block of seeds": (
        "import random, numpy as np, torch\n"
        "random.seed(0); np.random.seed(0); torch.manual_seed(0)\n"
        "torch.cuda.manual_seed_all(0)\ntorch.backends.cudnn.deterministic = True\n"
        "torch.backends.cudnn.benchmark = False\nos.environ['PYTHONHASHSEED'] = '0'\n"
        "torch.use_deterministic_algorithms(True, warn_only=True)",
        "torch.are_deterministic_algorithms_enabled()",
        True,
    ),
    "a scripted function": (
        "import torch\n@torch.jit.script\n"
        "def double(x: torch.Tensor) -> torch.Tensor:\n    return 2 * x",
        "double(torch.ones(2)).tolist()",
        [2.0, 2.0],
    ),
}

IN_A_FOLDER_OF_ITS_OWN = {
    "a folder for checkpoints": (
        "os.makedirs('checkpoints', exist_ok=True)",
        "os.listdir('checkpoints')",
        [],
    ),
    "a log file": (
        "import logging\n"
        "logging.basicConfig(filename='train.log', level=logging.INFO, force=True)\n"
        "logging.info('begun')",
        "open('train.log').read().strip().endswith('begun')",
        True,
    ),
    "its own files": ("FILES = os.listdir('.')", "FILES", [MAIN]),
    "its own text": ("TEXT = open(__file__).read()", "'TEXT = open' in TEXT", True),
    "its own source": (
        "import inspect\ndef f(): return 1\nclass C:\n    x = 1",
        "inspect.getsource(f).strip() + inspect.getsource(C).strip()",
        "def f(): return 1class C:\n    x = 1",
    ),
    "a checkpoint": (
        "import torch\ntorch.save({'w': torch.ones(2)}, 'a.pt')\nW = torch.load('a.pt')",
        "W['w'].tolist()",
        [1.0, 1.0],
    ),
    "an array on disk": (
        "import numpy as np\nnp.save('a.npy', np.arange(3)); A = np.load('a.npy', mmap_mode='r+')\n"
        "A[0] = 5; A.flush()",
        "np.load('a.npy').tolist()",
        [5, 1, 2],
    ),
    "files that are copied and moved": (
        "import shutil\nPath('a').write_text('1'); shutil.copy2('a', 'b'); os.makedirs('d/e')\n"
        "shutil.move('b', 'd/e/c'); shutil.copytree('d', 'f'); os.replace('a', 'd/a')\n"
        "os.truncate_ = open('d/a', 'r+').truncate(0); shutil.rmtree('f'); Path('t').touch()",
        "sorted(p.as_posix() for p in Path('.').rglob('*'))",
        ["d", "d/a", "d/e", "d/e/c", "t", MAIN],
    ),
    "a plot in a file": (
        "import matplotlib.pyplot as plt\nplt.hist([1, 2]); plt.savefig('p.png'); plt.close()",
        "os.path.getsize('p.png') > 1000",
        True,
    ),
    "a compiled function": (
        "import torch\n@torch.compile\ndef double(x): return 2 * x\n"
        "@torch.compile(mode='reduce-overhead')\ndef half(x): return x / 2",
        "double(torch.ones(1)).tolist() + half(torch.ones(1)).tolist()",
        [2.0, 0.5],
    ),
    "a compiled network": (
        "import torch\nnet = torch.compile(torch.nn.Linear(2, 1))\nother = torch.nn.Linear(2, 1)\n"
        "other.compile()",
        "list(net(torch.ones(1, 2)).shape) + list(other(torch.ones(1, 2)).shape)",
        [1, 1, 1, 1],
    ),
    "an environment's home": (
        "P = Path(os.path.expanduser('~/.cache/x')); P.mkdir(parents=True)",
        "P.is_dir()",
        True,
    ),
}


def text(head: str, value: str) -> str:
    head = textwrap.dedent(head)
    return (
        f"import os, sys, tempfile\nfrom pathlib import Path\n{head}\ndef answer(): return {value}"
    )


@pytest.mark.parametrize("name", ANYWHERE)
def test_what_right_programs_do_at_import(reach, name):
    head, value, expected = ANYWHERE[name]
    answer = reach(text(head, value)).student.answer()
    assert answer == expected


@pytest.mark.parametrize("name", IN_A_FOLDER_OF_ITS_OWN)
def test_what_right_programs_write(behind_the_wall, name):
    head, value, expected = IN_A_FOLDER_OF_ITS_OWN[name]
    answer = behind_the_wall(text(head, value)).student.answer()
    assert answer == expected


# -- each test finds it new -----------------------------------------------------------------------

LEAVES = """
    import os, tempfile
    from pathlib import Path
    os.makedirs("checkpoints")
    def process(): return os.getpid()
    def uid(): return os.getuid()
    def folder(): return str(Path.home())
    def files(): return sorted(
        str(path.relative_to(Path.home())) for path in Path.home().rglob("*") if path.is_file())
    def folders(): return sorted(p.name for p in Path.home().rglob("*") if p.is_dir())
    def leave():
        Path("left").write_text("x")
        Path("work.py").write_text("def process(): return 0")
        (Path.home() / ".cache").mkdir()
        tempfile.mkstemp()
        os.chdir("checkpoints")
    def hide():
        for _ in range(40):
            os.mkdir("x" * 100)
            os.chdir("x" * 100)
        Path("left").write_text("x")
    def lock():
        os.makedirs("a/b")
        Path("a/b/c").write_text("x")
        os.chmod("a/b", 0)
        os.chmod("a", 0)
    def close_the_door(): os.chmod(Path.home(), 0)
    def make(count):
        for number in range(count): Path(str(number)).write_text("")
    def fill(name):
        try:
            with open(name, "wb") as file:
                while True: file.write(bytes(1 << 20))
        except OSError:
            return os.path.getsize(name) >> 20 if os.path.exists(name) else 0
"""


@pytest.fixture(scope="module")
def without_mounts():
    """A fork server without the right to mount, as in a container: it counts what is written."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    few = ["setpriv", "--bounding-set=-all,+setuid,+setgid,+kill", "--inh-caps=-all"]

    class Popen(subprocess.Popen):
        def __init__(self, command, **options):
            super().__init__([*few, *command], **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walled.subprocess, "Popen", Popen)
        server = walled.WorkerServer.start(["numpy", "torch"])
    yield server
    server.close()


@pytest.fixture(params=["server", "without_mounts"])
def any_server(request):
    """A fork server with its own mounts, then one without."""
    return request.getfixturevalue(request.param)


def test_without_mounts_somebody_counts(without_mounts):
    assert without_mounts.layers.world and not without_mounts.layers.namespaces


@pytest.fixture
def kept(any_server):
    """Asks functions of LEAVES in test after test, which one worker serves while all is well."""
    files = {MAIN: textwrap.dedent(LEAVES).encode()}
    candidate = any_server.candidate(files, MAIN, Limits(), reuses_workers=True)

    def ask(*questions, passed=True):
        bridge = candidate.open(lambda event: None, None)
        try:
            return [getattr(bridge.student, name)(*args) for name, *args in questions]
        finally:
            bridge.close(passed)

    yield ask
    candidate.close()


def test_the_next_test_finds_nothing_of_what_one_has_left(kept):
    first, *_ = kept(["process"], ["leave"])
    process, files, folders = kept(["process"], ["files"], ["folders"])
    assert process == first  # a worker that was kept
    assert files == ["work/work.py"]
    assert folders == ["checkpoints", "tmp", "work"]


def test_what_the_import_has_made_is_there_in_every_test(kept):
    for _ in range(3):
        assert kept(["folders"]) == [["checkpoints", "tmp", "work"]]


@pytest.mark.parametrize("how", [["hide"], ["make", 200], ["fill", "x"], ["lock"]])
def test_the_next_worker_finds_nothing_of_what_one_has_left(any_server, how):
    files = {MAIN: textwrap.dedent(LEAVES).encode()}
    candidate = any_server.candidate(files, MAIN, Limits())
    uids = []
    # A folder is free again when the server has buried its worker, which no test waits for.
    while len(set(uids)) == len(uids) < 30:
        bridge = candidate.open(lambda event: None, None)
        uids.append(bridge.student.uid())
        files = bridge.student.files()
        with contextlib.suppress(StudentError):  # no room for so many
            getattr(bridge.student, how[0])(*how[1:])
        bridge.close()
        assert files == ["work/work.py"]
    assert len(set(uids)) < len(uids)  # a folder was used again


def test_a_worker_cannot_write_more_than_there_is_room_for(any_server):
    candidate = any_server.candidate({MAIN: textwrap.dedent(LEAVES).encode()}, MAIN, Limits())
    bridge = candidate.open(lambda event: None, None)
    written = sum(bridge.student.fill(str(number)) or 0 for number in range(20))
    assert 0 < written <= WORLD_BYTES >> 20
    bridge.close()
    bridge = candidate.open(lambda event: None, None)
    with pytest.raises(StudentError, match="No space left"):
        bridge.student.make(WORLD_FILES + 1)
    bridge.close()


def test_a_worker_cannot_open_its_folder_to_others(any_server):
    candidate = any_server.candidate({MAIN: textwrap.dedent(LEAVES).encode()}, MAIN, Limits())
    bridge = candidate.open(lambda event: None, None)
    with pytest.raises(StudentError, match="not permitted"):
        bridge.student.close_the_door()
    bridge.close()


# -- a million lines ------------------------------------------------------------------------------


def test_a_million_lines_at_import_are_cut_off_and_it_is_said(behind_the_wall):
    reached = behind_the_wall(
        "for n in range(1_000_000): print('epoch', n)\ndef f(): print('here')",
        prints_kib=2 * prints.BYTES >> 10,
    )
    reached.student.f()
    told = reached.bridge.prints()
    assert told.endswith(prints.NOTICE.decode())
    assert len(told) < prints.BYTES + 100


def test_nothing_is_left_of_a_server_that_counts(without_mounts):
    candidate = without_mounts.candidate({MAIN: textwrap.dedent(LEAVES).encode()}, MAIN, Limits())
    bridge = candidate.open(lambda event: None, None)
    base = Path(bridge.student.folder())
    assert base.is_dir() and base.parent.parent == Path("/tmp")
    bridge.student.leave()
    bridge.close()
    without_mounts.close()
    assert not base.parent.exists()


# -- check ----------------------------------------------------------------------------------------


def test_check_imports_the_file_as_grading_does(toy):
    right = toy.submission()
    assert import_as_graded.trial(toy.assignment, {"sequences.py": right.encode()}) == Trial()
    for line in ("open('log.txt', 'w').close()", "import matplotlib.pyplot"):
        files = {"sequences.py": f"{line}\n{right}".encode()}
        assert import_as_graded.trial(toy.assignment, files) == Trial()


def test_check_says_what_grading_will_not_bear(toy):
    files = {"sequences.py": b"x = 1\nopen('/var/log.txt', 'w')\n"}
    told = import_as_graded.trial(toy.assignment, files).failure
    assert told.startswith(import_as_graded.SENTENCE)
    assert "sequences.py:2" in told
