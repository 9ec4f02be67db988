"""The edges: special floats, broken normalisations, huge sums, dtypes, batches, odd interfaces, hostile names, the C contract."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import pytest

import bitc
from bitc.errors import UnsupportedError
from bitc.session import Session, declarations
from tests.networks.onnx_net import Net, build_quickly, product_forms, same, truth
from tests.runtime.harness import guarded

F = np.float32
ONE_ULP = tuple(np.nextafter(F(0.5), F(end)) for end in (0, 1))
FLOATS = np.array(
    [0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, np.inf, -np.inf, 1, -1, 0.5, -0.5, *ONE_ULP, 3.4e38, -3.4e38], F
)
"""Both zeros, denormals, infinities, 0.5 with its neighbours, and the largest numbers."""

both = pytest.mark.parametrize("target", ["portable", "avx2"])


def signs(*shape: int) -> np.ndarray:
    """Random ±1, the same for the same shape."""
    return np.random.default_rng(shape).choice([-1, 1], shape).astype(F)


def numbers(*shape: int) -> np.ndarray:
    """Random floats, the same for the same shape."""
    return np.random.default_rng(shape).normal(size=shape).astype(F)


def where(net: Net, condition: str) -> str:
    """+1 where true, else -1."""
    return net.node("Where", condition, F(1), F(-1))


def reveal(net: Net, code: str, channels: int) -> None:
    """Make the codes visible through a layer that the compiler runs as bits and whose sums tell every channel's code."""
    net.output(net.node("Conv", code, (2 * np.eye(channels) - 1).astype(F).reshape(channels, channels, 1, 1)))


def agrees(net: Net, feeds: dict[str, np.ndarray], target: str, folder: Path, **options: Any) -> Session:
    """The compiled library, after its outputs were found to be onnxruntime's, names, dtypes and shapes included."""
    model = net.save(folder / "edge.onnx")
    wanted = truth(model, feeds)
    session = build_quickly(model, target, folder, **options)
    assert [output.name for output in session.get_outputs()] == [output.name for output in net.model().graph.output]
    got = session.run(None, feeds)
    wrong = [o.name for o, a, b in zip(session.get_outputs(), got, wanted, strict=True) if not same(a, b)]
    assert not wrong
    return session


def binarizations(net: Net, x: str) -> list[str]:
    """Codes of ``x`` [1,16,1,1] by thresholds at 0, at 0.5, through chains that scale, round, turn round or divide."""
    by_channel = np.linspace(-1, 1, 16, dtype=F)
    norm = (by_channel, np.zeros(16, F), by_channel / 2, np.linspace(0.1, 3, 16, dtype=F))
    return [
        net.node("Sign", x),
        *(
            where(net, net.node(kind, x, F(limit)))
            for kind, limit in product(("GreaterOrEqual", "Greater", "Less"), (0, 0.5))
        ),
        where(net, net.node("Equal", x, F(0))),
        net.node("Clip", net.node("Round", x), F(-1), F(1)),
        net.node("Clip", net.node("Floor", net.node("Mul", x, F(3))), F(0), F(3)),
        *(net.node("Sign", net.node("Mul", x, F(scale))) for scale in (1e-30, 1e30, -3)),
        net.node("Sign", net.node("Add", net.node("Mul", x, F(-3.3)), F(1.1))),
        net.node("Sign", net.node("Div", net.constant(F(1)), x)),
        net.node("Sign", net.node("Relu", x)),
        net.node("Sign", net.node("PRelu", x, by_channel.reshape(16, 1, 1))),
        net.node("Sign", net.node("Sub", net.node("Sigmoid", x), F(0.5))),
        where(net, net.node("Greater", net.node("BatchNormalization", x, *norm), F(0))),
    ]


@both
def test_floats_at_and_beside_thresholds(target: str, tmp_path: Path) -> None:
    """Each special float in each channel: nothing is flushed to zero, no threshold is off by one float."""
    net = Net()
    for code in binarizations(net, net.input("x", ("N", 16, 1, 1))):
        reveal(net, code, 16)
    rows = np.stack([np.roll(FLOATS, shift) for shift in range(16)])
    agrees(net, {"x": rows.reshape(16, 16, 1, 1)}, target, tmp_path)


@both
def test_sums_at_and_beside_thresholds(target: str, tmp_path: Path) -> None:
    """Every value of the sum against thresholds on it and one float to each side; 0 stays 0 under Sign."""
    net, x = Net(), "x"
    net.input(x, ("N", 8))
    total = net.node("MatMul", net.node("Sign", x), np.ones((8, 16), F))
    for offset in (0.0, *(np.nextafter(F(2), F(end)) for end in (0, 9)), 2.0, -3.0):
        code = net.node("Sign", net.node("Sub", total, F(offset)))
        net.output(net.node("MatMul", code, (2 * np.eye(16) - 1).astype(F)))
    steps = np.array([[1] * up + [0] * (8 - up - down) + [-1] * down for up in range(9) for down in range(9 - up)], F)
    agrees(net, {"x": steps}, target, tmp_path)


@both
def test_nan_fails_every_comparison(target: str, tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", (1, 4, 1, 1))
    for kind in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"):
        reveal(net, where(net, net.node(kind, x, F(0.5))), 4)
    agrees(net, {"x": np.array([np.nan, 0.5, -np.nan, 3], F).reshape(1, 4, 1, 1)}, target, tmp_path)


@both
def test_nan_has_the_lowest_level_where_onnx_would_pass_it_on(target: str, tmp_path: Path) -> None:
    net = Net()
    reveal(net, net.node("Sign", net.input("x", (1, 4, 1, 1))), 4)
    session = build_quickly(net.save(tmp_path / "nan.onnx"), target, tmp_path)
    plain, lowest = (np.array([first, 0.5, 0, 3], F).reshape(1, 4, 1, 1) for first in (np.nan, -1))
    assert same(session.run(None, {"x": plain})[0], session.run(None, {"x": lowest})[0])


BROKEN_NORMS = {
    "negative variance": {"variance": -1},
    "nan variance": {"variance": np.nan},
    "no variance": {"variance": 0},
    "nan scale": {"scale": np.nan},
    "infinite scale": {"scale": np.inf},
    "zero scale": {"scale": 0},
    "denormal scale": {"scale": 1e-42},
    "infinite mean": {"mean": np.inf},
    "huge scale": {"scale": -3e38},
}


def test_broken_batch_norms(tmp_path: Path) -> None:
    """One channel is broken; the numbers and the comparisons of them are onnxruntime's in all."""
    net = Net()
    sums = net.node("Conv", net.node("Sign", net.input("x", (1, 8, 3, 3))), signs(6, 8, 1, 1))
    for broken in BROKEN_NORMS.values():
        parts = {"scale": 1.5, "bias": 0.25, "mean": 0.5, "variance": 2.0}
        operands = [np.array([broken.get(key, value)] + [value] * 5, F) for key, value in parts.items()]
        normed = net.node("BatchNormalization", sums, *operands, epsilon=0.0)
        net.output(normed)
        reveal(net, where(net, net.node("Greater", normed, F(0))), 6)
    agrees(net, {"x": numbers(1, 8, 3, 3)}, "avx2", tmp_path)


@both
def test_long_sums(target: str, tmp_path: Path) -> None:
    """Sums past 2^8, 2^15 and 2^16, of binary and of two-bit codes, each at its extremes, and a threshold at the end."""
    net, feeds = Net(), {}
    for length in (255, 256, 257, 32767, 32769, 65536, 70001):
        name = f"x{length}"
        net.input(name, (2, length))
        weights = np.stack([np.ones(length), -np.ones(length), signs(length)], axis=1).astype(F)
        for code, most in (
            (where(net, net.node("Greater", name, F(0))), length),
            (net.node("Clip", net.node("Round", name), F(0), F(3)), 3 * length),
        ):
            total = net.node("MatMul", code, weights)
            net.output(total)
            net.output(net.node("MatMul", net.node("Sign", net.node("Sub", total, F(most - 1))), signs(3, 2)))
        feeds[name] = np.stack([np.full(length, 3), np.full(length, -1)]).astype(F)
    agrees(net, feeds, target, tmp_path)


def test_sign_of_zero_declared(tmp_path: Path) -> None:
    """Exact keeps 0; declared plus or minus, it is that, here and in no other case."""
    net = Net()
    net.output(net.node("MatMul", net.node("Sign", net.input("x", ("N", 3))), np.array([[1], [2], [4]], F)))
    x = np.array([[0, 1, -1], [-0.0, 1, -1], [0, 0, 0], [2, -3, 1]], F)
    agrees(net, {"x": x}, "portable", tmp_path)
    for declared, replaced in (("plus", 1), ("minus", -1)):
        session = build_quickly(tmp_path / "edge.onnx", "portable", tmp_path / declared, sign_zero=declared)
        wanted = np.where(x == 0, replaced, np.sign(x)).astype(F) @ np.array([[1], [2], [4]], F)
        assert same(session.run(None, {"x": x})[0], wanted)


INTEGERS = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, np.bool_)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_dtypes_in_and_out(dtype: type, tmp_path: Path) -> None:
    """Inputs and outputs of every element type, moved, cast and binarized."""
    net = Net()
    x = net.input("x", ("N", 6), dtype)
    cube = net.node("Reshape", x, np.array([0, 2, 3]))
    net.output(net.node("Identity", x))
    net.output(net.node("Transpose", cube, perm=[0, 2, 1]))
    net.output(net.node("Concat", x, x, axis=1))
    number = net.node("Cast", x, to=1)
    net.output(net.node("Cast", number, to=net.model().graph.input[0].type.tensor_type.elem_type))
    net.output(net.node("MatMul", net.node("Sign", number), signs(6, 4)))
    limits = (0, 2) if dtype is np.bool_ else (0, 100)
    agrees(net, {"x": np.random.default_rng(0).integers(*limits, (3, 6)).astype(dtype)}, "avx2", tmp_path)


def test_logic_and_choices(tmp_path: Path) -> None:
    """Bools, integers by Where, places of equal maxima."""
    net = Net()
    x = net.input("x", ("N", 7))
    above, below = net.node("Greater", x, F(0)), net.node("Less", x, F(1))
    for kind, operands in (("And", (above, below)), ("Or", (above, below)), ("Xor", (above, below)), ("Not", (above,))):
        net.output(net.node(kind, *operands))
    net.output(net.node("Where", above, np.int64(3), np.int64(-5)))
    net.output(net.node("Where", above, np.uint8(3), np.uint8(200)))
    for attrs in ({"axis": 1}, {"axis": 1, "keepdims": 0, "select_last_index": 1}):
        net.output(net.node("ArgMax", x, **attrs))
        net.output(net.node("ArgMin", x, **attrs))
    for name in net.nodes("TopK", x, np.array([3]), names=("best", "places")):
        net.output(name)
    rows = np.array([[1, 1, 3, 3, 2, 2, 0], [np.inf, 1, np.inf, -np.inf, 0, -0.0, 5], [-1] * 7], F)
    agrees(net, {"x": rows}, "avx2", tmp_path)


@pytest.fixture(scope="module")
def two_inputs() -> Net:
    """Images and bytes in, sums, means, codes and classes out, for any batch."""
    net = Net()
    x, y = net.input("x", ("N", 3, 4, 4)), net.input("y", ("N", 3, 4, 4), np.uint8)
    code = net.node("Sign", net.node("Add", x, net.node("Cast", y, to=1)))
    sums = net.node("Conv", code, signs(9, 3, 3, 3), pads=[1, 1, 1, 1])
    for name in (sums, net.node("GlobalAveragePool", sums), code, net.node("ArgMax", sums, axis=1)):
        net.output(name)
    return net


def two_inputs_of(batch: int) -> dict[str, np.ndarray]:
    """Values for :func:`two_inputs`; many sums of both are 0."""
    choose = np.random.default_rng(batch)
    shape = (batch, 3, 4, 4)
    return {"x": choose.integers(-2, 1, shape).astype(F), "y": choose.integers(0, 3, shape).astype(np.uint8)}


@both
def test_batches(two_inputs: Net, target: str, tmp_path: Path) -> None:
    session = agrees(two_inputs, two_inputs_of(1), target, tmp_path)
    for batch in (0, 1, 2, 7):
        feeds = two_inputs_of(batch)
        assert all(map(same, session.run(None, feeds), truth(tmp_path / "edge.onnx", feeds)))


@both
def test_arena_and_alignment_do_not_matter(two_inputs: Net, target: str, tmp_path: Path) -> None:
    """The C function itself: any bytes in the arena, buffers aligned to one element only, nothing written beside them."""
    session = agrees(two_inputs, two_inputs_of(3), target, tmp_path)
    feeds = two_inputs_of(3)
    wanted = session.run(None, feeds)
    for poison in (0x00, 0xFF, 0x7F):
        for a, b in zip(run_in_guarded_memory(session, feeds, wanted, poison), wanted, strict=True):
            assert same(a, b)


def run_in_guarded_memory(
    session: Session, feeds: dict[str, np.ndarray], like: list[np.ndarray], poison: int
) -> list[np.ndarray]:
    """The outputs for ``feeds`` with all buffers between guards and off every alignment but their element's."""
    ffi, name, meta = cffi.FFI(), session.metadata["name"], session.metadata
    ffi.cdef(declarations((session.path.parent / f"{name}.h").read_text(encoding="utf-8")))
    library = ffi.dlopen(str(session.path))
    io = ffi.new(f"{name}_io *", {"batch": len(like[0])})
    types = {field: kind.type for field, kind in ffi.typeof(f"{name}_io").fields}
    given = [feeds[port["name"]] for port in meta["inputs"]] + [np.zeros_like(array) for array in like]
    with ExitStack() as guards:
        arena = guards.enter_context(guarded((meta["arena_bytes"],), np.uint8))
        arena[:] = poison
        buffers = [guards.enter_context(guarded(array.shape, array.dtype, align=array.itemsize)) for array in given]
        for port, array, buffer in zip([*meta["inputs"], *meta["outputs"]], given, buffers, strict=True):
            buffer[...] = array
            setattr(io, port["field"], ffi.cast(types[port["field"]], buffer.ctypes.data))
        assert getattr(library, f"{name}_run")(io, ffi.cast("void *", arena.ctypes.data)) == 0
        return [buffer.copy() for buffer in buffers[len(meta["inputs"]) :]]


def test_outputs_of_every_origin_keep_their_names(tmp_path: Path) -> None:
    """An input, constants, and many names for one value."""
    net = Net()
    x = net.input("x", (1, 4))
    net.node("Sign", x, name="y")
    for name in ("same", "again"):
        net.node("Identity", "y", name=name)
    net.node("Mul", x, F(1), name="product")
    net.node("Transpose", "y", perm=[0, 1], name="unmoved")
    net.node("Reshape", "y", np.array([4]), name="flat")
    constants = [net.constant(np.arange(3, dtype=F)), net.constant(F(7)), net.constant(np.array([True, False]))]
    for name in ("y", "same", x, "again", "product", "unmoved", "flat", *constants):
        net.output(name)
    session = agrees(net, {"x": np.array([[-0.0, 2, -3, 0.5]], F)}, "portable", tmp_path, values={"x": (-3, 0, 0.5, 2)})
    assert session.run(["again"], {"x": np.ones((1, 4), F)})[0].tolist() == [[1, 1, 1, 1]]


def test_unused_and_scalar_inputs(tmp_path: Path) -> None:
    net = Net()
    x, _ = net.input("x", ()), net.input("unused", (4,), np.int64)
    net.output(net.node("Add", x, F(1)))
    net.output(net.node("Sign", x))
    agrees(net, {"x": np.array(-2, F), "unused": np.arange(4)}, "portable", tmp_path)


BREAKING = (
    "a b",
    'quote"s',
    "it's",
    "line\nbreak",
    "*/ evil /*",
    "back\\",
    "\\\n",
    "é",
    "//x",
    "%d",
    "{{ x }}",
    "??/",
    '"',
)
RESERVED = (
    "int",
    "arena",
    "io",
    "batch",
    "in0",
    "at",
    "main",
    "NULL",
    "NAN",
    "INT32_MAX",
    "linux",
    "size_t",
    "bitc_copy",
)
ALIKE = ("A_B", "a_b", "a.b", "a/b", "_x", "3", "1", "7")
HOSTILE = [*BREAKING, *RESERVED, *ALIKE]
"""What would end a comment or a string; keywords and macros; what becomes one identifier, and numbers as PyTorch writes them."""


def test_hostile_tensor_names(tmp_path: Path) -> None:
    net, feeds = Net(), {}
    for index, name in enumerate(HOSTILE):
        net.input(name, ("N", 3))
        feeds[name] = numbers(2, 3) * (index + 1)
        code = net.node("Sign", name, name=f"sign of {name}")
        net.output(net.node("MatMul", code, signs(3, 2), name=f"{name}{name}"))
    session = agrees(net, feeds, "portable", tmp_path)
    assert [arg.name for arg in session.get_inputs()] == HOSTILE


@pytest.mark.parametrize("name", ["int", "bitc_copy", "main", "quote's", "back\\", "a b.c", "日本", "*", "arena"])
def test_hostile_file_names(name: str, tmp_path: Path) -> None:
    net = Net()
    net.output(net.node("Sign", net.input("x", (1, 3)), name="y"))
    model = net.save(tmp_path / f"{name}.onnx")
    session = bitc.compile(model, target="portable", out=tmp_path / "out").session()
    assert session.run(None, {"x": np.array([[2, 0, -1]], F)})[0].tolist() == [[1, 0, -1]]


def test_an_input_without_a_name_is_an_error_of_the_model(tmp_path: Path) -> None:
    net = Net()
    net.output(net.node("Sign", net.input("", (1, 3))))
    with pytest.raises(bitc.errors.ModelError):
        bitc.compile(net.save(tmp_path / "nameless.onnx"), target="portable", out=tmp_path / "out")


def test_the_same_model_gives_the_same_bytes(two_inputs: Net, tmp_path: Path) -> None:
    """Every file, the built library among them."""
    model = two_inputs.save(tmp_path / "net.onnx")
    first, second = (bitc.compile(model, target="portable", out=tmp_path / name).directory for name in ("a", "b"))
    files = sorted(path.name for path in first.iterdir())
    assert files == sorted(path.name for path in second.iterdir())
    assert "libnet.so" in files
    assert [name for name in files if (first / name).read_bytes() != (second / name).read_bytes()] == []


def test_pools_that_round_up_past_the_image(tmp_path: Path) -> None:
    """A window larger than the image has one position when positions are rounded up."""
    net = Net()
    x = net.input("x", (1, 2, 5, 1))
    for operand in (x, net.node("Sign", x)):
        net.output(net.node("MaxPool", operand, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1))
    agrees(net, {"x": numbers(1, 2, 5, 1)}, "avx2", tmp_path)


def test_a_window_of_padding_alone_is_refused(tmp_path: Path) -> None:
    """Its maximum is no element of the image: the lowest float in onnxruntime, an infinity by the letter."""
    net = Net()
    net.output(
        net.node("MaxPool", net.input("x", (1, 1, 1, 1)), kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1])
    )
    with pytest.raises(UnsupportedError, match="window of padding alone"):
        bitc.compile(net.save(tmp_path / "net.onnx"), target="portable", out=tmp_path / "out")


def test_layers_over_other_ranks(tmp_path: Path) -> None:
    """Dense layers over sequences, heads and channels-last images, a one-dimensional image into a dense layer: all as bits."""
    net = Net()
    tokens, heads, last, line = (
        net.input(name, ("N", *shape))
        for name, shape in (("t", (7, 16)), ("h", (2, 7, 16)), ("c", (3, 4, 16)), ("l", (5, 9)))
    )
    for x in (tokens, heads):
        hidden = net.node("Add", net.node("MatMul", net.node("Sign", x), signs(16, 24)), numbers(24) / 4)
        net.output(net.node("MatMul", net.node("Sign", hidden), signs(24, 9)))
    code = net.node("Sign", net.node("Transpose", last, perm=[0, 3, 1, 2]))
    net.output(net.node("MatMul", net.node("Transpose", code, perm=[0, 2, 3, 1]), signs(16, 9)))
    hidden = net.node("Conv", net.node("Sign", line), signs(8, 5, 3), pads=[1, 1])
    net.output(net.node("MatMul", net.node("Sign", net.node("Flatten", hidden)), signs(72, 3)))
    feeds = {"t": numbers(2, 7, 16), "h": numbers(2, 2, 7, 16), "c": numbers(2, 3, 4, 16), "l": numbers(2, 5, 9)}
    session = agrees(net, feeds, "avx2", tmp_path)
    assert product_forms(session) == ["2 planes x 1 bit"] * 7


def test_scales_taken_out_of_a_sum_are_exact_only_if_they_change_no_bit(tmp_path: Path) -> None:
    """Weights ±a under activations that are no codes: the signs are summed first, so an odd ``a`` rounds elsewhere."""
    net = Net()
    x = net.input("x", (1, 30))
    for scale in (0.5, 1.2345678):
        net.output(net.node("MatMul", x, signs(30, 3) * F(scale)))
    model = net.save(tmp_path / "scales.onnx")
    session = build_quickly(model, "portable", tmp_path, values={"x": [-2000.0, *range(-8, 9), 2000.5]})
    assert product_forms(session) == ["float32 x 1 bit"] * 2
    assert [output["contract"]["exact"] for output in session.metadata["outputs"]] == [True, False]
    feeds = {"x": np.random.default_rng(0).integers(-8, 9, (1, 30)).astype(F)}
    got, wanted = session.run(None, feeds), truth(model, feeds)
    assert same(got[0], wanted[0])
    largest_sum = 30 * 8 * 1.2345678
    np.testing.assert_allclose(got[1], wanted[1], rtol=0, atol=2 * 30 * 2.0**-24 * largest_sum)
