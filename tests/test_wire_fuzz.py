"""The codec under fire: whatever is encoded comes back as it was.

Whatever is decoded raises WireError or nothing.
"""

from __future__ import annotations

import collections
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from autograder.isolation import codec
from autograder.isolation.codec.limits import NUMPY_DTYPES, TORCH_DTYPES

FUZZ = Path(__file__).parent / "attacks" / "fuzz.py"
Pair = collections.namedtuple("Pair", "left right")

relaxed = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


# -- what may cross --------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
integers = (
    st.integers()
    | st.integers(-(2**70), 2**70)
    | st.just(10**300)
    | st.just(-(2**63))
    | st.just(2**64)
)
scalars = st.none() | st.booleans() | integers | st.floats() | texts | st.complex_numbers()
shapes = st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
keys = st.integers(-9, 9) | texts | st.booleans() | st.tuples(st.integers(0, 3), texts)


@st.composite
def arrays(draw):
    """Arrays of every dtype that may cross: any order of axes, gaps or none, any bytes."""
    dtype = np.dtype(draw(st.sampled_from(sorted(NUMPY_DTYPES))))
    shape = draw(shapes)
    count = math.prod(shape)
    raw = draw(st.binary(min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
    array = np.frombuffer(raw, dtype).reshape(shape).copy()
    if dtype.kind == "b":
        array = array.astype("u1").astype(bool)
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    return array[..., ::2] if array.ndim and draw(st.booleans()) else array


@st.composite
def tensors(draw):
    """Tensors of every dtype that may cross, with and without a gradient."""
    dtype = getattr(torch, draw(st.sampled_from(sorted(TORCH_DTYPES))))
    numbers = draw(st.lists(st.integers(0, 100), min_size=24, max_size=24))
    tensor = (
        torch.tensor(numbers)
        .to(dtype)
        .reshape(draw(st.sampled_from([(24,), (2, 3, 4), (4, 6), (1, 24, 1)])))
    )
    tensor = (
        tensor.permute(*draw(st.permutations(range(tensor.ndim))))
        if draw(st.booleans())
        else tensor[:1]
    )
    if dtype.is_floating_point and draw(st.booleans()):
        tensor = tensor.clone().requires_grad_()
    return tensor


leaves = (
    scalars
    | st.binary(max_size=30)
    | arrays()
    | tensors()
    | st.slices(9)
    | st.just(...)
    | st.builds(range, st.integers(-9, 99))
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=4)
        | st.builds(Pair, inner, inner)
        | st.builds(lambda one, other: codec.Fields(one=one, other=other), inner, inner)
        | st.frozensets(keys, max_size=4)
        | st.sets(keys, max_size=4)
    ),
    max_leaves=12,
)


def crossed(value):
    """The value after a journey as bytes."""
    encoder = codec.Encoder()
    header, buffers = codec.unpack(codec.pack(encoder.encode(value), encoder.buffers))
    return codec.Decoder(buffers).decode(header)


def same(one, other) -> bool:
    """Alike in type, shape, dtype, order of axes in memory and every bit."""
    if isinstance(one, torch.Tensor):
        facts = all(
            getattr(one, name) == getattr(other, name)
            for name in ("dtype", "shape", "requires_grad")
        )
        return facts and torch.equal(one.detach(), other.detach())
    if isinstance(one, np.ndarray):
        order = not one.flags.forc or (one.flags.c_contiguous, one.flags.f_contiguous) == (
            other.flags.c_contiguous,
            other.flags.f_contiguous,
        )
        return (one.dtype, one.shape, one.tobytes()) == (
            other.dtype,
            other.shape,
            other.tobytes(),
        ) and order
    if isinstance(one, codec.Fields):
        return isinstance(other, codec.Fields) and same(vars(one), vars(other))
    if isinstance(one, tuple) and hasattr(one, "_fields"):
        return (
            type(other).__name__ == type(one).__name__
            and other._fields == one._fields
            and same(list(one), list(other))
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, (float, complex)):
        return np.array(one).tobytes() == np.array(other).tobytes() or one != one
    return one == other


@relaxed
@given(values)
def test_what_crosses_comes_back_as_it_was(value):
    assert same(value, crossed(value))


@relaxed
# A float64 is a float, so it is left out.
@given(st.sampled_from(sorted(NUMPY_DTYPES - {"<f8", ">f8"})), st.binary(min_size=16, max_size=16))
def test_numpy_scalars_keep_their_dtype_and_bits(dtype, raw):
    scalar = np.frombuffer(raw, dtype)[0]
    back = crossed(scalar)
    assert back.dtype == scalar.dtype and back.tobytes() == scalar.tobytes()


@relaxed
@given(
    st.sampled_from(["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]),
    st.integers(0, 2**32),
    st.integers(0, 700),
)
def test_generators_go_on_where_they_were(name, seed, draws):
    generator = np.random.Generator(getattr(np.random, name)(seed))
    generator.integers(2**16, size=draws, dtype=np.uint16)
    assert crossed(generator).normal(size=5).tolist() == generator.normal(size=5).tolist()


# -- what may not ----------------------------------------------------------------------------------


@relaxed
@given(st.binary(max_size=400))
def test_noise_is_a_wire_error(noise):
    with pytest.raises(codec.WireError):
        codec.unpack(noise)
        raise codec.WireError("noise that happens to be a message")


nodes = st.recursive(
    scalars
    | st.sampled_from(
        [
            "l",
            "a",
            "T",
            "n",
            "D",
            "d",
            "s",
            "g",
            "i",
            "rg",
            "b",
            "o",
            "h",
            "k",
            "x",
            "u8",
            "<f8",
            "float64",
        ]
    ),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=25,
)


@relaxed
@given(nodes, st.lists(st.binary(max_size=40), max_size=3))
def test_random_nodes_raise_wire_errors_only(node, buffers):
    try:
        codec.Decoder(buffers, lambda tag, fields, decoder: tag, [].__getitem__).decode(node)
    except codec.WireError:
        pass


def test_a_hostile_message_costs_no_more_memory_than_it_brings():
    """20,000 mutated messages in a separate process, which also says what memory they took."""
    done = subprocess.run(
        [sys.executable, str(FUZZ), "--count", "20000"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "20000 messages" in done.stdout
