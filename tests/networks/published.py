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


def raw_mnist(shared: Path) -> Samples:
    """Pixels 0..255 as float32, [N,1,28,28]."""
    images, labels = mnist(shared)
    return images.astype(np.float32)[:, None], labels


def raw_mnist_1000(shared: Path) -> Samples:
    """The first 1,000 of :func:`raw_mnist`."""
    images, labels = raw_mnist(shared)
    return images[:1000], labels[:1000]


def cifar10_bytes(shared: Path) -> Samples:
    """200 lossless CIFAR-10 test images, pixel - 128 as int8, [N,32,32,3]."""
    data = np.load(shared / "data/cifar10_test_raw_ic01.npz")
    return (data["x"].astype(np.int16) - 128).astype(np.int8), data["y"].reshape(-1)


def keywords(shared: Path) -> Samples:
    """1,000 Speech Commands as int8 MFCC, [N,49,10,1]."""
    data = np.load(shared / "data/kws01_1000.npz")
    return data["x"], data["y"]


def wake_words(shared: Path) -> Samples:
    """100 Visual Wake Words images, pixel - 128 as int8, [N,96,96,3]."""
    data = np.load(shared / "data/vww01_100.npz")
    return (data["x"].astype(np.int16) - 128).astype(np.int8), data["y"].reshape(-1)


def machine_sounds(shared: Path) -> Samples:
    """Windows of 5 x 128 log-mel numbers of 20 ToyCar recordings, quantized as the model wants them, int8 [N,640]; no labels."""
    data = np.load(shared / "data/ad01_20.npz")
    frames = data["x"].reshape(20, 200, 128)
    windows = np.stack([frames[:, i : i + 5].reshape(20, 640) for i in range(0, 196, 28)], axis=1).reshape(-1, 640)
    quantized = np.clip(np.rint(windows / np.float32(0.39101523)) + 89, -128, 127)
    return quantized.astype(np.int8), np.zeros(len(quantized), np.int64)


def keyword_of_finn(shared: Path) -> Samples:
    """The one sample FINN publishes with its class, [1,1,10,49]."""
    x, label = (np.load(shared / f"data/finn_kws_{which}.npy") for which in ("input", "expected_output"))
    return x, label


def anything(*shape: int, scale: float = 1.0) -> Callable[[Path], Samples]:
    """Random numbers for a network that comes without data; no labels."""

    def load(shared: Path) -> Samples:
        x = np.random.default_rng(0).normal(0, scale, shape).astype(np.float32)
        return x, np.zeros(len(x), np.int64)

    return load


@dataclass(frozen=True, slots=True)
class Published:
    """One network: its file below models/, its samples, how many of them it classifies rightly (``right`` ``of``), how many of its
    layers run as bits (of the quantized ones: as bits or integers), and whether its outputs are the oracle's bit for bit on this
    data. ``close`` samples have two classes whose scores lie closer than the file's own rounding: any correct evaluation may take
    either. Without labels ``right`` is None."""

    file: str
    samples: Callable[[Path], Samples]
    right: int | None
    of: int
    bit_layers: int
    bit_equal: bool = False
    close: int = 0

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

QUANTIZED = (
    Published("qonnx_zoo/TFC_2W2A.onnx", unit_mnist, 9660, 10000, 4, bit_equal=True),
    Published("qonnx_zoo/kwsmlp_w3a3.onnx", keyword_of_finn, 1, 1, 4),
    Published("larq_exports/larq_cnn_dorefa2.onnx", nhwc_mnist, 1906, 2000, 3),
    Published("brevitas_exports/brevitas_w2a2_qonnx.onnx", nchw_mnist, 1717, 2000, 4, bit_equal=True),
    Published("brevitas_exports/brevitas_w2a2_qcdq.onnx", nchw_mnist, 1717, 2000, 4, bit_equal=True),
    Published("brevitas_exports/brevitas_w4a4_pc_qcdq.onnx", nchw_mnist, 1949, 2000, 3),
    Published("brevitas_exports/brevitas_w8a8_pc_qcdq.onnx", nchw_mnist, 1952, 2000, 3),
    Published("torch_exports/dorefa_w1a2_ts.onnx", nchw_mnist, 1946, 2000, 2),
    Published("torch_exports/twn_cnn_ts.onnx", nchw_mnist, 1958, 2000, 0),
    Published("torch_exports/bireal_cnn_sign_ts.onnx", nchw_mnist, 1594, 2000, 2),
    Published("mlperf_tiny/resnet8_cifar10_int8_qdq.onnx", cifar10_bytes, 170, 200, 10, close=1),
    Published("mlperf_tiny/kws_dscnn_int8_qop.onnx", keywords, 902, 1000, 10, bit_equal=True),
    Published("mlperf_tiny/vww_mobilenetv1_int8_qdq.onnx", wake_words, 75, 100, 27),
    Published("mlperf_tiny/ad_autoencoder_int8_qop.onnx", machine_sounds, None, 140, 10, bit_equal=True),
    Published("ort_quant/mnist_cnn_dynamic.onnx", raw_mnist, 9890, 10000, 3, bit_equal=True),
    Published("ort_quant/mnist_cnn_qdq_u8u8.onnx", raw_mnist, 9889, 10000, 3),
    Published("ort_quant/mnist_cnn_qop_u8u8.onnx", raw_mnist, 9889, 10000, 3, bit_equal=True),
    Published("ort_quant/dense_big_matmulnbits_b4_asym.onnx", anything(64, 16), None, 64, 0),
    Published("finn/build_dataflow_model.onnx", raw_mnist_1000, 913, 1000, 4, bit_equal=True),
    Published("qonnx_tests/bsd300x3-espcn_nn_resize_quant_model.onnx", anything(1, 3, 128, 128), None, 1, 4),
    Published("qonnx_tests/floatquant_exec_qonnx_act_weight_fp8.onnx", anything(64, 3), None, 64, 0),
)
