"""One-node test models: the form of a case, and the data most of them use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from frontend.oracle import node

F = np.float32
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, np.inf, -np.inf, np.nan, 1e-45, 3e38], F)


def random(*shape: int, dtype: type = np.float32, low: float = -3, high: float = 3, seed: int = 0) -> np.ndarray:
    """Uniform random numbers in any dtype."""
    values = np.random.default_rng(seed + sum(shape)).uniform(low, high, shape)
    return values > 0 if dtype is bool else values.astype(dtype)


@dataclass(frozen=True)
class Case:
    """A node, its run-time inputs and constants, for one or more opsets. ``exact``: every bit is onnxruntime's."""

    name: str
    nodes: list[onnx.NodeProto]
    inputs: dict[str, np.ndarray]
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    opsets: tuple[int, ...] = (13,)
    exact: bool = True
    outputs: str = "y"


def one(
    op_type: str,
    operands: str,
    *,
    outputs: str = "y",
    name: str = "",
    opsets: Any = (13,),
    exact: bool = True,
    constants: dict[str, Any] | None = None,
    **rest: Any,
) -> Case:
    """A one-node case; array-valued keywords are inputs, the others attributes."""
    inputs = {k: v for k, v in rest.items() if isinstance(v, np.ndarray)}
    attrs = {k: v for k, v in rest.items() if not isinstance(v, np.ndarray)}
    made = node(op_type, operands, outputs, **attrs)
    constants = {k: np.asarray(v) for k, v in (constants or {}).items()}
    return Case(f"{op_type} {name}".strip(), [made], inputs, constants, tuple(opsets), exact, outputs)


def ints(*values: int) -> np.ndarray:
    """An int64 list, the type of shapes and axes."""
    return np.asarray(values, np.int64)


X = random(2, 3, 8, 7)
V = np.concatenate([random(500, low=-5, high=5), SPECIAL]).astype(F)
WHOLE = random(4, 5, dtype=np.int64, low=-9, high=9)
FLAGS = random(4, 5, dtype=bool)
