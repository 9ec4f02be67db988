"""What this machine could do at best, measured, and so how much of it each layer of a network reaches.

``roofline.c``, built by the compiler and with the flags of a target, holds loops that do nothing but what the kernels' inner loops do,
and one that reads memory. Their best rates are the peaks. They are kept in the user's cache folder, by CPU, compiler and version of bitc.
A layer's bound is the longer of two times: that of its operations at the peak of its arithmetic, and that of its weights on their way
from the cache, or the memory, that all weights of the network lie in.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import cffi
import numpy as np

import bitc
from bitc.caches import cache_path, read_entries, write_entries
from bitc.codegen.targets import Target
from bitc.cpu import cpu_name
from bitc.resources import runtime_dir
from bitc.toolchain import compile_shared, find_compiler

KINDS = ("bits", "bytes", "words", "floats")
"""Arithmetics with a peak: products of one bit by one bit, of 8-bit and of 16-bit integers, of float32."""

MEMORY_BYTES = tuple(1 << power for power in (15, 18, 20, 22, 24, 26, 28))
"""Sizes of memory that are read over and over, so that they lie in each of the caches, and in none."""

_SOURCE = Path(__file__).with_name("roofline.c")
_FORMAT = 1
"""Of the file the peaks are kept in."""
_LINE_BYTES = 64
_TRIES = 15
_TRY_SECONDS = 0.003
_PLANES = re.compile(r"(\d+) planes? x (\d+)")
_CODED = re.compile(r"int8 x (\d) bit")
_SHARE = {"k.iwinograd": 4 / 9}
"""Multiplications that a kernel does for one of the model's, where it gets by with fewer."""
_WEIGHT_BITS = {"bits": 1, "bytes": 8, "words": 16, "floats": 32}


@dataclass(frozen=True, slots=True)
class Peaks:
    """``gops``: operations a nanosecond for each of :data:`KINDS` (a multiplication and an addition are two);
    ``read``: bytes a nanosecond when so many bytes are read in turn."""

    gops: Mapping[str, float]
    read: Mapping[int, float]

    def bandwidth(self, weight_bytes: int) -> float:
        """Bytes a nanosecond at which weights arrive of which a call reads ``weight_bytes`` in all.

        That of the next smaller size measured, so that it bounds: fewer bytes never arrive more slowly.

        >>> Peaks({}, {1024: 90.0, 65536: 30.0}).bandwidth(2000)
        90.0
        """
        return self.read[max((size for size in self.read if size <= weight_bytes), default=min(self.read))]


@dataclass(frozen=True, slots=True)
class Bound:
    """The least time for a layer. ``by``: the arithmetic, or ``weights`` if reading these takes longer. ``operations``: the kernel's own,
    two a multiply-accumulate; a product of several bit planes by one counts once for each."""

    seconds: float
    by: str
    operations: int


def peaks_of(target: Target, *, fresh: bool = False, cache: Path | None = None) -> Peaks:
    """The peaks of this machine for what is compiled for ``target``, from ``cache`` unless ``fresh``.

    Raises :class:`bitc.errors.ToolchainError` without a working C compiler.
    """
    path = cache if cache is not None else cache_file()
    compiler = find_compiler()
    key = " | ".join(
        (cpu_name(), " ".join(compiler.command), compiler.version, f"bitc {bitc.__version__}", target.name)
    )
    known = _read(path)
    if not fresh and key in known:
        return known[key]
    found = measure(target)
    _write(path, {**known, key: found})
    return found


def cache_file() -> Path:
    """Where peaks are kept."""
    return cache_path("peaks.json")


def _read(path: Path) -> dict[str, Peaks]:
    """What is kept there; nothing if it cannot be read, as then it is measured again."""
    try:
        return {key: _peaks(entry) for key, entry in read_entries(path, "peaks", _FORMAT).items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return {}


def _peaks(entry: Mapping[str, Any]) -> Peaks:
    gops = {kind: float(entry["gops"][kind]) for kind in KINDS}
    return Peaks(gops, {int(size): float(rate) for size, rate in entry["read"].items()})


def _write(path: Path, peaks: Mapping[str, Peaks]) -> None:
    """A folder that cannot be written to only means that peaks are measured each time."""
    with contextlib.suppress(OSError):
        write_entries(path, "peaks", _FORMAT, {key: asdict(entry) for key, entry in peaks.items()})


def measure(target: Target) -> Peaks:
    """The best of several tries for each peak: other work on the machine only takes time. A second or so."""
    ffi, lib = loops(target)
    gops = {kind: _best_rate(getattr(lib, f"bitc_peak_{kind}")) for kind in KINDS}
    memory = np.ones(max(MEMORY_BYTES) + _LINE_BYTES, np.uint8)  # written, so that it is there
    start = ffi.cast("const uint64_t *", ffi.from_buffer(memory[-memory.ctypes.data % _LINE_BYTES :]))
    read = {size: _best_rate(partial(lib.bitc_read, start, size // 8)) for size in MEMORY_BYTES}
    return Peaks(gops, read)


def loops(target: Target) -> tuple[cffi.FFI, Any]:
    """The loops of ``roofline.c`` for a target: a ``bitc_peak_<kind>(rounds)`` for each of :data:`KINDS`, and
    ``bitc_read(memory, words, rounds)``."""
    ffi = cffi.FFI()
    for kind in KINDS:
        ffi.cdef(f"int64_t bitc_peak_{kind}(int64_t rounds);")
    ffi.cdef("int64_t bitc_read(const uint64_t *memory, int64_t words, int64_t rounds);")
    with tempfile.TemporaryDirectory(prefix="bitc-roofline-") as folder:
        flags = (*target.cflags, f"-I{runtime_dir()}")
        return ffi, ffi.dlopen(str(compile_shared(_SOURCE, Path(folder) / "roofline.so", flags)))


def _best_rate(probe: Any) -> float:
    """What ``probe(rounds)`` returns for each nanosecond it takes, at best."""
    rounds, best = 1, 0.0
    seconds = _seconds(probe, rounds)[0]
    while seconds < _TRY_SECONDS:
        rounds *= 2
        seconds = _seconds(probe, rounds)[0]
    for _ in range(_TRIES):
        seconds, done = _seconds(probe, rounds)
        best = max(best, done / seconds / 1e9)
    return best


def _seconds(probe: Any, rounds: int) -> tuple[float, int]:
    started = time.perf_counter()
    done = probe(rounds)
    return time.perf_counter() - started, done


def bound(layer: Mapping[str, Any], peaks: Peaks, weight_bytes: int) -> Bound | None:
    """The bound of a layer of a manifest, in a network of ``weight_bytes`` in all; None for what does not multiply by a peak's kernel."""
    kind = arithmetic(layer)
    if kind is None or not layer["macs"]:
        return None
    operations = round(2 * layer["macs"] * planes(layer) * _SHARE.get(layer["op"], 1) * layer.get("density", 1))
    computed = operations / peaks.gops[kind]
    read = _weight_bytes(layer, kind) / peaks.bandwidth(weight_bytes)
    return Bound(max(computed, read) / 1e9, kind if computed >= read else "weights", operations)


def arithmetic(layer: Mapping[str, Any]) -> str | None:
    """The one of :data:`KINDS` that the layer's kernel computes in, None for kernels without a peak."""
    match layer["op"]:
        case (
            "k.bconv_acc"
            | "k.bconv_bits"
            | "k.dots"
            | "k.pair_acc"
            | "k.sliced_acc"
            | "k.sliced_bits"
            | "k.sliced_lanes"
            | "k.skip_acc"
            | "k.skip_bits"
        ):
            return "bits"
        case "k.iconv" | "k.iconv_placed" | "k.igemm":
            return "bytes" if layer["form"] == "int8 x int8" else "words"
        case "k.icoded" | "k.icoded_rows":
            return "bytes"
        case "k.idepthwise" | "k.iwinograd":
            return "words"
        case "k.fsparse" | "k.fsparse_dots":
            return "floats"
        case "k.fconv" | "k.fconv_w1" | "k.fconv_events" | "k.fdepthwise" | "k.gemm" | "k.matmul" | "k.plain_conv":
            return "floats" if layer["form"].startswith("float32") else None
    return None


def planes(layer: Mapping[str, Any]) -> int:
    """How many products of one bit stand for one of the layer's: those of its bit planes. 1 for other arithmetics.

    >>> planes({"op": "k.bconv_acc", "form": "3 planes x 1 bit"}), planes({"op": "k.iconv", "form": "int8 x int8"})
    (3, 1)
    >>> planes({"op": "k.dots", "form": "2 planes x 2 planes"})
    4
    """
    if layer["op"] == "k.pair_acc":
        return 2  # an entry of its table holds two products, where one of bits holds four
    found = _PLANES.match(layer["form"])
    return int(found[1]) * int(found[2]) if found else 1


def _weight_bytes(layer: Mapping[str, Any], kind: str) -> float:
    """Bytes of packed weights that the layer reads; 0 where both factors are computed."""
    if "size" not in layer:
        return 0.0
    weights = layer["macs"] / (layer["shape"][0] * prod(layer["size"]))
    one_bit = layer["op"] == "k.fconv_w1"
    coded = _CODED.search(layer["form"])
    if coded:
        return float(weights * int(coded[1]) / 8)
    times = {"k.pair_acc": 2, "k.iwinograd": 16 / 9}.get(layer["op"], 1)
    return float(weights * (1 if one_bit else _WEIGHT_BITS[kind]) * times / 8)
