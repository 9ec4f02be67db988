"""``dense-to-conv``: a fully connected layer over a flattened image becomes a convolution as large as the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitc.ir import Builder, Graph, Op, Value, rewrite
from bitc.passes.base import Pass


@dataclass(frozen=True)
class DenseToConv(Pass):
    """A product over all elements of an image is a convolution with one window, whatever order flattening took them in::

        matmul(reshape(x [N,C,H,W], [N, C·H·W]), w [C·H·W, M])  -->  reshape(conv(x, w' [M,C,H,W]), [N, M])

    with w'[m,c,i,j] = w[(c,i,j), m]. A transpose before the reshape permutes w's rows instead. So an image stays in its own layout
    (packed channels, NHWC) and nothing is moved at run time.
    """

    name: ClassVar[str] = "dense-to-conv"

    def run(self, graph: Graph) -> Graph:
        return rewrite(graph, _rule)


def _rule(op: Op, b: Builder) -> Value | None:
    if op.name != "nn.matmul":
        return None
    flat, weights = op.operands[0], op.operands[1].constant
    view = flat.producer
    if weights is None or weights.ndim != 2 or view is None or view.name != "nn.reshape" or len(flat.shape) != 2:
        return None
    image = view.operands[0]
    if (
        len(image.shape) != 4
        or image.shape[0] != flat.shape[0]
        or image.shape[2] * image.shape[3] * image.shape[1] == 1
    ):
        return None
    split, order = (*image.shape[1:], weights.shape[1]), [0, 1, 2]
    moved = image.producer
    if moved is not None and moved.name == "nn.transpose" and moved.attrs["perm"][0] == 0:
        # axis k of the flattened image is axis perm[k] of the one below: put the rows back in that one's order
        order = [int(axis) for axis in np.argsort(moved.attrs["perm"][1:])]
        image = moved.operands[0]
    if image.shape[2] * image.shape[3] == 1:
        return None
    name = op.operands[1].name
    kernel = b.moved_constant(op.operands[1], split, (3, *order), name, op.loc)
    product = b.add("nn.conv", image, kernel, strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0), loc=op.loc)
    return b.add("nn.reshape", product, shape=op.results[0].shape, loc=op.loc)
