"""The message for an operation bitc does not have, with advice where there is some."""

from __future__ import annotations

from bitc.errors import Diagnostic
from bitc.frontend.node import HANDLERS, STANDARD, Node, NodeProblem, canonical_domain

_CONTROL_FLOW = "control flow is not supported; export with constant conditions, or unroll the loop"
_RECURRENT = "export the recurrent cell as plain operators, unrolled in time"
_HARDWARE = "this is a graph for FINN's hardware generators; give the QONNX model it was made from"
_CHANNELS_LAST = "give the model as it was before it was converted to channels last"
_HINTS = {
    (STANDARD, "If"): _CONTROL_FLOW,
    (STANDARD, "Loop"): _CONTROL_FLOW,
    (STANDARD, "Scan"): _CONTROL_FLOW,
    (STANDARD, "LSTM"): _RECURRENT,
    (STANDARD, "GRU"): _RECURRENT,
    (STANDARD, "RNN"): _RECURRENT,
    (STANDARD, "ConvTranspose"): "upsample with Resize (nearest) and a Conv",
    (STANDARD, "Einsum"): "export the product as MatMul",
    ("qonnx", "FloatQuant"): "minifloat quantizers are not supported; use an integer quantizer",
    ("qonnx", "QuantAvgPool2d"): "export the pool as AveragePool followed by a quantizer",
    (
        "qonnx",
        "XnorPopcountMatMul",
    ): "export the product as MatMul of BipolarQuant tensors; bitc makes its own popcount kernels",
    ("qonnx", "Im2Col"): "give the model as it was before convolutions were lowered",
    ("qonnx", "MaxPoolNHWC"): _CHANNELS_LAST,
}
_DOMAIN_HINTS = {
    "qonnx.custom_op.channels_last": _CHANNELS_LAST,
    "finn.custom_op.fpgadataflow": _HARDWARE,
    "finn.custom_op.fpgadataflow.hls": _HARDWARE,
    "finn.custom_op.fpgadataflow.rtl": _HARDWARE,
    "com.microsoft": "save the model before onnxruntime optimises or quantizes it into its own operators",
}


def unknown_op(node: Node) -> NodeProblem:
    """The problem of a node without a handler: another opset version of a known op, or an unknown op."""
    domain = canonical_domain(node.proto.domain)
    entries = HANDLERS.get((domain, node.op_type), [])
    full_name = f"{node.proto.domain}.{node.op_type}" if node.proto.domain else node.op_type
    hint = _HINTS.get((domain, node.op_type)) or _DOMAIN_HINTS.get(domain, "")
    if entries:
        versions = ", ".join(f"{e.since} to {e.until}" if e.until else f"{e.since} on" for e in entries)
        title, code, rule = f"{full_name} is not supported in this opset", "U002", f"opset {versions}"
    else:
        title, code, rule = f"operation {full_name} is not supported", "U001", ""
    return NodeProblem(Diagnostic(code, title, node.where, rule, hint=hint), broken=False)
