"""``bitc targets`` and ``bitc doctor``: what can be compiled for, and is this machine set up?"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

import bitc
from bitc.cli.console import out
from bitc.errors import BitcError, Diagnostic, ModelError, ToolchainError

_PACKAGES = ("onnx", "onnxruntime", "numpy", "scipy", "jinja2", "cffi", "lark")
_OPTIONAL_PACKAGES = {"qonnx": "the oracle of QONNX files", "pyelftools": "code sizes in the summary"}


def targets_command() -> None:
    """List the targets, and which of them this CPU can run."""
    from bitc.codegen.targets import FAMILIES, TARGETS, family, native, supported_here

    chosen = native().name
    table = Table(box=None, pad_edge=False)
    for column in ("target", "runs here", "description", "needs"):
        table.add_column(column)
    for target in TARGETS.values():
        here = "native" if target.name == chosen else "yes" if supported_here(target) else "no"
        table.add_row(target.name, here, target.description, " ".join(sorted(target.features)))
    for several in FAMILIES.values():
        table.add_row(several.name, "auto" if several is family("auto") else "no", several.description, "")
    out().print(table)


def doctor_command() -> None:
    """Check this machine: compiler, packages, CPU. Exit code 4 without a working C compiler, 3 if packages disagree."""
    console = out()
    worst = 0
    for label, check in (
        ("bitc", lambda: f"{bitc.__version__}, Python {platform.python_version()}, {platform.machine()}"),
        ("packages", _packages),
        ("onnx pair", _onnx_pair),
        ("C compiler", _compiler),
        ("build and load", _build_and_load),
        ("runtime", _runtime),
        ("CPU", _cpu),
    ):
        worst = max(worst, _line(label, check))
    for package, purpose in _OPTIONAL_PACKAGES.items():
        found = _installed(package)
        console.print(
            Text.assemble(("  -  " if found is None else " ok  "), f"{package}: {found or 'not installed'} ({purpose})")
        )
    raise typer.Exit(worst)


def _line(label: str, check: Callable[[], str]) -> int:
    try:
        said = check()
    except BitcError as error:
        first = error.diagnostics[0]
        text = Text.assemble((" no  ", "bold red"), f"{label}: {first.title}")
        text.append("".join(f"\n       {line}" for line in (first.here, first.hint) if line))
        out().print(text)
        return error.exit_code
    out().print(Text.assemble((" ok  ", "green"), f"{label}: {said}"))
    return 0


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _packages() -> str:
    return ", ".join(f"{package} {_installed(package) or 'missing'}" for package in _PACKAGES)


def _onnx_pair() -> str:
    """Does this onnxruntime read what this onnx writes? Ask it, with the smallest model."""
    import onnx
    import onnxruntime

    newest = onnx.IR_VERSION
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "pair", [x], [y])
    opset = onnx.helper.make_opsetid("", 13)
    model = onnx.helper.make_model(graph, ir_version=newest, opset_imports=[opset])
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own for each status code
        here = str(error).splitlines()[0]
        hint = "install a pair that fits: pip install 'onnx>=1.17,<1.20' 'onnxruntime>=1.23'"
        raise ModelError(
            Diagnostic("D001", "onnxruntime does not read the files onnx writes", here=here, hint=hint)
        ) from error
    return f"onnxruntime reads IR version {newest} of onnx"


def _compiler() -> str:
    from bitc.toolchain import find_compiler

    compiler = find_compiler()
    return f"{' '.join(compiler.command)}: {compiler.version}"


def _build_and_load() -> str:
    import cffi

    from bitc.toolchain import compile_shared

    with tempfile.TemporaryDirectory(prefix="bitc-doctor-") as scratch:
        source = Path(scratch) / "probe.c"
        source.write_text("int bitc_probe(int x);\nint bitc_probe(int x) { return x + 1; }\n", encoding="utf-8")
        library = compile_shared(source, Path(scratch) / "libprobe.so")
        ffi = cffi.FFI()
        ffi.cdef("int bitc_probe(int x);")
        try:
            answer = ffi.dlopen(str(library)).bitc_probe(41)
        except OSError as error:
            raise ToolchainError(Diagnostic("T004", "a library it built does not load", here=str(error))) from error
    if answer != 42:
        raise ToolchainError(Diagnostic("T004", "a library it built computes nonsense", here=f"41 + 1 gave {answer}"))
    return "a shared library was compiled, loaded and called"


def _runtime() -> str:
    from bitc.resources import runtime_dir

    try:
        folder = runtime_dir()
    except FileNotFoundError as error:
        raise ToolchainError(Diagnostic("T005", str(error))) from error
    return f"{len(list(folder.rglob('*.h')))} kernel headers"


def _cpu() -> str:
    from bitc.codegen.targets import native

    target = native()
    return f"native is {target.name} ({' '.join(sorted(target.features)) or 'no features needed'})"
