"""Elementwise ops in C against their NumPy meaning, dtype by dtype, on values at the edges."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from codegen.build import build, generated, lowered
from codegen.nets import Net

from bitc.codegen import TARGETS
from bitc.codegen.expressions import cast
from bitc.errors import UnsupportedError
from bitc.ir import Builder, DType, Graph, TensorType, Value, evaluate

PORTABLE = TARGETS["portable"]
FLOATS = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, -7.25, 1e-40, 1e30, -1e30, np.inf, -np.inf, np.nan, 8388609.0]
WHOLE = [0, 1, -1, 2, -2, 7, 100, -100, 127, -128, 2**31 - 1, -(2**31), 2**40, -(2**63), 2**63 - 1, 255]
UNARY = ["sign", "abs", "neg", "relu", "floor", "ceil", "round"]
FLOAT_UNARY = ["sqrt", "reciprocal"]
BINARY = ["add", "sub", "mul", "div", "min", "max"]
COMPARE = ["greater", "greater_equal", "less", "less_equal", "equal"]
LIBM = ["exp", "log", "tanh", "sigmoid", "erf", "sin", "cos", "tan", "atan", "sinh", "cosh", "asinh"]
SIGNED = [DType.I8, DType.I16, DType.I32, DType.I64]


def pairs(dtype: DType) -> list[np.ndarray]:
    """All pairs of edge values of ``dtype``."""
    if dtype.is_float:
        edge = np.array(FLOATS, dtype.numpy)
    else:
        limits = np.iinfo(dtype.numpy)
        edge = np.array(sorted({min(max(v, limits.min), limits.max) for v in WHOLE}), dtype.numpy)
    a, b = np.meshgrid(edge, edge, indexing="ij")
    return [a.reshape(1, -1), b.reshape(1, -1)]


def ops_of(n: Net, dtype: DType, count: int) -> list[Value]:
    """Each elementwise op on two inputs of ``dtype``, also with a constant beside an input."""
    a, b = n.input(1, count, dtype=dtype), n.input(1, count, dtype=dtype)
    two = n.b.constant(np.asarray(2, dtype.numpy))
    values = [n.b.add(f"nn.{name}", a) for name in (*UNARY, *(FLOAT_UNARY if dtype.is_float else ()))]
    values += [n.b.add(f"nn.{name}", a, b) for name in (*BINARY, *COMPARE)]
    values += [n.b.add(f"nn.{name}", a, two) for name in ("min", "max")] + [n.b.add("nn.max", two, a)]
    flag, other = n.b.add("nn.less", a, b), n.b.add("nn.not", n.b.add("nn.equal", a, b))
    values += [n.b.add(f"nn.{name}", flag, other) for name in ("and", "or", "xor")]
    values += [n.b.add("nn.where", flag, a, b), n.b.add("nn.prelu", a, b), n.b.add("nn.cast", flag, to=dtype)]
    return values


def run(graph: Graph, inputs: list[np.ndarray], folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the C gives and what the interpreter gives."""
    k = lowered(graph, PORTABLE)
    with np.errstate(all="ignore"):
        return build(generated(k, PORTABLE), PORTABLE, folder).run(inputs), evaluate(graph, inputs)


@pytest.mark.parametrize("dtype", [DType.F32, DType.F64, *SIGNED, DType.U8, DType.U32])
def test_every_op_in_every_dtype(dtype: DType, tmp_path: Path) -> None:
    n = Net(0)
    inputs = pairs(dtype)
    outputs = ops_of(n, dtype, inputs[0].size)
    got, wanted = run(n.graph(*outputs), inputs, tmp_path)
    for value, a, b in zip(outputs, got, wanted, strict=True):
        np.testing.assert_array_equal(a, b if dtype.is_float else whole(value, inputs, b), err_msg=str(value.producer))


def whole(value: Value, inputs: list[np.ndarray], evaluated: np.ndarray) -> np.ndarray:
    """What an integer op must give where NumPy goes through floats (rounding) or overflows at the least value (division)."""
    assert value.producer is not None
    if value.producer.name in ("nn.floor", "nn.ceil", "nn.round"):
        return inputs[0]
    if value.producer.name != "nn.div":
        return evaluated
    dtype = inputs[0].dtype
    quotients = [
        0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        for a, b in zip(*(x.ravel().tolist() for x in inputs), strict=True)
    ]
    bits = 8 * dtype.itemsize
    wrapped = [(q + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1) if dtype.kind == "i" else q for q in quotients]
    return np.array(wrapped, dtype).reshape(inputs[0].shape)


def test_multiply_add_rounds_once(tmp_path: Path) -> None:
    n = Net(0)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((1, 4096)).astype(np.float32) for _ in range(3)]
    inputs[2][0, :2048] = -inputs[0][0, :2048] * inputs[1][0, :2048]  # what is left is the product's own rounding
    got, wanted = run(n.graph(n.b.add("nn.fma", *(n.input(1, 4096) for _ in inputs))), inputs, tmp_path)
    np.testing.assert_array_equal(got[0], wanted[0])
    assert (got[0] != inputs[0] * inputs[1] + inputs[2]).sum() > 2000


def test_casts_between_all_dtypes(tmp_path: Path) -> None:
    n = Net(0)
    inputs, outputs = [], []
    targets = [DType.F32, DType.F64, *SIGNED, DType.U8, DType.BOOL]
    for source in (DType.F32, *SIGNED, DType.U8):
        edge = np.array([0, 1, 2, 100, 127] if source is DType.U8 else [0, 1, -1, 100, -100, 127, -128], source.numpy)
        inputs.append(edge[np.newaxis])
        x = n.input(1, edge.size, dtype=source)
        outputs += [n.b.add("nn.cast", x, to=to) for to in targets if to is not source]
    got, wanted = run(n.graph(*outputs), inputs, tmp_path)
    for value, a, b in zip(outputs, got, wanted, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=str(value.producer))


def test_floats_outside_an_integer_type_give_its_least_value(tmp_path: Path) -> None:
    n = Net(0)
    x = np.array([[np.nan, np.inf, -np.inf, 3e9, -3e9, 1e19, 2147483520.0, -2147483648.0, -1.9, 1.9]], np.float32)
    a = n.input(*x.shape)
    graph = n.graph(n.b.add("nn.cast", a, to=DType.I32), n.b.add("nn.cast", a, to=DType.I64))
    got, _ = run(graph, [x], tmp_path)
    least = -(2**31)
    assert got[0].tolist() == [[least] * 6 + [2147483520, least, -1, 1]]
    least = -(2**63)
    assert got[1].tolist() == [[least] * 3 + [3_000_000_000, -3_000_000_000, least, 2147483520, -(2**31), -1, 1]]


def test_floats_above_the_signed_range_are_unsigned(tmp_path: Path) -> None:
    n = Net(0)
    x = np.array([[2.0**63, 1e19, 1.8e19, 2.0**64, np.inf, -1.0, -3.5, 7.9, 2.0**62]], np.float32)
    got, _ = run(n.graph(n.b.add("nn.cast", n.input(*x.shape), to=DType.U64)), [x], tmp_path)
    wanted = [int(v) % 2**64 if v < 2**64 else 0 for v in x[0].tolist()]
    assert got[0][0].tolist() == wanted


def test_functions_of_the_math_library_are_close(tmp_path: Path) -> None:
    n = Net(0)
    x = np.linspace(0.01, 9, 999, dtype=np.float32)[np.newaxis] * np.array([[1.0], [0.3]], np.float32)
    a = n.input(*x.shape)
    half = n.const(0.5)
    outputs = [*(n.b.add(f"nn.{name}", a) for name in LIBM), n.b.add("nn.pow", a, half)]
    got, wanted = run(n.graph(*outputs), [x], tmp_path)
    for value, c, b in zip(outputs, got, wanted, strict=True):
        np.testing.assert_array_max_ulp(c, b, maxulp=8)
        assert value.producer is not None


def test_inverse_functions_inside_their_domains(tmp_path: Path) -> None:
    n = Net(0)
    inputs = [np.linspace(-0.99, 0.99, 301, dtype=np.float32), np.linspace(1.01, 90, 301, dtype=np.float32)]
    inside, above = (n.input(1, x.size) for x in inputs)
    outputs = [n.b.add(f"nn.{name}", inside) for name in ("asin", "acos", "atanh")] + [n.b.add("nn.acosh", above)]
    got, wanted = run(n.graph(*outputs), [x[np.newaxis] for x in inputs], tmp_path)
    for c, b in zip(got, wanted, strict=True):
        np.testing.assert_array_max_ulp(c, b, maxulp=8)


@pytest.mark.parametrize("dtype", [DType.F32, DType.F64])
def test_float_remainders_are_exact(dtype: DType, tmp_path: Path) -> None:
    n = Net(0)
    inputs = pairs(dtype)
    a, b = (n.input(*x.shape, dtype=dtype) for x in inputs)
    got, wanted = run(n.graph(n.b.add("nn.fmod", a, b)), inputs, tmp_path)
    np.testing.assert_array_equal(got[0], wanted[0])
    np.testing.assert_array_equal(np.signbit(got[0]), np.signbit(wanted[0]))


UNSIGNED = [DType.U8, DType.U16, DType.U32, DType.U64]


@pytest.mark.parametrize("dtype", [*SIGNED, *UNSIGNED])
def test_bits(dtype: DType, tmp_path: Path) -> None:
    n = Net(0)
    inputs = pairs(dtype)
    a, b = (n.input(*x.shape, dtype=dtype) for x in inputs)
    outputs = [n.b.add(f"nn.bit_{name}", a, b) for name in ("and", "or", "xor")] + [n.b.add("nn.bit_not", a)]
    got, wanted = run(n.graph(*outputs), inputs, tmp_path)
    for c, w in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(c, w, strict=True)


@pytest.mark.parametrize("dtype", UNSIGNED)
def test_shifts_by_any_amount(dtype: DType, tmp_path: Path) -> None:
    """Also by the width and more, where C defines nothing."""
    n = Net(0)
    width = 8 * dtype.bytes
    amounts = np.array([0, 1, width - 1, width, width + 1, 255], dtype.numpy)
    numbers = np.array([0, 1, 0x5A, np.iinfo(dtype.numpy).max], dtype.numpy)
    a, b = (x.reshape(1, -1) for x in np.meshgrid(numbers, amounts, indexing="ij"))
    x, by = n.input(*a.shape, dtype=dtype), n.input(*b.shape, dtype=dtype)
    got, _ = run(n.graph(n.b.add("nn.shift_left", x, by), n.b.add("nn.shift_right", x, by)), [a, b], tmp_path)
    pairs_ = list(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    assert got[0].ravel().tolist() == [(number << amount) % (1 << width) for number, amount in pairs_]
    assert got[1].ravel().tolist() == [number >> amount for number, amount in pairs_]


def test_a_cast_to_bool_compares_with_zero() -> None:
    assert cast("v", DType.F32, DType.BOOL) == "(uint8_t)(v != 0x0p+0f)"


def test_ops_without_a_c_form_are_refused_by_name() -> None:
    n = Net(0)
    x = n.input(1, 4, dtype=DType.I32)
    with pytest.raises(UnsupportedError, match=r"U150.*nn\.pow has no C form for i32"):
        generated(lowered(n.graph(n.b.add("nn.pow", x, x)), PORTABLE), PORTABLE)


def test_arithmetic_on_half_floats_is_refused_by_name() -> None:
    n = Net(0)
    x = n.input(1, 4, dtype=DType.F16)
    with pytest.raises(UnsupportedError, match=r"U150.*nn\.neg has no C form for f16"):
        generated(lowered(n.graph(n.b.add("nn.neg", x)), PORTABLE), PORTABLE)


def test_half_floats_are_read_chosen_and_rounded(tmp_path: Path) -> None:
    """From and to each dtype; beside a scalar and a constant by channel; a copy that only moves them."""
    n = Net(0)
    numbers = np.array([[0.0, -0.0, 1.5, -2.75, 65504.0, 6e-8, 6.1e-5, -3.0]])
    wide = np.array([[65520.0, -65519.0, 2049.0, 2051.0, 1e-9, np.inf, 0.1, -1 / 3]])
    inputs = [
        numbers.astype(np.float16),
        wide.astype(np.float32),
        wide,
        np.array([[-70000, 2049, 2051, 7, 0, 1, -1, 99]]),
    ]
    x, f, d, i = (n.input(*a.shape, dtype=DType.of(a.dtype)) for a in inputs)
    known = n.b.constant(np.linspace(-1, 1, 8).astype(np.float16))
    flag = n.b.add("nn.less", f, n.b.constant(np.float32(1)))
    outputs = [n.b.add("nn.cast", x, to=to) for to in (DType.F32, DType.F64, DType.I32, DType.BOOL)]
    outputs += [n.b.add("nn.cast", source, to=DType.F16) for source in (f, d, i, flag)]
    outputs += [n.b.add("nn.where", flag, x, known), n.b.add("nn.where", flag, n.b.constant(np.float16(0.1)), x)]
    outputs += [n.b.add("nn.transpose", x, perm=(1, 0)), n.b.add("nn.concat", x, n.b.constant(inputs[0]), axis=0)]
    got, wanted = run(n.graph(*outputs), inputs, tmp_path)
    for value, c, w in zip(outputs, got, wanted, strict=True):
        np.testing.assert_array_equal(c, w, strict=True, err_msg=str(value.producer))


SATURATIONS = [(DType.U8, 0, 255), (DType.I8, -128, 127), (DType.I8, -8, 7), (DType.U16, 0, 65535), (DType.I16, -4, 5)]


@pytest.mark.parametrize("dtype", [DType.F32, *SIGNED, DType.U8])
def test_saturation(dtype: DType, tmp_path: Path) -> None:
    n = Net(0)
    near = [end + step for _, lo, hi in SATURATIONS for end in (lo, hi) for step in (-1, 0, 1)]
    x = np.array([*near, np.nan, np.inf, -np.inf, 1e30, -0.0] if dtype.is_float else near)
    a = x if dtype.is_float else x.clip(np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max)
    source = n.input(1, x.size, dtype=dtype)
    outputs = [n.b.add("nn.saturate", source, to=to, lo=lo, hi=hi) for to, lo, hi in SATURATIONS]
    got, wanted = run(n.graph(*outputs), [a.astype(dtype.numpy)[np.newaxis]], tmp_path)
    for (_, lo, hi), c, b in zip(SATURATIONS, got, wanted, strict=True):
        np.testing.assert_array_equal(c, b, strict=True)
        assert c.min() >= lo
        assert c.max() <= hi


FORMATS = [(3, 7, 448.0, 448.0), (3, 8, 240.0, np.nan), (2, 15, 57344.0, np.inf), (1, 1, 6.0, 6.0), (0, 3, 4.0, 4.0)]


def test_minifloats_at_every_exponent(tmp_path: Path) -> None:
    """Numbers on the grid, between its points, and floats beside those."""
    n = Net(0)
    bits = np.arange(0, 1 << 31, 1 << 18, dtype=np.int64)
    near = np.concatenate([bits, bits + 1, bits - 1]).clip(0, (1 << 31) - 1).astype(np.uint32).view(np.float32)
    x = np.concatenate([near, -near])[np.newaxis]
    source = n.input(*x.shape)
    outputs = [
        n.b.add("nn.minifloat", source, mantissa_bits=m, bias=bias, max=most, overflow=overflow)
        for m, bias, most, overflow in FORMATS
    ]
    got, wanted = run(n.graph(*outputs), [x], tmp_path)
    for c, b in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(c, b)
        np.testing.assert_array_equal(np.signbit(c), np.signbit(b))


def test_bfloat16_at_every_pattern_and_its_ties(tmp_path: Path) -> None:
    """Each of its numbers, halfway to the next, and the floats beside both, against NumPy's extension type."""
    n = Net(0)
    bits = (np.arange(1 << 16, dtype=np.uint32) << 16)[:, np.newaxis] + np.array(
        [0, 1, 0x7FFF, 0x8000, 0x8001], np.uint32
    )
    x = bits.reshape(1, -1).view(np.float32)
    got, wanted = run(n.graph(n.b.add("nn.bfloat16", n.input(*x.shape))), [x], tmp_path)
    with np.errstate(over="ignore", invalid="ignore"):
        theirs = x.astype(ml_dtypes.bfloat16).astype(np.float32)
    for c in (got[0], wanted[0]):
        np.testing.assert_array_equal(c.view(np.uint32)[~np.isnan(x)], theirs.view(np.uint32)[~np.isnan(x)])
        np.testing.assert_array_equal(np.isnan(c), np.isnan(x))


def test_truths_that_are_kept_and_reckoned_with_are_wide(tmp_path: Path) -> None:
    """Spikes of two steps, kept as bytes, the first resetting what the second is made from."""
    b = Builder()
    inputs = [b.input(name, TensorType((1, 77))) for name in "xy"]
    threshold, one = b.constant(np.float32(1)), b.constant(np.float32(1))
    first = b.add("nn.greater_equal", inputs[0], threshold)
    kept = b.add("nn.mul", b.add("nn.sub", one, b.add("nn.cast", first, to=DType.F32)), inputs[0])
    second = b.add("nn.greater_equal", b.add("nn.add", kept, inputs[1]), threshold)
    graph = Graph("g", inputs, b.ops, [b.add("nn.cast", truth, to=DType.U8) for truth in (first, second)])
    library = build(generated(lowered(graph, PORTABLE), PORTABLE), PORTABLE, tmp_path)
    assert "const int32_t v2 = (v0 >= 0x1p+0f);" in library.made.files["net.c"]
    given = [np.random.default_rng(i).normal(1, 1, (1, 77)).astype(np.float32) for i in (0, 1)]
    for got, wanted in zip(library.run(given), evaluate(graph, given), strict=True):
        np.testing.assert_array_equal(got, wanted, strict=True)
