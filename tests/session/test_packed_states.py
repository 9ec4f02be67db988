"""States that take few values are bits or bytes in the struct, and a step is the file's, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import bitc
from bitc import toolchain
from bitc.codegen.targets import target
from bitc.errors import OptionError
from bitc.explain import explanation
from bitc.session import Session
from bitc.state_codes import Bits, Bytes, StateCodes
from tests.networks.onnx_net import Net

pytestmark = pytest.mark.usefixtures("compiler")

F = np.float32
WIDTH, STEPS, PLACES, FEWEST = 19, 200, 6, 8


def _summed(net: Net, h: str) -> str:
    """x W + h U of small integers: exact sums."""
    rng = np.random.default_rng(1)
    x, w, u = net.input("x", (1, 8)), rng.integers(-3, 4, (8, WIDTH)), rng.choice([-1, 1], (WIDTH, WIDTH))
    return net.node("Add", net.node("MatMul", x, w.astype(F)), net.node("MatMul", h, u.astype(F)))


def binary(net: Net) -> None:
    """Two values, of which zero is one."""
    h = net.input("h", (1, WIDTH))
    fires = net.node("GreaterOrEqual", _summed(net, h), F(0))
    net.output(net.node("Where", fires, F(0.75), F(0), name="h_out"))
    net.output(net.node("ReduceSum", "h_out", keepdims=0, name="y"))


def ternary(net: Net) -> None:
    """Sign with its zero."""
    h = net.input("h", (1, WIDTH))
    net.output(net.node("Sign", _summed(net, h), name="h_out"))
    net.output(net.node("ReduceSum", "h_out", keepdims=0, name="y"))


def signs_from_zeros(net: Net) -> None:
    """±1, but a sequence begins with zeros: three values."""
    h = net.input("h", (1, WIDTH))
    net.output(
        net.node("Where", net.node("Greater", _summed(net, h), F(0)), F(1), F(-1), name="h_out"),
    )
    net.output(net.node("ReduceSum", "h_out", keepdims=0, name="y"))


def cache(net: Net) -> None:
    """Quantized rows written at a place of a cache, with which an attention's sums are made."""
    h, x = net.input("h", (PLACES, 8)), net.input("x", (1, 8))
    place = net.input("place", (1, 1), np.int64)
    row = net.node("Clip", net.node("Round", net.node("Div", x, F(0.25))), F(-128), F(127))
    net.output(net.node("ScatterND", h, place, net.node("Mul", row, F(0.25)), name="h_out"))
    net.output(net.node("MatMul", "h_out", net.node("Transpose", x, perm=[1, 0]), name="y"))


def two_states(net: Net) -> None:
    """Each is made from the other; one of them is kept as floats."""
    h, v = net.input("h", (1, WIDTH)), net.input("v", (1, WIDTH))
    charged = net.node("Add", net.node("Mul", v, F(0.5)), _summed(net, h))
    spikes = net.node("Cast", net.node("Greater", charged, F(1)), to=1, name="h_out")
    net.output(spikes)
    net.output(net.node("Sub", charged, spikes, name="v_out"))
    net.output(net.node("ReduceSum", "h_out", keepdims=0, name="y"))


CASES: dict[Callable[[Net], None], StateCodes] = {
    binary: Bits(0.0, 0.75),
    ternary: Bytes(1.0, -1, 2),
    signs_from_zeros: Bytes(1.0, -1, 2),
    cache: Bytes(0.25, -128, 255),
    two_states: Bits(0.0, 1.0),
}


def built(build: Callable[[Net], None], folder: Path, **options: Any) -> tuple[Path, bitc.Artifact]:
    net = Net(17)
    build(net)
    path = net.save(folder / "net.onnx")
    states = {"h": "h_out", "v": "v_out"} if build is two_states else {"h": "h_out"}
    return path, bitc.compile(path, **{"target": "portable", "out": folder / "made", "states": states, **options})


def feeds(session: Session, steps: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(4)
    found = []
    for step in range(steps):
        feed = {"x": (rng.integers(-9, 10, (1, 8)) / 4).astype(F)}
        if "place" in {arg.name for arg in session.get_inputs()}:
            feed["place"] = np.array([[step % PLACES]])
        found.append(feed)
    return found


def follows_onnxruntime(path: Path, session: Session) -> None:
    oracle, state = onnxruntime.InferenceSession(str(path)), session.new_state()
    pairs = {arg.name: arg.output for arg in session.get_states()}
    now = {arg.name: np.zeros(arg.shape, arg.dtype) for arg in session.get_states()}
    names = [output.name for output in oracle.get_outputs()]
    assert all(np.array_equal(array, now[name]) for name, array in state.arrays().items())
    seen = set()
    for feed in feeds(session, STEPS):
        wanted = dict(zip(names, oracle.run(None, {**feed, **now}), strict=True))
        for name, array in zip(names, session.step(feed, state, names), strict=True):
            np.testing.assert_array_equal(array, wanted[name])
        now = {given: wanted[made] for given, made in pairs.items()}
        assert all(np.array_equal(array, now[name]) for name, array in state.arrays().items())
        seen.add(float(np.sum(wanted["y"])))
    assert len(seen) > FEWEST  # it does not fall silent


@pytest.mark.parametrize("build", CASES)
def test_steps_are_those_of_onnxruntime(build: Callable[[Net], None], tmp_path: Path) -> None:
    path, made = built(build, tmp_path, emit=("c",))
    flags = (*toolchain.STRICT_WARNINGS, "-O1")
    toolchain.compile_shared(made.source, made.library, target("portable").cflags, flags)
    session = made.session()
    codes = {arg.name: arg.codes for arg in session.get_states()}
    assert codes["h"] == CASES[build]
    assert explanation(made.manifest, None).kept_states == {"h": str(CASES[build])}
    elements = PLACES * 8 if build is cache else WIDTH
    assert f"uint8_t h[{CASES[build].bytes_of(elements)}];" in made.header.read_text()
    follows_onnxruntime(path, session)


@pytest.mark.parametrize("options", [{"threads": 2}, {"target": "auto"}], ids=str)
def test_in_threads_and_families(options: dict[str, object], tmp_path: Path) -> None:
    path, made = built(two_states, tmp_path, **options)
    follows_onnxruntime(path, made.session())


def test_states_are_kept_and_other_values_refused(tmp_path: Path) -> None:
    _, made = built(two_states, tmp_path, c_flags=("-O1",))
    session = made.session()
    state, other = session.new_state(), session.new_state()
    inputs = feeds(session, 40)
    for feed in inputs[:21]:
        session.step(feed, state)
    other.load(state.arrays())
    for feed in inputs[21:]:
        assert session.step(feed, state)[0] == session.step(feed, other)[0]
    with pytest.raises(OptionError, match="takes no such values"):
        state.load(state.arrays() | {"h": np.full((1, WIDTH), 0.5, F)})
    state.reset()
    assert not state.arrays()["h"].any()


def test_run_takes_any_values(tmp_path: Path) -> None:
    path, made = built(ternary, tmp_path, c_flags=("-O1",))
    feed = {"x": np.zeros((1, 8), F), "h": np.full((1, WIDTH), 0.5, F)}
    (wanted, *_) = onnxruntime.InferenceSession(str(path)).run(["h_out"], feed)
    np.testing.assert_array_equal(made.session().run(["h_out"], feed)[0], wanted)
