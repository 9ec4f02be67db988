"""``(q - t) + t``: what a straight-through estimator leaves in an exported graph, an identity of real numbers."""

from __future__ import annotations

from bitc.ir.graph import Op, Value


def residue(op: Op) -> tuple[Value, Value] | None:
    """q and t, where ``op`` is the sum ``(q - t) + t`` in either order and of the shape of q."""
    if op.name != "nn.add":
        return None
    for difference, t in (op.operands, op.operands[::-1]):
        inner = difference.producer
        if inner is not None and inner.name == "nn.sub" and inner.operands[1] is t:
            q = inner.operands[0]
            if q.shape == op.result.shape:
                return q, t
    return None
