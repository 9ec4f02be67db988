"""The C plan under construction: names for arrays, structs and buffers, and pointer expressions into buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bitc.codegen.maps import dtype_of, plan_map
from bitc.codegen.memory_plan import MemoryPlan
from bitc.codegen.names import CTYPES, comment
from bitc.codegen.plan import Array, Call, Geometry, Pointer, Program
from bitc.codegen.sharing import Share, weights_block
from bitc.ir import DType, Op, Value
from bitc.ir.k import Halo

TEXT_BYTES = 1 << 15
"""Arrays from this size on are strings, as nobody reads them."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where calls stand: in a loop over images ``n`` or not, and over all rows, a band (``y`` to ``end``) or single ones (``r``).

    In a step that threads ``share`` along another axis than rows, they cover ``first`` to ``last`` of that axis.
    """

    images: int
    rows: int
    by_band: bool = False
    single: bool = False
    share: Share | None = None

    def splits(self, axis: str) -> bool:
        """Whether a part has only some of the pixels, channels or products of a stack."""
        return self.share is not None and self.share.axis == axis

    def narrowed(self) -> dict[str, str]:
        """The fields of a convolution's geometry that are a part's own."""
        if self.splits("pixels"):
            return {"out_w": "last - first"}
        return {"out_c": "last - first"} if self.splits("channels") else {}

    def moved(self, step: int, axis: str = "channels") -> list[int | str]:
        """How far a pointer moves to a part's beginning: ``step`` elements for each channel (or another ``axis``)."""
        return [f"first * {step}" if step != 1 else "first"] if self.splits(axis) and step else []

    def to_weights(self, op: Op) -> list[int | str]:
        """How far a pointer to the weights of a product moves to those of a part's channels."""
        return self.by_block(op, weights_block(op)[1]) if self.splits("channels") else []

    def by_block(self, op: Op, step: int) -> list[int | str]:
        """How far a pointer moves to a part's channels: ``step`` elements for each block of them."""
        return [f"first / {weights_block(op)[0]} * {step}"] if self.splits("channels") else []

    def one_row(self) -> Frame:
        """The same inside a loop over single rows."""
        return replace(self, single=True)

    @property
    def first(self) -> str:
        """The first row of the band."""
        return "y" if self.by_band else "0"

    @property
    def end(self) -> str:
        """One past its last row."""
        return "end" if self.by_band else str(self.rows)

    def row(self, inner: bool) -> str:
        """The row of a pointer; buffers that live inside a band (``inner``) begin with its first row."""
        if not self.single:
            return "0" if inner else self.first
        return "(r - y)" if inner and self.by_band else "r"

    def times(self, width: int) -> str:
        """``width`` for each of the rows; of a part of the pixels of one row, what they have of it."""
        if self.share is not None and self.share.axis == "pixels":
            each = width // self.share.size
            return f"(last - first) * {each}" if each > 1 else "last - first"
        if self.single:
            return str(width)
        return f"(end - y) * {width}" if self.by_band else str(self.rows * width)


@dataclass(slots=True)
class Assembly:
    """Collects the pieces of a :class:`Program`. Equal constants and equal structs are kept once. ``isa`` ends the names of kernels;
    ``lesser``: what serves where there is none (see :class:`bitc.codegen.targets.Target`)."""

    program: Program
    memory: MemoryPlan
    isa: str
    little_endian: bool
    """Whether the target's bytes surely lie so, and large arrays of several bytes each can be strings."""
    lesser: tuple[str, ...] = ()
    inner: frozenset[Value] = frozenset()
    """Values that live inside the row region at hand."""
    setup: list[str] = field(default_factory=list)
    """What a part of the step at hand declares first."""
    _arrays: dict[tuple[str, bytes], str] = field(default_factory=dict)
    _geometries: dict[tuple[str, tuple[tuple[str, str], ...]], str] = field(default_factory=dict)
    _pointers: dict[tuple[int, int, str], str] = field(default_factory=dict)

    def array(self, values: np.ndarray, note: str) -> str:
        """The pointer to a constant array with these elements."""
        key = (str(values.dtype), np.ascontiguousarray(values).tobytes())
        if key not in self._arrays:
            dtype, name = DType.of(values.dtype), f"{self.program.name}_c{len(self._arrays)}"
            text = values.nbytes >= TEXT_BYTES and (self.little_endian or dtype.bytes == 1)
            array = Array(name, dtype, values, comment(note), text)
            self.program.arrays.append(array)
            self._arrays[key] = array.pointer
        return self._arrays[key]

    def border_classes(self, attrs: Mapping[str, Any]) -> dict[str, str]:
        """The fields ``row_class`` and ``col_class`` of a geometry; NULL where there is one class."""
        notes = {"row_class": "rows' border classes", "col_class": "columns' border classes"}
        arrays = {key: np.asarray(attrs[key], np.uint8) for key in notes}
        return {key: self.array(array, notes[key]) if array.size else "NULL" for key, array in arrays.items()}

    def constant(self, value: Value) -> str:
        """The array of a constant operand."""
        array = value.constant
        assert array is not None, f"%{value.name} must be a constant"
        return self.array(array, f"{dtype_of(value)}{list(array.shape)}")

    def geometry(self, struct: str, fields: Mapping[str, object], narrowed: Mapping[str, str] | None = None) -> str:
        """The name of a constant struct with these fields, or of a local copy where a part has ``narrowed`` ones."""
        items = tuple((name, str(value)) for name, value in fields.items())
        if (struct, items) not in self._geometries:
            name = f"{self.program.name}_g{len(self._geometries)}"
            self._geometries[struct, items] = name
            self.program.geometries.append(Geometry(name, struct, items))
        if not narrowed:
            return self._geometries[struct, items]
        self.setup.append(f"{struct} g = {self._geometries[struct, items]};")
        self.setup += [f"g.{name} = {value};" for name, value in narrowed.items()]
        return "g"

    def base(self, value: Value) -> str:
        """The pointer to a buffer's first element."""
        storage = self.memory.storage.get(value)
        if value.constant is not None:
            return self.constant(value)
        assert storage is not None, f"%{value.name} has no place"
        assert storage.home != "constant", "views of constants are folded by lowering"
        if storage.home != "arena":
            return ("in" if storage.home == "input" else "out") + str(storage.place)
        ctype = CTYPES[dtype_of(value)]
        key = (storage.place, storage.stride, ctype)
        if key not in self._pointers:
            self._pointers[key] = f"b{len(self._pointers)}"
            self.program.pointers.append(Pointer(self._pointers[key], ctype, storage.place, storage.stride))
        return self._pointers[key]

    @staticmethod
    def offset(pointer: str, *terms: int | str) -> str:
        """``pointer`` moved by the sum of ``terms``; zeros vanish.

        >>> Assembly.offset("b0", 0, "n * 12", 3)
        'b0 + n * 12 + 3'
        """
        fixed = sum(term for term in terms if isinstance(term, int))
        moving = [term for term in terms if isinstance(term, str)]
        return " + ".join([pointer, *moving, *([str(fixed)] if fixed else [])])

    def at_pixel(self, value: Value, frame: Frame, at: Sequence[int], step: int = 1) -> str:
        """The pointer to pixel ``at`` (row, column) of the whole buffer of the image at hand.

        A part of the pixels of one row begins ``step`` pixels on for each.
        """
        images, rows, columns, elements = value.shape
        image = [f"n * {rows * columns * elements}"] if frame.images > 1 and images > 1 else []
        part = frame.moved(step * elements, "pixels")
        return self.offset(self.base(value), *image, *part, (at[0] * columns + at[1]) * elements)

    def at_row(self, value: Value, frame: Frame, halo: Halo) -> str:
        """The pointer to the first pixel inside ``halo`` of the row at hand."""
        images, rows, columns, elements = value.shape
        inner = value in self.inner
        row = frame.row(inner)
        repeated = rows - halo[0] - halo[2] == 1 and frame.rows > 1
        terms: list[int | str] = (
            [f"n * {rows * columns * elements}"] if frame.images > 1 and images > 1 and not inner else []
        )
        if row != "0" and not repeated:
            terms.append(f"{row} * {columns * elements}")
        if columns > 1:
            terms += frame.moved(elements, "pixels")
        if frame.splits("channels"):
            terms.append("first / 64" if dtype_of(value) is DType.U64 else "first")
        return self.offset(self.base(value), *terms, (halo[0] * columns + halo[1]) * elements)

    def map_call(self, op: Op, frame: Frame) -> Call:
        """The call of a map's own function, which is added to the program."""
        places = [self.memory.storage.get(operand) for operand in op.operands]
        shared = {
            index: places.index(storage)
            for index, result in enumerate(op.results)
            if (storage := self.memory.storage[result]).home == "arena" and storage in places
        }
        name = f"{self.program.name}_map{len(self.program.maps)}"
        plan = plan_map(op, name, shared, self.constant, frame.splits("pixels"))
        self.program.maps.append(plan.function)
        pointers = [self.at_row(value, frame, halo) for value, halo in plan.arguments]
        return Call(name, (*pointers, frame.times(1)))
