"""Lowering of ops on codes: products become popcounts, thresholds on accumulators become limits on popcounts, the rest packs and unpacks.

With activations of levels ``lo + step·index`` in thermometer planes p_i = ±1 and weights a·w, w = ±1, over n products a plane:

    sum level·w  =  ((lo + hi)·sum w  +  step·sum_i dot(p_i, w)) / 2,      sum_i dot(p_i, w) = planes·n - 2·pop
                 =  base - step·pop,                                       base = ((lo + hi)·sum w + step·planes·n) / 2

and a times both with weights ±a. Products of the form ``pairs`` look both operands up in a table (:mod:`bitc.ir.pairs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bitc.ir import CodeType, Graph, Op, Value
from bitc.ir.bit_moves import picked_bits
from bitc.ir.packing import WORD_BITS, WeightForm, pack_bits, pack_grouped_weights, pack_weights
from bitc.ir.pairs import pair_words, table_of, worth_of
from bitc.passes.lower_skipping import skip_acc, skip_bits
from bitc.passes.lower_sliced import BitProduct, sliced_acc, sliced_bits
from bitc.passes.lowering import Lowering, Refused
from bitc.passes.padding import code_constant

GROUPED_BLOCK = 8
PIXEL_FORMS = {
    "trees": (sliced_acc, sliced_bits),
    "tables": (sliced_acc, sliced_bits),
    "skipping": (skip_acc, skip_bits),
}
"""Of products whose lanes are pixels: on planes of bits (:mod:`bitc.ir.sliced`), or of nibbles (:mod:`bitc.ir.skipping`); how each ends."""

NEVER = np.iinfo(np.int32).max


def lower_product(op: Op, low: Lowering) -> None:
    """``q.conv`` and ``q.matmul``: nothing yet where a threshold takes the only use of the accumulator, else ``k.bconv_acc``."""
    if fused_threshold(op, low.graph, low.users) is None:
        _accumulate(op, op.result, None, low)


def lower_border(op: Op, low: Lowering) -> None:
    """``q.border``: part of the product it corrects."""
    product = op.operands[0].producer
    if product is None or product.name != "q.conv" or len(low.users[op.operands[0]]) != 1:
        raise Refused("U111", "stands apart from its product", "border corrections follow the one product they correct")
    if fused_threshold(product, low.graph, low.users) is None:
        _accumulate(product, op.result, op, low)


def lower_threshold(op: Op, low: Lowering) -> None:
    """``q.threshold``: the end of a product kernel, or ``k.pack`` of numbers."""
    x = op.operands[0]
    end = x.producer
    border = end if end is not None and end.name == "q.border" else None
    product = border.operands[0].producer if border is not None else end
    if (
        product is not None
        and product.name in ("q.conv", "q.matmul")
        and fused_threshold(product, low.graph, low.users) is op
    ):
        _bits(product, border, op, low)
    else:
        _pack(op, low)


def fused_threshold(product: Op, graph: Graph, users: Mapping[Value, Sequence[Op]]) -> Op | None:
    """The ``q.threshold`` that alone reads the accumulator of ``product`` (after its border), if there is one its kernel can end with."""
    if product.attrs["form"] == "pairs":
        return None
    value = product.result
    while value not in graph.outputs and len(users[value]) == 1:
        (user,) = users[value]
        if user.name == "q.threshold":
            return user
        if user.name != "q.border":
            return None
        value = user.result
    return None


def _kernel(product: Op) -> np.ndarray:
    """The weights' levels [M, C/group, KH, KW]; a matrix [K, M] as a 1x1 kernel."""
    codes = code_constant(product.operands[1])
    return codes if product.name == "q.conv" else codes.T.reshape(codes.shape[1], codes.shape[0], 1, 1)


def product_signs(product: Op) -> np.ndarray:
    """The signs ±1 of weights ±a, as :func:`_kernel`."""
    codes = _kernel(product)
    if not np.isin(codes, (-_unit(product), _unit(product))).all():
        raise Refused("U112", "has weights that are not ±a", "weights of bits are ±a", str(product.operands[1].type))
    return np.asarray(np.sign(codes))


def _unit(product: Op) -> int:
    """a, where the weights are ±a."""
    weights = product.operands[1].type
    assert isinstance(weights, CodeType)
    return max(1, weights.levels.hi)


def _source(product: Op) -> CodeType:
    source = product.operands[0].type
    assert isinstance(source, CodeType)
    if len(source.shape) not in (2, 4):
        raise Refused(
            "U110", f"reads codes of rank {len(source.shape)}", "codes are images [N,C,H,W] or rows [M,C]", str(source)
        )
    return source


def base_table(product: Op, border: Op | None) -> np.ndarray:
    """base[class, m], int64: the accumulator where no bit mismatches."""
    levels, signs = _source(product).levels, product_signs(product).astype(np.int64)
    per_channel = signs.reshape(signs.shape[0], -1)
    base = (levels.middle_twice * per_channel.sum(axis=1) + levels.step * levels.planes * per_channel.shape[1]) // 2
    base *= _unit(product)
    if border is None:
        return np.asarray(base[np.newaxis])
    table = border.operands[1].constant
    assert table is not None
    return np.asarray(base + table)


def _step(product: Op) -> int:
    """How much one mismatched bit takes off the accumulator."""
    return _source(product).levels.step * _unit(product)


def limits(base: np.ndarray, step: int, t: np.ndarray, descending: np.ndarray, most: int) -> np.ndarray:
    """Limits [planes, classes, M] on popcounts (0..most) for thresholds t [M, planes] on ``base - step·pop``:

        acc >= t  <=>  pop <= floor((base - t) / step)            the bit is (pop > limit)
        acc <= t  <=>  pop >  ceil((base - t) / step) - 1         the bit is (pop > limit) flipped

    The planes count passed thresholds, so they are taken from the easiest to the hardest.

    >>> limits(np.array([[9]]), 2, np.array([[-1, 3]]), np.array([False]), 9).ravel().tolist()
    [5, 3]
    >>> limits(np.array([[9]]), 2, np.array([[-1, 3]]), np.array([True]), 9).ravel().tolist()
    [2, 4]
    """
    edges = np.sort(t.astype(np.int64), axis=1)
    edges = np.where(descending[:, np.newaxis], edges[:, ::-1], edges).T[:, np.newaxis, :]
    distance = base[np.newaxis] - edges
    found = np.where(descending, -(-distance // step) - 1, distance // step)
    return np.asarray(np.clip(found, -1, most), dtype=np.int32)


def _window(product: Op, low: Lowering) -> tuple[Value, dict[str, Any]]:
    """The input buffer of ``product`` and the geometry of a kernel that reads it."""
    source, kernel = _source(product), code_constant(product.operands[1]).shape
    if product.name == "q.matmul":
        placed = low.use(product.operands[0])
        if any(placed.halo):
            raise AssertionError("rows of codes never have a halo")
        one = (1, 1)
        size = (1, source.shape[0])
        return placed.value, {"taps": one, "strides": one, "dilations": one, "at": (0, 0), "size": size}
    pads, pad_level = product.attrs["pads"], product.attrs["pad_level"]
    if any(pads) and not source.levels.contains(pad_level):
        raise Refused("U113", f"pads with level {pad_level}", f"padding is one of the levels {source.levels}")
    placed = low.padded(product.operands[0], pads, float(pad_level), product)
    at = (placed.halo[0] - pads[0], placed.halo[1] - pads[1])
    geometry = {"taps": kernel[2:], "strides": product.attrs["strides"], "dilations": product.attrs["dilations"]}
    return placed.value, {**geometry, "at": at, "size": product.result.shape[2:]}


def _of_bits(product: Op, low: Lowering) -> tuple[Value, dict[str, Any]]:
    """The input buffer of ``product`` and the attributes of a ``k.bconv`` that reads it."""
    source, signs = _source(product), product_signs(product)
    form = _form(product, low)
    x, geometry = _window(product, low)
    counts = {"channels": signs.shape[0], "planes": source.levels.planes, "terms": signs[0].size}
    return x, {**counts, "block": form.block, "byte_rows": form.byte_rows, **geometry}


def _classes(border: Op | None) -> dict[str, Any]:
    if border is None:
        return {"row_class": (), "col_class": ()}
    return {"row_class": border.attrs["row_class"], "col_class": border.attrs["col_class"]}


def _form(product: Op, low: Lowering) -> WeightForm:
    """Grouped kernels take blocks of :data:`GROUPED_BLOCK` whole words on every target."""
    return low.forms.bits if product.attrs.get("group", 1) == 1 else WeightForm(GROUPED_BLOCK)


def _weights(product: Op, low: Lowering) -> tuple[Value, tuple[Value, ...]]:
    """The packed weights; masks and first words of a grouped convolution."""
    signs, planes, group = product_signs(product), _source(product).levels.planes, product.attrs.get("group", 1)
    if group == 1:
        return low.constant(pack_weights(signs, planes, low.forms.bits)), ()
    grouped = pack_grouped_weights(signs, group, planes, GROUPED_BLOCK)
    return low.constant(grouped.words), (low.constant(grouped.masks), low.constant(grouped.block_word))


def _whole_blocks(table: np.ndarray, block: int, absent: int) -> np.ndarray:
    """``table`` [..., M] with ``absent`` up to a whole number of blocks, int32."""
    widths = [(0, 0)] * (table.ndim - 1) + [(0, -table.shape[-1] % block)]
    return np.pad(table, widths, constant_values=absent).astype(np.int32)


def _accumulate(product: Op, result: Value, border: Op | None, low: Lowering) -> None:
    if product.attrs["form"] == "pairs":
        low.put(result, _looked_up(product, border, low))
        return
    if product.attrs["form"] in PIXEL_FORMS:
        of_bits, (ends, _) = _bit_product(product, border, low), PIXEL_FORMS[product.attrs["form"]]
        low.put(result, ends(of_bits, base_table(product, border), _step(product), low))
        return
    x, attrs = _of_bits(product, low)
    base = _whole_blocks(base_table(product, border), attrs["block"], 0)
    weights, groups = _weights(product, low)
    operands = (x, weights, low.constant(base), *groups)
    made = low.add("k.bconv_acc", *operands, like=product, step=_step(product), **attrs, **_classes(border))
    low.put(result, made)


def _looked_up(product: Op, border: Op | None, low: Lowering) -> Value:
    """``k.pair_acc``: sum of offsets - step · sum of worths; channels that fill the last word are worth ``matrix[0, 0]`` each."""
    source, kernel, form = _source(product), _kernel(product), low.forms.bits
    levels = product.operands[1].type.levels  # type: ignore[union-attr]
    worth = worth_of(source.levels, levels)
    assert worth is not None, "the form is chosen where it fits"
    x, geometry = _window(product, low)
    channels, index = kernel.shape[1], (kernel - levels.lo) // levels.step
    pairs = low.add("k.interleave", x, like=product, planes=source.levels.planes, channels=channels)
    bits = np.stack([index & 1, index >> 1], axis=2).reshape(kernel.shape[0], 2 * channels, *kernel.shape[2:])
    weights = low.constant(pack_weights(np.where(bits, -1, 1), 1, form))
    absent = kernel[0, 0].size * (pair_words(channels) * WORD_BITS // 2 - channels)
    base = worth.offsets[index].reshape(1, kernel.shape[0], -1).sum(axis=2)
    base = base + worth.step * absent * int(worth.matrix[0, 0])
    if border is not None:
        base = base + np.asarray(border.operands[1].constant, np.int64)
    operands = (pairs, weights, low.constant(table_of(worth.matrix)), low.constant(_whole_blocks(base, form.block, 0)))
    counts = {"channels": kernel.shape[0], "terms": kernel[0].size, "block": form.block, "byte_rows": form.byte_rows}
    return low.add("k.pair_acc", *operands, like=product, step=worth.step, **counts, **geometry, **_classes(border))


def _bit_product(product: Op, border: Op | None, low: Lowering) -> BitProduct:
    x, windows = _window(product, low)
    group = product.attrs.get("group", 1)
    return BitProduct(
        product, x, product_signs(product), _source(product).levels.planes, group, windows, _classes(border)
    )


def _bits(product: Op, border: Op | None, threshold: Op, low: Lowering) -> None:
    source, (t, descending) = _source(product), threshold_tables(threshold)
    most = source.levels.planes * product_signs(product)[0].size
    table = limits(base_table(product, border), _step(product), t, descending, most)
    halo = low.halo(threshold.result)
    if product.attrs["form"] in PIXEL_FORMS:
        of_bits, (_, ends) = _bit_product(product, border, low), PIXEL_FORMS[product.attrs["form"]]
        low.put(threshold.result, ends(of_bits, table, descending, halo, low), halo)
        return
    x, attrs = _of_bits(product, low)
    weights, groups = _weights(product, low)
    limit, flip = low.constant(_whole_blocks(table, attrs["block"], NEVER)), low.constant(pack_bits(descending))
    operands = (x, weights, limit, flip, *groups)
    made = low.add("k.bconv_bits", *operands, like=product, halo=halo, **attrs, **_classes(border))
    low.put(threshold.result, made, halo)


def threshold_tables(threshold: Op) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds [C, planes] and descending [C] of a ``q.threshold``, one row for each channel."""
    t, descending = threshold.operands[1].constant, threshold.operands[2].constant
    assert t is not None, "thresholds are constants"
    assert descending is not None, "directions are constants"
    channels = threshold.result.shape[1] if len(threshold.result.shape) > 1 else 1
    return np.broadcast_to(t, (channels, t.shape[1])), np.broadcast_to(descending, (channels,))


def _pack(threshold: Op, low: Lowering) -> None:
    t, descending = threshold_tables(threshold)
    placed, halo = low.use(threshold.operands[0]), low.halo(threshold.result)
    edges = np.sort(t, axis=1)
    edges = np.where(descending[:, np.newaxis], edges[:, ::-1], edges).T
    operands = (placed.value, low.constant(np.ascontiguousarray(edges)), low.constant(pack_bits(descending)))
    low.put(threshold.result, low.add("k.pack", *operands, like=threshold, x_halo=placed.halo, halo=halo), halo)


def lower_plane(op: Op, low: Lowering) -> None:
    """``q.plane``: packed from bytes, or the parity of some thermometer planes."""
    (x,) = op.operands
    placed, halo = low.use(x), low.halo(op.result)
    if isinstance(x.type, CodeType):
        held = {"planes": x.type.levels.planes, "channels": x.shape[1]}
        name = "k.index_bit"
    else:
        name, held = "k.pack_bit", {}
    made = low.add(name, placed.value, like=op, bit=op.attrs["bit"], x_halo=placed.halo, halo=halo, **held)
    low.put(op.result, made, halo)


def lower_pick(op: Op, low: Lowering) -> None:
    """``q.pick``: bits of words moved to other places."""
    x, *tables = op.operands
    channel, plane, turned = (table.constant for table in tables)
    assert channel is not None
    assert plane is not None
    assert turned is not None
    moves = picked_bits(channel, plane, turned, x.shape[1])
    placed, halo = low.use(x), low.halo(op.result)
    operands = (placed.value, *map(low.constant, (moves.steps, moves.masks, moves.flips)))
    low.put(op.result, low.add("k.pick_bits", *operands, like=op, x_halo=placed.halo, halo=halo), halo)


def lower_levels(op: Op, low: Lowering) -> None:
    """``k.levels``."""
    source = op.operands[0].type
    assert isinstance(source, CodeType)
    levels, placed, halo = source.levels, low.use(op.operands[0]), low.halo(op.result)
    attrs = {"lo": levels.lo, "step": levels.step, "planes": levels.planes, "channels": source.shape[1]}
    made = low.add("k.unpack", placed.value, like=op, x_halo=placed.halo, halo=halo, **attrs)
    low.put(op.result, made, halo)


def lower_code_pool(op: Op, low: Lowering) -> None:
    """``q.max_pool``: AND (or OR) of words."""
    minimum = op.operands[1].constant
    assert minimum is not None
    placed, pads = low.use(op.operands[0]), op.attrs["pads"]
    halo = low.halo(op.result)
    attrs = {"taps": op.attrs["kernel"], "strides": op.attrs["strides"], "dilations": op.attrs["dilations"]}
    made = low.add(
        "k.bpool_max",
        placed.value,
        low.constant(pack_bits(minimum)),
        like=op,
        at=(-pads[0], -pads[1]),
        size=op.result.shape[2:],
        x_halo=placed.halo,
        halo=halo,
        **attrs,
    )
    low.put(op.result, made, halo)
