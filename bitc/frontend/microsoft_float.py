"""Handlers of onnxruntime's own float operators (domain com.microsoft): what its optimiser makes, and activations of transformers.

They appear when a user saves a model that onnxruntime has optimised. Each is taken apart again into the ops it was fused from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt

from bitc.frontend import activations
from bitc.frontend.channels_last import on_channels_first
from bitc.frontend.linear import conv, gemm
from bitc.frontend.node import MICROSOFT, STANDARD, Node, handles
from bitc.frontend.standard_op import RECENT_OPSET, standard_op
from bitc.ir import Value

_CONV_PARAMETERS: Mapping[str, Sequence[str]] = {
    "Clip": ("min", "max"),
    "HardSigmoid": ("alpha", "beta"),
    "HardSwish": (),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
}
_GEMM_PARAMETERS: Mapping[str, Sequence[str]] = {
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Selu": ("alpha", "gamma"),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": ("alpha",),
}
_CLIP_WITH_ATTRIBUTES = 6


@handles("FusedConv", domains=(MICROSOFT,))
def fused_conv(n: Node) -> Value:
    """y = f(x * w + b + z) over windows, f the standard activation named in ``activation``"""
    y = conv(replace(n, inputs=n.inputs[:3]))
    residual = n.maybe(3)
    return _conv_activation(n, y if residual is None else n.emit("nn.add", y, residual))


@handles("NhwcFusedConv", domains=(MICROSOFT,))
def fused_conv_channels_last(n: Node) -> Value:
    """FusedConv on an image [N, spatial..., C]; the weights stay [M, C/group, kernel...]"""
    y = on_channels_first(n, lambda x: conv(replace(n, inputs=(x, *n.inputs[1:3]))))
    residual = n.maybe(3)
    return _conv_activation(n, y if residual is None else n.emit("nn.add", y, residual))


def _conv_activation(n: Node, y: Value) -> Value:
    name = n.text("activation", "")
    names, given = _CONV_PARAMETERS.get(name, ()), n.numbers("activation_params") or []
    if len(given) != len(names) and name in ("Clip", "HardSigmoid", "LeakyRelu"):
        raise n.broken("activation_params of FusedConv has the parameters of its activation", f"{name} with {given}")
    if name and name not in _CONV_PARAMETERS:
        raise n.unsupported(
            "the activation of FusedConv is Clip, HardSigmoid, HardSwish, LeakyRelu, Relu, Sigmoid or Tanh", name
        )
    return _activated(n, y, name, dict(zip(names, given, strict=False)))


@handles("FusedGemm", domains=(MICROSOFT,))
def fused_gemm(n: Node) -> Value:
    """y = f(alpha * A' B' + beta * C), f the standard activation named in ``activation``"""
    name = n.text("activation", "")
    if name and name not in _GEMM_PARAMETERS:
        raise n.unsupported(
            "the activation of FusedGemm is one of its standard ones: Relu, Elu, Tanh, Softplus ...", name
        )
    wanted = [(key, f"activation_{key}") for key in _GEMM_PARAMETERS.get(name, ())]
    return _activated(n, gemm(n), name, {key: n.number(full, 0.0) for key, full in wanted if n.has(full)})


def _activated(n: Node, y: Value, name: str, parameters: Mapping[str, float]) -> Value:
    """The standard op ``name`` on ``y``; nothing if the name is empty."""
    if not name:
        return y
    return standard_op(n, name, y, opset=_CLIP_WITH_ATTRIBUTES if name == "Clip" else RECENT_OPSET, **parameters)


@handles("FusedMatMul", "TransposeMatMul", domains=(MICROSOFT,))
def fused_matmul(n: Node) -> Value:
    """y = alpha * A' B'; ' moves axis 0 to before the last (transBatch), then swaps the last two (trans)"""
    operands = []
    for index, side in enumerate("AB"):
        x = n.x(index)
        rank = len(x.shape)
        if rank < 2:
            raise n.unsupported("FusedMatMul takes matrices or stacks of them", str(x.type))
        perm = list(range(rank))
        if n.integer(f"transBatch{side}", 0):
            perm.insert(rank - 2, perm.pop(0))
        if n.integer(f"trans{side}", 0):
            perm[-2:] = perm[:-3:-1]
        operands.append(x if perm == sorted(perm) else n.emit("nn.transpose", x, perm=tuple(perm)))
    y = n.emit("nn.matmul", *operands)
    alpha = n.number("alpha", 1.0)
    return y if alpha == 1 else n.emit("nn.mul", y, n.scalar(alpha, y))


# --------------------------------------------------------------------------------------------------- activations


@handles("Gelu", domains=(MICROSOFT,))
def gelu(n: Node) -> Value:
    """y = x/2 * (1 + erf(x / sqrt 2))"""
    return activations.gelu(n)


@handles("BiasGelu", domains=(MICROSOFT,))
def bias_gelu(n: Node) -> Value:
    """Gelu of x + b"""
    return activations.gelu(replace(n, inputs=(n.emit("nn.add", n.x(0), n.x(1)),)))


@handles("FastGelu", domains=(MICROSOFT,))
def fast_gelu(n: Node) -> Value:
    """y = v * (1/2 + tanh(v * (0.035677408136300125 v^2 + 0.7978845608028654)) / 2) with v = x + b: Gelu by its tanh formula"""
    x, bias = n.x(0), n.maybe(1)
    if bias is not None:
        x = n.emit("nn.add", x, bias)
    square = n.emit("nn.mul", n.emit("nn.mul", x, x), n.scalar(0.044715 * sqrt(0.6366197723675814), x))
    inner = n.emit("nn.mul", x, n.emit("nn.add", square, n.scalar(sqrt(0.6366197723675814), x)))
    half = n.scalar(0.5, x)
    curve = n.emit("nn.add", n.emit("nn.mul", n.emit("nn.tanh", inner), half), half)
    return n.emit("nn.mul", x, curve)


@handles("QuickGelu", domains=(MICROSOFT,))
def quick_gelu(n: Node) -> Value:
    """y = x * sigmoid(alpha * x)"""
    x = n.x()
    return n.emit("nn.mul", x, n.emit("nn.sigmoid", n.emit("nn.mul", x, n.scalar(n.number("alpha", 1.702), x))))


# ------------------------------------------------------------------------------------------------- normalisations


@handles("SkipLayerNormalization", domains=(MICROSOFT,))
def skip_layer_normalization(n: Node) -> tuple[Value, ...]:
    """v = x + skip + bias; y = (v - mean) / sqrt(mean of (v - mean)^2 + eps) * gamma + beta over the last axis; also mean, 1/sqrt, v"""
    return _skip_normalization(n, n.maybe(3), n.maybe(4), simplified=False)


@handles("SkipSimplifiedLayerNormalization", domains=(MICROSOFT,))
def skip_simplified_layer_normalization(n: Node) -> tuple[Value, ...]:
    """v = x + skip + bias; y = v / sqrt(mean of v^2 + eps) * gamma over the last axis; the fourth output is v"""
    return _skip_normalization(n, None, n.maybe(3), simplified=True)


@handles("SimplifiedLayerNormalization", domains=(STANDARD, MICROSOFT))
def simplified_layer_normalization(n: Node) -> Value:
    """y = x / sqrt(mean of x^2 + eps) * scale over the axes from ``axis`` on (RMSNorm; onnxruntime keeps it in the standard domain)"""
    x = n.x(0)
    axes = tuple(range(n.axis(n.integer("axis", -1), len(x.shape)), len(x.shape)))
    return n.emit("nn.mul", n.emit("nn.mul", x, _inverse_deviation(n, x, axes, n.number("epsilon", 1e-5))), n.x(1))


def _skip_normalization(n: Node, beta: Value | None, bias: Value | None, *, simplified: bool) -> tuple[Value, ...]:
    total = n.emit("nn.add", n.x(0), n.x(1))
    if bias is not None:
        total = n.emit("nn.add", total, bias)
    axes = (len(total.shape) - 1,)
    mean = n.emit("nn.reduce_mean", total, axes=axes, keepdims=True)
    centred = total if simplified else n.emit("nn.sub", total, mean)
    inverse = _inverse_deviation(n, centred, axes, n.number("epsilon", 1e-12))
    y = n.emit("nn.mul", n.emit("nn.mul", centred, inverse), n.x(2))
    return (y if beta is None else n.emit("nn.add", y, beta), mean, inverse, total)


def _inverse_deviation(n: Node, centred: Value, axes: tuple[int, ...], epsilon: float) -> Value:
    variance = n.emit("nn.reduce_mean", n.emit("nn.mul", centred, centred), axes=axes, keepdims=True)
    return n.emit("nn.reciprocal", n.emit("nn.sqrt", n.emit("nn.add", variance, n.scalar(epsilon, centred))))
