"""One-node models of the domain com.microsoft, run by the interpreter and by onnxruntime."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from frontend.oracle import model, run_onnxruntime
from onnx import helper

from bitc.frontend import import_model
from bitc.ir import evaluate

DOMAIN = "com.microsoft"


@dataclass(frozen=True)
class Pair:
    """What bitc's interpreter and onnxruntime give for one model."""

    ours: list[np.ndarray]
    theirs: list[np.ndarray]
    ops: list[str]

    def equal(self) -> Pair:
        """Demand the same bits (NaN equals NaN)."""
        for a, b in zip(self.ours, self.theirs, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_array_equal(a, b)
        return self

    def close(self, ulps: float = 8, scale: float = 1e-6) -> Pair:
        """Demand float results within the rounding of another order of summation or another exp; ``scale``: the largest number that is
        rounded, where that is not among the results."""
        for a, b in zip(self.ours, self.theirs, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            largest = max(scale, float(np.abs(b).max()))
            np.testing.assert_allclose(a, b, rtol=0, atol=ulps * largest * 2.0**-23)
        return self

    def differing(self) -> tuple[int, float]:
        """The number of elements that differ, and by how much at most."""
        (a,), (b,) = self.ours, self.theirs
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        away = np.abs(a.astype(np.float64) - b.astype(np.float64))
        return int((away != 0).sum()), float(away.max())


def contrib(
    op_type: str,
    operands: Mapping[str, np.ndarray | None],
    *,
    inputs: Collection[str] = ("x",),
    outputs: str = "y",
    domain: str = DOMAIN,
    version: int = 21,
    **attrs: Any,
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A one-node model and its feeds; operands not among ``inputs`` are initializers, None leaves an optional one out."""
    names = [name if value is not None else "" for name, value in operands.items()]
    made = helper.make_node(op_type, names, outputs.split(), domain=domain, **attrs)
    present = {name: np.asarray(value) for name, value in operands.items() if value is not None}
    feeds = {name: value for name, value in present.items() if name in inputs}
    constants = {name: value for name, value in present.items() if name not in inputs}
    return model([made], feeds, constants, outputs, version, {DOMAIN: 1}), feeds


def both(op_type: str, operands: Mapping[str, np.ndarray | None], **rest: Any) -> Pair:
    """Run such a model in both."""
    proto, feeds = contrib(op_type, operands, **rest)
    graph = import_model(proto)
    with np.errstate(all="ignore"):
        ours = evaluate(graph, feeds)
    ops = [op.name for op in graph.ops if op.name != "nn.constant"]
    return Pair(ours, run_onnxruntime(proto, feeds), ops)
