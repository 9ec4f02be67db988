"""What became of a model: for each product its form, the rule behind it, what kept it from a better one, and its share of work and time.

Reads the manifest of a compilation and, where the target runs here, the times of a profiling build. ``bitc explain`` prints it.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitc.codegen.targets import target as target_named
from bitc.compiler import Options, compile
from bitc.errors import BitcError
from bitc.measurable import refuse_unmeasurable
from bitc.oracle import load_model
from bitc.passes.pipeline import Trace
from bitc.profile import Timing, random_feed, time_layers
from bitc.state_codes import state_codes
from bitc.states import recognised

_LOCATION = re.compile(r"node \d+ ?(?:'(?P<name>.*)')? ?\((?P<op_type>\w+)\)$")


@dataclass(frozen=True, slots=True)
class Family:
    """Kernels of one arithmetic: ``kind`` is bits, integers or float ("": as the element type says); ``rule`` says when a product
    comes here, ``better`` what would bring it further where nothing more particular is known."""

    kind: str
    rule: str
    better: str = ""


_TO_BITS = "give the weights two values ±a per output channel, and the input two (at most four) evenly spaced values"
_TO_INTEGERS = "quantize weights (per output channel) and input to evenly spaced values of at most 8 bits"
_BITS = Family(
    "bits", "weights ±a per channel and an input of few even steps: XNOR, popcount, exact int32 sums", _TO_BITS
)
_INTEGERS = Family("integers", "weights and input are small integers times a scale: exact int32 sums", _TO_BITS)
_CODED = Family(
    "integers",
    "weights of at most 16 even steps, stored in 2 or 4 bits, and an integer input: exact int32 sums",
    _TO_BITS,
)
_FLOAT = Family("float", "no smaller form is proved: float32 sums of the file's own numbers", _TO_INTEGERS)
_SIGNS = Family(
    "float", "weights ±a and an input of floats, read at few places: adds and subtracts floats", _TO_INTEGERS
)
_EVENTS = Family(
    "float", "an input of mostly zeros, by its measured firing rate: float32 sums over what is not 0", _TO_INTEGERS
)
_SPARSE = Family("float", "weights most of which are 0: float32 sums over the others", _TO_INTEGERS)
_COMPUTED = Family("float", "both factors are computed while the network runs: float32 sums", _TO_INTEGERS)
_MATRICES = Family("integers", "both factors are small integers times a scale: exact int32 sums", _TO_BITS)
_PLAIN = Family("", "an element type without kernels of its own: plain sums in the file's own numbers", _TO_INTEGERS)

FAMILIES: Mapping[str, Family] = {
    "k.bconv_acc": _BITS,
    "k.bconv_bits": _BITS,
    "k.pair_acc": _BITS,
    "k.dots": _BITS,
    "k.sliced_acc": _BITS,
    "k.sliced_bits": _BITS,
    "k.sliced_lanes": _BITS,
    "k.skip_acc": _BITS,
    "k.skip_bits": _BITS,
    "k.iconv": _INTEGERS,
    "k.iconv_placed": _INTEGERS,
    "k.icoded": _CODED,
    "k.icoded_rows": _CODED,
    "k.iwinograd": _INTEGERS,
    "k.idepthwise": _INTEGERS,
    "k.fconv": _FLOAT,
    "k.fdepthwise": _FLOAT,
    "k.fconv_w1": _SIGNS,
    "k.fconv_events": _EVENTS,
    "k.fsparse": _SPARSE,
    "k.fsparse_dots": _SPARSE,
    "k.gemm": _COMPUTED,
    "k.igemm": _MATRICES,
    "k.matmul": _PLAIN,
    "k.plain_conv": _PLAIN,
}
"""The family of each kernel that multiplies by weights: all that is to be said here of a new one."""

KINDS = ("bits", "integers", "float")

_STEPS = {
    "k.fpool": "pool",
    "k.reduce": "reduction",
    "k.softmax": "softmax",
    "k.argmax": "index of the extreme",
    "k.topk": "top k",
}
"""What the rest is called where the manifest's form is but its element type."""


@dataclass(frozen=True, slots=True)
class Product:
    """A layer that multiplies. ``macs`` as the model states them; ``seconds`` and ``time_share`` None where nothing was timed.

    ``why``: what kept it from one bit by one bit, "" if nothing did; ``hint``: how to export it better, ``hint_is_general``
    if nothing more is known than what its kernels' family asks for; ``costs``: what was weighed. ``firing_rate``: the share of its inputs
    that are not zero, None where ``--calibrate`` did not measure it.
    """

    node: str
    name: str
    op_type: str
    kind: str
    form: str
    rule: str
    contract: str
    why: str
    hint: str
    hint_is_general: bool
    costs: tuple[str, ...]
    kernel: str
    shape: tuple[int, ...]
    macs: int
    macs_share: float
    seconds: float | None
    time_share: float | None
    firing_rate: float | None


@dataclass(frozen=True, slots=True)
class Rest:
    """What else runs for one ONNX node (or several, fused): elementwise steps, pools, moves."""

    node: str
    nodes: tuple[str, ...]
    what: tuple[str, ...]
    seconds: float | None
    time_share: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it. ``seconds`` of one call on one item; ``not_timed`` says why there are none.

    ``states``: the outputs that carry states to the next step; ``proposed_states``: those recognised where none were told;
    ``kept_states``: how states of few bits are kept.
    """

    name: str
    target: str
    products: tuple[Product, ...]
    rest: tuple[Rest, ...]
    arena_bytes: int
    weight_bytes: int
    seconds: float | None
    not_timed: str
    states: Mapping[str, str]
    proposed_states: Mapping[str, str]
    kept_states: Mapping[str, str]

    def macs_share(self, kind: str) -> float:
        """The share of multiply-accumulates that run as ``kind``."""
        return sum(p.macs_share for p in self.products if p.kind == kind)

    def time_share(self, kind: str | None) -> float:
        """The share of time of the products of ``kind``, or of the rest (None). 0 where nothing was timed."""
        entries = self.rest if kind is None else [p for p in self.products if p.kind == kind]
        return sum(entry.time_share or 0.0 for entry in entries)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the fields, and ``macs`` (how many, and which share runs in which kind)."""
        shares = {kind: self.macs_share(kind) for kind in KINDS}
        return {**asdict(self), "macs": {"all": sum(p.macs for p in self.products), **shares}}


def explain(
    model: str | Path,
    *,
    target: str = "native",
    options: Options | None = None,
    time: bool | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Explanation:
    """Compile ``model``, keep nothing, and say what became of it; with times where they can be had (``time`` None), or must be (True).

    Raises a :class:`bitc.errors.BitcError` where :func:`bitc.compiler.compile` does, so for all nodes that are refused.
    """
    options = options if options is not None else Options()
    not_timed = _why_not_timed(target, time)
    emit, timed = (("c",), False) if not_timed else (("c", "so"), True)
    with tempfile.TemporaryDirectory(prefix="bitc-explain-") as scratch:
        trace = Trace(progress=progress)
        out = Path(scratch) / "model"
        artifact = compile(
            model, target=target, out=out, emit=emit, trace=trace, profile=timed, **options.as_arguments()
        )
        timing = (
            time_layers(artifact, random_feed(model, options.dims, options.values, options.states)) if timed else None
        )
    proposed = {} if options.states else recognised(load_model(Path(model)))
    return explanation(artifact.manifest, timing, not_timed, proposed)


def _why_not_timed(target: str, time: bool | None) -> str:
    if time is False:
        return "not asked for"
    try:
        refuse_unmeasurable(target_named(target))
    except BitcError as error:
        if time:
            raise
        return error.diagnostics[0].title
    return ""


def explanation(
    manifest: Mapping[str, Any],
    timing: Timing | None,
    not_timed: str = "",
    proposed_states: Mapping[str, str] | None = None,
) -> Explanation:
    """What the manifest of a compilation, and the times of its layers, have to say."""
    layers: Sequence[Mapping[str, Any]] = manifest["layers"]
    seconds: Sequence[float | None] = timing.layers if timing else [None] * len(layers)
    total = timing.total if timing else None
    pairs = list(zip(layers, seconds, strict=True))
    products = _products([pair for pair in pairs if pair[0]["macs"]], total)
    rest = _rest([pair for pair in pairs if not pair[0]["macs"]], total)
    sizes = manifest["arena_bytes"], manifest["weight_bytes"]
    states = {entry["input"]: entry["output"] for entry in manifest.get("states", ())}
    few = [entry for entry in manifest.get("states", ()) if entry["kept"] in ("bits", "bytes")]
    kept = {entry["input"]: str(state_codes(entry)) for entry in few}
    proposed = proposed_states or {}
    return Explanation(
        manifest["name"], manifest["target"], products, rest, *sizes, total, not_timed, states, proposed, kept
    )


def _products(pairs: Sequence[tuple[Mapping[str, Any], float | None]], total: float | None) -> tuple[Product, ...]:
    """Products of bits for one node are the bit planes of one product of the model, so its work counts once."""
    groups: dict[str | int, list[tuple[Mapping[str, Any], float | None]]] = {}
    for number, (layer, seconds) in enumerate(pairs):
        planes = FAMILIES[layer["op"]].kind == "bits" and layer["node"]
        groups.setdefault(planes or number, []).append((layer, seconds))
    largest = [max(group, key=lambda pair: pair[0]["macs"])[0] for group in groups.values()]
    macs = sum(layer["macs"] for layer in largest)
    found = []
    for layer, group in zip(largest, groups.values(), strict=True):
        spent = None if total is None else sum(seconds or 0.0 for _, seconds in group)
        found.append(_product(layer, _form([part["form"] for part, _ in group]), macs, spent, total))
    return tuple(found)


def _product(layer: Mapping[str, Any], form: str, macs: int, seconds: float | None, total: float | None) -> Product:
    family = FAMILIES[layer["op"]]
    name, op_type = _name_and_type(layer["node"])
    why = layer.get("why", "")
    kind = family.kind or ("float" if form.startswith("float") else "integers")
    at_best = kind == "bits" and not why
    return Product(
        node=layer["node"],
        name=name,
        op_type=op_type,
        kind=kind,
        form=form,
        rule=family.rule,
        contract=layer.get("contract", ""),
        why=why,
        hint="" if at_best else layer.get("hint", "") or family.better,
        hint_is_general=not at_best and not layer.get("hint"),
        costs=tuple(layer.get("costs", ())),
        kernel=layer["kernel"],
        shape=tuple(layer["shape"]),
        macs=layer["macs"],
        macs_share=layer["macs"] / macs,
        seconds=seconds,
        time_share=_share(seconds, total),
        firing_rate=layer.get("firing_rate"),
    )


def _form(forms: Sequence[str]) -> str:
    """
    >>> _form(["float32"]), _form(["1x1 bit", "1x1 bit", "2 planes x 1 bit"])
    ('float32', '2 times 1x1 bit, 2 planes x 1 bit')
    """
    counts = {form: forms.count(form) for form in forms}
    return ", ".join(form if count == 1 else f"{count} times {form}" for form, count in counts.items())


def _name_and_type(node: str) -> tuple[str, str]:
    """
    >>> _name_and_type("node 3 'conv' (Conv)"), _name_and_type("node 0 (Gemm)")
    (('conv', 'Conv'), ('', 'Gemm'))
    """
    found = _LOCATION.match(node.split("; ")[0])
    return (found["name"] or "", found["op_type"]) if found else ("", "")


def _rest(layers: Sequence[tuple[Mapping[str, Any], float | None]], total: float | None) -> tuple[Rest, ...]:
    groups: dict[str, list[tuple[Mapping[str, Any], float | None]]] = {}
    for layer, seconds in layers:
        groups.setdefault(layer["node"], []).append((layer, seconds))
    found = []
    for node, members in groups.items():
        spent = None if total is None else sum(seconds or 0.0 for _, seconds in members)
        what = tuple(dict.fromkeys(_STEPS.get(layer["op"], layer["form"]) for layer, _ in members))
        found.append(Rest(node, tuple(filter(None, node.split("; "))), what, spent, _share(spent, total)))
    return tuple(found)


def _share(seconds: float | None, total: float | None) -> float | None:
    if seconds is None or total is None:
        return None
    return seconds / total if total else 0.0
