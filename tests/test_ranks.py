"""Ranks: several workers of one submission in one process group, with and without the wall."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from autograder.errors import IsolationError, StudentError
from autograder.isolation import doctor
from autograder.isolation.limits import Limits
from autograder.isolation.ranks.ranks import LoneRank
from autograder.isolation.workers.walled import WorkerServer
from autograder.judging import hidden_test
from autograder.judging.checks import CheckFailure, assert_unchanged
from autograder.judging.hidden_test import HiddenTest, InProcess

torch = pytest.importorskip("torch")

CODE = """
import os, socket, time
import torch, torch.distributed as dist

def total(x):
    x = x.clone()
    dist.all_reduce(x)
    return x

def leaves(x):
    return x if dist.get_rank() == 1 else total(x)

def raises(x):
    if dist.get_rank() == 1:
        raise KeyError("no such row")
    return total(x)

def dies(x):
    if dist.get_rank() == 1:
        os._exit(3)
    return total(x)

def spoils(x):
    x[0] = 9.0

def reaches(port):
    return socket.socket().connect_ex(("127.0.0.1", port))

def devices():
    return [name for _, name in socket.if_nameindex()]

def forks():
    os.fork()

def says(text):
    print(text)
"""
LIMITS = Limits(memory_mib=2048, processes=32, test_seconds=60)
walled_only = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="the wall needs Linux and root"
)


@pytest.fixture(scope="module")
def server():
    server = WorkerServer.start(["torch"], profile="distributed")
    yield server
    server.close()


@pytest.fixture(params=["in process", pytest.param("behind the wall", marks=walled_only)])
def candidate(request):
    if request.param == "in process":
        return InProcess.of(CODE, "work.py")
    return request.getfixturevalue("server").candidate(
        {"work.py": CODE.encode()}, "work.py", LIMITS
    )


def run(candidate, function):
    """One run of a test; what it raised is raised here."""
    kept = []
    test = HiddenTest("t", "", 1, "", (), "", False, lambda lab: kept.append(function(lab)))
    trace = hidden_test.run(test, candidate, 0)
    if trace.error is not None:
        raise trace.error
    return kept[0], trace


def of_rank(rank):
    return torch.tensor([1.0, 10.0]) * (rank + 1)


def children():
    """Processes that this one has started and that still run."""
    return [p for p in Path("/proc").glob("[0-9]*/stat") if _parent(p) == os.getpid()]


def _parent(stat):
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


@pytest.mark.parametrize("count", [2, 4])
def test_ranks_meet(candidate, count):
    sums, _ = run(
        candidate,
        lambda lab: lab.ranks(count).run(lambda student, rank: student.total(of_rank(rank))),
    )
    expected = sum(of_rank(rank) for rank in range(count))
    assert all(torch.equal(found, expected) for found in sums)


def test_a_rank_that_is_left_behind_fails_with_a_sentence(candidate):
    with pytest.raises(
        LoneRank, match="rank 0 waits in a collective operation that rank 1 has left behind"
    ):
        run(
            candidate,
            lambda lab: lab.ranks(2).run(lambda student, rank: student.leaves(of_rank(rank))),
        )


def test_the_exception_of_one_rank_is_the_tests(candidate):
    with pytest.raises(StudentError, match="no such row"):
        run(
            candidate,
            lambda lab: lab.ranks(2).run(lambda student, rank: student.raises(of_rank(rank))),
        )


def test_a_rank_that_dies_ends_the_others(candidate):
    with pytest.raises(StudentError, match="ended"):
        run(
            candidate,
            lambda lab: lab.ranks(2).run(lambda student, rank: student.dies(of_rank(rank))),
        )


def test_after_a_failure_a_group_only_repeats_it(candidate):
    def program(lab):
        ranks = lab.ranks(2)
        for _ in range(2):
            with pytest.raises(LoneRank):
                ranks.run(lambda student, rank: student.leaves(of_rank(rank)))
        return True

    assert run(candidate, program)[0]


def test_what_a_program_communicates_is_counted(candidate):
    def program(lab):
        return lab.ranks(2).traffic(
            lambda student, rank: [student.total(of_rank(rank)) for _ in range(3)]
        )

    assert run(candidate, program)[0] == [[8, 8, 8], [8, 8, 8]]


def test_answers_are_recorded_in_order_of_rank(candidate):
    events = [
        run(candidate, lambda lab: lab.ranks(3).run(lambda s, r: s.total(of_rank(r))))[1].events
        for _ in range(2)
    ]
    assert len(events[0]) == 3
    assert [str(event) for event in events[0]] == [str(event) for event in events[1]]


def test_a_failed_check_in_one_rank_is_the_tests(candidate):
    def program(student, rank):
        assert rank == 0, "only the first"

    with pytest.raises(AssertionError, match="only the first"):
        run(candidate, lambda lab: lab.ranks(2).run(program))


def test_the_checks_of_a_program_know_what_its_rank_tried_to_change(candidate):
    def program(student, rank):
        mine = of_rank(rank)
        before = mine.clone()
        assert_unchanged(before, mine)
        student.spoils(mine)
        assert_unchanged(before, mine)

    with pytest.raises(CheckFailure, match="was changed in place"):
        run(candidate, lambda lab: lab.ranks(2).run(program))


def test_nobody_is_left(candidate):
    before = len(children())
    for name in ("total", "leaves"):
        try:
            run(
                candidate,
                lambda lab, name=name: lab.ranks(2).run(lambda s, r: getattr(s, name)(of_rank(r))),
            )
        except LoneRank:
            pass
    assert len(children()) == before


@walled_only
def test_prints_of_ranks_are_kept(server):
    walled = server.candidate({"work.py": CODE.encode()}, "work.py", LIMITS)
    _, trace = run(
        walled, lambda lab: lab.ranks(2).run(lambda student, rank: student.says(f"hello {rank}"))
    )
    assert "[rank 0]\nhello 0" in trace.prints and "[rank 1]\nhello 1" in trace.prints


@walled_only
def test_ranks_have_a_loopback_of_their_own(server):
    if not server.layers.namespaces:
        pytest.skip("this machine gives no network namespaces; provenance says so")
    walled = server.candidate({"work.py": CODE.encode()}, "work.py", LIMITS)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        errors, _ = run(
            walled, lambda lab: lab.ranks(2).run(lambda student, rank: student.reaches(port))
        )
    assert all(error != 0 for error in errors)
    devices, _ = run(walled, lambda lab: lab.ranks(2).run(lambda student, rank: student.devices()))
    assert devices == [["lo"], ["lo"]]


@walled_only
@pytest.mark.parametrize("ask", ["reaches(1)", "forks()", "devices()"])
def test_a_worker_that_is_no_rank_has_no_sockets_and_no_worker_forks(server, ask):
    name = ask.partition("(")[0]
    arguments = (1,) if name == "reaches" else ()
    walled = server.candidate({"work.py": CODE.encode()}, "work.py", LIMITS)
    bridge = walled.open(lambda event: None, None)
    with pytest.raises(StudentError):
        getattr(bridge.student, name)(*arguments)
    bridge.close()
    if name == "forks":
        with pytest.raises(StudentError, match="not permitted"):
            run(walled, lambda lab: lab.ranks(2).run(lambda student, rank: student.forks()))


@walled_only
def test_a_server_of_the_standard_profile_refuses_ranks():
    server = WorkerServer.start(["math"])
    try:
        walled = server.candidate({"work.py": b"def f(): return 1"}, "work.py", LIMITS)
        with pytest.raises(IsolationError, match="not started for ranks"):
            run(walled, lambda lab: lab.ranks(2))
    finally:
        server.close()


# -- what doctor says ------------------------------------------------------------------------------


@walled_only
def test_the_doctor_has_two_ranks_meet(server):
    finding = doctor._ranks()
    where = "their own loopback" if server.layers.namespaces else "the machine's loopback"
    assert finding.holds and where in finding.text and not finding.needed


@walled_only
def test_the_doctor_says_in_a_sentence_why_ranks_cannot_meet(monkeypatch):
    monkeypatch.setattr(
        doctor, "MEETING", b"def total(number):\n    raise ConnectionError('loopback is down')\n"
    )
    finding = doctor._ranks()
    assert not finding.holds
    assert finding.text.startswith(
        "two ranks could not talk over loopback, so distributed assignments fail: "
    )
    assert "loopback is down" in finding.text


def test_the_doctor_needs_torch_for_ranks_and_nothing_else(monkeypatch):
    def refuse(*arguments, **named):
        raise IsolationError("torch cannot be imported")

    monkeypatch.setattr(doctor.WorkerServer, "start", refuse)
    finding = doctor._ranks()
    assert (finding.holds, finding.needed) == (False, False)
    assert finding.text == "needed for distributed assignments only: torch cannot be imported"


@pytest.mark.parametrize(
    ("sums", "alone", "holds", "says"),
    [
        (
            [3.0, 3.0],
            False,
            True,
            "because there is no network namespace: give the container --network=none",
        ),
        ([1.0, 2.0], True, False, "two ranks that added 1 and 2 got [1.0, 2.0]"),
    ],
)
def test_what_the_doctor_makes_of_a_meeting(sums, alone, holds, says):
    finding = doctor._meeting(sums, alone)
    assert finding.holds is holds and says in finding.text
