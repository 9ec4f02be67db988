"""Handlers of activation functions, each written out in plain ops in the order of onnxruntime's float32 arithmetic."""

from __future__ import annotations

import numpy as np

from bitc.frontend.node import Node, dtype_of, handles
from bitc.ir import Value


@handles("LeakyRelu")
def leaky_relu(n: Node) -> Value:
    """y = x where x >= 0, else alpha * x"""
    return n.emit("nn.prelu", n.x(), n.scalar(n.number("alpha", 0.01), n.x()))


@handles("PRelu")
def prelu(n: Node) -> Value:
    """y = x where x >= 0, else slope * x; the slope broadcasts to x, never the other way"""
    y = n.emit("nn.prelu", n.x(0), n.x(1))
    if y.shape != n.x(0).shape:
        raise n.broken("the slope of PRelu broadcasts to the shape of its input")
    return y


@handles("Clip", until=10)
def clip_by_attributes(n: Node) -> Value:
    """y = min(max(x, lo), hi), the bounds as attributes"""
    low = n.scalar(n.number("min", 0.0), n.x()) if n.has("min") else None
    high = n.scalar(n.number("max", 0.0), n.x()) if n.has("max") else None
    return clip(n, n.x(), low, high)


@handles("Clip", since=11)
def clip_by_inputs(n: Node) -> Value:
    """y = min(max(x, lo), hi), the bounds as optional scalar inputs"""
    return clip(n, n.x(), n.maybe(1), n.maybe(2))


def clip(n: Node, x: Value, low: Value | None, high: Value | None) -> Value:
    """Maximum first, so ``high`` wins if the bounds cross. A missing bound does not bound (onnxruntime: the largest finite number)."""
    if low is not None:
        x = n.emit("nn.max", x, low)
    return x if high is None else n.emit("nn.min", x, high)


@handles("HardSigmoid")
def hard_sigmoid(n: Node) -> Value:
    """y = max(0, min(1, alpha * x + beta))"""
    return _hard_sigmoid(n, n.x(), n.number("alpha", 0.2), n.number("beta", 0.5))


@handles("HardSwish", since=14)
def hard_swish(n: Node) -> Value:
    """y = x * max(0, min(1, x / 6 + 0.5))"""
    return n.emit("nn.mul", n.x(), _hard_sigmoid(n, n.x(), 1 / 6, 0.5))


def _hard_sigmoid(n: Node, x: Value, alpha: float, beta: float) -> Value:
    line = n.emit("nn.add", n.emit("nn.mul", x, n.scalar(alpha, x)), n.scalar(beta, x))
    return n.emit("nn.max", n.emit("nn.min", line, n.scalar(1, x)), n.scalar(0, x))


@handles("Elu")
def elu(n: Node) -> Value:
    """y = x where x >= 0, else alpha * (e^x - 1)"""
    x = n.x()
    below = n.emit("nn.mul", n.scalar(n.number("alpha", 1.0), x), n.emit("nn.sub", n.emit("nn.exp", x), n.scalar(1, x)))
    return n.emit("nn.where", n.emit("nn.less", x, n.scalar(0, x)), below, x)


@handles("Selu")
def selu(n: Node) -> Value:
    """y = gamma * x where x > 0, else (gamma * alpha) * (e^x - 1), rounded as onnxruntime rounds it"""
    x = n.x()
    gamma = n.scalar(n.number("gamma", 1.05070102214813232421875), x)
    both = n.emit("nn.mul", gamma, n.scalar(n.number("alpha", 1.67326319217681884765625), x))
    below = n.emit("nn.mul", both, n.emit("nn.sub", n.emit("nn.exp", x), n.scalar(1, x)))
    return n.emit("nn.where", n.emit("nn.greater", x, n.scalar(0, x)), n.emit("nn.mul", gamma, x), below)


@handles("ThresholdedRelu", since=10)
def thresholded_relu(n: Node) -> Value:
    """y = x where x > alpha, else 0"""
    x = n.x()
    return n.emit("nn.where", n.emit("nn.greater", x, n.scalar(n.number("alpha", 1.0), x)), x, n.scalar(0, x))


@handles("Softplus")
def softplus(n: Node) -> Value:
    """y = ln(1 + e^-|x|) + max(x, 0), which does not overflow"""
    x = n.x()
    small = n.emit("nn.exp", n.emit("nn.neg", n.emit("nn.abs", x)))
    return n.emit("nn.add", n.emit("nn.log1p", small), n.emit("nn.relu", x))


@handles("Mish", since=18)
def mish(n: Node) -> Value:
    """y = x * tanh(ln(1 + e^x))"""
    return n.emit("nn.mul", n.x(), n.emit("nn.tanh", softplus(n)))


@handles("Celu", since=12)
def celu(n: Node) -> Value:
    """y = max(0, x) + min(0, alpha * (e^(x / alpha) - 1))"""
    x, alpha = n.x(), n.scalar(n.number("alpha", 1.0), n.x())
    curve = n.emit("nn.sub", n.emit("nn.exp", n.emit("nn.div", x, alpha)), n.scalar(1, x))
    below = n.emit("nn.min", n.emit("nn.mul", alpha, curve), n.scalar(0, x))
    return n.emit("nn.add", n.emit("nn.relu", x), below)


@handles("Swish", since=24)
def swish(n: Node) -> Value:
    """y = x / (1 + e^(-alpha * x))"""
    x = n.x()
    return n.emit("nn.mul", x, n.emit("nn.sigmoid", n.emit("nn.mul", x, n.scalar(n.number("alpha", 1.0), x))))


@handles("Shrink", since=9)
def shrink(n: Node) -> Value:
    """y = x + bias where x < -lambd, x - bias where x > lambd, else 0"""
    x = n.x()
    edge, bias, zero = n.number("lambd", 0.5), n.scalar(n.number("bias", 0.0), x), n.scalar(0, x)
    above = n.emit("nn.where", n.emit("nn.greater", x, n.scalar(edge, x)), n.emit("nn.sub", x, bias), zero)
    return n.emit("nn.where", n.emit("nn.less", x, n.scalar(-edge, x)), n.emit("nn.add", x, bias), above)


@handles("Softsign")
def softsign(n: Node) -> Value:
    """y = 1 / (1 + |x|) * x, rounded twice as onnxruntime does"""
    x = n.x()
    return n.emit("nn.mul", n.emit("nn.reciprocal", n.emit("nn.add", n.scalar(1, x), n.emit("nn.abs", x))), x)


@handles("Gelu", since=20)
def gelu(n: Node) -> Value:
    """y = x/2 * (1 + erf(x / sqrt 2)), or with tanh of sqrt(2/pi) * (x + 0.044715 x^3) in place of erf"""
    x = n.x()
    if n.text("approximate", "none") == "tanh":
        cube = n.emit("nn.mul", n.emit("nn.mul", x, x), x)
        inner = n.emit("nn.add", x, n.emit("nn.mul", n.scalar(0.044715, x), cube))
        curve = n.emit("nn.tanh", n.emit("nn.mul", n.scalar(np.sqrt(2 / np.pi), x), inner))
    else:
        curve = n.emit("nn.erf", n.emit("nn.mul", x, n.scalar(np.sqrt(0.5), x)))
    half = n.emit("nn.mul", x, n.scalar(0.5, x))
    return n.emit("nn.mul", half, n.emit("nn.add", curve, n.scalar(1, x)))


@handles("Dropout")
def dropout(n: Node) -> tuple[Value, Value]:
    """y = x: bitc compiles networks for inference; the mask is true, before opset 12 false, as onnxruntime has it"""
    x, training = n.x(), n.maybe_array(2, "training_mode") if n.opset >= 12 else None
    if training is not None and bool(training.any()):
        ratio = n.maybe_array(1, "ratio")
        if ratio is None or bool(ratio.any()):
            hint = "export the network after model.eval()"
            raise n.unsupported("Dropout runs in inference mode", "training_mode is true", hint)
    return x, n.constant(np.full(x.shape, n.opset >= 12, np.bool_ if n.opset >= 10 else dtype_of(x).numpy))


@handles("Identity")
def identity(n: Node) -> Value:
    """y = x"""
    return n.x()
