"""Elementwise maps as C functions: loops over rows, pixels and channels around the body's ops, one line an op.

Scalars become literals, values that vary by channel arrays indexed by ``c``; whatever else a constant is, it becomes one more operand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bitc.codegen.expressions import NARROW, element_type, expression
from bitc.codegen.names import CTYPES, VALUE_CTYPES, comment, literal
from bitc.codegen.plan import MapFunction, Parameter
from bitc.codegen.ranges import fits_int32, ranges
from bitc.ir import DType, Graph, Op, TensorType, Value
from bitc.ir.k import NO_HALO, Halo
from bitc.ir.types import BufferType


@dataclass(frozen=True, slots=True)
class Lane:
    """How an operand or result of a map is walked: elements from one row, pixel and channel to the next (0: the same again)."""

    row: int
    pixel: int
    channel: int

    @classmethod
    def of(cls, shape: tuple[int, ...], halo: Halo) -> Lane:
        """The lane of an image [N, H, W, C] in a buffer with ``halo``; axes of size 1 are repeated."""
        _, h, w, c = shape
        columns = w + halo[1] + halo[3]
        return cls(columns * c if h > 1 else 0, c if w > 1 else 0, 1 if c > 1 else 0)

    def index(self, y: str = "y", x: str = "x", c: str = "c") -> str:
        """The C index of the element.

        >>> Lane(96, 8, 1).index(), Lane(0, 0, 1).index(), Lane(0, 0, 0).index()
        ('y * 96 + x * 8 + c', 'c', '0')
        """
        terms = [v if s == 1 else f"{v} * {s}" for v, s in ((y, self.row), (x, self.pixel), (c, self.channel)) if s]
        return " + ".join(terms) or "0"


@dataclass(frozen=True, slots=True)
class MapPlan:
    """A map's C function and, for each of its parameters, the value it points at and the halo around it there.

    A result that takes over an operand's memory is that operand's parameter.
    """

    function: MapFunction
    arguments: tuple[tuple[Value, Halo], ...]


def dtype_of(value: Value) -> DType:
    """The element type of a number value."""
    assert isinstance(value.type, TensorType | BufferType)
    return value.type.dtype


def plan_map(
    op: Op, name: str, shared: Mapping[int, int], table: Callable[[Value], str], by_pixels: bool = False
) -> MapPlan:
    """The C function of a ``k.map``.

    ``shared`` maps the index of a result to that of the operand whose memory it takes over; ``table`` gives the name of the array of
    a constant that varies by channel; ``by_pixels``: the function's rows are the pixels of the one row there is.
    """
    body: Graph = op.attrs["body"]
    slots: dict[str, _Slot] = {}
    known: dict[Value, str] = {}
    for index, (value, outer, halo) in enumerate(zip(body.inputs, op.operands, op.attrs["x_halos"], strict=True)):
        slots[f"x{index}"] = _Slot(value, outer, halo, True)
    tables = False
    for value in [o.result for o in body.ops if o.name == "nn.constant"]:
        array = value.constant
        assert array is not None
        if array.size == 1:
            text = literal(array.reshape(-1)[0], dtype_of(value))
            known[value] = f"({text})" if text.startswith("-") else text
        elif array.size == array.shape[-1]:
            known[value], tables = _read(f"{table(value)}[c]", dtype_of(value)), True
        else:
            slots[f"k{len(slots)}"] = _Slot(value, value, NO_HALO, True)
    results = []
    for index, (value, outer, halo) in enumerate(zip(body.outputs, op.results, op.attrs["halos"], strict=True)):
        results.append(f"x{shared[index]}" if index in shared else f"y{index}")
        slots[results[-1]] = replace(slots.get(results[-1], _Slot(value, outer, halo, False)), const=False)
    lanes, pixels, channels = _flatten(slots, body.outputs[0].shape, tables)
    if by_pixels:
        lanes, pixels, channels = _pixels_as_rows(slots, body.outputs[0].shape)
    lines: list[str] = []
    for name_, slot in slots.items():
        if slot.inner not in body.outputs or name_ not in results:
            known[slot.inner] = f"v{len(lines)}"
            dtype = dtype_of(slot.inner)
            element = _read(f"{name_}[{lanes[name_].index()}]", dtype)
            lines.append(f"const {VALUE_CTYPES[dtype]} {known[slot.inner]} = {element};")
    _body_lines(body, known, lines)
    for value, result in zip(body.outputs, results, strict=True):
        made = _STORED.get(dtype_of(value), "{}").format(known[value])
        lines.append(f"{result}[{lanes[result].index()}] = {made};")
    read = {word for line in lines for word in re.findall(r"\w+", line.partition(" = ")[2])}
    lines += [f"(void){known[slot.inner]};" for slot in slots.values() if known[slot.inner] not in read]
    parameters = tuple(Parameter(slot, s.ctype, s.const) for slot, s in slots.items())
    function = MapFunction(name, comment(op.loc), parameters, pixels, channels, tuple(lines))
    return MapPlan(function, tuple((slot.outer, slot.halo) for slot in slots.values()))


@dataclass(frozen=True, slots=True)
class _Slot:
    """A parameter: the body's value it holds first, the value outside it points at, the halo there, and whether it is only read."""

    inner: Value
    outer: Value
    halo: Halo
    const: bool

    @property
    def ctype(self) -> str:
        return CTYPES[dtype_of(self.inner)]


_STORED = {DType.F16: "bitc_to_f16({})", DType.BOOL: "(uint8_t){}"}
"""How a number is turned into what lies in memory."""


def _body_lines(body: Graph, known: dict[Value, str], lines: list[str]) -> None:
    limits, wide_truth = ranges(body), _is_wide(body)
    for op in body.ops:
        if op.name == "nn.constant":
            continue
        args = [known[o] for o in op.operands]
        sure = [o.constant is not None and not _has_nan(o.constant) for o in op.operands]
        text = expression(op, args, sure, fits_int32(limits.get(op.operands[0])))
        dtype = element_type(op)
        known[op.result] = f"v{len(lines)}"
        if dtype in NARROW and not text.startswith("("):
            text = f"({CTYPES[dtype]})({text})"
        ctype = VALUE_CTYPES[dtype]
        if dtype is DType.BOOL and wide_truth:
            ctype, text = "int32_t", text.removeprefix("(uint8_t)")
        lines.append(f"const {ctype} v{len(lines)} = {text};")


def _is_wide(body: Graph) -> bool:
    """Whether all numbers have 32 bits or more, but for truths that leave as numbers. Then truths get as many: compilers take as many
    lanes as the narrowest element fits in a vector, and keep several vectors of everything else; or give up where such truths are both
    kept and reckoned with."""
    numbers = [value for value in body.values() if dtype_of(value) is not DType.BOOL]
    wide = [value for value in numbers if dtype_of(value).bytes >= 4]
    return bool(wide) and all(_is_truth(value) for value in numbers if dtype_of(value).bytes < 4)


def _is_truth(value: Value) -> bool:
    op = value.producer
    return op is not None and op.name == "nn.cast" and dtype_of(op.operands[0]) is DType.BOOL


def _read(element: str, dtype: DType) -> str:
    """The number in memory at ``element``."""
    return f"bitc_from_f16({element})" if dtype is DType.F16 else element


def _has_nan(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def _flatten(slots: Mapping[str, _Slot], shape: tuple[int, ...], by_channel: bool) -> tuple[dict[str, Lane], int, int]:
    """Each parameter's lane, and the pixels and channels to walk: as one loop where all is dense and no constant varies by channel."""
    lanes = {name: Lane.of(slot.inner.shape, slot.halo) for name, slot in slots.items()}
    _, h, w, c = shape
    dense = Lane.of(shape, NO_HALO)
    if by_channel or any(lane != dense for lane in lanes.values()):
        return lanes, w, c
    merged = Lane(w * c if h > 1 else 0, 0, 1 if w * c > 1 else 0)
    return dict.fromkeys(lanes, merged), 1, w * c


def _pixels_as_rows(slots: Mapping[str, _Slot], shape: tuple[int, ...]) -> tuple[dict[str, Lane], int, int]:
    """The lanes over an image of one row whose pixels count as rows."""
    lanes = {name: Lane.of(slot.inner.shape, slot.halo) for name, slot in slots.items()}
    return {name: Lane(lane.pixel, 0, lane.channel) for name, lane in lanes.items()}, 1, shape[3]
