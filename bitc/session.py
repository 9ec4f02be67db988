"""Run a built network from Python, in the manner of an onnxruntime session.

Takes an artefact folder (or the library in it), gives arrays. Nothing of the compiler is imported: only cffi and NumPy.

* One :class:`Session` may be run from many threads at once: each thread has its own arena, and cffi releases the GIL during the call.
* A network compiled for several threads shares a call among them; of calls at the same time one has the others' help.
* Contiguous inputs are read in place, never copied.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import cffi
import numpy as np

from bitc.cpu import cpu_features
from bitc.errors import Diagnostic, OptionError
from bitc.huge_pages import use_huge_pages
from bitc.session_state import State, StateArg, no_states, state_args

ARENA_ALIGN_BYTES = 64
CFFI_BEGIN = "/* cffi: begin */"
CFFI_END = "/* cffi: end */"

_ORT_NAMES = {"float32": "float", "float64": "double"}

# glibc answers a second dlopen of one path with the first library, even after the file was replaced.
_opened: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class NodeArg:
    """One input or output: ``shape`` has the batch symbol (a string) where the batch is free; ``type`` is spelt as in onnxruntime."""

    name: str
    shape: tuple[int | str, ...]
    type: str
    dtype: np.dtype[Any]
    field: str

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{','.join(map(str, self.shape))}]"


class Session:
    """A loaded network; ``isa`` is the target whose kernels it runs.

    ``threads``: how many share a call, as onnxruntime's ``intra_op_num_threads``; 0 stands for all that the network was compiled for
    and this process has cores for. The results are the same for any number. ``huge_pages``: keep the constants on pages of 2 MiB, in a
    copy of this process's own (:mod:`bitc.huge_pages`); ``huge_page_bytes`` says how much. Raises :class:`OptionError` if ``path`` is
    neither an artefact folder nor a library with its header beside it, for more threads than the network was compiled for, or where
    the system has no such pages.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 0, huge_pages: bool = False) -> None:
        self.path, self._ffi, self._lib = _open(Path(path))
        name = _network_name(self.path)
        self._function: Callable[..., int] = getattr(self._lib, f"{name}_run")
        self._io_type = self._ffi.typeof(f"{name}_io *")
        metadata = getattr(self._lib, f"{name}_metadata")()
        self.huge_page_bytes = use_huge_pages(int(self._ffi.cast("uintptr_t", metadata))) if huge_pages else 0
        self.metadata: dict[str, Any] = json.loads(self._ffi.string(metadata))
        self._refuse_lesser_cpus()
        self.isa: str = self._chosen_isa(name)
        self.threads = self._threads(threads)
        self._states = state_args(self.metadata)
        self._step: Callable[..., int] | None = getattr(self._lib, f"{name}_step") if self._states else None
        if self.threads > 1:
            self._function, self._step = self._in_threads(name)
        self._inputs = tuple(map(_node_arg, self.metadata["inputs"]))
        self._outputs = tuple(map(_node_arg, self.metadata["outputs"]))
        fields: dict[str, Any] = dict(self._io_type.item.fields)
        self._pointers = {arg.field: fields[arg.field].type for arg in (*self._inputs, *self._outputs)}
        self._free_batch = "batch" in fields and "batch" not in self._pointers
        carried = {arg.name for arg in self._states} | {arg.output for arg in self._states}
        self._step_inputs = tuple(arg for arg in self._inputs if arg.name not in carried)
        self._step_outputs = tuple(arg for arg in self._outputs if arg.name not in carried)
        self._step_type = self._ffi.typeof(f"{name}_step_io *") if self._states else None
        self._own_state: State | None = None
        self._shapes: dict[tuple[tuple[int, ...], ...], tuple[int, list[tuple[int, ...]]]] = {}
        self._arenas = threading.local()

    def __repr__(self) -> str:
        signature = ", ".join(map(str, self._inputs)) + " -> " + ", ".join(map(str, self._outputs))
        return f"Session({self.metadata['name']}, {signature})"

    def _refuse_lesser_cpus(self) -> None:
        missing = sorted(set(self.metadata.get("features", ())) - cpu_features())
        if missing:
            title = f"{self.metadata['name']} was compiled for {self.metadata['target']}, which this CPU cannot run"
            here = "it lacks " + ", ".join(missing)
            raise OptionError(
                Diagnostic("O034", title, here=here, hint="compile for another target; see `bitc targets`")
            )

    def _chosen_isa(self, name: str) -> str:
        """The target whose kernels run: the one there is, or the one a library of several chooses. Raises :class:`OptionError` where
        ``BITC_ISA`` names one that is not to be had."""
        if "variants" not in self.metadata:
            return str(self.metadata["target"])
        isa = getattr(self._lib, f"{name}_isa")()
        if isa == self._ffi.NULL:
            raise self._no_isa()
        return str(self._ffi.string(isa).decode())

    def _no_isa(self) -> OptionError:
        held = ", ".join(self.metadata["variants"])
        title = (
            f"{self.metadata['name']} has no kernels for BITC_ISA={os.environ.get('BITC_ISA', '')!r} that this CPU runs"
        )
        return OptionError(
            Diagnostic("O039", title, here=f"it holds {held}", hint="unset BITC_ISA to take the best one")
        )

    def _threads(self, wanted: int) -> int:
        """How many threads a call uses. Raises :class:`OptionError` where it cannot be ``wanted``."""
        compiled: Mapping[str, Any] = self.metadata.get("threads", {"most": 1, "pool": "none"})
        most = int(compiled["most"]) if compiled["pool"] != "none" else 1
        if 0 <= wanted <= most:
            return wanted or min(most, usable_cores())
        here = f"it was compiled for {compiled['most']}" + (" without a pool" if compiled["most"] > most else "")
        hint = f"compile with --threads {wanted}" if wanted > 0 else "0 is for all there are"
        title = f"{self.metadata['name']} cannot run in {wanted} threads"
        raise OptionError(Diagnostic("O037", title, here=here, hint=hint))

    def _in_threads(self, name: str) -> tuple[Callable[..., int], Callable[..., int] | None]:
        """The functions that run and step the network in threads of a pool of its own, which goes with this session."""
        create, destroy = (getattr(self._lib, f"{name}_pool_{verb}") for verb in ("create", "destroy"))
        pool = create(self.threads)
        if pool == self._ffi.NULL:
            hint = "ask for fewer threads"
            raise OptionError(Diagnostic("O038", f"this system does not start {self.threads} threads", hint=hint))
        finalizer = weakref.finalize(self, _destroy_pool, destroy, pool, self._lib, os.getpid())
        finalizer.atexit = False  # threads end with the process
        parallel = self._ffi.addressof(self._lib, f"{name}_pool_parallel")
        threads = self.threads

        def shared(verb: str) -> Callable[..., int]:
            call = getattr(self._lib, f"{name}_{verb}_parallel")
            return lambda *arguments: int(call(*arguments, threads, parallel, pool))

        return shared("run"), shared("step") if self._states else None

    def get_inputs(self) -> list[NodeArg]:
        """The inputs in the order of the model."""
        return list(self._inputs)

    def get_outputs(self) -> list[NodeArg]:
        """The outputs in the order of the model."""
        return list(self._outputs)

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs named (all of them for None), in that order, as fresh arrays.

        Raises :class:`OptionError` for an unknown or missing name, a wrong dtype or a wrong shape, naming what is expected.
        """
        feeds = self._fitting(input_feed)
        batch, shapes = self._shapes[tuple([feed.shape for feed in feeds])]
        results = [np.empty(shape, arg.dtype) for shape, arg in zip(shapes, self._outputs, strict=True)]
        if batch > 0:
            self._call(feeds, results, batch)
        if output_names is None:
            return results
        return [results[position] for position in _positions(output_names, self._outputs)]

    def step(
        self,
        input_feed: Mapping[str, np.ndarray],
        state: State | None = None,
        output_names: Sequence[str] | None = None,
    ) -> list[np.ndarray]:
        """One step on ``state`` (default: the session's own), which then holds the next one; the outputs that are no states.

        ``input_feed`` holds the inputs that are no states; ``output_names`` chooses among all outputs, also those that carry states.
        Raises :class:`OptionError` as :meth:`run` does, and for a network without states.
        """
        if self._step is None:
            raise no_states(self.metadata["name"])
        moved = state if state is not None else self.state()
        chosen = _positions(output_names, self._outputs) if output_names is not None else None
        feeds = self._checked(input_feed, self._step_inputs)
        results = [np.empty([n for n in arg.shape if isinstance(n, int)], arg.dtype) for arg in self._step_outputs]
        io = self._filled(self._step_type, (*self._step_inputs, *self._step_outputs), (*feeds, *results))
        with moved.lock:
            self._refuse_failure(self._step(io, moved.pointer, self._arena()), "step")
            if chosen is None:
                return results
            made = dict(zip((arg.name for arg in self._step_outputs), results, strict=True))
            made |= {arg.output: moved.value(arg) for arg in self._states}
        return [made[self._outputs[position].name] for position in chosen]

    def get_states(self) -> list[StateArg]:
        """The states in the order of the model's inputs; none where it was compiled without."""
        return list(self._states)

    def new_state(self) -> State:
        """States of a sequence of its own, at its beginning. Raises :class:`OptionError` for a network without states."""
        if not self._states:
            raise no_states(self.metadata["name"])
        return State(self._ffi, self._lib, _network_name(self.path), self._states)

    def state(self) -> State:
        """The session's own state, which :meth:`step` moves where it is given none."""
        if self._own_state is None:
            self._own_state = self.new_state()
        return self._own_state

    def reset(self) -> None:
        """Begin the sequence of the session's own state anew."""
        self.state().reset()

    def _fitting(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The inputs in order, contiguous; input shapes that were accepted once are not looked at again."""
        if len(feed) == len(self._inputs):
            arrays = [feed.get(arg.name) for arg in self._inputs]
            seen = tuple([getattr(array, "shape", None) for array in arrays]) in self._shapes
            if seen and all(map(_as_is, arrays, self._inputs)):
                return arrays  # type: ignore[return-value]
        checked = self._checked(feed, self._inputs)
        batch = self._batch(checked)
        shapes = [tuple([batch if isinstance(d, str) else d for d in arg.shape]) for arg in self._outputs]
        self._shapes[tuple([array.shape for array in checked])] = batch, shapes
        return checked

    def _call(self, feeds: Sequence[np.ndarray], results: Sequence[np.ndarray], batch: int) -> None:
        io = self._filled(self._io_type, (*self._inputs, *self._outputs), (*feeds, *results))
        if self._free_batch:
            io.batch = batch
        self._refuse_failure(self._function(io, self._arena()), "run")

    def _filled(self, struct: Any, args: Sequence[NodeArg], arrays: Sequence[np.ndarray]) -> Any:
        """A new ``struct`` of the library that points to ``arrays``."""
        ffi = self._ffi
        io = ffi.new(struct)
        for arg, array in zip(args, arrays, strict=True):
            setattr(io, arg.field, ffi.cast(self._pointers[arg.field], ffi.from_buffer(array)))
        return io

    def _refuse_failure(self, status: int, verb: str) -> None:
        if status == 2:
            raise self._no_isa()
        if status != 0:
            raise AssertionError(f"{self.metadata['name']}_{verb} returned {status} for checked arguments")

    def _arena(self) -> Any:
        """This thread's arena, 64-byte aligned; it lives as long as the thread and the session do."""
        pointer = getattr(self._arenas, "pointer", None)
        if pointer is None:
            memory = np.empty(int(self.metadata["arena_bytes"]) + ARENA_ALIGN_BYTES, np.uint8)
            start = -memory.ctypes.data % ARENA_ALIGN_BYTES
            pointer = self._ffi.from_buffer(memory[start:])
            self._arenas.pointer = pointer
        return pointer

    def _checked(self, feed: Mapping[str, np.ndarray], args: Sequence[NodeArg]) -> list[np.ndarray]:
        known = {arg.name for arg in args}
        for name in feed:
            if name not in known:
                raise _refused(f"there is no input {name!r}", args, "inputs")
        arrays = []
        for arg in args:
            if arg.name not in feed:
                raise _refused(f"input {arg.name!r} is missing", args, "inputs")
            arrays.append(_conforming(arg, feed[arg.name]))
        return arrays

    def _batch(self, feeds: Sequence[np.ndarray]) -> int:
        """Elements along the free dimension (1 if there is none)."""
        found: dict[int, str] = {}
        for arg, array in zip(self._inputs, feeds, strict=True):
            for wanted, size in zip(arg.shape, array.shape, strict=True):
                if isinstance(wanted, str):
                    found.setdefault(size, arg.name)
        if len(found) > 1:
            sizes = ", ".join(f"{name!r} has {size}" for size, name in found.items())
            raise OptionError(Diagnostic("O033", "the inputs disagree on the batch size", here=sizes))
        return next(iter(found), 1)


def load(path: str | os.PathLike[str], threads: int = 0, huge_pages: bool = False) -> Session:
    """Load an artefact folder, a ``lib<name>.so`` or a ``_<name>`` extension module, for calls in ``threads`` threads (0: all), perhaps
    with its constants on huge pages.

    Raises :class:`OptionError`.
    """
    return Session(path, threads, huge_pages)


def usable_cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _destroy_pool(destroy: Callable[[Any], None], pool: Any, lib: Any, owner: int) -> None:
    """End a pool's threads before ``lib`` is unloaded; a process forked from its ``owner`` has none to end."""
    if os.getpid() == owner:
        destroy(pool)


def _as_is(array: Any, arg: NodeArg) -> bool:
    """Whether C can read the array where it lies."""
    return array.dtype == arg.dtype and array.flags.c_contiguous and array.flags.aligned  # type: ignore[no-any-return]


def _conforming(arg: NodeArg, value: np.ndarray) -> np.ndarray:
    """``value`` itself if it is contiguous and aligned, else a copy that is."""
    array = np.asarray(value)
    shape_fits = len(array.shape) == len(arg.shape) and all(
        isinstance(wanted, str) or wanted == size for wanted, size in zip(arg.shape, array.shape, strict=True)
    )
    if array.dtype != arg.dtype or not shape_fits:
        raise OptionError(
            Diagnostic(
                "O032",
                f"input {arg.name!r} does not fit",
                rule=f"expected {arg}",
                here=f"got {array.dtype}[{','.join(map(str, array.shape))}]",
                hint="" if shape_fits else "shapes are fixed when the network is compiled; see --dim",
            )
        )
    return np.require(array, requirements=["C", "A"])


def _positions(names: Sequence[str], args: Sequence[NodeArg]) -> list[int]:
    known = [arg.name for arg in args]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise _refused(f"there is no output {unknown[0]!r}", args, "outputs")
    return [known.index(name) for name in names]


def _refused(title: str, args: Sequence[NodeArg], what: str) -> OptionError:
    return OptionError(Diagnostic("O031", title, hint=f"{what}: " + ", ".join(map(str, args))))


def _node_arg(entry: Mapping[str, Any]) -> NodeArg:
    dtype = np.dtype(entry["dtype"])
    onnx_type = f"tensor({_ORT_NAMES.get(dtype.name, dtype.name)})"
    return NodeArg(entry["name"], tuple(entry["shape"]), onnx_type, dtype, entry["field"])


def _open(path: Path) -> tuple[Path, Any, Any]:
    """(library, ffi, lib) of an artefact folder, a shared library or an extension module."""
    library = _library_in(path) if path.is_dir() else path
    if not library.is_file():
        raise _no_library(path, f"{library.name} does not exist")
    if _is_extension(library):
        module = _import_extension(library)
        return library, module.ffi, module.lib
    ffi = cffi.FFI()
    header = library.with_name(f"{_network_name(library)}.h")
    if not header.is_file():
        raise _no_library(path, f"the library's header {header.name} is not beside it")
    ffi.cdef(declarations(header.read_text(encoding="utf-8")))
    try:
        with _fresh_path(library) as opened:
            return library, ffi, ffi.dlopen(str(opened))
    except OSError as error:
        raise _no_library(path, str(error)) from error


def _library_in(folder: Path) -> Path:
    """The extension module for this Python if there is one (it has the lower call overhead), else ``lib<name>.so``."""
    extensions = [path for suffix in EXTENSION_SUFFIXES[:1] for path in sorted(folder.glob(f"_*{suffix}"))]
    libraries = sorted(folder.glob("lib*.so"))
    if not extensions and not libraries:
        raise _no_library(folder, "the folder holds no lib<name>.so")
    return (extensions or libraries)[0]


def _is_extension(library: Path) -> bool:
    return library.name.startswith("_")


def _network_name(library: Path) -> str:
    stem = library.name.split(".")[0]
    return stem.removeprefix("_") if _is_extension(library) else stem.removeprefix("lib")


def _no_library(path: Path, here: str) -> OptionError:
    hint = "give the folder that `bitc compile MODEL -o DIR --emit c,so` wrote"
    return OptionError(Diagnostic("O030", f"{path} is not a built network", here=here, hint=hint))


def declarations(header: str) -> str:
    """What cffi can read of a generated header: the text between its two marker lines.

    >>> declarations("#include <stddef.h>\\n/* cffi: begin */\\nint f(void);\\n/* cffi: end */\\n")
    'int f(void);'
    """
    return header.split(CFFI_BEGIN, 1)[-1].split(CFFI_END, 1)[0].strip()


def _import_extension(library: Path) -> Any:
    with _fresh_path(library) as opened:
        name = library.name.split(".")[0]
        loader = ExtensionFileLoader(name, str(opened))
        spec = spec_from_loader(name, loader)
        assert spec is not None
        try:
            module = module_from_spec(spec)
        except ImportError as error:
            raise _no_library(library, str(error)) from error
        loader.exec_module(module)
        return module


@contextmanager
def _fresh_path(library: Path) -> Iterator[Path]:
    """A path the dynamic linker takes for new if the file there was rebuilt since this process last opened it."""
    resolved = library.resolve()
    inode = resolved.stat().st_ino
    if _opened.setdefault(str(resolved), inode) == inode:
        yield resolved
        return
    with tempfile.TemporaryDirectory(prefix="bitc-") as folder:
        link = Path(folder) / library.name
        link.symlink_to(resolved)
        yield link
