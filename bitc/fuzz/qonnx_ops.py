"""Productions of QONNX operators; files with them are evaluated by qonnx's executor instead of onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitc.fuzz.network import QONNX, Network, Tensor, Unfit

F = np.float32
_ROUNDINGS = ("ROUND", "ROUND", "ROUND", "CEIL", "FLOOR", "HALF_UP", "HALF_DOWN", "UP", "DOWN")


def _scale(net: Network, x: Tensor) -> np.ndarray:
    """One, or one a channel."""
    return net.per_channel(net.scales([x.channels]), len(x.shape)) if net.maybe(0.4) else net.scales()


def quant(net: Network, x: Tensor) -> Tensor:
    """Quant of 1 to 8 bits, signed or not, narrow or not, with any rounding and a zero point."""
    bits = net.choose.choice([1, 2, 2, 3, 4, 8])
    signed = int(net.maybe(0.6))
    zero = F(net.choose.choice([0, 0, 0, 1, 3, 0.5]))
    mode = net.choose.choice(_ROUNDINGS)
    narrow = int(net.maybe(0.5) and (bits > 1 or bool(signed)))
    attrs: dict[str, Any] = {"signed": signed, "narrow": narrow, "rounding_mode": mode}
    return net.node("Quant", x, _scale(net, x), zero, F(bits), domain=QONNX, like=(F, x.shape), **attrs)


def bipolar_quant(net: Network, x: Tensor) -> Tensor:
    """Two levels; 0 goes up."""
    return net.node("BipolarQuant", x, _scale(net, x), domain=QONNX, like=(F, x.shape))


def trunc(net: Network, x: Tensor) -> Tensor:
    """Trunc version 1, of what a Quant gave before."""
    scale = net.scales()
    bits = net.choose.choice([4, 8])
    attrs: dict[str, Any] = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    x = net.node("Quant", x, scale, F(0), F(bits), domain=QONNX, like=(F, x.shape), **attrs)
    fewer = F(net.choose.randint(2, bits))
    mode = net.choose.choice(["FLOOR", "ROUND", "CEIL"])
    return net.node("Trunc", x, scale, F(0), F(bits), fewer, domain=QONNX, like=(F, x.shape), rounding_mode=mode)


def multi_threshold(net: Network, x: Tensor) -> Tensor:
    """Counts of thresholds reached, scaled and shifted; rows in ascending order."""
    if len(x.shape) not in (2, 4):
        raise Unfit
    rows = net.choose.choice([1, x.channels])
    count = net.choose.choice([1, 2, 3, 7, 15])
    thresholds = np.sort(net.floats([rows, count], 4), axis=1)
    scale, bias, kind = net.choose.choice([(1.0, 0.0, "UINT4"), (2.0, -1.0, "BIPOLAR"), (0.5, -2.0, "INT5")])
    if kind == "BIPOLAR":
        thresholds = thresholds[:, :1]
    attrs: dict[str, Any] = {"out_scale": scale, "out_bias": bias, "out_dtype": kind}
    return net.node("MultiThreshold", x, thresholds, domain=QONNX, like=(F, x.shape), **attrs)


QONNX_QUANTIZERS = (quant, quant, quant, bipolar_quant, bipolar_quant, trunc, multi_threshold)
