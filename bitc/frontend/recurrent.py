"""Handlers of RNN, GRU and LSTM: a step's plain ops once for each step.

The products of the inputs with W are made for all steps at once. A sequence that is shorter than the others keeps its state in the steps
beyond its end, and gives zeros there; so a reversed one begins at its own end.

Source: https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html, onnx__RNN.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bitc.frontend.node import Node, NodeProblem, dtype_of, handles
from bitc.frontend.standard_op import standard_op
from bitc.ir import Value
from bitc.limits import over_limit

OPS_OF_A_STEP = 24
"""About how many ops a step becomes, for the limit on nodes."""

_CLIP_WITH_ATTRIBUTES = 6

_OF_THE_CELL = 2
"""LSTM's activation of the cell state, whose operand onnxruntime does not clip."""

_PARAMETERS = {
    "affine": (1.0, 0.0),
    "scaledtanh": (1.0, 1.0),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01, None),
    "thresholdedrelu": (1.0, None),
    "elu": (1.0, None),
}
"""Default alpha and beta of the activations that have them; None: it has no beta."""

_STANDARD = {
    "relu": "Relu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "softsign": "Softsign",
    "softplus": "Softplus",
    "leakyrelu": "LeakyRelu",
    "thresholdedrelu": "ThresholdedRelu",
    "hardsigmoid": "HardSigmoid",
    "elu": "Elu",
}
Activation = Callable[[Value], Value]


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction's constants: ``w`` [input, gates·H], ``r`` [H, gates·H], biases [gates·H] and peepholes [3·H], or None for zeros."""

    w: Value
    r: Value
    w_bias: Value | None
    r_bias: Value | None
    peepholes: Value | None
    activations: tuple[Activation, ...]
    reverse: bool


@handles("RNN", since=7)
def rnn(n: Node) -> tuple[Value, ...]:
    """h' = f(x W' + h R' + b) for each step"""

    def step(at: Direction, x: Value, state: Sequence[Value]) -> tuple[Value, ...]:
        (f,) = at.activations
        return (f(_plus(n, x, _plus(n, n.emit("nn.matmul", state[0], at.r), at.r_bias))),)

    return _unrolled(n, 1, ("Tanh",), 1, step)


@handles("GRU", since=7)
def gru(n: Node) -> tuple[Value, ...]:
    """z, r = f(x W' + h R' + b); h~ = g(x W' + (r h) R' + b) or, with linear_before_reset, g(x W' + r (h R' + b));
    h' = (1 - z) h~ + z h, for each step"""
    linear_first = n.integer("linear_before_reset", 0)

    def step(at: Direction, x: Value, state: Sequence[Value]) -> tuple[Value, ...]:
        f, g = at.activations
        (h,) = state
        size = h.shape[-1]
        gates, new = slice(0, 2 * size), slice(2 * size, 3 * size)
        r_gates, r_new = _columns(n, at.r, gates), _columns(n, at.r, new)
        b_gates, b_new = (_columns(n, at.r_bias, part) if at.r_bias is not None else None for part in (gates, new))
        both = f(_plus(n, _columns(n, x, gates), _plus(n, n.emit("nn.matmul", h, r_gates), b_gates)))
        z, r = _columns(n, both, slice(0, size)), _columns(n, both, slice(size, 2 * size))
        if linear_first:
            fed_back = n.emit("nn.mul", r, _plus(n, n.emit("nn.matmul", h, r_new), b_new))
        else:
            fed_back = _plus(n, n.emit("nn.matmul", n.emit("nn.mul", r, h), r_new), b_new)
        candidate = g(_plus(n, _columns(n, x, new), fed_back))
        kept = n.emit("nn.mul", z, h)
        return (n.emit("nn.add", n.emit("nn.mul", n.emit("nn.sub", n.scalar(1, z), z), candidate), kept),)

    return _unrolled(n, 3, ("Sigmoid", "Tanh"), 1, step)


@handles("LSTM", since=7)
def lstm(n: Node) -> tuple[Value, ...]:
    """i, f = f(x W' + h R' + p c + b); c' = f c + i g(x W' + h R' + b); o = f(x W' + h R' + p c' + b); h' = o h(c'), for each step"""
    coupled = n.integer("input_forget", 0)

    def step(at: Direction, x: Value, state: Sequence[Value]) -> tuple[Value, ...]:
        f, g, out = at.activations
        h, c = state
        size = h.shape[-1]
        total = _plus(n, x, _plus(n, n.emit("nn.matmul", h, at.r), at.r_bias))
        i_sum, o_sum, f_sum, c_sum = (_columns(n, total, slice(k * size, (k + 1) * size)) for k in range(4))
        peep_i, peep_o, peep_f = (
            _columns(n, at.peepholes, slice(k * size, (k + 1) * size)) if at.peepholes is not None else None
            for k in range(3)
        )
        i = f(_plus(n, i_sum, _times(n, peep_i, c)))
        forget = n.emit("nn.sub", n.scalar(1, i), i) if coupled else f(_plus(n, f_sum, _times(n, peep_f, c)))
        cell = n.emit("nn.add", n.emit("nn.mul", forget, c), n.emit("nn.mul", i, g(c_sum)))
        o = f(_plus(n, o_sum, _times(n, peep_o, cell)))
        return n.emit("nn.mul", o, out(cell)), cell

    return _unrolled(n, 4, ("Sigmoid", "Tanh", "Tanh"), 2, step)


Step = Callable[[Direction, Value, Sequence[Value]], tuple[Value, ...]]


def _unrolled(n: Node, gates: int, defaults: Sequence[str], states: int, step: Step) -> tuple[Value, ...]:
    """Y and the states at the end (h, c); ``step`` makes the next states, h first, from x W' + b [batch, gates·H] and the states."""
    batch_first = n.integer("layout", 0)
    x = n.x(0)
    if len(x.shape) != 3:
        raise n.broken(f"{n.op_type} takes sequences [length, batch, input]", str(x.type))
    if batch_first:
        x = n.emit("nn.transpose", x, perm=(1, 0, 2))
    length, batch, _ = x.shape
    _check_size(n, length)
    lengths = _lengths(n, length, batch)
    directions = list(_directions(n, gates, defaults))
    hidden = directions[0].r.shape[0]
    begin = [_initial(n, 5 + k, len(directions), batch, hidden, batch_first, x) for k in range(states)]
    ys, ends = [], [list[Value]() for _ in range(states)]
    for number, at in enumerate(directions):
        currents = _currents(n, at, x)
        state = tuple(_entry(n, value, number) for value in begin)
        made: list[Value] = []
        for t in reversed(range(length)) if at.reverse else range(length):
            after = step(at, _entry(n, currents, t), state)
            running = lengths > t
            made.append(_where(n, running, after[0], None))
            state = tuple(_where(n, running, new, old) for new, old in zip(after, state, strict=True))
        ys.append(_stacked(n, made[::-1] if at.reverse else made, 0))
        for into, value in zip(ends, state, strict=True):
            into.append(value)
    y, last = _stacked(n, ys, 1), [_stacked(n, values, 0) for values in ends]
    if batch_first:
        y = n.emit("nn.transpose", y, perm=(2, 0, 1, 3))
        last = [n.emit("nn.transpose", value, perm=(1, 0, 2)) for value in last]
    return (y, *last)


def _check_size(n: Node, length: int) -> None:
    if length < 1:
        raise n.unsupported("a sequence has one step at least", "it has none")
    limit = n.reader.limits.nodes
    if length * OPS_OF_A_STEP > limit:
        raise NodeProblem(over_limit("nodes", limit, f"{length} steps of {n.op_type}", n.where), broken=True)


def _lengths(n: Node, length: int, batch: int) -> np.ndarray:
    """Steps of each sequence of the batch, which must be known."""
    given = n.maybe_array(4, "the lengths of sequences")
    if given is None:
        return np.full(batch, length)
    if given.shape != (batch,) or given.min() < 0 or given.max() > length:
        raise n.broken(f"sequence_lens of {n.op_type} has a length of at most {length} for each sequence", str(given))
    return given


def _directions(n: Node, gates: int, defaults: Sequence[str]) -> Iterator[Direction]:
    kinds = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    kind = n.text("direction", "forward")
    if kind not in kinds:
        raise n.broken("direction is forward, reverse or bidirectional", kind)
    w, r, bias, peepholes = n.x(1), n.x(2), n.maybe(3), n.maybe(7)
    count, hidden = len(kinds[kind]), r.shape[-1]
    inner = n.x(0).shape[-1]
    wanted = (
        (w, (count, gates * hidden, inner)),
        (r, (count, gates * hidden, hidden)),
        (bias, (count, 2 * gates * hidden)),
        (peepholes, (count, 3 * hidden)),
    )
    for value, shape in wanted:
        if value is not None and value.shape != shape:
            raise n.broken(f"the weights of {n.op_type} fit one another", f"{value.type}, expected {list(shape)}")
    activations = _activations(n, defaults, count)
    for number, reverse in enumerate(kinds[kind]):
        halves = slice(0, gates * hidden), slice(gates * hidden, 2 * gates * hidden)
        row = _entry(n, bias, number) if bias is not None else None
        w_bias, r_bias = (_columns(n, row, half) if row is not None else None for half in halves)
        turned = [n.emit("nn.transpose", _entry(n, value, number), perm=(1, 0)) for value in (w, r)]
        peep = _entry(n, peepholes, number) if peepholes is not None else None
        yield Direction(turned[0], turned[1], w_bias, r_bias, peep, activations[number], reverse)


def _activations(n: Node, defaults: Sequence[str], count: int) -> list[tuple[Activation, ...]]:
    """The functions of each direction. Those with parameters take them from activation_alpha and activation_beta in turn."""
    texts = next((a.strings for a in n.proto.attribute if a.name == "activations"), None)
    names = [text.decode("utf-8", "replace").lower() for text in texts or ()] or [d.lower() for d in defaults] * count
    if len(names) != len(defaults) * count:
        raise n.broken(f"{n.op_type} has {len(defaults)} activations for each direction", ", ".join(names))
    alphas, betas = iter(n.numbers("activation_alpha") or ()), iter(n.numbers("activation_beta") or ())
    clip = n.number("clip", 0.0)
    made = []
    for number, name in enumerate(names):
        alpha, beta = _PARAMETERS.get(name, (None, None))
        alpha = next(alphas, alpha) if alpha is not None else None
        beta = next(betas, beta) if beta is not None else None
        if name not in _STANDARD and name not in _PARAMETERS:
            raise n.unsupported(f"the activations of {n.op_type} are those of ONNX", name)
        of_the_cell = number % len(defaults) == _OF_THE_CELL
        made.append(_activation(n, name, alpha, beta, 0.0 if of_the_cell else clip))
    return [tuple(made[k * len(defaults) : (k + 1) * len(defaults)]) for k in range(count)]


def _activation(n: Node, name: str, alpha: float | None, beta: float | None, clip: float) -> Activation:
    def apply(x: Value) -> Value:
        if clip:
            x = standard_op(n, "Clip", x, opset=_CLIP_WITH_ATTRIBUTES, min=-clip, max=clip)
        match name:
            case "affine":
                return n.emit("nn.add", n.emit("nn.mul", x, n.scalar(alpha or 0.0, x)), n.scalar(beta or 0.0, x))
            case "scaledtanh":
                inner = n.emit("nn.mul", x, n.scalar(beta or 0.0, x))
                return n.emit("nn.mul", standard_op(n, "Tanh", inner), n.scalar(alpha or 0.0, x))
        return standard_op(n, _STANDARD[name], x, alpha=alpha, beta=beta)

    return apply


def _initial(n: Node, index: int, count: int, batch: int, hidden: int, batch_first: int, like: Value) -> Value:
    """The state that operand ``index`` begins with, [directions, batch, H]; zeros where there is none."""
    given, shape = n.maybe(index), (batch, count, hidden) if batch_first else (count, batch, hidden)
    if given is None:
        return n.constant(np.zeros((count, batch, hidden), dtype_of(like).numpy))
    if given.shape != shape:
        raise n.broken(f"the initial state of {n.op_type} is {list(shape)}", str(given.type))
    return n.emit("nn.transpose", given, perm=(1, 0, 2)) if batch_first else given


def _currents(n: Node, at: Direction, x: Value) -> Value:
    """x W' + b of all steps, [length, batch, gates·H]."""
    length, batch, inner = x.shape
    rows = n.emit("nn.reshape", x, shape=(length * batch, inner))
    made = _plus(n, n.emit("nn.matmul", rows, at.w), at.w_bias)
    return n.emit("nn.reshape", made, shape=(length, batch, at.w.shape[1]))


def _where(n: Node, running: np.ndarray, new: Value, old: Value | None) -> Value:
    """``new`` for the sequences that are ``running``, [batch], and ``old`` for the others; None is zeros."""
    if running.all():
        return new
    before = old if old is not None else n.constant(np.zeros(new.shape, dtype_of(new).numpy))
    return n.emit("nn.where", n.constant(running.reshape(-1, 1)), new, before) if running.any() else before


def _plus(n: Node, x: Value, y: Value | None) -> Value:
    return x if y is None else n.emit("nn.add", x, y)


def _times(n: Node, x: Value | None, y: Value) -> Value | None:
    return None if x is None else n.emit("nn.mul", y, x)


def _columns(n: Node, x: Value, part: slice) -> Value:
    """``part`` of the last axis."""
    rank = len(x.shape)
    starts, stops = [0] * rank, list(x.shape)
    starts[-1], stops[-1] = part.start, part.stop
    return n.emit("nn.slice", x, starts=tuple(starts), stops=tuple(stops), steps=(1,) * rank)


def _entry(n: Node, x: Value, index: int) -> Value:
    """``x[index]``."""
    starts, stops = (index, *[0] * (len(x.shape) - 1)), (index + 1, *x.shape[1:])
    cut = n.emit("nn.slice", x, starts=starts, stops=stops, steps=(1,) * len(x.shape))
    return n.emit("nn.reshape", cut, shape=x.shape[1:])


def _stacked(n: Node, values: Sequence[Value], axis: int) -> Value:
    """``values`` along a new axis."""
    shape = values[0].shape
    made = [n.emit("nn.reshape", value, shape=(*shape[:axis], 1, *shape[axis:])) for value in values]
    return n.emit("nn.concat", *made, axis=axis) if len(made) > 1 else made[0]
