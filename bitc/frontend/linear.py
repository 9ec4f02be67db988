"""Handlers of products: Conv, Gemm, MatMul. Biases become adds, one-dimensional images become images of height 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bitc.frontend.node import Node, handles
from bitc.ir import Value


@handles("Conv")
def conv(n: Node) -> Value:
    """y = x * w + b over windows; zero padding"""
    x, w = n.x(0), n.x(1)
    rank = len(x.shape) - 2
    if rank < 1 or len(w.shape) != rank + 2:
        raise n.broken("Conv takes an image [N, C, spatial...] and weights [M, C/group, kernel...] of the same rank")
    kernel = w.shape[2:]
    declared = n.integers("kernel_shape")
    if declared is not None and tuple(declared) != kernel:
        raise n.broken("kernel_shape agrees with the weights", f"{declared}, weights {list(w.shape)}")
    strides, dilations, pads = windows(n, x.shape[2:], kernel)
    group = n.integer("group", 1)

    def on_image(image: Value, lift: Sequence[int]) -> Value:
        weights = w if not lift else n.emit("nn.reshape", w, shape=(*w.shape[:2], 1, *kernel))
        ones, zeros = [1] * len(lift), [0] * len(lift)
        pairs = [*zeros, *pads[:rank], *zeros, *pads[rank:]]
        return n.emit(
            "nn.conv", image, weights, strides=[*ones, *strides], pads=pairs, dilations=[*ones, *dilations], group=group
        )

    y = lifted(n, x, on_image)
    bias = n.maybe(2)
    if bias is None:
        return y
    if bias.shape != (w.shape[0],):
        raise n.broken("the bias of Conv has one number for each output channel", f"bias {bias.type}, weights {w.type}")
    return n.emit("nn.add", y, n.emit("nn.reshape", bias, shape=(1, w.shape[0], *([1] * rank))))


def lifted(n: Node, x: Value, on_image: Callable[[Value, Sequence[int]], Value]) -> Value:
    """``on_image(x, ())``, or for a one-dimensional image [N, C, L] the result on [N, C, 1, L] with the new axis taken away.

    ``on_image`` gets the image and the new axes, one entry for each leading spatial axis it has to add attributes for.
    """
    if len(x.shape) != 3:
        return on_image(x, ())
    y = on_image(n.emit("nn.reshape", x, shape=(*x.shape[:2], 1, x.shape[2])), (2,))
    return n.emit("nn.reshape", y, shape=(*y.shape[:2], y.shape[3]))


def windows(n: Node, sizes: Sequence[int], kernel: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and pads (begins, then ends) of a windowed op over ``sizes``, with ``auto_pad`` worked out."""
    rank = len(sizes)
    strides = n.integers("strides") or [1] * rank
    dilations = n.integers("dilations") or [1] * rank
    pads = n.integers("pads") or [0] * (2 * rank)
    if len(kernel) != rank or len(strides) != rank or len(dilations) != rank or len(pads) != 2 * rank:
        raise n.broken(
            "kernel_shape, strides and dilations have one entry for each spatial axis, pads two", f"{rank} spatial axes"
        )
    if min(*strides, *dilations, *kernel) < 1:
        raise n.broken("kernel_shape, strides and dilations are positive", f"{list(kernel)}, {strides}, {dilations}")
    if min(pads) < 0:
        raise n.unsupported("pads are not negative", str(pads))
    match n.text("auto_pad", "NOTSET"):
        case "NOTSET" | "":
            return strides, dilations, pads
        case "VALID":
            return strides, dilations, [0] * (2 * rank)
        case "SAME_UPPER" | "SAME_LOWER" as mode:
            totals = [
                max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
                for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True)
            ]
            small = [total // 2 for total in totals]
            large = [total - total // 2 for total in totals]
            return strides, dilations, small + large if mode == "SAME_UPPER" else large + small
        case other:
            raise n.broken("auto_pad is NOTSET, VALID, SAME_UPPER or SAME_LOWER", other)


@handles("Gemm")
def gemm(n: Node) -> Value:
    """y = alpha * A' B' + beta * C, where ' is an optional transpose"""
    a, b, c = n.x(0), n.x(1), n.maybe(2)
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise n.broken("Gemm takes two matrices")
    if n.integer("transA", 0):
        a = n.emit("nn.transpose", a, perm=(1, 0))
    if n.integer("transB", 0):
        b = n.emit("nn.transpose", b, perm=(1, 0))
    y = _scaled(n, n.emit("nn.matmul", a, b), n.number("alpha", 1.0))
    beta = n.number("beta", 1.0)
    if c is None or beta == 0:
        return y
    total = n.emit("nn.add", y, _scaled(n, c, beta))
    if total.shape != y.shape:
        raise n.broken("C of Gemm broadcasts to the product's shape", f"C {c.type}, product {y.type}")
    return total


def _scaled(n: Node, x: Value, factor: float) -> Value:
    return x if factor == 1 else n.emit("nn.mul", x, n.scalar(factor, x))


@handles("MatMul")
def matmul(n: Node) -> Value:
    """y = A B as NumPy's matmul: a vector on either side counts as a row or column, which is then taken away"""
    a, b = n.x(0), n.x(1)
    if not a.shape or not b.shape:
        raise n.broken("MatMul takes no scalars")
    vector_a, vector_b = len(a.shape) == 1, len(b.shape) == 1
    if vector_a:
        a = n.emit("nn.reshape", a, shape=(1, *a.shape))
    if vector_b:
        b = n.emit("nn.reshape", b, shape=(*b.shape, 1))
    y = n.emit("nn.matmul", a, b)
    shape = [*y.shape[:-2], *([] if vector_a else [y.shape[-2]]), *([] if vector_b else [y.shape[-1]])]
    return n.emit("nn.reshape", y, shape=shape) if vector_a or vector_b else y
