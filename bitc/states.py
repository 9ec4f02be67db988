"""States: inputs of a model that one of its outputs carries from one call to the next.

ONNX files do not say so. The user tells (``--state h=h_out``), or takes what is recognised (``--state auto``): an input and an output of
the same element type and shape whose names are a pair by one of :data:`RULES`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bitc.errors import Diagnostic, OptionError

if TYPE_CHECKING:
    import onnx

AUTO = "auto"
States = Mapping[str, str] | str
"""Output by input; or as text ``h=h_out,c=c_out``, where ``auto`` stands for all that are recognised."""

RULES: Sequence[tuple[str, tuple[str, ...]]] = (
    (r"past_key_values(.*)", (r"present\1", r"present_key_values\1")),
    (r"(.*)past(.*)", (r"\1present\2",)),
    (r"(.*)_in(\d*)", (r"\1_out\2",)),
    (r"(.*)\.in(\d*)", (r"\1.out\2",)),
    (r"initial_(h|c)", (r"Y_\1", r"final_\1")),
    (r"(h|c)_?0", (r"\1n", r"\1_n")),
    (r"(.+)", (r"\1_out", r"\1_next", r"new_\1", r"next_\1", r"\1_new")),
)
"""Names of inputs as regular expressions, each with the outputs that carry them, in order."""


def states_of(model: str | Path, asked: States) -> dict[str, str]:
    """The output that carries each state of the file ``model``. Raises :class:`OptionError` for text that cannot be read, or where
    ``auto`` finds none."""
    if not isinstance(asked, str):
        return dict(asked)
    if not asked:
        return {}
    told, with_recognised = _parsed(asked)
    if not with_recognised:
        return told
    from bitc.oracle import load_model

    found = recognised(load_model(Path(model)))
    if not found:
        rule = "an input and an output of one type and shape, named as a pair, such as h and h_out"
        hint = "name them: --state INPUT=OUTPUT"
        raise OptionError(Diagnostic("O052", "no states are recognised in the model", str(model), rule, hint=hint))
    return told | {k: v for k, v in found.items() if k not in told and v not in told.values()}


def _parsed(text: str) -> tuple[dict[str, str], bool]:
    """The pairs, and whether ``auto`` is among them.

    >>> _parsed("h=h_out, c=c_out"), _parsed("auto,s=spk")
    (({'h': 'h_out', 'c': 'c_out'}, False), ({'s': 'spk'}, True))
    """
    found: dict[str, str] = {}
    items = [item.strip() for item in text.split(",")]
    for item in items:
        given, equals, carried = (part.strip() for part in item.partition("="))
        if item == AUTO:
            continue
        if not (equals and given and carried):
            hint = "write INPUT=OUTPUT, several with commas between, or auto"
            raise OptionError(Diagnostic("O051", f"cannot read the states {item!r}", hint=hint))
        if given in found:
            raise OptionError(Diagnostic("O051", f"state {given!r} is named twice"))
        found[given] = carried
    return found, AUTO in items


def recognised(model: onnx.ModelProto) -> dict[str, str]:
    """Pairs of inputs and outputs of one declared type and shape whose names follow one of :data:`RULES`; each output once."""
    outputs = {value.name: value.type for value in model.graph.output}
    found: dict[str, str] = {}
    for value in model.graph.input:
        fitting = (name for name in _partners(value.name) if outputs.get(name) == value.type)
        name = next((name for name in fitting if name not in found.values() and name != value.name), None)
        if name is not None:
            found[value.name] = name
    return found


def _partners(name: str) -> list[str]:
    """Outputs that would carry the input ``name``.

    >>> _partners("past_key_values.0.key")[0], _partners("state_in")[0], _partners("mem1")[0]
    ('present.0.key', 'state_out', 'mem1_out')
    """
    return [
        re.sub(pattern, made, name, count=1)
        for pattern, results in RULES
        if re.fullmatch(pattern, name)
        for made in results
    ]
