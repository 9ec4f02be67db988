"""Networks trained by others, with the data and the preprocessing they were measured with; read from the shared folder if present."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Samples = tuple[np.ndarray, np.ndarray]
"""(inputs as the network takes them, labels)."""


def mnist(shared: Path) -> Samples:
    """The MNIST test set: u8[10000,28,28] and labels."""
    with gzip.open(shared / "data/mnist/t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(shared / "data/mnist/t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images, labels


def unit_mnist(shared: Path) -> Samples:
    """Pixels / 255, [N,1,28,28]."""
    images, labels = mnist(shared)
    return (images.astype(np.float32) / 255)[:, None], labels


def bipolar_mnist(shared: Path) -> Samples:
    """Pixels >= 128 are +1, others -1, [N,784]."""
    images, labels = mnist(shared)
    return np.where(images.reshape(-1, 784) >= 128, 1, -1).astype(np.float32), labels


def _held_out(shared: Path) -> Samples:
    images, labels = mnist(shared)
    chosen = np.load(shared / "data/mnist/t10k_split_idx.npz")["test"]
    return images[chosen], labels[chosen]


def nhwc_mnist(shared: Path) -> Samples:
    """Held-out images, pixel / 127.5 - 1, [N,28,28,1] (Keras)."""
    images, labels = _held_out(shared)
    return (images.astype(np.float32) / 127.5 - 1)[..., None], labels


def nchw_mnist(shared: Path) -> Samples:
    """Held-out images, pixel / 255 · 2 - 1, [N,1,28,28] (PyTorch)."""
    images, labels = _held_out(shared)
    return (images.astype(np.float32) / 255 * 2 - 1)[:, None], labels


def cifar10(shared: Path) -> Samples:
    """200 lossless CIFAR-10 test images, quantized as BNN-PYNQ does: integers -128..127 as float32, [N,3,32,32]."""
    data = np.load(shared / "data/cifar10_test_raw_ic01.npz")
    pixels = data["x"].transpose(0, 3, 1, 2).astype(np.float32)
    quantized = np.clip(np.floor((2 * pixels / 255 - 1) * 128 + 0.5), -128, 127)
    return quantized.astype(np.float32), data["y"].reshape(-1)


@dataclass(frozen=True, slots=True)
class Published:
    """One network: its file below models/, its samples, how many of them it classifies rightly (``right`` ``of``), how many of its
    layers run as bits, and whether its outputs are the oracle's bit for bit on this data."""

    file: str
    samples: Callable[[Path], Samples]
    right: int
    of: int
    bit_layers: int
    bit_equal: bool = False

    def __str__(self) -> str:
        return Path(self.file).stem


BYTES = tuple(float(v) for v in range(-128, 128))

PUBLISHED = (
    Published("qonnx_zoo/TFC_1W1A.onnx", unit_mnist, 9296, 10000, 4, bit_equal=True),
    Published("bnn_pynq/lfcW1A1_mnist_sign.onnx", bipolar_mnist, 9834, 10000, 4, bit_equal=True),
    Published("bnn_pynq/cnvW1A1_cifar10_sign.onnx", cifar10, 146, 200, 8, bit_equal=True),
    Published("bnn_pynq/cnvW1A2_cifar10_gt.onnx", cifar10, 156, 200, 8, bit_equal=True),
    Published("larq_exports/larq_cnn_stesign_pad0.onnx", nhwc_mnist, 1708, 2000, 3),
    Published("larq_exports/larq_cnn_stesign_pad1.onnx", nhwc_mnist, 1835, 2000, 3),
    Published("torch_exports/xnor_cnn_sign_ts.onnx", nchw_mnist, 1954, 2000, 2),
    Published("torch_exports/xnor_cnn_sign_dynamo.onnx", nchw_mnist, 1954, 2000, 2),
    Published("torch_exports/bnn_mlp_sign_ts.onnx", nchw_mnist, 1860, 2000, 3, bit_equal=True),
    Published("brevitas_exports/brevitas_w1a1_qonnx.onnx", nchw_mnist, 1880, 2000, 3, bit_equal=True),
)
