"""Small ONNX models, and what onnxruntime (unoptimized) or qonnx's executor says they compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

Arrays = Mapping[str, np.ndarray]
Dims = Sequence["int | str | None"]


def node(op_type: str, inputs: str, outputs: str = "y", **attrs: Any) -> onnx.NodeProto:
    """A node from space-separated tensor names; ``_`` leaves an optional input out."""
    names = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(op_type, names, outputs.split(), **attrs)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, np.ndarray | tuple[type | np.dtype, Dims]],
    constants: Arrays | None = None,
    outputs: str = "y",
    opset: int = 13,
    domains: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model; an input is an example array, or a dtype with dimensions that may be names or None."""
    typed = {k: (v.dtype, v.shape) if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
    infos = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(np.dtype(d)), s) for k, (d, s) in typed.items()
    ]
    graph = helper.make_graph(
        list(nodes),
        "small",
        infos,
        [onnx.ValueInfoProto(name=name) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in (domains or {}).items())]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def run_onnxruntime(proto: onnx.ModelProto | bytes | str, inputs: Arrays) -> list[np.ndarray]:
    """Outputs of onnxruntime with every graph optimization off: one kernel for each node of the file."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    data = proto.SerializeToString() if isinstance(proto, onnx.ModelProto) else proto
    return list(ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, dict(inputs)))


def run_qonnx(proto: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray]:
    """Outputs of qonnx's executor; shapes must be static."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    wrapped = ModelWrapper(proto).transform(InferShapes())
    found = execute_onnx(wrapped, dict(inputs))
    return [found[value.name] for value in proto.graph.output]


def assert_equal(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> None:
    """Same dtypes, shapes and values; NaN equals NaN, -0 equals 0."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def assert_close(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> None:
    """Same dtypes and shapes, values within the rounding of another order of summation or another exp."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
