"""Options that several commands take, and the ``NAME=VALUE`` syntax of some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bitc.errors import Diagnostic, OptionError
from bitc.limits import Limits
from bitc.promises import parse_values

if TYPE_CHECKING:
    from bitc.compiler import Options

T = TypeVar("T")


class SignZero(StrEnum):
    """What Sign(0) may be taken for."""

    EXACT = "exact"
    PLUS = "plus"
    MINUS = "minus"


class Mst(StrEnum):
    """Whether products of bits run with pixels for lanes, along trees of their channels, adding or skipping, or by tables."""

    AUTO = "auto"
    ON = "on"
    SKIPPING = "skipping"
    TABLES = "tables"
    OFF = "off"


ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="The ONNX file.", show_default=False)]
TargetOption = Annotated[
    str, typer.Option("--target", "-t", metavar="TARGET", help="The CPU to compile for; see `bitc targets`.")
]
DimOption = Annotated[
    list[str] | None,
    typer.Option("--dim", metavar="N=1", help="Bind a symbolic dimension. Repeatable.", show_default=False),
]
ValuesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--values",
        metavar="X={-1,1}",
        help="Promise that an input holds only these values: a set {-1,1} or integers {-128..127}. Repeatable.",
        show_default=False,
    ),
]
SignZeroOption = Annotated[
    SignZero,
    typer.Option("--sign-zero", help="Sign(0): as ONNX says, or declared never to matter and taken for +1 or -1."),
]
MstOption = Annotated[
    Mst,
    typer.Option(
        "--mst",
        help="Compute channels of bits from one another: where it is faster, wherever possible (or by skipping, or tables), or never.",
    ),
]
StateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="IN=OUT",
        help="Input IN is a state that output OUT carries to the next step; auto: all that are recognised. Repeatable.",
        show_default=False,
    ),
]
CalibrateOption = Annotated[
    Path | None,
    typer.Option(
        "--calibrate",
        metavar="FILE.npz",
        help="Samples by input name: where few inputs of a layer are not zero on them, and it is faster, zeros are skipped.",
        show_default=False,
    ),
]
SmallWeightsOption = Annotated[
    int,
    typer.Option(
        "--small-weights",
        metavar="BYTES",
        min=0,
        help="Store weights of bits as differences between channels where that is smaller; each call decodes them, at most BYTES of a "
        "layer. (default: none)",
        show_default=False,
    ),
]
PipelineOption = Annotated[
    str | None,
    typer.Option(
        "--pipeline", metavar="TEXT", help="Replace the passes: pass,pass{option=value},…", show_default=False
    ),
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=N",
        help="Raise or lower a limit on the model, such as nodes. Repeatable.",
        show_default=False,
    ),
]
TuningOption = Annotated[
    Path | None,
    typer.Option(
        "--tuning",
        metavar="FILE",
        help="Choose forms of layers by the measured times in this file; --tune adds to it.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, errors too.")]


def pairs(option: str, items: Sequence[str] | None, convert: Callable[[str], T]) -> dict[str, T]:
    """``["N=1"]`` as ``{"N": convert("1")}``. Raises :class:`OptionError` naming the item that is wrong."""
    found: dict[str, T] = {}
    for item in items or ():
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise OptionError(Diagnostic("O080", f"cannot read {option} {item!r}", hint="write NAME=VALUE"))
        if name.strip() in found:
            raise OptionError(Diagnostic("O080", f"{option} is given twice for {name.strip()!r}"))
        found[name.strip()] = convert(value.strip())
    return found


def dimension(text: str) -> int:
    """A positive size. Raises :class:`OptionError`."""
    if not text.isdecimal() or int(text) < 1:
        raise OptionError(
            Diagnostic("O081", f"a dimension cannot be {text!r}", hint="it takes a positive whole number")
        )
    return int(text)


def bound(text: str) -> int:
    """A limit's number. Raises :class:`OptionError`."""
    if not text.isdecimal():
        raise OptionError(Diagnostic("O081", f"a limit cannot be {text!r}", hint="it takes a whole number"))
    return int(text)


def compile_options(
    dim: Sequence[str] | None,
    values: Sequence[str] | None,
    sign_zero: SignZero,
    limit: Sequence[str] | None,
    pipeline: str | None = None,
    tuning: Path | None = None,
    mst: Mst = Mst.AUTO,
    state: Sequence[str] | None = None,
    calibrate: Path | None = None,
    small_weights: int = 0,
) -> Options:
    """The compiler's options from the command line's. Raises :class:`OptionError`."""
    dims, promises = pairs("--dim", dim, dimension), pairs("--values", values, parse_values)
    limits = Limits.of(pairs("--limit", limit, bound))
    from bitc.compiler import Options

    return Options(
        dims=dims,
        values=promises,
        sign_zero=str(sign_zero),
        mst=str(mst),
        pipeline=pipeline,
        limits=limits,
        tuning=str(tuning) if tuning is not None else None,
        states=",".join(state or ()),
        calibrate=str(calibrate) if calibrate is not None else None,
        small_weights=small_weights,
    )
