"""Level ``k``: binary planes of numbers and of thermometer codes, as words. Geometry and bit order as in :mod:`bitc.ir.k`."""

from __future__ import annotations

import numpy as np

from bitc.ir.bit_moves import moved
from bitc.ir.k import NO_HALO, Halo, as_buffer, inside, surround, with_halo
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.packing import pack_bits, unpack_codes, words_of
from bitc.ir.types import BufferType, DType, Levels, Type


@op("k.pack_bit")
class PackBit(OpDecl):
    """bit c of y = not bit ``bit`` of x[..., c], u8"""

    operands = ("x",)
    attrs = {"bit": REQUIRED, "x_halo": NO_HALO, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, *, bit: int, x_halo: Halo, halo: Halo) -> BufferType:
        source = as_buffer(x, DType.U8, 4)
        if not 0 <= bit < 8:
            raise InferenceError(f"u8 has bits 0 to 7, not {bit}")
        size = (source.shape[1] - x_halo[0] - x_halo[2], source.shape[2] - x_halo[1] - x_halo[3])
        return BufferType((source.shape[0], *with_halo(size, halo), words_of(source.shape[3])), DType.U64)

    @staticmethod
    def evaluate(x: np.ndarray, *, bit: int, x_halo: Halo, halo: Halo) -> np.ndarray:
        return surround(pack_bits((inside(x, x_halo) >> bit & 1) == 0), halo)


@op("k.index_bit")
class IndexBit(OpDecl):
    """bit c of y = not bit ``bit`` of channel c's index, the number of the ``planes`` of x whose bit is 0"""

    operands = ("x",)
    attrs = {"bit": REQUIRED, "planes": REQUIRED, "channels": REQUIRED, "x_halo": NO_HALO, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, *, bit: int, planes: int, channels: int, x_halo: Halo, halo: Halo) -> BufferType:
        source = as_buffer(x, DType.U64, 4)
        if source.shape[3] != planes * words_of(channels) or planes >> bit == 0:
            raise InferenceError(f"{source} does not hold {planes} planes of {channels} channels with a bit {bit}")
        size = (source.shape[1] - x_halo[0] - x_halo[2], source.shape[2] - x_halo[1] - x_halo[3])
        return BufferType((source.shape[0], *with_halo(size, halo), words_of(channels)), DType.U64)

    @staticmethod
    def evaluate(x: np.ndarray, *, bit: int, planes: int, channels: int, x_halo: Halo, halo: Halo) -> np.ndarray:
        index = unpack_codes(inside(x, x_halo), Levels(0, 1, planes + 1), channels)
        return surround(pack_bits((index >> bit & 1) == 0), halo)


@op("k.pick_bits")
class PickBits(OpDecl):
    """word w of y = flips[w] ^ (words of x, rotated and masked) for each of ``steps`` that writes it (:mod:`bitc.ir.bit_moves`)"""

    operands = ("x", "steps", "masks", "flips")
    attrs = {"x_halo": NO_HALO, "halo": NO_HALO}

    @staticmethod
    def infer(x: Type, steps: Type, masks: Type, flips: Type, *, x_halo: Halo, halo: Halo) -> BufferType:
        source, table = as_buffer(x, DType.U64, 4), as_buffer(steps, DType.I32, 2)
        taken, turned = as_buffer(masks, DType.U64, 1), as_buffer(flips, DType.U64, 1)
        if table.shape != (taken.shape[0], 3):
            raise InferenceError(f"steps {table} do not fit masks {taken}")
        size = (source.shape[1] - x_halo[0] - x_halo[2], source.shape[2] - x_halo[1] - x_halo[3])
        return BufferType((source.shape[0], *with_halo(size, halo), turned.shape[0]), DType.U64)

    @staticmethod
    def evaluate(
        x: np.ndarray, steps: np.ndarray, masks: np.ndarray, flips: np.ndarray, *, x_halo: Halo, halo: Halo
    ) -> np.ndarray:
        return surround(moved(inside(x, x_halo), steps, masks, flips), halo)
