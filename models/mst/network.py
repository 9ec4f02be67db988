"""The network the recipe is shown on: a float stem, three binary 3x3 convolutions with zero padding, a float classifier."""

from __future__ import annotations

import torch
from common import Sign
from torch import Tensor, nn


class Network(nn.Module):
    """f32[N,C,S,S] -> logits f32[N,10]. Images above 8x8 are halved by a 5x5 stem; ``binary`` are the layers to constrain."""

    def __init__(self, channels: int, image_size: int, width: int = 64) -> None:
        super().__init__()
        large = image_size > 8
        stem = {"kernel_size": 5, "stride": 2, "padding": 2} if large else {"kernel_size": 3, "padding": 1}
        self.stem = nn.Sequential(nn.Conv2d(channels, width, bias=False, **stem), nn.BatchNorm2d(width), Sign())  # type: ignore[arg-type]
        self.binary = nn.ModuleList(
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
            for inputs, outputs in ((width, width), (width, width), (width, 2 * width))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width * scale) for scale in (1, 1, 2))
        self.sign, self.pool = Sign(), nn.MaxPool2d(2)
        pixels = ((image_size + 1) // 2 if large else image_size) // 2
        self.classifier = nn.Linear(2 * width * pixels**2, 10)
        for layer in self.binary:
            nn.init.uniform_(layer.weight, -0.5, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for number, (layer, norm) in enumerate(zip(self.binary, self.norms, strict=True)):
            y = layer(x)
            x = self.sign(norm(self.pool(y) if number == 1 else y))
        logits: Tensor = self.classifier(torch.flatten(x, 1)) * 0.1
        return logits
