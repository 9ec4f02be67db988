"""Compile one exported network, run its golden inputs, and say what became of its products."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bitc
from bitc.compiler import Options, imported_model
from bitc.explain import Product, explanation
from bitc.ir.intervals import evaluate_intervals
from tests.networks.building import emulated, emulated_session
from tests.systems.goldens import SAME, Agreement, Arrays, Case, agreement, cases
from tests.systems.operands import Operands, operands
from tests.systems.systems import DIMS, EXCEPTIONS

FAST_BUILD = "-O1"
"""For the C compiler: most networks are small, and what their C means does not change with it."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A product that could run as codes, how it runs, and why not as codes if it does not. ``kind`` as :class:`Operands`."""

    node: str
    classes: str
    kind: str
    form: str
    as_codes: bool
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A file on a target: agreement with its golden, its products that could be codes, how many run as what, and its size.

    ``outside``: elements that are outside what the file can give in any order of summation (counted where some are beyond the bound).
    """

    file: str
    target: str
    agreement: Agreement
    outside: int
    coded: tuple[Coded, ...]
    forms: Mapping[str, int]
    arena_bytes: int
    weight_bytes: int

    @property
    def complaint(self) -> str:
        """What is wrong: an answer that is not the golden's where no exception says so, or an exception that is none. "" if nothing."""
        known, beyond = EXCEPTIONS.get(self.file), self.agreement.beyond
        flips = known is not None and known.same is None and self.target in known.targets
        if self.outside:
            return f"{self.outside} elements are outside what the file can give"
        if beyond and not flips:
            return f"{beyond} elements are not the golden's"
        if flips and not beyond and not emulated(self.target):  # emulation rounds products before it adds them
            return "agrees with its golden now: take it out of EXCEPTIONS"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """For a line of JSON."""
        return asdict(self)


def outcome(model: Path, target: str, folder: Path) -> Outcome:
    """``model`` compiled for ``target`` into ``folder`` and run. Raises what compiling raises."""
    runs = cases(model)
    here = not emulated(target)
    dims = DIMS.get(model.stem, {})
    emit = ("c", "so") if here else ("c",)
    artifact = bitc.compile(model, target=target, out=folder, dims=dims, emit=emit, c_flags=(FAST_BUILD,))
    session = artifact.session() if here else emulated_session(artifact, FAST_BUILD)
    names = [node.name for node in session.get_inputs()]
    outputs = [node.name for node in session.get_outputs()]
    answers = [
        dict(zip(outputs, session.run(None, {name: run.inputs[name] for name in names}), strict=True)) for run in runs
    ]
    known = EXCEPTIONS.get(model.stem)
    found = agreement(runs, answers, (known.same if known is not None else None) or SAME)
    products = explanation(artifact.manifest, None).products
    forms: dict[str, int] = {}
    for product in products:
        forms[product.form] = forms.get(product.form, 0) + 1
    return Outcome(
        model.stem,
        target,
        found,
        _outside(model, runs, answers) if found.beyond else 0,
        coded_products(operands(model, runs[0]), products),
        forms,
        artifact.manifest["arena_bytes"],
        artifact.manifest["weight_bytes"],
    )


def _outside(model: Path, runs: Sequence[Case], answers: Sequence[Arrays]) -> int:
    """How many elements of ``answers`` are outside the intervals of the imported graph."""
    graph = imported_model(model, Options(dims=DIMS.get(model.stem, {})))
    counted = 0
    for run, answer in zip(runs, answers, strict=True):
        for start in range(0, len(next(iter(run.inputs.values()))), graph.inputs[0].shape[0]):
            rows = {v.name: run.inputs[v.name][start : start + v.shape[0]] for v in graph.inputs}
            intervals = evaluate_intervals(graph, [rows[value.name] for value in graph.inputs])
            for value in graph.outputs:
                part = answer[value.name][start : start + value.shape[0]] if value.shape else answer[value.name]
                counted += int((~intervals[value].holds(part)).sum())
    return counted


def coded_products(found: Sequence[Operands], products: Sequence[Product]) -> tuple[Coded, ...]:
    """What became of the products that could be codes; one that was folded away runs as nothing."""
    by_node: dict[str, list[Product]] = {}
    for product in products:
        for part in product.node.split("; "):
            named = re.search(r"'(.*)'", part)
            by_node.setdefault(named[1] if named else part, []).append(product)
    coded = []
    for layer in found:
        if layer.kind == "float":
            continue
        made = by_node.get(layer.node, [])
        form = ", ".join(dict.fromkeys(product.form for product in made)) or "folded away"
        of_weights = layer.kind == "weights"
        as_codes = all(product.kind != "float" or (of_weights and "bit" in product.form) for product in made)
        why = "" if as_codes else made[0].why
        coded.append(Coded(layer.node, f"{layer.x}x{layer.w}", layer.kind, form, as_codes, why))
    return tuple(coded)
