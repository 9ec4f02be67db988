"""Productions that keep a float tensor's shape: activations, normalisations, residual sums, and every spelling of a binarization."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitc.fuzz.network import Network, Tensor

F = np.float32


def batch_norm(net: Network, x: Tensor) -> Tensor:
    """With factors of both signs, zero and nearly zero among them."""
    channels = x.channels
    gamma = net.draw.choice([-1.5, -0.5, 0.0, 1e-30, 0.75, 1.0], channels).astype(F)
    variance = net.draw.choice([0.25, 1.0, 4.0], channels) if net.dyadic else net.draw.uniform(0, 9, channels)
    shift, mean = net.floats([channels], 1), net.floats([channels], 3)
    epsilon = net.choose.choice([0.0, 1e-5, 1e-3])
    variance = np.maximum(variance, 1e-3)
    return net.node("BatchNormalization", x, gamma, shift, mean, variance.astype(F), epsilon=epsilon, like=(F, x.shape))


def prelu(net: Network, x: Tensor) -> Tensor:
    """A slope a channel, or one for all."""
    slopes = net.draw.choice([-1.0, -0.25, 0.0, 0.3, 1.0], x.channels).astype(F)
    if net.maybe(0.3):
        slopes = slopes[:1]
        return net.node("PRelu", x, slopes)
    return net.node("PRelu", x, slopes.reshape(-1, *(1 for _ in x.shape[2:])))


def activation(net: Network, x: Tensor) -> Tensor:
    """One that takes no constants."""
    smooth = (
        []
        if net.dyadic
        else ["Sigmoid", "Tanh", "Elu", "Softplus", "Exp", "Erf", "Softsign", "Sin", "Cos", "Atan", "Selu"]
    )
    smooth += ["HardSwish", "Mish"] if smooth and net.setting.opset >= 18 else []
    plain = ["Relu", "Abs", "Neg", "Round", "Floor", "Ceil", "HardSigmoid", "LeakyRelu", "Identity", "ThresholdedRelu"]
    kind = net.choose.choice(plain + smooth)
    attrs: dict[str, Any] = {
        "HardSigmoid": {"alpha": net.choose.choice([0.25, 0.2]), "beta": 0.5},
        "LeakyRelu": {"alpha": net.choose.choice([0.125, 0.1, -0.5])},
        "ThresholdedRelu": {"alpha": net.choose.choice([0.0, 1.0, 2.5])},
    }
    if kind == "Exp":
        x = clip(net, x)
    return net.node(kind, x, **attrs.get(kind, {}))


def clip(net: Network, x: Tensor) -> Tensor:
    """Both ends, or one of them."""
    low, high = F(net.choose.choice([-3, -1, 0])), F(net.choose.choice([1, 2.5, 6]))
    if net.maybe(0.25):
        return net.node("Min", net.node("Max", x, low), high)
    return net.node("Clip", x, *net.choose.choice([(low, high), (low,), (None, high)]))


def affine(net: Network, x: Tensor) -> Tensor:
    """A constant a channel, an element, or one for all, on either side of the operator."""
    kind = net.choose.choice(["Add", "Sub", "Mul", "Div"])
    shape = net.choose.choice([(), (1, x.channels, *(1 for _ in x.shape[2:])), x.shape[-1:], (1, *x.shape[1:])])
    values = net.floats(shape)
    if kind in ("Mul", "Div"):
        signs = net.draw.choice([-1, 1], shape).astype(F)
        values = net.scales(shape) * (signs if net.maybe(0.4) else F(1))
    if kind == "Div" or net.maybe(0.8):
        return net.node(kind, x, values)
    return net.node(kind, values, x)


def with_itself(net: Network, x: Tensor) -> Tensor:
    """A sum, product or larger one of two maps of one tensor."""
    kind = net.choose.choice(["Add", "Sub", "Mul", "Max", "Min"])
    return net.node(kind, activation(net, x), affine(net, x))


def island(net: Network, x: Tensor) -> Tensor:
    """A scale in channels-last order between two transposes."""
    if not x.is_image:
        return affine(net, x)
    turned = net.node("Transpose", x, perm=[0, 2, 3, 1])
    scaled = net.node("Mul", turned, net.scales([x.channels]))
    return net.node("Transpose", scaled, perm=[0, 3, 1, 2])


def softmax(net: Network, x: Tensor) -> Tensor:
    """Along the last axis or the channels."""
    return net.node(net.choose.choice(["Softmax", "LogSoftmax"]), x, axis=net.choose.choice([1, -1]))


# binarizations


def sign(net: Network, x: Tensor) -> Tensor:
    """ONNX's own, whose 0 stays 0."""
    return net.node("Sign", x)


def larq_sign(net: Network, x: Tensor) -> Tensor:
    """0 becomes +1."""
    return sign(net, net.node("Add", sign(net, x), F(0.1)))


def where(net: Network, x: Tensor) -> Tensor:
    """A comparison with a constant that picks one of two numbers."""
    kind = net.choose.choice(["Greater", "Less", "GreaterOrEqual", "LessOrEqual"])
    low, high = net.choose.choice([(-1, 1), (0, 1), (-0.5, 0.5), (1, -1)])
    threshold = net.floats((1, x.channels, *(1 for _ in x.shape[2:]))) if net.maybe(0.3) else F(0)
    return net.node("Where", net.node(kind, x, threshold), F(high), F(low))


def cast(net: Network, x: Tensor) -> Tensor:
    """A comparison cast to numbers, perhaps moved to ±1."""
    bits = net.node("Cast", net.node("Greater", x, F(0)), to=1)
    if net.maybe(0.3):
        return bits
    return net.node("Sub", net.node("Mul", bits, F(2)), F(1))


def rounding(net: Network, x: Tensor) -> Tensor:
    """A few levels by division, rounding and clipping in either order."""
    step = net.scales()
    low, high = (F(v) for v in net.choose.choice([(-1, 1), (0, 3), (0, 1), (-2, 1), (-7, 7), (0, 255)]))
    x = net.node("Div", x, step)
    kind = net.choose.choice(["Round", "Floor"])
    if net.maybe(0.5):
        x = net.node("Clip", net.node(kind, x), low, high)
    else:
        x = net.node(kind, net.node("Clip", x, low, high))
    return net.node("Mul", x, step) if net.maybe(0.7) else x


def dead_zone(net: Network, x: Tensor) -> Tensor:
    """Ternary by two comparisons."""
    up, down = net.node("Greater", x, F(0.7)), net.node("Less", x, F(-0.7))
    return net.node("Sub", net.node("Cast", up, to=1), net.node("Cast", down, to=1))


def straight_through(net: Network, x: Tensor) -> Tensor:
    """The residue of a straight-through estimator: clip(x) + (sign(x) - clip(x))."""
    soft = net.node("Clip", x, F(-1), F(1))
    return net.node("Add", soft, net.node("Sub", sign(net, x), soft))


SMOOTH = (batch_norm, prelu, activation, clip, affine, with_itself, island)
BINARIZERS = (sign, larq_sign, where, cast, rounding, dead_zone, straight_through)
