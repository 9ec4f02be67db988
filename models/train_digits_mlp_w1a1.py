"""Train `digits_mlp_w1a1`: a binary MLP in the manner of BinaryNet (Hubara et al., 2016, arXiv:1602.02830).

Every product is ±1 x ±1, the input's too: pixels are binarized at half ink. Activations are ``where(x >= 0, 1, -1)``,
so 0 becomes +1; weights are ``torch.sign``. The last layer's accumulators get one float scale and offset per class.
"""

from __future__ import annotations

import torch
from common import BinaryLinear, Recipe, main, straight_through
from torch import Tensor, nn

HIDDEN = 192
JITTER = 0.5


class WhereSign(nn.Module):
    """x >= 0 ? +1 : -1, trained through hardtanh."""

    def forward(self, x: Tensor) -> Tensor:
        hard = torch.where(x >= 0, 1.0, -1.0)
        return straight_through(hard, x.clamp(-1, 1)) if self.training else hard


class Jitter(nn.Module):
    """Noise on the grey levels while training, so that one image is binarized in many ways; nothing in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x + JITTER * torch.randn_like(x) if self.training else x


class ClassScale(nn.Module):
    """accumulator * scale + offset, one pair per class."""

    def __init__(self, classes: int, fan_in: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((classes,), fan_in**-0.5))
        self.offset = nn.Parameter(torch.zeros(classes))

    def forward(self, accumulator: Tensor) -> Tensor:
        return accumulator * self.scale + self.offset


def build(image_size: int) -> nn.Module:
    """The network for square images of `image_size` pixels."""
    return nn.Sequential(
        nn.Flatten(),
        Jitter(),
        WhereSign(),
        BinaryLinear(image_size**2, HIDDEN),
        nn.BatchNorm1d(HIDDEN),
        WhereSign(),
        BinaryLinear(HIDDEN, HIDDEN),
        nn.BatchNorm1d(HIDDEN),
        WhereSign(),
        BinaryLinear(HIDDEN, 10),
        ClassScale(10, HIDDEN),
    )


if __name__ == "__main__":
    main("mlp_w1a1", build, Recipe(epochs=100, mnist_epochs=15))
