"""Weights of a loaded library on pages of 2 MiB (Linux). Files are mapped by pages of 4 KiB; a network that streams more weights than the
caches hold waits for the walks through page tables too, the longer the more its file is scattered in memory."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import cffi

from bitc.errors import Diagnostic, OptionError

HUGE_PAGE_BYTES = 2 << 20

_CDEF = """
void *mmap(void *, size_t, int, int, int, long);
void *mremap(void *, size_t, size_t, int, ...);
int madvise(void *, size_t, int);
int mprotect(void *, size_t, int);
int munmap(void *, size_t);
"""
# Of <sys/mman.h>, the same on every architecture of Linux that has targets here.
_PROT_READ, _PROT_WRITE, _MAP_PRIVATE, _MAP_ANONYMOUS = 1, 2, 2, 0x20
_MADV_HUGEPAGE, _MREMAP_MAYMOVE, _MREMAP_FIXED = 14, 1, 2
_FAILED = (1 << 64) - 1


def use_huge_pages(address: int) -> int:
    """Moves the read-only mapping round ``address`` onto pages of 2 MiB, as far as it fills them, and returns the bytes moved.

    The addresses stay; the bytes become this process's own, where pages of a file are shared. Other threads may read meanwhile. Raises
    :class:`OptionError` where the system has no such pages or no memory for them.
    """
    if "[never]" in _setting() or sys.maxsize < 1 << 32:
        raise _no_pages(f"this is {sys.platform}, where transparent huge pages are off or unknown")
    first, end = _mapping(address)
    first, end = -(-first // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES, end // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES
    if end <= first:
        return 0
    ffi = cffi.FFI()
    ffi.cdef(_CDEF)
    c = ffi.dlopen(None)
    _move(ffi, c, first, end - first)
    return end - first


def _setting() -> str:
    """Which of ``always``, ``madvise`` and ``never`` is on."""
    enabled = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return enabled.read_text(encoding="ascii") if enabled.is_file() else "[never]"


def _mapping(address: int) -> tuple[int, int]:
    """First byte, and the one behind the last, of what this process has mapped round ``address``, never to be written."""
    ranges: list[tuple[int, int]] = []
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r--p", line)
        if found:
            first, end = int(found[1], 16), int(found[2], 16)
            ranges.append((ranges.pop()[0] if ranges and ranges[-1][1] == first else first, end))
    for first, end in ranges:
        if first <= address < end:
            return first, end
    raise _no_pages(f"nothing that is only read is mapped at {address:#x}")


def _move(ffi: Any, c: Any, first: int, size: int) -> None:
    """Copies ``size`` bytes onto huge pages and puts these in the place of the others, in one step."""
    room = size + HUGE_PAGE_BYTES
    got = c.mmap(ffi.NULL, room, _PROT_READ | _PROT_WRITE, _MAP_PRIVATE | _MAP_ANONYMOUS, -1, 0)
    start = int(ffi.cast("uintptr_t", got))
    if start == _FAILED:
        raise _no_pages(f"there is no room for {size} bytes")
    copy = -(-start // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
    pointer = ffi.cast("void *", copy)
    if c.madvise(pointer, size, _MADV_HUGEPAGE) != 0:
        c.munmap(got, room)
        raise _no_pages("the kernel was built without them")
    ffi.memmove(pointer, ffi.cast("void *", first), size)
    moved = c.mprotect(pointer, size, _PROT_READ) == 0
    target = ffi.cast("void *", first)
    moved = moved and c.mremap(pointer, size, size, _MREMAP_MAYMOVE | _MREMAP_FIXED, target) == target
    for part, length in ((start, copy - start), (copy + size, start + room - copy - size)):
        if length:
            c.munmap(ffi.cast("void *", part), length)
    if not moved:
        c.munmap(pointer, size)
        raise _no_pages("the kernel refused to exchange them")


def _no_pages(here: str) -> OptionError:
    return OptionError(
        Diagnostic("O045", "the weights cannot be put on huge pages", here=here, hint="load without huge_pages")
    )
