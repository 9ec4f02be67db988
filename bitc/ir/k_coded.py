"""Level ``k``: products of u8 activations with weights stored as codes of 2 or 4 bits (:mod:`bitc.ir.coded_weights`).

Windows are one run of values (a dense layer, a 1x1 convolution) of one group. Sums are int32, exact, as in :mod:`bitc.ir.k_integer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bitc.ir.coded_weights import MOST_RUN, WIDTHS, scratch_bytes, unpack_codes_of_weights
from bitc.ir.k import WINDOW, as_buffer, windows_of
from bitc.ir.k_integer import convolve, runs_in
from bitc.ir.ops import REQUIRED, InferenceError, OpDecl, op
from bitc.ir.types import BufferType, DType, Type

_ATTRS = {**WINDOW, "channels": REQUIRED, "bits": REQUIRED, "step": 1, "chain": REQUIRED}


def _result(
    x: Type, w: Type, lowest: Type, base: Type, channels: int, bits: int, step: int, attrs: Mapping[str, Any]
) -> BufferType:
    source, weights = as_buffer(x, DType.U8, 4), as_buffer(w, DType.U8, 4)
    windows_of(attrs).check(source)
    runs = runs_in(source.shape, attrs, 1)
    if (runs.rows, runs.cols) != (1, 1) or runs.length > MOST_RUN:
        raise InferenceError(f"windows are one run of at most {MOST_RUN} values, got {runs} of {x}")
    blocks, entries, lanes, side = weights.shape
    if bits not in WIDTHS or step < 1:
        raise InferenceError(f"codes have {WIDTHS} bits and a positive step, got {bits} and {step}")
    if entries * side != runs.length or blocks != -(-channels // (lanes * 8 // bits)):
        raise InferenceError(f"codes {w} of {bits} bits do not fit {runs} of {x} and {channels} channels")
    if {as_buffer(each, DType.I32).shape for each in (lowest, base)} != {(blocks * lanes * 8 // bits,)}:
        raise InferenceError(f"lowest {lowest} and base {base} do not fit codes {w} of {bits} bits")
    return BufferType((source.shape[0], *attrs["size"], channels), DType.I32)


def _sums(
    x: np.ndarray, w: np.ndarray, lowest: np.ndarray, base: np.ndarray, attrs: Mapping[str, Any], window: dict[str, Any]
) -> np.ndarray:
    channels, taps = attrs["channels"], windows_of(window).taps
    codes = unpack_codes_of_weights(w, attrs["bits"], channels).astype(np.int64)
    weights = lowest[:channels, np.newaxis] + attrs["step"] * codes
    kernel = weights.reshape(channels, *taps, x.shape[3]).transpose(0, 3, 1, 2)
    return convolve(x, kernel, base[:channels], 1, window)


@op("k.icoded")
class Icoded(OpDecl):
    """y[n,y,x,m] = base[m] + Σ window(x) · (lowest[m] + step · code[m]), int32, x u8; ``chain``: what
    :func:`~bitc.ir.coded_weights.code_chain` says"""

    operands = ("x", "w", "lowest", "base")
    attrs = _ATTRS

    @staticmethod
    def infer(
        x: Type, w: Type, lowest: Type, base: Type, *, channels: int, bits: int, step: int, chain: int, **attrs: Any
    ) -> BufferType:
        if chain < 1:
            raise InferenceError(f"sums of products by codes fit 16 bits at least one by one, chain is {chain}")
        return _result(x, w, lowest, base, channels, bits, step, attrs)

    @staticmethod
    def evaluate(
        x: np.ndarray, w: np.ndarray, lowest: np.ndarray, base: np.ndarray, *, chain: int, **attrs: Any
    ) -> np.ndarray:
        window = {key: attrs[key] for key in WINDOW}
        return _sums(x, w, lowest, base, attrs, window)


@op("k.icoded_rows")
class IcodedRows(OpDecl):
    """y, scratch: y as ``k.icoded``, made by expanding the codes of some channels for all pixels; ``chain``: what
    :func:`~bitc.ir.integer_packing.longest_chain` says of the weights; ``block``: of the kernels on int8 weights, which these fit. The
    scratch [1, 1, bytes, 1] means nothing to anyone"""

    operands = ("x", "w", "lowest", "base")
    attrs = {**_ATTRS, "block": REQUIRED}
    results = 2

    @staticmethod
    def infer(
        x: Type,
        w: Type,
        lowest: Type,
        base: Type,
        *,
        channels: int,
        bits: int,
        step: int,
        chain: int,
        block: int,
        **attrs: Any,
    ) -> tuple[BufferType, BufferType]:
        result = _result(x, w, lowest, base, channels, bits, step, attrs)
        if attrs["size"][0] != 1:
            raise InferenceError(f"the pixels are one row, got {attrs['size']}")
        depth = runs_in(x.shape, attrs, 1).length
        return result, BufferType((1, 1, scratch_bytes(depth, channels, block), 1), DType.I8)

    @staticmethod
    def evaluate(
        x: np.ndarray,
        w: np.ndarray,
        lowest: np.ndarray,
        base: np.ndarray,
        *,
        channels: int,
        block: int,
        chain: int,
        **attrs: Any,
    ) -> tuple[np.ndarray, np.ndarray]:
        window = {key: attrs[key] for key in WINDOW}
        scratch = scratch_bytes(w.shape[1] * w.shape[3], channels, block)
        made = _sums(x, w, lowest, base, {**attrs, "channels": channels}, window)
        return made, np.zeros((1, 1, scratch, 1), np.int8)
