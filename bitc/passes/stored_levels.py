"""How the levels of codes are stored as integer tensors: found where they were made, moved before pools and views, cut to size once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitc.ir import Builder, CodeType, DType, Op, TensorType, Value
from bitc.passes.facts import EXACT, Finite, Integers, bounds, whole
from bitc.passes.two_levels import compared_levels
from bitc.passes.value_sets import ValueSets

_MOVES = ("nn.reshape", "nn.transpose", "nn.pad", "nn.slice", "nn.gather", "nn.expand", "nn.concat", "nn.max_pool")


def stored_levels(codes: Value, dtype: DType, b: Builder, sets: ValueSets) -> Value:
    """The tensor of ``dtype`` that holds ``codes``, made by ``q.encode``: u8 counts from the lowest level, i16 holds the level."""
    encode, type = codes.producer, codes.type
    assert encode is not None
    assert encode.name == "q.encode"
    assert isinstance(type, CodeType)
    lowest = type.levels.lo if dtype is DType.U8 else 0
    compared = compared_levels(codes, dtype, lowest, b, sets)
    if compared is not None:
        return compared
    levels = _level_numbers(encode.operands[0], type.scale, b, sets, encode.loc)
    numbers, shift = _unshifted(levels, sets)
    ends = type.levels.lo - lowest, type.levels.hi - lowest
    return _Store(dtype, ends, b, sets, encode.loc).shifted(numbers, shift - lowest)


def _level_numbers(x: Value, scale: float, b: Builder, sets: ValueSets, loc: str) -> Value:
    """The levels ``x / scale`` of a tensor of codes, as numbers of any dtype: where x was made from them, they themselves."""
    if scale == 1 and whole(sets.of(x)):
        return x
    producer = x.producer
    if producer is not None and producer.name in _MOVES and not any(o.constant is not None for o in producer.operands):
        inner = [_level_numbers(operand, scale, b, sets, loc) for operand in producer.operands]
        attrs = dict(producer.attrs)
        if producer.name == "nn.pad":
            attrs["value"] = float(round(attrs["value"] / scale))
        if len({o.type.dtype for o in inner if isinstance(o.type, TensorType)}) == 1:
            return b.add(producer.name, *inner, loc=producer.loc, **attrs)
    found = _scaled_levels(x, scale, b, sets)
    if found is not None:
        return found
    assert isinstance(x.type, TensorType)
    divisor = b.constant(np.asarray(scale, x.type.dtype.numpy), loc=loc)
    return b.add("nn.round", b.add("nn.div", x, divisor, loc=loc), loc=loc)


def _scaled_levels(x: Value, scale: float, b: Builder, sets: ValueSets) -> Value | None:
    """y / u where x = f(y), one op with scalar constants, and ``rint(f(y) / scale) == y / u`` for every value y can take.

    u is 1, or the power of two whose multiples y is proved to be.
    """
    op = x.producer
    if op is None or not op.decl.elementwise or len(op.results) != 1:
        return None
    moving = [operand for operand in op.operands if operand.constant is None]
    constants = [operand.constant for operand in op.operands if operand.constant is not None]
    if len(moving) != 1 or moving[0].shape != x.shape or any(c.size != 1 for c in constants):
        return None
    (y,) = moving
    values, fact = sets.values(y), sets.of(y)
    if values is None or not isinstance(y.type, TensorType):
        return None
    unit = fact.scale if isinstance(fact, Integers) and fact.dyadic and not whole(fact) else 1.0
    samples = np.asarray(values, dtype=y.type.dtype.numpy)
    arrays = [samples if o is y else np.asarray(o.constant).reshape(()) for o in op.operands]
    made = np.asarray(op.decl.evaluate(*arrays, **op.attrs), dtype=np.float64)
    if not np.array_equal(np.rint(made / scale), np.asarray(values) / unit):
        return None
    return y if unit == 1 else b.add("nn.mul", y, b.constant(np.asarray(1 / unit, samples.dtype)), loc=op.loc)


def _unshifted(y: Value, sets: ValueSets) -> tuple[Value, int]:
    """(t, d) with ``y = t + d``: y without the casts and integer offsets it ends with, all exact."""
    shift = 0
    while (op := y.producer) is not None and op.name in ("nn.cast", "nn.add", "nn.sub"):
        x = op.operands[0]
        fact = sets.of(x)
        if not isinstance(fact, Finite | Integers) or not whole(fact) or max(map(abs, bounds(fact))) >= EXACT:
            break
        if op.name != "nn.cast":
            constant = op.operands[1].constant
            if constant is None or constant.size != 1 or x.shape != y.shape or constant.item() != int(constant.item()):
                break
            shift += int(constant.item()) * (1 if op.name == "nn.add" else -1)
        if isinstance(x.type, TensorType) and x.type.dtype is DType.BOOL:
            break
        y = x
    return y, shift


@dataclass(frozen=True, slots=True)
class _Store:
    """Numbers become ``dtype``; what is stored lies within ``ends``."""

    dtype: DType
    ends: tuple[int, int]
    b: Builder
    sets: ValueSets
    loc: str

    def shifted(self, numbers: Value, shift: int) -> Value:
        """``numbers + shift``, before moves rather than behind them: what is moved is smaller then."""
        move = numbers.producer
        assert isinstance(numbers.type, TensorType)
        if not shift and numbers.type.dtype is self.dtype:
            return numbers
        if move is not None and move.name in _MOVES and not any(o.constant is not None for o in move.operands):
            moved = [self.shifted(operand, shift) for operand in move.operands]
            attrs = dict(move.attrs)
            if move.name == "nn.pad":
                attrs["value"] = attrs["value"] + shift
            return self.b.add(move.name, *moved, loc=move.loc, **attrs)
        if move is not None and move.name == "nn.saturate" and _is_float(move.operands[0]):
            return self._resaturated(move, shift)
        if move is not None and move.name == "nn.cast" and _is_bool(move.operands[0]) and not shift:
            return self.b.add("nn.cast", move.operands[0], to=self.dtype, loc=self.loc)
        if not numbers.type.dtype.is_float and numbers.type.dtype is not DType.I32:
            numbers = self.b.add("nn.cast", numbers, to=DType.I32, loc=self.loc)
        numbers = self._plus(numbers, shift)
        if _is_float(numbers):
            return self._saturate(numbers, *self.ends)
        return self.b.add("nn.cast", numbers, to=self.dtype, loc=self.loc)

    def _resaturated(self, op: Op, shift: int) -> Value:
        """``saturate(v + c, lo, hi) + shift  -->  saturate(v + (c + shift), lo + shift, hi + shift)`` for integral v.

        Float32 adds integers exactly below 2^24, and what lies beyond 2^23 is cut off by both sides.
        """
        value, added = op.operands[0], shift
        maker = value.producer
        if maker is not None and maker.name in ("nn.add", "nn.sub"):
            constant = maker.operands[1].constant
            inner = maker.operands[0]
            small = constant is not None and constant.size == 1 and abs(constant.item()) < EXACT // 4
            if small and constant.item() == int(constant.item()) and whole(self.sets.of(inner)):  # type: ignore[union-attr]
                added += int(constant.item()) * (1 if maker.name == "nn.add" else -1)  # type: ignore[union-attr]
                value = inner
        lo, hi = max(op.attrs["lo"] + shift, self.ends[0]), min(op.attrs["hi"] + shift, self.ends[1])
        return self._saturate(self._plus(value, added), lo, hi)

    def _plus(self, numbers: Value, shift: int) -> Value:
        assert isinstance(numbers.type, TensorType)
        if not shift:
            return numbers
        return self.b.add("nn.add", numbers, self.b.constant(np.asarray(shift, numbers.type.dtype.numpy)), loc=self.loc)

    def _saturate(self, numbers: Value, lo: int, hi: int) -> Value:
        return self.b.add("nn.saturate", numbers, to=self.dtype, lo=lo, hi=hi, loc=self.loc)


def _is_bool(value: Value) -> bool:
    return isinstance(value.type, TensorType) and value.type.dtype is DType.BOOL


def _is_float(value: Value) -> bool:
    return isinstance(value.type, TensorType) and value.type.dtype.is_float
