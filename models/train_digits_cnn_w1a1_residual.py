"""Train `digits_cnn_w1a1_residual`: a small Bi-Real network (Liu et al., 2018, arXiv:1808.00278).

Binary 3x3 convolutions with **zero padding** (a padded tap is neither +1 nor -1) and weights ±mean|w| per output
channel, each with a float shortcut round it: ``PReLU(shortcut(x) + BN(conv(sign(x))))``. The first convolution, the
downsampling shortcut and the classifier are float.
"""

from __future__ import annotations

from common import BinaryConv2d, Recipe, Sign, main
from torch import Tensor, nn

WIDTH = 32


class ResidualBlock(nn.Module):
    """f32[N,in,H,W] -> f32[N,out,H,W]; with `downsample`, [N,out,H/2,W/2] and a pooled 1x1 shortcut."""

    def __init__(self, in_channels: int, out_channels: int, downsample: bool) -> None:
        super().__init__()
        self.sign = Sign()
        self.conv = BinaryConv2d(in_channels, out_channels, stride=2 if downsample else 1, scaled=True)
        self.norm = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if downsample:
            pointwise = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
            self.shortcut = nn.Sequential(nn.AvgPool2d(2), pointwise, nn.BatchNorm2d(out_channels))
        self.prelu = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(self.sign(x))) + self.shortcut(x)
        activated: Tensor = self.prelu(y)
        return activated


def build(image_size: int) -> nn.Module:
    """The network for square images of `image_size` pixels.

    For 28x28 images the first convolution halves the image, and one more block widens the receptive field.
    """
    large = image_size > 8
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, kernel_size=3, stride=2 if large else 1, padding=1, bias=False),
        nn.BatchNorm2d(WIDTH),
        nn.PReLU(WIDTH),
        ResidualBlock(WIDTH, WIDTH, downsample=False),
        ResidualBlock(WIDTH, 2 * WIDTH, downsample=True),
        *([ResidualBlock(2 * WIDTH, 2 * WIDTH, downsample=False)] if large else []),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * WIDTH, 10),
    )


if __name__ == "__main__":
    main("cnn_w1a1_residual", build, Recipe(epochs=40, mnist_epochs=8))
