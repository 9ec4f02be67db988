"""A decoder of BitNet b1.58's shape (Ma et al. 2024, arXiv:2402.17764) as an ONNX file, random weights: for what it costs.

    python -m models.bitnet -o bitnet.onnx --size 700m --past 64              # one token after 64
    python -m models.bitnet -o prompt.onnx --size 100m --past 0 --tokens 128  # a prompt of 128

Blocks of LLaMA's plan: RMSNorm, attention with rotary positions and grouped keys and values, RMSNorm, SwiGLU. Every dense layer is a
*BitLinear*: ternary weights, and activations of 8 bits, absmax of each token.

Inputs are the embeddings ``x`` f32[tokens, width] and, for each block i, ``past_key_i`` and ``past_value_i`` f32[heads, past, depth];
outputs are the hidden states behind the last norm and ``key_i``, ``value_i`` f32[heads, tokens, depth] of these tokens, for the caller
to put behind the others. Embedding table and head are a matter of the vocabulary and stay outside.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from benchmarks.graphs import F32, Graph

_EPSILON = 1e-5
_ROTARY_BASE = 10000.0
_MASKED = -1e9


@dataclass(frozen=True, slots=True)
class Shape:
    """Width of a token, blocks, heads of queries, heads of keys and values, width inside the SwiGLU."""

    width: int
    blocks: int
    heads: int
    key_heads: int
    hidden: int

    @property
    def depth(self) -> int:
        """Width of a head."""
        return self.width // self.heads

    @property
    def ternary_weights(self) -> int:
        """How many there are in all blocks."""
        attention = 2 * self.width * self.width + 2 * self.width * self.key_heads * self.depth
        return self.blocks * (attention + 3 * self.width * self.hidden)


SHAPES = {
    "tiny": Shape(64, 2, 4, 2, 96),
    "100m": Shape(768, 12, 12, 4, 2816),
    "700m": Shape(1536, 24, 16, 16, 4096),
}
"""``700m`` is the published one of that size: 679 million ternary weights."""


def bitnet(shape: Shape, past: int, tokens: int = 1) -> onnx.ModelProto:
    """The decoder for ``tokens`` tokens behind ``past``."""
    g = Graph("bitnet", (tokens, shape.width))
    rotations = _rotations(shape.depth, past, tokens)
    x, made = "x", []
    for block in range(shape.blocks):
        attended, key, value = _attention(g, shape, _norm(g, x, shape.width), block, past, rotations)
        x = g.node("Add", x, attended)
        x = g.node("Add", x, _swiglu(g, shape, _norm(g, x, shape.width)))
        made += [g.named(f"key_{block}", key), g.named(f"value_{block}", value)]
    return g.model(g.named("hidden", _norm(g, x, shape.width)), *made)


def _norm(g: Graph, x: str, width: int) -> str:
    """RMSNorm (Zhang, Sennrich 2019)."""
    mean = g.node("ReduceMean", g.node("Mul", x, x), axes=[-1], keepdims=1)
    size = g.node("Sqrt", g.node("Add", mean, np.asarray(_EPSILON, F32)))
    return g.node("Mul", g.node("Div", x, size), g.rng.uniform(0.5, 1.5, width))


def _bit_linear(g: Graph, x: str, inputs: int, outputs: int) -> str:
    """Activations absmax by 127 a token, weights ternary times one scale."""
    largest = g.node("Max", g.node("ReduceMax", g.node("Abs", x), axes=[-1], keepdims=1), np.asarray(_EPSILON, F32))
    step = g.node("Div", largest, np.asarray(127, F32))
    codes = g.node("Round", g.node("Div", x, step))
    codes = g.node("Clip", codes, np.asarray(-128, F32), np.asarray(127, F32))
    weights = g.rng.integers(-1, 2, (inputs, outputs), dtype=np.int8)
    product = g.node("MatMul", codes, g.node("Cast", weights, to=onnx.TensorProto.FLOAT))
    return g.node("Mul", product, g.node("Mul", step, np.asarray(1.2 / np.sqrt(inputs), F32)))


def _attention(
    g: Graph, shape: Shape, x: str, block: int, past: int, rotations: tuple[np.ndarray, np.ndarray]
) -> tuple[str, str, str]:
    """What attention adds, and these tokens' keys and values."""
    tokens, depth, width = len(rotations[0]), shape.depth, shape.width

    def heads_of(count: int) -> str:
        made = g.node("Reshape", _bit_linear(g, x, width, count * depth), np.array([tokens, count, depth], np.int64))
        return g.node("Transpose", made, perm=[1, 0, 2])

    query = _rotated(g, heads_of(shape.heads), depth, rotations)
    key, value = _rotated(g, heads_of(shape.key_heads), depth, rotations), heads_of(shape.key_heads)
    sides = []
    for name, new in (("key", key), ("value", value)):
        old = g.input(f"past_{name}_{block}", (shape.key_heads, past, depth)) if past else None
        sides.append(g.node("Concat", old, new, axis=1) if old is not None else new)
    together = shape.heads // shape.key_heads * tokens
    query = g.node("Reshape", query, np.array([shape.key_heads, together, depth], np.int64))
    scores = g.node("MatMul", query, g.node("Transpose", sides[0], perm=[0, 2, 1]))
    scores = g.node("Mul", scores, np.asarray(depth**-0.5, F32))
    if tokens > 1:
        future = np.triu(np.full((tokens, past + tokens), _MASKED, F32), past + 1)
        scores = g.node("Add", scores, np.tile(future, (shape.heads // shape.key_heads, 1)))
    mixed = g.node("MatMul", g.node("Softmax", scores, axis=-1), sides[1])
    mixed = g.node("Reshape", mixed, np.array([shape.heads, tokens, depth], np.int64))
    rows = g.node("Reshape", g.node("Transpose", mixed, perm=[1, 0, 2]), np.array([tokens, width], np.int64))
    return _bit_linear(g, rows, width, width), key, value


def _swiglu(g: Graph, shape: Shape, x: str) -> str:
    """SiLU(x W) * (x V), and back (Shazeer 2020)."""
    gate, up = (_bit_linear(g, x, shape.width, shape.hidden) for _ in range(2))
    opened = g.node("Mul", gate, g.node("Sigmoid", gate))
    return _bit_linear(g, g.node("Mul", opened, up), shape.hidden, shape.width)


def _rotations(depth: int, past: int, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines [tokens, depth] of rotary positions (Su et al. 2021), both halves of a head alike."""
    speeds = _ROTARY_BASE ** (-np.arange(0, depth, 2) / depth)
    angles = np.tile(np.outer(np.arange(past, past + tokens), speeds), 2)
    return np.cos(angles).astype(F32), np.sin(angles).astype(F32)


def _rotated(g: Graph, x: str, depth: int, rotations: tuple[np.ndarray, np.ndarray]) -> str:
    """x cos + (-second half, first half) sin."""
    half = np.array([depth // 2], np.int64)
    zero, end, axis = np.array([0], np.int64), np.array([depth], np.int64), np.array([2], np.int64)
    first, second = g.node("Slice", x, zero, half, axis), g.node("Slice", x, half, end, axis)
    turned = g.node("Concat", g.node("Neg", second), first, axis=2)
    return g.node("Add", g.node("Mul", x, rotations[0]), g.node("Mul", turned, rotations[1]))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--size", choices=SHAPES, default="100m")
    parser.add_argument("--past", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=1)
    given = parser.parse_args()
    onnx.save(bitnet(SHAPES[given.size], given.past, given.tokens), given.output)


if __name__ == "__main__":
    main()
