"""Cases of ops that move elements or make constants."""

from __future__ import annotations

import numpy as np
from frontend.cases import F, X, ints, one, random
from onnx import helper, numpy_helper

MOVE = [
    *(
        one("Reshape", "x s", x=X, constants={"s": ints(*s)}, opsets=(7, 13, 14, 21), name=str(s))
        for s in [(2, -1), (0, 0, -1), (0, 3, 56), (-1,)]
    ),
    one("Reshape", "x s", x=X, constants={"s": ints(16, -1)}, allowzero=1, opsets=(14,), name="allowzero"),
    *(one("Flatten", "x", x=X, axis=a, opsets=(9, 13), name=str(a)) for a in (0, 1, 2, 4)),
    one("Flatten", "x", x=X, axis=-1, opsets=(11, 13), name="negative"),
    one("Transpose", "x", x=X, perm=[0, 2, 3, 1]),
    one("Transpose", "x", x=X, name="default"),
    one("Squeeze", "x", x=X[:, :1, :1], axes=[1], opsets=(7, 11), name="attribute"),
    one("Squeeze", "x a", x=X[:, :1, :1], constants={"a": ints(-2)}, opsets=(13, 21), name="input"),
    one("Squeeze", "x", x=X[:, :1, :1], opsets=(11, 13), name="all"),
    one("Unsqueeze", "x", x=X, axes=[0, 3], opsets=(7, 11), name="attribute"),
    one("Unsqueeze", "x a", x=X, constants={"a": ints(-1, 0)}, opsets=(13,), name="input"),
    one("Concat", "a b c", a=X, b=X[:, :1], c=X[:, 1:], axis=1),
    one("Concat", "a b", a=X, b=X, axis=-2, opsets=(11,), name="negative"),
    one("Split", "x", x=X, axis=2, split=[2, 5, 1], outputs="y z w", opsets=(7, 11), name="attribute"),
    one("Split", "x s", x=X, constants={"s": ints(2, 6)}, axis=-2, outputs="y z", opsets=(13, 18), name="input"),
    one("Split", "x", x=X, axis=2, outputs="y z", opsets=(7, 13), name="equal"),
    one("Split", "x", x=X, axis=3, num_outputs=3, outputs="y z w", opsets=(18,), name="num_outputs"),
    one("Slice", "x", x=X, starts=[1, -3], ends=[100, -1], axes=[2, 3], opsets=(7, 9), name="attributes"),
    one("Slice", "x", x=X, starts=[0, 1], ends=[1, 2], opsets=(9,), name="no axes"),
    one(
        "Slice",
        "x s e a t",
        x=X,
        constants={"s": ints(-1, 6), "e": ints(-100, 0), "a": ints(2, -1), "t": ints(-1, -2)},
        opsets=(10, 13),
        name="backwards",
    ),
    one("Slice", "x s e", x=X, constants={"s": ints(0, 1), "e": ints(1, 2**62)}, opsets=(10, 13), name="inputs"),
    *(
        one("Gather", "x i", x=X, constants={"i": np.asarray(i, np.int64)}, axis=a, opsets=(7, 13), name=str(i))
        for i, a in [(1, 1), ([0, 2], -1), ([[0, 1], [2, 0]], 2)]
    ),
    one("Gather", "x i", x=X, constants={"i": ints(-1, 0)}, axis=3, opsets=(11, 13), name="negative"),
    one("Expand", "x s", x=X[:, :, :1], constants={"s": ints(1, 8, 1)}, opsets=(8, 13)),
    one("Expand", "x s", x=X[0], constants={"s": ints(5, 1, 1, 1)}, name="rank"),
    one("Tile", "x r", x=X, constants={"r": ints(1, 2, 1, 3)}, opsets=(7, 13)),
    one("Pad", "x", x=X, pads=[0, 0, 1, 2, 0, 0, 3, 0], value=1.0, opsets=(7, 10), name="attributes"),
    one(
        "Pad",
        "x p v",
        x=X,
        constants={"p": ints(0, 1, 1, 2, 0, 0, 3, 0), "v": F(-1)},
        opsets=(11, 13, 21),
        name="inputs",
    ),
    one("Pad", "x p", x=X, constants={"p": ints(0, 0, -1, 2, 0, 0, -3, -1)}, opsets=(11,), name="negative"),
    one("Pad", "x p _ a", x=X, constants={"p": ints(1, 2, 0, 1), "a": ints(-1, 2)}, opsets=(18,), name="axes"),
    *(
        one("Pad", "x p", x=X, constants={"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}, mode=m, opsets=(11, 13), name=m)
        for m in ("reflect", "edge")
    ),
    one("Pad", "x p", x=X, constants={"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}, mode="wrap", opsets=(19,), name="wrap"),
    *(
        one("DepthToSpace", "x", x=random(1, 8, 2, 3), blocksize=2, mode=m, opsets=(11, 13), name=m)
        for m in ("DCR", "CRD")
    ),
    one("SpaceToDepth", "x", x=random(1, 3, 4, 6), blocksize=2),
    one("Shape", "x", x=X, opsets=(7, 13)),
    one("Shape", "x", x=X, start=1, end=-1, opsets=(15, 21), name="part"),
    one("Size", "x", x=X),
    one("Upsample", "x", x=X, scales=[1.0, 1.0, 2.0, 3.0], opsets=(7,), name="attribute"),
    one("Upsample", "x s", x=X, constants={"s": np.asarray([1, 1, 2, 3], F)}, opsets=(9,), name="input"),
    one("Resize", "x s", x=X, constants={"s": np.asarray([1, 1, 2, 1.5], F)}, opsets=(10,), name="10"),
    *(
        one(
            "Resize",
            "x _ s",
            x=X,
            constants={"s": np.asarray([1, 1, 0.6, 2.5], F)},
            mode="nearest",
            nearest_mode=r,
            coordinate_transformation_mode=c,
            opsets=(13, 19),
            name=f"{c} {r}",
        )
        for c in ("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel")
        for r in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    ),
    one("ConstantOfShape", "s", constants={"s": ints(2, 3)}, opsets=(9, 21)),
    one("ConstantOfShape", "s", constants={"s": ints(2, 3)}, value=helper.make_tensor("v", 7, [1], [5]), name="value"),
    *(
        one("Range", "a b c", constants={"a": t(a), "b": t(b), "c": t(c)}, opsets=(11,), name=f"{a} {b} {c}")
        for t, a, b, c in [(np.int64, 1, 9, 3), (np.int64, 5, 0, -2), (F, 0.5, 3, 0.7)]
    ),
    *(
        one("Constant", "", name=k, **{k: v})
        for k, v in [("value_float", 1.5), ("value_int", 3), ("value_floats", [1.0, 2.0]), ("value_ints", [4, 5])]
    ),
    one("Constant", "", value=numpy_helper.from_array(X), name="tensor", opsets=(9, 13)),
    one("Resize", "x _ _ s", x=X, constants={"s": ints(2, 3, 5, 14)}, opsets=(13, 19), name="sizes"),
]
