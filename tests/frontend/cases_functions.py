"""Cases of trigonometry, bits, masks, newer activations, and of float16 and float64 numbers."""

from __future__ import annotations

import numpy as np
import onnx
from frontend.cases import FLAGS, WHOLE, F, V, X, ints, one, random
from onnx import helper, numpy_helper

H, D = np.float16, np.float64
SMALL = random(400, low=-1, high=1)
BITS = random(4, 5, dtype=np.uint32, low=0, high=2**32 - 1)

FUNCTIONS = [
    *(one(name, "x", x=random(400, low=-9, high=9), exact=False) for name in ("Sin", "Cos", "Tan", "Atan", "Asinh")),
    *(one(name, "x", x=SMALL, opsets=(7, 13), exact=False) for name in ("Asin", "Acos")),
    *(one(name, "x", x=SMALL * F(0.99), opsets=(9, 13), exact=False) for name in ("Atanh", "Sinh", "Cosh")),
    one("Acosh", "x", x=SMALL + F(2.5), opsets=(9, 13), exact=False),
    one("Mish", "x", x=SMALL * 9, opsets=(18,), exact=False),
    one("Celu", "x", x=SMALL * 9, alpha=0.6, opsets=(12,), exact=False),
    one("Shrink", "x", x=V, lambd=0.7, bias=0.2, opsets=(9, 13)),
    one("Shrink", "x", x=V, opsets=(9,), name="default"),
    one("IsNaN", "x", x=V, opsets=(9, 13, 20)),
    one("IsInf", "x", x=V, opsets=(10, 20)),
    one("IsInf", "x", x=V, detect_negative=0, opsets=(10,), name="above"),
    one("IsInf", "x", x=V, detect_positive=0, detect_negative=0, opsets=(10,), name="neither"),
    one("Mod", "a b", a=random(50, low=-9, high=9), b=random(50, low=-2, high=2, seed=1), fmod=1, name="float"),
    *(
        one(
            "Pow",
            "x e",
            x=np.abs(WHOLE).astype(t) % 5,
            constants={"e": np.array([0, 1, 2, 3, 4], e)},
            name=f"{t} ^ {e}",
        )
        for t in ("i4", "i8")
        for e in ("i4", "i8", "f4")
    ),
    one("Pow", "x e", x=np.abs(X), constants={"e": D(0.3)}, name="float64 exponent", exact=False),
]

BITWISE = [
    *(
        one(f"Bitwise{name}", "a b", a=BITS.astype(t), b=BITS[:1, ::-1].astype(t), opsets=(18,), name=t)
        for name in ("And", "Or", "Xor")
        for t in ("u1", "i2", "i4", "u8")
    ),
    *(one("BitwiseNot", "x", x=BITS.astype(t), opsets=(18,), name=t) for t in ("u1", "i4", "i8")),
    *(
        one("BitShift", "a b", a=BITS.astype(t), b=(BITS % 8).astype(t), direction=d, opsets=(11,), name=f"{t} {d}")
        for t in ("u1", "u4", "u8")
        for d in ("LEFT", "RIGHT")
    ),
]

MASKS = [
    *(
        one("Trilu", "x k", x=X, constants={"k": np.int64(k)}, upper=u, opsets=(14,), name=f"{u} {k}")
        for u in (0, 1)
        for k in (-2, 0, 3, 99)
    ),
    one("Trilu", "x", x=WHOLE, opsets=(14,), name="int, no k"),
    one("EyeLike", "x", x=random(3, 5), k=1, dtype=7, opsets=(9, 22)),
    one("EyeLike", "x", x=random(3, 5), k=-1, opsets=(9,), name="dtype of x"),
    *(
        one(
            "OneHot",
            "i d v",
            i=np.array([[1, -1, 7], [0, -5, 4]]).astype(t),
            constants={"d": np.array([5], t)},
            v=np.array([-1, 2], F),
            axis=a,
            opsets=(9, 11),
            name=f"{t} {a}",
        )
        for t in ("i8", "i4")
        for a in (-1, 0, 1)
    ),
    *(one("Hardmax", "x", x=X, axis=a, opsets=(7, 11, 13), name=str(a)) for a in (1, 2, 3)),
    one("Hardmax", "x", x=np.round(X), name="the first of equals"),
    *(
        one("Compress", "x c", x=X, constants={"c": np.array([0, 1, 1], bool)}, opsets=(9, 11), name=str(a), axis=a)
        for a in (1, 3)
    ),
    one("Compress", "x c", x=X, constants={"c": np.array([0, 1, 1, 0, 1], bool)}, opsets=(11,), name="flat"),
    *(
        one("CenterCropPad", "x s", x=X, constants={"s": ints(*s)}, opsets=(18,), name=str(s), **a)
        for s, a in (((5, 10), {"axes": [3, 2]}), ((1, 3, 9, 5), {}), ((4,), {"axes": [-3]}))
    ),
    one("Dropout", "x", x=X, outputs="y m", opsets=(10, 12, 13), name="mask"),
]

FLOATS = [
    *(
        one(name, "x", x=V.astype(t), name=t)
        for t in ("f2", "f8")
        for name in ("Abs", "Neg", "Floor", "Ceil", "Relu", "Sign", "Sqrt", "Round", "Reciprocal")
        if (name, t) != ("Sign", "f2")
    ),
    *(one(name, "a b", a=X.astype(H), b=random(7).astype(H), name="half") for name in ("Add", "Sub", "Mul", "Div")),
    *(one(name, "a b", a=X.astype(D), b=random(7).astype(D), name="double") for name in ("Add", "Sub", "Mul", "Div")),
    *(one(name, "x", x=X.astype(D), exact=False, name="double") for name in ("Exp", "Log", "Tanh")),
    one("Where", "c a b", c=FLAGS, a=random(4, 5).astype(D), b=random(5).astype(D), name="double"),
    one("Concat", "a b", a=X.astype(H), b=X.astype(H), axis=2, name="half"),
    one("Clip", "x lo hi", x=X.astype(H), constants={"lo": H(-1), "hi": H(0.3)}, name="half"),
    one("Greater", "a b", a=X.astype(H), b=X[:1].astype(H), name="half"),
    *(
        one("Cast", "x", x=np.array([-3.7, 70000, 1e-8, 0.1, 2049]).astype(s), to=t, name=f"{s} to {t}")
        for s, t in (("f4", 10), ("f8", 10), ("f2", 1), ("f2", 11), ("f8", 1), ("f4", 11), ("i4", 10))
    ),
]


def branch(op_type: str) -> onnx.GraphProto:
    """A branch of If: a function of the tensor x around it and of an initializer of its own."""
    made = [helper.make_node(op_type, ["x", "c"], ["t"]), helper.make_node("Neg", ["t"], ["r"])]
    own = numpy_helper.from_array(np.asarray([2], F), "c")
    return helper.make_graph(made, "branch", [], [helper.make_tensor_value_info("r", 1, None)], [own])


BRANCHES = [
    one("If", "c", constants={"c": flag}, x=X, then_branch=branch("Add"), else_branch=branch("Mul"), name=str(flag))
    for flag in (True, False)
]

FUNCTION_CASES = FUNCTIONS + BITWISE + MASKS + FLOATS + BRANCHES
