"""What a dense layer costs with weights of a byte, and with codes of 2 or 4 bits: measured figures and the arithmetic over them.

``benchmarks/low_bit.py`` measures each of them again. Codes take more instructions a product and fewer bytes a weight, so they pay
where weights come from afar: where those of a whole network, which go by between two uses of a layer, do not stay in the near caches.
Over many pixels both take the time of the same sums, and codes are the smaller ones.
"""

from __future__ import annotations

from dataclasses import dataclass

SMALLER = 1.05
"""How much more time half or a quarter of the bytes is worth."""
FEW = 3
"""Pixels up to which a tile of four does no more than single ones."""


@dataclass(frozen=True, slots=True)
class CodedCosts:
    """Figures of one target; a multiplication and an addition are two operations.

    ``row``, ``tile``: operations a nanosecond on int8 weights in near caches, for one pixel and for tiles of four. ``codes2``,
    ``codes4``: on codes of 2 and 4 bits, for each pixel. ``expand_ns``: a code made an int8 weight. ``block``: channels of a vector
    of int8 weights, ``lanes``: of a field of codes. ``near_bytes``: weights that stay in near caches, ``read``: bytes a nanosecond
    that come from beyond them.
    """

    row: float
    tile: float
    codes2: float
    codes4: float
    expand_ns: float
    block: int
    lanes: int
    near_bytes: int
    read: float


CODED_COSTS: dict[str, CodedCosts] = {
    "portable": CodedCosts(30, 30, 26, 20, 0.06, 1, 1, 1 << 21, 6.5),
    "avx2": CodedCosts(125, 200, 160, 95, 0.012, 16, 8, 1 << 19, 22),
    "avx512": CodedCosts(150, 310, 160, 90, 0.03, 16, 16, 1 << 20, 10),
}
"""By the kernels' instruction set, of those that have kernels on codes. Measured: portable and avx2 on one core of a Zen 3, avx512 on
one of an Intel Xeon (``python -m benchmarks.low_bit --target avx512``)."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A layer of ``pixels`` times ``channels`` sums over ``depth`` activations, in a network of ``weight_bytes`` of weights."""

    pixels: int
    depth: int
    channels: int
    weight_bytes: int

    def _operations(self, block: int, pixels: int) -> int:
        return 2 * pixels * self.depth * -(-self.channels // block) * block

    def _read_ns(self, bits: int, costs: CodedCosts) -> float:
        return self.depth * self.channels * bits / 8 / costs.read if self.weight_bytes > costs.near_bytes else 0.0

    def int8_ns(self, costs: CodedCosts) -> float:
        """On weights of a byte."""
        whole = self.pixels if self.pixels < FEW else -(-self.pixels // 4) * 4
        rate = costs.row if self.pixels < FEW else costs.tile
        return max(self._operations(costs.block, whole) / rate, self._read_ns(8, costs))

    def few_ns(self, bits: int, costs: CodedCosts) -> float:
        """On codes, pixel by pixel."""
        rate = costs.codes2 if bits == 2 else costs.codes4
        return max(self._operations(costs.lanes * 8 // bits, self.pixels) / rate, self._read_ns(bits, costs))

    def rows_ns(self, bits: int, costs: CodedCosts) -> float:
        """On codes that are expanded once for all pixels."""
        computed = self._operations(costs.block, -(-self.pixels // 4) * 4) / costs.tile
        return max(computed + self.depth * self.channels * costs.expand_ns, self._read_ns(bits, costs))


def best(layer: Dense, bits: int, costs: CodedCosts) -> str:
    """``int8`` where that is :data:`SMALLER` times faster than codes, else the faster of ``few`` (pixel by pixel) and ``rows`` (expanded).

    >>> costs = CODED_COSTS["avx2"]
    >>> [best(Dense(pixels, 4096, 4096, 1 << 24), 4, costs) for pixels in (1, 128)]
    ['few', 'rows']
    >>> best(Dense(1, 64, 10, 10_000), 2, costs)
    'int8'
    """
    few, rows = layer.few_ns(bits, costs), layer.rows_ns(bits, costs)
    if min(few, rows) > SMALLER * layer.int8_ns(costs):
        return "int8"
    return "few" if few <= rows else "rows"
