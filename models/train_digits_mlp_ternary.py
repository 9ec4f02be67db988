"""Train `digits_mlp_ternary`: activations in {-1, 0, +1}, weights in {-1, +1}, a float last layer.

A ternary activation is two comparisons, ``float(x > t) + float(x > -t) - 1``: the sum of two thresholds, as a k-level
quantizer is the sum of k - 1. On the digits' 17 grey levels t = 0.5 makes white, grey and black.
"""

from __future__ import annotations

from common import BinaryLinear, Recipe, main, straight_through
from torch import Tensor, nn

HIDDEN = 192
THRESHOLD = 0.5


class Ternary(nn.Module):
    """-1 up to -THRESHOLD, +1 above THRESHOLD, 0 between; trained through hardtanh."""

    def forward(self, x: Tensor) -> Tensor:
        hard = (x > THRESHOLD).float() + (x > -THRESHOLD).float() - 1
        return straight_through(hard, x.clamp(-1, 1)) if self.training else hard


def build(image_size: int) -> nn.Module:
    """The network for square images of `image_size` pixels."""
    return nn.Sequential(
        nn.Flatten(),
        Ternary(),
        BinaryLinear(image_size**2, HIDDEN),
        nn.BatchNorm1d(HIDDEN),
        Ternary(),
        BinaryLinear(HIDDEN, HIDDEN),
        nn.BatchNorm1d(HIDDEN),
        Ternary(),
        nn.Linear(HIDDEN, 10),
    )


if __name__ == "__main__":
    main("mlp_ternary", build, Recipe(epochs=60, mnist_epochs=15))
