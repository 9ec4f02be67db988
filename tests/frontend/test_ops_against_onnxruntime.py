"""Every standard handler: one-node models in each opset form, imported and interpreted, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from frontend.cases import Case
from frontend.cases_compute import COMPUTE
from frontend.cases_functions import FUNCTION_CASES
from frontend.cases_images import IMAGE_CASES
from frontend.cases_lookups import LOOKUP_CASES
from frontend.cases_move import MOVE
from frontend.oracle import assert_close, assert_equal, model, run_onnxruntime

from bitc.frontend import import_model
from bitc.frontend.node import HANDLERS, STANDARD
from bitc.ir import Graph, evaluate

CASES = COMPUTE + MOVE + FUNCTION_CASES + IMAGE_CASES + LOOKUP_CASES


def check(graph: Graph) -> None:
    """What the frontend promises of every graph."""
    assert all(op.name.startswith("nn.") for op in graph.ops)
    assert all(op.loc.startswith(("node ", "output ")) for op in graph.ops if op.name != "nn.constant")


@pytest.mark.parametrize(("case", "opset"), [pytest.param(c, o, id=f"{c.name} @{o}") for c in CASES for o in c.opsets])
def test_agrees_with_onnxruntime(case: Case, opset: int) -> None:
    """Same names, dtypes, shapes and values."""
    proto = model(case.nodes, case.inputs, case.constants, case.outputs, opset)
    graph = import_model(proto)
    check(graph)
    assert [value.name for value in graph.outputs] == case.outputs.split()
    with np.errstate(all="ignore"):
        ours = evaluate(graph, case.inputs)
    theirs = run_onnxruntime(proto, case.inputs)
    (assert_equal if case.exact else assert_close)(ours, theirs)


def test_every_standard_handler_has_a_case() -> None:
    """A handler without a comparison would be a claim without a check."""
    tested = {made.op_type for case in CASES for made in case.nodes}
    handled = {op_type for domain, op_type in HANDLERS if domain == STANDARD}
    elsewhere = {"Quant", "IntQuant", "BipolarQuant", "SimplifiedLayerNormalization"}  # with their dialects
    elsewhere |= {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}  # test_quantize.py
    elsewhere |= {"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}  # test_quantized_products.py
    elsewhere |= {"Loop", "Scan"}  # test_control_flow.py
    elsewhere |= {"LSTM", "GRU", "RNN"}  # test_recurrent.py
    elsewhere |= {"Swish"}  # onnx's own node tests: its opset is newer than onnxruntime
    assert handled - tested == elsewhere
