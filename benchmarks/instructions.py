"""Instructions that a 32-bit ARM core executes for a binary layer, by trees, by tables and on words of channels: ``python -m
benchmarks.instructions`` prints a table.

What counts on a core without vectors and popcount is how many instructions there are, and emulation tells exactly. The networks are
those of ``benchmarks.mst``; their C is compiled for ARMv7 without NEON and runs under qemu-user, whose plugin interface counts; a layer
is half the difference between three layers and one. Needs ``arm-linux-gnueabihf-gcc`` and ``qemu-arm`` (7 or later).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import onnx

import bitc
from benchmarks.mst import LAYERS, SIZES, network, similar

BUILDS = {"trees": "on", "tables": "tables", "words": "off"}
SETS = {"arm": "-marm", "thumb": "-mthumb"}
FLAGS = ("-std=c99", "-O3", "-ffp-contract=off", "-fno-tree-vectorize", "-march=armv7-a", "-mfpu=vfpv3-d16", "-static")

COUNTER = r"""
#include <inttypes.h>
#include <stdio.h>
#include <stddef.h>
/* of qemu's plugin interface (docs/devel/tcg-plugins) what is needed here */
struct qemu_plugin_tb;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t, void (*)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_atexit_cb(uint64_t, void (*)(uint64_t, void *), void *);
int qemu_plugin_version = 1;
static uint64_t executed;
static void translated(uint64_t id, struct qemu_plugin_tb *block) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, 0, &executed, qemu_plugin_tb_n_insns(block));
}
static void ended(uint64_t id, void *data) {
    (void)id, (void)data;
    fprintf(stderr, "%" PRIu64 "\n", executed);
}
int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
"""

CALLER = r"""
#include "net.h"
static float x[{inputs}], y[{channels}];
static unsigned char arena[NET_ARENA_BYTES] __attribute__((aligned(NET_ARENA_ALIGN)));
int main(void) {{
    uint32_t state = 1;
    for (int i = 0; i < {inputs}; i++) x[i] = (float)(int32_t)(state = state * 1664525u + 1013904223u);
    return net_run(&(net_io){{x, y}}, arena);
}}
"""


def executed(model: Path, build: str, set_: str, inputs: int, channels: int, counter: Path) -> int:
    """Instructions of a program that calls the network once."""
    folder = model.parent / f"{model.stem}-{build}"
    if not folder.exists():
        bitc.compile(model, target="portable", out=folder, name="net", emit=("c",), mst=BUILDS[build])
        (folder / "caller.c").write_text(CALLER.format(inputs=inputs, channels=channels))
    program = folder / set_
    sources = (folder / "caller.c", folder / "net.c")
    subprocess.run(("arm-linux-gnueabihf-gcc", *FLAGS, SETS[set_], *sources, "-o", program, "-lm"), check=True)
    run = subprocess.run(("qemu-arm", "-plugin", counter, program), check=True, capture_output=True, text=True)
    return int(run.stderr)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distance", type=float, default=0.1)
    weights = similar(parser.parse_args().distance)
    print(f"{'layer':10} {'set':6}", *(f"{build:>12}" for build in BUILDS), "words/trees", "words/tables")
    with tempfile.TemporaryDirectory() as name:
        counter = Path(name) / "counter.so"
        (Path(name) / "counter.c").write_text(COUNTER)
        subprocess.run(("gcc", "-shared", "-fPIC", "-O2", counter.with_suffix(".c"), "-o", counter), check=True)
        for size, channels in SIZES:
            models = {layers: Path(name) / f"{size}-{layers}.onnx" for layers in (1, LAYERS)}
            for layers, model in models.items():
                onnx.save(network(size, channels, weights, layers), model)
            for set_ in SETS:
                found = {}
                for build in BUILDS:
                    one, more = (
                        executed(model, build, set_, channels * size**2, channels, counter) for model in models.values()
                    )
                    found[build] = (more - one) / (LAYERS - 1)
                ratios = (found["words"] / found[build] for build in ("trees", "tables"))
                counts = (f"{found[build]:12,.0f}" for build in BUILDS)
                print(f"{size:4}x{channels:<5} {set_:6}", *counts, *(f"{ratio:11.2f}" for ratio in ratios), flush=True)


if __name__ == "__main__":
    main()
