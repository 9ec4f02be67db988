"""The artefact: one folder that holds a compiled network. Writes it whole or not at all.

Takes the text files of codegen, gives the folder on disk, with the shared library and the Python extension built where asked for.
Everything is made in a temporary folder beside the target, which then takes the target's place (:mod:`bitc.folders`): nobody ever sees
half an artefact, and a failing C compiler leaves the old one untouched.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cffi

from bitc import toolchain
from bitc.errors import Diagnostic, OptionError
from bitc.folders import whole_folder
from bitc.session import declarations, load

if TYPE_CHECKING:
    from bitc.session import Session

MANIFEST = "manifest.json"
EMITS = ("c", "so", "ir", "pyext")
"""What can be written: ``c`` the sources, ``so`` a shared library, ``ir`` the final IR as text, ``pyext`` a Python extension module."""

_FIXED_NAMES = {MANIFEST, "README.md", "CMakeLists.txt"}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled network on disk. ``manifest`` is the JSON that also lies inside the library."""

    directory: Path
    name: str
    manifest: Mapping[str, Any]

    @property
    def header(self) -> Path:
        """The public header."""
        return self.directory / f"{self.name}.h"

    @property
    def source(self) -> Path:
        """The one C file to compile."""
        return self.directory / f"{self.name}.c"

    @property
    def library(self) -> Path:
        """The shared library (present if it was emitted)."""
        return self.directory / f"lib{self.name}.so"

    @property
    def extension(self) -> Path:
        """The extension module for this Python (present if it was emitted)."""
        return self.directory / f"_{self.name}{EXTENSION_SUFFIXES[0]}"

    def session(self) -> Session:
        """The network, loaded. Raises :class:`OptionError` if neither a library nor an extension was built."""
        return load(self.directory)

    @classmethod
    def read(cls, directory: str | os.PathLike[str]) -> Artifact:
        """The artefact in ``directory``. Raises :class:`OptionError` if there is none."""
        folder = Path(directory)
        manifest = _manifest_of(folder)
        if manifest is None:
            hint = "give the folder that `bitc compile MODEL -o DIR` wrote"
            raise OptionError(
                Diagnostic(
                    "O040", f"{folder} is not an artefact folder", here=f"no {MANIFEST} of bitc in it", hint=hint
                )
            )
        return cls(folder, manifest["name"], manifest)


def check_emit(emit: Iterable[str]) -> tuple[str, ...]:
    """``emit`` in the order of :data:`EMITS`. Raises :class:`OptionError` for an unknown one."""
    wanted = set(emit)
    unknown = sorted(wanted - set(EMITS))
    if unknown:
        raise OptionError(Diagnostic("O041", f"cannot emit {unknown[0]!r}", hint="choose from " + ", ".join(EMITS)))
    return tuple(item for item in EMITS if item in wanted)


def write_artifact(
    directory: str | os.PathLike[str],
    name: str,
    texts: Mapping[str, str],
    *,
    emit: Sequence[str] = ("c", "so"),
    target_cflags: Sequence[str] = (),
    binaries: Mapping[str, bytes] | None = None,
) -> Artifact:
    """Write ``texts`` (and ``binaries``) as the folder ``directory``, build what ``emit`` asks for.

    ``texts`` must hold ``manifest.json``, ``<name>.h`` and ``<name>.c``; where the manifest has ``variants``, each has a C file of its
    own, compiled with its flags besides ``target_cflags``. An older artefact in ``directory`` is replaced; files
    in it that bitc did not write are kept. Raises :class:`OptionError` if the folder is something else or cannot be written,
    :class:`ToolchainError`.
    """
    out = Path(directory).absolute()
    emit = check_emit(emit)
    with whole_folder(out, _check_replaceable, _foreign_entries) as made:
        for file_name, text in texts.items():
            (made / file_name).write_text(text, encoding="utf-8")
        for file_name, content in (binaries or {}).items():
            (made / file_name).write_bytes(content)
        artifact = Artifact(made, name, json.loads(texts[MANIFEST]))
        if "so" in emit or "pyext" in emit:
            _build_binaries(artifact, emit, target_cflags)
    return Artifact(out, name, artifact.manifest)


def _build_binaries(artifact: Artifact, emit: Sequence[str], target_cflags: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        objects = []
        for variant in artifact.manifest.get("variants", {}).values():
            source = artifact.directory / f"{variant['part']}.c"
            built = Path(scratch) / f"{variant['part']}.o"
            objects.append(toolchain.compile_object(source, built, (*variant["cflags"], *target_cflags)))
        if "so" in emit:
            toolchain.compile_shared(artifact.source, artifact.library, target_cflags, objects=objects)
        if "pyext" in emit:
            _build_extension(artifact, target_cflags, objects)


def _build_extension(artifact: Artifact, target_cflags: Sequence[str], objects: Sequence[Path]) -> None:
    """cffi's API mode: the wrapper calls the network directly, without libffi."""
    ffi = cffi.FFI()
    ffi.cdef(declarations(artifact.header.read_text(encoding="utf-8")))
    ffi.set_source(f"_{artifact.name}", f'#include "{artifact.header.name}"')
    with tempfile.TemporaryDirectory() as scratch:
        wrapper = Path(scratch) / f"_{artifact.name}.c"
        with contextlib.redirect_stdout(io.StringIO()):  # cffi says "generating ..."
            ffi.emit_c_code(str(wrapper))
        include = f"-I{artifact.directory}"
        toolchain.compile_extension([wrapper, artifact.source, *objects], artifact.extension, [*target_cflags, include])


def _check_replaceable(out: Path) -> None:
    if not out.exists() or (out.is_dir() and (_manifest_of(out) is not None or not any(out.iterdir()))):
        return
    what = "a folder with other files" if out.is_dir() else "a file"
    hint = "choose a folder that is new, empty or an older artefact"
    raise OptionError(
        Diagnostic("O042", f"{out} would be overwritten", here=f"it is {what}, not an artefact of bitc", hint=hint)
    )


def _manifest_of(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and {"bitc", "name"} <= manifest.keys() else None


def _foreign_entries(folder: Path) -> list[str]:
    """Names in an artefact folder that bitc did not write: the user's own ``main.c``, ``build/`` and so on."""
    name = (_manifest_of(folder) or {}).get("name", "")
    patterns = (f"{name}.[ch]", f"{name}_*.[ch]", f"lib{name}.so", f"_{name}.*.so", "*.ir", "*.ir.npz")
    names = [entry.name for entry in folder.iterdir()]
    return [entry for entry in names if entry not in _FIXED_NAMES and not any(fnmatch(entry, p) for p in patterns)]


def default_name(model: str | os.PathLike[str]) -> str:
    """A C identifier from a model's file name.

    >>> default_name("nets/ResNet-8 (int8).onnx"), default_name("3d.onnx")
    ('resnet_8_int8', 'net_3d')
    """
    stem = re.sub(r"[^a-z0-9]+", "_", Path(model).stem.lower()).strip("_")
    return stem if stem and not stem[0].isdigit() else f"net_{stem}".rstrip("_")
