"""Lowering of float products whose inputs are mostly zeros, by the places of what is not zero, where that costs less."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from bitc.ir import Op, Value
from bitc.ir.k import Halo
from bitc.ir.k_events import block_of, pack_event_weights
from bitc.passes.lowering import Lowering


def by_events(op: Op, x: Value, weights: np.ndarray, attrs: dict[str, Any], halo: Halo, low: Lowering) -> Value | None:
    """``k.fconv_events`` of the buffer ``x`` and ``weights`` [M, C, KH, KW]; None where there is no firing rate, or it is too high.

    Skipping 0·w leaves a sum as it is, as long as w is finite.
    """
    rate = dict(low.graph.attrs.get("firing_rates", ())).get(op.loc)
    if rate is None or low.forms.events is None or not _fits(op, weights, attrs):
        return None
    pixels = x.shape[0] * prod(attrs["size"])
    channels, depth, rows, columns = weights.shape
    under = depth * rows * columns
    costs = low.forms.events
    sparse_ns = costs.events_ns(prod(x.shape), pixels, rows, under, channels, block_of(channels), rate)
    if sparse_ns >= costs.dense_ns(pixels * under * channels):
        return None
    if x not in low.events:
        low.events[x] = low.add("k.events", x, like=op)
    packed = low.constant(pack_event_weights(weights))
    return low.add("k.fconv_events", x, low.events[x], packed, like=op, channels=channels, halo=halo, **attrs)


def _fits(op: Op, weights: np.ndarray, attrs: dict[str, Any]) -> bool:
    neighbours = weights.shape[3] == 1 or attrs["dilations"][1] == 1
    return op.attrs.get("group", 1) == 1 and neighbours and bool(np.isfinite(weights).all())
