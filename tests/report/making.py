"""Products made by hand, for the tests of what is counted from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bitc.report.products import Product


def product(rows: np.ndarray | None = None, **fields: object) -> Product:
    """A binary convolution with the weights ``rows`` [groups, C, n], one tap unless told; or any other."""
    weights = 0 if rows is None else rows.size
    made = Product(
        node="node 0 'conv' (Conv)",
        op_type="Conv",
        macs=weights,
        pixels=1,
        channels=0 if rows is None else rows.shape[0] * rows.shape[1],
        taps=1,
        activation_bits=1,
        weight_bits=1,
        other_bits=0,
        weights=weights,
        rows=rows,
        tap_bits=0 if rows is None else rows.shape[2],
        spikes=False,
        firing=None,
    )
    return replace(made, **fields)  # type: ignore[arg-type]
