"""The totals that papers give for whole networks come out of the networks themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from benchmarks.networks import birealnet18, resnet20, vgg_small
from bitc.check import check
from bitc.report.metrics import costs
from bitc.report.products import products
from models.pokebnn import pokebnn

PUBLISHED: dict[str, tuple[Callable[[], onnx.ModelProto], int, int, int]] = {
    "VGG-small": (lambda: vgg_small(dense=16), 5, 603_979_776, 4_571_136),
    "ResNet-20": (resnet20, 18, 40_108_032, 267_264),
    "ResNet-18, CIFAR": (lambda: birealnet18(size=32, classes=10, small_images=True), 16, 547_356_672, 10_985_472),
    "ResNet-18, ImageNet": (birealnet18, 16, 1_676_279_808, 10_985_472),
}
"""How many layers count, bit operations, parameter bits. In papers: 0.604 G and 4.571 Mbit, 0.0401 and 0.267, 0.547 and 10.985, 1.676
and 10.985."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_bit_operations_and_parameters(name: str, tmp_path: Path) -> None:
    make, layers, operations, parameters = PUBLISHED[name]
    onnx.save(make(), tmp_path / "net.onnx")
    counted = [product for product in products(tmp_path / "net.onnx")[0] if product.is_counted]
    assert len(counted) == layers
    assert sum(product.macs for product in counted) == operations
    assert sum(product.weights for product in counted) == parameters


@pytest.mark.parametrize(("width", "published"), [(0.75, 2.588e9), (1.0, 4.223e9), (1.4, 7.758e9)])
def test_ace_of_pokebnn(width: float, published: float, tmp_path: Path) -> None:
    onnx.save(pokebnn(width), tmp_path / "net.onnx")
    found = costs(products(tmp_path / "net.onnx")[0])
    assert found.ace == pytest.approx(published, abs=0.5e6)
    assert found.macs.keys() == {"1x1", "8x8", "4x4"}


@pytest.mark.usefixtures("compiler")
def test_a_small_pokebnn_compiles_to_bits(tmp_path: Path) -> None:
    onnx.save(pokebnn(0.25, size=32, blocks=(1, 1, 1, 1), classes=10), tmp_path / "net.onnx")
    found = check(tmp_path / "net.onnx", target="portable", n=1)
    assert found.passed, found.findings
    assert sum(product.is_binary for product in products(tmp_path / "net.onnx")[0]) == 12
