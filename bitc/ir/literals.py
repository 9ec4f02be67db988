"""Numbers and arrays as text and back, every bit kept: the part of the text form that printer and parser must agree on.

A float prints as the shortest decimal that reads back to the same bits in its own width. Infinities are ``inf`` and ``-inf``; NumPy's
plain NaN is ``nan``, any other NaN shows its bits (``nan:0x7fc00001``). A large array prints as the hash of its content.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np

from bitc.ir.types import DType

INLINE_ELEMENTS = 16
"""Arrays of more elements print by hash."""

_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|-?inf|nan(:0x[0-9a-fA-F]+)?")
_BITS: dict[int, np.dtype] = {2: np.dtype(np.uint16), 4: np.dtype(np.uint32), 8: np.dtype(np.uint64)}


def bits_of(array: np.ndarray) -> np.ndarray:
    """The same memory as unsigned integers. ``array`` is of a float dtype and contiguous."""
    bits: np.ndarray = array.view(_BITS[array.dtype.itemsize])
    return bits


def float_text(value: float | np.ndarray, dtype: DType = DType.F64) -> str:
    """``value``, one float of width ``dtype``, as text that :func:`parse_float` reads back to the same bits.

    >>> float_text(-0.0), float_text(np.float32(0.1), DType.F32), float_text(np.inf)
    ('-0.0', '0.1', 'inf')
    """
    array = np.asarray(value, dtype=dtype.numpy).reshape(1)
    if np.isnan(array[0]):
        plain = np.full(1, np.nan, dtype.numpy)
        same = bits_of(array)[0] == bits_of(plain)[0]
        return "nan" if same else f"nan:{int(bits_of(array)[0]):#x}"
    short = str(array[0])
    exact = bits_of(np.asarray([float(short)], dtype.numpy)) == bits_of(array)
    return short if exact else repr(float(array[0]))


def parse_float(text: str, dtype: DType = DType.F64) -> np.ndarray:
    """The one-element array of ``dtype`` that ``text`` stands for. Raises ``ValueError`` when it is out of range.

    >>> parse_float("1e-3", DType.F32)
    array([0.001], dtype=float32)
    """
    array = np.empty(1, dtype.numpy)
    if not _FLOAT.fullmatch(text):
        raise ValueError(f"{text} is no number")
    if text.startswith("nan:"):
        bits = int(text[4:], 16)
        if bits >> (8 * dtype.bytes):
            raise ValueError(f"{text} has more bits than {dtype}")
        bits_of(array)[0] = bits
        if not np.isnan(array[0]):
            raise ValueError(f"{text} is not a NaN of {dtype}")
        return array
    with np.errstate(over="ignore"):
        array[0] = float(text)
    if np.isinf(array[0]) and "inf" not in text:
        raise ValueError(f"{text} is out of the range of {dtype}")
    return array


def element_texts(array: np.ndarray) -> list[str]:
    """Each element as text, in row-major order."""
    dtype = DType.of(array.dtype)
    flat = np.ascontiguousarray(array).reshape(-1)
    if dtype is DType.BOOL:
        return ["true" if element else "false" for element in flat]
    if dtype.is_float:
        return [float_text(flat[index : index + 1].reshape(()), dtype) for index in range(flat.size)]
    return [str(int(element)) for element in flat]


def parse_element(text: str, dtype: DType) -> np.ndarray:
    """The one-element array that ``text`` stands for. Raises ``ValueError`` when it is no value of ``dtype``."""
    if dtype is DType.BOOL:
        if text not in ("true", "false"):
            raise ValueError(f"{text} is no bool; write true or false")
        return np.asarray([text == "true"])
    if text in ("true", "false"):
        raise ValueError(f"{text} is no {dtype}")
    if dtype.is_float:
        return parse_float(text, dtype)
    bounds = np.iinfo(dtype.numpy)
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"{text} is no whole number") from None
    if not bounds.min <= number <= bounds.max:
        raise ValueError(f"{text} is out of the range of {dtype}")
    return np.asarray([number], dtype.numpy)


def content_key(array: np.ndarray) -> str:
    """``sha256:`` and the first 16 hex digits of the hash over dtype, shape and little-endian content."""
    digest = hashlib.sha256(f"{DType.of(array.dtype)}{list(array.shape)}".encode())
    digest.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return f"sha256:{digest.hexdigest()[:16]}"
