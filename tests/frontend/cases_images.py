"""Cases of ops on images and volumes: transposed convolutions, pools with all their outputs and norms, resizing."""

from __future__ import annotations

from typing import Any

import numpy as np
from frontend.cases import Case, F, X, ints, one, random

LINE, VOLUME = random(2, 4, 9), random(1, 4, 5, 6, 4)
IMAGES = {1: LINE, 2: random(1, 4, 6, 5), 3: VOLUME}


def _transposed(name: str, rank: int, kernel: int, *, group: int = 1, **attrs: Any) -> Case:
    x = IMAGES[rank].round()
    w = random(4, 3, *[kernel] * rank).round()
    constants = {"w": w, "b": random(3 * group).round()}
    return one("ConvTranspose", "x w b", x=x, constants=constants, group=group, name=f"{rank}-D {name}", **attrs)


TRANSPOSED = [
    *(_transposed("plain", rank, 3, opsets=(7, 11, 22)) for rank in (1, 2, 3)),
    *(_transposed("strides", rank, 3, strides=[2] * rank, pads=[1] * rank + [0] * rank) for rank in (1, 2, 3)),
    _transposed("groups", 2, 3, group=2, strides=[2, 3], output_padding=[1, 2]),
    _transposed("dilations", 2, 2, dilations=[2, 3]),
    _transposed("strides and dilations", 2, 3, dilations=[2, 3], strides=[3, 2]),
    _transposed("stride above the kernel", 2, 2, strides=[3, 4]),
    _transposed("output shape", 2, 3, strides=[3, 2], output_shape=[17, 10]),
    _transposed("output shape beyond the sums", 2, 2, strides=[3, 3], output_shape=[19, 15]),
    *(_transposed(mode, 2, 3, strides=[2, 2], auto_pad=mode) for mode in ("SAME_UPPER", "SAME_LOWER", "VALID")),
    one(
        "ConvTranspose",
        "x w",
        x=IMAGES[2].round(),
        w=random(4, 2, 3, 3).round(),
        strides=[2, 2],
        name="computed weights",
    ),
]

POOLS = [
    *(
        one(kind, "x", x=IMAGES[rank], kernel_shape=[3] * rank, strides=[2] * rank, exact=exact, name=f"{rank}-D", opsets=(12, 19))
        for kind, exact in (("MaxPool", True), ("AveragePool", False))
        for rank in (1, 3)
    ),
    *(
        one("AveragePool", "x", x=VOLUME, kernel_shape=[2, 3, 3], pads=[1, 1, 1, 0, 1, 1], strides=[2, 2, 1],
            ceil_mode=1, count_include_pad=c, opsets=(19,), exact=False, name=f"3-D padded {c}")
        for c in (0, 1)
    ),
    *(
        one("MaxPool", "x", x=IMAGES[rank], kernel_shape=[2] * rank, strides=[2] * rank, pads=[1] * rank + [0] * rank,
            storage_order=order, outputs="y i", opsets=(8, 12), name=f"{rank}-D positions, order {order}")
        for rank, order in ((1, 0), (2, 0), (2, 1), (3, 0))
    ),
    one("MaxPool", "x", x=IMAGES[2], kernel_shape=[2, 2], dilations=[2, 1], outputs="y i", opsets=(12,), name="positions, dilated"),
    one("MaxPool", "x", x=random(1, 3, 6, 6, dtype=np.uint8, low=0, high=255), kernel_shape=[2, 2], opsets=(12,), name="uint8"),
    *(
        one("LpPool", "x", x=IMAGES[rank], kernel_shape=[3] * rank, p=p, pads=[1] * (2 * rank), strides=[2] * rank,
            opsets=(11, 18), exact=False, name=f"{rank}-D p {p}")
        for rank, p in ((1, 2), (2, 1), (2, 3), (3, 2))
    ),
    one("LpPool", "x", x=IMAGES[2], kernel_shape=[3, 2], dilations=[2, 2], ceil_mode=1, opsets=(18,), exact=False, name="ceil"),
    one("GlobalLpPool", "x", x=VOLUME, opsets=(11, 13), exact=False),
    one("GlobalLpPool", "x", x=X, p=1, exact=False, name="p 1"),
    one("MaxUnpool", "x i", x=random(1, 1, 2, 2), i=np.array([[[[5, 7], [8, 15]]]]), kernel_shape=[2, 2], strides=[2, 2]),
    one("MaxUnpool", "x i s", x=random(1, 1, 2, 2), i=np.array([[[[5, 7], [8, 24]]]]), constants={"s": ints(1, 1, 5, 5)},
        kernel_shape=[2, 2], strides=[2, 2], name="shape"),
    *(
        one("Conv", "x w", x=VOLUME.round(), constants={"w": random(4, 4 // g, 2, 3, 1).round()}, group=g, dilations=[2, 1, 1],
            strides=[1, 2, 1], pads=[1, 0, 0, 0, 1, 2], name=f"3-D {g} groups")
        for g in (1, 2, 4)
    ),
    one("Conv", "x w b", x=X.round(), w=random(4, 3, 3, 3).round(), b=random(4).round(), pads=[1, 0, 1, 2], name="computed weights"),
]  # fmt: skip

REGION = np.array([0, 0, 0.1, -0.2, 1, 1, 0.8, 1.3], F)


def _resized(name: str, scales: tuple[float, ...], opset: int = 13, **attrs: Any) -> Case:
    crop = attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    constants = {"r": REGION if crop else np.zeros(0, F), "s": np.asarray(scales, F)}
    return one(
        "Resize", "x r s", x=X, constants=constants, opsets=(opset,), exact=False, name=f"{name} {scales}", **attrs
    )


RESIZED = [
    *(
        _resized(f"{mode} {how}", scales, mode=mode, coordinate_transformation_mode=how)
        for mode in ("linear", "cubic")
        for how in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
        for scales in ((1, 1, 2, 1.5), (1, 1, 0.6, 0.5))
    ),
    *(
        _resized(mode, (1, 1, 2, 0.7), mode=mode, coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=0.5)
        for mode in ("nearest", "linear", "cubic")
    ),
    _resized("symmetric", (1, 1, 2.3, 0.7), 19, mode="linear", coordinate_transformation_mode="half_pixel_symmetric"),
    _resized("excluding", (1, 1, 2.5, 0.7), mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5),
    one("Resize", "x s", x=X, constants={"s": np.asarray([1, 1, 2, 1.5], F)}, mode="linear", opsets=(10,), exact=False, name="10 linear"),
    one("Resize", "x _ _ s", x=X, constants={"s": ints(12, 9)}, mode="linear", axes=[3, 2], opsets=(18,), exact=False,
        keep_aspect_ratio_policy="not_larger", name="aspect"),
    one("Resize", "x _ s", x=VOLUME, constants={"s": np.asarray([1, 1, 2, 2, 1.5], F)}, mode="linear", exact=False, name="3-D"),
    one("Upsample", "x s", x=X, constants={"s": np.asarray([1, 1, 2, 3], F)}, mode="linear", opsets=(9,), exact=False, name="linear"),
]  # fmt: skip

IMAGE_CASES = TRANSPOSED + POOLS + RESIZED
