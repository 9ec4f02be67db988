"""The runtime's functions of float32 against NumPy and SciPy in float64."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from scipy.special import erf

from bitc.codegen.targets import TARGETS, supported_here
from bitc.compiler import compile

F32 = np.float32
SEAMS = (0.6, 0.92, 4, 10)
"""Where the functions change their form."""


def everywhere() -> np.ndarray:
    """Every 4,099th float, the floats beside the seams, infinity, and the negatives of all."""
    bits = np.arange(0, 0x7F800000, 4099, dtype=np.uint32).view(F32)
    seams = np.asarray([np.nextafter(F32(at), F32(to)) for at in SEAMS for to in (0, 20)] + list(SEAMS) + [np.inf], F32)
    x = np.concatenate([bits, seams])
    return np.concatenate([x, -x])


def mapped(operator: str, x: np.ndarray, target: str, folder: Path) -> np.ndarray:
    """``operator`` of each element by the C of ``target``."""
    inputs, outputs = (helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in "xy")
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "one", [inputs], [outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "one.onnx")
    return compile(folder / "one.onnx", target=target, out=folder / target).session().run(None, {"x": x})[0]


@pytest.mark.parametrize("target", ["portable", "avx2"])
@pytest.mark.parametrize(("operator", "truth"), [("Erf", erf), ("Tanh", np.tanh)])
def test_within_two_ulp(operator: str, truth: Callable[[np.ndarray], np.ndarray], target: str, tmp_path: Path) -> None:
    if not supported_here(TARGETS[target]):
        pytest.skip(f"this CPU has no {target}")
    x = everywhere()
    y = mapped(operator, x, target, tmp_path)
    exact = truth(x.astype(np.float64))
    assert (np.abs(y - exact) <= 1.5 * np.spacing(np.abs(exact).astype(F32)).astype(np.float64)).all()
    half = len(x) // 2
    np.testing.assert_array_equal(y[:half].view(np.uint32) ^ np.uint32(1 << 31), y[half:].view(np.uint32))
    assert np.isnan(mapped(operator, np.asarray([np.nan, -np.nan], F32), target, tmp_path)).all()
