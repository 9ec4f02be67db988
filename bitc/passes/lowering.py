"""What the lowering rules share: where each value of the q graph lies among the k buffers, its halo, and how constants are arranged."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from bitc.errors import Diagnostic
from bitc.ir import Builder, CodeType, Graph, Layout, Op, TensorType, Value
from bitc.ir.integer_packing import IntegerForm
from bitc.ir.k import NO_HALO, Halo
from bitc.ir.packing import WeightForm, pack_codes, words_of
from bitc.passes.coded_costs import CodedCosts
from bitc.passes.event_costs import EventCosts
from bitc.passes.sparse_costs import SparseCosts

NHWC_AXES = (0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class KernelForms:
    """How the target's kernels want their constants: bit weights, channels in a block of float and of sign weights, integers.
    ``coded``: what these cost as bytes and as codes of few bits; None where there are no kernels on codes. ``lanes``: pixels of a vector
    of bit planes. ``events``: what products by events cost; None where there are no such kernels. ``sparse``: what those over the weights
    that are not 0 cost; None where nobody measured."""

    bits: WeightForm
    float_block: int
    integers: IntegerForm
    coded: CodedCosts | None
    lanes: int
    events: EventCosts | None = None
    sparse: SparseCosts | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A buffer and the halo around the image in it; ``pad`` is what the halo holds (a level, or 0.0), None without halo."""

    value: Value
    halo: Halo = NO_HALO
    pad: float | None = None


class Refused(Exception):
    """A rule does not apply to an op; collected by the driver into one :class:`UnsupportedError`."""

    def __init__(self, code: str, title: str, rule: str, here: str = "", hint: str = "") -> None:
        self.code, self.title, self.rule, self.here, self.hint = code, title, rule, here, hint
        super().__init__(title)

    def diagnostic(self, op: Op) -> Diagnostic:
        """The complaint, located at ``op``."""
        where = ";  ".join([op.loc or op.name, *(str(operand.type) for operand in op.operands)])
        return Diagnostic(self.code, f"{op.name} {self.title}", where, self.rule, self.here, self.hint)


def canonical(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """A row-major shape as four axes: short ones get leading 1s, of long ones the leading axes are merged.

    >>> canonical((5,)), canonical((2, 3, 4, 5, 6))
    ((1, 1, 1, 5), (6, 4, 5, 6))
    """
    padded = (1,) * (4 - len(shape)) + shape
    return (prod(padded[:-3]), *padded[-3:])  # type: ignore[return-value]


def physical_shape(type: TensorType | CodeType) -> tuple[int, int, int, int]:
    """The four axes of the buffer (without halo) of a tensor in its layout. Raises :class:`Refused` for codes of other ranks than 2, 4.

    >>> physical_shape(TensorType((1, 3, 8, 9)).with_layout(Layout.NHWC))
    (1, 8, 9, 3)
    """
    if isinstance(type, CodeType):
        if len(type.shape) not in (2, 4):
            raise Refused(
                "U110", f"has codes of rank {len(type.shape)}", "codes are images [N,C,H,W] or rows [M,C]", str(type)
            )
        n, c, h, w = type.shape if len(type.shape) == 4 else (1, type.shape[1], 1, type.shape[0])
        return n, h, w, type.levels.planes * words_of(c)
    if type.layout is Layout.NHWC:
        n, c, h, w = type.shape
        return n, h, w, c
    return canonical(type.shape)


def tensor_type(value: Value) -> TensorType | CodeType:
    """The type of a value of a q graph."""
    assert isinstance(value.type, TensorType | CodeType)
    return value.type


@dataclass(slots=True)
class Lowering:
    """The k graph under construction; ``weight_bytes``: of all products of numbers in the graph it is made from. ``events``: the lists
    of what is not zero in a buffer."""

    graph: Graph
    forms: KernelForms
    builder: Builder = field(default_factory=Builder)
    placed: dict[Value, Placed] = field(default_factory=dict)
    needs: dict[Value, tuple[Halo, float]] = field(default_factory=dict)
    users: dict[Value, list[Op]] = field(default_factory=dict)
    weight_bytes: int = 0
    events: dict[Value, Value] = field(default_factory=dict)

    def add(self, name: str, *operands: Value, like: Op | None, **attrs: Any) -> Value:
        """Append a k op with one result that carries the location of ``like``."""
        return self.builder.add(name, *operands, loc=like.loc if like is not None else "", **attrs)

    def constant(self, array: np.ndarray) -> Value:
        """A constant operand of a k op."""
        return self.builder.constant(array)

    def halo(self, value: Value) -> Halo:
        """The halo the buffer of ``value`` should have for its readers."""
        return self.needs[value][0] if value in self.needs else NO_HALO

    def put(self, value: Value, made: Value, halo: Halo = NO_HALO) -> None:
        """``made`` holds ``value``, inside ``halo``, which is filled here."""
        pad = None
        if any(halo):
            pad = self.needs[value][1]
            made = self._filled(value, made, halo, pad)
        if not made.origin:
            made.origin = value.origin
        self.placed[value] = Placed(made, halo, pad)

    def _filled(self, value: Value, made: Value, halo: Halo, pad: float) -> Value:
        type = tensor_type(value)
        if isinstance(type, CodeType):
            pixel = pack_codes(np.full(type.shape[1], int(pad)), type.levels)
        else:
            pixel = np.full(type.shape[1], pad, type.dtype.numpy)
        loc = value.producer.loc if value.producer is not None else ""
        return self.builder.add("k.fill_halo", made, self.constant(pixel), halo=halo, loc=loc)

    def use(self, value: Value, layout: Layout = Layout.NHWC) -> Placed:
        """Where ``value`` lies; a constant is arranged as images lie, or row by row."""
        array = value.constant
        if array is not None:
            return Placed(self.constant(physical_array(array, layout)))
        assert value in self.placed, f"%{value.name} is read before it is made"
        return self.placed[value]

    def dense(self, value: Value, like: Op | None, layout: Layout = Layout.NHWC) -> Value:
        """The buffer of ``value`` without halo, copied if it has one; a constant is arranged in ``layout``."""
        found = self.use(value, layout)
        if not any(found.halo):
            return found.value
        return self.add("k.copy_image", found.value, x_halo=found.halo, like=like)

    def padded(self, value: Value, pads: tuple[int, ...], pad: float, like: Op | None) -> Placed:
        """A buffer of ``value`` whose halo covers ``pads`` (top, left, bottom, right) and holds ``pad``."""
        found = self.use(value)
        enough = all(have >= want for have, want in zip(found.halo, pads, strict=True))
        if not any(pads) or (enough and found.pad == pad):
            return found
        halo = tuple(pads)
        assert len(halo) == 4
        copied = self.add("k.copy_image", found.value, x_halo=found.halo, halo=halo, like=like)
        return Placed(self._filled(value, copied, halo, pad), halo, pad)


def physical_array(array: np.ndarray, layout: Layout = Layout.NHWC) -> np.ndarray:
    """A constant number tensor as its buffer: images channels last unless ``layout`` is row-major, else four row-major axes."""
    if array.ndim == 4 and layout is Layout.NHWC:
        return np.ascontiguousarray(array.transpose(NHWC_AXES))
    return array.reshape(canonical(array.shape))


def halo_needs(graph: Graph) -> dict[Value, tuple[Halo, float]]:
    """For each value read by padded convolutions: the largest padding, and what it holds (as the first of them has it)."""
    needs: dict[Value, tuple[Halo, float]] = {}
    for op in graph.ops:
        if (
            op.name not in ("q.conv", "nn.conv", "q.weight_conv", "q.int_conv")
            or not any(op.attrs["pads"])
            or len(op.attrs["pads"]) != 4
        ):
            continue
        source, pads = op.operands[0], op.attrs["pads"]
        pad = float(op.attrs.get("pad_level", op.attrs.get("pad_value", 0.0)))
        halo, held = needs.get(source, (NO_HALO, pad))
        if held == pad:
            needs[source] = (tuple(map(max, halo, pads)), pad)
    return needs
