"""Train `digits_mixed_w8_w1`: an 8-bit first convolution, a 1-bit body, a float classifier on ±1 features.

Fake quantization is spelled ``clip(round(x / s), lo, hi) * s``, without QuantizeLinear. Every scale is a power of two
and the body's weights are plain ±1, so each product and partial sum before a BatchNorm is representable in float32:
the codes of this network do not depend on the order of summation.
"""

from __future__ import annotations

import torch
from common import BinaryConv2d, Recipe, Sign, main, straight_through
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 32
INPUT_SCALE = 2.0**-7
WEIGHT_LIMIT = 127


def fake_quantize(x: Tensor, scale: Tensor | float, low: int, high: int, training: bool) -> Tensor:
    """x on the grid of `scale`, codes in [low, high], ties to even; gradient 1 within the range."""
    hard = (x / scale).round().clamp(low, high) * scale
    return straight_through(hard, x) if training else hard


class InputQuantizer(nn.Module):
    """[-1, 1] to int8 codes of 1/128; full ink saturates at 127/128."""

    def forward(self, x: Tensor) -> Tensor:
        return fake_quantize(x, INPUT_SCALE, -128, 127, self.training)


class Int8Conv2d(nn.Conv2d):
    """3x3 convolution of int8 weights (codes -127..127), zero padding; one power-of-two scale per output channel."""

    scale: Tensor

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.register_buffer("scale", torch.ones(out_channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            largest = self.weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True)
            self.scale.copy_(torch.exp2(torch.ceil(torch.log2(largest / WEIGHT_LIMIT))))
        weight = fake_quantize(self.weight, self.scale, -WEIGHT_LIMIT, WEIGHT_LIMIT, self.training)
        return functional.conv2d(x, weight, stride=self.stride, padding=self.padding)


def build(image_size: int) -> nn.Module:
    """The network for square images of `image_size` pixels; 28x28 images are halved by the first convolution."""
    stride = 2 if image_size > 8 else 1
    features = 2 * WIDTH * (image_size // stride // 2) ** 2
    return nn.Sequential(
        InputQuantizer(),
        Int8Conv2d(1, WIDTH, stride),
        nn.BatchNorm2d(WIDTH),
        Sign(),
        BinaryConv2d(WIDTH, WIDTH),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(WIDTH),
        Sign(),
        BinaryConv2d(WIDTH, 2 * WIDTH),
        nn.BatchNorm2d(2 * WIDTH),
        Sign(),
        nn.Flatten(),
        nn.Linear(features, 10),
    )


if __name__ == "__main__":
    main("mixed_w8_w1", build, Recipe(epochs=40, mnist_epochs=8))
