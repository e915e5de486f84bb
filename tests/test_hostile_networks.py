"""Student networks that fight back: their parameters lie, change, grow and are none.

A test gets a StudentError or a wrong number, in time.
"""

from __future__ import annotations

import pytest
import torch

from autograder.errors import StudentError

NET = """
import sys, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    def forward(self, x): return self.layer(x)

def touch(net): return 0.0
"""
WORKER = """
worker = sys.modules["autograder.isolation.bridge.worker"]
wire = sys.modules["autograder.isolation.codec"]
handle = worker.Worker.handle
answers = []
def patched(change):
    def answer(self, message, callback):
        header, buffers = wire.unpack(handle(self, message, callback))
        answers.append(1)
        # The network is made and its parameters are known.
        if len(answers) > 2 and header[1] == "ok":
            change(header, buffers)
        return wire.pack(header, buffers)
    worker.Worker.handle = answer
"""


def use(reached) -> float:
    """What a test does with a network: parameters, a step of an optimiser, an answer."""
    net = reached.student.Net()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    loss = net(torch.ones(1, 2, dtype=torch.float64)).sum()
    loss.backward()
    optimiser.step()
    reached.student.touch(net)
    return sum(float(p.detach().sum()) for p in net.parameters())


def test_the_control_an_honest_network_learns(behind_the_wall):
    honest = behind_the_wall(NET)
    net = honest.student.Net()
    before = [p.detach().clone() for p in net.parameters()]
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    net(torch.ones(1, 2, dtype=torch.float64)).sum().backward()
    optimiser.step()
    (after,) = (p.detach() for p in net.parameters())
    assert torch.allclose(after, before[0] - 0.1)
    assert use(honest) != 0.0


# By what they are: the code that makes the network so. Most replace named_parameters.
PARAMETERS = {
    "an endless number of parameters": "((str(i), nn.Parameter(torch.zeros(1)))"
    " for i in iter(int, 1))",
    "parameters that are none": "[('weight', 5), (7, None), 'x']",
    "names that are none": "[([], self.layer.weight), ('__class__', self.layer.weight)]",
    "an integer parameter": "[('w', torch.ones(3, dtype=torch.int64))]",
    "a parameter without memory": "[('w', nn.Parameter(torch.empty(2, device='meta')))]",
    "a parameter that is huge by its strides": "[('w', nn.Parameter("
    "torch.zeros(1).expand(1 << 40)))]",
    "a sparse parameter": "[('w', torch.eye(3).to_sparse())]",
}
NETWORKS = {
    name: f"Net.named_parameters = lambda self: {parameters}"
    for name, parameters in PARAMETERS.items()
} | {
    "a gradient of another shape": "def forward(self, x):\n"
    "    self.layer.weight._grad = torch.ones(7)\n"
    "    return self.layer(x)\nNet.forward = forward",
    "a network whose parameters are not a function": "Net.named_parameters = 5",
    "a forward that frees its own parameters": "Net.forward = "
    "lambda self, x: self._modules.clear() or x.sum()",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_hostile_network_is_a_student_s_error_or_a_wrong_number(behind_the_wall, name):
    reached = behind_the_wall(
        f"{NET}\n{NETWORKS[name]}\n", call_seconds=3, test_seconds=20, memory_mib=512
    )
    try:
        assert isinstance(use(reached), float)
    except (StudentError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        assert not isinstance(error, MemoryError)


# What the module defines has the numbers before it; the control below says so if this changes.
NET_NUMBER = 6
BUFFER = "len(buffers) - 1"


def parameter(tensor: str, gradient: str = "None") -> str:
    """The answer says that the network's parameter has changed to this."""
    return f"header[5] = [[{NET_NUMBER}, 'layer.weight', {tensor}, {gradient}]]"


CHANGES = {
    "parameters that are not there": "header[5] = [[0, 'nothing', ['l'], None]]",
    "parameters of another shape": "buffers.append(bytes(8)); "
    + parameter(f"['T', 'float64', [1], None, 0, {BUFFER}]"),
    "parameters that became integers": "buffers.append(bytes(16)); "
    + parameter(f"['T', 'int64', [1, 2], None, 0, {BUFFER}]"),
    "parameters that are handles": parameter(f"['h', {NET_NUMBER}, 'Net', True, True]"),
    "a gradient that is a number": "buffers.append(bytes(16)); "
    + parameter(f"['T', 'float64', [1, 2], None, 0, {BUFFER}]", "1.0"),
    "changes that are not a list": "header[5] = {'a': 1}",
    "outputs that were not tied": "header[2] = ['o', 0]",
    "a thousand outputs": "buffers.append(bytes(8)); "
    f"header[3] = [['T', 'float64', [1], None, 2, {BUFFER}]] * 1000; header[2] = ['o', 999]",
    "outputs that are integers": "buffers.append(bytes(8)); "
    f"header[3] = [['T', 'int64', [1], None, 0, {BUFFER}]]; header[2] = ['o', 0]",
    "outputs that are none": "header[3] = [None, 5, 'x']",
}


@pytest.mark.parametrize("name", CHANGES)
def test_answers_that_lie_about_parameters_are_a_student_s_error_or_a_wrong_number(
    behind_the_wall, name
):
    change = f"def change(header, buffers):\n    {CHANGES[name]}\npatched(change)\n"
    reached = behind_the_wall(NET + WORKER + change, call_seconds=3, test_seconds=20)
    try:
        assert isinstance(use(reached), float)
    except (StudentError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        assert not isinstance(error, MemoryError)


def test_the_control_a_parameter_that_changes_there_changes_here(behind_the_wall):
    """So the lies above are about a parameter that the test has."""
    change = "buffers.append(bytes(16)); " + parameter(
        f"['T', 'float64', [1, 2], None, 0, {BUFFER}]"
    )
    text = f"def change(header, buffers):\n    {change}\npatched(change)\n"
    reached = behind_the_wall(NET + WORKER + text)
    net = reached.student.Net()
    (mirror,) = net.parameters()
    assert mirror.abs().sum() > 0
    reached.student.touch(net)
    assert torch.equal(mirror, torch.zeros(1, 2, dtype=torch.float64))


def test_a_network_cannot_reach_a_tensor_of_the_test_through_its_mirror(behind_the_wall):
    """The test computes its expectation from its own tensors; no answer may write into these."""
    change = "def change(header, buffers):\n    header[5] = header[5] * 2\npatched(change)\n"
    reached = behind_the_wall(NET + WORKER + change)
    mine = torch.full((1, 2), 3.0, dtype=torch.float64)
    net = reached.student.Net()
    (mirror,) = net.parameters()
    with torch.no_grad():
        mirror.copy_(mine)
    net(torch.ones(1, 2, dtype=torch.float64))
    reached.student.touch(net)
    assert torch.equal(mine, torch.full((1, 2), 3.0, dtype=torch.float64))
