"""``bitc compile``: a model in, an artefact folder out."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bitc.cli.console import out, progress
from bitc.cli.options import (
    CalibrateOption,
    DimOption,
    LimitOption,
    ModelArgument,
    Mst,
    MstOption,
    PipelineOption,
    SignZero,
    SignZeroOption,
    SmallWeightsOption,
    StateOption,
    TargetOption,
    TuningOption,
    ValuesOption,
    compile_options,
)
from bitc.errors import Diagnostic, OptionError

if TYPE_CHECKING:
    from bitc.artifact import Artifact


def compile_command(
    model: ModelArgument,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="The artefact folder. (default: NAME-TARGET)", show_default=False
        ),
    ] = None,
    target: TargetOption = "native",
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="P", help="Prefix of C names. (default: the file's name)", show_default=False),
    ] = None,
    dim: DimOption = None,
    values: ValuesOption = None,
    sign_zero: SignZeroOption = SignZero.EXACT,
    mst: MstOption = Mst.AUTO,
    state: StateOption = None,
    calibrate: CalibrateOption = None,
    small_weights: SmallWeightsOption = 0,
    limit: LimitOption = None,
    emit: Annotated[str, typer.Option("--emit", metavar="LIST", help="Which of c, so, ir, pyext to write.")] = "c,so",
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", help="Let up to N threads share a call; changes no result.")
    ] = 1,
    pool: Annotated[
        str | None,
        typer.Option(
            "--pool",
            metavar="POOL",
            help="Whose threads: pthreads, openmp, or none (the caller's own). (default: pthreads)",
            show_default=False,
        ),
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Measure each layer's forms on this machine first; minutes, once.")
    ] = False,
    tuning: TuningOption = None,
    pipeline: PipelineOption = None,
    print_ir_after: Annotated[
        list[str] | None,
        typer.Option(
            "--print-ir-after",
            metavar="PASS",
            help="Print the IR after this pass; * for all. Repeatable.",
            show_default=False,
        ),
    ] = None,
    dump_ir: Annotated[
        Path | None,
        typer.Option(
            "--dump-ir", metavar="DIR", help="Write the IR after each pass, of each target.", show_default=False
        ),
    ] = None,
    time_passes: Annotated[bool, typer.Option("--time-passes", help="Show where the time goes.")] = False,
) -> None:
    """Compile an ONNX file to a folder with C, header, weights and a shared library."""
    options = compile_options(dim, values, sign_zero, limit, pipeline, tuning, mst, state, calibrate, small_weights)
    from bitc.compiler import compile
    from bitc.passes.pipeline import Trace

    started = time.perf_counter()
    with progress() as step, _ir_folder(dump_ir) as dumps:
        trace = Trace(print_after=tuple(print_ir_after or ()), show=_show_ir, dump_dir=dumps, progress=step)
        artifact = compile(
            model,
            target=target,
            out=directory,
            name=name,
            threads=threads,
            pool=pool,
            tune=tune,
            emit=[item.strip() for item in emit.split(",") if item.strip()],
            trace=trace,
            **options.as_arguments(),
        )
    print_summary(artifact, time.perf_counter() - started)
    if time_passes:
        out().print(_times(trace.seconds))


@contextmanager
def _ir_folder(out: Path | None) -> Iterator[Path | None]:
    """A folder that takes the place of ``out`` in one step, also where compiling fails: then it shows how far that came."""
    if out is None:
        yield None
        return
    from bitc.folders import whole_folder

    failure: Exception | None = None
    with whole_folder(out, _check_folder, _other_entries) as made:
        try:
            yield made
        except Exception as error:  # also a bug: then it is looked at
            failure = error
    if failure is not None:
        raise failure


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise OptionError(Diagnostic("O043", f"{out} cannot be written", here="it is a file, not a folder"))


def _other_entries(out: Path) -> list[str]:
    """What bitc did not write into a folder of IR."""
    from bitc.codegen.targets import TARGETS

    dumped = re.compile(rf"(?:(?:{'|'.join(TARGETS)})-)?\d\d-[a-z0-9-]+\.ir(?:\.npz)?")
    return [entry.name for entry in out.iterdir() if dumped.fullmatch(entry.name) is None]


def print_summary(artifact: Artifact, seconds: float) -> None:
    """The short fixed summary that ends each compilation."""
    manifest = artifact.manifest
    products = [layer for layer in manifest["layers"] if layer["macs"]]
    held = ", ".join(manifest.get("variants", {}))
    lines = [
        ("target", str(manifest["target"]) + (f": {held}" if held else "")),
        ("products", f"{len(products)}: {_forms([layer['form'] for layer in products])}"),
        ("arena", f"{manifest['arena_bytes']:,} bytes"),
        ("weights", f"{manifest['weight_bytes']:,} bytes"),
    ]
    if "states" in manifest:
        lines.append(("states", ", ".join(map(_state, manifest["states"]))))
    if artifact.library.is_file():
        lines.append(("code", _code_size(artifact)))
    lines.append(("written", f"{artifact.directory} in {seconds:.1f} s"))
    out().print(f"{artifact.name}", style="bold", markup=False)
    for label, text in lines:
        out().print(f"  {label:<8} {text}", markup=False)


def _state(entry: Mapping[str, Any]) -> str:
    """One state, and how it is kept where that is in few bits."""
    few = entry["kept"] in ("bits", "bytes")
    return f"{entry['input']} = {entry['output']}" + (f" (as {entry['kept']})" if few else "")


def _forms(forms: Sequence[str]) -> str:
    """``2 as 1x1 bit, 1 as float32``: how many products run in each form, in order of appearance."""
    return ", ".join(f"{forms.count(form)} as {form}" for form in dict.fromkeys(forms)) or "none"


def _code_size(artifact: Artifact) -> str:
    from bitc.toolchain import section_sizes

    sizes = section_sizes(artifact.library)
    return "unknown (pip install 'bitc[elf]')" if sizes is None else f"{sizes.text_bytes:,} bytes"


def _show_ir(name: str, text: str) -> None:
    sys.stdout.write(f"// ---- after {name}\n{text.rstrip()}\n\n")


def _times(seconds: Sequence[tuple[str, float]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("step")
    table.add_column("ms", justify="right")
    for name, spent in seconds:
        table.add_row(name, f"{1e3 * spent:.1f}")
    table.add_row("total", f"{1e3 * sum(spent for _, spent in seconds):.1f}")
    return table
