"""Level ``k``: what products of bits have in common whose lanes are pixels, adding (:mod:`bitc.ir.k_sliced`) or skipping
(:mod:`bitc.ir.k_skip`): planes of bits, and ``nodes`` for the channels in the order in which they are computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitc.ir.k import WINDOW, as_buffer, class_map, windows_of
from bitc.ir.ops import REQUIRED, InferenceError
from bitc.ir.packing import words_of
from bitc.ir.types import BufferType, DType, Type

PIXEL_PRODUCT = {
    **WINDOW,
    "channels": REQUIRED,
    "in_channels": REQUIRED,
    "planes": REQUIRED,
    "terms": REQUIRED,
    "slots": REQUIRED,
    "lanes": REQUIRED,
    "row_class": (),
    "col_class": (),
}


def check_nodes(nodes: Type, numbers: int, attrs: dict[str, Any]) -> None:
    """Raises :class:`InferenceError` where ``nodes`` is not int32 [M, numbers]."""
    if as_buffer(nodes, DType.I32, 2).shape != (attrs["channels"], numbers):
        raise InferenceError(f"nodes {nodes} are not those of {attrs['channels']} channels")


def check_pixels(source: BufferType, attrs: dict[str, Any]) -> None:
    """Raises :class:`InferenceError` where the windows do not read packed pixels of ``source``."""
    windows_of(attrs).check(source)
    if source.shape[3] != attrs["planes"] * words_of(attrs["in_channels"]):
        raise InferenceError(f"{source} does not hold {attrs['planes']} planes of {attrs['in_channels']} channels")


def check_base(base: Type, attrs: dict[str, Any]) -> None:
    """Raises :class:`InferenceError` where ``base`` is not int32 [classes, M]."""
    if as_buffer(base, DType.I32, 2).shape[1] != attrs["channels"]:
        raise InferenceError(f"base {base} is not that of {attrs['channels']} channels")


def numbers_of(pops: np.ndarray, base: np.ndarray, attrs: dict[str, Any]) -> np.ndarray:
    """base[class(y,x), c] - step · pop, int32 [N, OH, OW, M]."""
    classes = class_map(attrs["row_class"], attrs["col_class"], attrs["size"])
    return np.asarray(base[classes] - attrs["step"] * pops, dtype=np.int32)
