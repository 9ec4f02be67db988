"""Networks with states whose numbers are dyadic, so that bitc and onnxruntime agree to the bit: a step, and the same in a Scan."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STATES = {"v": "v_out", "last": "spikes", "steps": "steps_out"}
"""What is carried; ``last`` is a state that is also what the network gives."""

INITIAL = {"v": np.full((1, 6), 0.25, np.float32), "last": np.array([[0, 1, 0, 0, 1, 1]], np.float32)}
"""What the file gives these states by default; ``steps`` begins at 0."""

_BODY = [
    helper.make_node("MatMul", ["x", "weight"], ["current"]),
    helper.make_node("MatMul", ["last", "recurrent"], ["fed_back"]),
    helper.make_node("Mul", ["v", "decay"], ["leaked"]),
    helper.make_node("Add", ["leaked", "current"], ["excited"]),
    helper.make_node("Add", ["excited", "fed_back"], ["charged"]),
    helper.make_node("GreaterOrEqual", ["charged", "threshold"], ["fires"]),
    helper.make_node("Cast", ["fires"], ["spikes"], to=TensorProto.FLOAT),
    helper.make_node("Where", ["fires", "rest", "charged"], ["v_out"]),
    helper.make_node("Add", ["steps", "one"], ["steps_out"]),
    helper.make_node("ReduceSum", ["v_out"], ["total"], keepdims=0),
]


def _constants() -> list[onnx.TensorProto]:
    generator = np.random.default_rng(3)
    found = {
        "weight": (generator.integers(-3, 4, (10, 6)) / 4).astype(np.float32),
        "recurrent": generator.choice([-0.5, 0.5], (6, 6)).astype(np.float32),
        "decay": np.asarray(0.5, np.float32),
        "threshold": np.asarray(1, np.float32),
        "rest": np.asarray(0, np.float32),
        "one": np.asarray(1, np.int64),
    }
    return [numpy_helper.from_array(array, name) for name, array in found.items()]


def _model(nodes: list[onnx.NodeProto], inputs: list, outputs: list, constants: list) -> onnx.ModelProto:  # type: ignore[type-arg]
    graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
    return helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])


def value(name: str, shape: list[int], dtype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, dtype, shape)


def step_model() -> onnx.ModelProto:
    """One step: x [1, 10] and the states in, total, and the states out."""
    defaults = [numpy_helper.from_array(array, name) for name, array in INITIAL.items()]
    states = [value("v", [1, 6]), value("last", [1, 6]), value("steps", [1], TensorProto.INT64)]
    made = [
        value("total", []),
        value("v_out", [1, 6]),
        value("spikes", [1, 6]),
        value("steps_out", [1], TensorProto.INT64),
    ]
    return _model(_BODY, [value("x", [1, 10]), *states], made, [*_constants(), *defaults])


def scan_model(length: int) -> onnx.ModelProto:
    """The same steps as a Scan over xs [length, 1, 10] from the same beginning: totals [length], and the states at the end."""
    body = helper.make_graph(
        _BODY,
        "body",
        [value("v", [1, 6]), value("last", [1, 6]), value("steps", [1], TensorProto.INT64), value("x", [1, 10])],
        [
            value("v_out", [1, 6]),
            value("spikes", [1, 6]),
            value("steps_out", [1], TensorProto.INT64),
            value("total", []),
        ],
        _constants(),
    )
    given = {**INITIAL, "steps": np.zeros(1, np.int64)}
    begin = [numpy_helper.from_array(array, f"{name}_0") for name, array in given.items()]
    names = [f"{name}_0" for name in STATES]
    node = helper.make_node(
        "Scan", [*names, "xs"], ["v_n", "last_n", "steps_n", "totals"], body=body, num_scan_inputs=1
    )
    outputs = [
        value("v_n", [1, 6]),
        value("last_n", [1, 6]),
        value("steps_n", [1], TensorProto.INT64),
        value("totals", [length]),
    ]
    return _model([node], [value("xs", [length, 1, 10])], outputs, begin)


def sequence(length: int, seed: int = 0) -> np.ndarray:
    """Inputs of ``length`` steps, [length, 1, 10], small integers."""
    return np.random.default_rng(seed).integers(-2, 3, (length, 1, 10)).astype(np.float32)
