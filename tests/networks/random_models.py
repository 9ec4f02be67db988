"""Random quantized networks as ONNX: every spelling of a binarization, between layers that exporters put around one.

Inputs are whole numbers and first layers have dyadic weights, so most sums are exact and the answer is one set of bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from tests.networks.onnx_net import Net

F = np.float32


@dataclass(frozen=True, slots=True)
class RandomNetwork:
    """A network, inputs for it (a batch of 3 where the batch is free), and a promise of their values, perhaps."""

    net: Net
    feeds: dict[str, np.ndarray]
    values: dict[str, range]


def random_network(choose: Random) -> RandomNetwork:
    """One to three quantized layers between a layer of whole numbers and a float tail."""
    maker = _Maker(choose)
    maker.stem()
    for _ in range(choose.randint(1, 3)):
        maker.layer()
    maker.tail()
    (name, x) = next(iter(maker.feeds.items()))
    promise = {name: range(-8, 9)} if x.dtype == F and choose.random() < 0.6 else {}
    return RandomNetwork(maker.net, maker.feeds, promise)


class _Maker:
    """A growing network; ``x`` is its latest tensor."""

    def __init__(self, choose: Random) -> None:
        self.net = Net()
        self.feeds: dict[str, np.ndarray] = {}
        self.x = ""
        self._choose = choose
        self._draw = np.random.default_rng(choose.getrandbits(32))
        self._batch: int | str = choose.choice(["N", "N", 1, 2])
        self._numbers: list[str] = []
        self._outputs: set[str] = set()

    def _maybe(self, probability: float) -> bool:
        return self._choose.random() < probability

    def _add(self, kind: str, *operands: str | np.ndarray, **attrs: object) -> None:
        """A node that reads ``x`` first."""
        self.x = self.net.node(kind, self.x, *operands, **attrs)

    @property
    def _shape(self) -> tuple[int, ...]:
        """The shape of ``x`` behind the batch."""
        return tuple(int(d) for d in self.net.shape(self.x)[1:])

    def _per_channel(self, values: np.ndarray) -> np.ndarray:
        """One number a channel (axis 1), as an operand that broadcasts; now and then one for all."""
        if self._maybe(0.2):
            return values[0]
        return values.reshape(1, -1, *(1 for _ in self._shape[1:]))

    def _numbers_of(self, low: float, high: float) -> np.ndarray:
        return self._draw.uniform(low, high, self._shape[0]).astype(F)

    def _show(self, probability: float) -> None:
        """Make ``x`` an output of the network, perhaps."""
        if self.x not in self._outputs and self._maybe(probability):
            self._outputs.add(self.x)
            self.net.output(self.x)

    # the first layer

    def stem(self) -> None:
        """An input of whole numbers and a layer of dyadic weights, or codes at once."""
        self._choose.choice(
            [self._image_stem, self._image_stem, self._byte_stem, self._row_stem, self._channels_last_stem]
        )()
        self._numbers.append(self.x)

    def _input(self, shape: tuple[int, ...], dtype: type, low: int, high: int) -> None:
        samples = 3 if self._batch == "N" else int(self._batch)
        self.x = self.net.input("x", (self._batch, *shape), dtype)
        self.feeds["x"] = self._draw.integers(low, high, (samples, *shape)).astype(dtype)

    def _size(self) -> tuple[int, int]:
        return self._choose.randint(1, 7), self._choose.randint(1, 6)

    def _image_stem(self) -> None:
        self._input((self._choose.choice([1, 3, 5]), *self._size()), F, -8, 9)
        if self._maybe(0.6):
            self._float_conv()

    def _byte_stem(self) -> None:
        self._input((3, *self._size()), np.uint8, 0, 256)
        self._add("Cast", to=1)
        if self._maybe(0.5):
            self._add("Sub", F(128))
        if self._maybe(0.5):
            self._add("Mul", F(1 / 128))
        self._float_conv()

    def _row_stem(self) -> None:
        self._input((self._choose.choice([1, 7, 30]),), F, -8, 9)
        if self._maybe(0.5):
            self._dense(self._draw.integers(-8, 9, (self._shape[0], self._width())).astype(F) / 4)

    def _channels_last_stem(self) -> None:
        self._input((*self._size(), 3), F, -8, 9)
        self._add("Transpose", perm=[0, 3, 1, 2])
        self._float_conv()

    def _float_conv(self) -> None:
        self._conv(lambda shape: self._draw.integers(-8, 9, shape).astype(F) / 4, self._width())

    def _width(self) -> int:
        return self._choose.choice([1, 2, 3, 4, 8, 9, 12, 33, 64, 65])

    # one layer: numbers, codes, numbers

    def layer(self) -> None:
        """What stands between a product and a binarization, the binarization, moves of codes, the next product."""
        for step in self._choose.sample(self._before, self._choose.randint(0, 3)):
            step(self)
        self._show(0.1)
        self._choose.choice(self._binarizations)(self)
        for step in self._choose.sample(self._moves, self._choose.randint(0, 2)):
            step(self)
        self._show(0.1)
        self._product()
        self._show(0.2)
        self._numbers.append(self.x)

    def _batch_norm(self) -> None:
        channels = self._shape[0]
        gamma = self._draw.choice([-1.5, -0.3, 0.0, 1e-30, 0.7, 1.0], channels).astype(F)
        beta, mean = self._numbers_of(-1, 1), self._numbers_of(-3, 3)
        self._add("BatchNormalization", gamma, beta, mean, self._numbers_of(0, 9), epsilon=1e-3)

    def _prelu(self) -> None:
        slope = self._draw.choice([-1.0, -0.25, 0.0, 0.3, 1.0], self._shape[0]).astype(F)
        self._add("PRelu", slope.reshape(-1, *(1 for _ in self._shape[1:])))

    def _leaky(self) -> None:
        self._add("LeakyRelu", alpha=self._choose.choice([0.1, -0.5]))

    def _shift(self) -> None:
        self._add(self._choose.choice(["Add", "Sub"]), self._per_channel(self._numbers_of(-2, 2)))

    def _scale(self) -> None:
        self._add(
            self._choose.choice(["Mul", "Div"]),
            self._per_channel(self._draw.choice([-2, -0.7, 0.1, 3], self._shape[0]).astype(F)),
        )

    def _clip(self) -> None:
        self._add("Clip", F(-1), F(self._choose.choice([1, 2.5])))

    def _residual(self) -> None:
        fitting = [name for name in self._numbers if name != self.x and self.net.shape(name) == self.net.shape(self.x)]
        if fitting:
            self._add("Add", self._choose.choice(fitting))

    def _island(self) -> None:
        """A scale and a shift in channels-last order between two transposes."""
        if len(self._shape) == 3:
            self._add("Transpose", perm=[0, 2, 3, 1])
            self._add("Mul", self._draw.choice([-1, 0.5, 2], self._shape[-1]).astype(F))
            self._add("Transpose", perm=[0, 3, 1, 2])

    def _pool(self) -> None:
        if len(self._shape) != 3:
            return
        size = self._shape[1:]
        kernel = [self._choose.randint(1, min(3, n)) for n in size]
        pads = [self._choose.randrange((k + 1) // 2 + (k > 1)) % k for k in (*kernel, *kernel)]
        strides = [self._choose.randint(1, 2) for _ in kernel]
        attrs = {"kernel_shape": kernel, "strides": strides, "pads": pads}
        attrs["ceil_mode"] = int(self._maybe(0.5) and _rounds_up_clearly(size, kernel, strides, pads))
        kind = self._choose.choice(["MaxPool", "MaxPool", "AveragePool"])
        if kind == "AveragePool":
            attrs["count_include_pad"] = int(self._maybe(0.5))
        self._add(kind, **attrs)

    def _copy(self) -> None:
        self._add("Identity")

    _before = (_batch_norm, _batch_norm, _prelu, _leaky, _shift, _scale, _clip, _residual, _island, _pool, _copy)

    # spellings of a binarization

    def _sign(self) -> None:
        self._add("Sign")

    def _sign_shifted(self) -> None:
        """Larq's: 0 becomes +1."""
        self._add("Sign")
        self._add("Add", F(0.1))
        self._add("Sign")

    def _where(self) -> None:
        compared = self.net.node(
            self._choose.choice(["GreaterOrEqual", "Greater"]), self.x, F(self._choose.choice([0, 0, 0.5]))
        )
        self.x = self.net.node("Where", compared, F(1), F(-1))

    def _where_less(self) -> None:
        self.x = self.net.node("Where", self.net.node("Less", self.x, F(0)), F(-1), F(1))

    def _cast(self) -> None:
        self._add("Greater", F(0))
        self._add("Cast", to=1)
        if self._maybe(0.7):
            self._add("Mul", F(2))
            self._add("Sub", F(1))

    def _levels(self) -> None:
        """Two bits, or ternary, by rounding."""
        step = self._choose.choice([1.0, 0.5, 0.7])
        low, high = self._choose.choice([(-1, 1), (0, 3), (0, 1), (-2, 1)])
        self._add("Div", F(step))
        self._add(self._choose.choice(["Round", "Floor"]))
        self._add("Clip", F(low), F(high))
        if self._maybe(0.5):
            self._add("Mul", F(step))

    def _dead_zone(self) -> None:
        """Ternary by two comparisons."""
        up, down = self.net.node("Greater", self.x, F(0.7)), self.net.node("Less", self.x, F(-0.7))
        self.x = self.net.node("Sub", self.net.node("Cast", up, to=1), self.net.node("Cast", down, to=1))

    def _straight_through(self) -> None:
        """The residue of a straight-through estimator: clip(x) + (sign(x) - clip(x))."""
        x = self.x
        soft = self.net.node("Clip", x, F(-1), F(1))
        self.x = self.net.node("Add", soft, self.net.node("Sub", self.net.node("Sign", x), soft))

    _binarizations = (_sign, _sign_shifted, _where, _where_less, _cast, _levels, _dead_zone, _straight_through)

    # moves of codes

    def _pad(self) -> None:
        if len(self._shape) == 3:
            pads = [
                0,
                0,
                *(self._choose.randint(0, 2) for _ in range(2)),
                0,
                0,
                *(self._choose.randint(0, 2) for _ in range(2)),
            ]
            self._add("Pad", np.array(pads), F(self._choose.choice([0, 1, -1])))

    def _concat(self) -> None:
        """The codes twice, once with the sign turned."""
        self._add("Concat", self.net.node("Neg", self.x), axis=1)

    def _shuffle(self) -> None:
        """Channels dealt to two groups, as in ShuffleNet."""
        if len(self._shape) == 3 and self._shape[0] % 2 == 0:
            channels, height, width = self._shape
            self._add("Reshape", np.array([0, 2, channels // 2, height, width]))
            self._add("Transpose", perm=[0, 2, 1, 3, 4])
            self._add("Reshape", np.array([0, channels, height, width]))

    def _slice(self) -> None:
        if self._shape[0] > 1:
            self._add(
                "Slice", np.array([self._choose.randrange(self._shape[0] - 1)]), np.array([1 << 31]), np.array([1])
            )

    def _flip(self) -> None:
        """Rows of the image in reverse order."""
        if len(self._shape) == 3:
            self._add("Slice", np.array([-1]), np.array([-(1 << 31)]), np.array([2]), np.array([-1]))

    def _flatten(self) -> None:
        self._add("Flatten")

    def _code_pool(self) -> None:
        if len(self._shape) == 3 and min(self._shape[1:]) > 1:
            self._add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=int(self._maybe(0.5)))

    def _there_and_back(self) -> None:
        if len(self._shape) == 3:
            self._add("Transpose", perm=[0, 2, 3, 1])
            self._add("Transpose", perm=[0, 3, 1, 2])

    _moves = (_pad, _pad, _concat, _shuffle, _slice, _flip, _flatten, _code_pool, _there_and_back)

    # products

    def _product(self) -> None:
        if len(self._shape) == 1:
            self._dense(self._weights((self._shape[0], self._width()), axis=1))
        elif self._maybe(0.15):
            self._add("Flatten")
            self._dense(self._weights((self._shape[0], self._width()), axis=1))
        else:
            self._conv(lambda shape: self._weights(shape, axis=0), self._width())

    def _weights(self, shape: tuple[int, ...], axis: int) -> np.ndarray:
        """±1, or ±a with an ``a`` a channel, dyadic or not; rarely ternary or any numbers, which stay float layers."""
        signs = self._draw.choice([-1, 1], shape).astype(F)
        kind = self._choose.choice(["one", "one", "one", "dyadic", "any", "ternary", "float"])
        if kind == "ternary":
            return signs * self._draw.choice([0, 1], shape).astype(F)
        if kind == "float":
            return self._draw.normal(size=shape).astype(F)
        if kind == "one":
            return signs
        sizes = (
            self._draw.choice([0.25, 0.5, 2], shape[axis])
            if kind == "dyadic"
            else self._draw.uniform(0.1, 2, shape[axis])
        )
        return signs * sizes.astype(F).reshape([-1 if i == axis else 1 for i in range(len(shape))])

    def _conv(self, weights: Callable[[tuple[int, ...]], np.ndarray], filters: int) -> None:
        channels, *size = self._shape
        group = self._choose.choice([1, 1, 1, channels, 2 if channels % 2 == 0 else 1])
        filters = -(-filters // group) * group if group < channels else channels * self._choose.choice([1, 1, 2])
        kernel, dilations = ([self._choose.randint(1, most) for _ in size] for most in (3, 2))
        pads = [self._choose.randrange(3) for _ in range(4)] if self._maybe(0.6) else [0, 0, 0, 0]
        for i, n in enumerate(size):
            if n + pads[i] + pads[i + 2] < dilations[i] * (kernel[i] - 1) + 1:
                kernel[i] = 1
        operands = [weights((filters, channels // group, *kernel))]
        if self._maybe(0.3):
            operands.append((self._draw.integers(-4, 5, filters) / 2).astype(F))
        strides = [self._choose.randint(1, 2) for _ in size]
        self._add("Conv", *operands, pads=pads, strides=strides, dilations=dilations, group=group)

    def _dense(self, weights: np.ndarray) -> None:
        """[K,M] as MatMul or Gemm."""
        if self._maybe(0.5):
            self._add("MatMul", weights)
            return
        bias = (self._draw.integers(-4, 5, weights.shape[1]) / 2).astype(F)
        transposed = self._maybe(0.5)
        self._add(
            "Gemm",
            weights.T.copy() if transposed else weights,
            bias,
            transB=int(transposed),
            alpha=self._choose.choice([1.0, 0.5]),
        )

    # the end

    def tail(self) -> None:
        """Pooling or flattening, perhaps a classifier, perhaps the choice of classes."""
        if len(self._shape) == 3 and self._maybe(0.6):
            self._add(self._choose.choice(["GlobalAveragePool", "GlobalMaxPool", "Flatten"]))
        if self._maybe(0.5):
            self._add("Flatten")
            self._dense(self._draw.integers(-4, 5, (self._shape[0], self._choose.choice([1, 5]))).astype(F) / 2)
        self._choose.choice([self._show_scores, self._softmax, self._argmax, self._topk])()

    def _show_scores(self) -> None:
        self._show(1)

    def _softmax(self) -> None:
        self._add(self._choose.choice(["Softmax", "LogSoftmax"]), axis=1)
        self._show(1)

    def _argmax(self) -> None:
        self._show(0.5)
        self._add("ArgMax", axis=1, keepdims=int(self._maybe(0.5)))
        self._show(1)

    def _topk(self) -> None:
        k = np.array([self._choose.randint(1, self._shape[0])])
        for name in self.net.nodes("TopK", self.x, k, names=("top", "places"), axis=1):
            self.net.output(name)


def _rounds_up_clearly(size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], pads: Sequence[int]) -> bool:
    """Whether no window of a pool that rounds up begins in the padding: onnx's shape inference counts it, onnxruntime does not."""
    rank = len(size)
    counts = [-(-(n + pads[i] + pads[i + rank] - kernel[i]) // strides[i]) + 1 for i, n in enumerate(size)]
    return all((counts[i] - 1) * strides[i] < n + pads[i] for i, n in enumerate(size))
