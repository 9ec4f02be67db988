"""How many multiplications an op makes, and about how long it takes on one core.

The times are good to a factor of two or three, which tells work worth sharing from work that is not. Rates are of one core of
a Zen 3, rounded; those of AVX-512 are taken to be AVX2's, which errs towards sharing.
"""

from __future__ import annotations

from math import prod

from bitc.ir import Op, TensorType, Value
from bitc.ir.types import BufferType

_PORTABLE_SLOWDOWN = 5.0
_MACS_PER_NS = {
    "k.bconv_acc": 400.0, "k.bconv_bits": 400.0, "k.pair_acc": 180.0, "k.iconv": 90.0, "k.iconv_placed": 80.0, "k.iwinograd": 140.0,
    "k.dots": 150.0, "k.sliced_acc": 400.0, "k.sliced_bits": 1200.0, "k.sliced_lanes": 1200.0,
    "k.skip_acc": 400.0, "k.skip_bits": 800.0, "k.icoded": 80.0, "k.icoded_rows": 80.0,
    "k.fconv_events": 200.0, "k.fsparse": 200.0, "k.fsparse_dots": 20.0,
    "k.idepthwise": 25.0, "k.fconv": 40.0, "k.fconv_w1": 20.0, "k.fdepthwise": 10.0, "k.gemm": 40.0, "k.matmul": 2.0, "k.plain_conv": 1.0,
    "k.igemm": 60.0,
}  # fmt: skip
_WEIGHT_BYTES_PER_NS = 10.0
"""Weights of a single pixel come from memory."""

_ELEMENT_NS = {"k.softmax": 1.0, "k.pack": 0.08, "k.pack_matrices": 0.3, "k.pack_integers": 0.3}
_STEP_NS = 0.08
"""An op of a map's body, an element of a pool's window, and whatever else moves an element."""


def nanoseconds(op: Op, isa: str) -> float:
    """All of ``op``, a row region included."""
    if op.name == "k.rows":
        return sum(nanoseconds(inner, isa) for inner in op.attrs["body"].ops if inner.name != "nn.constant")
    slowdown = _PORTABLE_SLOWDOWN if isa == "portable" else 1.0
    if op.name in _MACS_PER_NS:
        planes: int = op.attrs.get("planes", 1)
        computed = multiplications(op) * planes / _MACS_PER_NS[op.name] * slowdown
        return max(computed, _bytes(op.operands[1]) / _WEIGHT_BYTES_PER_NS)
    touched = max(prod(value.shape) for value in (*op.operands, *op.results))
    return touched * _ELEMENT_NS.get(op.name, _STEP_NS * _steps(op)) * slowdown


def _steps(op: Op) -> int:
    return len(op.attrs["body"].ops) if op.name == "k.map" else prod(op.attrs.get("taps", (1,)))


def _bytes(value: Value) -> int:
    assert isinstance(value.type, TensorType | BufferType)
    return prod(value.shape) * value.type.dtype.bytes


def multiplications(op: Op) -> int:
    """Multiply-accumulates of a product as the model states it (planes are how it is computed), 0 for other ops."""
    match op.name:
        case (
            "k.bconv_acc"
            | "k.bconv_bits"
            | "k.pair_acc"
            | "k.sliced_acc"
            | "k.sliced_bits"
            | "k.sliced_lanes"
            | "k.skip_acc"
            | "k.skip_bits"
        ):
            return int(op.operands[0].shape[0] * prod(op.attrs["size"]) * op.attrs["channels"] * op.attrs["terms"])
        case "k.fconv" | "k.fconv_w1" | "k.iconv" | "k.iconv_placed":
            terms = op.operands[0].shape[3] // op.attrs["group"] * prod(op.attrs["taps"])
            return int(op.operands[0].shape[0] * prod(op.attrs["size"]) * op.attrs["channels"] * terms)
        case "k.icoded" | "k.icoded_rows" | "k.fconv_events":
            depth = op.operands[0].shape[3] * prod(op.attrs["taps"])
            return int(op.operands[0].shape[0] * prod(op.attrs["size"]) * op.attrs["channels"] * depth)
        case "k.fsparse":
            images, *_, channels = op.result.shape
            return int(images * prod(op.attrs["size"]) * channels * op.operands[4].shape[0])
        case "k.fsparse_dots":
            return int(op.result.shape[1] * prod(op.operands[0].shape))
        case "k.iwinograd":
            images, rows, columns, channels = op.results[0].shape
            return int(images * rows * columns * channels * op.operands[0].shape[3] * 9)
        case "k.fdepthwise" | "k.idepthwise":
            images, channels = op.results[0].shape[0], op.results[0].shape[3]
            return int(images * prod(op.attrs["size"]) * channels * prod(op.attrs["taps"]))
        case "k.gemm":
            return int(prod(op.result.shape) * op.operands[1].shape[2])
        case "k.igemm":
            return int(prod(op.result.shape) * op.attrs["depth"])
        case "k.dots":
            return int(prod(op.result.shape) * op.attrs["terms"])
        case "k.matmul":
            return int(prod(op.result.shape) * op.attrs["size"][1])
        case "k.plain_conv":
            return int(op.operands[0].shape[0] * prod(op.attrs["size"]) * prod(op.operands[1].shape))
    return 0
