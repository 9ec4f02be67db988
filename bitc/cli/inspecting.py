"""``bitc inspect``: in what form does each layer run, and what kept it from a better one?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bitc.cli.console import out, print_json, progress
from bitc.cli.options import (
    DimOption,
    JsonOption,
    SignZero,
    SignZeroOption,
    TargetOption,
    ValuesOption,
    compile_options,
)

if TYPE_CHECKING:
    from bitc.compiler import Options

_FIRST_COLUMNS = ("name", "form", "kernel", "input", "output", "contract")
_LAST_COLUMNS = ("why",)


def inspect_command(
    what: Annotated[
        Path, typer.Argument(metavar="MODEL|DIR", help="An ONNX file or an artefact folder.", show_default=False)
    ],
    target: TargetOption = "native",
    dim: DimOption = None,
    values: ValuesOption = None,
    sign_zero: SignZeroOption = SignZero.EXACT,
    as_json: JsonOption = False,
) -> None:
    """Show every layer: its form, shapes, kernel, and why it has that form. A model is compiled, but nothing is kept."""
    manifest = (
        _artifact_manifest(what)
        if what.is_dir()
        else _model_manifest(what, target, compile_options(dim, values, sign_zero))
    )
    if as_json:
        print_json(manifest)
    else:
        print_manifest(manifest)


def _artifact_manifest(directory: Path) -> Mapping[str, Any]:
    from bitc.artifact import Artifact

    return Artifact.read(directory).manifest


def _model_manifest(model: Path, target: str, options: Options) -> Mapping[str, Any]:
    from bitc.compiler import compile
    from bitc.passes.pipeline import Trace

    with tempfile.TemporaryDirectory(prefix="bitc-inspect-") as scratch, progress() as step:
        made = Path(scratch) / "model"
        artifact = compile(
            model, target=target, out=made, emit=("c",), trace=Trace(progress=step), **options.as_arguments()
        )
    return artifact.manifest


def print_manifest(manifest: Mapping[str, Any]) -> None:
    """The summary lines, then the table of layers."""
    console = out()
    console.print(f"{manifest['name']} for {manifest['target']} (bitc {manifest['bitc']})", markup=False)
    for kind in ("inputs", "outputs"):
        for item in manifest[kind]:
            shape = ",".join(map(str, item["shape"]))
            console.print(f"  {kind[:-1]:<7} {item['name']}: {item['dtype']}[{shape}]", markup=False)
    console.print(f"  arena {manifest['arena_bytes']:,} bytes, weights {manifest['weight_bytes']:,} bytes")
    console.print(layer_table(manifest["layers"]))


def layer_table(layers: Sequence[Mapping[str, Any]]) -> Table:
    """One row a layer; the columns are the keys the layers have."""
    keys = list(dict.fromkeys(key for layer in layers for key in layer))
    middle = [key for key in keys if key not in (*_FIRST_COLUMNS, *_LAST_COLUMNS)]
    ordered = [key for key in (*_FIRST_COLUMNS, *middle, *_LAST_COLUMNS) if key in keys]
    table = Table(box=None, pad_edge=False)
    for key in ordered:
        table.add_column(key.replace("_", " "), overflow="fold")
    for layer in layers:
        table.add_row(*(_cell(layer.get(key, "")) for key in ordered))
    return table


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case [int() | str(), *_]:
            return "×".join(map(str, value))
        case int() if not isinstance(value, bool):
            return f"{value:,}"
        case _:
            return str(value)
