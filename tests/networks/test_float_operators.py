"""Float and integer operators through the C library against onnxruntime: products of computed tensors, images, places, norms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitc.session import Session
from tests.networks.onnx_net import Net, build_quickly, truth

F = np.float32
on_cpus = pytest.mark.parametrize("target", ["portable", "avx2"])
everywhere = pytest.mark.parametrize("target", ["portable", "avx2", "avx512"])


def numbers(*shape: int) -> np.ndarray:
    """Random floats, the same for the same shape."""
    return np.random.default_rng(shape).normal(size=shape).astype(F)


def integers(*shape: int, dtype: type = np.int64, low: int = -9, high: int = 10) -> np.ndarray:
    """Random integers, the same for the same shape."""
    return np.random.default_rng(shape).integers(low, high, shape).astype(dtype)


def agrees(net: Net, feeds: dict[str, np.ndarray], target: str, folder: Path, terms: int = 64) -> Session:
    """The library, after each output was found to be onnxruntime's: integers to the bit, sums of ``terms`` floats within their rounding."""
    model = net.save(folder / "net.onnx")
    wanted = truth(model, feeds)
    session = build_quickly(model, target, folder)
    for port, a, b in zip(session.get_outputs(), session.run(None, feeds), wanted, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), port.name
        if a.dtype.kind == "f":
            slack = 2 * terms * 2.0**-24 * max(1.0, float(np.abs(b).max()))
            np.testing.assert_allclose(a, b, rtol=4e-6, atol=slack, err_msg=port.name)
        else:
            np.testing.assert_array_equal(a, b, err_msg=port.name)
    return session


def feed(net: Net, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs of the given arrays' dtypes and shapes."""
    for name, array in arrays.items():
        net.input(name, array.shape, array.dtype.type)
    return arrays


@everywhere
def test_attention(target: str, tmp_path: Path) -> None:
    """Three heads over 17 positions with a computed mask; a decoding step of one position over the same keys."""
    net = Net(17)
    steps, heads, depth = 17, 3, 20
    feeds = feed(
        net, q=numbers(1, steps, 60), k=numbers(1, steps, 60), v=numbers(1, steps, 60), m=numbers(1, 1, steps, steps)
    )
    split = np.array([1, steps, heads, depth])
    q, v = (net.node("Transpose", net.node("Reshape", x, split), perm=[0, 2, 1, 3]) for x in "qv")
    keys = net.node("Transpose", net.node("Reshape", "k", split), perm=[0, 2, 3, 1])
    scores = net.node("Add", net.node("Mul", net.node("MatMul", q, keys), F(0.25)), "m")
    mixed = net.node("MatMul", net.node("Softmax", scores, axis=-1), v)
    joined = net.node("Reshape", net.node("Transpose", mixed, perm=[0, 2, 1, 3]), np.array([1, steps, 60]))
    net.output(net.node("MatMul", joined, numbers(60, 10)))
    last = net.node("Slice", q, np.array([steps - 1]), np.array([steps]), np.array([2]))
    net.output(net.node("MatMul", net.node("Softmax", net.node("MatMul", last, keys), axis=-1), v))
    session = agrees(net, feeds, target, tmp_path)
    products = [layer["op"] for layer in session.metadata["layers"] if layer["macs"]]
    assert products == ["k.gemm", "k.gemm", "k.fconv", "k.matmul", "k.matmul"]


@on_cpus
def test_products_of_all_shapes(target: str, tmp_path: Path) -> None:
    net = Net(17)
    a, b = numbers(2, 3, 9, 7), numbers(3, 7, 11)
    feeds = feed(
        net,
        a=a,
        b=b,
        row=numbers(7),
        i=integers(5, 6, dtype=np.int32),
        j=integers(6, 9, dtype=np.int32),
        s=numbers(9, 6),
    )
    for left, right in (
        ("a", "b"),
        ("a", "row"),
        ("row", "b"),
        ("i", "j"),
        ("a", numbers(1, 3, 7, 5)),
        (numbers(4, 7), "b"),
    ):
        net.output(net.node("MatMul", left, right))
    net.output(net.node("Gemm", "s", "s", numbers(6), transA=1, alpha=0.5, beta=2.0))
    net.output(net.node("Einsum", "a", "b", equation="xhik,hkj->xijh"))
    agrees(net, feeds, target, tmp_path)


@on_cpus
def test_images(target: str, tmp_path: Path) -> None:
    """Computed weights, volumes, transposed convolutions, resizing and a pool with positions that an unpool reads."""
    net = Net(18)
    feeds = feed(
        net,
        x=numbers(1, 4, 8, 8),
        w=numbers(6, 2, 3, 3),
        line=numbers(1, 4, 12),
        box=numbers(1, 4, 5, 6, 7),
        d=numbers(4, 1, 3, 3),
    )
    net.output(net.node("Conv", "x", "w", group=2, pads=[1, 0, 1, 2], dilations=[1, 2]))
    net.output(net.node("Conv", "x", "d", group=4))
    net.output(net.node("Conv", "line", numbers(5, 4, 3), numbers(5), strides=[2]))
    net.output(net.node("Conv", "box", numbers(5, 4, 2, 3, 3), strides=[2, 1, 1], pads=[1, 0, 1, 0, 1, 1]))
    net.output(
        net.node(
            "AveragePool",
            "box",
            kernel_shape=[2, 2, 3],
            strides=[2, 1, 2],
            pads=[1, 1, 1, 0, 0, 1],
            count_include_pad=1,
        )
    )
    net.output(
        net.node("ConvTranspose", "x", numbers(4, 3, 3, 4), numbers(6), group=2, strides=[2, 3], output_padding=[1, 0])
    )
    net.output(net.node("ConvTranspose", "line", numbers(4, 3, 3), dilations=[2], strides=[2]))
    net.output(net.node("Resize", "x", "", np.array([1, 1, 1.5, 2], F), mode="cubic"))
    net.output(net.node("Resize", "box", "", np.array([1, 1, 2, 1, 2], F), mode="linear"))
    pooled, places = net.nodes("MaxPool", "x", names=("pooled", "places"), kernel_shape=[2, 2], strides=[2, 2])
    net.output(places)
    net.output(net.node("MaxUnpool", pooled, places, kernel_shape=[2, 2], strides=[2, 2]))
    net.output(net.node("LpPool", "x", kernel_shape=[3, 3], p=3, strides=[2, 2]))
    agrees(net, feeds, target, tmp_path)


@on_cpus
def test_places(target: str, tmp_path: Path) -> None:
    """Tables read at computed places, updates written there, and what counts or orders elements."""
    net = Net(18)
    feeds = feed(net, x=numbers(3, 4, 5), i=integers(2, 6, low=-3, high=3), n=integers(3, 4, 5), e=integers(3, 2, 5, low=-4, high=4),
                 u=numbers(3, 2, 5), f=integers(3, 5, dtype=np.int32, low=-9))  # fmt: skip
    net.output(net.node("Gather", "x", "i", axis=0))
    net.output(net.node("Gather", numbers(30, 8), "i"))
    net.output(net.node("GatherElements", "x", "e", axis=1))
    net.output(net.node("GatherND", "n", np.array([[0, -1], [2, 1]])))
    net.output(net.node("Gather", "n", "i", axis=1))
    for how in ("add", "max"):
        net.output(net.node("ScatterElements", "x", "e", "u", axis=1, reduction=how))
    net.output(net.node("OneHot", "i", np.array(3), np.array([0, 5], F)))
    net.output(net.node("CumSum", "x", np.array(1), exclusive=1, reverse=1))
    net.output(net.node("CumSum", "f", np.array(-1)))
    net.output(net.node("ArgMin", "f", axis=1, select_last_index=1))
    for kind in ("ReduceProd", "ReduceMax", "ReduceMean", "ReduceSumSquare"):
        net.output(net.node(kind, "f", np.array([1]), keepdims=0))
        net.output(net.node(kind, "x", np.array([0, 2])))
    net.output(net.node("ReduceLogSumExp", "x", np.array([1])))
    for name in net.nodes("TopK", "n", np.array([2]), names=("largest", "at"), axis=1):
        net.output(name)
    agrees(net, feeds, target, tmp_path)


@on_cpus
def test_places_outside_the_tensor(target: str, tmp_path: Path) -> None:
    """onnxruntime stops there; the library reads the nearest element and drops the update, inside its own memory."""
    net = Net(18)
    feed(net, x=numbers(3, 4), i=integers(6), u=numbers(6, 4))
    net.output(net.node("Gather", "x", "i", name="read"))
    rows = net.node("Reshape", "i", np.array([6, 1]))
    net.output(net.node("ScatterND", "x", rows, "u", reduction="add", name="written"))
    session = build_quickly(net.save(tmp_path / "net.onnx"), target, tmp_path)
    places = np.array([-(2**62), -4, -1, 2, 3, 2**62])
    x, u = numbers(3, 4), numbers(6, 4)
    read, written = session.run(None, {"x": x, "i": places, "u": u})
    np.testing.assert_array_equal(read, x[[0, 0, 2, 2, 2, 2]])
    np.testing.assert_array_equal(written, np.concatenate([x[:2], x[2:] + u[2] + u[3]]))


@on_cpus
def test_normalisations(target: str, tmp_path: Path) -> None:
    net = Net(21)
    feeds = feed(net, x=numbers(2, 6, 5, 4), t=numbers(1, 7, 24))
    scale, shift = numbers(6), numbers(6) + 1
    net.output(net.node("GroupNormalization", "x", scale, shift, num_groups=3))
    net.output(net.node("InstanceNormalization", "x", scale, shift))
    net.output(net.node("LRN", "x", size=3, alpha=0.1))
    net.output(net.node("LpNormalization", "x", axis=1))
    net.output(net.node("MeanVarianceNormalization", "x"))
    for name in net.nodes("LayerNormalization", "t", numbers(24), numbers(24), names=("y", "mean", "inverse")):
        net.output(name)
    agrees(net, feeds, target, tmp_path, terms=200)
