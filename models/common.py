"""Shared by the training scripts of this folder: data, straight-through layers, training, export and evaluation.

A script gives a network and a `Recipe`; `main` trains it on scikit-learn's digits (or MNIST with ``--mnist``), exports
it with PyTorch's TorchScript exporter, measures it with onnxruntime and writes three files side by side: ``NAME.onnx``,
``NAME.json`` (accuracy, seed, versions) and ``NAME_golden.npz`` (inputs, onnxruntime's outputs, labels).

Guarantee: on one machine and one set of package versions the same script writes the same bytes every time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort  # type: ignore[import-untyped]
import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional
from torch.onnx import TrainingMode

SPLIT_SEED = 0
GOLDEN_IMAGES = 16
OPSET = 13
MAX_IR_VERSION = 10

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


# ---------------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True, slots=True)
class Dataset:
    """Images f32[N,C,H,W] (grey: C is 1) scaled to [-1, 1] (-1 is background, +1 is full ink) and their classes i64[N]."""

    name: str
    train_x: Images
    train_y: Labels
    test_x: Images
    test_y: Labels

    @property
    def image_size(self) -> int:
        """Height and width of an image, in pixels."""
        return int(self.train_x.shape[-1])


def digits_dataset() -> Dataset:
    """scikit-learn's digits: 1,797 images of 8x8, pixels 0..16 mapped by p/8 - 1; 1,297 to train, 500 held out."""
    pixels, classes = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) / 8 - 1).astype(np.float32)
    return _split("digits", images, classes.astype(np.int64), held_out=500)


def mnist_dataset(folder: Path) -> Dataset:
    """MNIST from a folder of idx ``.gz`` files: 28x28 images, pixels 0..255 mapped by p/127.5 - 1.

    Uses the official 60,000/10,000 split. Where only the ``t10k`` pair is present, it is split 8,000/2,000.

    Raises:
        FileNotFoundError: the ``t10k`` pair is missing.
        ValueError: a file is not an idx file of unsigned bytes.
    """
    test_x, test_y = _idx_pair(folder, "t10k")
    if not (folder / "train-images-idx3-ubyte.gz").exists():
        return _split("mnist", test_x, test_y, held_out=2000)
    return Dataset("mnist", *_idx_pair(folder, "train"), test_x, test_y)


def cifar10_dataset(folder: Path) -> Dataset:
    """CIFAR-10 from a folder of its binary version (``data_batch_1..5.bin``, ``test_batch.bin``): 32x32 RGB, p/127.5 - 1.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is not whole records of 1 + 3,072 bytes.
    """
    train = [_cifar_batch(folder / f"data_batch_{number}.bin") for number in range(1, 6)]
    train_x, train_y = (np.concatenate(part) for part in zip(*train, strict=True))
    return Dataset("cifar10", train_x, train_y, *_cifar_batch(folder / "test_batch.bin"))


def _cifar_batch(path: Path) -> tuple[Images, Labels]:
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if not content.size or content.size % 3073:
        raise ValueError(f"{path}: not a batch of CIFAR-10's binary version")
    records = content.reshape(-1, 3073)
    return (records[:, 1:].reshape(-1, 3, 32, 32) / 127.5 - 1).astype(np.float32), records[:, 0].astype(np.int64)


def _split(name: str, images: Images, classes: Labels, held_out: int) -> Dataset:
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    train, test = order[:-held_out], order[-held_out:]
    return Dataset(name, images[train], classes[train], images[test], classes[test])


def _idx_pair(folder: Path, part: str) -> tuple[Images, Labels]:
    pixels = _read_idx(folder / f"{part}-images-idx3-ubyte.gz")
    classes = _read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
    return (pixels[:, None] / 127.5 - 1).astype(np.float32), classes.astype(np.int64)


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """An idx file: two zero bytes, element type (8 = unsigned byte), rank, big-endian u32 dimensions, elements."""
    content = gzip.decompress(path.read_bytes())
    if content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path}: not an idx file of unsigned bytes")
    rank = content[3]
    shape = struct.unpack_from(f">{rank}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


# -------------------------------------------------------------------------------------------------------------- layers


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard` with the gradient of `soft` (Bengio et al., 2013, arXiv:1308.3432)."""
    return soft + (hard - soft).detach()


class Sign(nn.Module):
    """``torch.sign`` (so 0 stays 0), trained through a piecewise polynomial.

    The polynomial is Bi-Real's (Liu et al., 2018, arXiv:1808.00278): gradient 2 - 2|x| within [-1, 1], 0 outside.
    """

    def forward(self, x: Tensor) -> Tensor:
        hard = torch.sign(x)
        if not self.training:
            return hard
        clipped = x.clamp(-1, 1)
        return straight_through(hard, 2 * clipped - clipped * clipped.abs())


def binary_weight(latent: Tensor, training: bool) -> Tensor:
    """sign(latent) for latents kept within [-1, 1]; the gradient passes straight through."""
    hard = torch.sign(latent)
    return straight_through(hard, latent) if training else hard


class BinaryLinear(nn.Linear):
    """Linear layer of weights ±1, without a bias: f32[N,in] -> f32[N,out]."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, binary_weight(self.weight, self.training))


class BinaryConv2d(nn.Conv2d):
    """3x3 convolution of weights ±1, zero padding of one pixel, no bias.

    With `scaled`, the weights of output channel c are ±mean|latent[c]| (XNOR-Net, arXiv:1603.05279).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, scaled: bool = False) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.scaled = scaled

    def forward(self, x: Tensor) -> Tensor:
        weight = binary_weight(self.weight, self.training)
        if self.scaled:
            weight = weight * self.weight.abs().mean(dim=(1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight, stride=self.stride, padding=self.padding)


def _binary_latents(network: nn.Module) -> list[Tensor]:
    return [m.weight for m in network.modules() if isinstance(m, BinaryLinear | BinaryConv2d)]


# ------------------------------------------------------------------------------------------------------------ training


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: Adam, cosine decay from `learning_rate` to 0; the last epoch's weights are kept."""

    epochs: int
    mnist_epochs: int
    learning_rate: float = 4e-3
    batch: int = 64
    seed: int = 1


def train(network: nn.Module, dataset: Dataset, recipe: Recipe) -> None:
    """Train in place on the training part, in an order fixed by the seed; ends in eval mode."""
    epochs = recipe.mnist_epochs if dataset.name == "mnist" else recipe.epochs
    batches_per_epoch = -(-len(dataset.train_x) // recipe.batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches_per_epoch)
    latents = _binary_latents(network)
    network.train()
    for epoch in range(epochs):
        total = 0.0
        for x, y in batches(dataset, recipe.batch, recipe.seed + epoch):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for latent in latents:
                    latent.clamp_(-1, 1)
            total += loss.item()
        print(f"epoch {epoch + 1:3}/{epochs}  loss {total / batches_per_epoch:.4f}")
    network.eval()


def batches(dataset: Dataset, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and classes of the training part, ``batch`` at a time, in an order fixed by the seed."""
    order = np.random.default_rng(seed).permutation(len(dataset.train_x))
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        yield torch.from_numpy(dataset.train_x[rows]), torch.from_numpy(dataset.train_y[rows])


# ---------------------------------------------------------------------------------------------------- export, measure


def export_onnx(network: nn.Module, image_size: int, channels: int = 1, fold_norms: bool = True) -> onnx.ModelProto:
    """The eval-mode network: x f32[N,channels,H,W] -> logits f32[N,10]; binary weights stay latent floats under a Sign.

    With `fold_norms` a BatchNorm behind a convolution of constant weights is multiplied into them.
    """
    assert all(bool((w != 0).all()) for w in _binary_latents(network)), "a latent of 0 would make a ternary weight"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the TorchScript exporter is deprecated, and wanted here
        path = Path(folder, "model.onnx")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(2, channels, image_size, image_size),),
            path,
            input_names=["x"],
            output_names=["logits"],
            dynamic_axes={"x": {0: "N"}, "logits": {0: "N"}},
            opset_version=OPSET,
            dynamo=False,
            training=TrainingMode.EVAL if fold_norms else TrainingMode.PRESERVE,
        )
        model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    assert model.ir_version <= MAX_IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


def run_onnxruntime(model: onnx.ModelProto, x: Images) -> Images:
    """onnxruntime's logits f32[N,10], graph optimisation disabled, one thread."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"x": x})
    return np.asarray(logits, np.float32)


def main(architecture: str, build: Callable[[int], nn.Module], recipe: Recipe) -> None:
    """Train, export, measure and write one network; `build` takes the image size in pixels."""
    parser = argparse.ArgumentParser(description=f"Train {architecture} and export it to ONNX.")
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="train on MNIST (idx .gz files) instead of digits")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.onnx", help="default: beside this script")
    args = parser.parse_args()

    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # the order of float sums, so the trained weights, would depend on the number of threads
    torch.manual_seed(recipe.seed)
    dataset = mnist_dataset(args.mnist) if args.mnist else digits_dataset()
    output = args.output or Path(__file__).with_name(f"{dataset.name}_{architecture}.onnx")

    network = build(dataset.image_size)
    train(network, dataset, recipe)
    model = export_onnx(network, dataset.image_size)
    logits = run_onnxruntime(model, dataset.test_x)
    correct = int((logits.argmax(axis=1) == dataset.test_y).sum())

    content = model.SerializeToString()
    output.write_bytes(content)
    golden = dataset.test_x[:GOLDEN_IMAGES]
    np.savez_compressed(
        output.with_name(f"{output.stem}_golden.npz"),
        x=golden,
        logits=run_onnxruntime(model, golden),
        y=dataset.test_y[:GOLDEN_IMAGES],
    )
    facts = {
        "network": f"{dataset.name}_{architecture}",
        "sha256": sha256(content).hexdigest(),
        "size_bytes": len(content),
        "accuracy": correct / len(logits),
        "correct": correct,
        "test_images": len(logits),
        "train_images": len(dataset.train_x),
        "seed": recipe.seed,
        "split_seed": SPLIT_SEED,
        "versions": {p: version(p) for p in ("torch", "onnx", "onnxruntime", "numpy", "scikit-learn")},
    }
    output.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"{output}: {len(content)} bytes, {correct}/{len(logits)} correct ({correct / len(logits):.2%})")
