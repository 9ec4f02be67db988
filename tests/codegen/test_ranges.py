"""What the types and constants of a map's body say of its values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from codegen.build import build, generated, lowered
from codegen.nets import Net
from hypothesis import given
from hypothesis import strategies as st

from bitc.codegen import TARGETS
from bitc.codegen.ranges import fits_int32, ranges
from bitc.ir import DType, Graph, Value, evaluate

PORTABLE = TARGETS["portable"]
COUNT = 9


def requantized(scale: float, dtype: DType = DType.I32) -> Graph:
    """Numbers times ``scale``, rounded, plus 3, as u8."""
    n = Net(0)
    x = n.input(1, COUNT, dtype=dtype)
    number = n.b.add("nn.cast", x, to=DType.F32) if dtype is not DType.F32 else x
    whole = n.b.add("nn.round", n.b.add("nn.mul", number, n.b.constant(np.full((1, COUNT), scale, np.float32))))
    shifted = n.b.add("nn.add", whole, n.b.constant(np.float32(3)))
    return n.graph(n.b.add("nn.saturate", shifted, to=DType.U8, lo=0, hi=200))


@pytest.mark.parametrize(
    ("scale", "dtype", "proved"),
    [
        (0.01, DType.I32, True),
        (-0.5, DType.I32, True),
        (1.0, DType.I32, False),  # 2^31 + 3 is no int32
        (3e4, DType.I16, True),
        (3e5, DType.I16, False),
        (np.inf, DType.I8, False),
        (np.nan, DType.I8, False),
        (0.01, DType.F32, False),  # may be NaN
    ],
)
def test_which_clamps_are_of_integers(scale: float, dtype: DType, proved: bool, tmp_path: Path) -> None:
    graph = requantized(scale, dtype)
    k = lowered(graph, PORTABLE)
    made = generated(k, PORTABLE)
    text = "".join(made.files.values())
    assert ("bitc_iclamp((int32_t)" in text) == proved
    if dtype is DType.F32:
        x = np.array([[0, 1, -1, 2.5e4, 1e30, -np.inf, np.inf, np.nan, 19999]], np.float32)
    else:
        limits = np.iinfo(dtype.numpy)
        x = np.linspace(limits.min, limits.max, COUNT).astype(dtype.numpy).reshape(1, COUNT)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(build(made, PORTABLE, tmp_path).run([x])[0], evaluate(graph, [x])[0])


UNARY = ("neg", "relu", "round", "floor", "ceil")
BINARY = ("add", "sub", "mul", "div", "min", "max")


@given(st.data())
def test_no_value_leaves_its_range(data: st.DataObject) -> None:
    n = Net(0)
    values = [n.b.add("nn.cast", n.input(1, COUNT, dtype=t), to=DType.F32) for t in (DType.I8, DType.U16, DType.I32)]
    values.append(n.input(1, COUNT))
    for _ in range(data.draw(st.integers(1, 8))):
        a, b = (data.draw(st.sampled_from(values)) for _ in "ab")
        name = data.draw(st.sampled_from((*UNARY, *BINARY, "where", "constant")))
        match name:
            case "constant":
                values.append(n.b.constant(np.float32(data.draw(st.floats(width=32)))))
            case "where":
                values.append(n.b.add("nn.where", n.b.add("nn.less", a, b), a, b))
            case _:
                values.append(n.b.add(f"nn.{name}", *((a,) if name in UNARY else (a, b))))
    graph = n.graph(*(v for v in values if v.producer is not None and v.producer.name != "nn.constant"))
    known = {value.name: limits for value, limits in ranges(graph).items()}
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    arrays = []
    for value in graph.inputs:
        kind = value.type.dtype.numpy  # type: ignore[union-attr]
        arrays.append(
            rng.normal(0, 1e4, value.shape).astype(kind)
            if np.issubdtype(kind, np.floating)
            else rng.integers(np.iinfo(kind).min, np.iinfo(kind).max, value.shape, kind, endpoint=True)
        )
    seen = {}

    def observe(value: Value, array: np.ndarray) -> None:
        seen[value.name] = array

    with np.errstate(all="ignore"):
        evaluate(graph, arrays, observe)
    for name, (low, high) in known.items():
        if name in seen:
            assert np.all((seen[name] >= low) & (seen[name] <= high))


def test_int32_ends_below_two_to_the_31() -> None:
    assert fits_int32((-(2.0**31), 2.0**31 - 128))
    assert not fits_int32((0, 2.0**31))
    assert not fits_int32(None)
