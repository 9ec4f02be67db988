"""The C compiler: find it, build shared libraries with the flags that were measured to matter, and say plainly what went wrong.

Takes C files that lie on disk, gives a shared library. Guarantees: contraction is off (so float results do not depend on whether
the compiler fuses a multiply and an add), and every failure is a :class:`ToolchainError` with the command and the first errors.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bitc.errors import Diagnostic, ToolchainError

CANDIDATES = ("cc", "gcc", "clang", *(f"clang-{version}" for version in range(21, 13, -1)))
"""Names tried in this order when $CC is not set."""

OBJECT_FLAGS = ("-std=c99", "-O3", "-ffp-contract=off", "-fPIC")
BASE_FLAGS = (*OBJECT_FLAGS, "-shared")
# gcc otherwise reorders accumulator chains and spills the products (1.2 to 2 times slower inner loops), and makes branches of
# clamps, so that their loops are not vectorised. With -std=c99 it would evaluate float as double on machines such as s390x.
GCC_FLAGS = ("-fno-tree-ter", "-fno-tree-reassoc", "-fno-thread-jumps", "-fexcess-precision=fast")
STRICT_WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wdouble-promotion", "-pedantic", "-Werror")
"""What generated C is clean under, with gcc and with clang."""

_ERRORS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler: the words that start its command line, its family (``gcc``, ``clang`` or ``other``) and its version line."""

    command: tuple[str, ...]
    family: str
    version: str


@dataclass(frozen=True, slots=True)
class SectionSizes:
    """Bytes of a built library: machine code, read-only data (weights, tables), writable data and zero-initialised data."""

    text_bytes: int
    rodata_bytes: int
    data_bytes: int
    bss_bytes: int


def find_compiler() -> Compiler:
    """The compiler of ``$CC``, else the first of :data:`CANDIDATES`. Raises :class:`ToolchainError` if there is none."""
    return _identify(os.environ.get("CC", ""), os.environ.get("PATH", ""))


@cache
def _identify(wanted: str, search_path: str) -> Compiler:
    if wanted:
        words = tuple(shlex.split(wanted))
        if not words or shutil.which(words[0], path=search_path) is None:
            raise _missing(f"$CC is {wanted!r}, which is not a program here")
    else:
        found = next((name for name in CANDIDATES if shutil.which(name, path=search_path)), None)
        if found is None:
            raise _missing("none of cc, gcc, clang is on the PATH")
        words = (found,)
    try:
        result = subprocess.run([*words, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise _missing(f"{shlex.join(words)} does not start: {error.strerror}") from error
    version = next(iter(result.stdout.splitlines()), "").strip()
    return Compiler(words, _family(result.stdout), version)


def _family(version_text: str) -> str:
    if "clang" in version_text:
        return "clang"
    return "gcc" if "Free Software Foundation" in version_text else "other"


def _missing(here: str) -> ToolchainError:
    return ToolchainError(
        Diagnostic(
            "T001",
            "there is no C compiler",
            here=here,
            hint="install one (Debian, Ubuntu: apt-get install gcc), name one in $CC, or write C only with --emit c",
        )
    )


def compile_shared(
    c_file: Path,
    out: Path,
    target_cflags: Sequence[str] = (),
    extra: Sequence[str] = (),
    compiler: Compiler | None = None,
    objects: Sequence[Path] = (),
) -> Path:
    """Build ``c_file`` (with ``objects`` that are built already) into the shared library ``out`` and return ``out``.

    ``extra`` comes last and so wins (:data:`STRICT_WARNINGS`, ``-g``, ``-O1``). Raises :class:`ToolchainError`.
    """
    compiler = compiler if compiler is not None else find_compiler()
    tuning = GCC_FLAGS if compiler.family == "gcc" else ()
    files = ("-o", str(out), str(c_file), *map(str, objects), "-lm")
    _run(compiler, [*BASE_FLAGS, *tuning, *target_cflags, *extra, *files], c_file.name)
    return out


def compile_object(c_file: Path, out: Path, target_cflags: Sequence[str] = ()) -> Path:
    """Build ``c_file`` into the object file ``out`` and return ``out``. Raises :class:`ToolchainError`."""
    compiler = find_compiler()
    tuning = GCC_FLAGS if compiler.family == "gcc" else ()
    _run(compiler, [*OBJECT_FLAGS, *tuning, *target_cflags, "-c", "-o", str(out), str(c_file)], c_file.name)
    return out


def compile_extension(c_files: Sequence[Path], out: Path, target_cflags: Sequence[str] = ()) -> Path:
    """Build a CPython extension module from the network's C (or objects of it) and cffi's wrapper. Raises :class:`ToolchainError`."""
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").is_file():
        raise ToolchainError(
            Diagnostic(
                "T003",
                "the headers of Python are missing, so no extension module can be built",
                here=f"{include} has no Python.h",
                hint="install them (Debian, Ubuntu: apt-get install python3-dev), or use --emit so, which needs none",
            )
        )
    compiler = find_compiler()
    tuning = GCC_FLAGS if compiler.family == "gcc" else ()
    # Python.h and cffi's wrapper use GNU extensions; -ffp-contract=off stays, so the numbers do not change.
    flags = [*BASE_FLAGS, "-std=gnu99", *tuning, *target_cflags, f"-I{include}"]
    _run(compiler, [*flags, "-o", str(out), *map(str, c_files), "-lm"], out.name)
    return out


def _run(compiler: Compiler, arguments: Sequence[str], what: str) -> None:
    command = [*compiler.command, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ToolchainError(
            Diagnostic(
                "T002",
                f"the C compiler failed on {what}",
                where=shlex.join(command),
                here=_first_errors(result.stderr) or f"it ended with status {result.returncode} and said nothing",
                hint="if the compiler is old, try another in $CC; otherwise this is a bug in bitc, please report it",
            )
        )


def _first_errors(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if re.search(r"\berror\b|undefined reference|not found", line)]
    shown = (lines or stderr.splitlines())[:_ERRORS_SHOWN]
    return "\n         ".join(shown)


def section_sizes(library: Path) -> SectionSizes | None:
    """Section sizes of an ELF library through pyelftools; None where it is not installed (it comes with ``bitc[elf]``)."""
    try:
        from elftools.elf.elffile import ELFFile
    except ImportError:
        return None
    sizes: dict[str, int] = {}
    with library.open("rb") as stream:
        for section in ELFFile(stream).iter_sections():
            sizes[section.name] = section["sh_size"]

    def total(prefix: str) -> int:
        return sum(size for name, size in sizes.items() if name == prefix or name.startswith(prefix + "."))

    return SectionSizes(total(".text"), total(".rodata"), total(".data"), total(".bss"))
