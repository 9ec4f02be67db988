"""``store-deltas``: bit weights stored as differences between output channels, decoded where their layer begins, where that is less."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.ir.channel_deltas import MOST_CHANNELS, encoded
from bitc.ir.channel_tree import ChannelTree, channel_tree
from bitc.ir.packing import WeightForm, unpack_weights
from bitc.passes.base import Pass

LAYER_BYTES = 64
"""What a layer's decoding takes besides its stream: the struct of its sizes, and a call."""

DECODER_BYTES = 1024
"""And once in a library: the decoder's code, 800 bytes on 32-bit ARM (Thumb-2, -Os), 1,800 on x86-64 (-O3)."""

MOST_BYTES = 2**28 - 1
"""Of a layer's weights: their bits are counted in int32."""


@dataclass(frozen=True)
class StoreDeltas(Pass):
    """The weights of a product of bits become a stream (:mod:`bitc.ir.channel_deltas`), in which a channel is its nearest one in a
    spanning tree, or the complement of it, and the places where they differ::

        %y = k.bconv_bits %x, %w, ...   -->   %w' = k.delta_weights %stream; %y = k.bconv_bits %x, %w', ...

    The decoded weights are equal to the constant, bit for bit, and lie in the arena as long as the product runs. That is done for each
    product of at most ``most_bytes`` bytes of weights whose stream and decoding take less than these, padding of words and blocks
    included, if all of them together gain more than the decoder takes. Grouped products stay as they are, as do tables (``k.pair_acc``)
    and products along trees, which have no weights but lists. The graph's attribute ``form_costs`` gets (ONNX node, text) for each
    product that was looked at.
    """

    name: ClassVar[str] = "store-deltas"
    most_bytes: int = MOST_BYTES

    def run(self, graph: Graph) -> Graph:
        users = graph.users()
        found = {op.operands[1]: _Stored.of(op) for op in graph.ops if _has_words(op)}
        found = {w: stored for w, stored in found.items() if all(map(_has_words, users[w]))}
        smaller = {w for w, stored in found.items() if stored.gain > 0 and stored.plain_bytes <= self.most_bytes}
        chosen = smaller if sum(found[w].gain for w in smaller) > DECODER_BYTES else set()
        decoded = {op.result: found[w] for w in chosen for op in users[w]}

        def rule(op: Op, b: Builder) -> Value | None:
            if decoded.keys().isdisjoint(op.results):
                return None
            x, _, *others = op.operands
            stored = decoded[op.result]
            made = b.add("k.delta_weights", b.constant(stored.stream), loc=op.loc, **stored.attrs)
            return b.add(op.name, x, made, *others, loc=op.loc, **op.attrs)

        after = rewrite(graph, rule)
        said = [(op.loc, self._text(stored, w in chosen)) for w, stored in found.items() for op in users[w]]
        after.attrs["form_costs"] = (*graph.attrs.get("form_costs", ()), *said)
        return after

    def _text(self, stored: _Stored, chosen: bool) -> str:
        """What was weighed, the form that was taken first."""
        forms = [f"{stored.plain_bytes:,} bytes as words", f"{stored.stream.nbytes:,} bytes as differences"]
        first, other = reversed(forms) if chosen else forms
        beyond = f", more than {self.most_bytes:,} to decode" if stored.plain_bytes > self.most_bytes else ""
        return f"weights of {first}, {other} (d {stored.tree.mean_distance:.3f}){beyond}"


def _has_words(op: Op) -> bool:
    """Whether ``op`` is a product with constant words of weights, of one group."""
    operands = {"k.bconv_acc": 3, "k.bconv_bits": 4}.get(op.name)
    if len(op.operands) != operands or op.operands[1].constant is None:
        return False
    return bool(op.attrs["channels"] <= MOST_CHANNELS and op.operands[1].constant.nbytes <= MOST_BYTES)


@dataclass(frozen=True, slots=True)
class _Stored:
    """Weights of ``plain_bytes`` bytes as a stream along a tree; ``attrs`` of the op that decodes it."""

    stream: np.ndarray
    tree: ChannelTree
    plain_bytes: int
    attrs: dict[str, Any]

    @staticmethod
    def of(op: Op) -> _Stored:
        """The weights of a product."""
        packed = op.operands[1].constant
        assert packed is not None
        attrs, taps = op.attrs, prod(op.attrs["taps"])
        form, in_channels = WeightForm(attrs["block"], attrs["byte_rows"]), attrs["terms"] // taps
        bits = unpack_weights(packed, attrs["taps"], attrs["channels"], form)[:, :in_channels]
        rows = bits.transpose(0, 2, 3, 1).reshape(attrs["channels"], -1)
        tree = channel_tree(rows)
        kept = {key: attrs[key] for key in ("channels", "planes", "block", "byte_rows")}
        return _Stored(encoded(rows, tree), tree, packed.nbytes, {**kept, "taps": taps, "in_channels": in_channels})

    @property
    def gain(self) -> int:
        """Bytes saved, the decoder aside."""
        return self.plain_bytes - self.stream.nbytes - LAYER_BYTES
