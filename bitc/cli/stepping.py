"""``bitc step``: the body of a loop as a model of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitc.cli.console import out
from bitc.cli.options import ModelArgument


def step_command(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.onnx", help="Where to write the step.")],
) -> None:
    """Write one round of a model's Loop or Scan as a model; compile it with --state auto."""

    from bitc.folders import write_output
    from bitc.oracle import load_model
    from bitc.states import recognised
    from bitc.step_model import step_model

    made = step_model(load_model(model))
    write_output(output, made.SerializeToString(deterministic=True))
    states = recognised(made)
    given = [value.name for value in made.graph.input if value.name not in states]
    outputs = [value.name for value in made.graph.output if value.name not in states.values()]
    out().print(f"{output}", style="bold", markup=False)
    for label, names in (
        ("inputs", given),
        ("outputs", outputs),
        ("states", [f"{a} = {b}" for a, b in states.items()]),
    ):
        out().print(f"  {label:<8} {', '.join(names) or 'none'}", markup=False)
