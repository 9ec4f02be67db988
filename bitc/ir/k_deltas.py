"""Level ``k``: bit weights made from differences between channels (:mod:`bitc.ir.channel_deltas`) while the network runs."""

from __future__ import annotations

import numpy as np

from bitc.ir.channel_deltas import MOST_CHANNELS, decoded
from bitc.ir.k import as_buffer
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.packing import WeightForm, pack_weights, words_of
from bitc.ir.types import BufferType, DType, Type


@op("k.delta_weights")
class DeltaWeights(OpDecl):
    """w = the weights of ``channels`` channels, ``taps`` · ``in_channels`` each, as :func:`~bitc.ir.packing.pack_weights` lays them out
    for ``planes`` planes"""

    operands = ("stream",)
    attrs = {
        "channels": REQUIRED,
        "taps": REQUIRED,
        "in_channels": REQUIRED,
        "planes": REQUIRED,
        "block": REQUIRED,
        "byte_rows": False,
    }

    @staticmethod
    def infer(
        stream: Type, *, channels: int, taps: int, in_channels: int, planes: int, block: int, byte_rows: bool
    ) -> BufferType:
        as_buffer(stream, DType.U8, 1)
        if not 1 <= channels <= MOST_CHANNELS or min(taps, in_channels, planes, block) < 1:
            raise InferenceError(f"there are no weights of {channels} channels, {taps} taps of {in_channels}")
        return BufferType((-(-channels // block), taps * planes * words_of(in_channels), block), DType.U64)

    @staticmethod
    def evaluate(
        stream: np.ndarray, *, channels: int, taps: int, in_channels: int, planes: int, block: int, byte_rows: bool
    ) -> np.ndarray:
        rows = decoded(stream, channels, taps * in_channels).reshape(channels, taps, 1, in_channels)
        return pack_weights(np.where(rows, -1, 1).transpose(0, 3, 1, 2), planes, WeightForm(block, byte_rows))
