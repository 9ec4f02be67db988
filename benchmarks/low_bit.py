"""Dense layers with weights of 2 and 4 bits beside onnxruntime's: one core, one thread, rounds interleaved.

    python -m benchmarks.low_bit [--target avx2] [--compiler gcc] [--rounds 30] [--core 0] [--memory 192] [LAYER...]

A layer is <in>x<out>x<pixels>. The columns are medians over rounds in microseconds of the thread's own time. ``int8`` are bitc's kernels
on weights of a byte, ``codes`` those on codes of 2 or 4 bits, weighed as int8 activations times integers to int32 sums. ``nbits`` is
onnxruntime's MatMulNBits of as many bits with accuracy_level 4 (it rounds float activations to 8 bits itself; the faster of blocks of
32 and of 128), ``integer`` its MatMulInteger, u8 x s8; the calls from Python are in both, as in bitc's.

``hot``: the same weights again and again. ``memory``: each call takes the next of copies that fill --memory MiB, more than the last cache
holds. ``read`` is the time that a loop that does nothing but read takes for the codes, so read / codes is the share of the bandwidth.
Compare ratios: machines differ and are shared.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.integer_layers import interleaved
from bitc.codegen.targets import TARGETS
from bitc.ir.coded_weights import code_chain, coded, pack_codes_of_weights, pack_per_channel, scratch_bytes
from bitc.ir.integer_packing import INTEGER_FORMS, Runs, longest_chain, pack_integer_base, pack_integer_weights
from bitc.resources import runtime_dir
from bitc.toolchain import GCC_FLAGS

LAYERS = ("4096x11008x1", "2560x6912x1", "1024x1024x1", "512x512x1", "4096x11008x128", "1024x1024x4", "1024x1024x16")
MEBIBYTE = 1 << 20

_FIELDS = "out_w, out_c, groups, in_c, in_row, in_pixel, step_h, step_w, runs_h, runs_w, run, run_row, run_pixel, chain"
_SOURCE = """
#include "icoded_{rows}{isa}.h"
#define CODED(bits)                                                                                                   \\
    void few##bits(const bitc_iconv *g, const uint8_t *x, const uint8_t *w, const int32_t *lowest,                    \\
                   const int32_t *base, int32_t step, int8_t *scratch, int32_t *y) {{                                  \\
        (void)scratch;                                                                                                \\
        bitc_icoded##bits##_{isa}(g, x, w, lowest, base, step, y, 0, 1);                                              \\
    }}                                                                                                                 \\
    void many##bits(const bitc_iconv *g, const uint8_t *x, const uint8_t *w, const int32_t *lowest,                   \\
                    const int32_t *base, int32_t step, int8_t *scratch, int32_t *y) {{                                 \\
        bitc_icoded##bits##_rows_{isa}(g, x, w, lowest, base, step, scratch, y, 0, 1);                                \\
    }}
CODED(2)
CODED(4)
void int8(const bitc_iconv *g, const uint8_t *x, const int8_t *w, const int32_t *base, int32_t *y) {{
    bitc_iconv_u8_i8_{isa}(g, x, w, base, y, 0, 1);
}}
"""


@dataclass(frozen=True, slots=True)
class Layer:
    """``depth`` activations to ``channels`` sums, for each of ``pixels``."""

    depth: int
    channels: int
    pixels: int


def build(isa: str, compiler: str, folder: Path) -> tuple[Any, Any]:
    """The kernels of one instruction set, compiled as networks are, and what reads memory: (ffi, library)."""
    source, library = folder / "layers.c", folder / "layers.so"
    reader = (runtime_dir().parent / "bitc" / "roofline.c").read_text(encoding="utf-8")
    source.write_text(reader + _SOURCE.format(isa=isa, rows="" if isa == "portable" else "rows_"), encoding="utf-8")
    tuning = GCC_FLAGS if "gcc" in compiler else ()
    flags = ("-std=c99", "-O3", "-ffp-contract=off", "-fPIC", "-shared", *tuning, *TARGETS[isa].cflags)
    subprocess.run([compiler, *flags, f"-I{runtime_dir()}", "-o", str(library), str(source), "-lm"], check=True)
    ffi = cffi.FFI()
    ffi.cdef(f"typedef struct {{ int32_t {_FIELDS}; }} bitc_iconv;")
    for name in ("few2", "few4", "many2", "many4"):
        constants = "const void *x, const void *w, const void *lowest, const void *base, int32_t step"
        ffi.cdef(f"void {name}(const bitc_iconv *g, {constants}, void *scratch, void *y);")
    ffi.cdef("void int8(const bitc_iconv *g, const void *x, const void *w, const void *base, void *y);")
    ffi.cdef("int64_t bitc_read(const void *memory, int64_t words, int64_t rounds);")
    return ffi, ffi.dlopen(str(library))


def copies_of(array: np.ndarray, memory_bytes: int) -> list[np.ndarray]:
    """``array`` at a multiple of 64 bytes, as often as fills ``memory_bytes``, at least once."""
    count = max(1, -(-memory_bytes // array.nbytes))
    found = []
    for _ in range(count):
        raw = np.zeros(array.nbytes + 64, np.uint8)
        aligned = raw[-raw.ctypes.data % 64 :][: array.nbytes]
        aligned[:] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        found.append(aligned)
    return found


def bitc_calls(
    layer: Layer, isa: str, bits: int, memory_bytes: int, ffi: Any, lib: Any
) -> dict[str, Callable[[], Any]]:
    """The kernels on codes (few and many pixels) and on int8 weights, and the loop that only reads the codes."""
    rng, form = np.random.default_rng(3), INTEGER_FORMS[isa]
    ends = (-1, 1) if bits == 2 else (-8, 7)
    w = rng.integers(ends[0], ends[1] + 1, (layer.channels, layer.depth))
    x = rng.integers(0, 256, (layer.pixels, layer.depth)).astype(np.uint8)
    found = coded(w)
    assert found is not None
    codes = copies_of(pack_codes_of_weights(found, form.code_lanes, form.side_u8), memory_bytes)
    packed = pack_integer_weights(w[..., np.newaxis, np.newaxis], 1, Runs(1, 1, layer.depth), form.block, form.side_u8)
    whole = copies_of(packed, memory_bytes)
    lowest = pack_per_channel(found.lowest, bits, form.code_lanes)
    zeros = pack_integer_base(np.zeros(layer.channels), 1, max(form.block, lowest.size))
    y = np.zeros((layer.pixels, layer.channels), np.int32)
    scratch = np.zeros(scratch_bytes(layer.depth, layer.channels, form.block), np.int8)
    row = layer.pixels * layer.depth
    image = {"out_w": layer.pixels, "out_c": layer.channels, "groups": 1, "in_c": layer.depth, "in_row": row}
    image |= {"in_pixel": layer.depth, "step_h": 1, "step_w": 1, "runs_h": 1, "runs_w": 1, "run": layer.depth}
    direct = ffi.new("bitc_iconv *", image | {"chain": code_chain(found, 255)})
    chained = ffi.new("bitc_iconv *", image | {"chain": longest_chain(packed, 255) if form.side_u8 == 4 else 0})
    at = {
        name: ffi.cast("void *", a.ctypes.data)
        for name, a in (("x", x), ("l", lowest), ("b", zeros), ("y", y), ("s", scratch))
    }
    next_codes, next_whole = _in_turn(codes, ffi), _in_turn(whole, ffi)
    kept = (x, lowest, zeros, y, scratch, codes, whole)
    few, many = getattr(lib, f"few{bits}"), getattr(lib, f"many{bits}")
    tail = (at["l"], at["b"], found.step, at["s"], at["y"])
    return {
        "few": lambda: few(direct, at["x"], next(next_codes), *tail) if kept else None,
        "many": lambda: many(chained, at["x"], next(next_codes), *tail),
        "int8": lambda: lib.int8(chained, at["x"], next(next_whole), at["b"], at["y"]),
        "read": lambda: lib.bitc_read(next(next_codes), codes[0].nbytes // 512 * 64, 1),
    }


def _in_turn(copies: list[np.ndarray], ffi: Any) -> Iterator[Any]:
    return itertools.cycle([ffi.cast("void *", copy.ctypes.data) for copy in copies])


def _session(node: Any, x: np.ndarray, out: int, constants: dict[str, np.ndarray]) -> Callable[[], object]:
    inputs = [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)]
    held = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "layer", inputs, [helper.make_tensor_value_info("y", out, None)], held)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def _nbits(layer: Layer, bits: int, block: int) -> Callable[[], object]:
    rng, blocks = np.random.default_rng(4), layer.depth // block
    codes = rng.integers(0, 256, (layer.channels, blocks, block * bits // 8)).astype(np.uint8)
    sizes = {"K": layer.depth, "N": layer.channels, "bits": bits, "block_size": block, "accuracy_level": 4}
    node = helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", **sizes)
    scales = np.full(layer.channels * blocks, 0.01, np.float32)
    x = rng.normal(size=(layer.pixels, layer.depth)).astype(np.float32)
    return _session(node, x, TensorProto.FLOAT, {"w": codes, "s": scales})


def _integer(layer: Layer) -> Callable[[], object]:
    rng = np.random.default_rng(5)
    w = rng.integers(-1, 2, (layer.depth, layer.channels)).astype(np.int8)
    x = rng.integers(0, 256, (layer.pixels, layer.depth)).astype(np.uint8)
    return _session(helper.make_node("MatMulInteger", ["x", "w"], ["y"]), x, TensorProto.INT32, {"w": w})


def ort_calls(layer: Layer, bits: int, memory_bytes: int) -> dict[str, Callable[[], object]]:
    """onnxruntime's ways to compute the layer, each in as many sessions as fill ``memory_bytes`` with weights."""

    def in_turn(make: Callable[[], Callable[[], object]], size: int) -> Callable[[], object]:
        sessions = itertools.cycle([make() for _ in range(max(1, -(-memory_bytes // size)))])
        return lambda: next(sessions)()

    weights = layer.depth * layer.channels
    made = {
        f"nbits {block}": in_turn(lambda block=block: _nbits(layer, bits, block), weights * bits // 8)
        for block in (32, 128)
    }
    return made | {"integer": in_turn(lambda: _integer(layer), weights)}


def report(layer: Layer, bits: int, where: str, medians: dict[str, float]) -> str:
    """A line of the table."""
    codes = min(medians["few"], medians["many"])
    nbits = min(time for name, time in medians.items() if name.startswith("nbits"))
    numbers = (*(medians[name] for name in ("few", "many", "int8", "read")), nbits, medians["integer"])
    ratios = f"{codes / nbits:>8.2f}{codes / medians['integer']:>8.2f}{medians['read'] / codes:>7.0%}"
    name = f"{layer.depth}x{layer.channels}x{layer.pixels}"
    return f"{name:<16}{bits:>2} bit {where:<8}" + "".join(f"{number:>10.1f}" for number in numbers) + ratios


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layers", nargs="*", default=list(LAYERS), metavar="LAYER")
    parser.add_argument("--target", default="avx2", choices=list(INTEGER_FORMS))
    parser.add_argument("--compiler", default="gcc")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--memory", type=int, default=192, metavar="MIB", help="weights that calls go through in turn")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    print(f"{arguments.target}, {arguments.compiler}, core {arguments.core}, {arguments.rounds} rounds")
    titles = ("few", "many", "int8", "read", "nbits", "integer")
    print(f"{'layer':<30}" + "".join(f"{title:>10}" for title in titles) + f"{'/nbits':>8}{'/int.':>8}{'read':>7}")
    with tempfile.TemporaryDirectory() as folder:
        ffi, lib = build(arguments.target, arguments.compiler, Path(folder))
    for name in arguments.layers:
        layer = Layer(*map(int, name.split("x")))
        for bits, (where, size) in itertools.product((2, 4), (("hot", 0), ("memory", arguments.memory * MEBIBYTE))):
            if layer.pixels > 1 and size:
                continue
            calls = bitc_calls(layer, arguments.target, bits, size, ffi, lib) | ort_calls(layer, bits, size)
            print(report(layer, bits, where, interleaved(calls, arguments.rounds)), flush=True)


if __name__ == "__main__":
    main()
