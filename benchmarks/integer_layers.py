"""Single quantized layers: the integer kernels beside onnxruntime's on the same layer; one core, one thread, rounds interleaved.

    python benchmarks/integer_layers.py [--target avx2] [--storage i16] [--compiler gcc] [--rounds 30] [--core 0] [LAYER...]

The columns are medians over rounds in microseconds of the thread's own time, so that neighbours on the machine disturb little. ``kernel``
makes int32 sums, ``layer`` makes 8-bit values of them too (scale, round, add the zero point, clamp; the C of generated maps), a few rows
at a time, as onnxruntime's QLinearConv does. ``ort`` is the faster of QLinearConv on NCHW and of onnxruntime's own channels-last form,
Python call included; dense layers are MatMulInteger, which makes int32. ``peak`` is the share of what vpmaddwd alone could do here,
measured with a loop of nothing else; more than that takes fewer multiplications than the layer states. Compare ratios: machines differ
and are shared.

onnxruntime on AVX2 adds pairs of u8 x s8 products in 16 bits that saturate; these kernels do not, so that outputs may differ.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bitc.codegen.targets import TARGETS
from bitc.ir.integer_packing import (
    INTEGER_FORMS,
    LONG_CHAIN,
    longest_chain,
    pack_depthwise_weights,
    pack_integer_base,
    pack_integer_weights,
    runs_of,
)
from bitc.ir.placed_weights import SIDE, Walk, growth, place_weights
from bitc.ir.types import DType
from bitc.ir.winograd import CHANNEL_STEP, pack_winograd_weights, scratch_row_bytes
from bitc.resources import runtime_dir
from bitc.toolchain import GCC_FLAGS

SCRATCH_BYTES = 65536
ROUND_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution of a ``size`` x ``size`` image, or (size 1, one tap) a dense layer; activations reach ``highest``."""

    size: int
    in_c: int
    out_c: int
    taps: int = 1
    stride: int = 1
    depthwise: bool = False
    highest: int = 255

    @property
    def pad(self) -> int:
        """Pixels of padding on each side."""
        return self.taps // 2

    @property
    def out_size(self) -> int:
        """Rows of the output."""
        return (self.size + 2 * self.pad - self.taps) // self.stride + 1

    @property
    def products(self) -> int:
        """Multiplications."""
        return self.out_size**2 * self.out_c * self.taps**2 * (1 if self.depthwise else self.in_c)


LAYERS = {
    "conv3x3_56_64": Layer(56, 64, 64, 3),
    "conv3x3_28_128": Layer(28, 128, 128, 3),
    "conv3x3_14_256": Layer(14, 256, 256, 3),
    "conv3x3_7_512": Layer(7, 512, 512, 3),
    "conv1x1_56_64_256": Layer(56, 64, 256),
    "conv1x1_56_256_64": Layer(56, 256, 64),
    "conv1x1_14_1024_256": Layer(14, 1024, 256),
    "conv1x1_28_192_32": Layer(28, 192, 32),
    "conv1x1_56_24_144": Layer(56, 24, 144),
    "first_7x7_224_3_64": Layer(224, 3, 64, 7, 2),
    "first_3x3_224_3_32": Layer(224, 3, 32, 3, 2),
    "depthwise3x3_56_96": Layer(56, 96, 96, 3, depthwise=True),
    "depthwise3x3_14_512": Layer(14, 512, 512, 3, depthwise=True),
    "dense_2048_1000": Layer(1, 2048, 1000),
    "dense_4096_4096": Layer(1, 4096, 4096),
    "conv3x3_28_128_u4": Layer(28, 128, 128, 3, highest=15),
}

_SOURCE = """
#include "iconv_{isa}.h"
#include "idepthwise_{isa}.h"
#include "clamp.h"
#include "round.h"
static void requantize(const int32_t *restrict y, int32_t pixels, const float *restrict scale, uint8_t *restrict out) {{
    for (int32_t p = 0; p < pixels; p++, y += {channels}, out += {channels}) {{
        {short_loop}for (int32_t c = 0; c < {channels}; c++) {{
            out[c] = (uint8_t)bitc_iclamp((int32_t)(bitc_fround((float)y[c] * scale[c]) + 10.0f), 0, 255);
        }}
    }}
}}
#define LAYER(kernel, geometry, type, weight)                                                                         \\
    void layer_##kernel(const geometry *g, const type *x, const weight *w, const int32_t *base, int32_t *y,           \\
                        int32_t rows, int32_t step, const float *scale, uint8_t *out) {{                               \\
        for (int32_t r = 0; r < rows; r += step) {{                                                                    \\
            const int32_t end = r + step < rows ? r + step : rows;                                                    \\
            bitc_##kernel##_{isa}(g, x, w, base, y, r, end); /* the same scratch for all steps */                     \\
            if (out) requantize(y, (end - r) * g->out_w, scale, out + r * g->out_w * {channels});                      \\
        }}                                                                                                             \\
    }}
LAYER(iconv_u8_i8, bitc_iconv, uint8_t, int8_t)
LAYER(iconv_i16_i8, bitc_iconv, int16_t, int8_t)
LAYER(idepthwise_u8, bitc_idepthwise, uint8_t, int16_t)
LAYER(idepthwise_i16, bitc_idepthwise, int16_t, int16_t)
"""

_PLACED = """
#include "iconv_placed_{isa}.h"
static const int32_t *places;
static int32_t entries;
void use_places(const int32_t *p, int32_t count) {{ places = p, entries = count; }}
#define bitc_iconv_placed_here_{isa}(g, x, w, base, y, y0, y1)                                                         \\
    bitc_iconv_placed_{isa}(g, x, w, places, entries, base, y, y0, y1)
LAYER(iconv_placed_here, bitc_iconv, uint8_t, int8_t)
"""

_WINOGRAD = """
#include "iwinograd_{isa}.h"
static int64_t scratch[{words}];
#define bitc_iwinograd_rows_{isa}(g, x, w, base, y, y0, y1) bitc_iwinograd_{isa}(g, x, w, base, y, scratch, y0, y1)
LAYER(iwinograd_rows, bitc_iwinograd, int16_t, int16_t)
"""

_PEAK = """
#if defined(__AVX2__)
#include <immintrin.h>
#include "base.h"
#define TWICE(v) v = _mm256_madd_epi16(v, v); BITC_BARRIER(v);
long peak(long rounds) {
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (long i = 0; i < rounds; i++) { TWICE(a) TWICE(b) TWICE(c) TWICE(d) TWICE(e) TWICE(f) TWICE(g) TWICE(h) }
    a = _mm256_add_epi32(_mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d)),
                         _mm256_add_epi32(_mm256_add_epi32(e, f), _mm256_add_epi32(g, h)));
    return _mm256_extract_epi32(a, 0) ? 0 : rounds * 8 * 16;
}
#else
long peak(long rounds) { return rounds; }
#endif
"""

_CONV_FIELDS = (
    "out_w, out_c, groups, in_c, in_row, in_pixel, step_h, step_w, runs_h, runs_w, run, run_row, run_pixel, chain"
)
_DEPTHWISE_FIELDS = "out_w, channels, in_row, in_pixel, step_h, step_w, taps_h, taps_w, tap_row, tap_pixel"
_WINOGRAD_FIELDS = "out_w, out_c, in_c, in_row, rows"


def build(layer: Layer, isa: str, compiler: str, folder: Path) -> tuple[Any, Any]:
    """What computes a layer on one instruction set as a library, compiled as networks are: (ffi, library)."""
    source, library = folder / "layers.c", folder / "layers.so"
    short_loop = "BITC_SHORT_LOOP " if layer.out_c % 32 else ""
    text = _SOURCE.format(isa=isa, channels=layer.out_c, short_loop=short_loop)
    if (limits := INTEGER_FORMS[isa].winograd) is not None:
        rows = limits.rows((layer.out_size, layer.out_size))
        words = rows * scratch_row_bytes((layer.out_size, layer.out_size), layer.in_c, rows) // 8 + 1
        text += _WINOGRAD.format(isa=isa, words=words)
    if INTEGER_FORMS[isa].growth:
        text += _PLACED.format(isa=isa)
    source.write_text(text + _PEAK)
    tuning = GCC_FLAGS if "gcc" in compiler else ()
    flags = ("-std=c99", "-O3", "-ffp-contract=off", "-fPIC", "-shared", *tuning, *TARGETS[isa].cflags)
    include = f"-I{runtime_dir()}"
    subprocess.run([compiler, *flags, include, "-o", str(library), str(source), "-lm"], check=True)
    ffi = cffi.FFI()
    ffi.cdef(f"typedef struct {{ int32_t {_CONV_FIELDS}; }} bitc_iconv; long peak(long rounds);")
    ffi.cdef(f"typedef struct {{ int32_t {_DEPTHWISE_FIELDS}; }} bitc_idepthwise;")
    ffi.cdef(f"typedef struct {{ int32_t {_WINOGRAD_FIELDS}; }} bitc_iwinograd;")
    for kernel in (
        "iconv_u8_i8",
        "iconv_i16_i8",
        "idepthwise_u8",
        "idepthwise_i16",
        "iwinograd_rows",
        "iconv_placed_here",
    ):
        geometry = "bitc_" + kernel.split("_")[0]
        ffi.cdef(
            f"void layer_{kernel}(const {geometry} *g, const void *x, const void *w, const int32_t *base, int32_t *y,"
            "int32_t rows, int32_t step, const float *scale, uint8_t *out);"
        )
    ffi.cdef("void use_places(const int32_t *places, int32_t entries);")
    return ffi, ffi.dlopen(str(library))


@dataclass(frozen=True, slots=True)
class Data:
    """Operands of a layer: x u8 [C, H, W], w i8 [M, C/group, KH, KW], start of sums i32 [M], scales f32 [M]."""

    x: np.ndarray
    w: np.ndarray
    base: np.ndarray
    scale: np.ndarray


def data_of(layer: Layer) -> Data:
    """Random operands; weights are spread as trained ones are, normal with a largest value of about four deviations."""
    rng = np.random.default_rng(7)
    x = rng.integers(0, layer.highest + 1, (layer.in_c, layer.size, layer.size)).astype(np.uint8)
    shape = (layer.out_c, 1 if layer.depthwise else layer.in_c, layer.taps, layer.taps)
    w = np.clip(np.rint(rng.normal(0, 32, shape)), -127, 127).astype(np.int8)
    base = rng.integers(-1000, 1000, layer.out_c).astype(np.int32)
    return Data(x, w, base, rng.uniform(1e-4, 1e-3, layer.out_c).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Kernel:
    """The function of a library that computes a layer, its storage of x, its constants in its orders, and the rows it wants together."""

    function: str
    storage: DType
    geometry: str
    fields: dict[str, int]
    weights: np.ndarray
    base: np.ndarray
    together: int = 1
    places: np.ndarray | None = None


def kernel_of(layer: Layer, data: Data, isa: str, wanted: DType | None, columns: int, direct: bool) -> Kernel:
    """The kernel that the compiler would choose over rows of ``columns`` pixels; ``direct``: never Winograd's; ``wanted``: the storage
    to choose for, where it is not the compiler's choice."""
    form, taps, row, size = INTEGER_FORMS[isa], layer.taps, columns * layer.in_c, layer.out_size
    winograd = taps == 3 and layer.stride == 1 and not layer.depthwise and not layer.in_c % CHANNEL_STEP and not direct
    winograd = winograd and form.winograd is not None and form.winograd.pays((size, size), layer.in_c, layer.out_c)
    placed = form.growth > 0 and size > 1 and not layer.depthwise and not winograd
    placed = placed and layer.in_c >= SIDE and growth(data.w, 1, form.block, layer.highest) <= form.growth
    storage = wanted or (DType.U8 if placed else form.storage)
    image = {"out_w": size, "in_row": row, "in_pixel": layer.in_c, "step_h": layer.stride, "step_w": layer.stride}
    if layer.depthwise:
        weights = pack_depthwise_weights(data.w[:, 0].transpose(1, 2, 0), form.depthwise_block, form.depthwise_side)
        taken = {"channels": layer.in_c, "taps_h": taps, "taps_w": taps, "tap_row": row, "tap_pixel": layer.in_c}
        return Kernel(f"idepthwise_{storage}", storage, "bitc_idepthwise", {**image, **taken}, weights, data.base)
    base = pack_integer_base(data.base, 1, form.block)
    if winograd and storage is DType.I16 and form.winograd is not None:
        weights, rows = pack_winograd_weights(data.w, form.block, form.side_i16), form.winograd.rows((size, size))
        fields = {"out_w": size, "out_c": layer.out_c, "in_c": layer.in_c, "in_row": row, "rows": rows}
        return Kernel("iwinograd_rows", storage, "bitc_iwinograd", fields, weights, base, rows)
    runs, side = runs_of((taps, taps), (1, 1), columns, layer.in_c, 1), form.side(storage)
    weights = pack_integer_weights(data.w, 1, runs, form.block, side)
    window = {"runs_h": runs.rows, "runs_w": runs.cols, "run": runs.length, "run_row": row, "run_pixel": layer.in_c}
    chain = longest_chain(weights, layer.highest) if side == 4 else 0
    fields = {**image, "out_c": layer.out_c, "groups": 1, "in_c": layer.in_c, **window, "chain": chain}
    if placed and storage is DType.U8 and chain < LONG_CHAIN:
        weights, places = place_weights(data.w, 1, runs, Walk(row, layer.in_c), form.block, layer.highest)
        return Kernel("iconv_placed_here", storage, "bitc_iconv", fields, weights, base, places=places)
    return Kernel(f"iconv_{storage}_i8", storage, "bitc_iconv", fields, weights, base)


def bitc_calls(
    layer: Layer, data: Data, isa: str, storage: DType | None, direct: bool, ffi: Any, lib: Any
) -> dict[str, Callable[[], None]]:
    """The kernel alone, and with its epilogue."""
    pad = layer.pad
    image = np.pad(data.x.transpose(1, 2, 0), ((pad, pad), (pad, pad), (0, 0)))
    kernel = kernel_of(layer, data, isa, storage, image.shape[1], direct)
    padded = image.astype(kernel.storage.numpy)
    if kernel.places is not None:
        lib.use_places(ffi.cast("void *", kernel.places.ctypes.data), kernel.weights.shape[1])
    geometry, run = ffi.new(f"{kernel.geometry} *", kernel.fields), getattr(lib, f"layer_{kernel.function}")
    sums = np.zeros((layer.out_size, layer.out_size, layer.out_c), np.int32)
    out = np.zeros(sums.shape, np.uint8)
    step = max(1, SCRATCH_BYTES // (4 * layer.out_size * layer.out_c) // kernel.together) * kernel.together
    pointers = [ffi.cast("void *", a.ctypes.data) for a in (padded, kernel.weights, kernel.base, sums, data.scale, out)]
    kept = (padded, kernel, sums, data, out, geometry)

    def call(target: Any) -> Callable[[], None]:
        x, w, b, y, scale, _ = pointers
        return lambda: run(geometry, x, w, b, y, layer.out_size, step, scale, target) if kept else None

    return {"kernel": call(ffi.NULL), "layer": call(pointers[5])}


def _session(node: Any, x: np.ndarray, out: int, constants: dict[str, np.ndarray]) -> Callable[[], object]:
    model = helper.make_model(
        helper.make_graph(
            [node],
            "layer",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
            [helper.make_tensor_value_info("y", out, None)],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def ort_calls(layer: Layer, data: Data) -> dict[str, Callable[[], object]]:
    """onnxruntime's ways to compute the layer."""
    if layer.size == 1:
        node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
        w = np.ascontiguousarray(data.w[:, :, 0, 0].T)
        return {"ort": _session(node, data.x.reshape(1, -1), TensorProto.INT32, {"w": w})}
    one = np.float32(1)
    constants = {
        "xs": one,
        "xz": np.uint8(0),
        "w": data.w,
        "ws": data.scale,
        "wz": np.zeros(layer.out_c, np.int8),
        "ys": one,
        "yz": np.uint8(10),
        "b": data.base,
    }
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
    attributes = {
        "kernel_shape": [layer.taps] * 2,
        "strides": [layer.stride] * 2,
        "pads": [layer.pad] * 4,
        "group": layer.in_c if layer.depthwise else 1,
    }
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    plain = helper.make_node("QLinearConv", names, ["y"], **attributes)
    last = helper.make_node("QLinearConv", names, ["y"], domain="com.microsoft", channels_last=1, **attributes)
    nhwc = np.ascontiguousarray(data.x.transpose(1, 2, 0))[np.newaxis]
    return {
        "ort": _session(plain, data.x[np.newaxis], TensorProto.UINT8, arrays),
        "ort channels-last": _session(last, nhwc, TensorProto.UINT8, arrays),
    }


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median microseconds a call."""
    counts = {}
    for name, call in calls.items():
        call()
        started = time.thread_time()
        call()
        counts[name] = max(1, round(ROUND_SECONDS / max(1e-7, time.thread_time() - started)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.thread_time()
            for _ in range(counts[name]):
                call()
            times[name].append((time.thread_time() - started) / counts[name] * 1e6)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layers", nargs="*", default=list(LAYERS), metavar="LAYER")
    parser.add_argument("--target", default="avx2", choices=list(INTEGER_FORMS))
    parser.add_argument("--storage", choices=["u8", "i16"])
    parser.add_argument("--direct", action="store_true", help="3x3 layers too without Winograd's algorithm")
    parser.add_argument("--compiler", default="gcc")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--core", type=int, default=0)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    storage = DType(arguments.storage) if arguments.storage else None
    print(
        f"{arguments.target}, {storage or 'storage as compiled'}, {arguments.compiler}, core {arguments.core}, {arguments.rounds} rounds"
    )
    print(f"{'layer':<22}{'kernel':>10}{'layer':>10}{'ort':>10}{'ort/layer':>11}{'MAC/ns':>9}{'peak':>7}")
    for name in arguments.layers:
        layer = LAYERS[name]
        data = data_of(layer)
        with tempfile.TemporaryDirectory() as folder:
            ffi, lib = build(layer, arguments.target, arguments.compiler, Path(folder))
        calls: dict[str, Callable[[], object]] = {"peak": partial(lib.peak, 20000)}
        calls |= bitc_calls(layer, data, arguments.target, storage, arguments.direct, ffi, lib)
        calls |= ort_calls(layer, data)
        medians = interleaved(calls, arguments.rounds)
        ort = min(time for found, time in medians.items() if found.startswith("ort"))
        mine = medians["kernel" if layer.size == 1 else "layer"]
        rate, peak = layer.products / medians["kernel"] / 1e3, lib.peak(20000) / medians["peak"] / 1e3
        print(
            f"{name:<22}{medians['kernel']:>10.1f}{medians['layer']:>10.1f}{ort:>10.1f}{ort / mine:>10.2f}x"
            f"{rate:>9.1f}{rate / peak:>7.0%}"
        )


if __name__ == "__main__":
    main()
