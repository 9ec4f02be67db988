"""Machines other than this one: a cross compiler, qemu's user emulation, and generated libraries run there through a driver in C.

The driver is a program of the library's own folder. It reads the inputs from its standard input and writes the outputs to its
standard output, as the machine holds them; :func:`run` turns them round where the machine is big endian.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from bitc.artifact import Artifact
from bitc.toolchain import STRICT_WARNINGS

ARENA_BYTE = 0xA5
"""What the driver fills the arena with before each run."""

CLANGS = ("clang", *(f"clang-{version}" for version in range(21, 13, -1)))
FLAGS = ("-std=c99", "-O1", "-ffp-contract=off", "-static", *STRICT_WARNINGS)
GCC_FLAGS = ("-fexcess-precision=fast",)


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of computer that Linux programs are built for here and run on by emulation.

    ``triplet`` names its compiler, ``cpu`` what qemu is to emulate (its default where empty), ``order`` how its numbers lie: ``<``
    little endian, ``>`` big endian.
    """

    name: str
    triplet: str
    qemu: str
    order: str = "<"
    cpu: str = ""

    @property
    def gcc(self) -> tuple[str, ...]:
        """The command of its gcc."""
        return (f"{self.triplet}-gcc",)

    def clang(self) -> tuple[str, ...] | None:
        """The command of clang for it, or None if there is no clang here."""
        found = next((name for name in CLANGS if shutil.which(name)), None)
        return (found, f"--target={self.triplet}") if found else None

    @property
    def emulator(self) -> str | None:
        """The program of qemu that runs its programs, or None if there is none."""
        return shutil.which(self.qemu) or shutil.which(f"{self.qemu}-static")

    def command(self, program: Path) -> tuple[str, ...]:
        """The command that runs a program of it."""
        assert self.emulator is not None, self.why_not()
        return (self.emulator, *(("-cpu", self.cpu) if self.cpu else ()), str(program))

    def why_not(self) -> str | None:
        """Why nothing can be built for it or run on it here, or None."""
        if shutil.which(self.gcc[0]) is None:
            return f"no compiler for {self.name} here: {self.gcc[0]} (Debian: gcc-{self.triplet})"
        return None if self.emulator else f"no emulation of {self.name} here: {self.qemu} (Debian: qemu-user)"


AARCH64 = Machine("aarch64", "aarch64-linux-gnu", "qemu-aarch64", cpu="max")
ARMHF = Machine("armhf", "arm-linux-gnueabihf", "qemu-arm")
RISCV64 = Machine("riscv64", "riscv64-linux-gnu", "qemu-riscv64")
S390X = Machine("s390x", "s390x-linux-gnu", "qemu-s390x", order=">")
MACHINES = (AARCH64, ARMHF, RISCV64, S390X)
"""64-bit ARM, 32-bit ARM, 64-bit RISC-V, and one whose numbers lie the other way round."""


def driver(manifest: Mapping[str, Any], items: int, threads: int = 0) -> str:
    """A program that runs ``items`` items (1 where the batch is fixed) from standard input to standard output.

    In one thread, or in ``threads`` of the library's own pool.
    """
    name, upper = manifest["name"], manifest["name"].upper()
    ports = [*manifest["inputs"], *manifest["outputs"]]
    buffers = [f"static double b{i}[{-(-port_bytes(port, items) // 8) or 1}];" for i, port in enumerate(ports)]
    fields = [f"    io.{port['field']} = (void *)b{i};" for i, port in enumerate(ports)]
    batch = [f"    io.batch = {items};"] if manifest["batch"] is not None else []
    reads = [
        f"    if (fread(b{i}, 1, {port_bytes(port, items)}, stdin) != {port_bytes(port, items)}) return 2;"
        for i, port in enumerate(manifest["inputs"])
    ]
    first = len(manifest["inputs"])
    writes = [
        f"    if (fwrite(b{i}, 1, {port_bytes(port, items)}, stdout) != {port_bytes(port, items)}) return 3;"
        for i, port in enumerate(manifest["outputs"], first)
    ]
    run = [f"    if ({name}_run(&io, arena) != 0) return 1;"]
    if threads:
        run = [
            f"    {name}_pool *pool = {name}_pool_create({threads});",
            f"    if (!pool || {name}_run_parallel(&io, arena, {threads}, {name}_pool_parallel, pool) != 0) return 1;",
            f"    {name}_pool_destroy(pool);",
        ]
    lines = [
        "#include <stdio.h>",
        "#include <string.h>",
        f'#include "{name}.h"',
        f"static unsigned char memory[{upper}_ARENA_BYTES + {upper}_ARENA_ALIGN];",
        *buffers,
        "int main(void) {",
        f"    unsigned char *arena = memory + (0u - (uintptr_t)memory) % {upper}_ARENA_ALIGN;",
        f"    {name}_io io;",
        *fields,
        *batch,
        *reads,
        f"    memset(arena, {ARENA_BYTE}, {upper}_ARENA_BYTES);",
        *run,
        *writes,
        "    return 0;",
        "}",
        "",
    ]
    return "\n".join(lines)


def port_shape(port: Mapping[str, Any], items: int) -> tuple[int, ...]:
    """The shape of a port for ``items`` items."""
    return tuple(items if isinstance(size, str) else size for size in port["shape"])


def port_bytes(port: Mapping[str, Any], items: int) -> int:
    """Bytes of a port for ``items`` items."""
    return prod(port_shape(port, items)) * np.dtype(port["dtype"]).itemsize


def build(
    artifact: Artifact, machine: Machine, items: int, compiler: Sequence[str] | None = None, threads: int = 0
) -> Path:
    """The program for ``machine``, in the artefact's folder. Fails with the compiler's words, also where it warns."""
    command = tuple(compiler or machine.gcc)
    stem = artifact.directory / f"{artifact.name}_on_{machine.name}_{items}_{threads}"
    source = stem.with_suffix(".c")
    source.write_text(driver(artifact.manifest, items, threads), encoding="utf-8")
    flags = (*FLAGS, *(GCC_FLAGS if command == machine.gcc else ()))
    objects = []
    for part in artifact.manifest.get("variants", {}).values():
        objects.append(str(artifact.directory / f"{part['part']}.o"))
        _compile([*command, *flags, *part["cflags"], "-c", "-o", objects[-1], objects[-1][:-2] + ".c"])
    files = ("-o", str(stem), str(source), str(artifact.source), *objects, "-lm")
    _compile([*command, *flags, *artifact.manifest["cflags"], *files])
    return stem


def _compile(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]


def run(
    program: Path,
    artifact: Artifact,
    machine: Machine,
    inputs: Sequence[np.ndarray],
    items: int,
    environment: Mapping[str, str] | None = None,
) -> list[np.ndarray]:
    """The outputs for ``inputs``, each of ``items`` items; ``environment`` adds variables."""
    order = machine.order
    fed = b"".join(np.ascontiguousarray(x, x.dtype.newbyteorder(order)).tobytes() for x in inputs)
    done = subprocess.run(
        machine.command(program), input=fed, capture_output=True, check=False, env={**os.environ, **(environment or {})}
    )
    assert done.returncode == 0, f"{machine.name}: {program.name} ended with {done.returncode}: {done.stderr!r}"
    found, at = [], 0
    for port in artifact.manifest["outputs"]:
        held = np.dtype(port["dtype"]).newbyteorder(order)
        size = port_bytes(port, items)
        array = np.frombuffer(done.stdout[at : at + size], held).astype(port["dtype"])
        found.append(array.reshape(port_shape(port, items)))
        at += size
    assert at == len(done.stdout), f"{machine.name}: {len(done.stdout)} bytes instead of {at}"
    return found
