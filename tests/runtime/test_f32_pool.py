"""Float pooling against NumPy window by window, and bit for bit against onnxruntime's order of summation."""

from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from onnx import TensorProto, helper

from .harness import guarded, kernels

Array = npt.NDArray[Any]
F32 = np.float32


@dataclass(frozen=True, slots=True)
class Pool:
    """The kernels' ``bitc_fpool``, field for field, but for the distances in memory."""

    in_h: int
    in_w: int
    channels: int
    window_h: int = 2
    window_w: int = 2
    step_h: int = 1
    step_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0
    count_pads: int = 0
    by_columns: int = 0

    @property
    def out_size(self) -> tuple[int, int]:
        height = self.in_h + self.pad_top + self.pad_bottom - (self.window_h - 1) * self.dilation_h - 1
        width = self.in_w + self.pad_left + self.pad_right - (self.window_w - 1) * self.dilation_w - 1
        return height // self.step_h + 1, width // self.step_w + 1

    def window(self, x: Array, oy: int, ox: int) -> Array:
        """The pixels under output (oy, ox), ``[rows, cols, channels]``; rows and columns outside the image are gone."""
        rows = oy * self.step_h - self.pad_top + np.arange(self.window_h) * self.dilation_h
        cols = ox * self.step_w - self.pad_left + np.arange(self.window_w) * self.dilation_w
        inside = x[rows[(rows >= 0) & (rows < self.in_h)]]
        return inside[:, cols[(cols >= 0) & (cols < self.in_w)]]


GEOMETRIES = (
    *(Pool(5, 5, channels) for channels in (1, 3, 7, 8, 9, 15, 16, 17, 33, 64, 65, 130)),
    *(Pool(3, width, 5, 2, 1) for width in range(1, 10)),
    *(
        Pool(7, 8, 3, window_h, window_w, step_h, step_w, dilation, dilation, *pads)
        for window_h, window_w, step_h, step_w, dilation, pads in product(
            (1, 3), (2, 3), (1, 2), (1, 3), (1, 2), ((0, 0, 0, 0), (0, 1, 0, 1), (1, 0, 1, 1))
        )
        if window_h > 1 or pads[0] == pads[2] == 0  # else a window holds no pixel
    ),
)


def _run(name: str, pool: Pool, x: Array, gap: int = 1) -> Array:
    """``[out_h, out_w, channels]``, computed in two bands; pixels lie ``gap`` floats apart on both sides."""
    k = kernels("f32_pool.h", isa="portable")
    out_h, out_w = pool.out_size
    pixel = pool.channels + gap
    struct = k.ffi.new("bitc_fpool *", {field.name: getattr(pool, field.name) for field in fields(pool)})
    struct.out_w, struct.in_pixel, struct.out_pixel = out_w, pixel, pixel
    struct.in_row, struct.out_row = pool.in_w * pixel, out_w * pixel
    spaced = np.full((pool.in_h, pool.in_w, pixel), np.nan, F32)
    spaced[..., : pool.channels] = x
    with guarded((out_h, out_w, pixel), F32) as y:
        gaps = y[..., pool.channels :].view(np.uint32).copy()
        for first, last in ((0, 1), (1, out_h)):
            k.functions[name](struct, k.pointer(spaced), k.pointer(y, first * struct.out_row), first, last)
        assert np.array_equal(y[..., pool.channels :].view(np.uint32), gaps)
        return y[..., : pool.channels].copy()


def _image(pool: Pool, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal((pool.in_h, pool.in_w, pool.channels)).astype(F32)


def test_max_takes_the_greatest_inside_the_image() -> None:
    for pool in GEOMETRIES:
        x = _image(pool)
        y = _run("bitc_fmaxpool", pool, x)
        for oy, ox in np.ndindex(*pool.out_size):
            assert np.array_equal(y[oy, ox], pool.window(x, oy, ox).max((0, 1))), (pool, oy, ox)


def test_max_of_special_values() -> None:
    nan, inf = np.nan, np.inf
    cases = ([nan, 1, 2, 3], [1, 2, 3, nan], [-inf] * 4, [-inf, nan, inf, 1], [inf, 1, 2, 3], [-5, -3, -inf, -4])
    expected = [nan, nan, -inf, nan, inf, -3]
    x = np.array(cases, F32).T.reshape(2, 2, len(cases))
    np.testing.assert_array_equal(_run("bitc_fmaxpool", Pool(2, 2, len(cases)), x)[0, 0], np.array(expected, F32))


def test_max_keeps_the_first_of_two_zeros() -> None:
    x = np.array([[[0.0, -0.0], [-0.0, 0.0]]], F32)
    y = _run("bitc_fmaxpool", Pool(1, 2, 2, 1, 2), x)
    assert np.signbit(y).ravel().tolist() == [False, True]


@pytest.mark.parametrize("by_columns", [0, 1])
def test_average_divides_the_sum(by_columns: int) -> None:
    for base, count_pads in product(GEOMETRIES, (0, 1)):
        pool = replace(base, count_pads=count_pads, by_columns=by_columns)
        x = np.round(8 * _image(pool))  # sums of few small integers are exact, and the quotient is rounded once
        y = _run("bitc_favgpool", pool, x)
        for oy, ox in np.ndindex(*pool.out_size):
            window = pool.window(x, oy, ox)
            # every tap of these geometries lies in the padded image
            taps = pool.window_h * pool.window_w if count_pads else window.shape[0] * window.shape[1]
            expected = (window.sum((0, 1)).astype(F32) / F32(taps)).astype(F32)
            assert np.array_equal(y[oy, ox], expected), (pool, oy, ox)


def test_average_counts_no_taps_beyond_the_padding() -> None:
    """With ceil_mode the last window may hang over the padded image: 2 + 1 columns, the third is nowhere."""
    pool = Pool(1, 4, 1, 1, 3, step_w=2, pad_right=1, count_pads=1)
    x = np.array([1, 2, 3, 5], F32).reshape(1, 4, 1)
    assert _run("bitc_favgpool", pool, x).ravel().tolist() == [2.0, F32(8) / F32(3)]
    hanging = Pool(1, 4, 1, 1, 3, step_w=2, pad_right=0, count_pads=1)
    k = kernels("f32_pool.h", isa="portable")
    values = {field.name: getattr(hanging, field.name) for field in fields(hanging)}
    struct = k.ffi.new("bitc_fpool *", values | {"out_w": 2, "in_row": 4, "in_pixel": 1, "out_row": 2, "out_pixel": 1})
    y = np.empty(2, F32)
    k.bitc_favgpool(struct, k.pointer(x), k.pointer(y), 0, 1)
    assert y.tolist() == [2.0, 4.0]


def test_average_of_special_values() -> None:
    nan, inf = np.nan, np.inf
    x = np.array([[nan, inf, inf, -0.0], [1, 1, -inf, -0.0]], F32).reshape(1, 2, 4)
    np.testing.assert_array_equal(
        _run("bitc_favgpool", Pool(1, 2, 4, 1, 2), x)[0, 0], np.array([nan, inf, nan, 0], F32)
    )


def _oracle(op: str, x: Array, **attributes: Any) -> Array:
    """onnxruntime's result for the NHWC image x, as NHWC."""
    nchw = np.ascontiguousarray(np.moveaxis(x, -1, 0)[None])
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], **attributes)],
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, nchw.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.moveaxis(session.run(None, {"x": nchw})[0][0], 0, -1)


@pytest.mark.parametrize(("step_w", "by_columns"), [(1, 1), (2, 1), (3, 0), (4, 0)])
def test_average_has_the_bits_of_onnxruntime(step_w: int, by_columns: int) -> None:
    for window, step_h, pad, count_pads in product(((2, 2), (3, 3), (2, 5)), (1, 2, 3), (0, 1), (0, 1)):
        base = Pool(13, 14, 20, *window, step_h, step_w, 1, 1, pad, pad, pad, pad)
        pool = replace(base, count_pads=count_pads, by_columns=by_columns)
        x = _image(pool)
        expected = _oracle(
            "AveragePool",
            x,
            kernel_shape=window,
            strides=[step_h, step_w],
            pads=[pad] * 4,
            count_include_pad=count_pads,
        )
        assert np.array_equal(_run("bitc_favgpool", pool, x), expected), pool


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 3), (7, 7), (8, 8), (5, 13)])
def test_mean_has_the_bits_of_onnxruntimes_global_average(size: tuple[int, int]) -> None:
    k = kernels("f32_reduce.h", isa="portable")
    x = np.random.default_rng(4).standard_normal((*size, 70)).astype(F32)
    expected = _oracle("GlobalAveragePool", x)[0, 0]
    with guarded((70,), F32) as y:
        k.bitc_freduce_mean(k.pointer(x), k.pointer(y), 1, size[0] * size[1], 70)
        assert np.array_equal(y, expected)
    planes = np.ascontiguousarray(np.moveaxis(x, -1, 0))
    with guarded((70,), F32) as y:
        k.bitc_freduce_mean(k.pointer(planes), k.pointer(y), 70, size[0] * size[1], 1)
        assert np.array_equal(y, expected)
