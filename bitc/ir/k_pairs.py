"""Level ``k``: products of codes of at most four levels by table look-up, two bits a channel (:mod:`bitc.ir.pairs`).

Geometry as in :mod:`bitc.ir.k`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bitc.ir.k import WINDOW, as_buffer, class_map, windows_of
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.packing import WeightForm, unpack_weights, words_of
from bitc.ir.pairs import interleave, matrix_of, pair_words, unpack_pairs
from bitc.ir.types import BufferType, DType, Type


@op("k.interleave")
class Interleave(OpDecl):
    """y = the planes of each pixel of x as pairs of bits, halo and all"""

    operands = ("x",)
    attrs = {"planes": REQUIRED, "channels": REQUIRED}

    @staticmethod
    def infer(x: Type, *, planes: int, channels: int) -> BufferType:
        source = as_buffer(x, DType.U64, 4)
        if not 1 <= planes <= 3 or source.shape[3] != planes * words_of(channels):
            raise InferenceError(f"{source} does not hold {planes} planes, 1 to 3, of {channels} channels")
        return BufferType((*source.shape[:3], pair_words(channels)), DType.U64)

    @staticmethod
    def evaluate(x: np.ndarray, *, planes: int, channels: int) -> np.ndarray:
        return interleave(x, planes, channels)


@op("k.pair_acc")
class PairAcc(OpDecl):
    """acc[n,y,x,c] = base[class(y,x), c] - step · Σ table(pairs of the window, pairs of w[c]), int32; w lies as bit weights do"""

    operands = ("x", "w", "table", "base")
    attrs = {
        **WINDOW,
        "channels": REQUIRED,
        "terms": REQUIRED,
        "row_class": (),
        "col_class": (),
        "block": REQUIRED,
        "byte_rows": False,
        "step": REQUIRED,
    }

    @staticmethod
    def infer(x: Type, w: Type, table: Type, base: Type, **attrs: Any) -> BufferType:
        source, weights = as_buffer(x, DType.U64, 4), as_buffer(w, DType.U64, 3)
        windows = windows_of(attrs)
        windows.check(source)
        entries = windows.taps[0] * windows.taps[1] * source.shape[3]
        if weights.shape != (-(-attrs["channels"] // attrs["block"]), entries, attrs["block"]):
            raise InferenceError(f"weights {weights} do not fit {source}")
        if as_buffer(table, DType.U8).shape != (256, 32):
            raise InferenceError(f"the table {table} is not u8[256,32]")
        as_buffer(base, DType.I32, 2)
        return BufferType((source.shape[0], *attrs["size"], attrs["channels"]), DType.I32)

    @staticmethod
    def evaluate(x: np.ndarray, w: np.ndarray, table: np.ndarray, base: np.ndarray, **attrs: Any) -> np.ndarray:
        windows, channels = windows_of(attrs), attrs["channels"]
        bits = unpack_weights(w, windows.taps, channels, WeightForm(attrs["block"], attrs["byte_rows"]))
        weights = bits[:, 0::2] + 2 * bits[:, 1::2].astype(np.int64)
        pairs, matrix = unpack_pairs(x), matrix_of(table).astype(np.float64)
        sums = sum(
            np.tensordot(
                windows.view((pairs == pair).astype(np.float64)), matrix[pair][weights], axes=((1, 4, 5), (1, 2, 3))
            )
            for pair in range(4)
        )
        classes = class_map(attrs["row_class"], attrs["col_class"], attrs["size"])
        return np.asarray(base[classes][..., :channels] - attrs["step"] * np.rint(sums).astype(np.int64))
