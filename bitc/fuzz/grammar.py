"""The grammar: which productions apply to which tensor, how often, and when a network ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import numpy as np

from bitc.fuzz.blocks import BLOCKS
from bitc.fuzz.codes import CODE_OPS, CONTRIB_PRODUCTS, QUANTIZERS
from bitc.fuzz.elementwise import BINARIZERS, SMOOTH, softmax
from bitc.fuzz.lookups import LOOKUPS
from bitc.fuzz.moves import MOVES, NUMBERS_ONLY
from bitc.fuzz.network import Network, Setting, Tensor, Unfit
from bitc.fuzz.products import PRODUCTS
from bitc.fuzz.qonnx_ops import QONNX_QUANTIZERS
from bitc.passes.store_deltas import MOST_BYTES

Production = Callable[[Network, Tensor], Tensor]

OPSETS = (11, 13, 13, 15, 17, 18, 19, 21, 21, 22)
_TRIES = 12
_FORCED = ((0.18, "mst", "on"), (0.3, "mst", "skipping"), (0.38, "small_weights", str(MOST_BYTES)))
"""Options of which share of all files, as shares of those before are added."""


def random_setting(choose: Random, qonnx_share: float = 0.15) -> Setting:
    """What the networks of one file share."""
    qonnx = choose.random() < qonnx_share
    free = choose.random() < 0.4
    opset = choose.choice([13, 15, 17]) if qonnx else choose.choice(OPSETS)
    kind = choose.random()
    options = next((((name, value),) for most, name, value in _FORCED if kind < most), ())
    return Setting(opset, choose.choice([1, 1, 2, 3]), free, qonnx, options, pruned=0.8 < kind < 0.9)


def random_network(setting: Setting, choose: Random, prefix: str) -> Network:
    """A connected network of 2 to 9 productions whose dead ends are its outputs, with inputs for it."""
    net = Network(setting, choose, prefix, dyadic=choose.random() < 0.65)
    live = [_start(net)]
    for _ in range(choose.randint(2, 9)):
        x = live[-1] if net.maybe(0.85) else choose.choice(live)
        live.append(_step(net, x, live))
    read = {name for node in net.nodes for name in node.input}
    seen = {name for node in net.nodes for name in node.output}
    net.outputs = [x.name for x in live if x.name in seen and (x.name not in read or net.maybe(0.1))]
    net.outputs = list(dict.fromkeys(net.outputs))
    return net


def _start(net: Network) -> Tensor:
    """An image, rows, a sequence or bytes."""
    channels = net.choose.choice([1, 2, 3, 3, 4, 8, 16, 17, 32, 64, 65])
    sizes = [1, 2, 3, 4, 5, 6, 7, 9] if channels < 32 else [1, 2, 3, 4]
    size = [net.choose.choice(sizes) for _ in range(2)]
    shape = net.choose.choice([(channels, *size)] * 4 + [(channels * size[0],), (size[0], channels)])
    if net.maybe(0.2):
        x = net.input(shape, np.uint8, 0, 255)
        if net.maybe(0.4) and len(shape) == 3:
            scale, zero = net.scales(), np.uint8(net.choose.choice([0, 128, 5]))
            return Tensor(x.name, x.dtype, x.shape, scale, zero)
        return net.node("Cast", x, to=1)
    return net.input(shape, np.float32, -8, 8)


def _step(net: Network, x: Tensor, live: Sequence[Tensor]) -> Tensor:
    """A production applied; what was written before it turned out not to fit is taken back."""
    for _ in range(_TRIES):
        nodes, constants = len(net.nodes), len(net.constants)
        try:
            if net.maybe(0.12):
                return _joined(net, x, live)
            return net.choose.choice(net.choose.choice(_families(net, x)))(net, x)
        except Unfit:
            del net.nodes[nodes:], net.constants[constants:]
    return net.node("Identity", x)


def _families(net: Network, x: Tensor) -> list[Sequence[Production]]:
    """Kinds of productions for a tensor; a kind that stands twice is picked twice as often."""
    if x.is_code:
        return [MOVES, CODE_OPS, CODE_OPS, CODE_OPS]
    quantizers: Sequence[Production] = QONNX_QUANTIZERS if net.setting.qonnx else QUANTIZERS
    families = [SMOOTH, SMOOTH, BINARIZERS, BINARIZERS, quantizers, quantizers, MOVES, NUMBERS_ONLY]
    families += [PRODUCTS] * 4 + [BLOCKS] * 2 + [LOOKUPS] * net.maybe(0.4)
    if not net.setting.qonnx:
        families += [CONTRIB_PRODUCTS]
    if net.maybe(0.1):
        families += [(softmax,)]
    return families


def _joined(net: Network, x: Tensor, live: Sequence[Tensor]) -> Tensor:
    """A residual sum or a concatenation with an earlier tensor."""
    same = [y for y in live if y is not x and y.is_float and y.shape == x.shape]
    if not x.is_float or not same:
        raise Unfit
    other = net.choose.choice(same)
    if net.maybe(0.75):
        return net.node(net.choose.choice(["Add", "Add", "Mul", "Sub", "Max"]), x, other)
    return net.node("Concat", x, other, axis=1)
