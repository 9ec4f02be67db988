"""Element types of ONNX that NumPy and C do not have: integers of 2 and 4 bits, floats of 4, 8 and 16 bits.

In the IR such a tensor has a wider dtype that holds the same numbers: i8, u8 or f32. Which ONNX type a value has is remembered beside
the graph while it is imported (:attr:`Node.elements`), for a zero point's type says what a quantizer saturates to.

Source: ONNX's onnx.proto (packing), docs/docsgen/source/technical/float8.md and float4.md; OCP Microscaling Formats (MX) v1.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import numpy as np
import onnx

from bitc.ir import DType, Value

NO_SUCH_ELEMENT = "inputs and outputs have elements that NumPy and C have"


@dataclass(frozen=True, slots=True)
class Float:
    """A float format: the smallest normal number is 2^(1 - bias), ``max`` the largest; ``overflow`` is what a cast that does not
    saturate makes of larger ones."""

    exponent_bits: int
    mantissa_bits: int
    bias: int
    max: float
    overflow: float = nan


@dataclass(frozen=True, slots=True)
class Element:
    """One such type: ONNX's name, the dtype that stands for it, its bits, and its range or format (neither: only stored)."""

    name: str
    dtype: DType
    bits: int
    range: tuple[int, int] | None = None
    format: Float | None = None


BFLOAT16 = Element("BFLOAT16", DType.F32, 16)

ELEMENTS: Mapping[int, Element] = {
    16: BFLOAT16,
    17: Element("FLOAT8E4M3FN", DType.F32, 8, format=Float(4, 3, 7, 448.0)),
    18: Element("FLOAT8E4M3FNUZ", DType.F32, 8, format=Float(4, 3, 8, 240.0)),
    19: Element("FLOAT8E5M2", DType.F32, 8, format=Float(5, 2, 15, 57344.0, overflow=np.inf)),
    20: Element("FLOAT8E5M2FNUZ", DType.F32, 8, format=Float(5, 2, 16, 57344.0)),
    21: Element("UINT4", DType.U8, 4, range=(0, 15)),
    22: Element("INT4", DType.I8, 4, range=(-8, 7)),
    23: Element("FLOAT4E2M1", DType.F32, 4, format=Float(2, 1, 1, 6.0, overflow=6.0)),
    24: Element("FLOAT8E8M0", DType.F32, 8),
    25: Element("UINT2", DType.U8, 2, range=(0, 3)),
    26: Element("INT2", DType.I8, 2, range=(-2, 1)),
}
"""By ONNX's number of the type (TensorProto.DataType)."""

_TAKES_ANY = frozenset(
    {"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "Where", "Shape", "Size", "Constant", "ConstantOfShape"}
)
_KEEPS_THE_TYPE = frozenset(
    {
        *("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Concat", "Split", "Slice", "Gather"),
        *("Expand", "Tile", "Pad", "DepthToSpace", "SpaceToDepth", "Clip", "Max", "Min"),
    }
)


def packed_bytes(element: Element, count: int) -> int:
    """How many bytes ``count`` elements take in a file: several in a byte where they have 2 or 4 bits."""
    return -(-count * element.bits // 8)


def unpacked(element: Element, raw: bytes, count: int) -> np.ndarray:
    """``count`` numbers from :func:`packed_bytes` bytes; the first of a byte is in its low bits.

    >>> unpacked(ELEMENTS[22], bytes([0x8F, 0x07]), 3)
    array([-1, -8,  7], dtype=int8)
    """
    if element.bits == 16:
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    shifts = np.arange(0, 8, element.bits, dtype=np.uint8)
    codes = (np.frombuffer(raw, np.uint8)[:, np.newaxis] >> shifts).reshape(-1)[:count] & ((1 << element.bits) - 1)
    return np.asarray(_numbers(element)[codes])


def _numbers(element: Element) -> np.ndarray:
    """The number of each code."""
    codes = np.arange(1 << element.bits)
    if element.range is not None:
        return np.where(codes > element.range[1], codes - codes.size, codes).astype(element.dtype.numpy)
    if element.format is None:  # a power of two without sign
        return np.append(np.ldexp(1.0, codes[:-1] - 127), nan).astype(np.float32)
    f = element.format
    half = np.arange(codes.size // 2)
    exponent, mantissa = half >> f.mantissa_bits, half & ((1 << f.mantissa_bits) - 1)
    whole = np.where(exponent > 0, mantissa + (1 << f.mantissa_bits), mantissa)
    size = np.ldexp(whole.astype(float), np.maximum(exponent, 1) - f.bias - f.mantissa_bits)
    beyond = size > f.max
    size[beyond] = np.where(mantissa[beyond] == 0, f.overflow, nan)
    negative = -size
    if element.name.endswith("UZ"):  # no negative zero: its code is the NaN
        negative[0] = nan
    return np.concatenate([size, negative]).astype(np.float32)


def wrong_arithmetic(
    proto: onnx.NodeProto, inputs: tuple[Value | None, ...], known: Mapping[Value, Element]
) -> Element | None:
    """The type of a small float that a standard op would compute in: float32, which stands for it, rounds otherwise."""
    if proto.domain not in ("", "ai.onnx") or proto.op_type in _TAKES_ANY | _KEEPS_THE_TYPE:
        return None
    found = (known[value] for value in inputs if value is not None and value in known)
    return next((element for element in found if element.dtype.is_float), None)


def result_element(
    proto: onnx.NodeProto, inputs: tuple[Value | None, ...], known: Mapping[Value, Element]
) -> Element | None:
    """The type of a node's results, None where the IR has it."""
    attributes = {attribute.name: attribute for attribute in proto.attribute}
    of_inputs = [None if value is None else known.get(value) for value in inputs] + [None] * 3
    match proto.op_type:
        case "Constant" | "ConstantOfShape":
            return ELEMENTS.get(attributes["value"].t.data_type) if "value" in attributes else None
        case "Cast":
            return ELEMENTS.get(attributes["to"].i) if "to" in attributes else None
        case "CastLike":
            return of_inputs[1]
        case "QuantizeLinear":
            return of_inputs[2] or ELEMENTS.get(attributes["output_dtype"].i if "output_dtype" in attributes else 0)
        case "Where":
            return of_inputs[1]
        case op_type if op_type in _KEEPS_THE_TYPE:
            return of_inputs[0]
    return None
