"""Productions that pick, rank and place elements by indices, and running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitc.fuzz.network import Network, Tensor, Unfit

F = np.float32


def _indices(net: Network, shape: tuple[int, ...], extent: int) -> np.ndarray:
    """int64 indices into an axis of ``extent``, negative ones among them."""
    return net.draw.integers(-extent, extent, shape)


def _axis(net: Network, x: Tensor) -> int:
    return net.choose.randrange(1, len(x.shape))


def take_along(net: Network, x: Tensor) -> Tensor:
    """GatherElements by constant indices."""
    if net.setting.free:
        raise Unfit
    axis = _axis(net, x)
    return net.node("GatherElements", x, _indices(net, x.shape, x.shape[axis]), axis=axis)


def take_tuples(net: Network, x: Tensor) -> Tensor:
    """GatherND: a few positions of the first axis behind the batch."""
    if net.setting.free or net.setting.opset < 12:
        raise Unfit
    indices = _indices(net, (x.shape[0], net.choose.randint(1, 4), 1), x.shape[1])
    return net.node("GatherND", x, indices, batch_dims=1)


def take_ranked(net: Network, x: Tensor) -> Tensor:
    """Channels picked by computed indices: the largest of each row picks from a table."""
    table = net.floats((x.shape[-1], net.choose.randint(1, 6)))
    return net.node("Gather", table, net.node("ArgMax", x, axis=-1, keepdims=0))


def take_computed(net: Network, x: Tensor) -> Tensor:
    """GatherND of a table by two computed indices: where the largest and the smallest element of each row are."""
    if net.setting.opset < 13:
        raise Unfit
    places = [net.node(kind, x, axis=-1, keepdims=0) for kind in ("ArgMax", "ArgMin")]
    columns = [net.node("Unsqueeze", place, np.array([-1], np.int64)) for place in places]
    table = net.floats((x.shape[-1], x.shape[-1], net.choose.randint(1, 4)))
    return net.node("GatherND", table, net.node("Concat", *columns, axis=-1))


def rank(net: Network, x: Tensor) -> Tensor:
    """The largest or smallest elements along an axis, sorted."""
    axis = _axis(net, x)
    count = net.choose.randint(1, x.shape[axis])
    shape = tuple(count if i == axis else n for i, n in enumerate(x.shape))
    attrs: dict[str, Any] = {"axis": axis, "largest": int(net.maybe(0.6)), "sorted": 1}
    likes = [(F, shape), (np.int64, shape)]
    return net.split("TopK", x, np.array([count], np.int64), results=2, likes=likes, **attrs)[0]


def place_along(net: Network, x: Tensor) -> Tensor:
    """ScatterElements of constants, each at a place of its own."""
    if net.setting.free:
        raise Unfit
    axis = _axis(net, x)
    count = net.choose.randint(1, x.shape[axis])
    shape = tuple(count if i == axis else n for i, n in enumerate(x.shape))
    order = np.argsort(net.draw.random(x.shape), axis=axis)
    indices = np.take(order, np.arange(count), axis=axis).astype(np.int64)
    return net.node("ScatterElements", x, indices, net.floats(shape), axis=axis)


def place_tuples(net: Network, x: Tensor) -> Tensor:
    """ScatterND of constants in the batch's first row."""
    if net.setting.free:
        raise Unfit
    places = net.draw.permutation(x.shape[1])[: net.choose.randint(1, x.shape[1])]
    indices = np.stack([np.zeros_like(places), places], axis=1).astype(np.int64)
    return net.node("ScatterND", x, indices, net.floats((len(places), *x.shape[2:])))


def running_sum(net: Network, x: Tensor) -> Tensor:
    """CumSum, backwards or without the element itself."""
    attrs: dict[str, Any] = {"exclusive": int(net.maybe(0.4)), "reverse": int(net.maybe(0.4))}
    return net.node("CumSum", x, np.array(_axis(net, x), np.int64), **attrs)


LOOKUPS = (take_along, take_tuples, take_ranked, take_computed, rank, place_along, place_tuples, running_sum)
