"""Types of the IR: tensors of numbers, tensors of codes, and packed buffers.

Three kinds, one for each level of the IR:

* :class:`TensorType` — a tensor of numbers (``f32[1,32,14,14]``), the only kind at level ``nn``.
* :class:`CodeType` — a tensor of *codes* (``code<{-1,1} * 0.5>[1,32,14,14]``): each element is an index into an arithmetic
  progression of integer levels; the real value it stands for is ``scale * level``.
* :class:`BufferType` — flat memory of a kernel (``mem<u64>[16,16,1]``), level ``k``.

A type also carries its :class:`Layout` once the layout pass has chosen one. Shapes are logical (ONNX's order) in every layout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import prod

import numpy as np

Shape = tuple[int, ...]


class DType(StrEnum):
    """Element types, named as in the text form."""

    F32 = "f32"
    F64 = "f64"
    F16 = "f16"
    I8 = "i8"
    U8 = "u8"
    I16 = "i16"
    U16 = "u16"
    I32 = "i32"
    U32 = "u32"
    I64 = "i64"
    U64 = "u64"
    BOOL = "bool"

    @property
    def numpy(self) -> np.dtype:
        """The NumPy dtype of one element."""
        return _NUMPY[self]

    @property
    def bytes(self) -> int:
        """Size of one element in bytes."""
        return self.numpy.itemsize

    @property
    def is_float(self) -> bool:
        """True for the IEEE types."""
        return self.numpy.kind == "f"

    @classmethod
    def of(cls, dtype: np.dtype | type) -> DType:
        """The IR's name of a NumPy dtype. Raises ``KeyError`` for a dtype the IR does not have."""
        return _FROM_NUMPY[np.dtype(dtype)]


_NUMPY: dict[DType, np.dtype] = {
    DType.F32: np.dtype(np.float32),
    DType.F64: np.dtype(np.float64),
    DType.F16: np.dtype(np.float16),
    DType.I8: np.dtype(np.int8),
    DType.U8: np.dtype(np.uint8),
    DType.I16: np.dtype(np.int16),
    DType.U16: np.dtype(np.uint16),
    DType.I32: np.dtype(np.int32),
    DType.U32: np.dtype(np.uint32),
    DType.I64: np.dtype(np.int64),
    DType.U64: np.dtype(np.uint64),
    DType.BOOL: np.dtype(np.bool_),
}
_FROM_NUMPY: dict[np.dtype, DType] = {numpy: dtype for dtype, numpy in _NUMPY.items()}


class Layout(StrEnum):
    """How a tensor lies in memory. Until the layout pass has run, every tensor is ``ROW_MAJOR`` in its logical shape."""

    ROW_MAJOR = "row_major"
    NHWC = "nhwc"
    """Numbers, channels innermost; logical shape [N, C, H, W]."""
    NHWC64 = "nhwc64"
    """Bit planes, channels innermost in 64-bit words, bit 1 = the plane's lower value; logical shape [N, C, H, W] or [M, C]."""


@dataclass(frozen=True, slots=True)
class Levels:
    """An arithmetic progression of integers: level i is ``lo + step * i`` for i in 0 .. count-1.

    >>> str(Levels(-1, 2, 2)), str(Levels(0, 1, 16)), str(Levels(-3, 2, 4))
    ('{-1,1}', '{0..15}', '{-3,-1,1,3}')
    """

    lo: int
    step: int
    count: int

    def __post_init__(self) -> None:
        if self.step < 1 or self.count < 2:
            raise ValueError(
                f"levels need step >= 1 and at least two members, got step {self.step}, count {self.count}"
            )

    @property
    def hi(self) -> int:
        """The largest level."""
        return self.lo + self.step * (self.count - 1)

    @property
    def bits(self) -> int:
        """Bits of the narrowest index."""
        return (self.count - 1).bit_length()

    @property
    def planes(self) -> int:
        """Planes of the thermometer form: plane i is +1 where the index is above i, else -1."""
        return self.count - 1

    @property
    def middle_twice(self) -> int:
        """lo + hi. With thermometer planes p_i of ±1: ``2 * level == middle_twice + step * sum(p_i)``."""
        return self.lo + self.hi

    def contains(self, level: int) -> bool:
        """Whether ``level`` is a member."""
        return self.lo <= level <= self.hi and (level - self.lo) % self.step == 0

    def values(self) -> np.ndarray:
        """All members in ascending order, int64."""
        return self.lo + self.step * np.arange(self.count, dtype=np.int64)

    def __str__(self) -> str:
        if self.count <= 4:
            return "{" + ",".join(map(str, self.values())) + "}"
        step = f":{self.step}" if self.step != 1 else ""
        return "{" + f"{self.lo}..{self.hi}{step}" + "}"


BIPOLAR = Levels(-1, 2, 2)
TERNARY = Levels(-1, 1, 3)


@dataclass(frozen=True, slots=True)
class TensorType:
    """Numbers of one dtype. Text: ``f32[1,3,32,32]``, with a layout ``f32[1,3,32,32]@nhwc``."""

    shape: Shape
    dtype: DType = DType.F32
    layout: Layout = Layout.ROW_MAJOR

    def with_shape(self, shape: Shape) -> TensorType:
        """The same element type in another shape (and no layout chosen)."""
        return TensorType(tuple(shape), self.dtype)

    def with_layout(self, layout: Layout) -> TensorType:
        """The same tensor in another layout."""
        return replace(self, layout=layout)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}{_dims(self.shape)}{_at(self.layout)}"


@dataclass(frozen=True, slots=True)
class CodeType:
    """Codes: integer levels standing for ``scale * level``. Text: ``code<{-1,1} * 0.5>[1,64,8,8]@nhwc64``.

    In the interpreter a code tensor is an int32 array of *levels* in the logical shape.
    """

    shape: Shape
    levels: Levels
    scale: float = 1.0
    layout: Layout = Layout.ROW_MAJOR

    def with_shape(self, shape: Shape) -> CodeType:
        """The same codes in another shape (and no layout chosen)."""
        return CodeType(tuple(shape), self.levels, self.scale)

    def with_layout(self, layout: Layout) -> CodeType:
        """The same tensor in another layout."""
        return replace(self, layout=layout)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def __str__(self) -> str:
        scale = "" if self.scale == 1.0 else f" * {float(self.scale)!r}"
        return f"code<{self.levels}{scale}>{_dims(self.shape)}{_at(self.layout)}"


@dataclass(frozen=True, slots=True)
class BufferType:
    """Memory of a kernel: ``shape`` elements of ``dtype``, row-major. Text: ``mem<u64>[16,16,1]``."""

    shape: Shape
    dtype: DType

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return self.size * self.dtype.bytes

    def __str__(self) -> str:
        return f"mem<{self.dtype}>{_dims(self.shape)}"


Type = TensorType | CodeType | BufferType


def _dims(shape: Shape) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _at(layout: Layout) -> str:
    return "" if layout is Layout.ROW_MAJOR else f"@{layout}"
