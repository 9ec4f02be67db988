"""``absorb-pads``: an explicit pad before a convolution becomes the convolution's own padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass


@dataclass(frozen=True)
class AbsorbPads(Pass):
    """Padding twice with one value is padding once::

        nn.conv(pad(x, p, value 0), pads q)                -->  nn.conv(x, pads p + q)
        q.conv(pad(x, p, level v), pads q, pad_level v)    -->  q.conv(x, pads p + q, pad_level v)

    also where q is nothing, whatever its pad level. Side condition: p is zero on the batch and channel axes.
    """

    name: ClassVar[str] = "absorb-pads"

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, _rule)


def _rule(op: Op, b: Builder) -> Value | None:
    if op.name not in ("nn.conv", "q.weight_conv", "q.conv"):
        return None
    pad = op.operands[0].producer
    if pad is None or pad.name != "nn.pad":
        return None
    pads, value = pad.attrs["pads"], pad.attrs["value"]
    rank = len(pads) // 2
    if any(pads[axis] for axis in (0, 1, rank, rank + 1)):
        return None
    own = op.attrs["pads"]
    attrs = dict(op.attrs)
    if op.name == "q.conv":
        if any(own) and attrs["pad_level"] != value:
            return None
        attrs["pad_level"] = int(value)
    elif value != 0:
        return None
    outer = (*pads[2:rank], *pads[rank + 2 :])
    attrs["pads"] = tuple(a + c for a, c in zip(own, outer, strict=True))
    return b.add(op.name, pad.operands[0], *op.operands[1:], loc=op.loc, **attrs)
