"""``bitc ops``: which operators does bitc take, and under which conditions?"""

from __future__ import annotations

import sys
from dataclasses import asdict
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from bitc.cli.console import out, print_json
from bitc.cli.options import JsonOption

if TYPE_CHECKING:
    from bitc.operators import Operator

_WIDTH = 100


def ops_command(
    name: Annotated[
        str | None, typer.Argument(metavar="[OP]", help="One operator, as Conv or qonnx.Quant.", show_default=False)
    ] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/SUPPORTED_OPS.md.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the operators bitc takes, or say what it takes of one."""
    from bitc import operators

    found = operators.operators() if name is None else operators.named(name)
    if as_json:
        print_json([asdict(operator) for operator in found])
    elif as_markdown:
        sys.stdout.write(operators.markdown())
    elif name is None:
        _print_all(found)
    else:
        for operator in found:
            _print_one(operator)


def _print_all(found: tuple[Operator, ...]) -> None:
    from bitc.operators import TITLES

    for domain in dict.fromkeys(operator.domain for operator in found):
        names = [operator.name for operator in found if operator.domain == domain]
        out().print(f"{TITLES.get(domain, domain)}: {len(names)} operators", style="bold", markup=False)
        out().print(fill(", ".join(names), _WIDTH, initial_indent="  ", subsequent_indent="  "), markup=False)


def _print_one(operator: Operator) -> None:
    from bitc.operators import RUNS_AS, TITLES

    out().print(f"{operator.name} of {TITLES.get(operator.domain, operator.domain)}", style="bold", markup=False)
    rows = [("opset", operator.versions()), ("means", operator.meaning)]
    rows.append(("runs as", f"{operator.runs_as}: {RUNS_AS[operator.runs_as]}"))
    rows += [("rule", rule) for rule in operator.rules]
    for label, text in rows:
        out().print(f"  {label:<8} {text}", markup=False)
