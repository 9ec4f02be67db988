"""``bitc check`` and ``bitc golden``: is what bitc computes what the model means?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bitc.cli.console import err, out, print_json, progress, report_error
from bitc.cli.options import (
    CalibrateOption,
    DimOption,
    JsonOption,
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
    ValuesOption,
    compile_options,
)
from bitc.errors import BitcError, CheckFailed

if TYPE_CHECKING:
    from bitc.check import CheckReport

InputsOption = Annotated[
    Path | None,
    typer.Option(
        "--inputs", metavar="FILE.npz", help="Samples by input name, instead of random ones.", show_default=False
    ),
]
SamplesOption = Annotated[int, typer.Option("-n", "--n", min=1, help="How many random samples.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the random samples.")]

golden = typer.Typer(help="Keep a model's expected outputs, and hold later compilers to them.", no_args_is_help=True)


def _samples(path: Path | None) -> Any:
    from bitc.arrays import load_arrays

    return None if path is None else load_arrays(path)


def check_command(
    model: ModelArgument,
    target: TargetOption = "native",
    n: SamplesOption = 16,
    seed: SeedOption = 0,
    inputs: InputsOption = None,
    stages: Annotated[
        bool, typer.Option("--stages", help="Check after every pass too: where do results first part?")
    ] = False,
    dim: DimOption = None,
    values: ValuesOption = None,
    sign_zero: SignZeroOption = SignZero.EXACT,
    mst: MstOption = Mst.AUTO,
    state: StateOption = None,
    calibrate: CalibrateOption = None,
    small_weights: SmallWeightsOption = 0,
    limit: LimitOption = None,
    pipeline: PipelineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the compiled network with onnxruntime (qonnx for QONNX files), tensor by tensor."""
    options = compile_options(
        dim, values, sign_zero, limit, pipeline, mst=mst, state=state, calibrate=calibrate, small_weights=small_weights
    )
    samples = _samples(inputs)
    from bitc.check import check

    with progress() as step:
        report = check(
            model, target=target, n=n, stages=stages, inputs=samples, seed=seed, options=options, progress=step
        )
    if as_json:
        print_json(report.as_dict())
    else:
        _print_report(report)
    if not report.passed:
        if not as_json:
            report_error(CheckFailed(*report.findings), as_json=False)
        raise typer.Exit(CheckFailed.exit_code)


def _print_report(report: CheckReport) -> None:
    console = out()
    console.print(
        f"{report.model} for {report.target}, {report.samples} samples, against {report.oracle}", markup=False
    )
    table = Table(box=None, pad_edge=False)
    for column in ("", "name", "elements", "differing", "outside", "contract"):
        table.add_column(column, justify="right" if column in ("elements", "differing", "outside") else "left")
    for kind, rows in (("tensor", report.layers), ("stage", report.stages), ("output", report.outputs)):
        for row in rows:
            contract = "exact" if row.exact else "rounded"
            table.add_row(kind, row.name, f"{row.elements:,}", f"{row.differing:,}", f"{row.outside:,}", contract)
    console.print(table)
    if report.library != "run":
        console.print(f"library {report.library}", markup=False)
    else:
        console.print(f"same class in {report.labels_equal} of {report.samples} samples")
    console.print("passed" if report.passed else "failed", style="green" if report.passed else "bold red")


@golden.command("record")
def record_command(
    model: ModelArgument,
    directory: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The golden folder to write.", show_default=False)
    ],
    target: TargetOption = "native",
    n: SamplesOption = 8,
    seed: SeedOption = 0,
    inputs: InputsOption = None,
    dim: DimOption = None,
    values: ValuesOption = None,
    sign_zero: SignZeroOption = SignZero.EXACT,
    mst: MstOption = Mst.AUTO,
    state: StateOption = None,
    limit: LimitOption = None,
) -> None:
    """Store inputs and the oracle's outputs; fails where the compiled network does not agree with them."""
    options = compile_options(dim, values, sign_zero, limit, mst=mst, state=state)
    samples = _samples(inputs)
    from bitc.golden import record

    result = record(model, directory, target=target, n=n, seed=seed, inputs=samples, options=options)
    out().print(
        f"{directory}: {result.cases} cases, {result.elements:,} output elements, all as promised", markup=False
    )


@golden.command("test")
def replay_command(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Golden folders.", show_default=False)],
    target: TargetOption = "native",
) -> None:
    """Compile each golden's model again and compare with what is stored."""
    from bitc.golden import replay

    worst = 0
    for directory in directories:
        try:
            result = replay(directory, target=target)
        except BitcError as error:
            report_error(error, as_json=False)
            err().print(f"{directory}: failed", markup=False)
            worst = worst or error.exit_code
        else:
            contracts = ", ".join(f"{name} {contract}" for name, contract in result.contracts.items())
            out().print(
                f"{directory}: passed ({result.cases} cases, {result.elements:,} elements; {contracts})", markup=False
            )
    raise typer.Exit(worst)
