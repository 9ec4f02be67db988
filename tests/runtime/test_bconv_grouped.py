"""Grouped binary convolution kernels against the sum over each output channel's own group, on every instruction set."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from .harness import for_each_isa, guarded, kernels
from .packing import Bits, block_limits, block_rows, block_weights, pack, words_of

# Channels in, channels out, groups: depthwise, with multiplier, groups across words, groups of odd sizes.
GROUPS = [
    (1, 1, 1), (8, 8, 8), (64, 64, 64), (70, 70, 70), (129, 129, 129), (16, 32, 16), (65, 130, 65),
    (128, 128, 2), (96, 48, 3), (130, 26, 13), (66, 33, 33), (320, 20, 5),
]  # fmt: skip


def grouped_pops(x: Bits, w: Bits, groups: int) -> npt.NDArray[np.int32]:
    """Mismatches ``[h2, w2, k]``, by definition; ``x`` ``[h, w, c]``, ``w`` ``[k, kh, kw, c/groups]``, stride 1."""
    k, kh, kw, each = w.shape
    out_h, out_w = x.shape[0] - kh + 1, x.shape[1] - kw + 1
    pops = np.zeros((out_h, out_w, k), np.int32)
    for channel, i, j in itertools.product(range(k), range(kh), range(kw)):
        first = channel // (k // groups) * each
        window = x[i : i + out_h, j : j + out_w, first : first + each]
        pops[..., channel] += (window != w[channel, i, j]).sum(-1, dtype=np.int32)
    return pops


def dense(values: Bits, groups: int, channels: int) -> Bits:
    """Spread ``[k, kh, kw, c/groups]`` over all ``channels``, zero outside each output channel's group."""
    k, kh, kw, each = values.shape
    out = np.zeros((k, kh, kw, channels), np.uint8)
    for channel in range(k):
        first = channel // (k // groups) * each
        out[channel, ..., first : first + each] = values[channel]
    return out


@for_each_isa
@pytest.mark.parametrize(("c", "k", "groups"), GROUPS)
@pytest.mark.parametrize("window", [(1, 1), (3, 2)])
def test_grouped(isa: str, c: int, k: int, groups: int, window: tuple[int, int]) -> None:
    rng = np.random.default_rng(c * k)
    kernel = kernels(f"bconv_grouped_{isa}.h", isa=isa)
    block = kernel.constants["BITC_BCONV_GROUPED_BLOCK"]
    p, (kh, kw), words, blocks = kernel.pointer, window, words_of(c), -(-k // block)
    x = rng.integers(0, 2, (kh + 1, kw + 2, c), np.uint8)
    w = rng.integers(0, 2, (k, kh, kw, c // groups), np.uint8)
    out_h, out_w = 2, 3
    expected = grouped_pops(x, w, groups)

    weights, mask = pack(dense(w, groups, c)), pack(dense(np.ones_like(w), groups, c))
    used = np.array([np.flatnonzero(b.reshape(-1, words).any(0))[[0, -1]] for b in block_rows(mask, block)])
    run = int((used[:, 1] - used[:, 0]).max()) + 1
    block_word = np.minimum(used[:, 0], words - run).astype(np.int32)
    row_block = np.repeat(block_word, block)[:k]

    def own_words(rows: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        cut = np.stack([row[..., first : first + run] for row, first in zip(rows, row_block, strict=True)])
        return block_weights(cut.reshape(k, -1), block)

    w_words, m_words, x_words = own_words(weights), own_words(mask), pack(x)
    row_class, col_class = rng.integers(0, 2, out_h, np.uint8), rng.integers(0, 3, out_w, np.uint8)
    g = kernel.ffi.new(
        "bitc_bconv *",
        {
            "out_w": out_w, "out_c": k, "in_row_words": x.shape[1] * words, "in_pixel_words": words,
            "step_h": 1, "step_w": 1, "taps_h": kh, "taps_w": kw, "tap_row_words": x.shape[1] * words,
            "tap_words": words, "run_words": run, "classes": 6, "col_classes": 3,
            "row_class": p(row_class), "col_class": p(col_class),
        },
    )  # fmt: skip
    classes = row_class[:, None].astype(np.intp) * 3 + col_class[None]
    operands = (g, p(x_words), p(w_words), p(m_words), p(block_word))

    base = rng.integers(-99, 99, (6, k), np.int32)
    base_blocks = np.ascontiguousarray(block_rows(base.T, block).reshape(-1, 6).T)
    with guarded((out_h - 1, out_w, k), np.int32) as acc:
        getattr(kernel, f"bitc_bconv_grouped_acc_{isa}")(*operands, p(base_blocks), 2, p(acc), 1, out_h)
        np.testing.assert_array_equal(acc, (base[classes] - 2 * expected)[1:])

    limit = (expected[0, 0] + rng.integers(-1, 2, (2, 6, k))).astype(np.int32)
    limits, flip = block_limits(limit, block), rng.integers(0, 2, k, np.uint8)
    flips, out_words = pack(flip), 2 * words_of(k)
    assert limits.shape[-1] == blocks * block
    with guarded((out_h, out_w, 2, words_of(k)), np.uint64) as y:
        bits = getattr(kernel, f"bitc_bconv_grouped_bits_{isa}")
        bits(*operands, p(limits), p(flips), 2, p(y), out_w * out_words, out_words, 0, out_h)
        over = expected[:, :, None] > limit[:, classes].transpose(1, 2, 0, 3)
        np.testing.assert_array_equal(y, pack(over ^ flip.astype(bool)))
