"""Cases of ops that compute: elementwise, activations, products, pools, normalisations, reductions."""

from __future__ import annotations

from typing import Any

import numpy as np
from frontend.cases import FLAGS, WHOLE, Case, F, V, X, ints, one, random

UNARY_EXACT = [
    "Abs",
    "Ceil",
    "Floor",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Sign",
    "Sqrt",
    "Identity",
    "HardSigmoid",
    "LeakyRelu",
]
UNARY_CLOSE = ["Erf", "Exp", "Log", "Sigmoid", "Tanh", "Elu", "Selu", "Softplus", "Softsign"]
COMPARE = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]

ELEMENTWISE = [
    *(one(name, "x", x=V, opsets=(11, 13, 22)) for name in UNARY_EXACT),
    *(one(name, "x", x=V, opsets=(11, 13, 22), exact=False) for name in UNARY_CLOSE),
    *(one(name, "x", x=WHOLE, name="int") for name in ("Abs", "Neg", "Sign", "Identity")),
    one("Not", "x", x=FLAGS),
    *(
        one(name, "a b", a=X, b=random(3, 1, 7), opsets=(7, 13, 14), name="broadcast")
        for name in ("Add", "Sub", "Mul", "Div")
    ),
    *(one(name, "a b", a=WHOLE, b=np.full((5,), 3), name="int") for name in ("Add", "Sub", "Mul", "Div")),
    *(one(name, "a b", a=V, b=np.roll(V, 1)) for name in COMPARE),
    *(one(name, "a b", a=WHOLE, b=WHOLE[:1], name="int") for name in COMPARE),
    *(one(name, "a b", a=FLAGS, b=FLAGS[:1]) for name in ("And", "Or", "Xor")),
    *(
        one(name, "a b c", a=V, b=np.roll(V, 1), c=np.roll(V, 2), opsets=(8, 13))
        for name in ("Max", "Min", "Sum", "Mean")
    ),
    *(one(name, "a", a=V, name="of one", opsets=(8, 13)) for name in ("Max", "Min", "Sum", "Mean")),
    one("Where", "c a b", c=FLAGS, a=random(4, 5), b=random(5)),
    *(
        one("Pow", "x e", x=V, constants={"e": F(e)}, name=str(e), opsets=(7, 12, 13), exact=e in (2, 3))
        for e in (2, 3, 4, 1.5)
    ),
    one("Pow", "x e", x=V, constants={"e": np.int64(2)}, name="int exponent", opsets=(12, 15)),
    one("Pow", "x e", x=np.abs(X), e=random(2, 3, 8, 7, seed=5), name="variable", exact=False),
    *(
        one(
            "Mod",
            "a b",
            a=WHOLE,
            b=np.where(WHOLE.T.reshape(4, 5) == 0, 2, WHOLE.T.reshape(4, 5)),
            fmod=f,
            name=f"fmod {f}",
        )
        for f in (0, 1)
    ),
    *(
        one("Cast", "x", x=np.array([-3.7, -0.5, 0, 0.5, 2.6], F), to=t, name=str(t), opsets=(9, 13, 21))
        for t in (1, 6, 7, 9)
    ),
    one("Cast", "x", x=FLAGS, to=1, name="bool to float"),
    one("Cast", "x", x=WHOLE, to=3, name="int64 to int8"),
    one("CastLike", "x like", x=WHOLE, like=random(1), opsets=(15, 19)),
]

ACTIVATIONS = [
    one("LeakyRelu", "x", x=V, alpha=0.3, opsets=(7, 16), name="alpha"),
    one("PRelu", "x s", x=X, constants={"s": random(3, 1, 1)}, opsets=(7, 9, 16)),
    one("Clip", "x", x=V, min=-1.0, max=2.0, opsets=(7, 10), name="attributes"),
    one("Clip", "x lo hi", x=V, constants={"lo": F(-1), "hi": F(2)}, opsets=(11, 13), name="inputs"),
    one("Clip", "x lo hi", x=V, constants={"lo": F(2), "hi": F(-1)}, name="crossed bounds"),
    one("Clip", "x _ hi", x=V[np.isfinite(V)], constants={"hi": F(0.25)}, name="only max"),
    one(
        "Clip",
        "x lo hi",
        x=random(9, dtype=np.int8, low=-99, high=99),
        constants={"lo": np.int8(-7), "hi": np.int8(7)},
        name="int8",
    ),
    one("HardSigmoid", "x", x=V, alpha=0.3, beta=0.4, name="attributes"),
    one("HardSwish", "x", x=V, opsets=(14, 22)),
    one("ThresholdedRelu", "x", x=V, alpha=0.7, opsets=(10, 22)),
    one("Elu", "x", x=V, alpha=0.7, exact=False, name="alpha"),
    one("Gelu", "x", x=V, opsets=(20,), exact=False),
    one(
        "Gelu",
        "x",
        x=V[np.isfinite(V) & (np.abs(V) < 1e10)],
        approximate="tanh",
        opsets=(20,),
        exact=False,
        name="tanh",
    ),
    one("Dropout", "x", x=X, opsets=(7, 10), ratio=0.5, name="ratio attribute"),
    one("Dropout", "x r t", x=X, constants={"r": F(0.5), "t": np.False_}, opsets=(12, 13), name="inputs"),
]


def _conv(name: str, x: tuple[int, ...], w: tuple[int, ...], bias: bool = False, **attrs: Any) -> Case:
    # small integers, so that every order of summation gives the same float32
    image, weights = (random(*s, low=-4, high=4).round() for s in (x, w))
    constants = {"w": weights, **({"b": random(w[0]).round()} if bias else {})}
    return one("Conv", "x w b" if bias else "x w", x=image, constants=constants, name=name, opsets=(7, 11, 22), **attrs)


def _pools() -> list[Case]:
    cases = []
    for op_type, x in (("MaxPool", X), ("AveragePool", X.round())):
        extra = {"exact": op_type == "MaxPool"}
        cases += [
            one(op_type, "x", x=x, kernel_shape=[2, 3], opsets=(7, 10, 19), name="stride 1", **extra),
            one(op_type, "x", x=x, kernel_shape=[2, 2], strides=[2, 2], opsets=(7, 12, 22), name="stride 2", **extra),
            one(
                op_type,
                "x",
                x=x,
                kernel_shape=[3, 3],
                strides=[2, 2],
                pads=[1, 0, 2, 1],
                name="asymmetric pads",
                **extra,
            ),
            one(
                op_type,
                "x",
                x=x,
                kernel_shape=[3, 3],
                strides=[2, 3],
                ceil_mode=1,
                opsets=(10, 19),
                name="ceil",
                **extra,
            ),
            one(
                op_type,
                "x",
                x=x,
                kernel_shape=[3, 3],
                strides=[2, 2],
                auto_pad="SAME_LOWER",
                name="same lower",
                **extra,
            ),
            one(
                op_type,
                "x",
                x=x,
                kernel_shape=[3, 3],
                strides=[2, 2],
                auto_pad="SAME_UPPER",
                name="same upper",
                **extra,
            ),
            one(op_type, "x", x=x, kernel_shape=[3, 3], auto_pad="VALID", name="valid", **extra),
            one(op_type, "x", x=x[:, :, 0], kernel_shape=[3], strides=[2], pads=[1, 0], name="1-D", **extra),
            one(op_type, "x", x=random(1, 2, 4, 5, 6), kernel_shape=[2, 2, 2], name="3-D", **extra),
        ]
    return [
        *cases,
        one("MaxPool", "x", x=X, kernel_shape=[2, 2], dilations=[2, 3], opsets=(10, 12), name="dilations"),
        one(
            "MaxPool",
            "x",
            x=random(1, 2, 5, 5, dtype=np.int8, low=-9, high=9),
            kernel_shape=[2, 2],
            opsets=(12,),
            name="int8",
        ),
        one(
            "AveragePool",
            "x",
            x=X,
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
            count_include_pad=1,
            exact=False,
            name="count pad",
        ),
        one(
            "AveragePool",
            "x",
            x=X,
            kernel_shape=[2, 2],
            dilations=[2, 2],
            opsets=(19, 22),
            exact=False,
            name="dilations",
        ),
        one("GlobalAveragePool", "x", x=X, exact=False, opsets=(7, 22)),
        one("GlobalMaxPool", "x", x=X, opsets=(7, 22)),
    ]


BN = {"s": random(3), "b": random(3, seed=1), "m": random(3, seed=2), "v": random(3, low=0.01, high=4)}

LINEAR = [
    _conv("plain", (2, 3, 8, 7), (4, 3, 3, 3)),
    _conv("bias", (1, 3, 8, 7), (4, 3, 3, 2), bias=True),
    _conv("strides, asymmetric pads", (1, 3, 8, 7), (4, 3, 3, 3), strides=[2, 1], pads=[1, 0, 2, 1]),
    _conv("dilations, groups", (1, 4, 9, 9), (6, 2, 3, 3), dilations=[2, 1], group=2),
    _conv("depthwise", (1, 4, 5, 5), (8, 1, 3, 3), group=4, kernel_shape=[3, 3]),
    _conv("same upper", (1, 2, 8, 7), (3, 2, 3, 4), auto_pad="SAME_UPPER", strides=[2, 2]),
    _conv("same lower", (1, 2, 8, 7), (3, 2, 3, 4), auto_pad="SAME_LOWER", strides=[2, 2]),
    _conv("valid", (1, 2, 8, 7), (3, 2, 3, 4), auto_pad="VALID"),
    _conv("1-D", (2, 3, 11), (4, 3, 3), bias=True, strides=[2], pads=[1, 0]),
    _conv("3-D", (1, 2, 4, 5, 6), (3, 2, 2, 2, 2), bias=True),
    *(
        one(
            "Gemm",
            "a b c",
            a=random(*a).round(),
            constants={"b": random(*b).round(), "c": np.asarray(random(*c).round(), F)},
            transA=ta,
            transB=tb,
            alpha=0.5,
            beta=2.0,
            opsets=(7, 11, 13),
            name=f"{ta}{tb} {c}",
        )
        for ta, tb, a, b, c in [
            (0, 0, (3, 4), (4, 5), (5,)),
            (1, 0, (4, 3), (4, 5), (3, 1)),
            (0, 1, (3, 4), (5, 4), ()),
            (1, 1, (4, 3), (5, 4), (3, 5)),
        ]
    ),
    one("Gemm", "a b", a=random(3, 4).round(), constants={"b": random(4, 5).round()}, opsets=(11, 13), name="no C"),
    *(
        one("MatMul", "a b", a=random(*a).round(), b=random(*b).round(), opsets=(9, 13), name=f"{a} {b}")
        for a, b in [
            ((3, 4), (4, 5)),
            ((4,), (4, 5)),
            ((3, 4), (4,)),
            ((4,), (4,)),
            ((2, 1, 3, 4), (5, 4, 2)),
            ((2, 3, 4), (4, 2)),
        ]
    ),
    *(
        one(
            "BatchNormalization",
            "x s b m v",
            x=x,
            constants=BN,
            epsilon=1e-3,
            opsets=(7, 9, 14, 15),
            name=f"rank {x.ndim}",
        )
        for x in (X, X[:, :, 0], X[:, :, 0, 0])
    ),
    one("LayerNormalization", "x s b", x=X, constants={"s": random(7), "b": random(7)}, opsets=(17,), exact=False),
    one(
        "LayerNormalization",
        "x s",
        x=X,
        constants={"s": random(8, 7)},
        axis=2,
        opsets=(17,),
        exact=False,
        name="axis 2",
    ),
    one("InstanceNormalization", "x s b", x=X, constants={"s": BN["s"], "b": BN["b"]}, exact=False),
    *_pools(),
]

REDUCTIONS = [
    *(
        one(
            f"Reduce{kind}",
            "x",
            x=x,
            axes=[-1, 1],
            keepdims=keep,
            opsets=(11, 13) if kind != "Sum" else (11,),
            exact=False,
            name=f"attribute keepdims {keep}",
        )
        for kind, x in [
            ("Mean", X),
            ("Sum", X),
            ("Max", X),
            ("Min", X),
            ("L1", X),
            ("L2", X),
            ("SumSquare", X),
            ("LogSumExp", X),
            ("LogSum", np.abs(X)),
        ]
        for keep in (0, 1)
    ),
    *(
        one(f"Reduce{kind}", "x a", x=X, constants={"a": ints(2)}, opsets=(18,), exact=False, name="input")
        for kind in ("Mean", "Sum", "Max", "Min", "L2")
    ),
    one("ReduceSum", "x a", x=X, constants={"a": ints(1, 2)}, keepdims=0, opsets=(13,), exact=False, name="input 13"),
    one("ReduceMax", "x", x=X, opsets=(11, 13, 18), name="all axes"),
    one("ReduceSum", "x a", x=X, constants={"a": ints()}, noop_with_empty_axes=1, name="no axes, no operation"),
    one("ReduceSum", "x", x=WHOLE, exact=True, name="int"),
    *(
        one(kind, "x", x=X, axis=axis, opsets=opsets, exact=False, name=f"axis {axis}")
        for kind in ("Softmax", "LogSoftmax")
        for axis, opsets in [(1, (7, 11, 12, 13)), (3, (11, 13)), (-1, (13,)), (2, (11, 13)), (0, (11, 13))]
    ),
    *(
        one(kind, "x", x=X.round(), axis=axis, keepdims=k, opsets=(7, 11, 13), name=f"axis {axis}")
        for kind in ("ArgMax", "ArgMin")
        for axis, k in [(1, 1), (0, 0)]
    ),
    *(
        one(kind, "x", x=X.round(), axis=-1, select_last_index=1, opsets=(12, 13), name="last")
        for kind in ("ArgMax", "ArgMin")
    ),
    one("TopK", "x", x=X, k=3, axis=2, outputs="y i", opsets=(7, 9), name="attribute"),
    one("TopK", "x k", x=X, constants={"k": ints(3)}, axis=-1, outputs="y i", opsets=(10, 11), name="input"),
    one(
        "TopK",
        "x k",
        x=X.round(),
        constants={"k": ints(2)},
        axis=1,
        largest=0,
        outputs="y i",
        opsets=(11,),
        name="smallest, ties",
    ),
]

COMPUTE = ELEMENTWISE + ACTIVATIONS + LINEAR + REDUCTIONS
