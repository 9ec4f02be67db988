"""Convolutions of numbers in small float formats: integers where 16 bits hold their multiples of the smallest step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.networks.building import TARGETS
from tests.networks.onnx_net import Net, build_quickly, product_forms, truth

F = np.float32
FORMATS = {"E2M1": (1, -1, 6.0), "E3M0": (0, -2, 16.0), "E3M2": (2, -4, 28.0), "E4M3": (3, -9, 480.0)}
"""Mantissa bits, exponent of the smallest step, largest number."""


def grid(mantissa_bits: int, least: int, most: float) -> np.ndarray:
    """All numbers of a format."""
    steps = np.ldexp(1.0, np.arange(least, 16))[:, np.newaxis]
    found = np.unique(steps * np.arange(2 ** (mantissa_bits + 1) + 1))
    found = found[found <= most]
    return np.unique(np.concatenate([-found, found])).astype(F)


def rounded(net: Net, x: str, scale: float, mantissa_bits: int, least: int, most: float) -> str:
    """A graph of Brevitas' FloatQuant with logarithms and powers."""
    v = net.node("Div", x, F(scale))
    size = net.node("Add", net.node("Abs", v), F(2.0**-126))
    exponent = net.node(
        "Sub", net.node("Floor", net.node("Div", net.node("Log", size), F(np.log(2)))), F(mantissa_bits)
    )
    step = net.node("Pow", F(2), net.node("Clip", exponent, F(least), ""))
    y = net.node("Mul", step, net.node("Round", net.node("Div", v, step)))
    y = net.node("Where", net.node("Greater", y, F(most)), F(most), y)
    y = net.node("Where", net.node("Less", y, F(-most)), F(-most), y)
    return net.node("Mul", y, F(scale))


def two_layers(name: str) -> Net:
    """Weights of the format in the multiples of a power of two: their products are exact in float32."""
    net, rng, numbers = Net(), np.random.default_rng(7), grid(*FORMATS[name])
    x = net.input("x", (1, 4, 9, 9))
    for inputs, outputs, scale in ((4, 16, 0.5), (16, 8, 0.25)):
        w = rng.choice(numbers, (outputs, inputs, 3, 3)) * F(2.0**-5)
        w[:, 0, 0, 0] = numbers[-1] * F(2.0**-5)
        x = net.node("Conv", rounded(net, x, scale, *FORMATS[name]), w, pads=[1, 1, 1, 1])
        x = net.node("Relu", x)
    net.output(x)
    return net


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("name", "form"), [("E2M1", "int8 x int8"), ("E3M0", "int8 x int8"), ("E3M2", "int16 x int16"), ("E4M3", "float32")]
)
def test_formats_run_as_integers_where_they_fit(name: str, form: str, target: str, tmp_path: Path) -> None:
    model = two_layers(name).save(tmp_path / "net.onnx")
    session = build_quickly(model, target, tmp_path)
    assert product_forms(session) == [form, form]
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((1, 4, 9, 9)) * rng.choice([0.05, 1, 20], (1, 4, 9, 9))).astype(F)
    x[0, :, 0] = rng.choice(grid(*FORMATS[name]), (4, 9)) * F(0.5) * F(0.75)  # halfway between numbers, often
    (wanted,) = truth(model, {"x": x})
    (got,) = session.run(None, {"x": x})
    if form == "float32":
        assert np.allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    else:
        assert np.array_equal(got, wanted)
