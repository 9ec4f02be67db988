"""``bitc explain``: why does each layer run as it does, what would be better, and where does the time go?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from bitc.cli.console import out, print_json, progress
from bitc.cli.inspecting import first_node
from bitc.cli.options import (
    CalibrateOption,
    DimOption,
    JsonOption,
    LimitOption,
    ModelArgument,
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
    from bitc.explain import Explanation, Product, Rest

_STYLES = {"bits": "green", "integers": "yellow", "float": "red"}


def explain_command(
    model: ModelArgument,
    target: TargetOption = "native",
    dim: DimOption = None,
    values: ValuesOption = None,
    sign_zero: SignZeroOption = SignZero.EXACT,
    mst: MstOption = Mst.AUTO,
    state: StateOption = None,
    calibrate: CalibrateOption = None,
    small_weights: SmallWeightsOption = 0,
    limit: LimitOption = None,
    time: Annotated[
        bool | None,
        typer.Option("--time/--no-time", help="Time each layer. (default: where it can be done)", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """For each product its form, why, what would be better, and its share of work and time. Nothing is kept."""
    options = compile_options(
        dim, values, sign_zero, limit, mst=mst, state=state, calibrate=calibrate, small_weights=small_weights
    )
    from bitc.explain import explain

    with progress() as step:
        found = explain(model, target=target, options=options, time=time, progress=step)
    if as_json:
        print_json(found.as_dict())
        return
    for line in explanation_lines(found):
        out().print(line)


def explanation_lines(found: Explanation) -> list[Text]:
    """The summary, then products, each with its reasons, then the rest."""
    timed = found.seconds is not None
    width = max([len("elementwise"), *(len(product.form) for product in found.products)])
    lines = [Text(f"{found.name} for {found.target}", "bold"), *_summary(found), Text()]
    head = f"{'form':<{width}}  {'MACs':>7}{_percent('time') if timed else ''}  {'contract':<8}  node"
    lines.append(Text(head, "bold"))
    for product in found.products:
        lines += _product_lines(product, width, timed)
    if found.rest:
        rest = sorted(found.rest, key=lambda entry: -(entry.seconds or 0))
        lines += [Text(), Text(f"{'':<{width}}  {'':>7}{_percent('time') if timed else ''}  besides", "bold")]
        lines += [_rest_line(entry, width, timed) for entry in rest]
    return [*lines, Text(), *_legend(found.products)]


def _legend(products: Sequence[Product]) -> Iterator[Text]:
    """The rule of each form, and once what would bring all of its products further."""
    general: dict[tuple[str, str], list[str]] = {}
    for product in products:
        hints = general.setdefault((product.kind, product.rule), [])
        if product.hint_is_general and product.hint not in hints:
            hints.append(product.hint)
    for (kind, rule), hints in general.items():
        yield Text.assemble((f"{kind:<9}", _STYLES[kind]), rule)
        yield from (Text(f"{'  better':<9}{hint}") for hint in hints)


def _summary(found: Explanation) -> list[Text]:
    from bitc.explain import KINDS

    macs = sum(product.macs for product in found.products)
    rows = [("MACs", f"{macs:,}" + (": " + _kinds({k: found.macs_share(k) for k in KINDS}) if macs else ""))]
    if found.seconds is not None:
        shares = {kind: found.time_share(kind) for kind in KINDS}
        rows.append(("time", f"{_duration(found.seconds)}: {_kinds({**shares, 'the rest': found.time_share(None)})}"))
    else:
        rows.append(("time", f"not measured: {found.not_timed}"))
    rows += [("arena", f"{found.arena_bytes:,} bytes"), ("weights", f"{found.weight_bytes:,} bytes")]
    if found.states:
        rows.append(("states", _pairs(found.states)))
    if found.kept_states:
        rows.append(("kept", "; ".join(f"{name} as {how}" for name, how in found.kept_states.items())))
    if found.proposed_states:
        rows.append(("states?", f"--state auto, or --state {_pairs(found.proposed_states)}"))
    return [Text(f"  {label:<8} {text}") for label, text in rows]


def _pairs(states: Mapping[str, str]) -> str:
    return ",".join(f"{given}={carried}" for given, carried in states.items())


def _kinds(shares: dict[str, float]) -> str:
    return ", ".join(f"{100 * share:.1f} % {kind}" for kind, share in shares.items() if share)


def _product_lines(product: Product, width: int, timed: bool) -> list[Text]:
    numbers = _percent(product.macs_share, 7) + (_percent(product.time_share) if timed else "")
    lines = [
        Text.assemble(
            (f"{product.form:<{width}}", _STYLES[product.kind]),
            f"  {numbers}  {product.contract:<8}  {first_node(product.node)}",
        )
    ]
    hint = "" if product.hint_is_general else product.hint
    fires = "" if product.firing_rate is None else f"{100 * product.firing_rate:.1f} % of its inputs are not 0"
    entries = [
        ("fires", fires),
        ("because", product.why),
        *(("cost", cost) for cost in product.costs),
        ("better", hint),
    ]
    return [*lines, *(Text(f"   {label:<8} {text}") for label, text in entries if text)]


def _rest_line(entry: Rest, width: int, timed: bool) -> Text:
    node = f"  {first_node(entry.node)}" if entry.node else ""
    numbers = f"{'':>7}" + (_percent(entry.time_share) if timed else "")
    return Text(f"{'':<{width}}  {numbers}  {', '.join(entry.what)}{node}")


def _percent(share: float | str | None, width: int = 9) -> str:
    return f"{share if isinstance(share, str) else f'{100 * (share or 0):.1f} %':>{width}}"


def _duration(seconds: float) -> str:
    """
    >>> _duration(1.234e-5), _duration(0.02)
    ('12.3 µs a call', '20,000.0 µs a call')
    """
    return f"{seconds * 1e6:,.1f} µs a call"
