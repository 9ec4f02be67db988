"""Handlers of QONNX's layers: pools, popcount products, windows as rows, and the channels-last twins of three standard ops.

Semantics: qonnx 1.0's own executor (docs/qonnx-custom-ops of fastmachinelearning/qonnx), because that is what people run. Everything
becomes the plain op on [N, C, H, W] between transposes.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from bitc.frontend.channels_last import on_channels_first, to_channels_first
from bitc.frontend.linear import conv
from bitc.frontend.node import CHANNELS_LAST, QONNX, Node, handles
from bitc.frontend.normalize import batch_normalization
from bitc.frontend.qonnx import MAX_BITS
from bitc.ir import Value
from bitc.ir.numeric import window_count

MAX_TAPS = 1024


@handles("DebugMarker", domains=(QONNX,))
def debug_marker(n: Node) -> Value:
    """y = x; the name in ``export_debug_name`` is Brevitas' own business"""
    return n.x()


@handles("QuantAvgPool2d", domains=(QONNX,))
def quant_avg_pool(n: Node) -> Value:
    """y = floor(sum over the k x k window / 2^shift), shift = max(0, bits of k*k*(2^ibits - 1) - obits): a sum that is truncated, no mean

    The sum is the mean times k*k, rounded: qonnx's own way, which is exact for the integers this op is for.
    """
    kernel, stride, ibits, obits = (n.integer(name, 0) for name in ("kernel", "stride", "ibits", "obits"))
    if min(kernel, stride, ibits, obits) < 1:
        raise n.broken("kernel, stride, ibits and obits of QuantAvgPool2d are positive")
    if max(ibits, obits) > MAX_BITS:
        raise n.unsupported("QuantAvgPool2d has integers of at most 32 bits", f"ibits {ibits}, obits {obits}")
    shift = max(0, (kernel * kernel * (2**ibits - 1)).bit_length() - obits)

    def pool(x: Value) -> Value:
        window = {"kernel": (kernel, kernel), "strides": (stride, stride), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
        mean = n.emit("nn.avg_pool", x, **window)
        total = n.emit("nn.round", n.emit("nn.mul", mean, n.scalar(kernel * kernel, mean)))
        return n.emit("nn.floor", n.emit("nn.mul", total, n.scalar(2.0**-shift, mean))) if shift else total

    match n.text("data_layout", "NCHW"):
        case "NCHW":
            return pool(_image(n, n.x()))
        case "NHWC":
            return on_channels_first(n, pool)
        case other:
            raise n.broken("data_layout is NCHW or NHWC", other)


@handles("XnorPopcountMatMul", domains=(QONNX,))
def xnor_popcount_matmul(n: Node) -> Value:
    """y = number of equal bits of a row and a column of {0, 1}: (sum of (2a - 1)(2b - 1) + K) / 2"""
    a, b = n.x(0), n.x(1)
    if len(a.shape) < 2 or len(b.shape) != 2:
        raise n.broken("XnorPopcountMatMul takes [..., M, K] and [K, N]", f"{a.type}, {b.type}")
    signs = [n.emit("nn.sub", n.emit("nn.mul", bits, n.scalar(2, bits)), n.scalar(1, bits)) for bits in (a, b)]
    dot = n.emit("nn.matmul", *signs)
    return n.emit("nn.mul", n.emit("nn.add", dot, n.scalar(a.shape[-1], dot)), n.scalar(0.5, dot))


@handles("Im2Col", domains=(QONNX,))
def im2col(n: Node) -> Value:
    """y[0, i, j, (ky * kw + kx) * C + c] = x[0, i * sh + ky * dh - top, j * sw + kx * dw - left, c], ``pad_value`` outside the image"""
    x = _image(n, n.x())
    kernel, strides = n.integers("kernel_size"), n.integers("stride")
    pads, dilations = n.integers("pad_amount") or [0] * 4, n.integers("dilations") or [1, 1]
    if kernel is None or strides is None or not len(kernel) == len(strides) == len(dilations) == 2 or len(pads) != 4:
        raise n.broken("kernel_size, stride and dilations of Im2Col are pairs, pad_amount has four numbers")
    if min(*kernel, *strides, *dilations) < 1 or min(pads) < 0:
        raise n.broken("kernel_size, stride and dilations of Im2Col are positive, pad_amount is not negative")
    if kernel[0] * kernel[1] > MAX_TAPS:
        raise n.unsupported("the window of Im2Col has at most 1024 taps", f"kernel_size {kernel}")
    batch, height, width, channels = x.shape
    rows = window_count(height, kernel[0], strides[0], dilations[0], pads[0], pads[2])
    columns = window_count(width, kernel[1], strides[1], dilations[1], pads[1], pads[3])
    if batch != 1 or rows < 1 or columns < 1:
        raise n.broken("Im2Col takes one image [1, H, W, C] that holds the window", f"{x.type}, kernel_size {kernel}")
    n.check_size(4 * rows * columns * kernel[0] * kernel[1] * channels)
    if any(pads):
        pairs = (0, pads[0], pads[1], 0, 0, pads[2], pads[3], 0)
        x = n.emit("nn.pad", x, pads=pairs, value=float(n.integer("pad_value", 0)))
    taps = [
        n.emit(
            "nn.slice",
            x,
            starts=(0, top, left, 0),
            stops=(1, top + (rows - 1) * strides[0] + 1, left + (columns - 1) * strides[1] + 1, channels),
            steps=(1, *strides, 1),
        )
        for top, left in product(
            range(0, kernel[0] * dilations[0], dilations[0]), range(0, kernel[1] * dilations[1], dilations[1])
        )
    ]
    return n.emit("nn.concat", *taps, axis=3) if len(taps) > 1 else taps[0]


@handles("Conv", domains=(CHANNELS_LAST,))
def conv_channels_last(n: Node) -> Value:
    """y = x * w + b over windows of an image [N, spatial..., C]; the weights are [M, kernel..., C/group] too"""
    weights = n.emit("nn.transpose", n.x(1), perm=to_channels_first(len(n.x(1).shape)))
    return on_channels_first(n, lambda x: conv(replace(n, inputs=(x, weights, *n.inputs[2:]))))


@handles("BatchNormalization", domains=(CHANNELS_LAST,))
def batch_normalization_channels_last(n: Node) -> Value:
    """BatchNormalization over the last axis"""
    return on_channels_first(n, lambda x: batch_normalization(replace(n, inputs=(x, *n.inputs[1:]))))


def _image(n: Node, x: Value) -> Value:
    if len(x.shape) != 4:
        raise n.broken(f"{n.op_type} takes an image of rank 4", str(x.type))
    return x
