"""Kernels on another machine, called as if they were here: compiled for it, run by qemu, with this process' memory at their hands.

Calls are sent over a pipe. Pages that the kernel touches are fetched from this process when it first does, and what it changed is
written back after the call, so a test needs no other buffers, guards or pointers than for a kernel that runs here. An access to memory
this process does not have ends the emulation, and the call raises :class:`RemoteFault`. The machine must be little endian, its
pointers of 64 bits; ``remote.c`` is the far side.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PAGE_BYTES = 4096
MOST_ARGUMENTS = 24
TURNED = 1 << 45
"""The bit that tells this process' addresses from those of the program over there."""

HEADER = f"""#ifndef REMOTE_H
#define REMOTE_H
#include <stdint.h>
enum {{ REMOTE_MOST_ARGUMENTS = {MOST_ARGUMENTS} }};
typedef union remote_slot {{ int64_t i; float f; double d; void *p; }} remote_slot;
void remote_call(uint64_t which, remote_slot *a, remote_slot *r);
#endif
"""


class RemoteFault(AssertionError):
    """The kernel touched memory that is not there, or ended the emulation in another way."""


def stubs(ffi: Any, prototypes: Mapping[str, Any]) -> str:
    """C that calls the ``which``-th of ``prototypes`` (function types by name) with the arguments of slots."""
    cases = []
    for which, (name, kind) in enumerate(prototypes.items()):
        assert len(kind.args) <= MOST_ARGUMENTS, name
        arguments = ", ".join(f"a[{i}].{_slot(arg)}" for i, arg in enumerate(kind.args))
        call = f"{name}({arguments})"
        cases.append(
            f"    case {which}: {call if kind.result.kind == 'void' else f'r->{_slot(kind.result)} = {call}'}; break;"
        )
    lines = [
        "void remote_call(uint64_t which, remote_slot *a, remote_slot *r) {",
        "    (void)r;",
        "    switch (which) {",
    ]
    return "\n".join([*lines, *cases, "    default: break;", "    }", "}", ""])


def _slot(kind: Any) -> str:
    if kind.kind == "pointer":
        return "p"
    return {"float": "f", "double": "d"}.get(kind.cname, "i")


class _Span(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("bytes", ctypes.c_size_t))


def _readable_page(address: int) -> bytes | None:
    """A page of this process' memory; None if it has none there, or one that may not be read (a fence of a test)."""
    content = ctypes.create_string_buffer(PAGE_BYTES)
    here, there = _Span(ctypes.addressof(content), PAGE_BYTES), _Span(address, PAGE_BYTES)
    libc = ctypes.CDLL(None)
    read = libc.process_vm_readv(os.getpid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return content.raw if read == PAGE_BYTES else None


@dataclass(slots=True)
class Remote:
    """A running program and how its functions are called. ``command`` starts it."""

    ffi: Any
    command: tuple[str, ...]
    prototypes: Mapping[str, Any]
    _process: subprocess.Popen[bytes] | None = None
    _kept: list[Any] = field(default_factory=list)
    _fetched: dict[int, bytes] = field(default_factory=dict)

    def functions(self) -> dict[str, Callable[..., Any]]:
        """All functions by name, to be called with what cffi would take."""
        return {name: self._function(which, kind) for which, (name, kind) in enumerate(self.prototypes.items())}

    def _function(self, which: int, kind: Any) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if len(arguments) != len(kind.args):
                raise TypeError(f"{len(kind.args)} arguments are taken, {len(arguments)} are given")
            self._kept.clear()
            slots = [self._packed(arg, value) for arg, value in zip(kind.args, arguments, strict=True)]
            result = self._call(which, b"".join(slots).ljust(8 * MOST_ARGUMENTS, b"\0"))
            if kind.result.kind == "void":
                return None
            return struct.unpack({"f": "<fxxxx", "d": "<d", "i": "<q"}[_slot(kind.result)], result)[0]

        return call

    def _packed(self, kind: Any, value: Any) -> bytes:
        match _slot(kind):
            case "p":
                return struct.pack("<Q", self._address(self._translated(kind, value)))
            case "f":
                return struct.pack("<fxxxx", value)
            case "d":
                return struct.pack("<d", value)
            case _:
                return struct.pack("<q", int(self.ffi.cast("int64_t", int(value))))

    def _translated(self, kind: Any, value: Any) -> Any:
        """A struct that holds pointers as a copy with those of the far side; anything else as it is."""
        target = kind.item
        if target.kind != "struct" or not any(f.type.kind == "pointer" for _, f in target.fields):
            return value
        copy = self.ffi.new(self.ffi.getctype(target, "*"), value[0])
        for name, f in target.fields:
            if f.type.kind == "pointer":
                setattr(copy, name, self.ffi.cast(f.type, self._address(getattr(copy, name))))
        self._kept.append(copy)
        return copy

    def _address(self, pointer: Any) -> int:
        address = int(self.ffi.cast("uintptr_t", pointer))
        return address ^ TURNED if address else 0

    def _call(self, which: int, slots: bytes) -> bytes:
        if self._process is None:
            self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._fetched.clear()
        self._send(struct.pack("<Q", which) + slots)
        while True:
            (kind,) = struct.unpack("<Q", self._receive(8))
            if kind == 1:
                break
            self._grant(struct.unpack("<Q", self._receive(8))[0])
        result = self._receive(8)
        (count,) = struct.unpack("<Q", self._receive(8))
        for _ in range(count):
            (page,) = struct.unpack("<Q", self._receive(8))
            self._write_back(page ^ TURNED, self._receive(PAGE_BYTES))
        return result

    def _grant(self, page: int) -> None:
        """Send a page of this process' memory; one that is not there is refused, which ends the far side."""
        content = _readable_page(page ^ TURNED)
        if content is None:
            self._send(struct.pack("<Q", 0))
            return
        self._fetched[page ^ TURNED] = content
        self._send(struct.pack("<Q", 1) + content)

    def _write_back(self, page: int, content: bytes) -> None:
        """Only bytes the kernel changed: others of the page may be this process' own and have moved on."""
        new, old = (np.frombuffer(data, np.uint8) for data in (content, self._fetched[page]))
        changed = np.flatnonzero(new != old)
        if changed.size:
            memory = np.frombuffer((ctypes.c_ubyte * PAGE_BYTES).from_address(page), np.uint8)
            memory[changed] = new[changed]

    def _send(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
        except BrokenPipeError:
            raise self._fault() from None

    def _receive(self, count: int) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        data = b""
        while len(data) < count:
            part = self._process.stdout.read(count - len(data))
            if not part:
                raise self._fault()
            data += part
        return data

    def _fault(self) -> RemoteFault:
        assert self._process is not None
        status = self._process.wait()
        self._process = None
        return RemoteFault(f"the emulated kernel ended with status {status}: it touched memory that is not there")
