"""Three tiny networks whose generated C is kept: bits, bytes, and floats."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

F = np.float32


def _model(
    name: str, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], x: list[int], y: list[int]
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array, key) for key, array in constants.items()]
    ends = [helper.make_tensor_value_info(key, onnx.TensorProto.FLOAT, shape) for key, shape in (("x", x), ("y", y))]
    graph = helper.make_graph(nodes, name, ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _pattern(*shape: int) -> np.ndarray:
    """Integers -3..3 that no generator of random numbers has a say in."""
    return (np.arange(np.prod(shape)) * 37 % 7 - 3).reshape(shape)


def tiny_bits() -> onnx.ModelProto:
    """Two layers of ±1 by ±1."""
    signs = {
        "w": np.where(_pattern(8, 6) >= 0, 1, -1).astype(F),
        "v": np.where(_pattern(6, 3) >= 0, 1, -1).astype(F),
        "b": np.array([0.5, -0.5, 1.5, -1.5, 0.5, -2.5], F),
        "zero": F(0).reshape(()),
        "up": F(1).reshape(()),
        "down": F(-1).reshape(()),
    }
    nodes = [
        helper.make_node("GreaterOrEqual", ["x", "zero"], ["c"]),
        helper.make_node("Where", ["c", "up", "down"], ["s"]),
        helper.make_node("MatMul", ["s", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["q"]),
        helper.make_node("Sign", ["q"], ["t"]),
        helper.make_node("MatMul", ["t", "v"], ["y"]),
    ]
    return _model("tiny_bits", nodes, signs, [1, 8], [1, 3])


def tiny_bytes() -> onnx.ModelProto:
    """A padded convolution of bytes between QDQ pairs."""
    constants = {
        "step": F(0.125).reshape(()),
        "zero": np.uint8(4).reshape(()),
        "w": _pattern(4, 2, 3, 3).astype(np.int8),
        "ws": np.array([0.5, 0.25, 0.125, 1], F),
        "wz": np.zeros(4, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["k"], axis=0),
        helper.make_node("Conv", ["d", "k"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "step", "zero"], ["e"]),
        helper.make_node("DequantizeLinear", ["e", "step", "zero"], ["y"]),
    ]
    return _model("tiny_bytes", nodes, constants, [1, 2, 4, 4], [1, 4, 4, 4])


def tiny_floats() -> onnx.ModelProto:
    """A float convolution, a pool and a softmax over a free batch."""
    constants = {"w": (_pattern(3, 1, 2, 2) * F(0.3)).astype(F)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Softmax", ["f"], ["y"], axis=-1),
    ]
    model = _model("tiny_floats", nodes, constants, [1, 1, 4, 4], [1, 3])
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    return model


NETWORKS = {network.__name__: network for network in (tiny_bits, tiny_bytes, tiny_floats)}
