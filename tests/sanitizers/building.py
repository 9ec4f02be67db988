"""Programs of one network each: ``driver.c`` with the generated C, under a sanitizer of the C compiler's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import pytest

from bitc.artifact import Artifact
from bitc.codegen.targets import target as target_named

DRIVER = Path(__file__).with_name("driver.c")
THREADS = 8
_CLANG = next((name for name in ("clang", "clang-19") if shutil.which(name)), "")


@dataclass(frozen=True, slots=True)
class Sanitizer:
    """A compiler and its flags. ``threads``: how many run at once, each with buffers of its own."""

    name: str
    compiler: str
    flags: tuple[str, ...]
    threads: int = 1


ADDRESS = Sanitizer("address", "gcc", ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"))
MEMORY = Sanitizer("memory", _CLANG, ("-fsanitize=memory", "-fno-sanitize-recover=all"))
THREAD = Sanitizer("thread", "gcc", ("-fsanitize=thread",), THREADS)
PLAIN = Sanitizer("none", "gcc", (), THREADS)
"""Guard pages alone, in threads."""


def run(artifact: Artifact, feeds: Mapping[str, np.ndarray], using: Sanitizer, folder: Path) -> list[np.ndarray]:
    """The outputs. Skips where the sanitizer is missing; fails with its report where it has one."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = artifact.manifest
    batch = len(next(iter(feeds.values()))) if manifest["batch"] else 1
    shapes = {
        entry["field"]: (np.dtype(entry["dtype"]), [batch if isinstance(n, str) else n for n in entry["shape"]])
        for entry in (*manifest["inputs"], *manifest["outputs"])
    }
    (folder / "network.h").write_text(_header(artifact, using, shapes))
    arrays = [feeds[entry["name"]] for entry in manifest["inputs"]]
    (folder / "inputs").write_bytes(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))
    program = build(DRIVER, artifact, using, folder)
    done = finished([str(program), str(folder / "inputs"), str(folder / "outputs")], using)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[:4000]
    return _read(folder / "outputs", [shapes[entry["field"]] for entry in manifest["outputs"]])


def build(driver: Path, artifact: Artifact, using: Sanitizer, folder: Path) -> Path:
    """The program of ``driver``, which includes ``folder``'s network.h, and the generated C. Skips where the sanitizer is missing."""
    if not shutil.which(using.compiler or "none"):
        pytest.skip(f"no compiler for the {using.name} sanitizer")
    program = folder / "program"
    flags = [
        "-std=gnu99",
        "-O1",
        "-g",
        "-w",
        "-ffp-contract=off",
        *using.flags,
        *target_named(artifact.manifest["target"]).cflags,
    ]
    places = [f"-I{folder}", f"-I{artifact.directory}", "-o", str(program), str(driver), str(artifact.source)]
    built = _done([using.compiler, *flags, *places, "-lm", "-pthread"])
    if "cannot find" in built.stderr or "unable to find" in built.stderr:
        pytest.skip(f"{using.compiler} has no {using.name} sanitizer here")
    assert built.returncode == 0, built.stderr[:3000]
    return program


def finished(command: Sequence[str], using: Sanitizer) -> subprocess.CompletedProcess[str]:
    """The program's run. Skips where the sanitizer does not start."""
    done = _done(command)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip(f"the {using.name} sanitizer does not start on this kernel")
    return done


def _done(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def _header(artifact: Artifact, using: Sanitizer, shapes: Mapping[str, tuple[np.dtype, list[int]]]) -> str:
    manifest, name = artifact.manifest, artifact.name
    sizes = [dtype.itemsize * prod(shape) for dtype, shape in shapes.values()]
    batch = next(iter(shapes.values()))[1][0]
    lines = [
        "#include <stddef.h>",
        f'#include "{name}.h"',
        f"#define NETWORK_RUN {name}_run",
        f"#define NETWORK_IO {name}_io",
        f"#define ARENA ((size_t){manifest['arena_bytes']})",
        f"#define THREADS {using.threads}",
        f"#define INPUTS {len(manifest['inputs'])}",
        f"#define OUTPUTS {len(manifest['outputs'])}",
        f"#define SET_BATCH(io) {f'((io).batch = {batch})' if manifest['batch'] else '((void)0)'}",
        f"static const size_t sizes[] = {{{', '.join(map(str, sizes))}}};",
        f"static const size_t offsets[] = {{{', '.join(f'offsetof(NETWORK_IO, {field})' for field in shapes)}}};",
    ]
    return "\n".join(lines) + "\n"


def _read(path: Path, types: Sequence[tuple[np.dtype, list[int]]]) -> list[np.ndarray]:
    data, found, at = path.read_bytes(), [], 0
    for dtype, shape in types:
        count = prod(shape)
        found.append(np.frombuffer(data, dtype, count, at).reshape(shape))
        at += count * dtype.itemsize
    return found
