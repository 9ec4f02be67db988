"""One network, several exporters: what each writes becomes the same ``q`` IR, name by name and op by op.

The networks are written here as each tool writes them; twins that trained networks were exported to are compared where they lie.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, helper, numpy_helper
from passes.harness import plain_text

from bitc.frontend import import_model
from bitc.ir import Graph, Op, Value
from bitc.passes import to_codes
from bitc.passes.pipeline import run_passes

F = np.float32
QONNX = "qonnx.custom_op.general"
RANDOM = np.random.default_rng(5)
CONV_CODES = RANDOM.integers(-1, 2, (6, 3, 3, 3)).astype(F)
CONV_SCALES = (2.0 ** RANDOM.integers(-4, 0, 6)).astype(F)
DENSE_CODES = RANDOM.integers(-7, 8, (5, 96)).astype(F)
GAMMA, BETA = RANDOM.normal(0, 0.4, 6).astype(F), RANDOM.normal(0, 1, 6).astype(F)
CONV_SIGNS, DENSE_SIGNS = RANDOM.choice([-1, 1], (6, 3, 3, 3)).astype(F), RANDOM.choice([-1, 1], (5, 96)).astype(F)
LATENT = np.abs(RANDOM.normal(1, 0.3, (6, 3, 3, 3))).astype(F) + F(0.01)


class Writer:
    """Nodes one after another; an array becomes an initializer."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.shape = shape

    def __call__(self, kind: str, *operands: str | np.ndarray, domain: str = "", **attrs: Any) -> str:
        names = [x if isinstance(x, str) else self._constant(x) for x in operands]
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [name], domain=domain, **attrs))
        return name

    def _constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def model(self, output: str, opset: int) -> ModelProto:
        x = helper.make_tensor_value_info("x", 1, self.shape)
        y = helper.make_tensor_value_info(output, 1, None)
        graph = helper.make_graph(self.nodes, "g", [x], [y], self.constants)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid(QONNX, 2)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


Exporter = Callable[[Writer], str]


def q_graph(model: ModelProto | Path) -> Graph:
    """The model after the passes to codes."""
    source = model if isinstance(model, Path) else model.SerializeToString()
    return run_passes(import_model(source), to_codes())


def canonical(graph: Graph) -> str:
    """The text of ``graph`` with values numbered from the outputs back, so that neither names, nodes nor the file's order shows."""
    order: list[Op] = []
    done: set[Op] = set()
    stack: list[tuple[Value, bool]] = [(value, False) for value in reversed(graph.outputs)]
    while stack:
        value, expanded = stack.pop()
        op = value.producer
        if op is None or op in done:
            continue
        if expanded:
            done.add(op)
            order.append(op)
        else:
            stack.append((value, True))
            stack.extend((operand, False) for operand in reversed(op.operands))
    for index, value in enumerate(graph.inputs):
        value.name = f"input{index}"
    return plain_text(Graph("g", graph.inputs, order, graph.outputs))


def assert_same_form(written: dict[str, Exporter], shape: tuple[int, ...], opset: int = 17) -> Graph:
    """All exporters' graphs print alike; the first one."""
    graphs = {}
    for name, export in written.items():
        writer = Writer(shape)
        graphs[name] = q_graph(writer.model(export(writer), opset))
    first, *others = graphs
    wanted = canonical(graphs[first])
    for name in others:
        assert canonical(graphs[name]) == wanted, f"{name} is not {first}"
    return graphs[first]


def products(graph: Graph) -> list[Op]:
    return [op for op in graph.ops if op.name in ("q.conv", "q.matmul", "q.int_conv", "q.int_matmul")]


def batch_norm(n: Writer, x: str) -> str:
    return n("BatchNormalization", x, GAMMA, BETA, np.zeros(6, F), np.ones(6, F), epsilon=0.0)


def flat(n: Writer, x: str) -> str:
    return n("Flatten", x)


# --- QONNX and QCDQ: 8-bit input, ternary weights and activations, 4-bit weights at the end --------------------------------------------


def quant(n: Writer, x: str | np.ndarray, scale: Any, bits: int) -> str:
    operands = (x, np.asarray(scale, F), F(0), F(bits))
    return n("Quant", *operands, domain=QONNX, signed=1, narrow=1, rounding_mode="ROUND")


def brevitas_qonnx(n: Writer) -> str:
    x = quant(n, "x", 2.0**-5, 8)
    w = quant(n, CONV_CODES * CONV_SCALES.reshape(6, 1, 1, 1), CONV_SCALES.reshape(6, 1, 1, 1), 2)
    x = quant(n, batch_norm(n, n("Conv", x, w, pads=[1, 1, 1, 1])), 0.5, 2)
    x = flat(n, n("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    w = n("Transpose", quant(n, DENSE_CODES * F(0.25), 0.25, 4), perm=[1, 0])
    return n("MatMul", x, w)


def qcdq(n: Writer, x: str, scale: float, most: int) -> str:
    q = n("QuantizeLinear", x, F(scale), np.int8(0))
    return n("DequantizeLinear", n("Clip", q, np.int8(-most), np.int8(most)), F(scale), np.int8(0))


def brevitas_qcdq(n: Writer) -> str:
    """Weights as int8 initializers, clipped to their bits; scales and zero points by channel."""
    x = qcdq(n, "x", 2.0**-5, 127)
    w = n("Clip", CONV_CODES.astype(np.int8), np.int8(-1), np.int8(1))
    w = n("DequantizeLinear", w, CONV_SCALES, np.zeros(6, np.int8), axis=0)
    x = qcdq(n, batch_norm(n, n("Conv", x, w, pads=[1, 1, 1, 1])), 0.5, 1)
    x = flat(n, n("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    w = n("DequantizeLinear", n("Clip", DENSE_CODES.astype(np.int8), np.int8(-7), np.int8(7)), F(0.25), np.int8(0))
    return n("MatMul", x, n("Transpose", w, perm=[1, 0]))


def brevitas_qcdq_dynamo(n: Writer) -> str:
    """Weights as floats with a quantizer; the dense layer as Reshape and Gemm."""
    x = qcdq(n, "x", 2.0**-5, 127)
    w = n("QuantizeLinear", CONV_CODES * CONV_SCALES.reshape(6, 1, 1, 1), CONV_SCALES, np.zeros(6, np.int8), axis=0)
    w = n("DequantizeLinear", n("Clip", w, np.int8(-1), np.int8(1)), CONV_SCALES, np.zeros(6, np.int8), axis=0)
    x = qcdq(n, batch_norm(n, n("Conv", x, w, pads=[1, 1, 1, 1])), 0.5, 1)
    x = n("Reshape", n("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), np.array([1, 96]), allowzero=1)
    w = qcdq(n, DENSE_CODES * F(0.25), 0.25, 7)
    return n("Gemm", x, w, transB=1)


def test_qonnx_and_qcdq() -> None:
    written = {"QONNX": brevitas_qonnx, "QCDQ": brevitas_qcdq, "QCDQ by dynamo": brevitas_qcdq_dynamo}
    assert len({op.loc for op in products(assert_same_form(written, (1, 3, 8, 8)))}) == 2


# --- five ways to write a sign ---------------------------------------------------------------------------------------------------------


def sign_network(sign: Callable[[Writer, str], str]) -> Exporter:
    def export(n: Writer) -> str:
        x = batch_norm(n, n("Conv", sign(n, "x"), CONV_SIGNS, pads=[1, 1, 1, 1]))
        x = n("MaxPool", sign(n, x), kernel_shape=[2, 2], strides=[2, 2])
        return n("Gemm", flat(n, x), DENSE_SIGNS * F(0.5), transB=1)

    return export


def where(n: Writer, x: str) -> str:
    return n("Where", n("GreaterOrEqual", x, F(0)), F(1), F(-1))


def greater_cast_mul_sub(n: Writer, x: str) -> str:
    below = n("Cast", n("Greater", F(0), x), to=1)
    return n("Sub", F(1), n("Mul", below, F(2)))


def bipolar_quant(n: Writer, x: str) -> str:
    return n("BipolarQuant", x, F(1), domain=QONNX)


def multi_threshold(n: Writer, x: str) -> str:
    attrs = {"out_dtype": "BIPOLAR", "out_scale": 2.0, "out_bias": -1.0}
    return n("MultiThreshold", x, np.zeros((1, 1), F), domain=QONNX, **attrs)


def larq_sign(n: Writer, x: str) -> str:
    """sign(sign(x) + 0.1), which maps 0 to +1."""
    return n("Sign", n("Add", n("Sign", x), F(0.1)))


def straight_through(n: Writer, x: str) -> str:
    """The residue of an estimator; the clip stands twice in the file."""
    clipped = [n("Clip", x, F(-1), F(1)) for _ in range(2)]
    return n("Add", n("Sub", where(n, x), clipped[0]), clipped[1])


SIGNS = {
    "Where": where,
    "Greater, Cast, Mul, Sub": greater_cast_mul_sub,
    "BipolarQuant": bipolar_quant,
    "MultiThreshold": multi_threshold,
    "larq": larq_sign,
    "straight-through": straight_through,
}


def test_signs() -> None:
    graph = assert_same_form({name: sign_network(sign) for name, sign in SIGNS.items()}, (1, 3, 8, 8))
    assert [op.name for op in graph.ops if op.name.startswith("q.")].count("q.threshold") == 2


# --- TorchScript and dynamo ------------------------------------------------------------------------------------------------------------


def torchscript(n: Writer) -> str:
    """Constant weights; Flatten, Transpose, MatMul."""
    x = batch_norm(n, n("Conv", where(n, "x"), CONV_SIGNS * F(0.25), pads=[1, 1, 1, 1]))
    x = flat(n, n("MaxPool", where(n, x), kernel_shape=[2, 2], strides=[2, 2]))
    return n("MatMul", x, n("Transpose", DENSE_SIGNS, perm=[1, 0]))


def dynamo(n: Writer) -> str:
    """Latent weights and what binarizes them, constants as large as the tensor, Reshape and Gemm."""

    def sign(x: str | np.ndarray, shape: tuple[int, ...]) -> str:
        ones = np.ones(shape, F)
        return n("Where", n("GreaterOrEqual", x, F(0)), ones, n("Neg", ones))

    w = n("Mul", sign(CONV_SIGNS * LATENT, CONV_SIGNS.shape), F(0.25))
    x = batch_norm(n, n("Conv", sign("x", (1, 3, 8, 8)), w, pads=[1, 1, 1, 1]))
    x = n("MaxPool", sign(x, (1, 6, 8, 8)), kernel_shape=[2, 2], strides=[2, 2])
    x = n("Reshape", x, np.array([1, 96]), allowzero=1)
    return n("Gemm", x, sign(DENSE_SIGNS * F(0.3), DENSE_SIGNS.shape), transB=1)


def test_torchscript_and_dynamo() -> None:
    graph = assert_same_form({"TorchScript": torchscript, "dynamo": dynamo}, (1, 3, 8, 8))
    assert [op.name for op in products(graph)] == ["q.conv", "q.conv"]


# --- QDQ and QOperator -----------------------------------------------------------------------------------------------------------------

X_SCALE, Y_SCALE, Z_SCALE, W_SCALE, V_SCALE = F(0.02), F(0.11), F(0.4), F(0.013), F(0.021)
CONV_BYTES = RANDOM.integers(-127, 128, (6, 3, 3, 3)).astype(np.int8)
DENSE_BYTES = RANDOM.integers(-127, 128, (96, 5)).astype(np.int8)
BIAS = RANDOM.integers(-999, 1000, 6).astype(np.int32)
U0, I0 = np.uint8(0), np.int8(0)


def qdq(n: Writer) -> str:
    """onnxruntime's QDQ form: the pool is wrapped in quantizers, the Relu is the range of uint8."""

    def again(x: str, scale: np.floating) -> str:
        return n("DequantizeLinear", n("QuantizeLinear", x, scale, U0), scale, U0)

    w, bias = n("DequantizeLinear", CONV_BYTES, W_SCALE, I0), n("DequantizeLinear", BIAS, X_SCALE * W_SCALE)
    x = n("Conv", again("x", X_SCALE), w, bias, pads=[1, 1, 1, 1])
    x = again(n("MaxPool", again(x, Y_SCALE), kernel_shape=[2, 2], strides=[2, 2]), Y_SCALE)
    x = n("MatMul", again(flat(n, x), Y_SCALE), n("DequantizeLinear", DENSE_BYTES, V_SCALE, I0))
    return again(x, Z_SCALE)


def qoperator(n: Writer) -> str:
    """The same in operators on integers."""
    x = n("QuantizeLinear", "x", X_SCALE, U0)
    x = n("QLinearConv", x, X_SCALE, U0, CONV_BYTES, W_SCALE, I0, Y_SCALE, U0, BIAS, pads=[1, 1, 1, 1])
    x = flat(n, n("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    x = n("QLinearMatMul", x, Y_SCALE, U0, DENSE_BYTES, V_SCALE, I0, Z_SCALE, U0)
    return n("DequantizeLinear", x, Z_SCALE, U0)


def assert_same_products(graphs: list[Graph]) -> int:
    """Equal operators, geometry, weights and stored activations; biases and what is behind the sums may differ. How many there are."""
    rows = list(zip(*map(products, graphs), strict=True))
    for a, b in rows:
        assert a.name == b.name
        assert {k: v for k, v in a.attrs.items() if k != "exact"} == {k: v for k, v in b.attrs.items() if k != "exact"}
        assert a.operands[0].type == b.operands[0].type
        assert np.array_equal(a.operands[1].constant, b.operands[1].constant)
    return len(rows)


def between_products(graph: Graph) -> list[str]:
    """The ops that only move codes or make them, constants aside: what lies between one product's epilogue and the next product."""
    arithmetic = ("nn.constant", "nn.cast", "nn.mul", "nn.div", "nn.add")
    return [op.name for op in graph.ops if op.name not in arithmetic]


def test_qdq_and_qoperator() -> None:
    """QOperator multiplies once where QDQ rescales twice, so epilogues differ by design; nothing else does."""
    graphs = []
    for export in (qdq, qoperator):
        writer = Writer((1, 3, 8, 8))
        graphs.append(q_graph(writer.model(export(writer), 17)))
    assert assert_same_products(graphs) == 2
    assert between_products(graphs[0]) == between_products(graphs[1])


# --- twins of trained networks ---------------------------------------------------------------------------------------------------------


def test_trained_qonnx_and_qcdq(shared: Path) -> None:
    twins = [shared / f"models/brevitas_exports/brevitas_w2a2_{dialect}.onnx" for dialect in ("qonnx", "qcdq")]
    a, b = map(q_graph, twins)
    assert len({op.loc for op in products(a)}) == 4
    assert canonical(a) == canonical(b)


def test_trained_qdq_and_qoperator(shared: Path) -> None:
    twins = [q_graph(shared / f"models/ort_quant/mnist_cnn_{form}_u8u8.onnx") for form in ("qdq", "qop")]
    assert assert_same_products(twins) == 3
    assert between_products(twins[0]) == between_products(twins[1])


def test_trained_torchscript_and_dynamo(shared: Path) -> None:
    a, b = (q_graph(shared / f"models/torch_exports/xnor_cnn_sign_{exporter}.onnx") for exporter in ("ts", "dynamo"))
    assert canonical(a) == canonical(b)
