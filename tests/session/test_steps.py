"""Networks with states: steps against onnxruntime and against the unrolled network, several sequences, what is kept and refused."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from session.stepping import INITIAL, STATES, scan_model, sequence, step_model

import bitc
from bitc.codegen.targets import FAMILIES, family
from bitc.errors import OptionError
from bitc.session import Session

pytestmark = pytest.mark.usefixtures("compiler")

Truth = tuple[np.ndarray, dict[str, np.ndarray]]


def written(model: object, path: Path) -> Path:
    path.write_bytes(model.SerializeToString(deterministic=True))  # type: ignore[attr-defined]
    return path


def unrolled_by_onnxruntime(xs: np.ndarray) -> Truth:
    """The totals of all steps and the states at the end, by onnxruntime's own Scan."""
    session = onnxruntime.InferenceSession(scan_model(len(xs)).SerializeToString())
    v, last, steps, totals = session.run(None, {"xs": xs})
    return totals, {"v": v, "last": last, "steps": steps}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(step_model(), tmp_path_factory.mktemp("model") / "steps.onnx")


@pytest.fixture(scope="module", params=[("so", 1), ("so", 3), ("pyext", 1)], ids=str)
def session(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Session:
    emit, threads = request.param
    out = tmp_path_factory.mktemp("made") / "steps"
    return bitc.compile(
        model, target="portable", out=out, emit=("c", emit), threads=threads, states=STATES, c_flags=("-O1",)
    ).session()


def same(states: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return states.keys() == wanted.keys() and all(
        states[name].tobytes() == array.tobytes() and states[name].dtype == array.dtype
        for name, array in wanted.items()
    )


def test_a_thousand_steps_are_the_unrolled_network(session: Session) -> None:
    xs = sequence(1000)
    totals, states = unrolled_by_onnxruntime(xs)
    state = session.new_state()
    got = np.array([session.step({"x": x}, state)[0] for x in xs])
    assert np.count_nonzero(totals) > 500  # it is no network that falls silent
    np.testing.assert_array_equal(got, totals)
    assert same(state.arrays(), states)
    assert states["steps"].tolist() == [1000]


def test_steps_are_what_bitc_unrolls(session: Session, tmp_path: Path) -> None:
    xs = sequence(12, seed=1)
    unrolled = bitc.compile(
        written(scan_model(12), tmp_path / "scan.onnx"), target="portable", out=tmp_path / "scan", c_flags=("-O1",)
    ).session()
    v, last, steps, totals = unrolled.run(None, {"xs": xs})
    state = session.new_state()
    np.testing.assert_array_equal([session.step({"x": x}, state)[0] for x in xs], totals)
    assert same(state.arrays(), {"v": v, "last": last, "steps": steps})


def test_two_states_do_not_disturb_one_another(session: Session) -> None:
    sequences = sequence(50, seed=2), sequence(50, seed=3)
    wanted = [unrolled_by_onnxruntime(xs) for xs in sequences]
    states = [session.new_state() for _ in sequences]
    got: list[list[np.ndarray]] = [[], []]
    for step in range(50):
        for which in (0, 1) if step % 3 else (1, 0):
            got[which].append(session.step({"x": sequences[which][step]}, states[which])[0])
    for which, (totals, after) in enumerate(wanted):
        np.testing.assert_array_equal(got[which], totals)
        assert same(states[which].arrays(), after)


def test_states_in_threads(session: Session) -> None:
    sequences = [sequence(60, seed=seed) for seed in range(10, 14)]
    states = [session.new_state() for _ in sequences]

    def follow(which: int) -> None:
        for x in sequences[which]:
            session.step({"x": x}, states[which])

    threads = [threading.Thread(target=follow, args=(which,)) for which in range(len(sequences))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for state, xs in zip(states, sequences, strict=True):
        assert same(state.arrays(), unrolled_by_onnxruntime(xs)[1])


def test_a_state_begins_as_the_file_says_and_is_reset(session: Session) -> None:
    begin = {**INITIAL, "steps": np.zeros(1, np.int64)}
    assert same(session.new_state().arrays(), begin)
    for _ in range(3):
        session.step({"x": sequence(1)[0]})
    assert session.state().arrays()["steps"].tolist() == [3]
    session.reset()
    assert same(session.state().arrays(), begin)


def test_states_are_kept_in_files(session: Session, tmp_path: Path) -> None:
    xs = sequence(30, seed=4)
    state, other = session.new_state(), session.new_state()
    for x in xs[:17]:  # odd, so that the second copy holds the value
        session.step({"x": x}, state)
    np.savez(tmp_path / "state.npz", **state.arrays())
    with np.load(tmp_path / "state.npz") as kept:
        other.load(kept)
    for x in xs[17:]:
        session.step({"x": x}, other)
    assert same(other.arrays(), unrolled_by_onnxruntime(xs)[1])
    assert state.arrays()["steps"].tolist() == [17]


def test_outputs_that_carry_states_are_given_by_name(session: Session) -> None:
    state = session.new_state()
    spikes, total = session.step({"x": sequence(1, seed=5)[0]}, state, ["spikes", "total"])
    np.testing.assert_array_equal(spikes, state.arrays()["last"])
    assert total.shape == ()
    spikes[...] = 7
    assert not (state.arrays()["last"] == 7).any()


def test_run_is_still_the_whole_model(session: Session, model: Path) -> None:
    feed = {"x": sequence(1, seed=6)[0], **INITIAL, "steps": np.array([41])}
    wanted = onnxruntime.InferenceSession(str(model)).run(None, feed)
    for got, truth in zip(session.run(None, feed), wanted, strict=True):
        np.testing.assert_array_equal(got, truth)


def test_get_states_says_what_there_is(session: Session) -> None:
    assert [(arg.name, arg.output, arg.shape) for arg in session.get_states()] == [
        ("v", "v_out", (1, 6)),
        ("last", "spikes", (1, 6)),
        ("steps", "steps_out", (1,)),
    ]
    assert repr(session.new_state()) == "State(v: float32[1,6], last: float32[1,6], steps: int64[1])"


def test_what_does_not_fit_is_refused(session: Session) -> None:
    state = session.new_state()
    good = state.arrays()
    with pytest.raises(OptionError, match="O054"):
        state.load({"v": good["v"]})
    with pytest.raises(OptionError, match="O054"):
        state.load({**good, "v": good["v"].astype(np.float64)})
    with pytest.raises(OptionError, match="there is no input 'v'"):
        session.step({"x": sequence(1)[0], "v": good["v"]}, state)
    with pytest.raises(OptionError, match="there is no output 'nothing'"):
        session.step({"x": sequence(1)[0]}, state, ["nothing"])
    assert same(state.arrays(), good)


def test_a_network_without_states_has_none(model: Path, tmp_path: Path) -> None:
    plain = bitc.compile(model, target="portable", out=tmp_path / "plain", c_flags=("-O1",)).session()
    assert plain.get_states() == []
    for ask in (plain.new_state, plain.reset, lambda: plain.step({})):
        with pytest.raises(OptionError, match="O055"):
            ask()


@pytest.mark.skipif(family("auto") is not FAMILIES["auto_x86"], reason="no family of targets here")
def test_a_library_of_several_targets_steps(model: Path, tmp_path: Path) -> None:
    made = bitc.compile(model, target="auto", out=tmp_path / "auto", states=STATES, threads=2, c_flags=("-O1",))
    session, xs = made.session(), sequence(40, seed=7)
    totals, states = unrolled_by_onnxruntime(xs)
    np.testing.assert_array_equal([session.step({"x": x})[0] for x in xs], totals)
    assert same(session.state().arrays(), states)
