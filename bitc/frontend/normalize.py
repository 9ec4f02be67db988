"""Handlers of normalisations, written out in plain ops."""

from __future__ import annotations

from bitc.frontend.node import Node, handles
from bitc.ir import Value


@handles("BatchNormalization")
def batch_normalization(n: Node) -> Value:
    """y = x * s + (bias - mean * s) with s = scale * (1 / sqrt(var + eps)), all in float32.

    This is onnxruntime's own order: over random data it agrees with it in every bit, while scale / sqrt(var + eps) or
    (x - mean) * s + bias do not.
    """
    x = n.x(0)
    if len(x.shape) < 2 or n.integer("training_mode", 0) or not n.integer("spatial", 1):
        raise n.unsupported(
            "BatchNormalization runs in inference mode, per channel (axis 1)", hint="export after model.eval()"
        )
    scale, bias, mean, var = (n.x(i) for i in range(1, 5))
    if any(p.shape != (x.shape[1],) for p in (scale, bias, mean, var)):
        raise n.broken("the parameters of BatchNormalization have one number for each channel")
    deviation = n.emit("nn.sqrt", n.emit("nn.add", var, n.scalar(n.number("epsilon", 1e-5), var)))
    slope = n.emit("nn.mul", scale, n.emit("nn.reciprocal", deviation))
    offset = n.emit("nn.sub", bias, n.emit("nn.mul", mean, slope))
    per_channel = (1, x.shape[1], *([1] * (len(x.shape) - 2)))
    scaled = n.emit("nn.mul", x, n.emit("nn.reshape", slope, shape=per_channel))
    return n.emit("nn.add", scaled, n.emit("nn.reshape", offset, shape=per_channel))


@handles("LayerNormalization", since=17)
def layer_normalization(n: Node) -> Value:
    """y = (x - mean) / sqrt(mean of (x - mean)^2 + eps) * scale + bias over the axes from ``axis`` on"""
    x, scale, bias = n.x(0), n.x(1), n.maybe(2)
    axes = tuple(range(n.axis(n.integer("axis", -1), len(x.shape)), len(x.shape)))
    y = _standardised(n, x, axes, n.number("epsilon", 1e-5))
    y = n.emit("nn.mul", y, scale)
    return y if bias is None else n.emit("nn.add", y, bias)


@handles("InstanceNormalization")
def instance_normalization(n: Node) -> Value:
    """y = (x - mean) / sqrt(var + eps) * scale + bias over the spatial axes of each image and channel"""
    x, scale, bias = n.x(0), n.x(1), n.x(2)
    y = _standardised(n, x, tuple(range(2, len(x.shape))), n.number("epsilon", 1e-5))
    per_channel = (1, -1, *([1] * (len(x.shape) - 2)))
    shape = tuple(x.shape[1] if size == -1 else size for size in per_channel)
    y = n.emit("nn.mul", y, n.emit("nn.reshape", scale, shape=shape))
    return n.emit("nn.add", y, n.emit("nn.reshape", bias, shape=shape))


def _standardised(n: Node, x: Value, axes: tuple[int, ...], epsilon: float) -> Value:
    """``x`` with mean 0 and variance 1 over ``axes``."""
    centred = n.emit("nn.sub", x, n.emit("nn.reduce_mean", x, axes=axes, keepdims=True))
    variance = n.emit("nn.reduce_mean", n.emit("nn.mul", centred, centred), axes=axes, keepdims=True)
    deviation = n.emit("nn.sqrt", n.emit("nn.add", variance, n.scalar(epsilon, x)))
    return n.emit("nn.div", centred, deviation)
