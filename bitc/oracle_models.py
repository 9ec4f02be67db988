"""Models restated for an oracle that would otherwise not read them, or compute them wrongly: the same meaning in other words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

_GENERAL, _TRUNC_V1 = "qonnx.custom_op.general", "onnx.brevitas"
_DOMAINS = ("qonnx", "onnx.brevitas", "finn")
_IN_STANDARD_DOMAIN = ("Quant", "IntQuant", "BipolarQuant")
"""What an exporter of 2021 put into the default domain."""

_PRODUCTS = {
    "QLinearConv": (2, 3, 5),
    "QLinearMatMul": (2, 3, 5),
    "QGemm": (2, 3, 5),
    "MatMulInteger": (2, 1, 3),
    "MatMulIntegerToFloat": (4, 1, 5),
    "DynamicQuantizeMatMul": (-1, 1, 3),
}
"""By op type: the inputs that hold the activations' zero point, the weights, and the weights' zero point."""

_CONTRIB = "com.microsoft"
_ZERO_OF_RESULT = {"QLinearAdd": 7, "QLinearMul": 7, "QLinearConcat": 1, "QGemm": 8, "QLinearWhere": 8}
_ZERO_OF_RESULT |= {
    f"QLinear{name}": 4 for name in ("AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax")
}
"""By op type of com.microsoft: the input that holds the result's zero point."""


def is_qonnx(node: onnx.NodeProto) -> bool:
    """Whether qonnx's executor has to run this node."""
    return node.domain.startswith(_DOMAINS) or (not node.domain and node.op_type in _IN_STANDARD_DOMAIN)


def for_qonnx(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose QONNX nodes are in the domains and versions that qonnx 1.0 looks up.

    It knows neither FINN's domain nor the default one, and picks Trunc's version by the opset import, where the number of inputs
    decides: version 1 has five. Its two domains for the same operators hold one version each here.
    """
    known = onnx.ModelProto()
    known.CopyFrom(model)
    for node in known.graph.node:
        if is_qonnx(node) and node.domain in ("", "finn.custom_op.general", _GENERAL, _TRUNC_V1):
            is_old_trunc = node.op_type == "Trunc" and len(node.input) == 5
            node.domain = _TRUNC_V1 if is_old_trunc else _GENERAL
    kept = [entry for entry in known.opset_import if entry.domain not in (_GENERAL, _TRUNC_V1)]
    del known.opset_import[:]
    known.opset_import.extend([*kept, onnx.helper.make_opsetid(_GENERAL, 2), onnx.helper.make_opsetid(_TRUNC_V1, 1)])
    return known


def for_onnxruntime(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """A copy whose int8 weights beside uint8 activations are uint8 with a zero point 128 higher; None if there are none.

    On a CPU without VNNI instructions onnxruntime's kernels of uint8 times int8 add pairs of products in saturating 16 bits (255 · 127 · 2
    exceeds them); its kernels of uint8 times uint8 are exact on all CPUs.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = list(_unsafe_products(model, constants))
    if not found:
        return None
    restated = onnx.ModelProto()
    restated.CopyFrom(model)
    names = set(constants)
    for index in found:
        node = restated.graph.node[index]
        _, weight, zero = _PRODUCTS[node.op_type]
        node.input.extend([""] * (zero + 1 - len(node.input)))
        for place in (weight, zero):
            name = node.input[place]
            array = numpy_helper.to_array(constants[name]) if name else np.zeros((), np.int8)
            node.input[place] = f"{name or node.output[0]}.as_uint8"
            if node.input[place] not in names:
                names.add(node.input[place])
                shifted = (array.astype(np.int16) + 128).astype(np.uint8)
                restated.graph.initializer.append(numpy_helper.from_array(shifted, node.input[place]))
    return restated


def _unsafe_products(model: onnx.ModelProto, constants: dict[str, TensorProto]) -> Iterator[int]:
    """Indices of the nodes that multiply uint8 activations by constant int8 weights."""
    products = [(i, node) for i, node in enumerate(model.graph.node) if node.op_type in _PRODUCTS]
    if not products:
        return
    types = _element_types(model)
    for index, node in products:
        at_zero, at_weight, at_weight_zero = _PRODUCTS[node.op_type]
        names = dict(enumerate(node.input))
        weight, weight_zero = constants.get(names.get(at_weight, "")), names.get(at_weight_zero, "")
        of_x = TensorProto.UINT8 if at_zero < 0 else types.get(names.get(at_zero, "")) or types.get(node.input[0])
        if weight is None or weight.data_type != TensorProto.INT8 or of_x != TensorProto.UINT8:
            continue
        if not weight_zero or weight_zero in constants:
            yield index


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element types by tensor name, as far as the file, com.microsoft's zero points and onnx's inference say them."""
    said = onnx.ModelProto()
    said.CopyFrom(model)
    said.graph.value_info.extend(_results_of_codes(model))
    graph = onnx.shape_inference.infer_shapes(said).graph
    infos = (*graph.input, *graph.value_info, *graph.output)
    types = {info.name: info.type.tensor_type.elem_type for info in infos if info.type.HasField("tensor_type")}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _results_of_codes(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    """The results of com.microsoft's operators of codes, which onnx's inference does not know: typed as their zero points are."""
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    known = {info.name for info in (*model.graph.value_info, *model.graph.output)}
    for node in model.graph.node:
        at_zero = _ZERO_OF_RESULT.get(node.op_type, -1)
        if node.domain == _CONTRIB and len(node.input) > at_zero >= 0 and node.output[0] not in known:
            dtype = constants.get(node.input[at_zero])
            if dtype is not None:
                yield onnx.helper.make_tensor_value_info(node.output[0], dtype, None)
