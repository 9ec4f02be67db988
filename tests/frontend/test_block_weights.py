"""Weights in blocks of few bits: unpacked to the bit as onnxruntime unpacks them, which the identity matrix shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from frontend.contrib import both, contrib

from bitc.errors import ModelError, UnsupportedError
from bitc.frontend import import_model

F = np.float32
RNG = np.random.default_rng(0)
SIZES = [(64, 5, 16), (50, 7, 32), (33, 70, 64), (200, 64, 128)]


def packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes along the last axis as bytes, the lowest bits first, the last byte filled with zeros."""
    per_byte = 8 // bits
    fill = -codes.shape[-1] % per_byte
    whole = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, fill)])
    groups = whole.reshape(*codes.shape[:-1], -1, per_byte).astype(np.uint32)
    return (groups << (np.arange(per_byte) * bits)).sum(-1).astype(np.uint8)


def nbits(bits: int, k: int, n: int, block: int, **changed: Any) -> tuple[dict[str, np.ndarray | None], dict[str, int]]:
    """Random operands and the attributes of MatMulNBits."""
    blocks = -(-k // block)
    operands: dict[str, np.ndarray | None] = {
        "x": np.eye(k, dtype=F),
        "w": packed(RNG.integers(0, 2**bits, (n, blocks, block)), bits),
        "scale": RNG.uniform(0.01, 0.1, (n, blocks)).astype(F),
        "zero": None,
        "group": None,
        "bias": None,
    }
    return operands | changed, {"K": k, "N": n, "bits": bits, "block_size": block}


KINDS = [(bits, zero) for bits in (2, 4, 8) for zero in ("default", "packed", "float") if (bits, zero) != (8, "float")]
"""onnxruntime has no 8-bit weights with float zero points."""


@pytest.mark.parametrize(("bits", "zero"), KINDS)
@pytest.mark.parametrize(("k", "n", "block"), SIZES)
def test_weights(bits: int, zero: str, k: int, n: int, block: int) -> None:
    """All widths and kinds of zero points, K no multiple of the block; the default zero point is the middle code."""
    blocks = -(-k // block)
    points = {
        "default": None,
        "packed": packed(RNG.integers(0, 2**bits, (n, blocks)), bits),
        "float": RNG.uniform(0, 2**bits, (n, blocks)).astype(F),
    }
    operands, attrs = nbits(bits, k, n, block, zero=points[zero])
    both("MatMulNBits", operands, **attrs).equal()


@pytest.mark.parametrize("level", [0, 1])
def test_flat_scales_and_bias(level: int) -> None:
    """Older files have scales of rank 1, newer ones a bias."""
    operands, attrs = nbits(4, 50, 7, 16, bias=RNG.normal(size=7).astype(F))
    operands["scale"] = operands["scale"].reshape(-1)
    both("MatMulNBits", operands, accuracy_level=level, **attrs).equal()


def test_group_index() -> None:
    """Each k has its block."""
    groups = RNG.permutation(np.repeat(np.arange(4), 16)[:50]).astype(np.int32)
    operands, attrs = nbits(4, 50, 7, 16, group=groups)
    both("MatMulNBits", operands, **attrs).equal()


@pytest.mark.parametrize("shape", [(3, 200), (2, 3, 200)])
def test_products(shape: tuple[int, ...]) -> None:
    """Products of any rank, up to the order of summation."""
    operands, attrs = nbits(4, 200, 64, 32, x=RNG.normal(size=shape).astype(F))
    pair = both("MatMulNBits", operands, **attrs).close(32)
    assert pair.ops == ["nn.matmul"]


def test_accuracy_level_4_is_computed_in_float() -> None:
    """onnxruntime rounds the activations to 8 bits there; bitc follows the file and is as close as that rounding."""
    operands, attrs = nbits(4, 200, 64, 32, x=RNG.normal(size=(3, 200)).astype(F))
    exact = both("MatMulNBits", operands, accuracy_level=0, **attrs).theirs[0]
    pair = both("MatMulNBits", operands, accuracy_level=4, **attrs)
    np.testing.assert_allclose(pair.ours[0], exact, rtol=0, atol=2e-5)
    assert 1e-4 < np.abs(pair.theirs[0] - exact).max() < 0.2


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize(("k", "n", "block"), [(32, 4, 16), (33, 5, 16), (20, 3, 64), (128, 17, 64)])
def test_bnb4(kind: int, k: int, n: int, block: int) -> None:
    """Both codebooks; blocks run over the flat matrix, and an odd number of codes fills the last byte."""
    codes = np.concatenate([np.arange(16), RNG.integers(0, 16, k * n + k * n % 2 - 16)])
    operands = {
        "x": np.eye(k, dtype=F),
        "w": (codes[0::2] << 4 | codes[1::2]).astype(np.uint8),
        "absmax": RNG.uniform(0.1, 2, -(-k * n // block)).astype(F),
    }
    both("MatMulBnb4", operands, K=k, N=n, block_size=block, quant_type=kind, transB=1).equal()


@pytest.mark.parametrize(
    ("change", "attrs", "error", "message"),
    [
        ({}, {"bits": 3}, UnsupportedError, "2, 4 or 8 bits"),
        ({}, {"weight_prepacked": 1}, UnsupportedError, "standard layout"),
        ({}, {"block_size": 24}, ModelError, "power of two"),
        ({}, {"K": 500}, ModelError, "fill K in whole blocks"),
        ({"scale": np.ones(3, F)}, {}, ModelError, "one scale for each block"),
        ({"scale": np.ones((7, 4), np.float64)}, {}, UnsupportedError, "scales and zero points of blocks are float32"),
        ({"x": np.ones((2, 50), np.float64)}, {}, UnsupportedError, "float32 activations|element type"),
        ({"group": np.full(50, 9, np.int32)}, {}, ModelError, "one block number for each k"),
        (
            {"group": np.zeros(50, np.int32), "zero": np.zeros((7, 2), np.uint8)},
            {},
            UnsupportedError,
            "g_idx has 4 bits and no packed zero points",
        ),
    ],
)
def test_refusals(change: dict[str, np.ndarray], attrs: dict[str, int], error: type[Exception], message: str) -> None:
    """Forms bitc does not take, and operands that do not fit."""
    operands, full = nbits(4, 50, 7, 16, **change)
    with pytest.raises(error, match=message):
        import_model(contrib("MatMulNBits", operands, **(full | attrs))[0])


def test_weights_are_constants() -> None:
    """Weights that are inputs are refused."""
    operands, attrs = nbits(4, 64, 5, 16)
    with pytest.raises(UnsupportedError, match="must be a constant"):
        import_model(contrib("MatMulNBits", operands, inputs=("x", "w"), **attrs)[0])
    operands = {"x": np.eye(8, dtype=F), "w": np.zeros(8, np.uint8), "absmax": np.ones(1, F)}
    with pytest.raises(UnsupportedError, match="quant_type 0"):
        import_model(contrib("MatMulBnb4", operands, K=8, N=2, block_size=16, quant_type=2)[0])
    with pytest.raises(ModelError, match="an absmax for each block"):
        import_model(contrib("MatMulBnb4", operands, K=8, N=2, block_size=4, quant_type=1)[0])
