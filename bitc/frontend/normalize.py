"""Handlers of normalisations, written out in plain ops."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

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
    scaled = n.emit("nn.mul", x, _per_channel(n, slope, x))
    return n.emit("nn.add", scaled, _per_channel(n, offset, x))


def _per_channel(n: Node, parameter: Value, x: Value) -> Value:
    """A parameter [C] along axis 1 of ``x``."""
    return n.emit("nn.reshape", parameter, shape=(1, x.shape[1], *([1] * (len(x.shape) - 2))))


@handles("LayerNormalization", since=17)
def layer_normalization(n: Node) -> tuple[Value, ...]:
    """y = (x - mean) / sqrt(mean of (x - mean)^2 + eps) * scale + bias over the axes from ``axis`` on; mean; 1 / deviation"""
    x, scale, bias = n.x(0), n.x(1), n.maybe(2)
    axes = _axes_from(n, x)
    mean = n.emit("nn.reduce_mean", x, axes=axes, keepdims=True)
    centred = n.emit("nn.sub", x, mean)
    deviation = _deviation(n, centred, axes, n.number("epsilon", 1e-5))
    y = n.emit("nn.mul", n.emit("nn.div", centred, deviation), scale)
    y = y if bias is None else n.emit("nn.add", y, bias)
    return (y, mean, n.emit("nn.reciprocal", deviation)) if len(n.proto.output) > 1 else (y,)


@handles("RMSNormalization", since=23)
def rms_normalization(n: Node) -> Value:
    """y = x / sqrt(mean of x^2 + eps) * scale over the axes from ``axis`` on"""
    x = n.x(0)
    return n.emit("nn.mul", n.emit("nn.div", x, _deviation(n, x, _axes_from(n, x), n.number("epsilon", 1e-5))), n.x(1))


def _axes_from(n: Node, x: Value) -> tuple[int, ...]:
    return tuple(range(n.axis(n.integer("axis", -1), len(x.shape)), len(x.shape)))


@handles("InstanceNormalization")
def instance_normalization(n: Node) -> Value:
    """y = (x - mean) / sqrt(var + eps) * scale + bias over the spatial axes of each image and channel"""
    x = n.x(0)
    y = _standardised(n, x, tuple(range(2, len(x.shape))), n.number("epsilon", 1e-5))
    return n.emit("nn.add", n.emit("nn.mul", y, _per_channel(n, n.x(1), x)), _per_channel(n, n.x(2), x))


@handles("GroupNormalization", since=18)
def group_normalization(n: Node) -> Value:
    """y = (x - mean) / sqrt(var + eps) * scale + bias over each group of channels; parameters for each group (opset 18) or channel"""
    x, groups = n.x(0), n.integer("num_groups", 0)
    if len(x.shape) < 3 or groups < 1 or x.shape[1] % groups:
        raise n.broken("num_groups of GroupNormalization divides the channels", f"{x.type}, num_groups {groups}")
    split = n.emit("nn.reshape", x, shape=(x.shape[0], groups, prod(x.shape[1:]) // groups))
    y = _standardised(n, split, (2,), n.number("epsilon", 1e-5))
    scale, bias = n.x(1), n.x(2)
    if n.opset < 21 and scale.shape == bias.shape == (groups,):
        scale, bias = (n.emit("nn.reshape", parameter, shape=(1, groups, 1)) for parameter in (scale, bias))
        return n.emit("nn.reshape", n.emit("nn.add", n.emit("nn.mul", y, scale), bias), shape=x.shape)
    y = n.emit("nn.reshape", y, shape=x.shape)
    return n.emit("nn.add", n.emit("nn.mul", y, _per_channel(n, scale, x)), _per_channel(n, bias, x))


@handles("MeanVarianceNormalization")
def mean_variance_normalization(n: Node) -> Value:
    """y = (x - mean) / (sqrt(mean of (x - mean)^2) + 1e-9) over the axes, all but the channels by default"""
    x = n.x()
    axes = tuple(sorted(n.axis(axis, len(x.shape)) for axis in n.integers("axes") or (0, 2, 3)))
    centred = n.emit("nn.sub", x, n.emit("nn.reduce_mean", x, axes=axes, keepdims=True))
    deviation = n.emit("nn.add", _deviation(n, centred, axes, 0.0), n.scalar(1e-9, x))
    return n.emit("nn.div", centred, deviation)


@handles("LpNormalization")
def lp_normalization(n: Node) -> Value:
    """y = x / (sum of |x|^p)^(1/p) along one axis, p 1 or 2; 0 where all are 0"""
    x, p = n.x(), n.integer("p", 2)
    axes = (n.axis(n.integer("axis", -1), len(x.shape)),)
    if p not in (1, 2):
        raise n.broken("p of LpNormalization is 1 or 2", str(p))
    sizes = n.emit("nn.abs", x) if p == 1 else n.emit("nn.mul", x, x)
    norm = n.emit("nn.reduce_sum", sizes, axes=axes, keepdims=True)
    norm = norm if p == 1 else n.emit("nn.sqrt", norm)
    zero = n.scalar(0, x)
    return n.emit("nn.where", n.emit("nn.equal", norm, zero), zero, n.emit("nn.div", x, norm))


@handles("LRN")
def local_response_normalization(n: Node) -> Value:
    """y = x / (bias + alpha / size * sum of x^2 over the ``size`` channels around each)^beta"""
    x, size = n.x(), n.integer("size", 0)
    if len(x.shape) < 3 or size < 1:
        raise n.broken("LRN takes an image [N, C, spatial...] and a positive size", f"{x.type}, size {size}")
    batch, channels = x.shape[:2]
    plane = n.emit("nn.reshape", n.emit("nn.mul", x, x), shape=(batch, 1, channels, prod(x.shape[2:])))
    pads = ((size - 1) // 2, 0, size - 1 - (size - 1) // 2, 0)
    window = {"kernel": (size, 1), "strides": (1, 1), "dilations": (1, 1), "pads": pads, "count_pad": True}
    mean = n.emit("nn.reshape", n.emit("nn.avg_pool", plane, **window), shape=x.shape)
    scaled = n.emit("nn.mul", mean, n.scalar(n.number("alpha", 1e-4), x))
    base = n.emit("nn.add", scaled, n.scalar(n.number("bias", 1.0), x))
    return n.emit("nn.div", x, n.emit("nn.pow", base, n.scalar(n.number("beta", 0.75), x)))


def _standardised(n: Node, x: Value, axes: tuple[int, ...], epsilon: float) -> Value:
    """``x`` with mean 0 and variance 1 over ``axes``."""
    centred = n.emit("nn.sub", x, n.emit("nn.reduce_mean", x, axes=axes, keepdims=True))
    return n.emit("nn.div", centred, _deviation(n, centred, axes, epsilon))


def _deviation(n: Node, centred: Value, axes: Sequence[int], epsilon: float) -> Value:
    """sqrt(mean of squares + epsilon)."""
    variance = n.emit("nn.reduce_mean", n.emit("nn.mul", centred, centred), axes=tuple(axes), keepdims=True)
    return n.emit("nn.sqrt", n.emit("nn.add", variance, n.scalar(epsilon, centred)) if epsilon else variance)
