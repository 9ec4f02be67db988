"""Cases of reads and writes at computed places, of sums over labels and axes, and of normalisations."""

from __future__ import annotations

import numpy as np
from frontend.cases import WHOLE, Case, F, X, ints, one, random

PLACES = random(2, 5, dtype=np.int64, low=-3, high=3)
TABLES = {"float": random(3, 4, 3), "int64": random(3, 4, 3, dtype=np.int64), "bool": random(3, 4, 3, dtype=bool)}

LOOKUPS = [
    *(
        one("Gather", "x i", x=x, i=PLACES, axis=axis, name=f"computed {name} {axis}")
        for name, x in TABLES.items()
        for axis in (0, -2)
    ),
    one("Gather", "x i", constants={"x": X}, i=np.array(2, np.int32), axis=3, name="computed scalar, int32"),
    *(
        one("GatherElements", "x i", x=x, i=random(2, 3, 3, dtype=np.int64, low=-2, high=2), axis=axis, name=f"{name} {axis}")
        for name, x in TABLES.items()
        for axis in (0, 2)
    ),
    one("GatherElements", "x i", x=X, constants={"i": np.zeros((2, 3, 1, 7), np.int64)}, axis=2, name="constant"),
    one("GatherND", "x i", x=TABLES["float"], i=random(2, 5, 2, dtype=np.int64, low=-3, high=2), opsets=(11, 12, 13)),
    one("GatherND", "x i", x=X, i=random(2, 5, 1, dtype=np.int64), batch_dims=1, name="batch"),
    *(
        one(kind, "x i u", x=x, i=np.full((2, 1, 2), 1), u=x[:2, :1, 1:], axis=1, name=name, opsets=opsets)
        for name, x in TABLES.items()
        for kind, opsets in (("ScatterElements", (11, 18)), ("Scatter", (9,)))
    ),
    *(
        one("ScatterElements", "x i u", x=WHOLE, i=random(4, 7, dtype=np.int64), u=random(4, 7, dtype=np.int64), axis=1,
            reduction=how, opsets=(18,), name=how)
        for how in ("add", "mul", "max", "min")
    ),
    *(
        one("ScatterND", "x i u", x=x, i=np.array([[0, 1], [2, -2]]), u=x[:2, 0], name=name, opsets=(11, 13))
        for name, x in TABLES.items()
    ),
    *(
        one("ScatterND", "x i u", x=WHOLE, i=random(6, 1, dtype=np.int64), u=random(6, 5, dtype=np.int64), reduction=how,
            opsets=(18,), name=how)
        for how in ("add", "mul", "max", "min")
    ),
    *(
        one("OneHot", "i d v", i=random(3, 4, dtype=np.int64, low=-8, high=9), constants={"d": np.array(6)}, v=v, axis=axis,
            opsets=(9, 11), name=f"{v.dtype} {axis}")
        for v in (np.array([-1, 2], F), np.array([0, 5]))
        for axis in (-1, 0, 1)
    ),
    one("Compress", "x c", x=X, constants={"c": np.array([True, False, True])}, axis=1, opsets=(9, 11)),
    one("Compress", "x c", x=WHOLE, constants={"c": np.array([True, False, True])}, name="flat"),
    one("NonZero", "x", constants={"x": np.array([[0, 3], [2, 0]], F)}),
    one("Unique", "x", constants={"x": np.array([2, 1, 1, 3], F)}),
    *(
        one("CumSum", "x a", x=x, constants={"a": np.array(1)}, exclusive=e, reverse=r, name=f"{x.dtype} {e} {r}", opsets=(11, 14))
        for x in (X, WHOLE)
        for e in (0, 1)
        for r in (0, 1)
    ),
]  # fmt: skip


def _einsum(equation: str, *shapes: tuple[int, ...]) -> Case:
    names = "abc"[: len(shapes)]
    arrays = {name: random(*shape, seed=i).round() for i, (name, shape) in enumerate(zip(names, shapes, strict=True))}
    return one("Einsum", " ".join(names), equation=equation, name=equation, opsets=(12,), **arrays)


EINSUM = [
    _einsum("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    _einsum("ij,jk", (3, 4), (4, 5)),
    _einsum("bhid, bhjd -> bhij", (2, 3, 4, 5), (2, 3, 6, 5)),
    _einsum("...ij,...jk->...ik", (2, 3, 3, 4), (1, 3, 4, 5)),
    _einsum("...ii->...i", (2, 3, 3)),
    _einsum("ii", (4, 4)),
    _einsum("iij->j", (4, 4, 3)),
    _einsum("abc->cb", (2, 3, 4)),
    _einsum("i,j->ij", (5,), (4,)),
    _einsum("ij,ij->", (3, 4), (3, 4)),
    _einsum("bn,anm,bm->ba", (2, 5), (3, 5, 7), (2, 7)),
    _einsum("b...,b...->...b", (2, 3, 4), (2, 3, 4)),
]

REDUCED = [
    *(
        one(f"Reduce{kind}", "x", x=x, axes=axes, keepdims=0, exact=x.dtype.kind != "f", opsets=(13,), name=f"{x.dtype} {axes}")
        for kind in ("Prod", "Mean", "L1", "SumSquare", "Max", "Min")
        for x in (X, WHOLE, WHOLE.astype(np.int32))
        for axes in ([1], [0, -1])
        if not (kind == "L1" and x.dtype == np.int64)
    ),
    *(
        one(f"Reduce{kind}", "x", x=np.abs(X), noop_with_empty_axes=1, opsets=(18,), exact=False, name="of no axes")
        for kind in ("Sum", "L2", "LogSum", "SumSquare", "Mean")
    ),
    one("ReduceLogSumExp", "x", x=np.array([[1, -np.inf], [-np.inf, -np.inf], [1000, 1001]], F), axes=[1], exact=False, name="infinite"),
    *(
        one(kind, "x", x=x, axis=axis, select_last_index=last, name=f"{x.dtype} {axis} {last}")
        for kind in ("ArgMax", "ArgMin")
        for x in (WHOLE.astype(np.int32), WHOLE.astype(np.int8))
        for axis in (0, 1)
        for last in (0, 1)
    ),
    *(
        one("TopK", "x k", x=WHOLE, constants={"k": ints(3)}, largest=largest, axis=0, outputs="y i", opsets=(11,), name=f"int64 {largest}")
        for largest in (0, 1)
    ),
]  # fmt: skip

C = {name: random(4, seed=i) for i, name in enumerate("sbmv")} | {"v": random(4, low=0.5, high=2)}
IMAGE = random(2, 4, 5, 3)
NORMALISED = [
    one("LayerNormalization", "x s b", x=X, constants={"s": random(8, 7), "b": random(8, 7)}, axis=2, outputs="y m i", opsets=(17,),
        exact=False, name="all outputs"),
    one("RMSNormalization", "x s", x=X, constants={"s": random(8, 7)}, axis=-2, opsets=(23,), exact=False),
    one("GroupNormalization", "x s b", x=IMAGE, constants={"s": random(2), "b": random(2)}, num_groups=2, opsets=(18,), exact=False),
    one("GroupNormalization", "x s b", x=IMAGE, constants={k: C[k] for k in "sb"}, num_groups=2, opsets=(21,), exact=False, name="21"),
    *(one("LpNormalization", "x", x=X, axis=a, p=p, exact=False, name=f"{p} {a}", opsets=(13, 22)) for p, a in ((1, 1), (2, -1))),
    one("LpNormalization", "x", x=np.zeros((2, 3), F), name="zeros"),
    one("MeanVarianceNormalization", "x", x=X, opsets=(9, 13), exact=False),
    one("MeanVarianceNormalization", "x", x=X, axes=[-1, 2], exact=False, name="axes"),
    *(one("LRN", "x", x=random(2, 7, 4, 3), size=s, alpha=0.3, beta=0.6, bias=1.5, exact=False, name=str(s)) for s in (1, 3, 5)),
    one("BatchNormalization", "x s b m v", x=IMAGE, exact=False, name="computed parameters", **C),
]  # fmt: skip

SEQUENCES = [
    one("ReverseSequence", "x l", x=random(4, 3, 2), l=np.array([4, 1, 2]), opsets=(10,)),
    one("ReverseSequence", "x l", x=random(2, 5, 3), l=np.array([5, 3]), batch_axis=0, time_axis=1, name="batch first"),
    *(
        one(
            "TensorScatter",
            "x u w",
            x=random(2, 3, 5, 4),
            u=random(2, 3, 2, 4),
            w=np.array([3, 4 if mode == "circular" else 1]),
            mode=mode,
            name=mode,
            opsets=(24,),
        )
        for mode in ("linear", "circular")
    ),
]
DOUBLES = random(2, 3, 4).astype(np.float64)
SOFTMAX_OF_DOUBLES = [
    one(kind, "x", x=DOUBLES, axis=1, opsets=(11, 13), exact=False, name="float64")
    for kind in ("Softmax", "LogSoftmax")
]
LOOKUP_CASES = SEQUENCES + SOFTMAX_OF_DOUBLES + LOOKUPS + EINSUM + REDUCED + NORMALISED
