"""``keep-planes``: products along trees of channels that read one another's bits pass them as planes of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.ir.sliced import all_lanes, geometry_of
from bitc.passes.base import Pass

_READERS = ("k.sliced_bits", "k.sliced_acc")


@dataclass(frozen=True)
class KeepPlanes(Pass):
    """Both kernels compute on planes of pixels, so packing these and taking them apart again is left out::

        %y = k.sliced_bits %x, ... {halo}; %z = k.fill_halo %y, %pixel; %a = k.sliced_acc %z, ...
        -->  %y = k.sliced_lanes %x, ..., %pixel; %a = k.sliced_acc %y, ... {first_lane}

    The identity: lane p of a plane is pixel (p / pitch, p % pitch). With equal pitches a tap finds the pixel it found in the packed image,
    as many lanes further on as ``first_lane`` says. A place beside the image is a lane with the bit of ``pixel``: above and below it is
    one outside all rows, left of a row it is one right of the row before, which is why the reader's columns on the left must not be more
    than the lanes between two rows. Side conditions: one reader, which reads pixel after pixel, and rows of both equally long.
    """

    name: ClassVar[str] = "keep-planes"

    def run(self, graph: Graph) -> Graph:
        users = graph.users()
        found = [kept for op in graph.ops if (kept := _Kept.of(op, users, graph.outputs)) is not None]
        makers = {kept.maker.results[0]: kept for kept in found}
        readers = {kept.reader.results[0]: kept for kept in found}
        filled = {kept.reader.operands[0] for kept in found} - makers.keys()

        def rule(op: Op, b: Builder) -> tuple[Value, ...] | Value | None:
            made, name, operands, attrs = op.results[0], op.name, tuple(op.operands), dict(op.attrs)
            if made in filled:
                return op.operands[0]
            if made not in makers and made not in readers:
                return None
            if made in readers:
                attrs["first_lane"] = readers[made].first_lane
            if made in makers:
                name, operands = "k.sliced_lanes", (*operands, b.constant(makers[made].pixel))
                del attrs["halo"]
                attrs |= {"lead_words": makers[made].lead_words, "plane_words": makers[made].plane_words}
            return tuple(b.add_multi(name, *operands, loc=op.loc, **attrs))

        return rewrite(graph, rule)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A product and the one that reads its bits as planes; ``pixel``: the bits beside the image, packed."""

    maker: Op
    reader: Op
    pixel: np.ndarray

    @staticmethod
    def of(maker: Op, users: Mapping[Value, Sequence[Op]], outputs: Sequence[Value]) -> _Kept | None:
        """``maker`` with its reader, where the side conditions hold."""
        if maker.name != "k.sliced_bits":
            return None
        value, pixel = maker.results[0], np.zeros(maker.results[0].shape[-1:], np.uint64)
        if (reader := _only_reader(value, users, outputs)) is not None and reader.name == "k.fill_halo":
            around = reader.operands[1].constant
            assert around is not None, "a halo is filled with a constant"
            value, pixel = reader.result, around
            reader = _only_reader(value, users, outputs)
        if reader is None or reader.name not in _READERS or tuple(reader.attrs["strides"]) != (1, 1):
            return None
        kept = _Kept(maker, reader, pixel)
        pitch, left = geometry_of(maker.attrs).pitch, kept.beside[1]
        fits = geometry_of(reader.attrs).pitch == pitch and 0 <= left <= pitch - maker.attrs["size"][1]
        return kept if fits else None

    @property
    def beside(self) -> tuple[int, int]:
        """Rows above and columns left of the image that the reader's windows begin with; negative where they begin inside."""
        halo, at = self.maker.attrs["halo"], self.reader.attrs["at"]
        return halo[0] - at[0], halo[1] - at[1]

    @property
    def lanes_before(self) -> int:
        """Lanes from what the reader reads first to the image's first pixel."""
        above, left = self.beside
        return int(above * geometry_of(self.maker.attrs).pitch + left)

    @property
    def lead_words(self) -> int:
        """Words before the image in each plane."""
        return max(0, -(-self.lanes_before // 64))

    @property
    def first_lane(self) -> int:
        """Where the reader begins."""
        return self.lead_words * 64 - self.lanes_before

    @property
    def plane_words(self) -> int:
        """Words of a plane: what is written and what is read."""
        written, reader = self.lead_words + all_lanes(self.maker.attrs) // 64, self.reader.attrs
        return max(written, geometry_of(reader).plane_words(reader["size"], reader["lanes"], self.first_lane))


def _only_reader(value: Value, users: Mapping[Value, Sequence[Op]], outputs: Sequence[Value]) -> Op | None:
    readers = users[value]
    return readers[0] if len(readers) == 1 and value not in outputs else None
