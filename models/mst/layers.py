"""The recipe as PyTorch parametrisations: put one on the weight of a convolution or dense layer and train on.

    from torch.nn.utils import parametrize
    projection = TreeProjection(conv.weight)
    parametrize.register_parametrization(conv, "weight", projection)
    schedule = TreeSchedule([conv], steps=epochs * batches, distance=0.2)
    ...                                   # in the training loop, after optimizer.step():
    schedule.step()
    ...                                   # at the end: plain ±1 weights, ready for torch.onnx.export
    freeze(network)

The parameter that is trained is the real latent; the layer computes with its signs. Activations are the user's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .projection import (
    Edges,
    Reals,
    distance,
    next_price,
    price_for,
    project,
    project_words,
    target_at,
    tree_of,
)

FIRST_DISTANCE = 0.4
"""What the schedule starts from: about what trained signs have without being asked (words: see `FIRST_WORDS`)."""

FIRST_WORDS = 0.95


class Signs(nn.Module):
    """weight = sign(latent), 0 counting as positive; the gradient goes straight through to the latent, unmasked."""

    def forward(self, latent: Tensor) -> Tensor:
        hard = torch.where(latent >= 0, 1.0, -1.0)
        return hard + (latent - latent.detach())


class TreeProjection(nn.Module):
    """weight = the best signs along a tree (:func:`projection.project`); the gradient goes straight through.

    With ``word`` the weights of one tap and so many neighbouring input channels part from the parent's together.
    The projection is computed on the CPU; elsewhere the latents travel there and back in each step.
    """

    def __init__(self, latent: Tensor, word: int = 1) -> None:
        super().__init__()
        self.word = word
        self.price = 0.0
        rows = self.rows(latent)
        self.signs: Reals = np.where(rows >= 0, np.float32(1), np.float32(-1))
        self.edges = tree_of(self.signs, word)

    @staticmethod
    def rows(latent: Tensor) -> Reals:
        """Latents [C, in, taps...] as f32[C, n], tap by tap, the input channels of a tap side by side."""
        rows: Reals = latent.detach().flatten(2 if latent.dim() > 2 else 1).cpu().numpy().astype(np.float32)
        return rows.swapaxes(1, 2).reshape(len(rows), -1) if rows.ndim == 3 else rows

    def project(self, rows: Reals, price: float) -> Reals:
        """The signs at a price."""
        if self.word == 1:
            return project(rows, self.edges, price)
        return project_words(rows, self.edges, price, self.word, self.signs)

    def distance_at(self, rows: Reals, price: float) -> float:
        """The mean distance of the signs at a price."""
        return distance(self.project(rows, price), self.edges, self.word)

    def forward(self, latent: Tensor) -> Tensor:
        self.signs = self.project(self.rows(latent), self.price)
        shape = (latent.shape[0], *latent.shape[2:], latent.shape[1]) if latent.dim() > 2 else latent.shape
        hard = torch.from_numpy(self.signs).reshape(shape).to(latent.device)
        hard = hard.movedim(-1, 1) if latent.dim() > 2 else hard
        return hard + (latent - latent.detach())


class TreeSchedule:
    """Steers the projections of ``layers`` through ``steps`` steps of training; call :meth:`step` after the optimizer's.

    In each step latents are clamped to [-1, 1] and the price follows the distance; every ``renew`` steps, until 70 % of
    them, the tree is grown anew and the price found by bisection.
    """

    def __init__(self, layers: Sequence[nn.Module], steps: int, distance: float, renew: int = 40) -> None:
        self.layers, self.steps, self.distance, self.renew = layers, steps, distance, renew
        self.count = 0
        for layer in layers:
            self._grow(layer, self._target(layer))

    def step(self) -> None:
        """After a step of the optimizer."""
        clamp(self.layers)
        self.count += 1
        grow = self.count % self.renew == 0 and self.count < 0.7 * self.steps
        for layer in self.layers:
            target, projection = self._target(layer), tree_projection(layer)
            if grow:
                self._grow(layer, target)
            else:
                now = distance(projection.signs, projection.edges, projection.word)
                projection.price = next_price(projection.price, now, target)

    def _target(self, layer: nn.Module) -> float:
        first = FIRST_DISTANCE if tree_projection(layer).word == 1 else FIRST_WORDS
        return target_at(self.count, self.steps, self.distance, first)

    def _grow(self, layer: nn.Module, target: float) -> None:
        projection, rows = tree_projection(layer), tree_projection(layer).rows(latent_of(layer))
        projection.signs = projection.project(rows, projection.price)
        projection.edges = tree_of(projection.signs, projection.word)
        projection.price = price_for(lambda price: projection.distance_at(rows, price), target)


def tree_distance(layers: Sequence[nn.Module], trees: Sequence[Edges]) -> Tensor:
    """The tree-distance loss: for layers of :class:`Signs`, the sum over edges of the share of weights that differ.

    Differentiable through the straight-through signs. Grow ``trees`` anew (:func:`trees_of`) every twenty steps or so.
    """
    total = torch.zeros(())
    for layer, edges in zip(layers, trees, strict=True):
        signs = layer.weight.flatten(1)
        children, parents = torch.from_numpy(edges.children), torch.from_numpy(edges.parent[edges.children])
        agreement = torch.from_numpy(edges.sign[edges.children]) * (signs[children] * signs[parents]).mean(dim=1)
        total = total + ((1 - agreement) / 2).sum()
    return total


def trees_of(layers: Sequence[nn.Module]) -> list[Edges]:
    """The tree of each layer's present signs."""
    return [tree_of(layer.weight.detach().flatten(1).numpy()) for layer in layers]


def tree_projection(layer: nn.Module) -> TreeProjection:
    """The projection on a layer's weight. Raises ``TypeError`` if there is none."""
    projection = layer.parametrizations.weight[0]
    if not isinstance(projection, TreeProjection):
        raise TypeError(f"the weight of {layer} has no TreeProjection")
    return projection


def latent_of(layer: nn.Module) -> Tensor:
    """The real parameter behind a layer's signs."""
    latent: Tensor = layer.parametrizations.weight.original
    return latent


@torch.no_grad()
def clamp(layers: Sequence[nn.Module]) -> None:
    """Keep latents within [-1, 1], so that a sign stays in reach of the gradient."""
    for layer in layers:
        latent_of(layer).clamp_(-1, 1)


def freeze(network: nn.Module) -> None:
    """Replace every parametrised weight by its ±1 values, for good."""
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
