"""The operators bitc takes, in which opset versions, with which restrictions, and as what they run: read from handlers and kernels.

``bitc ops`` prints this, and docs/SUPPORTED_OPS.md is :func:`markdown`. Nothing here is a list to keep in step: operators are the
frontend's table of handlers, restrictions are the texts its refusals have (:mod:`bitc.frontend.rules`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import getdoc
from pathlib import Path

import bitc.frontend  # noqa: F401  (enters the handlers)
from bitc.errors import Diagnostic, OptionError
from bitc.frontend.load import NEWEST_OPSET, OLDEST_OPSET
from bitc.frontend.node import CHANNELS_LAST, HANDLERS, MICROSOFT, QONNX, STANDARD, Entry
from bitc.frontend.rules import findings
from bitc.frontend.unknown import hint_for, refused_on_purpose
from bitc.ir.ops import lookup

TITLES = {
    STANDARD: "ONNX",
    MICROSOFT: "onnxruntime (com.microsoft)",
    QONNX: "QONNX (qonnx.custom_op.general, finn.custom_op.general, onnx.brevitas)",
    CHANNELS_LAST: "QONNX, channels last (qonnx.custom_op.channels_last)",
}
"""The domains in the order they are shown; others come behind, by name."""

RUNS_AS = {
    "product": "on bits, on integers or in float32, as the values of weights and input allow; `bitc explain` says which and why",
    "pool": "maximum on bits, on integers or in float32; mean in float32",
    "float32": "a kernel over float32 numbers",
    "elementwise": "in one loop with its neighbours, in its own element type; between a sum of integers and a quantizer it "
    "vanishes into thresholds",
    "move": "elements are copied or only seen under another shape",
    "nothing": "is done when compiling, costs nothing at run time",
}
"""What becomes of an operator at run time; the first that applies is said."""

_HERE = Path(__file__).parent
_KINDS = {"nn.conv": "product", "nn.matmul": "product", "nn.max_pool": "pool", "nn.avg_pool": "pool"}
_KINDS |= {f"nn.{op}": "move" for op in ("reshape", "transpose", "slice", "gather", "concat", "pad", "expand")}


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a domain. ``opsets``: (first, last) version, last None where there is no end; ``meaning``: its equation."""

    domain: str
    name: str
    opsets: tuple[tuple[int, int | None], ...]
    meaning: str
    runs_as: str
    rules: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """With the domain, if it is not the standard one."""
        return f"{self.domain}.{self.name}" if self.domain else self.name

    def versions(self) -> str:
        """``all``, or the ranges.

        >>> Operator("", "Clip", ((1, 10), (11, None)), "", "", ()).versions(), Operator("", "Gelu", ((20, None),), "", "", ()).versions()
        ('all', '20 on')
        """
        first, last = min(since for since, _ in self.opsets), self.opsets[-1][1]
        begin = first > OLDEST_OPSET if self.domain == STANDARD else first > 1
        if last is not None:
            return f"{max(first, OLDEST_OPSET)} to {last}"
        return f"{first} on" if begin else "all"


def operators() -> tuple[Operator, ...]:
    """All operators, domain by domain, by name."""
    known = sorted(HANDLERS, key=lambda key: (_rank(key[0]), key[0], key[1]))
    return tuple(_operator(domain, name, HANDLERS[domain, name]) for domain, name in known)


def _rank(domain: str) -> int:
    return list(TITLES).index(domain) if domain in TITLES else len(TITLES)


def _operator(domain: str, name: str, entries: Iterable[Entry]) -> Operator:
    ordered = sorted(set(entries), key=lambda entry: entry.since)
    found = [findings(entry.function, name) for entry in ordered]
    rules = tuple(dict.fromkeys(rule for item in found for rule in item.rules))
    ops = {op for item in found for op in item.ops}
    meaning = (getdoc(ordered[-1].function) or "").split("\n\n")[0].replace("\n", " ")
    return Operator(domain, name, tuple((e.since, e.until) for e in ordered), meaning, _runs_as(ops), rules)


def _runs_as(ops: Iterable[str]) -> str:
    """
    >>> _runs_as(["nn.conv", "nn.add"]), _runs_as(["nn.add"]), _runs_as(["nn.softmax", "nn.reshape"]), _runs_as([])
    ('product', 'elementwise', 'float32', 'nothing')
    """
    kinds = {_KINDS.get(op) or ("elementwise" if lookup(op).elementwise else "float32") for op in ops}
    return next((kind for kind in RUNS_AS if kind in kinds), "nothing")


def named(name: str) -> tuple[Operator, ...]:
    """The operators called ``name``, with or without a domain in front. Raises :class:`OptionError` with near misses, or the reason
    why bitc does not take it."""
    every = operators()
    found = tuple(operator for operator in every if name in (operator.name, operator.full_name))
    if found:
        return found
    domain, _, short = name.rpartition(".")
    refused = [hint for (where, op), hint in refused_on_purpose().items() if op == short and domain in (where, "")]
    if refused:
        raise OptionError(Diagnostic("O091", f"bitc does not take {name}", hint=refused[0]))
    by_lower = {operator.name.lower(): operator.name for operator in every}
    near = [by_lower[match] for match in get_close_matches(short.lower(), by_lower, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else hint_for(domain, short) or "`bitc ops` lists all"
    raise OptionError(Diagnostic("O090", f"bitc has no operator {name!r}", hint=hint))


def kernel_rules() -> dict[str, str]:
    """By error code, what kernels ask of what the frontend has taken: the rules of the U1xx refusals of passes and codegen."""
    found: dict[str, dict[str, None]] = {}
    for path in (path for folder in ("passes", "codegen") for path in sorted((_HERE / folder).glob("*.py"))):
        for code, rule in _coded_rules(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(code, {})[rule] = None
    return {code: "; ".join(rules) for code, rules in sorted(found.items())}


def _coded_rules(tree: ast.Module) -> Iterator[tuple[str, str]]:
    numbers = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant):
            code = call.args[0].value
            named_rule = [word.value for word in call.keywords if word.arg == "rule"]
            position = 2 if isinstance(call.func, ast.Name) and call.func.id == "Refused" else 3
            rule = [*named_rule, *call.args[position : position + 1]]
            if isinstance(code, str) and code.startswith("U1") and rule:
                yield code, _shown(rule[0], numbers)


def _shown(text: ast.expr, numbers: Mapping[str, ast.Constant]) -> str:
    match text:
        case ast.JoinedStr(values=parts):
            return "".join(_shown(part, numbers) for part in parts)
        case ast.FormattedValue(value=inner):
            return _shown(inner, numbers)
        case ast.Constant(value=value):
            return str(value)
        case ast.Name(id=name) if name in numbers:
            return str(numbers[name].value)
    return "{" + ast.unparse(text) + "}"


def markdown() -> str:
    """docs/SUPPORTED_OPS.md."""
    every = operators()
    lines = [
        "# Supported operators",
        "",
        "<!-- Written by `bitc ops --markdown`; do not edit. -->",
        "",
        f"Opsets {OLDEST_OPSET} to {NEWEST_OPSET}. The restrictions are the rules that error messages state; braces stand for what the",
        "node at hand decides. An operator whose inputs are all constants is computed when compiling, whatever it is, if the result",
        "is within the [limits](guarantees.md). `bitc ops OP` prints one operator, [`bitc explain`](explain.md) says what became",
        "of those in a model, and [Errors](errors.md) lists the codes.",
        "",
        "| runs as | |",
        "|---|---|",
        *(f"| {kind} | {meaning} |" for kind, meaning in RUNS_AS.items()),
    ]
    for domain in dict.fromkeys(operator.domain for operator in every):
        lines += [
            "",
            f"## {TITLES.get(domain, domain)}",
            "",
            "| operator | opset | runs as | restrictions |",
            "|---|---|---|---|",
        ]
        for operator in every:
            if operator.domain == domain:
                lines.append(
                    _row(f"`{operator.name}`", operator.versions(), operator.runs_as, "; ".join(operator.rules))
                )
    lines += [
        "",
        "## Kernels",
        "",
        "What else is refused once a model is imported.",
        "",
        "| code | rule |",
        "|---|---|",
    ]
    lines += [_row(code, rule) for code, rule in kernel_rules().items()]
    lines += ["", "## Refused on purpose", "", "| operator | instead |", "|---|---|"]
    by_hint: dict[str, list[str]] = {}
    for (domain, name), hint in refused_on_purpose().items():
        by_hint.setdefault(hint, []).append(f"`{domain}.{name}`" if domain else f"`{name}`")
    lines += [_row(", ".join(names), hint) for hint, names in by_hint.items()]
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
