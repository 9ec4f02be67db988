"""Small networks at level ``q``, built by hand; floats are small whole numbers, so every order of summation gives the same bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bitc.ir import BIPOLAR, TERNARY, Builder, CodeType, DType, Graph, Levels, TensorType, Value
from bitc.passes import to_kernels
from bitc.passes.base import Pass
from bitc.passes.flatten_ranks import FlattenRanks
from bitc.passes.padding import ExactPadding
from bitc.passes.pipeline import run_passes

FOUR = Levels(0, 1, 4)


class Net:
    """A graph in the making and the random numbers for its weights."""

    def __init__(self, seed: int) -> None:
        self.b = Builder()
        self.rng = np.random.default_rng(seed)
        self.inputs: list[Value] = []

    def input(self, *shape: int, dtype: DType = DType.F32) -> Value:
        """A graph input."""
        self.inputs.append(self.b.input(f"x{len(self.inputs)}", TensorType(shape, dtype)))
        return self.inputs[-1]

    def graph(self, *outputs: Value, **attrs: object) -> Graph:
        """The finished graph."""
        return Graph("net", self.inputs, self.b.ops, outputs, attrs)

    def const(self, array: object, dtype: type = np.float32) -> Value:
        """A constant."""
        return self.b.constant(np.asarray(array, dtype))

    def whole(self, *shape: int, low: int = -3, high: int = 4) -> Value:
        """A float constant of random whole numbers."""
        return self.const(self.rng.integers(low, high, shape))

    def signs(self, *shape: int) -> Value:
        """Constant ±1 codes."""
        return self.b.add("q.encode", self.const(self.rng.choice([-1.0, 1.0], shape)), levels=BIPOLAR)

    def threshold(
        self, x: Value, levels: Levels = BIPOLAR, scale: float = 1.0, spread: int = 12, one_row: bool = False
    ) -> Value:
        """Thresholds at random whole numbers, a third of the channels descending."""
        assert isinstance(x.type, TensorType)
        rows = 1 if one_row else x.shape[1]
        t = np.sort(self.rng.integers(-spread, spread, (rows, levels.planes)), axis=1)
        down = np.zeros(1, bool) if one_row else self.rng.random(rows) < 0.3
        edges = self.b.constant(t.astype(x.type.dtype.numpy))
        return self.b.add("q.threshold", x, edges, self.b.constant(down), levels=levels, scale=scale)

    def conv(
        self, x: Value, channels: int, kernel: Sequence[int] = (3, 3), *, stride: int = 1, pad: int = 1, dilation: int = 1,
        group: int = 1, pads: Sequence[int] | None = None, pad_level: int = 0,
    ) -> Value:  # fmt: skip
        """A convolution of codes (int32) or of numbers."""
        geometry = {
            "strides": (stride,) * len(kernel),
            "pads": tuple(pads) if pads is not None else (pad,) * (2 * len(kernel)),
            "dilations": (dilation,) * len(kernel),
            "group": group,
        }
        shape = (channels, x.shape[1] // group, *kernel)
        if isinstance(x.type, CodeType):
            return self.b.add("q.conv", x, self.signs(*shape), pad_level=pad_level, **geometry)
        return self.b.add("nn.conv", x, self.whole(*shape), **geometry)

    def pool(
        self, x: Value, size: int = 2, stride: int = 2, pad: int = 0, name: str = "nn.max_pool", **attrs: object
    ) -> Value:
        """A pool of codes (some channels take the minimum) or of numbers."""
        geometry = {"kernel": (size,) * 2, "strides": (stride,) * 2, "pads": (pad,) * 4, "dilations": (1, 1), **attrs}
        if isinstance(x.type, CodeType):
            minimum = self.b.constant(self.rng.random(x.shape[1]) < 0.5)
            return self.b.add("q.max_pool", x, minimum, **geometry)
        return self.b.add(name, x, **geometry)

    def floats(self, x: Value) -> Value:
        """An accumulator as float32."""
        return self.b.add("nn.cast", x, to=DType.F32)


def convolutions() -> Graph:
    """Zero-padded convolutions of ±1 and ternary codes, a pool, a residual sum in float, a dense end."""
    n = Net(1)
    x = n.input(1, 3, 10, 12)
    h = n.threshold(n.conv(n.threshold(x), 20))
    h = n.pool(n.threshold(n.conv(h, 70), TERNARY, 0.5))
    f = n.b.add("nn.mul", n.floats(n.conv(h, 70)), n.whole(70, 1, 1, low=1))
    f = n.b.add("nn.add", f, n.b.add("q.decode", h))
    g = n.b.add("nn.add", f, n.floats(n.conv(n.threshold(f), 70)))
    g = n.b.add("nn.max", g, n.const(0.0))
    y = n.b.add("nn.matmul", n.b.add("nn.reduce_max", g, axes=(2, 3), keepdims=False), n.whole(70, 10))
    return n.graph(n.b.add("nn.add", y, n.whole(10)))


def grouped() -> Graph:
    """Grouped, depthwise, strided, dilated convolutions of several planes, two images at a time."""
    n = Net(2)
    h = n.threshold(n.input(2, 96, 9, 9), TERNARY)
    h = n.threshold(n.conv(h, 96, group=3, stride=2), TERNARY)
    h = n.threshold(n.conv(h, 96, group=96, pad=2, dilation=2), FOUR)
    y = n.floats(n.conv(h, 32, (1, 1), pad=0, group=2))
    return n.graph(n.conv(y, 32, group=32), n.conv(y, 8, (3, 2), pads=(0, 1, 2, 0), group=4))


def dense() -> Graph:
    """A multi-layer perceptron on three rows: ±1, then four levels; signs as weights of floats."""
    n = Net(3)
    x = n.input(3, 130)
    h = n.threshold(n.b.add("q.matmul", n.threshold(x), n.signs(130, 70)), FOUR, 0.25)
    y = n.floats(n.b.add("q.matmul", h, n.signs(70, 33)))
    y = n.b.add("q.weight_matmul", n.b.add("nn.relu", y), n.signs(33, 7))
    values, places = n.b.add_multi("nn.topk", y, k=3)
    return n.graph(y, values, places, n.b.add("nn.argmax", y, axis=1, keepdims=False))


def floats() -> Graph:
    """Float convolutions with halos, pools, weights-only convolution, reductions over scattered axes."""
    n = Net(4)
    x = n.input(2, 5, 9, 8)
    h = n.b.add("nn.relu", n.conv(x, 12, stride=2))
    h = n.b.add("q.weight_conv", h, n.signs(9, 12, 3, 3), strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1))
    m = n.pool(h, 3, 2, 1)
    a = n.pool(n.b.add("nn.mul", h, n.const(4.0)), 2, 2, 0, "nn.avg_pool")
    edges = [
        n.pool(h, 3, 2, 1, "nn.avg_pool", count_pad=count, ceil=ceil)
        for count in (False, True)
        for ceil in (False, True)
    ]
    whole = n.b.add("nn.max_pool", m, kernel=m.shape[2:], strides=(1, 1), pads=(0,) * 4, dilations=(1, 1))
    sums = n.b.add("nn.reduce_sum", m, axes=(0, 2), keepdims=False)
    low = n.b.add("nn.reduce_min", m, axes=(1,), keepdims=True)
    return n.graph(m, a, whole, sums, low, *edges)


def moves() -> Graph:
    """Transposes, slices (also backwards), pads, concatenations, gathers, repeats, reshapes of images and back."""
    n = Net(5)
    x = n.input(2, 6, 4, 5)
    h = n.b.add("nn.mul", x, n.whole(6, 1, 1, low=1))
    t = n.b.add("nn.transpose", h, perm=(0, 3, 1, 2))
    r = n.b.add("nn.reshape", t, shape=(2, 30, 4))
    s = n.b.add("nn.slice", h, starts=(0, 5, 0, 1), stops=(2, -1, 4, 5), steps=(1, -2, 1, 2))
    p = n.b.add("nn.pad", s, pads=(0, 1, 0, 0, 0, 0, 2, 1), value=3.0)
    c = n.b.add("nn.concat", h, n.b.add("nn.neg", h), n.whole(2, 1, 4, 5), axis=1)
    g = n.b.add("nn.gather", c, indices=np.array([[3, 0], [-1, 2]]), axis=1)
    k = n.b.add("nn.gather", x, indices=np.array([0, 0, 1, 1, 3]), axis=2)
    e = n.b.add("nn.expand", n.b.add("nn.reduce_sum", h, axes=(1, 2), keepdims=True), shape=(2, 3, 2, 5))
    long = n.b.add("nn.transpose", n.b.add("nn.reshape", h, shape=(2, 2, 3, 2, 2, 5)), perm=(5, 0, 3, 1, 4, 2))
    return n.graph(t, r, p, c, g, k, e, long)


def ports() -> Graph:
    """Outputs that are an input, a constant, one value twice; inputs and outputs of other dtypes."""
    n = Net(6)
    x, u, i = n.input(2, 4), n.input(2, 4, dtype=DType.U8), n.input(2, 4, dtype=DType.I64)
    y = n.b.add("nn.add", x, n.b.add("nn.cast", u, to=DType.F32))
    flags = n.b.add("nn.greater", y, n.const(4.0))
    total = n.b.add("nn.add", i, n.b.add("nn.cast", u, to=DType.I64))
    small = n.b.add("nn.cast", n.b.add("nn.cast", total, to=DType.F32), to=DType.I8)
    return n.graph(x, n.whole(3), y, y, flags, total, small, n.b.add("nn.reshape", x, shape=(8,)))


def shared_accumulators() -> Graph:
    """An accumulator (with its border) read by a threshold and by floats; codes read with several paddings and levels."""
    n = Net(7)
    x = n.input(1, 9, 6, 7)
    h = n.threshold(x, TERNARY)
    a, c = n.conv(h, 40), n.conv(h, 40, (5, 5), pads=(2, 0, 1, 3), pad_level=1)
    s = n.b.add("nn.add", n.floats(a), n.floats(n.conv(n.threshold(a), 40)))
    bordered = n.threshold(n.conv(n.threshold(c), 5, stride=2))
    return n.graph(s, n.b.add("q.decode", bordered), n.conv(x, 4, stride=3))


def broadcasts() -> Graph:
    """Maps with operands that repeat (a channel's gate, a row vector), whole-size constants, several results, work in place."""
    n = Net(8)
    x = n.input(2, 7, 5, 6)
    h = n.b.add("nn.add", n.conv(x, 7), n.whole(1, 7, 5, 6))
    gate = n.b.add("nn.relu", n.b.add("nn.reduce_max", h, axes=(2, 3), keepdims=True))
    row = n.b.add("nn.reduce_max", h, axes=(0, 1, 2), keepdims=False)
    y = n.b.add("nn.sub", n.b.add("nn.mul", h, gate), row)
    z = n.b.add("nn.where", n.b.add("nn.less", y, n.const(0.0)), n.b.add("nn.neg", y), h)
    return n.graph(y, n.b.add("nn.abs", z), n.b.add("nn.min", z, n.whole(7, 1, 1)))


def other_ranks() -> Graph:
    """Codes of rank 3 in matrix products, one-dimensional convolutions, codes that are moved."""
    n = Net(9)
    x = n.input(2, 8, 16)
    h = n.threshold(n.conv(n.threshold(x, TERNARY), 20, (3,)))
    minimum = n.b.constant(np.zeros(20, bool))
    h = n.b.add("q.max_pool", h, minimum, kernel=(2,), strides=(2,), pads=(0, 0), dilations=(1,))
    rows = n.threshold(x, FOUR, one_row=True)
    p = n.threshold(n.b.add("q.matmul", rows, n.signs(16, 30)), TERNARY, one_row=True)
    q = n.b.add("q.matmul", p, n.signs(30, 9))
    turned = n.b.add("nn.reshape", n.b.add("nn.transpose", h, perm=(0, 2, 1)), shape=(16, 20))
    return n.graph(n.b.add("q.decode", h), n.floats(q), n.floats(n.b.add("q.matmul", turned, n.signs(20, 6))))


def free_batch() -> Graph:
    """One item of a network whose batch dimension is free."""
    n = Net(10)
    x = n.input(1, 4, 6, 6)
    y = n.floats(n.conv(n.threshold(n.conv(n.threshold(x), 40)), 3, (6, 6), pad=0))
    return n.graph(n.b.add("nn.reshape", y, shape=(1, 3)), batch="N")


NETS: tuple[Callable[[], Graph], ...] = (
    convolutions, grouped, dense, floats, moves, ports, shared_accumulators, broadcasts, other_ranks, free_batch,
)  # fmt: skip


def random_chain(seed: int) -> Graph:
    """A random chain of layers over one image, now in codes, now in numbers."""
    n = Net(seed)
    size = n.rng.integers(5, 12, 2)
    x = n.input(int(n.rng.integers(1, 3)), int(n.rng.integers(1, 70)), *map(int, size))
    h = n.threshold(x, (BIPOLAR, TERNARY, FOUR)[n.rng.integers(3)])
    for _ in range(int(n.rng.integers(2, 5))):
        kernel = (int(n.rng.integers(1, 4)), int(n.rng.integers(1, 4)))
        pads = tuple(int(p) for p in n.rng.integers(0, 3, 4))
        acc = n.conv(h, int(n.rng.integers(1, 80)), kernel, pads=pads, stride=int(n.rng.integers(1, 3)))
        levels = (BIPOLAR, TERNARY, FOUR)[n.rng.integers(3)]
        if n.rng.random() < 0.5:
            f = n.b.add("nn.add", n.floats(acc), n.whole(acc.shape[1], 1, 1))
            acc = n.conv(f, int(n.rng.integers(1, 20))) if n.rng.random() < 0.3 else f
        h = n.threshold(acc, levels)
        if n.rng.random() < 0.3 and min(h.shape[2:]) > 1:
            h = n.pool(h)
    return n.graph(n.b.add("q.decode", h))


def inputs_of(graph: Graph, seed: int = 0, items: int | None = None) -> list[np.ndarray]:
    """Random whole numbers for each input; with ``items`` so many of them along the first axis."""
    rng = np.random.default_rng(seed)
    shapes = [v.shape if items is None else (items, *v.shape[1:]) for v in graph.inputs]
    return [
        rng.integers(0 if v.type.dtype is DType.U8 else -9, 10, shape).astype(v.type.dtype.numpy)  # type: ignore[union-attr]
        for v, shape in zip(graph.inputs, shapes, strict=True)
    ]


def prepared(graph: Graph) -> Graph:
    """The graph as it comes to the kernel passes: ranks flat, padding exact."""
    return run_passes(graph, (FlattenRanks(), ExactPadding()))


def kernel_passes(
    bit_block: int = 8, byte_rows: bool = False, float_block: int = 8, integers: str = "portable"
) -> tuple[Pass, ...]:
    """The passes from there to kernel calls."""
    return to_kernels(bit_block=bit_block, byte_rows=byte_rows, float_block=float_block, integers=integers)
