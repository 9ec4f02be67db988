"""What float products of inputs that are mostly zeros cost: by events or dense? Measured figures and the arithmetic over them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventCosts:
    """Figures of one target, in nanoseconds on one core. ``dense``: a multiplication of the dense kernel, when its blocks are full;
    ``place``: an input looked at; ``window``: a row of a window, for each block of channels; ``event``: an event under a window, for
    each block; ``channel``: a channel of it."""

    dense: float
    place: float
    window: float
    event: float
    channel: float

    def dense_ns(self, macs: int) -> float:
        """The product as it stands."""
        return macs * self.dense

    def events_ns(
        self, inputs: int, pixels: int, rows: int, under: int, channels: int, block: int, rate: float
    ) -> float:
        """The product by events: ``under`` inputs lie under each of ``pixels`` windows of ``rows`` rows, ``rate`` of them not zero."""
        blocks = -(-channels // block)
        each = rows * blocks * self.window + rate * under * blocks * (self.event + block * self.channel)
        return inputs * self.place + pixels * each


EVENT_COSTS: dict[str, EventCosts] = {
    "portable": EventCosts(dense=0.066, place=0.5, window=10.0, event=1.5, channel=0.35),
    "avx2": EventCosts(dense=0.0225, place=0.12, window=5.0, event=0.5, channel=0.07),
    "avx512": EventCosts(dense=0.018, place=0.12, window=5.0, event=0.5, channel=0.07),
}
"""By the kernels' instruction set. Measured: portable and avx2 on a Zen 3, whose L2 cache bounds an event's weights. Of avx512
``dense`` is measured, on an Intel Xeon, events are taken to cost what they do on avx2. There are no such kernels for other sets."""
