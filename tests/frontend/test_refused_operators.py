"""What bitc does not take on purpose: one error names every such node, with advice, through Python and on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from frontend.oracle import model, node
from onnx import TensorProto, helper, numpy_helper

from bitc.cli import main
from bitc.errors import UnsupportedError
from bitc.frontend import import_model

X = np.ones((2, 3), np.float32)
FINN, MICROSOFT, QONNX = "finn.custom_op.fpgadataflow", "com.microsoft", "qonnx.custom_op.general"
FAMILIES: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "hardware graphs of FINN": (
        "QONNX model",
        [(FINN, "MVAU"), (f"{FINN}.hls", "MVAU_hls"), (f"{FINN}.rtl", "Thresholding_rtl")],
    ),
    "partitions": ("attribute 'model'", [(QONNX, "GenericPartition")]),
    "attention": (
        "before onnxruntime's transformer optimiser",
        [
            (MICROSOFT, op)
            for op in ("QAttention", "Attention", "MultiHeadAttention", "GroupQueryAttention", "QMoE", "MoE")
        ],
    ),
    "embeddings": ("before onnxruntime's transformer optimiser", [(MICROSOFT, "QEmbedLayerNormalization")]),
    "block weights": ("MatMulNBits", [(MICROSOFT, "GatherBlockQuantized"), (MICROSOFT, "MatMulFpQ4")]),
    "recurrent cells": (
        "unrolled in time",
        [
            (MICROSOFT, "DynamicQuantizeLSTM"),
            ("onnx.brevitas", "QuantLSTMCell"),
        ],
    ),
    "ordered": (
        "GPU libraries",
        [(MICROSOFT, op) for op in ("QOrderedMatMul", "QOrderedGelu", "QOrderedAttention", "QuantizeWithOrder")],
    ),
    "block floating point": ("integers or float8", [(MICROSOFT, "QuantizeBFP"), (MICROSOFT, "DequantizeBFP")]),
    "text": ("before the network", [("", "StringNormalizer"), ("", "StringConcat"), ("", "TfIdfVectorizer")]),
    "sequences": (
        "take sequences apart",
        [("", "SequenceConstruct"), ("", "SequenceAt"), ("", "SplitToSequence"), ("", "ConcatFromSequence")],
    ),
    "optionals": ("optional value", [("", "Optional"), ("", "OptionalHasElement"), ("", "OptionalGetElement")]),
    "maps and classic models": (
        "outside",
        [("ai.onnx.ml", "DictVectorizer"), ("ai.onnx.ml", "ZipMap"), ("ai.onnx.ml", "TreeEnsembleClassifier")],
    ),
    "training": ("for inference", [("ai.onnx.preview.training", "Adam"), ("ai.onnx.preview.training", "Gradient")]),
    "layouts for one CPU": (
        "optimisation level",
        [("com.microsoft.nchwc", "Conv"), ("com.microsoft.nchwc", "ReorderInput")],
    ),
    "other operators of onnxruntime": ("into its own operators", [(MICROSOFT, "CDist"), (MICROSOFT, "NoSuchOp")]),
}


def chain(ops: list[tuple[str, str]]) -> onnx.ModelProto:
    """A node of each op on the input, all of them outputs, with a sound op between."""
    nodes = [node("Relu", "x", "r")]
    nodes += [
        helper.make_node(op, ["r"], [f"y{i}"], name=f"node_{i}", domain=domain) for i, (domain, op) in enumerate(ops)
    ]
    return model(nodes, {"x": X}, outputs=" ".join(f"y{i}" for i in range(len(ops))), opset=21)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_node_is_named_with_advice(family: str) -> None:
    """One diagnostic for each node, its hint from the family."""
    hint, ops = FAMILIES[family]
    with pytest.raises(UnsupportedError) as caught:
        import_model(chain(ops))
    found = caught.value.diagnostics
    assert [(d.code, f"node {i + 1} 'node_{i}'" in d.where) for i, d in enumerate(found)] == [("U001", True)] * len(ops)
    for diagnostic, (_, op) in zip(found, ops, strict=True):
        assert op in diagnostic.title
        assert hint in diagnostic.hint


@pytest.mark.parametrize("family", FAMILIES)
def test_the_command_line_exits_with_3(family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it on the error stream, nothing written."""
    hint, ops = FAMILIES[family]
    onnx.save(chain(ops), tmp_path / "net.onnx")
    assert main(["compile", str(tmp_path / "net.onnx"), "-o", str(tmp_path / "out")]) == 3
    printed = capsys.readouterr().err
    assert printed.count("error[U001]") == len(ops)
    assert hint in printed
    assert not (tmp_path / "out").exists()


def test_the_parts_of_one_file_are_refused_together() -> None:
    """Families mix; a node that waits for a refused one is not blamed."""
    ops = [(MICROSOFT, "QAttention"), (f"{FINN}.hls", "MVAU_hls"), ("", "StringConcat")]
    proto = chain(ops)
    proto.graph.node.append(node("Relu", "y0", "late"))
    proto.graph.output.append(onnx.ValueInfoProto(name="late"))
    with pytest.raises(UnsupportedError) as caught:
        import_model(proto)
    assert len(caught.value.diagnostics) == len(ops)


@pytest.mark.parametrize("kind", ["sequence", "map", "optional", "sparse"])
def test_inputs_that_are_no_tensors(kind: str) -> None:
    """Inputs of other types are refused by name."""
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [2, 3])
    types = {
        "sequence": helper.make_sequence_type_proto(tensor),
        "map": helper.make_map_type_proto(TensorProto.INT64, tensor),
        "optional": helper.make_optional_type_proto(tensor),
        "sparse": helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [2, 3]),
    }
    proto = chain([("", "Identity")])
    proto.graph.input[0].type.CopyFrom(types[kind])
    with pytest.raises(UnsupportedError, match=kind) as caught:
        import_model(proto)
    assert caught.value.diagnostics[0].code == "U004"


def test_text_tensors() -> None:
    """Strings as inputs and as constants."""
    proto = chain([("", "Identity")])
    proto.graph.input[0].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.STRING, [2, 3]))
    with pytest.raises(UnsupportedError, match="STRING"):
        import_model(proto)
    proto = model([node("StringConcat", "x w")], {"x": X}, opset=21)
    proto.graph.initializer.append(numpy_helper.from_array(np.array(["a"], object), "w"))
    with pytest.raises(UnsupportedError, match="STRING"):
        import_model(proto)
