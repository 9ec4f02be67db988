"""Images whose channels come last: the plain op runs on [N, C, spatial...] between two transposes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bitc.frontend.images import max_pool
from bitc.frontend.node import CHANNELS_LAST, MICROSOFT, QONNX, Node, handles
from bitc.ir import Value


def to_channels_first(rank: int) -> tuple[int, ...]:
    """The permutation that makes [N, C, spatial...] of [N, spatial..., C].

    >>> to_channels_first(4)
    (0, 3, 1, 2)
    """
    return (0, rank - 1, *range(1, rank - 1))


def on_channels_first(n: Node, function: Callable[[Value], Value], x: Value | None = None) -> Value:
    """``function`` applied to ``x`` (operand 0) as [N, C, spatial...], the result as [N, spatial..., C] again."""
    x = n.x(0) if x is None else x
    rank = len(x.shape)
    if rank < 3:
        raise n.broken(f"{n.op_type} takes an image [N, spatial..., C]", str(x.type))
    y = function(n.emit("nn.transpose", x, perm=to_channels_first(rank)))
    return n.emit("nn.transpose", y, perm=(0, *range(2, rank), 1))


@handles("MaxPoolNHWC", domains=(QONNX,))
@handles("MaxPool", domains=(CHANNELS_LAST,))
@handles("NhwcMaxPool", domains=(MICROSOFT,))
def max_pool_channels_last(n: Node) -> Value:
    """y = maximum over windows of an image [N, spatial..., C]"""

    def pool(x: Value) -> Value:
        y = max_pool(replace(n, inputs=(x,)))
        return y if isinstance(y, Value) else y[0]

    return on_channels_first(n, pool)
