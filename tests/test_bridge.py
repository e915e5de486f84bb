"""What crosses between a hidden test and student code: the same in-process and across the wall."""

from __future__ import annotations

import collections
import copy
import dataclasses
import math
import os
import random
import re
import socket

import msgpack
import numpy as np
import pytest
import torch

from autograder.errors import Stopped, StudentDied, StudentError, StudentMisuse, StudentTimeout
from autograder.isolation import codec
from autograder.isolation.bridge import loans
from autograder.isolation.bridge.handles import Remote
from autograder.isolation.codec import Fields
from autograder.isolation.codec.limits import TORCH_DTYPES
from autograder.isolation.limits import Limits
from autograder.isolation.workers import stream
from autograder.isolation.workers.channel import ProcessChannel
from autograder.judging.checks import CheckFailure, assert_close, assert_unchanged, changes_known_to

# A copy: the argument itself would come back as a mere reference.
ECHO = "import copy\ndef echo(x): return copy.deepcopy(x)\n"


def same(one, other) -> bool:
    """Alike in type and content, through containers, to the last bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and (one.stride() == other.stride() or one.numel() == 0)
            and torch.equal(torch.nan_to_num(one.detach()), torch.nan_to_num(other.detach()))
        )
    if isinstance(one, (np.ndarray, np.generic)):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, float):
        return one.hex() == other.hex()
    return bool(one == other)


# -- data ------------------------------------------------------------------------------------------

DATA = [
    None, True, False, 0, -1, 2**63 - 1, 2**64 - 1, -(2**63), 2**200, -(3**300), 0.0, 1e-320,
    math.inf, -math.inf, math.nan, 1 + 2j, "", "naïve 李 \U0001f600", "\0", b"", b"\x00\xff",
    bytearray(b"ab"), [], (), {}, set(), frozenset(), [1, [2.5, ("a", None)], {}],
    {"a": 1, 2: "b", (3, 4): [5], None: True, 0.5: b"x"}, {1, "a", (2, 3)}, frozenset({1, 2}),
    range(2, 10, 3), slice(1, None, 2), ..., [2**64 - 1, -(2**63)], [1, 2**64],
    (-(2**63) - 1, 0), [1, True, 0], [True, None, 0.5, -0.0, "x"], [math.nan, 1], (1, 2, [3]),
    [["h", 0], ["k", 0], {"l": "t"}, ("b", 0), ["o", 0]],  # looks like nodes of the wire format
]  # fmt: skip


@pytest.mark.parametrize(
    "value", DATA, ids=[f"{n}-{type(one).__name__}" for n, one in enumerate(DATA)]
)
def test_plain_data_crosses_unchanged(reach, value):
    expected = bytes(value) if isinstance(value, bytearray) else value
    assert same(reach(ECHO).student.echo(value), expected)


def test_a_negative_zero_crosses_unchanged(reach):
    assert same(reach(ECHO).student.echo(-0.0), -0.0)


ARRAYS = [
    *(
        np.array([0, 1, 2], dtype)
        for dtype in "? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16".split()
    ),
    np.array([1, 2], ">i4"), np.array([1.5], ">f8"), np.array(3.5), np.zeros(0),
    np.zeros((2, 0, 3)), np.arange(24.0).reshape(2, 3, 4), np.array([math.nan, -0.0, math.inf]),
    np.float32(0.1), np.int8(-3), np.bool_(True), np.complex64(1j),
]  # fmt: skip


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: f"{value.dtype.str}{value.shape}")
def test_arrays_and_numpy_scalars_cross_bit_for_bit(reach, value):
    assert same(reach(ECHO).student.echo(value), value)


def test_a_float64_is_a_float(reach):
    assert same(reach(ECHO).student.echo(np.float64(0.1)), 0.1)


LAYOUTS = [
    lambda x: x.T,
    lambda x: np.asfortranarray(x),
    lambda x: x.transpose(1, 0, 2),
    lambda x: x.transpose(2, 0, 1),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_keep_their_memory_order(reach, layout):
    value = layout(np.arange(24.0).reshape(2, 3, 4))
    there = reach("def strides(x): return x.strides\n" + ECHO).student
    assert tuple(there.strides(value)) == value.strides
    assert there.echo(value).strides == value.strides


def test_an_array_with_gaps_becomes_dense(reach):
    student = reach("def look(x): return x.strides, x.tolist()\n").student
    value = np.arange(24.0).reshape(4, 6)[::2, ::3]
    assert student.look(value) == ((16, 8), value.tolist())
    assert student.look(np.arange(3.0)[::-1]) == ((8,), [2.0, 1.0, 0.0])
    assert student.look(np.broadcast_to(np.float64(1.0), (2, 2))) == (
        (16, 8),
        [[1.0, 1.0], [1.0, 1.0]],
    )


def test_an_expanded_tensor_becomes_dense(reach):
    student = reach("def look(x): return x.tolist()\n").student
    assert student.look(torch.ones(()).expand(2)) == [1.0, 1.0]
    assert student.look(torch.ones(()).expand(1)) == [1.0]


TENSORS = [
    *(torch.tensor([0, 1, 2]).to(getattr(torch, name)) for name in sorted(TORCH_DTYPES)),
    torch.tensor(2.5), torch.zeros(0), torch.zeros(2, 0), torch.arange(6.0).reshape(2, 3),
    torch.arange(6.0).reshape(2, 3).T, torch.arange(24).reshape(2, 3, 4).permute(2, 0, 1),
    torch.tensor([math.nan, math.inf]), torch.ones(2, 2, dtype=torch.complex64).conj(),
]  # fmt: skip


@pytest.mark.parametrize(
    "value", TENSORS, ids=lambda value: f"{value.dtype}{tuple(value.shape)}{value.stride()}"
)
def test_tensors_cross_with_dtype_shape_and_strides(reach, value):
    assert same(reach(ECHO).student.echo(value), value.resolve_conj())


@pytest.mark.parametrize(
    "value",
    [torch.float32, torch.bfloat16, np.dtype("f4"), torch.Size([2, 3]), torch.device("cpu")],
    ids=repr,
)
def test_dtypes_sizes_and_devices_cross(reach, value):
    assert same(reach(ECHO).student.echo(value), value)


def test_subclasses_of_plain_types_lose_their_methods_on_the_way(reach):
    student = reach("""
        class Yes(float):
            def __eq__(self, other): return True
            __hash__ = float.__hash__
        class Text(str):
            def __eq__(self, other): return True
            __hash__ = str.__hash__
        class List(list):
            def __len__(self): return 7
        def answers(): return Yes(1.5), Text("no"), List([1]), True
    """).student
    number, text, items, flag = student.answers()
    assert [type(x) for x in (number, text, items, flag)] == [float, str, list, bool]
    assert number != 2.5 and text != "yes" and len(items) == 1


Pair = collections.namedtuple("Pair", ["left", "right"])


@dataclasses.dataclass
class Point:
    x: float
    y: np.ndarray


STRUCTURES = """
    import dataclasses
    from typing import NamedTuple

    class Pair(NamedTuple):
        left: float
        right: list

    @dataclasses.dataclass
    class Point:
        x: float
        y: object

    @dataclasses.dataclass
    class Account:
        balance: float
        def add(self, amount): self.balance += amount; return self.balance

    def pair(): return Pair(1.5, [2])
    def point(): return Point(0.5, [1, 2])
    def account(): return Account(10.0)
    def is_mine(x): return type(x).__name__, type(x) in (Pair, Point)
    def kind(x): return type(x).__name__
"""


def test_named_tuples_cross_as_named_tuples(reach):
    pair = reach(STRUCTURES).student.pair()
    assert (
        pair == (1.5, [2]) and pair._fields == ("left", "right") and type(pair).__name__ == "Pair"
    )


def test_dataclasses_cross_as_records_of_their_fields(reach):
    point = reach(STRUCTURES).student.point()
    assert (
        isinstance(point, Fields)
        and vars(point) == {"x": 0.5, "y": [1, 2]}
        and type(point).__name__ == "Point"
    )


def test_a_dataclass_with_methods_stays_there(reach):
    account = reach(STRUCTURES).student.account()
    assert isinstance(account, Remote)
    assert account.add(5.0) == 15.0 and account.balance == 15.0


def test_a_test_s_structure_becomes_the_student_s_own_class_of_that_name_and_form(reach):
    student = reach(STRUCTURES).student
    assert student.is_mine(Pair(1, 2)) == ("Pair", True)
    assert student.is_mine(Point(1.0, np.ones(2))) == ("Point", True)
    assert student.is_mine(student.pair()) == ("Pair", True)
    assert student.is_mine(student.point()) == ("Point", True)
    assert student.is_mine(collections.namedtuple("Pair", ["left", "middle"])(1, 2)) == (
        "Pair",
        False,
    )
    assert student.kind(collections.namedtuple("Unknown", ["a"])(1)) == "Unknown"


@pytest.mark.parametrize("name", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_numpy_generators_cross_with_their_state_and_come_back_advanced(reach, name):
    generator, twin = (np.random.Generator(getattr(np.random, name)(7)) for _ in range(2))
    # Some generators now keep half a word.
    (generator.integers(5, dtype=np.int32), twin.integers(5, dtype=np.int32))
    drawn = reach("def draw(rng): return rng.normal(size=3)\n").student.draw(generator)
    assert np.array_equal(drawn, twin.normal(size=3))
    assert generator.integers(2**32) == twin.integers(2**32)


def test_torch_generators_cross_with_their_state_and_come_back_advanced(reach):
    generator, twin = (torch.Generator().manual_seed(7) for _ in range(2))
    drawn = reach("import torch\ndef draw(g): return torch.rand(3, generator=g)\n").student.draw(
        generator
    )
    assert torch.equal(drawn, torch.rand(3, generator=twin))
    assert torch.equal(generator.get_state(), twin.get_state())


def test_what_cannot_cross_is_the_test_s_mistake(reach):
    student = reach(ECHO).student
    for value in (
        object(),
        np.array([object()]),
        np.array(["text"]),
        random.Random(0),
        np.random.RandomState(0),
    ):
        with pytest.raises(TypeError, match="cannot cross the wall"):
            student.echo(value)


def test_a_result_that_cannot_cross_is_the_student_s_mistake(reach):
    student = reach("""
        import numpy as np
        def words(): return np.array(["a"])
        def deep():
            x = []
            for _ in range(100): x = [x]
            return x
        def long(): return 10**5000
        def many(): return list(range(10_000_000))
        def half(): return "\\ud800"
    """).student
    with pytest.raises(TypeError, match="dtype <U1 cannot cross the wall"):
        student.words()
    for name, words in (
        ("deep", "nested deeper"),
        ("long", "more than 1000 digits"),
        ("half", "surrogates not allowed"),
    ):
        with pytest.raises(StudentError, match=words):
            getattr(student, name)()


def test_too_much_structure_is_refused_with_a_remedy(reach):
    student = reach("def many(n): return [1] * n\n").student
    assert len(student.many(100_000)) == 100_000
    with pytest.raises(StudentError, match="return arrays instead of long lists"):
        student.many(5_000_000)


def test_a_list_of_too_many_values_is_refused_with_a_remedy(reach):
    with pytest.raises(StudentError, match="return arrays instead of long lists"):
        reach("def many(n): return [1] * n\n").student.many(300_000)
    with pytest.raises(StudentError, match="return arrays instead of long lists"):
        reach("def many(n): return [[1] * 1000 for _ in range(n)]\n").student.many(300)


def test_data_that_hold_themselves_are_refused(reach):
    student = reach("def ring():\n    x = []\n    x.append(x)\n    return x\n" + ECHO).student
    value: list = []
    value.append(value)
    for call in (student.ring, lambda: student.echo(value)):
        with pytest.raises(StudentError, match="nested deeper than 40 levels"):
            call()


# -- in-place changes and identity -----------------------------------------------------------------

CHANGES = """
    import numpy as np, torch
    def change_(x):
        if isinstance(x, list): x.append(4)
        elif isinstance(x, dict): x["new"] = [1]; x.pop("old")
        elif isinstance(x, set): x.add(4); x.discard(1)
        else: x[0] = 9
    change = change_
    class Tools:
        def change_(self, x): x[0] = 9
        def change(self, x): x[0] = 9
    def inner_(x): x["list"][0] = 7
    def nothing_(x): x[0] = x[0]
    def reshape_(x): x.unsqueeze_(0)
    def both_(x, y): x += 1; return y
    def same(x): return x
    def fresh(x): return x.copy()
    def is_one(x, y): return x is y
"""
CHANGED = [
    ([1, 2], [1, 2, 4]),
    ([[1], 2], [[1], 2, 4]),
    ({"old": 1, "kept": 2}, {"kept": 2, "new": [1]}),
    ({1, 2}, {2, 4}),
    (np.array([1.0, 2.0]), np.array([9.0, 2.0])),
    (np.array([[1, 2], [3, 4]]).T, np.array([[9, 2], [9, 4]]).T),
    (torch.tensor([1.0, 2.0]), torch.tensor([9.0, 2.0])),
    (torch.tensor([[1, 2], [3, 4]]).T, torch.tensor([[9, 2], [9, 4]]).T),
]


@pytest.mark.parametrize(("value", "after"), CHANGED, ids=lambda value: type(value).__name__)
def test_a_function_whose_name_ends_in_an_underscore_changes_the_test_s_own_object(
    reach, value, after
):
    value = copy.deepcopy(value)
    assert reach(CHANGES).student.change_(value) is None
    assert same(value, after)


@pytest.mark.parametrize(
    "value", [value for value, _ in CHANGED], ids=lambda value: type(value).__name__
)
def test_any_other_function_changes_nothing_and_is_found_out(reach, value):
    reached, mine, untouched = reach(CHANGES), copy.deepcopy(value), copy.deepcopy(value)
    reached.student.change(mine)
    assert same(mine, value)
    assert reached.bridge.was_changed(mine) and not reached.bridge.was_changed(untouched)
    assert len(reached.answers[-1][2]) == 1  # and the diagnosis is told


def test_methods_follow_the_same_rule(reach):
    reached, first, second = reach(CHANGES), [1], [1]
    tools = reached.student.Tools()
    tools.change_(first)
    tools.change(second)
    assert (first, second) == ([9], [1]) and reached.bridge.was_changed(second)


def test_assert_unchanged_fails_for_an_attempt(reach):
    reached, value = reach(CHANGES), np.ones(2)
    before = value.copy()
    with changes_known_to(reached.lab):
        reached.student.same(value)
        assert_unchanged(before, value)
        reached.student.change(value)
        assert np.array_equal(before, value)
        with pytest.raises(CheckFailure, match="the rewards was changed in place: work on a copy"):
            assert_unchanged(before, value, "the rewards")


def test_a_change_deep_inside_an_argument_comes_back(reach):
    inner = [1, 2]
    value = {"list": inner}
    reach(CHANGES).student.inner_(value)
    assert inner == [7, 2] and value["list"] is inner


def test_writing_what_was_there_is_no_change(reach):
    reached, value = reach(CHANGES), np.array([1.0, math.nan])
    value.flags.writeable = False  # writing back would raise
    reached.student.nothing_(value)
    assert not reached.bridge.was_changed(value)


def test_a_tensor_that_changed_its_shape_has_the_new_one(reach):
    value = torch.ones(2)
    reach(CHANGES).student.reshape_(value)
    assert same(value, torch.ones(1, 2))


def test_an_argument_that_is_returned_is_the_same_object(reach):
    student = reach(CHANGES).student
    for value in ([1], {"a": 1}, np.zeros(2), torch.zeros(2)):
        assert student.same(value) is value
    array = np.zeros(2)
    assert student.fresh(array) is not array
    assert student.same([array])[0] is array


def test_one_argument_given_twice_is_one_object_there(reach):
    student = reach(CHANGES).student
    value = np.zeros(2)
    assert student.is_one(value, value) is True
    assert student.is_one(value, value.copy()) is False
    assert student.both_(value, value) is value and value.tolist() == [1.0, 1.0]


# -- autograd --------------------------------------------------------------------------------------

GRADIENTS = """
    import torch
    weight = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
    def square(x): return (x * x).sum()
    def two(x, y): return {"sum": x + y, "products": (x * y, y.detach())}
    def own(): return (weight ** 2).sum()
    def own_grad(): return weight.grad
    def mixed(x): return (x * weight).sum()
    def constant(x): return x.detach() * 2
    def enabled(): return torch.is_grad_enabled()
    def quiet(x):
        with torch.no_grad(): return x * 2
    def is_leaf(x): return x.is_leaf, x.requires_grad
    def in_place(x): x += 1; return x
    def in_place_quietly_(x):
        with torch.no_grad(): x += 1
    def indices(x): return x.argmax(), x * 2
    def smooth(x, y): return torch.tanh(x @ y).cumsum(0)
    def halves(x): return x.float().sum()
    def spectrum(x): return torch.fft.fft(x)
"""


def leaf(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64, requires_grad=True)


def test_backward_gives_the_gradient_of_the_student_s_function(reach):
    x = leaf(1.0, -2.0)
    loss = reach(GRADIENTS).student.square(x)
    assert loss.requires_grad and loss.item() == 5.0
    loss.backward()
    assert x.grad.tolist() == [2.0, -4.0]


def test_gradients_are_right_by_finite_differences(reach):
    student = reach(GRADIENTS).student
    x = torch.randn(
        3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    y = torch.randn(
        4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).T.requires_grad_()
    assert torch.autograd.gradcheck(student.smooth, (x, y))


def test_gradients_of_complex_numbers_are_right(reach):
    """The power of a spectrum is the length times that of the series (Parseval)."""
    x = torch.tensor([1.0, -2.0, 4.0, 0.25], requires_grad=True)
    reach(GRADIENTS).student.spectrum(x).abs().square().sum().backward()
    assert torch.allclose(x.grad, 2 * len(x) * x.detach())


def test_an_infinite_gradient_of_an_output_that_is_zero_stays_infinite(reach):
    x, y = leaf(1.0, 2.0), leaf(-1.0, 3.0)
    total = reach(GRADIENTS).student.two(x, y)["sum"]
    (total * torch.tensor([torch.inf, 3.0])).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [torch.inf, 3.0]


def test_gradients_flow_through_the_test_before_and_after(reach):
    x = leaf(1.0, 2.0)
    (3 * reach(GRADIENTS).student.square(x * 2) + x.sum()).backward()
    assert x.grad.tolist() == [3 * 8 * 1.0 + 1, 3 * 8 * 2.0 + 1]


def test_two_backward_calls_add_up_as_torch_does(reach):
    student, x = reach(GRADIENTS).student, leaf(1.0, 2.0)
    student.square(x).backward()
    student.square(x).backward()
    assert x.grad.tolist() == [4.0, 8.0]
    loss = student.square(x)
    loss.backward(retain_graph=True)
    loss.backward()
    assert x.grad.tolist() == [8.0, 16.0]


def test_a_call_between_forward_and_backward_disturbs_nothing(reach):
    student, x, y = reach(GRADIENTS).student, leaf(1.0, 2.0), leaf(5.0, 5.0)
    first = student.square(x)
    student.square(y).backward()
    first.backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([2.0, 4.0], [10.0, 10.0])


def test_several_outputs_share_one_graph(reach):
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    result = reach(GRADIENTS).student.two(x, y)
    product, plain = result["products"]
    assert not plain.requires_grad
    (result["sum"].sum() + product.sum()).backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([4.0, 5.0], [2.0, 3.0])


def test_an_output_that_is_not_used_has_no_gradient(reach):
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    result = reach(GRADIENTS).student.two(x, y)
    assert torch.autograd.grad(result["sum"].sum(), [x, y])[0].tolist() == [1.0, 1.0]


def test_an_input_of_an_output_that_is_not_used_has_no_gradient(reach):
    student = reach("def apart(x, y): return x * 2, y * 3\n").student
    x, y = leaf(1.0, 1.0), leaf(2.0, 2.0)
    first, _ = student.apart(x, y)
    assert torch.autograd.grad(first.sum(), [x, y], allow_unused=True)[1] is None


def test_an_input_that_is_not_used_has_no_gradient(reach):
    student = reach(GRADIENTS + "\n    def first(x, y): return x * 2\n").student
    x, y = leaf(1.0, 1.0), leaf(2.0, 2.0)
    grads = torch.autograd.grad(student.first(x, y).sum(), [x, y], allow_unused=True)
    assert grads[0].tolist() == [2.0, 2.0] and grads[1] is None


def test_the_sum_of_one_element_has_a_gradient(reach):
    x = leaf(1.0)
    reach("def double(x): return 2 * x\n").student.double(x).sum().backward()
    assert x.grad.tolist() == [2.0]


def test_integer_outputs_beside_differentiable_ones_cross(reach):
    index, double = reach(GRADIENTS).student.indices(leaf(1.0, 5.0))
    assert index.item() == 1 and not index.requires_grad and double.requires_grad


def test_the_student_s_own_parameters_get_their_gradients(reach):
    student, x = reach(GRADIENTS).student, leaf(1.0, 1.0)
    assert student.own_grad() is None
    student.own().backward()
    assert student.own_grad().tolist() == [4.0, 6.0]
    student.mixed(x).backward()
    assert x.grad.tolist() == [2.0, 3.0] and student.own_grad().tolist() == [5.0, 7.0]


def test_gradients_keep_the_dtype_of_their_input(reach):
    x = leaf(1.0, 2.0)
    reach(GRADIENTS).student.halves(x).backward()
    assert x.grad.dtype == torch.float64 and x.grad.tolist() == [1.0, 1.0]


def test_no_grad_of_the_test_holds_there(reach):
    student, x = reach(GRADIENTS).student, leaf(1.0)
    with torch.no_grad():
        assert student.enabled() is False
        assert not student.square(x).requires_grad
    assert student.enabled() is True
    assert student.square(x).requires_grad


def test_detached_results_are_detached_here(reach):
    student = reach(GRADIENTS).student
    assert not student.constant(leaf(1.0)).requires_grad
    assert not student.quiet(leaf(1.0)).requires_grad


def test_an_input_is_a_leaf_there_if_it_is_one_here(reach):
    student = reach(GRADIENTS).student
    assert student.is_leaf(leaf(1.0)) == (True, True)
    assert student.is_leaf(leaf(1.0) * 2) == (False, True)
    assert student.is_leaf(torch.ones(1)) == (True, False)


def test_changing_a_leaf_in_place_is_torch_s_own_error(reach):
    with pytest.raises(
        RuntimeError,
        match="leaf Variable that requires grad is being used in an in-place operation",
    ):
        reach(GRADIENTS).student.in_place(leaf(1.0))


def test_changing_a_leaf_under_no_grad_is_written_back(reach):
    x = leaf(1.0)
    reach(GRADIENTS).student.in_place_quietly_(x)
    assert x.tolist() == [2.0] and x.is_leaf and x.requires_grad


def test_changing_a_part_of_a_graph_in_place_is_an_error(reach):
    student = reach(GRADIENTS).student
    with pytest.raises(RuntimeError, match="is being used in an in-place operation"):
        student.in_place(leaf(1.0) * 2)
    with pytest.raises(
        StudentMisuse, match="an input that is part of a graph was changed in place"
    ):
        student.in_place_quietly_(leaf(1.0) * 2)


def test_second_derivatives_are_an_error_and_not_a_wrong_number(reach):
    x, scale = leaf(1.0), leaf(1.0)
    loss = (scale * reach(GRADIENTS).student.square(x)).sum()
    (grad,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError):
        grad.sum().backward()


# -- networks --------------------------------------------------------------------------------------

NETWORKS = """
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)
            torch.nn.init.ones_(self.layer.weight)
            torch.nn.init.zeros_(self.layer.bias)
            self.calls = 0
        def forward(self, x):
            self.calls += 1
            return self.layer(x).squeeze(-1)
        def __eq__(self, other): return True
        __hash__ = torch.nn.Module.__hash__
        def __bool__(self): return False

    def make(): return Net()
    def learn_(net, rate):
        with torch.no_grad():
            for p in net.parameters(): p -= rate * p.grad
    def values(net): return [p.detach().clone() for p in net.parameters()]
    def grads(net): return [None if p.grad is None else p.grad.clone() for p in net.parameters()]
    def kind(layer): return type(layer).__name__, isinstance(layer, torch.nn.Module)
    def use(layer, x): return layer(x)
    def halve_(layer):
        with torch.no_grad(): layer.weight.mul_(0.5)
    def halve(layer):
        with torch.no_grad(): layer.weight.mul_(0.5)
    def training(net): return net.training, net.layer.training
"""


@pytest.fixture
def net(reach):
    reached = reach(NETWORKS)
    return reached.student.make(), reached.student


def numbers(tensors) -> list:
    return [None if tensor is None else tensor.tolist() for tensor in tensors]


def test_a_network_has_parameters_of_its_own_here(net):
    mine, _ = net
    assert isinstance(mine, torch.nn.Module) and isinstance(mine, Remote)
    assert [(name, type(p)) for name, p in mine.named_parameters()] == [
        ("layer.weight", torch.nn.Parameter), ("layer.bias", torch.nn.Parameter),
    ]  # fmt: skip
    assert sum(p.numel() for p in mine.parameters()) == 3
    assert next(mine.parameters()) is next(mine.parameters())


def test_backward_fills_the_gradients_on_both_sides(net):
    mine, student = net
    weight, bias = mine.parameters()
    mine(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert (weight.grad.tolist(), bias.grad.tolist()) == ([[4.0, 6.0]], [2.0])
    assert numbers(student.grads(mine)) == [[[4.0, 6.0]], [2.0]]
    mine(torch.tensor([[1.0, 1.0]] * 2)).sum().backward()
    assert weight.grad.tolist() == [[6.0, 8.0]]
    mine.zero_grad()
    assert numbers(student.grads(mine)) == [None, None]


def test_an_optimiser_of_the_test_moves_the_student_s_parameters(net):
    mine, student = net
    optimiser = torch.optim.SGD(mine.parameters(), lr=0.5)
    mine(torch.tensor([[1.0, 2.0], [1.0, 2.0]])).sum().backward()
    optimiser.step()
    assert numbers(student.values(mine)) == [[[0.0, -1.0]], [-1.0]]
    assert mine(torch.tensor([[1.0, 1.0], [1.0, 1.0]])).tolist() == [-2.0, -2.0]


def test_what_the_student_does_to_the_parameters_is_seen_here(net):
    mine, student = net
    weight, _ = mine.parameters()
    mine(torch.tensor([[1.0, 2.0], [1.0, 2.0]])).sum().backward()
    student.learn_(mine, 0.25)
    assert weight.tolist() == [[0.5, 0.0]]


@pytest.mark.parametrize(
    ("before", "after"),
    [(torch.finfo().max, math.inf), (math.nan, 1.0), (1.0, math.nan), (math.inf, -math.inf)],
)
def test_every_change_of_a_parameter_is_seen_there(net, before, after):
    mine, student = net
    weight, _ = mine.parameters()
    for value in (before, after):
        with torch.no_grad():
            weight.fill_(value)
        assert repr(numbers(student.values(mine))) == repr([[[value, value]], [0.0]])


def test_a_state_dict_can_be_taken_and_loaded(net):
    mine, student = net
    weight, _ = mine.parameters()
    state = mine.state_dict()
    with torch.no_grad():
        weight.fill_(7.0)
    assert mine.state_dict()["layer.weight"].tolist() == [[7.0, 7.0]]
    mine.load_state_dict(state)
    assert numbers(student.values(mine)) == [[[1.0, 1.0]], [0.0]] and weight.tolist() == [
        [1.0, 1.0]
    ]


def test_parameters_can_be_frozen_and_their_kind_changed(net):
    mine, _ = net
    assert all(p.requires_grad for p in mine.parameters())
    mine.requires_grad_(False)
    assert not any(p.requires_grad for p in mine.parameters())
    assert all(p.dtype == torch.float64 for p in mine.double().parameters())


def test_training_and_evaluation_are_modes_there(net):
    mine, student = net
    mine.eval()
    assert student.training(mine) == (False, False)
    mine.train()
    assert student.training(mine) == (True, True)


def test_a_network_is_a_handle_like_any_other(net):
    mine, student = net
    assert mine != 1 and mine == mine and mine != student.make() and bool(mine) is True
    assert mine.calls == 0
    assert repr(mine) == "<the student's Net>"
    with pytest.raises(CheckFailure):
        assert_close(mine, 1.0)


def test_a_layer_of_the_test_travels_by_value(reach):
    student = reach(NETWORKS).student
    x = torch.ones(3, 2)
    for layer in (
        torch.nn.Linear(2, 2),
        torch.nn.Linear(2, 3, bias=False),
        torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh()),
    ):
        assert student.kind(layer) == (type(layer).__name__, True)
        assert torch.equal(student.use(layer, x).detach(), layer(x).detach())


def test_gradients_reach_a_layer_of_the_test(reach):
    layer, twin = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    twin.load_state_dict(layer.state_dict())
    x = torch.tensor([[1.0, 2.0]])
    reach(NETWORKS).student.use(layer, x).square().sum().backward()
    twin(x).square().sum().backward()
    for mine, expected in zip(layer.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine.grad, expected.grad)


def test_a_layer_of_the_test_changes_only_through_a_name_that_ends_in_an_underscore(reach):
    reached, layer = reach(NETWORKS), torch.nn.Linear(2, 1)
    before = layer.weight.detach().clone()
    reached.student.halve(layer)
    assert torch.equal(layer.weight, before) and reached.bridge.was_changed(layer.weight)
    reached.student.halve_(layer)
    assert torch.equal(layer.weight, before / 2)


def test_other_modules_of_the_test_must_be_made_there(reach):
    with pytest.raises(
        TypeError, match=r"a LSTM of the test cannot cross: make it there with lab\.make"
    ):
        reach(NETWORKS).student.use(torch.nn.LSTM(2, 2), torch.ones(1, 2))


def test_a_sequential_with_such_a_module_must_be_made_there_too(reach):
    with pytest.raises(TypeError, match=r"of the test cannot cross: make it there with lab\.make"):
        reach(NETWORKS).student.use(torch.nn.Sequential(torch.nn.LSTM(2, 2)), torch.ones(1, 2))


# -- exceptions ------------------------------------------------------------------------------------

ERRORS = """
    class Odd(ValueError): pass
    class Unreadable(Exception):
        def __str__(self): raise RuntimeError("no")
    class Mine(BaseException): pass
    def outer(x):
        return inner(x)
    def inner(x):
        return {}[x]
    def odd(): raise Odd("gamma is odd")
    def unreadable(): raise Unreadable
    def leave(how): raise how_to[how]
    how_to = {
        "exit": SystemExit(0),
        "interrupt": KeyboardInterrupt(),
        "mine": Mine("x"),
        "file": FileNotFoundError(2, "gone"),
    }
    def todo(): raise NotImplementedError("TODO(part): write this")
    def long(): raise ValueError("x" * 100_000)
    def deep(n): return deep(n + 1)
    def alive(): return True
    def skip():
        import pytest
        pytest.skip("not today")
"""


def raised(call, *args) -> StudentError:
    with pytest.raises(StudentError) as info:
        call(*args)
    return info.value


def test_an_exception_crosses_as_what_it_is_with_the_student_s_own_lines(reach):
    student = reach(ERRORS).student
    with pytest.raises(KeyError) as info:
        student.outer("zz")
    error = info.value
    assert (error.kind, error.message) == ("KeyError", "'zz'")
    assert [(f.file, f.function, f.text) for f in error.frames] == [
        ("work.py", "outer", "return inner(x)"), ("work.py", "inner", "return {}[x]"),
    ]  # fmt: skip
    assert error.story() == (
        "KeyError: 'zz'\n  work.py:7 in outer\n    return inner(x)\n"
        "  work.py:9 in inner\n    return {}[x]"
    )


def test_a_student_s_own_exception_is_also_the_builtin_one_it_derives_from(reach):
    with pytest.raises(ValueError, match="Odd: gamma is odd") as info:
        reach(ERRORS).student.odd()
    assert info.value.kind == "Odd"


def test_not_written_yet_is_a_not_implemented_error(reach):
    with pytest.raises(NotImplementedError, match=re.escape("TODO(part): write this")):
        reach(ERRORS).student.todo()


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("exit", "SystemExit"),
        ("interrupt", "KeyboardInterrupt"),
        ("mine", "Mine"),
        ("file", "FileNotFoundError"),
    ],
)
def test_no_exception_of_the_student_s_steers_the_test_run(reach, how, kind):
    student = reach(ERRORS).student
    error = raised(student.leave, how)
    assert error.kind == kind and not isinstance(error, (SystemExit, KeyboardInterrupt, OSError))
    assert student.alive() is True


def test_a_student_cannot_skip_a_test(in_process):
    assert raised(in_process(ERRORS).student.skip).kind == "Skipped"


def test_an_exception_that_cannot_be_read_is_still_one(reach):
    error = raised(reach(ERRORS).student.unreadable)
    assert (error.kind, error.message) == ("Unreadable", "(its message could not be read)")


def test_messages_and_tracebacks_are_cut_to_a_readable_length(reach):
    student = reach(ERRORS).student
    assert len(raised(student.long).message) == 2000
    error = raised(student.deep, 0)
    assert isinstance(error, RecursionError) and len(error.frames) == 12


def test_a_message_that_is_no_text_is_still_a_message(reach):
    error = raised(reach("def f(): raise ValueError('half \\ud800')\n").student.f)
    assert (error.kind, error.message) == ("ValueError", "half \\ud800")


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("x = 1\n\ndef f(:\n    pass\n", "SyntaxError", 3),
        ("import math\nx = math.nothing\n", "AttributeError", 2),
        ("from nowhere import x\n", "ModuleNotFoundError", 1),
        ("raise SystemExit(0)\n", "SystemExit", 1),
    ],
)
def test_a_file_that_cannot_be_imported_fails_each_test_with_its_line(reach, text, kind, line):
    error = raised(lambda: reach(text).student.f())
    assert error.kind == kind and [frame.line for frame in error.frames] == [line]


@pytest.mark.parametrize("data", [b"# caf\xe9\n", b"# coding: nonsense\n", b"x = 'a\0b'\n"])
def test_a_file_that_is_no_text_fails_each_test(server, data):
    with pytest.raises(StudentError) as info:
        server.candidate({"work.py": data}, "work.py", Limits()).open(lambda event: None, None)
    assert info.value.kind == "SyntaxError" and "work" not in info.value.message


def test_an_encoding_that_is_declared_is_respected(server):
    text = b"# coding: latin-1\nname = 'caf\xe9'\n"
    bridge = server.candidate({"work.py": text}, "work.py", Limits()).open(lambda event: None, None)
    assert bridge.student.name == "caf\u00e9"
    bridge.close()


def test_files_beside_the_main_one_can_be_imported(server):
    files = {
        "work.py": b"import helper\nfrom package import part\nfrom package.deep import value\n\n"
        b"def f(): return helper.one + part.two + value\n",
        "helper.py": b"one = 1\n",
        "package/__init__.py": b"",
        "package/part.py": b"two = 2\n",
        "package/deep.py": b"from . import part\nvalue = part.two\n",
    }  # fmt: skip
    for _ in range(2):  # from the files, then from what the first worker compiled
        bridge = server.candidate(files, "work.py", Limits()).open(lambda event: None, None)
        assert bridge.student.f() == 5
        bridge.close()


# -- handles ---------------------------------------------------------------------------------------

OBJECTS = """
    asked = []

    class Meta(type):
        def __eq__(cls, other): return True
        __hash__ = type.__hash__

    class Cheat(metaclass=Meta):
        def __eq__(self, other): asked.append("eq"); return True
        __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = __eq__
        def __hash__(self): asked.append("hash"); return 1
        def __bool__(self): asked.append("bool"); return False
        def __float__(self): asked.append("float"); return 1.0
        def __int__(self): asked.append("int"); return 1
        __index__ = __int__
        def __add__(self, other): asked.append("add"); return 1.0
        __radd__ = __sub__ = __rsub__ = __mul__ = __neg__ = __abs__ = __add__
        def __array__(self, *args, **kwargs):
            asked.append("array"); import numpy; return numpy.ones(3)
        def __str__(self): asked.append("str"); return "1.0"
        __repr__ = __format__ = __str__

    class Counter:
        start = 10
        def __init__(self, values): self.values = values; self.total = 0
        def add(self, amount=1): self.total += amount; return self
        def __getitem__(self, key): return self.values[key]
        def __setitem__(self, key, value): self.values[key] = value
        def __len__(self): return len(self.values)
        def __iter__(self): return iter(self.values)
        def __call__(self, x, *, power=1): return x ** power

    class Endless:
        def __len__(self): return -1

    def numbers():
        yield 1
        yield [2.0]
        raise RuntimeError("no more")

    def ask(): return asked
    def is_same(x, y): return x is y
    def total_of(counter): return counter.total
    setting = 1
    def read_setting(): return setting
"""


@pytest.fixture
def cheat(reach):
    reached = reach(OBJECTS)
    yield reached.student.Cheat()
    # Whatever the test did, the student's object was never asked.
    assert reached.student.ask() == []


@pytest.mark.parametrize("other", [1.0, None, "x", (), Fields()], ids=repr)
def test_equality_never_asks_the_student_s_object(cheat, other):
    assert (cheat == other) is False and (other == cheat) is False
    assert (cheat != other) is True and (other != cheat) is True


def test_equality_with_an_array_or_tensor_never_asks_the_student_s_object(cheat):
    assert not np.any(np.ones(3) == cheat)
    assert not np.any(cheat == np.ones(3))
    assert not np.any(torch.ones(3) == cheat)


def test_truth_order_membership_and_hash_never_ask_the_student_s_object(cheat):
    assert bool(cheat) is True
    assert hash(cheat) != 1 and {cheat: 1}[cheat] == 1
    for compare in (
        lambda: cheat < 1,
        lambda: cheat >= 1,
        lambda: cheat < 1,
        lambda: max(cheat, 1),
    ):
        with pytest.raises(TypeError):
            compare()
    with pytest.raises((TypeError, StudentError)):
        assert 1 in cheat
    assert cheat not in [1, "x"] and 1 not in [cheat]


def test_conversions_and_arithmetic_never_ask_the_student_s_object(cheat):
    for convert in (
        float,
        int,
        complex,
        abs,
        math.sqrt,
        lambda x: x + 1,
        lambda x: 1 - x,
        lambda x: [0, 1][x],
        lambda x: -x,
    ):
        with pytest.raises(TypeError):
            convert(cheat)
    assert np.asarray(cheat).dtype == object
    assert repr(cheat) == str(cheat) == f"{cheat}" == "<the student's Cheat>"


def test_a_handle_is_equal_to_a_handle_to_the_same_object_alone(reach):
    student = reach(OBJECTS).student
    one, other = student.Counter([1]), student.Counter([1])
    assert one == one.add() and one != other
    assert student != reach(OBJECTS).student


def test_attributes_items_length_and_iteration_are_forwarded(reach):
    student = reach(OBJECTS).student
    counter = student.Counter([1, 2, 3])
    assert counter.total == 0 and counter.start == 10
    counter.total = 5
    counter[0] = 9
    assert counter.add(2).total == 7 and counter[0] == 9 and counter[1:] == [2, 3]
    assert len(counter) == 3 and list(counter) == [9, 2, 3]
    assert counter(2.0, power=3) == 8.0
    assert isinstance(counter, Remote) and student.total_of(counter) == 7


def test_an_object_keeps_its_identity_there(reach):
    student = reach(OBJECTS).student
    counter = student.Counter([])
    assert student.is_same(counter, counter.add()) is True
    assert student.is_same(counter, student.Counter([])) is False


def test_generators_are_stepped_through_and_end_with_their_error(reach):
    seen = []
    with pytest.raises(RuntimeError, match="no more"):
        for item in reach(OBJECTS).student.numbers():
            seen.append(item)
    assert seen == [1, [2.0]]


def test_names_of_the_module_can_be_set(reach):
    student = reach(OBJECTS).student
    student.setting = [1, 2]
    assert student.read_setting() == [1, 2]


def test_what_is_not_there_is_the_error_of_the_student_s_side(reach):
    student = reach(OBJECTS).student
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        student.nothing  # noqa: B018
    with pytest.raises(IndexError):
        student.Counter([])[0]
    with pytest.raises(ValueError, match="should return >= 0"):
        len(student.Endless())
    assert not hasattr(student, "nothing") and not hasattr(student.Counter([]), "__array__")


# -- the laboratory --------------------------------------------------------------------------------

STORAGE = """
    import random
    import numpy as np
    import torch

    class Buffer:
        def __init__(self): self.data = np.zeros(4)
        def view(self): return self.data[:2]
        def copy(self): return self.data.copy()

    def shares(x, y): return np.shares_memory(x, y)
    def layer_shape(layer): return tuple(layer.weight.shape)
    def draw(): return random.random(), np.random.rand(), torch.rand(1).item()
    def still(): return 1
    def watch(env): return env.reset(3), env.step(1), env.limit
    def peek(env): return env.secret
    def call(f, x): return f(x) + 1
    def catch(f):
        try: f()
        except KeyError as error: return "KeyError", str(error)
    def flood(f):
        for _ in range(100): f()
    def give_back(env): return env
    def later(f):
        global kept
        kept = f
"""


def test_what_is_kept_stays_there_and_shows_what_is_shared(reach):
    reached = reach(STORAGE)
    buffer = reached.student.Buffer()
    assert isinstance(buffer.view(), np.ndarray)
    kept = reached.lab.kept(buffer)
    view, copied, data = kept.view(), kept.copy(), kept.data
    assert all(isinstance(thing, Remote) for thing in (view, copied, data))
    assert reached.student.shares(view, data) is True
    assert reached.student.shares(copied, data) is False
    assert same(reached.lab.value(view), np.zeros(2))
    assert isinstance(kept.view().dtype, Remote)  # and so on, from one to the next


def test_numbers_and_strings_cross_even_from_what_is_kept(reach):
    reached = reach(STORAGE)
    kept = reached.lab.kept(reached.student.Buffer())
    assert kept.view().size == 2
    assert reached.lab.kept(reached.student.still)() == 1


def test_keeping_takes_a_handle_and_valuing_takes_anything(reach):
    reached = reach(STORAGE)
    with pytest.raises(TypeError, match=r"lab\.kept takes a handle"):
        reached.lab.kept(1.0)
    assert reached.lab.value([1.0]) == [1.0]


def test_library_objects_are_made_there(reach):
    reached = reach(STORAGE)
    layer = reached.lab.make("torch.nn.Linear", 4, 2, bias=False)
    assert isinstance(layer, Remote) and repr(layer) == "<the student's Linear>"
    assert reached.student.layer_shape(layer) == (2, 4)
    made = reached.lab.make("numpy.zeros", 3)
    assert isinstance(made, Remote) and same(reached.lab.value(made), np.zeros(3))


def test_a_learning_curve_is_thinned_and_the_first_one_counts(in_process):
    lab = in_process("x = 1").lab
    assert lab.recorded == ()
    lab.curve(np.arange(1000.0))
    assert len(lab.recorded) == 200 and lab.recorded[0] == 2.0 and lab.recorded[-1] == 997.0
    lab.curve([1.0])
    assert len(lab.recorded) == 200


@pytest.mark.parametrize(
    ("values", "kept"),
    [([1, 2.5], (1.0, 2.5)), ([], ()), ([float("nan"), 3, float("inf")], (3.0,))],
)
def test_a_short_or_odd_learning_curve_is_kept_as_far_as_it_is_numbers(in_process, values, kept):
    lab = in_process("x = 1").lab
    lab.curve(values)
    assert lab.recorded == kept


def test_the_global_generators_there_can_be_seeded_and_watched(reach):
    reached = reach(STORAGE)
    reached.lab.seed(5)
    state = reached.lab.global_rng_state()
    reached.student.still()
    assert reached.lab.global_rng_state() == state
    first = reached.student.draw()
    assert reached.lab.global_rng_state() != state
    reached.lab.seed(5)
    assert reached.lab.global_rng_state() == state
    assert reached.student.draw() == first
    reached.lab.seed(6)
    assert reached.student.draw() != first


@pytest.mark.parametrize("call", ["random.random()", "np.random.rand()", "torch.rand(1)"])
def test_every_global_generator_is_watched(reach, call):
    reached = reach(f"import random, torch, numpy as np\ndef f(): {call}\n")
    before = reached.lab.global_rng_state()
    reached.student.f()
    assert reached.lab.global_rng_state() != before


class Env:
    """What a test lends: two methods and a number."""

    def __init__(self):
        self.limit, self.secret, self.steps = 7, "hidden", []

    def reset(self, seed):
        return np.full(2, seed)

    def step(self, action):
        self.steps.append(action)
        return action * 2, {"done": False}

    def hidden(self):
        return self.secret


def test_a_lent_object_offers_its_listed_methods_and_data(reach):
    reached, env = reach(STORAGE), Env()
    lent = reached.lab.expose(env, "reset", "step", data=("limit",))
    state, step, limit = reached.student.watch(lent)
    assert state.tolist() == [3, 3] and step == (2, {"done": False}) and limit == 7
    assert env.steps == [1]
    with pytest.raises(AttributeError):
        reached.student.peek(lent)
    assert reached.student.give_back(lent) is env


def test_a_method_that_was_not_lent_cannot_be_called(reach):
    reached = reach("def g(env): return env._worker.call_back(env._loan.id, 'hidden', (), {})\n")
    with pytest.raises(StudentError, match="a call of a method that was not lent"):
        reached.student.g(reached.lab.expose(Env(), "step"))


def test_a_loan_that_was_never_made_cannot_be_called(reach):
    reached = reach("def g(env): return env._worker.call_back(99, 'step', (), {})\n")
    with pytest.raises(StudentError, match="the student's process asked for"):
        reached.student.g(reached.lab.expose(Env(), "step"))


def test_functions_of_the_test_can_be_given_as_they_are(reach):
    seen = []
    student = reach(STORAGE).student
    assert student.call(lambda x: seen.append(x) or x * 10, 4) == 41
    assert seen == [4]


def test_an_error_of_a_lent_function_reaches_the_student(reach):
    assert reach(STORAGE).student.catch(lambda: {}["key"]) == ("KeyError", "\"'key'\"")


def test_a_check_in_a_lent_function_is_neither_read_nor_swallowed(reach):
    reached, seen = (
        reach("""
        def g(f):
            try: f(3.0)
            except AssertionError as error: return str(error)
        def h(): return 1
        """),
        [],
    )

    def check(value):
        seen.append(value)
        assert_close(value, 31.4159, what="what comes")

    with pytest.raises(CheckFailure, match=r"31\.4159"):
        reached.student.g(check)
    assert seen == [3.0]
    with pytest.raises(CheckFailure):  # whatever comes later: this test has failed
        reached.student.h()
    assert not any("31" in str(answer) for answer in reached.answers)


def test_what_a_library_asserts_of_its_arguments_is_the_student_s_to_handle(reach):
    text = "def g(f):\n    try: f('x')\n    except AssertionError as error: return 'handled'\n"

    def library(value):
        exec(compile("assert value == 3, 'no such action'", "library.py", "exec"), {"value": value})

    assert reach(text).student.g(library) == "handled"


def test_what_the_student_reads_of_a_check_says_nothing(reach):
    reached, read = (
        reach("""
        def g(check, tell):
            try: check(3.0)
            except AssertionError as error: tell(str(error))
        """),
        [],
    )
    with pytest.raises(CheckFailure):
        reached.student.g(lambda value: assert_close(value, 31.4159), read.append)
    assert read == ["the test has seen enough"]


@pytest.mark.parametrize(
    "use",
    [
        len,
        lambda thing: list(thing),
        repr,
        lambda thing: thing.n,
        lambda thing: thing[0],
        lambda thing: np.asarray(thing).ndim,
    ],
    ids=["len", "list", "repr", "attribute", "item", "asarray"],
)
def test_a_handle_that_is_used_while_its_owner_waits_asks_nothing(reach, use):
    reached = reach("""
        class Thing:
            n = 3
            def __len__(self): return 2
            def __getitem__(self, key): return 1.0
            def __iter__(self): return iter([1.0, 2.0])
        def g(f):
            try: f(Thing())
            except RuntimeError as error: return str(error)
            return "nothing"
        """)
    assert reached.student.g(use) in (
        "nothing",
        "no request: an object of the student's was used while they waited",
    )
    assert reached.student.g(lambda thing: 1) == "nothing"


def test_a_lent_function_cannot_be_called_without_end(reach, monkeypatch):
    monkeypatch.setattr(loans, "MAX_CALLBACKS", 50)
    with pytest.raises(StudentError, match="more than 50 calls of lent objects in one test"):
        reach(STORAGE).student.flood(lambda: 1)


def test_data_of_a_lent_object_must_be_plain(reach):
    reached, env = reach(STORAGE), Env()
    env.limit = np.ones(2)
    with pytest.raises(TypeError, match="data of a lent object must be plain"):
        reached.student.watch(reached.lab.expose(env, data=("limit",)))


# -- what is recorded ------------------------------------------------------------------------------


def test_every_answer_is_recorded_for_the_diagnosis(reach):
    reached = reach("def f(x): return x + 1\ndef g(x): x.append(1)\ndef h(): raise KeyError('a')\n")
    reached.student.f(1)
    reached.student.g([])
    raised(reached.student.h)
    kinds = [
        event
        for event in reached.answers
        if not (event[0] == "ok" and isinstance(event[1], Remote))
    ]
    assert kinds == [("ok", 2, []), ("ok", None, [(0, [1])]), ("raise", "KeyError")]


# -- prints, limits and endings (the wall alone) ---------------------------------------------------


def test_what_the_student_prints_is_kept(behind_the_wall):
    reached = behind_the_wall("""
        import os, sys
        print("while importing")
        def speak():
            print("one", flush=False)
            print("two", file=sys.stderr)
            os.write(1, b"three\\n")
            print("h\u00e9")
    """)
    reached.student.speak()
    reached.bridge.close()
    assert reached.bridge.prints().splitlines()[:1] == ["while importing"]
    assert set(reached.bridge.prints().splitlines()) == {
        "while importing",
        "one",
        "two",
        "three",
        "h\u00e9",
    }


def test_a_print_without_a_line_end_is_kept_too(behind_the_wall):
    reached = behind_the_wall("def speak(): print('almost', end=' ')\n")
    reached.student.speak()
    reached.bridge.close()
    assert reached.bridge.prints() == "almost "


def test_prints_are_cut_and_what_is_lost_is_counted(behind_the_wall):
    reached = behind_the_wall(
        "def speak(n):\n    for _ in range(n): print('x' * 1023)\n", prints_kib=2
    )
    reached.student.speak(500)
    reached.bridge.close()
    text = reached.bridge.prints()
    assert text.startswith("x" * 1023 + "\n") and text.endswith(
        f"\n... and {500 * 1024 - 2048} bytes more"
    )
    assert len(text) < 2048 + 100


def test_what_was_printed_before_a_crash_is_kept(behind_the_wall):
    reached = behind_the_wall("import os\ndef f():\n    print('almost there')\n    os.abort()\n")
    assert isinstance(raised(reached.student.f), StudentDied)
    reached.bridge.close()
    assert reached.bridge.prints().startswith("almost there\n")


def test_computing_without_end_is_ended(behind_the_wall):
    reached = behind_the_wall("def f():\n    while True: pass\n", call_seconds=1)
    error = raised(reached.student.f)
    assert isinstance(error, StudentTimeout)
    assert (
        str(error) == "Timeout: more than 1 seconds of computing in one test; the process was ended"
    )


def test_waiting_without_end_is_ended(behind_the_wall):
    reached = behind_the_wall("import time\ndef f(): time.sleep(100)\n", test_seconds=0.3)
    error = raised(reached.student.f)
    assert isinstance(error, StudentTimeout)
    assert str(error) == "Timeout: no answer within 0.3 seconds of waiting; the process was ended"


def test_a_signal_handler_does_not_buy_time(behind_the_wall):
    reached = behind_the_wall(
        """
        import signal
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        def f():
            while True: pass
    """,
        call_seconds=1,
    )
    assert isinstance(raised(reached.student.f), StudentTimeout)


def test_an_import_without_end_is_met_twice_and_then_remembered(server):
    candidate = server.candidate(
        {"work.py": b"import time\ntime.sleep(100)\n"}, "work.py", Limits(test_seconds=0.3)
    )
    errors = []
    for _ in range(4):
        with pytest.raises(StudentTimeout) as info:
            candidate.open(lambda event: None, None)
        errors.append(info.value)
    assert errors[2] is errors[3] is errors[1] is not errors[0]


def test_memory_beyond_the_limit_is_a_memory_error_with_the_student_s_line(behind_the_wall):
    reached = behind_the_wall(
        "import numpy as np\ndef f(n):\n    return np.ones(n << 17).size\n", memory_mib=128
    )
    assert reached.student.f(32) == 32 << 17
    error = raised(reached.student.f, 256)
    assert isinstance(error, MemoryError) and error.frames[-1].line == 3
    assert reached.student.f(32) == 32 << 17


@pytest.mark.parametrize(
    ("ending", "how"),
    [
        ("os._exit(0)", "exit code 0"),
        ("os._exit(3)", "exit code 3"),
        ("os._exit(70)", "exit code 70"),
        ("os.abort()", "killed by SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("ctypes.string_at(0)", "killed by SIGSEGV"),
        ("signal.raise_signal(40)", "killed by signal 40"),
    ],
)
def test_a_process_that_ends_fails_its_test_and_says_how(behind_the_wall, ending, how):
    reached = behind_the_wall(f"import ctypes, os, signal\ndef f(): {ending}\ndef g(): return 1\n")
    error = raised(reached.student.f)
    assert isinstance(error, StudentDied)
    assert str(error) == f"Ended: the process ended in the middle of a call ({how})"
    assert raised(reached.student.g) is error  # nothing more is heard of it


def test_how_a_process_ended_is_heard_even_when_the_server_closed_its_end_first():
    conversation, theirs = socket.socketpair()
    status, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    prints, other_end = os.pipe()
    channel = ProcessChannel(conversation, prints, status, Limits())
    stream.Stream(theirs).send(stream.READY, codec.pack(None, []))
    server.send(msgpack.packb(["ended", 3, 0.1]))
    status.send(b"end")  # never read by the server
    for end in (server, theirs):
        end.close()
    os.close(other_end)
    with pytest.raises(StudentDied, match="exit code 3"):
        channel.request(codec.pack([1, "get", None, False, False, []], []), lambda message: b"")
    channel.close()


def test_an_answer_that_is_none_is_refused(behind_the_wall):
    reached = behind_the_wall("""
        import os
        def f(kind):
            for fd in range(3, 64):
                noise = {"noise": b"A" * 64, "short": b"", "other": b"A" + bytes(8)}
                try: os.write(fd, noise[kind])
                except OSError: pass
            return 1
    """)
    assert isinstance(raised(reached.student.f, "noise"), StudentMisuse)


def test_every_bridge_has_a_fresh_worker(server):
    text = (
        b"import os\nstate = []\n"
        b"def f(): state.append(1); return len(state), os.getpid(), os.getuid()\n"
    )
    candidate = server.candidate({"work.py": text}, "work.py", Limits())
    first, second = (candidate.open(lambda event: None, None) for _ in range(2))
    (one, pid, uid), (again, other_pid, other_uid) = first.student.f(), second.student.f()
    assert (one, again) == (1, 1) and pid != other_pid and uid != other_uid
    assert first.student.f()[0] == 2
    first.close(), second.close()


def test_a_signal_that_asks_us_to_end_is_no_answer_of_a_student(in_process):
    reached = in_process(
        """
        from autograder.errors import Stopped

        def work():
            raise Stopped(15)
        """
    )
    with pytest.raises(Stopped):
        reached.student.work()
