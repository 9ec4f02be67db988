"""Level ``k``: kernels that go by rows of an image, and what a loop over rows (``k.rows``) keeps inside."""

from __future__ import annotations

from bitc.ir.graph import Graph, Op, Value

BY_ROWS = {
    "k.bconv_acc", "k.bconv_bits", "k.fconv", "k.fconv_w1", "k.fdepthwise", "k.pack", "k.unpack", "k.map", "k.fpool", "k.bpool_max",
    "k.iconv", "k.iconv_placed", "k.icoded", "k.icoded_rows", "k.iwinograd", "k.idepthwise",
    "k.ipool", "k.plain_conv", "k.pack_bit", "k.index_bit", "k.pick_bits", "k.pair_acc", "k.fconv_events",
}  # fmt: skip
"""Kernels that make the rows of an image one by one."""


def image_rows(op: Op) -> tuple[int, int]:
    """Images and rows a kernel makes: its results without their halos. (0, 0) for kernels that do not go by rows."""
    if op.name not in BY_ROWS:
        return 0, 0
    halo = op.attrs["halos"][0] if op.name == "k.map" else op.attrs.get("halo", (0, 0, 0, 0))
    images, rows = op.results[0].shape[:2]
    return images, rows - halo[0] - halo[2]


def inner_values(body: Graph) -> list[Value]:
    """The values of a body that nobody outside reads: they need memory for one step only."""
    made = (result for op in body.ops if op.name != "nn.constant" for result in op.results)
    return [value for value in made if value not in body.outputs]
