"""Build generated libraries for a target, native or emulated, and run them through cffi with guards round every buffer."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi  # type: ignore[import-untyped]
import numpy as np
from codegen.nets import kernel_passes
from runtime.harness import cpu_has, emulation_flags, guarded

from bitc.codegen import Generated, Target, generate
from bitc.ir import Graph
from bitc.passes.pipeline import run_passes
from bitc.toolchain import STRICT_WARNINGS

NAME = "net"


def lowered(graph: Graph, target: Target) -> Graph:
    """The k graph of ``graph`` for ``target``."""
    passes = kernel_passes(target.bits.block, target.bits.byte_rows, target.float_block, target.isa)
    return run_passes(graph, passes)


def generated(
    graph: Graph, target: Target, guard_bytes: int = 0, threads: int = 1, pool: str = "none", least_ns: float = 0.0
) -> Generated:
    """The library for a k graph; for several threads, all that can be shared is, however little work it is."""
    sharing = {"threads": threads, "pool": pool, "least_ns": least_ns}
    return generate(graph, name=NAME, target=target, options={}, guard_bytes=guard_bytes, **sharing)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Library:
    """A loaded library and the manifest it was generated with."""

    ffi: Any
    lib: Any
    made: Generated

    def run(self, inputs: Sequence[np.ndarray], items: int | None = None, crew: Sequence[Any] = ()) -> list[np.ndarray]:
        """Outputs for ``inputs``; arena and outputs are full of 0xA5 before, and nothing outside them may change.

        ``crew``: the last arguments of a run in several threads: how many, who runs the parts, and its context.
        """
        io = self.ffi.new(f"{NAME}_io *")
        manifest = self.made.manifest
        if items is not None:
            io.batch = items
        with ExitStack() as stack:
            held = [stack.enter_context(guarded(x.shape, x.dtype, align=x.itemsize)) for x in inputs]
            outputs = []
            for port in manifest["outputs"]:
                shape = [items if isinstance(n, str) else n for n in port["shape"]]
                dtype = np.dtype(port["dtype"])
                outputs.append(stack.enter_context(guarded(tuple(shape), dtype, align=dtype.itemsize)))
            for array, x in zip(held, inputs, strict=True):
                array[...] = x
            for port, array in zip(manifest["inputs"] + manifest["outputs"], held + outputs, strict=True):
                setattr(io, port["field"], self.ffi.cast("void *", array.ctypes.data))
            arena = stack.enter_context(guarded((self.made.arena_bytes,), np.uint8))
            memory = self.ffi.cast("void *", arena.ctypes.data)
            assert (self.lib.net_run_parallel(io, memory, *crew) if crew else self.lib.net_run(io, memory)) == 0
            return [output.copy() for output in outputs]


def build(made: Generated, target: Target, folder: Path, compiler: str = "gcc", defined: Sequence[str] = ()) -> Library:
    """Compile, with macros ``defined``, and load. A target this CPU lacks is compiled against the emulating headers, without strict
    warnings."""
    for name, text in made.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    flags = ["-std=c99", "-O1", "-ffp-contract=off", "-fPIC", "-shared", *(f"-D{name}" for name in defined)]
    flags += {"pthreads": ["-pthread"], "openmp": ["-fopenmp"]}.get(made.manifest.get("threads", {}).get("pool"), [])
    if cpu_has(target.isa):
        flags += [*STRICT_WARNINGS, *target.cflags]
    else:
        flags += emulation_flags()
    library = folder / f"lib{NAME}-{compiler}.so"
    done = subprocess.run(
        [compiler, *flags, "-o", str(library), str(folder / f"{NAME}.c"), "-lm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:4000]
    ffi = cffi.FFI()
    found = re.search(r"/\* cffi: begin \*/(.*?)/\* cffi: end \*/", made.files[f"{NAME}.h"], re.DOTALL)
    assert found is not None
    ffi.cdef(found.group(1))
    return Library(ffi, ffi.dlopen(str(library)), made)
