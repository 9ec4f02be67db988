"""The int8 peer of the times: what onnxruntime's quantizers take is quantized, what they do not take is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.networks.onnx_net import Net
from tests.systems.goldens import Case
from tests.systems.int8 import in_int8

F = np.float32


def dense(folder: Path, computed: bool) -> tuple[Path, list[Case]]:
    """One dense layer, its weights perhaps by a node."""
    rng, net = np.random.default_rng(2), Net()
    x, w = net.input("x", (4, 32)), rng.standard_normal((32, 16)).astype(F)
    net.output(net.node("MatMul", x, net.node("Mul", w, F(0.5)) if computed else w, name="y"))
    runs = [Case({"x": rng.standard_normal((4, 32)).astype(F)}, {}, False) for _ in range(3)]
    return net.save(folder / "net.onnx"), runs


@pytest.mark.parametrize("computed", [False, True])
def test_both_forms_multiply_integers(computed: bool, tmp_path: Path) -> None:
    model, runs = dense(tmp_path, computed)
    made = in_int8(model, runs, tmp_path)
    kinds = {form: {node.op_type for node in onnx.load(path).graph.node} for form, path in made.items()}
    assert "MatMulInteger" in kinds["dynamic"]
    assert "QuantizeLinear" in kinds["static"]
    wanted = onnxruntime.InferenceSession(str(model)).run(None, runs[0].inputs)[0]
    for path in made.values():
        (got,) = onnxruntime.InferenceSession(str(path)).run(None, runs[0].inputs)
        assert 0 < np.abs(got - wanted).max() < 0.1 * np.abs(wanted).max()


def test_a_file_without_products_has_no_form(tmp_path: Path) -> None:
    net = Net()
    net.output(net.node("Relu", net.input("x", (4,))))
    assert in_int8(net.save(tmp_path / "net.onnx"), [Case({"x": np.ones(4, F)}, {}, False)], tmp_path) == {}


def test_a_file_that_onnxruntime_does_not_load_has_no_form(tmp_path: Path) -> None:
    net = Net()
    net.output(net.node("Unheard", net.input("x", (4,))))
    assert in_int8(net.save(tmp_path / "net.onnx"), [Case({"x": np.ones(4, F)}, {}, False)], tmp_path) == {}
