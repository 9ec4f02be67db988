"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, imported and interpreted, against onnxruntime: the same bits."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from frontend.contrib import both
from frontend.oracle import Arrays, assert_equal, model, node, run_onnxruntime
from onnx import TensorProto

from bitc.errors import BitcError, ModelError, UnsupportedError
from bitc.frontend import import_model
from bitc.ir import evaluate

F = np.float32
Array = np.ndarray
INTEGERS = [np.int8, np.uint8, np.int16, np.uint16]
NARROW = [ml_dtypes.int4, ml_dtypes.uint4]
EDGES = F([0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, -128.5, 255.5, 3e9, -3e9, np.nan, np.inf, -np.inf, 1e-40])


def same(
    nodes: list[onnx.NodeProto], feeds: Arrays, constants: Arrays, outputs: str = "y", opset: int = 21
) -> list[Array]:
    """What both give for a model; demands that it is the same."""
    proto = model(nodes, feeds, constants, outputs, opset)
    with np.errstate(all="ignore"):
        ours = evaluate(import_model(proto), feeds)
    assert_equal(ours, run_onnxruntime(proto, feeds))
    return ours


def numbers(rng: np.random.Generator, *shape: int) -> Array:
    """Floats of many sizes; half of them lie on quarters, where quantizing has ties."""
    x = rng.standard_normal(shape) * rng.choice([1, 30, 300], shape)
    return np.where(rng.random(shape) < 0.5, np.round(4 * x) / 4, x).astype(F)


def zero_point(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    limits = ml_dtypes.iinfo(dtype)
    return np.asarray(rng.integers(limits.min, int(limits.max) + 1, shape)).astype(dtype)


def granularities(rng: np.random.Generator) -> list[tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]]:
    """Shapes of x and its scale, and attributes: one number, one an axis, one a block, the last block short."""
    return [
        ((4, 1000), (), {}),
        ((4, 1000), (1,), {}),
        ((4, 6, 50), (6,), {}),
        ((4, 6, 50), (4,), {"axis": 0}),
        ((4, 6, 50), (50,), {"axis": -1}),
        ((30,), (30,), {"axis": 0}),
        ((300,), (1,), {"axis": 0}),
        ((4, 96, 3), (4, 6, 3), {"axis": 1, "block_size": 16}),
        ((4, 96), (1, 96), {"axis": 0, "block_size": 4}),
        ((4, 90), (4, 6), {"axis": 1, "block_size": 16}),
        ((70, 5), (3, 5), {"axis": 0, "block_size": 32}),
    ]


@pytest.mark.parametrize("dtype", [*INTEGERS, *NARROW])
@pytest.mark.parametrize("computed", [False, True], ids=["constant", "run-time"])
def test_there_and_back(dtype: Any, computed: bool) -> None:
    """Scales and zero points as constants and as inputs; zero points of 4 bits can only be constants."""
    rng = np.random.default_rng(3)
    for shape, of_scale, attrs in granularities(rng):
        x, zero = numbers(rng, *shape), zero_point(rng, dtype, *of_scale)
        scale = np.asarray(rng.choice(F([0.25, 0.5, 0.1, 1 / 3, 0.07]), of_scale))
        given = {"s": scale} | ({} if dtype in NARROW else {"z": zero})
        nodes = [node("QuantizeLinear", "x s z", "q", **attrs), node("DequantizeLinear", "q s z", **attrs)]
        feeds = {"x": x, **given} if computed else {"x": x}
        same(nodes, feeds, {"s": scale, "z": zero} if not computed else {"z": zero} if dtype in NARROW else {})


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("opset", [10, 13, 19, 21, 23, 24, 25])
def test_edges_in_every_opset(dtype: Any, opset: int) -> None:
    if opset < 21 and np.dtype(dtype).itemsize > 1:
        return
    for zero in (0, 1, 100, np.iinfo(dtype).min):
        operands = {"x": EDGES, "s": F(1), "z": np.asarray(max(zero, np.iinfo(dtype).min), dtype)}
        both("QuantizeLinear", operands, domain="", version=opset).equal()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_a_million_numbers(dtype: Any) -> None:
    """A product with 1 / scale instead of the division would differ in some."""
    rng = np.random.default_rng(5)
    x = numbers(rng, 1_000_000)
    both("QuantizeLinear", {"x": x, "s": F(0.1), "z": zero_point(rng, dtype)}, domain="").equal()


@pytest.mark.parametrize("kind", [2, 3, 4, 5, 21, 22])
def test_the_attribute_says_the_type(kind: int) -> None:
    x = np.linspace(-40, 300, 999, dtype=F)
    nodes = [node("QuantizeLinear", "x s", "q", output_dtype=kind), node("DequantizeLinear", "q s")]
    same(nodes, {"x": x}, {"s": F(1.5)})
    same([node("QuantizeLinear", "x s", "q"), node("DequantizeLinear", "q s")], {"x": x}, {"s": F(1.5)}, opset=13)


@pytest.mark.parametrize(("kind", "lo", "hi"), [(25, 0, 3), (26, -2, 1)])
@pytest.mark.parametrize("zero", [0, 1])
def test_two_bits(kind: int, lo: int, hi: int, zero: int) -> None:
    """This onnx does not know the types; onnxruntime does, but makes 0 of infinity, which ONNX saturates."""
    x = np.linspace(-5, 5, 41, dtype=F)
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z"),
        node("DequantizeLinear", "w s", "v"),
    ]
    proto = model(nodes, {"x": x}, {"s": F(0.5)}, "y v", 25)
    packed = [onnx.TensorProto(name="z", data_type=kind, raw_data=bytes([zero]))]
    packed.append(onnx.TensorProto(name="w", data_type=kind, dims=[5], raw_data=bytes([0b11100100, 0b10])))
    proto.graph.initializer.extend(packed)
    ours = evaluate(import_model(proto), {"x": x})
    assert_equal(ours, run_onnxruntime(proto, {"x": x}))
    assert ours[0].min() == 0.5 * (lo - zero)
    assert ours[0].max() == 0.5 * (hi - zero)


FLOATS = {
    17: ml_dtypes.float8_e4m3fn,
    18: ml_dtypes.float8_e4m3fnuz,
    19: ml_dtypes.float8_e5m2,
    20: ml_dtypes.float8_e5m2fnuz,
}


def around_the_grid(dtype: Any) -> Array:
    """All numbers of the format, the midpoints between them and the floats next to those; larger ones; floats of any exponent."""
    grid = np.arange(256, dtype=np.uint8).view(dtype).astype(F)
    grid = np.unique(grid[np.isfinite(grid)])
    middle = (grid[1:] + grid[:-1]) / 2
    near = np.concatenate([grid, middle, grid[-1] * np.arange(0.9, 1.07, 1 / 128, F)])
    any_exponent = np.arange(0, 1 << 32, 99991, np.int64).astype(np.uint32).view(F)
    return np.concatenate([near, np.nextafter(near, F(np.inf)), np.nextafter(near, F(-np.inf)), any_exponent, EDGES])


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("opset", [19, 21, 24])
def test_floats_of_eight_bits(kind: int, opset: int) -> None:
    """Rounded by the quantizer and by Cast, with and without a scale; stored numbers read back."""
    x, stored = around_the_grid(FLOATS[kind]), np.arange(256, dtype=np.uint8).view(FLOATS[kind])
    constants = {"one": F(1), "s": F(0.3), "z": np.zeros((), FLOATS[kind]), "w": stored}
    nodes = [
        node("QuantizeLinear", "x one z", "q"),
        node("DequantizeLinear", "q one z", "y1"),
        node("QuantizeLinear", "x s z", "r"),
        node("DequantizeLinear", "r s", "y2"),
        node("Cast", "x", "c", to=kind),
        node("Cast", "c", "y3", to=1),
        node("DequantizeLinear", "w s", "y4"),
        node("Cast", "w", "y5", to=1),
    ]
    found = same(nodes, {"x": x}, constants, "y1 y2 y3 y4 y5", opset)
    assert np.unique(found[0][np.isfinite(found[0])]).size == np.unique(stored[np.isfinite(stored)].astype(F)).size


@pytest.mark.parametrize("kind", FLOATS)
def test_floats_of_eight_bits_that_do_not_saturate(kind: int) -> None:
    """What is too large is NaN, or infinite where the format has that: as ONNX has it. (onnxruntime keeps 448 up to 512 in E4M3FN, and
    makes NaN of what rounds to 65536 in E5M2.)"""
    x = around_the_grid(FLOATS[kind])
    with np.errstate(all="ignore"):
        wanted = x.astype(FLOATS[kind]).astype(F)
    nodes = [node("QuantizeLinear", "x s z", "q", saturate=0), node("DequantizeLinear", "q s")]
    nodes += [node("Cast", "x", "c", saturate=0, to=kind), node("Cast", "c", "v", to=1)]
    proto = model(nodes, {"x": x}, {"s": F(1), "z": np.zeros((), FLOATS[kind])}, "y v", 21)
    for found in evaluate(import_model(proto), {"x": x}):
        np.testing.assert_array_equal(found, wanted)
    assert np.isnan(wanted).sum() + np.isinf(wanted).sum() > 1000


def test_floats_of_four_bits() -> None:
    """onnxruntime has no kernels of them for CPUs; the reference is ml_dtypes'. NaN, which the format does not have, stays NaN."""
    x = np.concatenate([np.arange(-9, 9, 1 / 64, dtype=F), F([1e30, np.inf, -np.inf, 0.25, 0.75])])
    nodes = [node("QuantizeLinear", "x s", "q", output_dtype=TensorProto.FLOAT4E2M1), node("DequantizeLinear", "q s")]
    stored = np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn)[1:]
    nodes.append(node("DequantizeLinear", "w s", "v"))
    proto = model(nodes, {"x": x}, {"s": F(2), "w": stored}, "y v", 23)
    y, v = evaluate(import_model(proto), {"x": x})
    np.testing.assert_array_equal(y, (x / 2).astype(ml_dtypes.float4_e2m1fn).astype(F) * 2)
    np.testing.assert_array_equal(v, stored.astype(F) * 2)


@pytest.mark.parametrize("kind", [21, 22, 25, 26])
def test_casts_to_few_bits_wrap(kind: int) -> None:
    opset = 21 if kind < 25 else 25
    for x in (
        np.linspace(-40, 40, 641, dtype=F),
        np.arange(-128, 128).astype(np.int8),
        np.arange(256).astype(np.uint8),
    ):
        same([node("Cast", "x", "c", to=kind), node("Cast", "c", "y", to=1)], {"x": x}, {}, opset=opset)


def test_a_cast_back_is_no_value_of_few_bits() -> None:
    """i8 stands for int4 in the IR, but int8 that was int4 is int8: it may be an output, and quantizes to eight bits."""
    x = np.linspace(-20, 20, 99, dtype=F)
    nodes = [
        node("QuantizeLinear", "x s z4", "q"),
        node("Cast", "q", "y", to=TensorProto.INT8),
        node("Cast", "z4", "z8", to=TensorProto.INT8),
        node("QuantizeLinear", "x s z8", "v"),
    ]
    found = same(nodes, {"x": x}, {"s": F(1), "z4": np.asarray(3, ml_dtypes.int4)}, "y v")
    assert [int(f.max()) for f in found] == [7, 23]


def test_stored_bias() -> None:
    rng = np.random.default_rng(9)
    bias = rng.integers(-(2**31), 2**31, 50).astype(np.int32)
    scale = rng.uniform(0.001, 0.1, 50).astype(F)
    both("DequantizeLinear", {"x": bias, "s": scale}, domain="", axis=0, inputs=("x", "s")).equal()
    both("DequantizeLinear", {"x": bias, "s": scale[0]}, domain="", inputs=("x",)).equal()


def test_stored_weights_of_four_bits() -> None:
    """An odd number of them, packed in raw_data and in int32_data, through ops that move them, by blocks with a short last one."""
    rng = np.random.default_rng(10)
    w = rng.integers(-8, 8, (7, 5)).astype(ml_dtypes.int4)
    scale = rng.uniform(0.1, 1, (3, 5)).astype(F)
    zero = rng.integers(-8, 8, (3, 5)).astype(ml_dtypes.int4)
    nodes = [
        node("DequantizeLinear", "w s z", "d", axis=0, block_size=3),
        node("MatMul", "x d", "y"),
        node("Transpose", "w", "t"),
        node("DequantizeLinear", "t one", "v"),
    ]
    proto = model(nodes, {"x": np.eye(7, dtype=F)}, {"w": w, "s": scale, "z": zero, "one": F(1)}, "y v", 21)
    typed = onnx.ModelProto.FromString(proto.SerializeToString())
    for tensor in typed.graph.initializer:
        if tensor.data_type == TensorProto.INT4:
            tensor.int32_data.extend(tensor.raw_data)
            tensor.ClearField("raw_data")
    for spelling in (proto, typed):
        feeds = {"x": np.eye(7, dtype=F)}
        assert_equal(evaluate(import_model(spelling), feeds), run_onnxruntime(proto, feeds))


def test_stored_brain_floats() -> None:
    w = np.linspace(-3, 3, 77, dtype=F).astype(ml_dtypes.bfloat16)
    same([node("Cast", "w", "f", to=1), node("Mul", "x f", "y")], {"x": F([2])}, {"w": w})


def test_rounding_to_brain_floats_and_back() -> None:
    """Ties, subnormal and huge numbers, infinities; what is between the casts keeps the type."""
    x = F([1 + 2**-8, 1 + 3 * 2**-8, 3e-41, -3.3961775e38, -3.4e38, np.inf, -0.0, 0.1])
    nodes = [node("Cast", "x", "b", to=16), node("Reshape", "b s", "r"), node("Cast", "r", "y", to=1)]
    same(nodes, {"x": x}, {"s": np.asarray([2, 4])})


def test_dynamic_quantization() -> None:
    """Tensors of all sizes and signs, of zeros alone, and of one number."""
    rng = np.random.default_rng(11)
    count = 0
    for trial in range(400):
        x = numbers(rng, *rng.integers(1, 40, trial % 3 + 1))
        x = [x, np.abs(x), -np.abs(x), x * F(1e-3), np.full_like(x, 3), x * 0, x * F(1e30)][trial % 7]
        found = both("DynamicQuantizeLinear", {"x": x}, domain="", outputs="q s z", version=13).equal()
        count += found.ours[0].size
    assert count > 300_000
    both("DynamicQuantizeLinear", {"x": F([0.1, 0.5, 3.0])}, domain="", outputs="q s z", version=13).equal()


@pytest.mark.parametrize(("kind", "name"), [(16, "BFLOAT16"), (17, "FLOAT8E4M3FN"), (22, "INT4"), (25, "UINT2")])
def test_inputs_and_outputs_have_elements_of_numpy(kind: int, name: str) -> None:
    proto = model([node("Cast", "x", to=1)], {"x": (np.float32, [3])}, opset=25)
    proto.graph.input[0].type.tensor_type.elem_type = kind
    with pytest.raises(UnsupportedError, match=f"(?s)U004.*input 'x'.*NumPy and C.*{name}"):
        import_model(proto)
    if kind != 16:
        proto = model(
            [node("QuantizeLinear", "x s", "q", output_dtype=kind), node("Identity", "q")],
            {"x": F([1])},
            {"s": F(1)},
            opset=25,
        )
        with pytest.raises(UnsupportedError, match=f"(?s)U004.*output 'y'.*NumPy and C.*{name}"):
            import_model(proto)


def test_small_floats_are_not_computed_in() -> None:
    w = F([1, 2]).astype(ml_dtypes.bfloat16)
    proto = model(
        [node("Add", "w w", "v"), node("Cast", "v", "f", to=1), node("Add", "x f")], {"x": F([1, 2])}, {"w": w}
    )
    with pytest.raises(UnsupportedError, match=r"(?s)Add is not supported.*bfloat16"):
        import_model(proto)


@pytest.mark.parametrize(
    ("attrs", "operands", "kind", "rule"),
    [
        ({"precision": 10}, "x s", UnsupportedError, "divides in float32"),
        ({"output_dtype": 7}, "x s", UnsupportedError, "integers of 2 to 16 bits"),
        ({"output_dtype": 99}, "x s", ModelError, "a type of tensors"),
        ({"axis": 0}, "x t", ModelError, "one for each index of the axis"),
        ({"axis": 3}, "x t", ModelError, "inside the tensor's rank"),
        ({"axis": 1, "block_size": 2}, "x u", ModelError, "one number for each block"),
    ],
)
def test_forms_that_are_refused(attrs: dict[str, int], operands: str, kind: type[BitcError], rule: str) -> None:
    constants = {"s": F(1), "t": F([1, 2, 3]), "u": np.ones((2, 4), F)}
    used = {name: constants[name] for name in operands.split() if name in constants}
    proto = model([node("QuantizeLinear", operands, "q", **attrs)], {"x": np.ones((2, 5), F)}, used, "q", 23)
    with pytest.raises(kind, match=rule):
        import_model(proto)
