"""Networks in several threads: the bits of the plain library for any number of them, whoever runs the parts and in which order."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from codegen.build import generated, lowered
from codegen.crews import COUNTS, MOST, identical, pool_of, two_ways
from codegen.nets import NETS, Net, convolutions, inputs_of, prepared
from runtime.harness import why_not

from benchmarks.networks import CASES
from bitc.codegen import TARGETS
from bitc.codegen.memory_plan import ALIGN_BYTES
from bitc.codegen.sharing import Share, shares
from bitc.compiler import Options, Trace, lower
from bitc.ir import Builder, DType, Graph, TensorType
from bitc.passes.mst_reorder import MstReorder

NETWORKS = [
    "birealnet18",
    "quicknet",
    "vgg_small",
    "resnet20",
    "resnet18_int8",
    "mobilenetv2_int8",
    "bert_w1a1",
    "bert_ternary",
]


def skip_where_missing(target_name: str) -> None:
    """Skip where neither this CPU nor an emulation runs the target."""
    if (reason := why_not(TARGETS[target_name].isa)) is not None:
        pytest.skip(reason)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_any_number_of_threads_gives_the_same_bits(net: Callable[[], Graph], target: str, tmp_path: Path) -> None:
    skip_where_missing(target)
    graph = prepared(net())
    plain, shared = two_ways(lowered(graph, TARGETS[target]), target, tmp_path)
    items = 3 if graph.attrs.get("batch") else None
    inputs = inputs_of(graph, 7, items=items)
    wanted = plain.run(inputs, items)
    identical(shared.run(inputs, items), wanted)
    for threads in COUNTS:
        with pool_of(shared, threads) as crew:
            for _ in range(3):
                identical(shared.run(inputs, items, crew), wanted)


@pytest.mark.parametrize("use", ["on", "skipping", "tables"])
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_planes_of_pixels_are_shared_by_lanes(use: str, target: str, tmp_path: Path) -> None:
    skip_where_missing(target)
    n = Net(9)
    bits = n.threshold(n.conv(n.threshold(n.input(2, 12, 33, 30)), 20))
    graph = lowered(MstReorder(target, use).run(prepared(n.graph(n.floats(n.conv(bits, 7))))), TARGETS[target])
    assert "lanes" in {share.axis for share in shares(graph, 4, target, least_ns=0).values()}
    plain, shared = two_ways(graph, target, tmp_path)
    inputs = inputs_of(graph, 7)
    wanted = plain.run(inputs)
    for threads in COUNTS:
        with pool_of(shared, threads) as crew:
            identical(shared.run(inputs, crew=crew), wanted)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_benchmark_networks_with_any_weights(name: str, target: str, tmp_path: Path) -> None:
    skip_where_missing(target)
    path = tmp_path / "net.onnx"
    onnx.save(CASES[name].model(small=True), path)
    graph = lower(path, TARGETS[target], Options(), Trace())
    plain, shared = two_ways(graph, target, tmp_path)
    rng = np.random.default_rng(3)
    inputs = [rng.standard_normal(value.shape).astype(value.type.dtype.numpy) for value in graph.inputs]  # type: ignore[union-attr]
    wanted = plain.run(inputs)
    for threads in COUNTS:
        with pool_of(shared, threads) as crew:
            identical(shared.run(inputs, crew=crew), wanted)


@pytest.mark.parametrize("target", ["portable", "avx2"])
@pytest.mark.parametrize("rows", [1, 7])
def test_dense_layers_of_bytes(rows: int, target: str, tmp_path: Path) -> None:
    """By blocks of channels where there is one row, whose weights are entries with places on AVX2."""
    skip_where_missing(target)
    rng, b = np.random.default_rng(5), Builder()
    x = b.input("x", TensorType((rows, 300), DType.U8))
    w = b.constant(rng.normal(0, 20, (300, 75)).round().clip(-128, 127).astype(np.int8))
    y = b.add("q.int_matmul", x, w, b.constant(np.arange(75, dtype=np.int32)), highest=255)
    graph = lowered(Graph("net", [x], b.ops, [y]), TARGETS[target])
    assert [op.name for op in graph.ops if op.name.startswith("k.i")] == [
        "k.iconv_placed" if target == "avx2" else "k.iconv"
    ]
    (share,) = shares(graph, MOST, target, least_ns=0).values()
    assert share.axis == ("channels" if rows == 1 else "pixels")
    plain, shared = two_ways(graph, target, tmp_path)
    inputs = [rng.integers(0, 256, (rows, 300)).astype(np.uint8)]
    for threads in COUNTS:
        with pool_of(shared, threads) as crew:
            identical(shared.run(inputs, crew=crew), plain.run(inputs))


def test_whoever_runs_the_parts_in_whatever_order(tmp_path: Path) -> None:
    graph = prepared(convolutions())
    plain, shared = two_ways(lowered(graph, TARGETS["portable"]), "portable", tmp_path, pool="none")
    inputs = inputs_of(graph)
    wanted, asked = plain.run(inputs), []

    @shared.ffi.callback("void(void *, int, void (*)(void *, int), void *)")
    def backwards(context: Any, parts: int, task: Any, argument: Any) -> None:
        asked.append(parts)
        for part in reversed(range(parts)):
            task(argument, part)

    for threads in COUNTS:
        asked.clear()
        identical(shared.run(inputs, crew=(threads, backwards, shared.ffi.NULL)), wanted)
        assert all(2 <= parts <= threads for parts in asked)
        assert bool(asked) == (threads > 1)


def test_openmp_runs_the_parts_too(tmp_path: Path) -> None:
    graph = prepared(convolutions())
    plain, shared = two_ways(lowered(graph, TARGETS["portable"]), "portable", tmp_path, pool="openmp")
    inputs = inputs_of(graph)
    for threads in (2, MOST):
        with pool_of(shared, threads) as crew:
            identical(shared.run(inputs, crew=crew), plain.run(inputs))


def test_numbers_of_threads_out_of_range_are_refused(tmp_path: Path) -> None:
    graph = prepared(convolutions())
    _, shared = two_ways(lowered(graph, TARGETS["portable"]), "portable", tmp_path)
    ffi, lib = shared.ffi, shared.lib
    io, arena = ffi.new("net_io *"), np.zeros(shared.made.arena_bytes + ALIGN_BYTES, np.uint8)
    outputs = [np.zeros(1000, np.float32) for _ in shared.made.manifest["outputs"]]
    for port, array in zip(shared.made.manifest["inputs"], inputs_of(graph), strict=True):
        setattr(io, port["field"], ffi.from_buffer(f"{port['dtype'].removesuffix('32')} *", array))
    for port, array in zip(shared.made.manifest["outputs"], outputs, strict=True):
        setattr(io, port["field"], ffi.cast("void *", array.ctypes.data))
    memory = ffi.cast("void *", arena.ctypes.data + -arena.ctypes.data % ALIGN_BYTES)
    with pool_of(shared, 2) as (_, parallel, pool):
        taken = [lib.net_run_parallel(io, memory, n, parallel, pool) for n in (-1, 0, 1, 2, MOST, MOST + 1)]
        assert taken == [1, 1, 0, 0, 0, 1]
    assert lib.net_run_parallel(io, memory, 1, ffi.NULL, ffi.NULL) == 0
    assert lib.net_run_parallel(io, memory, 2, ffi.NULL, ffi.NULL) == 1
    assert lib.net_pool_create(0) == ffi.NULL


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_scratch_of_parts_never_overlaps(net: Callable[[], Graph]) -> None:
    graph = lowered(prepared(net()), TARGETS["avx2"])
    alone = generated(graph, TARGETS["avx2"])
    made = generated(graph, TARGETS["avx2"], threads=MOST)
    strided = [
        (int(at), int(stride))
        for at, stride in re.findall(r"crew->at \+ (\d+) \+ \(ptrdiff_t\)part \* (\d+)", made.files["net.c"])
    ]
    for at, stride in strided:
        assert at % ALIGN_BYTES == stride % ALIGN_BYTES == 0
        assert at + stride <= made.arena_bytes
    scratch = sum(MOST * stride for _, stride in strided)
    assert made.arena_bytes <= alone.arena_bytes + scratch + ALIGN_BYTES * len(strided)


def test_parts_cover_an_axis_in_whole_units() -> None:
    share = Share("rows", 7, 2, 3)
    assert (share.units, share.longest, share.whole_units) == (4, 4, False)
    assert Share("channels", 70, 32, 2).longest == 64


def test_little_work_is_not_shared() -> None:
    graph = lowered(prepared(convolutions()), TARGETS["avx2"])
    assert not shares(graph, 4, "avx2", least_ns=1e9)
    assert not shares(graph, 1, "avx2", least_ns=0)
    found = shares(graph, 4, "avx2", least_ns=0)
    assert all(2 <= share.parts <= 4 for share in found.values())
    assert {share.axis for share in found.values()} == {"rows", "channels"}


DRIVER = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "net.h"

enum { CALLERS = 8, ROUNDS = 5, ELEMENTS = 1 << 16 };

static float input[ELEMENTS], wanted[ELEMENTS];
static net_pool *pool;

static int once(float *output, int threads) {
    void *arena = NULL;
    net_io io = {.%(input)s = input, .%(output)s = output};
    if (posix_memalign(&arena, NET_ARENA_ALIGN, NET_ARENA_BYTES)) return 1;
    int status = net_run_parallel(&io, arena, threads, net_pool_parallel, pool);
    free(arena);
    return status;
}

static void *caller(void *wrong) {
    float *output = calloc(ELEMENTS, sizeof(float));
    for (int i = 0; i < ROUNDS; i++) {
        if (once(output, 1 + i %% NET_MOST_THREADS) || memcmp(output, wanted, sizeof wanted)) *(int *)wrong = 1;
    }
    free(output);
    return NULL;
}

int main(void) {
    pthread_t threads[CALLERS];
    int wrong[CALLERS] = {0}, all = 0;
    for (int i = 0; i < ELEMENTS; i++) input[i] = (float)(i %% 19) - 9.0F;
    pool = net_pool_create(3);
    if (!pool || once(wanted, 1)) return 2;
    for (int i = 0; i < CALLERS; i++) pthread_create(&threads[i], NULL, caller, &wrong[i]);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        all |= wrong[i];
    }
    net_pool_destroy(pool);
    printf("%%s\\n", all ? "differs" : "same");
    return 0;
}
"""


def test_concurrent_runs_race_nowhere(tmp_path: Path) -> None:
    """Eight callers with an arena each, on one pool, watched by the thread sanitizer."""
    made = generated(
        lowered(prepared(convolutions()), TARGETS["portable"]), TARGETS["portable"], threads=4, pool="pthreads"
    )
    for name, text in made.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    fields = {key: made.manifest[f"{key}s"][0]["field"] for key in ("input", "output")}
    (tmp_path / "main.c").write_text(DRIVER % fields, encoding="utf-8")
    program = tmp_path / "main"
    flags = ["-std=gnu99", "-O1", "-g", "-fsanitize=thread", "-pthread", "-ffp-contract=off", "-o", str(program)]
    built = subprocess.run(
        ["gcc", *flags, str(tmp_path / "main.c"), str(tmp_path / "net.c"), "-lm"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot find" in built.stderr:
        pytest.skip("gcc has no thread sanitizer here")
    assert built.returncode == 0, built.stderr[:2000]
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False, timeout=300)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the thread sanitizer does not start on this kernel")
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr[:3000]
