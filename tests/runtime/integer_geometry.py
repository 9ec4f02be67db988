"""Shared by the tests of the integer convolutions: a geometry, its fenced buffers, its meaning in int64."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitc.ir.integer_packing import INTEGER_FORMS
from bitc.ir.types import DType

Array = npt.NDArray[Any]

FORMS = INTEGER_FORMS

EXTREMES = {
    DType.U8: (0, 255, 128, 1),
    DType.I8: (-128, 127, -1, 0),
    DType.I16: (-32768, 32767, -1, 255),
}
"""Values at which instructions on pairs wrap or saturate if they do."""


@contextmanager
def fenced(array: Array, at_end: bool) -> Iterator[int]:
    """The address of a copy of ``array`` that touches an inaccessible page with its end, or with its beginning."""
    libc = ctypes.CDLL(None, use_errno=True)
    page = mmap.PAGESIZE
    pages = -(-array.nbytes // page)
    memory = mmap.mmap(-1, (pages + 2) * page)
    view = ctypes.c_char.from_buffer(memory)
    start = ctypes.addressof(view)
    fences = (start, start + (pages + 1) * page)
    for fence in fences:
        assert libc.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(page), 0) == 0
    first = start + page + (pages * page - array.nbytes if at_end else 0)
    ctypes.memmove(first, array.ctypes.data, array.nbytes)
    try:
        yield first
    finally:
        for fence in fences:
            libc.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(page), mmap.PROT_READ | mmap.PROT_WRITE)
        del view
        memory.close()


@dataclass(frozen=True, slots=True)
class Conv:
    """A grouped NHWC convolution of ``in_c`` by ``out_c`` channels a group over an image that ends with its last window."""

    size: tuple[int, int]
    out_c: int
    in_c: int
    taps: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    group: int = 1
    extra_columns: int = 0

    @property
    def channels(self) -> int:
        """Output channels of all groups."""
        return self.group * self.out_c

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """Rows, columns, channels of the input."""
        rows, columns = (
            (size - 1) * stride + (taps - 1) * dilation + 1
            for size, stride, taps, dilation in zip(self.size, self.strides, self.taps, self.dilations, strict=True)
        )
        return rows, columns + self.extra_columns, self.group * self.in_c

    @property
    def attrs(self) -> dict[str, Any]:
        """The window attributes of level k."""
        return {
            "taps": self.taps,
            "strides": self.strides,
            "dilations": self.dilations,
            "at": (0, 0),
            "size": self.size,
        }

    def reference(self, x: Array, w: Array, base: Array) -> Array:
        """base + sum x * w in int64: x of ``in_shape``, w [M, C/group, KH, KW] to [OH, OW, M]."""
        total = np.zeros((*self.size, self.group, self.out_c), np.int64)
        grouped = w.astype(np.int64).reshape(self.group, self.out_c, self.in_c, *self.taps)
        for r in range(self.taps[0]):
            for c in range(self.taps[1]):
                rows, columns = (
                    slice(tap * dilation, tap * dilation + (size - 1) * stride + 1, stride)
                    for tap, dilation, size, stride in zip((r, c), self.dilations, self.size, self.strides, strict=True)
                )
                pixels = x[rows, columns].astype(np.int64).reshape(*self.size, self.group, self.in_c)
                total += np.einsum("hwgi,goi->hwgo", pixels, grouped[..., r, c])
        return total.reshape(*self.size, -1) + base


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType, extreme: bool) -> Array:
    """Random values of a dtype; ``extreme``: only those at which arithmetic goes wrong first."""
    if extreme:
        return rng.choice(np.array(EXTREMES[dtype], dtype.numpy), shape)
    info = np.iinfo(dtype.numpy)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype.numpy)
