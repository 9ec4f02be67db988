"""What a network costs by the published measures, and what the trees of its binary layers would save: ``bitc report``.

Reads the model as imported, before a target or a kernel is chosen; measured time is asked of :mod:`bitc.explain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bitc.compiler import Options
from bitc.explain import Explanation, explain
from bitc.passes.store_deltas import MOST_BYTES
from bitc.report.metrics import BitOps, Costs, WeightBytes, costs, weight_bytes
from bitc.report.products import Product, products
from bitc.report.trees import Edge, TreeFacts, bit_ops, tree_facts

__all__ = ["BitOps", "Costs", "Edge", "Layer", "Product", "Report", "TreeFacts", "WeightBytes", "report"]


@dataclass(frozen=True, slots=True)
class Layer:
    """A product; ``tree`` where it is binary. Where time was asked for, ``seconds`` of one call on one item: without trees, and
    ``tree_seconds`` with every layer on its tree that can be."""

    product: Product
    tree: TreeFacts | None
    seconds: float | None
    tree_seconds: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """``counted``: bit operations by the published convention (binary convolutions of more than one tap); ``binary``: of all binary layers.

    Where time was asked for: ``seconds`` of one call for ``target``, all layers and the rest, without trees, ``tree_seconds`` with every
    layer on its tree that can be; and what it takes of memory without: the arena and the constants as compiled; ``small_``: all three
    with small weights. Else None.
    """

    name: str
    layers: tuple[Layer, ...]
    costs: Costs
    weights: WeightBytes
    counted: BitOps
    binary: BitOps
    target: str
    seconds: float | None
    tree_seconds: float | None
    arena_bytes: int | None
    compiled_bytes: int | None
    small_seconds: float | None
    small_arena_bytes: int | None
    small_compiled_bytes: int | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: all fields and what follows from them, but for the weights themselves."""
        layers = [_layer_dict(layer) for layer in self.layers]
        weights = {**asdict(self.weights), "total": self.weights.total}
        return {
            "name": self.name,
            "costs": asdict(self.costs),
            "weight_bytes": weights,
            "counted": asdict(self.counted),
            "binary": asdict(self.binary),
            "target": self.target,
            "seconds": self.seconds,
            "tree_seconds": self.tree_seconds,
            "arena_bytes": self.arena_bytes,
            "compiled_bytes": self.compiled_bytes,
            "small_seconds": self.small_seconds,
            "small_arena_bytes": self.small_arena_bytes,
            "small_compiled_bytes": self.small_compiled_bytes,
            "layers": layers,
        }


def report(
    model: str | Path,
    *,
    options: Options | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    time: bool = False,
    target: str = "native",
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Count ``model``'s products and grow the trees of its binary layers; ``inputs`` (samples by name) measure firing rates.

    With ``time`` it is compiled for ``target`` three times, without trees, with as many as can be, and with small weights, and its layers
    are timed. Raises a :class:`bitc.errors.BitcError` where importing, and with ``time`` compiling and running, does.
    """
    options = options if options is not None else Options()
    found, other = products(model, options, inputs)
    small_weights = replace(options, mst="off", small_weights=MOST_BYTES)
    builds = replace(options, mst="off"), replace(options, mst="on"), small_weights
    timed, on_trees, small = (
        explain(model, target=target, options=build, time=True, progress=progress) if time else None for build in builds
    )
    seconds, tree_seconds = _by_node(timed), _by_node(on_trees)
    layers = tuple(
        Layer(
            product,
            _grown(product, number, len(found), progress),
            seconds.get(product.node),
            tree_seconds.get(product.node),
        )
        for number, product in enumerate(found)
    )
    grown = [(layer.product, layer.tree) for layer in layers if layer.tree is not None]
    return Report(
        name=Path(model).stem,
        layers=layers,
        costs=costs(found),
        weights=weight_bytes(found, other),
        counted=bit_ops([(product, tree) for product, tree in grown if product.is_counted]),
        binary=bit_ops(grown),
        target=timed.target if timed else "",
        seconds=timed.seconds if timed else None,
        tree_seconds=on_trees.seconds if on_trees else None,
        arena_bytes=timed.arena_bytes if timed else None,
        compiled_bytes=timed.weight_bytes if timed else None,
        small_seconds=small.seconds if small else None,
        small_arena_bytes=small.arena_bytes if small else None,
        small_compiled_bytes=small.weight_bytes if small else None,
    )


def _by_node(timed: Explanation | None) -> dict[str, float | None]:
    return {product.node: product.seconds for product in timed.products} if timed else {}


def _grown(
    product: Product, number: int, count: int, progress: Callable[[str, int, int], None] | None
) -> TreeFacts | None:
    if progress is not None:
        progress("trees", number, count)
    return tree_facts(product)


def _layer_dict(layer: Layer) -> dict[str, Any]:
    product, tree = layer.product, layer.tree
    kept = {
        "node": product.node,
        "op_type": product.op_type,
        "macs": product.macs,
        "bits": list(product.bits),
        "pixels": product.pixels,
        "channels": product.channels,
        "weights": product.weights,
        "firing": product.firing,
        "counted": product.is_counted,
        "seconds": layer.seconds,
        "tree_seconds": layer.tree_seconds,
        "tree": None,
    }
    if tree is not None:
        kept["tree"] = {**asdict(tree), "parameters": tree.parameters, "ratio": tree.ratio}
    return kept
