"""The message for an operation bitc does not have, with advice where there is some."""

from __future__ import annotations

from bitc.errors import Diagnostic
from bitc.frontend.node import HANDLERS, MICROSOFT, QONNX, STANDARD, Node, NodeProblem, canonical_domain

_RECURRENT = "export the recurrent cell as plain operators, unrolled in time"
_TEXT = "bitc compiles numbers; do text processing before the network"
_SEQUENCE = "bitc compiles tensors; take sequences apart before the network, or export it without them"
_OPTIONAL = "export the network for the case that the optional value is there"
_ATTENTION = "export attention as plain operators: save the model before onnxruntime's transformer optimiser fuses it"
_BLOCK_WEIGHTS = "store the weights as MatMulNBits or as DequantizeLinear with block_size"
_TRAINING = "export the network for inference, after model.eval()"
_CLASSIC = (
    "bitc compiles neural networks; run feature mappings and classic models outside, or export them as plain operators"
)
_HINTS = {
    (STANDARD, "Scan"): "convert the model to opset 9 or later",
    **{
        (STANDARD, op): _TEXT
        for op in ("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer")
    },
    **{
        (STANDARD, op): _SEQUENCE
        for op in (
            "ConcatFromSequence",
            "SequenceAt",
            "SequenceConstruct",
            "SequenceEmpty",
            "SequenceErase",
            "SequenceInsert",
            "SequenceLength",
            "SequenceMap",
            "SplitToSequence",
        )
    },
    **{(STANDARD, op): _OPTIONAL for op in ("Optional", "OptionalGetElement", "OptionalHasElement")},
    (STANDARD, "ConvTranspose"): "upsample with Resize (nearest) and a Conv",
    (STANDARD, "Einsum"): "export the product as MatMul",
    (
        QONNX,
        "GenericPartition",
    ): "give the model that the node's attribute 'model' names, or inline the partition again",
    (QONNX, "QuantLSTMCell"): _RECURRENT,
    **{
        (MICROSOFT, op): _ATTENTION
        for op in (
            "Attention",
            "DecoderMaskedMultiHeadAttention",
            "EmbedLayerNormalization",
            "GroupQueryAttention",
            "MultiHeadAttention",
            "PackedAttention",
            "QAttention",
            "QEmbedLayerNormalization",
            "QMoE",
            "MoE",
            "SparseAttention",
        )
    },
    **{
        (MICROSOFT, op): "QOrdered operators are for GPU libraries; quantize with QDQ or QLinear operators instead"
        for op in (
            "DequantizeWithOrder",
            "QOrderedAttention",
            "QOrderedGelu",
            "QOrderedLayerNormalization",
            "QOrderedLongformerAttention",
            "QOrderedMatMul",
            "QuantizeWithOrder",
        )
    },
    **{(MICROSOFT, op): _BLOCK_WEIGHTS for op in ("GatherBlockQuantized", "MatMulFpQ4")},
    **{
        (MICROSOFT, op): "block floating point is not supported; quantize to integers or float8"
        for op in ("QuantizeBFP", "DequantizeBFP")
    },
    (MICROSOFT, "DynamicQuantizeLSTM"): _RECURRENT,
}
_DOMAIN_HINTS = {
    "ai.onnx.ml": _CLASSIC,
    "ai.onnx.preview.training": _TRAINING,
    "ai.onnx.training": _TRAINING,
    "finn.custom_op.fpgadataflow": "this is a graph for FINN's hardware generators; give the QONNX model it was made from",
    "com.microsoft.nchwc": "this layout is made for one CPU; save the model at optimisation level extended, basic or disabled",
    MICROSOFT: "save the model before onnxruntime optimises it into its own operators",
}


def unknown_op(node: Node) -> NodeProblem:
    """The problem of a node without a handler: another opset version of a known op, or an unknown op."""
    domain = canonical_domain(node.proto.domain)
    entries = HANDLERS.get((domain, node.op_type), [])
    full_name = f"{node.proto.domain}.{node.op_type}" if node.proto.domain else node.op_type
    if entries:
        versions = ", ".join(f"{e.since} to {e.until}" if e.until else f"{e.since} on" for e in entries)
        title, code, rule = f"{full_name} is not supported in this opset", "U002", f"opset {versions}"
    else:
        title, code, rule = f"operation {full_name} is not supported", "U001", ""
    return NodeProblem(Diagnostic(code, title, node.where, rule, hint=hint_for(domain, node.op_type)), broken=False)


def refused_on_purpose() -> dict[tuple[str, str], str]:
    """By canonical domain and op type, the advice for operators that have no handler."""
    return {key: hint for key, hint in _HINTS.items() if key not in HANDLERS}


def hint_for(domain: str, op_type: str) -> str:
    """Advice for the op, else for its domain or the domain's parent (FINN's ``.hls`` and ``.rtl``)."""
    parent = domain.rpartition(".")[0]
    return _HINTS.get((domain, op_type)) or _DOMAIN_HINTS.get(domain) or _DOMAIN_HINTS.get(parent, "")
