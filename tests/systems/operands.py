"""Which products of a file could run as codes: how many values their operands take on the golden inputs, measured.

The classes are those of ``layers.json`` beside the exported systems, which is read where it has the file: A1 / A2t / A2 / A4 / A8 / Af
activations of 2 / 3 / 4 / at most 16 / at most 256 values / floats, in one row or image; W1, W2t, W2, W4, W8 and Wf weights, by the
values of one output channel, where W1x2 is the four values ±a±b of two bases. What is measured is a lower bound.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx

from bitc.errors import BitcError
from bitc.oracle import load_model, oracle_for
from tests.systems.goldens import Case

SAME_VALUE = 2e-6
"""Values closer than this share of the largest are one: exporters round them differently."""

FLOAT_WEIGHTS = ("dcls_", "egru_", "lmu_")
"""Files whose weights are floats, so few a channel, or so many of them 0, that their values look like few."""

_CLASSES = ((2, "1"), (3, "2t"), (4, "2"), (16, "4"), (256, "8"))
_PRODUCTS = ("Conv", "Gemm", "MatMul", "Einsum")


@dataclass(frozen=True, slots=True)
class Operands:
    """One product: its ONNX node, and the classes of its factors. ``both``: it multiplies two activations."""

    node: str
    x: str
    w: str
    both: bool

    @property
    def kind(self) -> str:
        """``codes``: both factors are of few values; ``weights``: the weights alone, of two; ``spikes``: the activations alone, of
        at most four; ``float``: neither."""
        x_codes, w_codes = self.x != "Af", self.w not in ("Wf", "Af")
        if x_codes and w_codes:
            return "activations" if self.both else "codes"
        if w_codes and not self.both and self.w in ("W1", "W2t"):
            return "weights"
        return "spikes" if self.x in ("A1", "A2t", "A2") and not w_codes else "float"


@cache
def _published(folder: Path) -> dict[str, list[dict[str, str]]]:
    path = folder / "layers.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def operands(model: Path, case: Case) -> list[Operands]:
    """The products of ``model``: as published, or as measured on ``case``. Products of constants are left out."""
    known = _published(model.parent).get(model.stem)
    if known is None:
        return list(_measured(model, case))
    found = []
    for layer in known:
        x, _, w = layer["class"].partition("x")
        if w:
            found.append(Operands(layer["name"], x, w, w.startswith("A")))
    return found


def _measured(model: Path, case: Case) -> Iterator[Operands]:
    proto = load_model(model)
    nodes = [node for node in proto.graph.node if node.op_type in _PRODUCTS]
    try:
        tensors = dict(oracle_for(model).tensors(case.inputs)) if nodes else {}
    except BitcError:
        return
    computed = _computed(proto)
    tensors |= {item.name: onnx.numpy_helper.to_array(item) for item in proto.graph.initializer}
    tensors |= case.inputs
    for node in nodes:
        x, w = (tensors.get(name) for name in node.input[:2])
        if x is None or w is None or node.input[0] not in computed:
            continue
        both = node.input[1] in computed
        by_channel = (
            w if node.op_type == "Conv" or (node.op_type == "Gemm" and _transposed(node)) else np.moveaxis(w, -1, 0)
        )
        items = x.reshape(x.shape[0], -1) if node.op_type == "Conv" else x.reshape(-1, x.shape[-1])
        rows = by_channel.reshape(by_channel.shape[0], -1)
        known_float = not both and model.stem.startswith(FLOAT_WEIGHTS)
        weights = "A" + _class(w.reshape(1, -1)) if both else "Wf" if known_float else "W" + _class(rows)
        yield Operands(node.name, "A" + _class(items), weights, both)


def _computed(proto: onnx.ModelProto) -> set[str]:
    """The tensors that depend on a graph input."""
    constants = {item.name for item in proto.graph.initializer}
    found = {item.name for item in proto.graph.input} - constants
    for node in proto.graph.node:
        inner = {name for a in node.attribute if a.HasField("g") for n in a.g.node for name in n.input}
        if found & (set(node.input) | inner):
            found.update(node.output)
    return found


def _transposed(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _class(rows: np.ndarray) -> str:
    """The class of the row that takes the most values."""
    sizes = [_levels(row) for row in rows.astype(np.float64)]
    most = max(sizes, default=0.0)
    return next((name for limit, name in _CLASSES if most <= limit), "f")


def _levels(row: np.ndarray) -> float:
    """How many values ``row`` takes; where nearly every element is another, how many the even steps they lie on have, or infinite."""
    distinct = np.unique(row)
    near = SAME_VALUE * max(np.abs(distinct).max(initial=0.0), 1e-30)
    apart = distinct[np.concatenate([[True], np.diff(distinct) > near])]
    if apart.size <= 2 or np.count_nonzero(apart) <= np.count_nonzero(row) / 2:
        return float(apart.size)
    steps = apart / np.diff(np.union1d(apart, [0.0])).min()
    whole = bool(np.all(np.abs(steps - np.rint(steps)) < 1e-2))
    return float(np.ptp(steps)) + 1 if whole and np.ptp(steps) < 256 else np.inf
