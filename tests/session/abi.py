"""A hand-written library that follows the ABI of generated code: y[n] = sum(x[n]) + b[0] and z[n] = x[n][0] as int32."""

from __future__ import annotations

import json
from pathlib import Path

HEADER = """\
#ifndef TOY_H
#define TOY_H
#include <stddef.h>
#include <stdint.h>
#define TOY_MODEL_SHA256 "00"
/* cffi: begin */
#define TOY_ARENA_BYTES 128
#define TOY_ARENA_ALIGN 64
#define TOY_WEIGHT_BYTES 0
typedef struct toy_io {
    const float *x;
    const int8_t *b_0;
    float *y;
    int32_t *z;
    size_t batch;
} toy_io;
int toy_run(const toy_io *io, void *arena);
const char *toy_metadata(void);
/* cffi: end */
#endif
"""

SOURCE = """\
#include "toy.h"
int toy_run(const toy_io *io, void *arena)
{
    volatile float *sum = arena;
    size_t n, i;
    if (!io || !io->x || !io->b_0 || !io->y || !io->z || !arena || (uintptr_t)arena %% 64 != 0)
        return 1;
    for (n = 0; n < io->batch; n++) {
        sum[0] = 0.0f;
        for (i = 0; i < 3; i++)
            sum[0] += io->x[3 * n + i];
        io->y[n] = sum[0] + (float)io->b_0[0] + %(extra)sf;
        io->z[n] = (int32_t)io->x[3 * n];
    }
    return 0;
}
const char *toy_metadata(void) { return %(metadata)s; }
"""

METADATA: dict[str, object] = {
    "bitc": "0.1.0",
    "target": "portable",
    "name": "toy",
    "model": {"name": "toy", "sha256": "00"},
    "batch": "N",
    "arena_bytes": 128,
    "weight_bytes": 0,
    "inputs": [
        {"name": "x", "field": "x", "dtype": "float32", "shape": ["N", 3]},
        {"name": "b.0", "field": "b_0", "dtype": "int8", "shape": [1]},
    ],
    "outputs": [
        {"name": "y", "field": "y", "dtype": "float32", "shape": ["N"], "contract": {"exact": True, "ulp": 0}},
        {"name": "z", "field": "z", "dtype": "int32", "shape": ["N"], "contract": {"exact": True, "ulp": 0}},
    ],
    "layers": [
        {
            "op": "k.fconv",
            "node": "node 0 'sum' (MatMul)",
            "form": "float32",
            "kernel": "sum3",
            "shape": [1, 1],
            "macs": 3,
            "contract": "rounded",
            "why": "input x is float32",
            "hint": "",
        }
    ],
}


def texts(extra: float = 0.0) -> dict[str, str]:
    """The text files of the toy artefact; ``extra`` is added to y, to tell one build from another."""
    metadata = json.dumps(METADATA)
    return {
        "toy.h": HEADER,
        "toy.c": SOURCE % {"extra": float(extra), "metadata": json.dumps(metadata)},
        "manifest.json": json.dumps(METADATA, indent=2) + "\n",
        "README.md": "# toy\n",
    }


def write(folder: Path, extra: float = 0.0) -> Path:
    """The toy's text files in ``folder`` (made if missing); returns the C file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts(extra).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "toy.c"
