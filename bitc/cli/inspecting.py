"""``bitc inspect``: in what form does each layer run, and what kept it from a better one?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitc.cli.console import out, print_json, progress
from bitc.cli.options import (
    DimOption,
    JsonOption,
    LimitOption,
    Mst,
    MstOption,
    SignZero,
    SignZeroOption,
    SmallWeightsOption,
    StateOption,
    TargetOption,
    ValuesOption,
    compile_options,
)

if TYPE_CHECKING:
    from bitc.compiler import Options


def inspect_command(
    what: Annotated[
        Path, typer.Argument(metavar="MODEL|DIR", help="An ONNX file or an artefact folder.", show_default=False)
    ],
    target: TargetOption = "native",
    dim: DimOption = None,
    values: ValuesOption = None,
    sign_zero: SignZeroOption = SignZero.EXACT,
    mst: MstOption = Mst.AUTO,
    small_weights: SmallWeightsOption = 0,
    state: StateOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every layer: its form, shapes, kernel, and why it has that form. A model is compiled, but nothing is kept."""
    manifest = (
        _artifact_manifest(what)
        if what.is_dir()
        else _model_manifest(
            what,
            target,
            compile_options(dim, values, sign_zero, limit, mst=mst, state=state, small_weights=small_weights),
        )
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
    """The summary lines, then the table of layers; of a library of several targets, those of each."""
    console = out()
    console.print(f"{manifest['name']} for {manifest['target']} (bitc {manifest['bitc']})", markup=False)
    for kind in ("inputs", "outputs"):
        for item in manifest[kind]:
            shape = ",".join(map(str, item["shape"]))
            console.print(f"  {kind[:-1]:<7} {item['name']}: {item['dtype']}[{shape}]", markup=False)
    for part in (manifest, *manifest.get("variants", {}).values()):
        of = f"{part['part']}: " if part is not manifest else ""
        console.print(
            f"  {of}arena {part['arena_bytes']:,} bytes, weights {part['weight_bytes']:,} bytes", markup=False
        )
        if part is manifest and "variants" in manifest:
            continue
        for line in layer_lines(part["layers"]):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def layer_lines(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a step, the products with their multiply-accumulates and contract; below one that is not 1x1 bit the reason.

    >>> layer = {"form": "1x1 bit", "kernel": "bconv", "shape": [1, 8], "macs": 64, "node": "node 3 'fc' (Gemm)"}
    >>> print("\\n".join(layer_lines([layer])))
       form               kernel  result  MACs  contract  node
     1 1x1 bit            bconv   1x8       64            node 3 'fc' (Gemm)
    """
    kernel = max([6, *(len(layer["kernel"]) for layer in layers)])
    result = max([6, *(len(_shape(layer)) for layer in layers)])
    macs = max([4, *(len(f"{layer['macs']:,}") for layer in layers)])
    lines = [f"   {'form':<18} {'kernel':<{kernel}}  {'result':<{result}}  {'MACs':>{macs}}  contract  node"]
    for number, layer in enumerate(layers, 1):
        count = f"{layer['macs']:,}" if layer["macs"] else ""
        lines.append(
            f"{number:>2} {layer['form']:<18} {layer['kernel']:<{kernel}}  {_shape(layer):<{result}}  {count:>{macs}}  "
            f"{layer.get('contract', ''):<8}  {first_node(layer['node'])}".rstrip()
        )
        if layer.get("why"):
            hint = f" ({layer['hint']})" if layer.get("hint") else ""
            lines.append(f"   because {layer['why']}{hint}")
    return lines


def _shape(layer: Mapping[str, Any]) -> str:
    return "x".join(map(str, layer["shape"]))


def first_node(text: str) -> str:
    """The first node of a fused step, and how many more there are."""
    first, *more = text.split("; ")
    return f"{first} and {len(more)} more" if more else first
