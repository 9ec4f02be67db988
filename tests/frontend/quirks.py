"""One quirk of quantized networks as a row: a small model, what goes in, and what must come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from bitc.frontend import import_model
from tests.networks.onnx_net import Net

F = np.float32
Arrays = Mapping[str, np.ndarray]
GENERAL = "qonnx.custom_op.general"


@dataclass(frozen=True)
class Quirk:
    """``expected`` replaces the oracle where there is none or it is at fault; ``refused`` is the text of a refusal.

    ``compiled``: the portable C library must agree too. ``tolerance``: 0 for the same bits, else for float layers that sum in another
    order, relative to the largest output.
    """

    item: str
    model: onnx.ModelProto
    feeds: Arrays
    expected: list[np.ndarray] | None = None
    refused: str = ""
    compiled: bool = False
    tolerance: float = 0.0

    def save(self, folder: Path) -> Path:
        """The model as a file; where the oracle is qonnx, outputs get the types it wants declared (it checks them itself)."""
        path = folder / "quirk.onnx"
        if any(node.domain or node.op_type == "Quant" for node in self.model.graph.node) and not self.refused:
            graph = import_model(self.model)
            for info, value in zip(self.model.graph.output, graph.outputs, strict=True):
                free = [graph.attrs["batch"]] if graph.attrs["batch"] else []
                dtype = helper.np_dtype_to_tensor_dtype(value.type.dtype.numpy)
                info.CopyFrom(helper.make_tensor_value_info(info.name, dtype, [*free, *value.shape[len(free) :]]))
        path.write_bytes(self.model.SerializeToString(deterministic=True))
        return path


@dataclass
class Table:
    """Rows as they are entered."""

    rows: list[Quirk] = field(default_factory=list)

    def add(self, item: str, net: Net, result: str | tuple[str, ...], feeds: Arrays, **rest: Any) -> None:
        """Enter a row whose outputs are the tensors ``result``."""
        for name in (result,) if isinstance(result, str) else result:
            net.output(name)
        self.rows.append(Quirk(item, net.model(), feeds, **rest))


def qonnx(net: Net, kind: str, *operands: str | np.ndarray, domain: str = GENERAL, **attrs: Any) -> str:
    """A QONNX node."""
    return net.node(kind, *operands, domain=domain, **attrs)


def quant(net: Net, x: str | np.ndarray, scale: Any, bits: float, *, zero: float = 0.0, **attrs: Any) -> str:
    """A QONNX Quant node with every attribute written."""
    full = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND", **attrs}
    return qonnx(net, "Quant", x, np.asarray(scale, F), F(zero), F(bits), **full)


def binarized(net: Net, x: str) -> str:
    """+1 where x >= 0, else -1."""
    return net.node("Where", net.node("GreaterOrEqual", x, F(0)), F(1), F(-1))


def signs(*shape: int, seed: int = 0) -> np.ndarray:
    """Random ±1."""
    return np.where(np.random.default_rng(seed + sum(shape)).random(shape) < 0.5, F(-1), F(1))


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Random normal numbers."""
    return (np.random.default_rng(seed + sum(shape)).normal(size=shape) * scale).astype(F)
