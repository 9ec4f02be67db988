"""ONNX graphs written node by node, with random weights whose statistics keep the signal's size from layer to layer."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

F32 = np.float32


class Graph:
    """A growing graph with a float32 input ``x``. Tensors are named by strings; an operand given as an array becomes an initializer."""

    def __init__(self, name: str, shape: Sequence[int], opset: int = 17) -> None:
        self.rng = np.random.default_rng(0)
        self._name, self._opset = name, opset
        self._inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(shape))]
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def input(self, name: str, shape: Sequence[int]) -> str:
        """Another float32 input."""
        self._inputs.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape)))
        return name

    def named(self, name: str, value: str) -> str:
        """``value`` under a name of the caller's, as outputs want one."""
        self._nodes.append(helper.make_node("Identity", [value], [name], f"node_{name}"))
        return name

    def node(self, kind: str, *operands: str | np.ndarray, **attributes: Any) -> str:
        """A node with one result."""
        names = [operand if isinstance(operand, str) else self.constant(operand) for operand in operands]
        result = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, names, [result], f"node_{result}", **attributes))
        return result

    def constant(self, array: np.ndarray) -> str:
        """An initializer; float64 becomes float32."""
        array = np.asarray(array)
        name = f"c{len(self._constants)}"
        kept = array.astype(F32) if array.dtype == np.float64 else array
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(kept), name))
        return name

    def conv(self, x: str, w: np.ndarray, *, stride: int = 1, pad: int | None = None, bias: bool = False) -> str:
        """A convolution [M, C/group, K, K] with padding that keeps the size, unless told; depthwise if C/group is 1 and M is not."""
        taps = w.shape[2]
        pads = [taps // 2 if pad is None else pad] * 4
        operands = (x, w, self.rng.normal(0, 0.1, len(w))) if bias else (x, w)
        sizes = {"kernel_shape": [taps, taps], "strides": [stride, stride], "pads": pads}
        return self.node("Conv", *operands, **sizes)

    def depthwise(self, x: str, channels: int, *, stride: int = 1, bias: bool = False) -> str:
        """A 3x3 convolution of each channel with its own weights."""
        w = self.normal(channels, 1, 3, 3)
        operands = (x, w, self.rng.normal(0, 0.1, channels)) if bias else (x, w)
        sizes = {"kernel_shape": [3, 3], "strides": [stride, stride], "pads": [1] * 4, "group": channels}
        return self.node("Conv", *operands, **sizes)

    def normal(self, *shape: int) -> np.ndarray:
        """Weights [M, ...] of a layer with ReLU (He et al. 2015)."""
        return self.rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))

    def signs(self, *shape: int, scaled: bool = True) -> np.ndarray:
        """Weights [M, ...] of ±a for each output, as training leaves them (Rastegari et al. 2016); ±1 unless ``scaled``."""
        signs = self.rng.choice(np.array([-1.0, 1.0]), shape)
        size = self.rng.uniform(0.5, 1.5, (shape[0], *[1] * (len(shape) - 1))) / np.sqrt(np.prod(shape[1:]))
        return signs * size if scaled else signs

    def norm(self, x: str, channels: int, terms: int = 1) -> str:
        """Batch normalisation of sums of ``terms`` terms ±1 (of numbers of size 1 for one term)."""
        scale, bias = self.rng.uniform(0.5, 1.5, channels), self.rng.normal(0, 0.2, channels)
        mean, var = self.rng.normal(0, 0.1 * np.sqrt(terms), channels), terms * self.rng.uniform(0.5, 1.5, channels)
        return self.node("BatchNormalization", x, scale, bias, mean, var)

    def dense(self, x: str, w: np.ndarray) -> str:
        """A dense layer with weights [M, C] and a bias."""
        return self.node("Gemm", x, w, self.rng.normal(0, 0.1, len(w)), transB=1)

    def max_pool(self, x: str, taps: int = 2, stride: int = 2, pad: int = 0) -> str:
        """The maximum of each window."""
        return self.node("MaxPool", x, kernel_shape=[taps, taps], strides=[stride, stride], pads=[pad] * 4)

    def head(self, x: str, channels: int, classes: int) -> str:
        """The mean of each channel, and a dense layer of float weights."""
        pooled = self.node("Flatten", self.node("GlobalAveragePool", x))
        return self.dense(pooled, self.normal(classes, channels))

    def model(self, *outputs: str) -> onnx.ModelProto:
        """The graph that gives ``outputs``, checked."""
        results = [onnx.ValueInfoProto(name=output) for output in outputs]
        graph = helper.make_graph(self._nodes, self._name, self._inputs, results, self._constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=9)
        made = onnx.shape_inference.infer_shapes(made)
        onnx.checker.check_model(made)
        return made


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` in 8 bits by onnxruntime's own static quantizer: QDQ, weights i8 per channel, activations u8, ranges of random images."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    value = model.graph.input[0]
    shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
    rng = np.random.default_rng(1)
    samples = iter([{value.name: rng.standard_normal(shape).astype(F32)} for _ in range(2)])

    class Images(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(samples, None)

    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            made,
            Images(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
        return onnx.load(made)


def dynamically_quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with products of 8 bits by onnxruntime's own dynamic quantizer: weights i8, activations by their range at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantize_dynamic(source, made, weight_type=QuantType.QInt8)
        return onnx.load(made)
