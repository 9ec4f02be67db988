"""One layer of a transformer encoder whose dense layers, and perhaps whose attention, are of few bits; the rest stays in float."""

from __future__ import annotations

import numpy as np
import onnx

from benchmarks.graphs import F32, Graph, dynamically_quantized
from benchmarks.layers import ternary_by_int8


def bert_layer(
    linear: str,
    attention: str = "float",
    tokens: int = 128,
    width: int = 768,
    heads: int = 12,
    hidden: int = 3072,
) -> onnx.ModelProto:
    """A layer of BERT (Devlin et al. 2019). ``linear``: ``w1a1`` (signs by ±a, after Qin et al. 2022), ``w2a8`` (ternary by i8) or ``f32``.

    ``attention``: ``float``, or ``bits`` as BiT has it (Liu et al. 2022): signs of query, key and value, and of each probability
    whether it is nearer to a than to 0; behind the GELU likewise.
    """
    g = Graph("bert_layer", (1, tokens, width))

    def dense(x: str, inputs: int, outputs: int) -> str:
        if linear == "f32":
            made = g.node("MatMul", x, g.rng.normal(0, inputs**-0.5, (inputs, outputs)))
        elif linear == "w1a1":
            codes = near(x, 0.5) if attention == "bits" and inputs == hidden else g.node("Sign", x)
            made = g.node("MatMul", codes, g.signs(outputs, inputs).T)
        else:
            made = ternary_by_int8(g, x, inputs, outputs)
        return g.node("Add", made, g.rng.normal(0, 0.1, outputs))

    def near(x: str, a: float) -> str:
        """a where x is nearer to it than to 0, else 0."""
        level = g.node(
            "Clip", g.node("Round", g.node("Div", x, np.asarray(a, F32))), np.asarray(0, F32), np.asarray(1, F32)
        )
        return g.node("Mul", level, np.asarray(a, F32))

    def of_heads(x: str, axes: list[int]) -> str:
        shape = np.array([1, tokens, heads, width // heads], np.int64)
        made = g.node("Reshape", dense(x, width, width), shape)
        return g.node("Transpose", g.node("Sign", made) if attention == "bits" else made, perm=axes)

    def norm(x: str) -> str:
        scale, bias = g.rng.uniform(0.5, 1.5, width), g.rng.normal(0, 0.1, width)
        return g.node("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)

    query, key, value = of_heads("x", [0, 2, 1, 3]), of_heads("x", [0, 2, 3, 1]), of_heads("x", [0, 2, 1, 3])
    scores = g.node("Div", g.node("MatMul", query, key), np.asarray(np.sqrt(width // heads), F32))
    probable = g.node("Softmax", scores, axis=-1)
    probable = near(probable, 1 / 64) if attention == "bits" else probable
    mixed = g.node("Transpose", g.node("MatMul", probable, value), perm=[0, 2, 1, 3])
    mixed = g.node("Reshape", mixed, np.array([1, tokens, width], np.int64))
    x = norm(g.node("Add", dense(mixed, width, width), "x"))
    return g.model(norm(g.node("Add", dense(_gelu(g, dense(x, width, hidden)), hidden, width), x)))


def _gelu(g: Graph, x: str) -> str:
    """x (1 + erf(x / √2)) / 2, as PyTorch exports it."""
    error = g.node("Erf", g.node("Div", x, np.asarray(np.sqrt(2), F32)))
    return g.node("Mul", g.node("Mul", x, g.node("Add", error, np.asarray(1, F32))), np.asarray(0.5, F32))


def bert_layer_int8(tokens: int = 128, width: int = 768, heads: int = 12, hidden: int = 3072) -> onnx.ModelProto:
    """The layer of float weights, quantized dynamically."""
    return dynamically_quantized(bert_layer("f32", "float", tokens, width, heads, hidden))
