"""Compile kernel headers of ``runtime/`` for one instruction set and call them from Python.

``kernels("bconv_avx2.h", isa="avx2")`` builds a shared library of the headers' ``static inline`` kernels and returns a
``Kernels`` object: its attributes are the C functions, ``Kernels.ffi`` is the cffi instance (ABI mode). Prototypes and
``typedef struct`` s are read from the headers themselves, so a test never repeats a signature. Helpers whose prototype
names a vector type (``__m256i`` ...) are not exported.

``isa`` is one of ``ISAS`` or, for the kernels that have them, of ``VARIANTS``. Where the CPU lacks it, ``avx512`` is compiled
against the emulating ``immintrin.h`` in ``emulation/`` (SIMDe), and NEON for another machine that qemu emulates (``remote.py``);
``why_not(isa)`` says why a set can be neither run nor emulated here.
"""

import atexit
import functools
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import numpy.typing as npt
import pytest

from bitc.codegen.targets import NEON, NEON_DOT, NEON_I8MM, supported_here
from tests.machines.machines import AARCH64

from .remote import HEADER, HERE, Remote, stubs

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
EMULATION = Path(__file__).resolve().parent / "emulation"

STRICT = (
    "-std=c99",
    "-O3",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wdouble-promotion",
    "-pedantic",
    "-Werror",
)
FLAGS = {
    "portable": (),
    "avx2": ("-mavx2", "-mfma"),
    "avx512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vpopcntdq", "-mavx512vnni", "-mfma"),
}
ARM = {target.isa: target for target in (NEON, NEON_DOT, NEON_I8MM)}
FLAGS |= {isa: target.cflags for isa, target in ARM.items()}
VARIANTS = ("neon_dot", "neon_i8mm")
ISAS = tuple(isa for isa in FLAGS if isa not in VARIANTS)
COMPILERS = tuple(name for name in ("gcc", "clang", "clang-19") if shutil.which(name))
_CPU_FEATURES = {
    "portable": (),
    "avx2": ("avx2", "fma"),
    "avx512": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vpopcntdq", "avx512vnni"),
}
_GUARD = 0xA5
_VECTOR = re.compile(r"__m\d|\b\w+\d+x\d+_t\b")
"""In the names of vector types."""

for_each_isa = pytest.mark.parametrize("isa", ISAS)
"""Decorator: one test for each instruction set, as the argument ``isa``; skipped where it cannot be run."""


@functools.cache
def _scratch() -> Path:
    folder = tempfile.mkdtemp(prefix="bitc-kernels-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _compile(source: str, compiler: str, flags: tuple[str, ...]) -> Path:
    """Build ``source`` as a shared library; raise ``RuntimeError`` with the compiler's words if it refuses."""
    return _build(source, (compiler,), (*flags, "-fPIC", "-shared"))


@functools.cache
def _build(source: str, compiler: tuple[str, ...], flags: tuple[str, ...]) -> Path:
    """Build ``source`` once; raise ``RuntimeError`` with the compiler's words if it refuses."""
    name = hashlib.sha256(repr((source, compiler, flags)).encode()).hexdigest()[:16]
    c_file, library = _scratch() / f"{name}.c", _scratch() / f"{name}.so"
    c_file.write_text(source, encoding="utf-8")
    command = [*compiler, *flags, "-o", str(library), str(c_file), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return library


@functools.cache
def cpu_has(isa: str) -> bool:
    """Whether this machine executes ``isa`` natively."""
    if isa in ARM:
        return supported_here(ARM[isa])
    if not _CPU_FEATURES[isa]:
        return True
    tests = " && ".join(f'__builtin_cpu_supports("{feature}")' for feature in _CPU_FEATURES[isa])
    try:
        library = _compile(f"int has(void) {{ return {tests}; }}\n", COMPILERS[0], ())
    except RuntimeError:  # not an x86: the compiler does not know the feature's name
        return False
    ffi = cffi.FFI()
    ffi.cdef("int has(void);")
    return bool(ffi.dlopen(str(library)).has())


def emulation_flags() -> tuple[str, ...]:
    """Flags that build AVX-512's intrinsics for this CPU, by AVX2's where it has them."""
    return ("-w", "-Wno-psabi", f"-I{EMULATION}", *(FLAGS["avx2"] if cpu_has("avx2") else ()))


@functools.cache
def _has_simde() -> bool:
    probe = subprocess.run(
        [COMPILERS[0], "-E", "-x", "c", "-"],
        input="#include <simde/x86/avx512.h>",
        capture_output=True,
        text=True,
        check=False,
    )
    return probe.returncode == 0


def why_not(isa: str) -> str | None:
    """Why kernels of ``isa`` cannot be tested on this machine, or None if they can."""
    if not COMPILERS:
        return "no C compiler found"
    if cpu_has(isa):
        return None
    if isa in ARM:
        return AARCH64.why_not()
    if isa != "avx512":
        return f"this CPU has no {isa}"
    return None if _has_simde() else "this CPU has no avx512 and SIMDe (libsimde-dev) is not installed to emulate it"


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels of some headers as callables: ``k.bitc_name(...)``; ``k.constants``: integer macros."""

    ffi: Any
    functions: dict[str, Any]
    constants: dict[str, int]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.functions[name]
        except KeyError:
            raise AttributeError(name) from None

    def pointer(self, array: npt.NDArray[Any] | None, offset: int = 0) -> Any:
        """A C pointer to element ``offset`` of a C-contiguous array; None gives NULL. It does not own the array."""
        if array is None:
            return self.ffi.NULL
        assert array.flags.c_contiguous
        return self.ffi.cast(f"{_C_TYPES[array.dtype.name]} *", array.ctypes.data) + offset


_C_TYPES = {f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_C_TYPES |= {"float32": "float", "float64": "double"}


def _with_includes(headers: tuple[str, ...]) -> list[str]:
    """The headers and what they include from ``runtime/``, dependencies first."""
    order: list[str] = []
    for header in headers:
        text = (RUNTIME / header).read_text(encoding="utf-8")
        for name in (*_with_includes(tuple(re.findall(r'^#include "(.*)"', text, re.M))), header):
            if name not in order:
                order.append(name)
    return order


def _interface(text: str) -> tuple[list[str], dict[str, str], dict[str, int]]:
    """Struct typedefs, prototypes by function name and integer macros found in a header's text."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    types = re.findall(r"^typedef (?:struct \w+ \{.*?^\} \w+|[^{};]+\));", text, re.S | re.M)
    held = [re.findall(r"\w+", declaration)[-1] for declaration in types if _VECTOR.search(declaration)]
    vectors = re.compile("|".join([_VECTOR.pattern, *(rf"\b{name}\b" for name in held)]))
    structs = [declaration for declaration in types if not vectors.search(declaration)]
    prototypes = {}
    text += _instances(text)
    for result, name, arguments in re.findall(r"^static inline ([\w *]+?)\b(bitc_\w+)\(([^)]*)\)\s*\{", text, re.M):
        if not vectors.search(result + arguments):
            prototypes[name] = f"{result} {name}({arguments.replace('BITC_RESTRICT', '')});"
    constants = {name: int(value) for name, value in re.findall(r"^#define (BITC_\w+) (\d+)$", text, re.M)}
    return structs, prototypes, constants


def _instances(text: str) -> str:
    """The first lines of functions that a macro defines where it is used, as in ``BITC_FAMILY(bitc_function, type)``."""
    lines = []
    for macro, parameters, body in re.findall(r"^#define (BITC_\w+)\(([^)]*)\)((?:.*\\\n)+)", text, re.M):
        heads = re.findall(r"^ *(static inline [^{}]*?\{)", body.replace("\\\n", "\n"), re.M)
        for given in re.findall(rf"^{macro}\((.*)\)$", text, re.M):
            values = dict(zip(parameters.split(", "), given.split(", "), strict=True))
            lines += [re.sub(r"\w+", lambda word, v=values: v.get(word[0], word[0]), head) for head in heads]
    return "\n" + "\n".join(re.sub(r"\s+", " ", line) for line in lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Source:
    """A C file that exports the kernels of some headers: each through a pointer ``at_<name>`` of its own type."""

    text: str
    structs: list[str]
    prototypes: dict[str, str]
    constants: dict[str, int]


def _source(headers: tuple[str, ...]) -> _Source:
    structs: list[str] = []
    prototypes: dict[str, str] = {}
    constants: dict[str, int] = {}
    for header in _with_includes(headers):
        found = _interface((RUNTIME / header).read_text(encoding="utf-8"))
        structs += found[0]
        prototypes |= found[1]
        constants |= found[2]
    lines = [f'#include "{header}"' for header in headers]
    lines += [f"extern __typeof__({name}) *const at_{name};" for name in prototypes]
    lines += [f"__typeof__({name}) *const at_{name} = {name};" for name in prototypes]
    return _Source("\n".join([*lines, ""]), structs, prototypes, constants)


@functools.cache
def kernels(*headers: str, isa: str, compiler: str = COMPILERS[0] if COMPILERS else "cc") -> Kernels:
    """Compile ``headers`` (names in ``runtime/``) for ``isa`` and load them; emulated where the CPU lacks it.

    Raises:
        RuntimeError: the compiler rejects the headers; the text is its output.
    """
    source = _source(headers)
    if isa in ARM and not cpu_has(isa):
        return _remote_kernels(source, FLAGS[isa])
    if cpu_has(isa):
        flags: tuple[str, ...] = (*STRICT, f"-I{RUNTIME}", *FLAGS[isa])
    else:  # SIMDe's own code is not clean under our warnings; ``check_compiles`` holds ours to them
        flags = ("-std=c99", "-O1", *emulation_flags(), "-Werror=implicit-function-declaration", f"-I{RUNTIME}")
    ffi = cffi.FFI()
    ffi.cdef("\n".join(source.structs))
    for name, prototype in source.prototypes.items():
        ffi.cdef("extern " + re.sub(rf"\b{name}\(", f"(*at_{name})(", prototype, count=1))
    library = ffi.dlopen(str(_compile(source.text, compiler, flags)))
    functions = {name: getattr(library, f"at_{name}") for name in source.prototypes}
    return Kernels(ffi, functions, source.constants)


def _remote_kernels(source: _Source, flags: tuple[str, ...]) -> Kernels:
    """The kernels in a program of the other machine."""
    ffi = cffi.FFI()
    ffi.cdef("\n".join(source.structs))
    kinds = {name: ffi.typeof(_pointer_type(name, text)) for name, text in source.prototypes.items()}
    includes = "".join(line + "\n" for line in source.text.splitlines() if line.startswith("#include"))
    text = f'{includes}#include "{HERE / "remote.c"}"\n{stubs(ffi, kinds)}'
    (_scratch() / "remote.h").write_text(HEADER, encoding="utf-8")
    flags = ("-std=gnu99", "-O1", "-w", "-static", *flags, f"-I{RUNTIME}", f"-I{_scratch()}")
    program = _build(text, AARCH64.gcc, flags)
    remote = Remote(ffi, AARCH64.command(program), kinds)
    return Kernels(ffi, remote.functions(), source.constants)


def _pointer_type(name: str, prototype: str) -> str:
    return re.sub(rf"\b{name}\(", "(*)(", prototype, count=1).rstrip(";")


def check_compiles(*headers: str, isa: str, compiler: str) -> None:
    """Compile ``headers`` natively (those of another machine for that) for ``isa`` under the strict flags, every kernel referenced.

    Raises:
        RuntimeError: the compiler warns or fails; the text is its output.
    """
    # in the order of ``kernels``, which shares the library
    flags = (*STRICT, f"-I{RUNTIME}", *FLAGS[isa], "-fPIC", "-shared")
    _build(_source(headers).text, compiler_for(isa, compiler), flags)


def compiler_for(isa: str, compiler: str) -> tuple[str, ...]:
    """The command of ``compiler`` that compiles for ``isa``, on another machine if need be."""
    if isa not in ARM or cpu_has(isa):
        return (compiler,)
    return AARCH64.gcc if compiler == "gcc" else (compiler, f"--target={AARCH64.triplet}")


@contextmanager
def guarded(shape: tuple[int, ...], dtype: npt.DTypeLike, *, align: int = 64) -> Iterator[npt.NDArray[Any]]:
    """An array of 0xA5 bytes between guards of at least 64 bytes; fails if a guard changed.

    ``align`` is a power of two of at most 64: the array begins at a multiple of it, and of no greater one.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.full(size + 256, _GUARD, np.uint8)
    start = 64 + (-raw.ctypes.data) % 64 + align % 64
    yield raw[start : start + size].view(dtype).reshape(shape)
    assert (raw[:start] == _GUARD).all(), "bytes before the buffer were written"
    assert (raw[start + size :] == _GUARD).all(), "bytes after the buffer were written"
