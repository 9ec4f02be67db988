"""Handlers of products with weights in blocks of few bits (com.microsoft): MatMulNBits and MatMulBnb4.

The weights become float32 constants by the arithmetic of onnxruntime's own kernels, to the bit; the product is an ordinary one. Its
``accuracy_level`` lets onnxruntime round the activations to 8 bits (level 4); bitc computes what the file says, in float32.
"""

from __future__ import annotations

import numpy as np

from bitc.frontend.node import MICROSOFT, Node, dtype_of, handles
from bitc.ir import DType, Value

F32 = np.float32
_FP4_STEPS = (0.0, 0.0052083333, 2 / 3, 1.0, 1 / 3, 0.5, 1 / 6, 0.25)
_NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
_CODEBOOKS = (np.array([*_FP4_STEPS, *(-step for step in _FP4_STEPS)], F32), np.array(_NF4, F32))
"""Numbers of the 4-bit codes: a sign and a three-bit float (0), quantiles of the normal distribution (1). Source: bitsandbytes."""


@handles("MatMulNBits", domains=(MICROSOFT,))
def matmul_nbits(n: Node) -> Value:
    """y = A W' + bias with W[o, k] = (code - zero point) * scale of the block of k; without zero points 2^(bits - 1) stands for 0

    B [N, blocks, block_size * bits / 8] holds the codes along K, the lowest bits first; zero_points are packed alike along the blocks,
    or floats, one a block; scales are [N, blocks] or flat. g_idx [K] gives each k its block.
    """
    k, count, bits, block = (n.integer(name, 4 if name == "bits" else 0) for name in ("K", "N", "bits", "block_size"))
    if bits not in (2, 4, 8):
        raise n.unsupported("MatMulNBits has weights of 2, 4 or 8 bits", f"{bits} bits")
    if n.integer("weight_prepacked", 0):
        raise n.unsupported("the weights of MatMulNBits are stored as the standard layout says", "weight_prepacked")
    if k < 1 or count < 1 or block < 16 or block & (block - 1):
        raise n.broken("K and N are positive, block_size is a power of two from 16 on", f"{k}, {count}, {block}")
    blocks = -(-k // block)
    n.check_size(4 * count * blocks * block)
    codes = _codes(n, n.array(1, "the weight"), (count, blocks * block), bits)[:, :k].astype(F32)
    scales = _table(n, n.array(2, "the scale"), (count, blocks))
    zero_points, is_packed = _zero_points(n, (count, blocks), bits)
    groups = n.maybe_array(4, "g_idx")
    if groups is None:
        of_k = np.arange(k) // block
    elif bits != 4 or is_packed:
        raise n.unsupported(
            "MatMulNBits with g_idx has 4 bits and no packed zero points", "onnxruntime reads other forms wrongly"
        )
    else:
        of_k = _groups(n, groups, k, blocks)
    scale, zero = scales[:, of_k], zero_points[:, of_k]
    if groups is None and (is_packed or n.maybe(3) is None):
        weights = (codes - zero) * scale
    else:  # the rounding of onnxruntime's kernel for these two forms
        weights = codes * scale - zero * scale
    return _product(n, weights, n.maybe(5))


def _codes(n: Node, packed: np.ndarray, shape: tuple[int, int], bits: int) -> np.ndarray:
    """``packed`` bytes as codes [rows, columns], the lowest bits first; padding at the end of a row is cut."""
    per_byte = 8 // bits
    row_bytes = -(-shape[1] // per_byte)
    if packed.dtype != np.uint8 or packed.size != shape[0] * row_bytes:
        rule = "packed codes of MatMulNBits fill K in whole blocks"
        raise n.broken(rule, f"{packed.dtype}{list(packed.shape)} for {shape[0]} x {shape[1]} codes of {bits} bits")
    shifts = np.arange(per_byte, dtype=np.uint8) * np.uint8(bits)
    spread = packed.reshape(shape[0], row_bytes, 1) >> shifts & np.uint8(2**bits - 1)
    return np.asarray(spread.reshape(shape[0], -1)[:, : shape[1]])


def _table(n: Node, array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if array.dtype != F32:
        raise n.unsupported("scales and zero points of blocks are float32", str(array.dtype))
    if array.size != shape[0] * shape[1]:
        raise n.broken("there is one scale for each block", f"{list(array.shape)} for {shape[0]} x {shape[1]} blocks")
    return array.reshape(shape)


def _zero_points(n: Node, shape: tuple[int, int], bits: int) -> tuple[np.ndarray, bool]:
    """The zero point of each block as float32, and whether they are stored as packed codes."""
    array = n.maybe_array(3, "the zero point")
    if array is None:
        return np.full(shape, 2 ** (bits - 1), F32), False
    if array.dtype == np.uint8:
        return _codes(n, array, shape, bits).astype(F32), True
    return _table(n, array, shape), False


def _groups(n: Node, groups: np.ndarray, k: int, blocks: int) -> np.ndarray:
    at = groups.reshape(-1)[:k]
    if at.size != k or at.min() < 0 or at.max() >= blocks:
        raise n.broken("g_idx has one block number for each k", f"{groups.size} numbers for {k} and {blocks} blocks")
    return at


@handles("MatMulBnb4", domains=(MICROSOFT,))
def matmul_bnb4(n: Node) -> Value:
    """y = A W' with W[o, k] = number of the 4-bit code * absmax of its block; codes of the flat [N, K], the high bits first

    ``quant_type`` 0: fp4, 1: nf4. Source: Dettmers et al., QLoRA (2023), and its library bitsandbytes.
    """
    k, count, block, kind = (n.integer(name, -1) for name in ("K", "N", "block_size", "quant_type"))
    if kind not in (0, 1) or not n.integer("transB", 1):
        raise n.unsupported("MatMulBnb4 has quant_type 0 (fp4) or 1 (nf4) and transB 1", f"{kind}")
    if k < 1 or count < 1 or block < 1:
        raise n.broken("K, N and block_size are positive", f"{k}, {count}, {block}")
    packed, absmax, size = n.array(1, "the weight"), n.array(2, "absmax"), k * count
    n.check_size(4 * size)
    if packed.dtype != np.uint8 or packed.size != -(-size // 2) or absmax.size != -(-size // block):
        raise n.broken(
            "MatMulBnb4 has a code for each weight and an absmax for each block", f"{packed.size}, {absmax.size}"
        )
    codes = np.stack([packed.reshape(-1) >> 4, packed.reshape(-1) & 15], axis=1).reshape(-1)[:size]
    numbers = _CODEBOOKS[kind][codes] * np.repeat(absmax.reshape(-1), block)[:size]
    return _product(n, numbers.reshape(count, k), None)


def _product(n: Node, weights: np.ndarray, bias: Value | None) -> Value:
    """y = A weights' + bias, weights [N, K]."""
    a = n.x(0)
    if dtype_of(a) is not DType.F32:
        raise n.unsupported("products with weights in blocks take float32 activations", str(a.type))
    rows = a if len(a.shape) > 1 else n.emit("nn.reshape", a, shape=(1, *a.shape))
    y = n.emit("nn.matmul", rows, n.constant(weights.T))
    if bias is not None:
        y = n.emit("nn.add", y, bias)
    return y if rows is a else n.emit("nn.reshape", y, shape=(y.shape[-1],))
