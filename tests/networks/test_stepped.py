"""The published networks of one step, a hundred steps each, beside onnxruntime called in a loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import bitc

STEPS, FEWEST_SPIKES = 100, 20
CASES = {
    "snntorch_mlp_step_ts17": "auto",
    "snntorch_synaptic_rleaky_step_ts17": "auto,spk_prev=spk",
    "sj14_conv_lif_step_ts17": "auto",
    "lmu_hybrid_relu_step_ts17": "auto",
    "egru_sparse90_step_ts17": "auto",
}
"""By file the states told; a name such as ``v1`` and ``v1_out`` is recognised, ``spk_prev`` and ``spk`` is not."""


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_onnxruntime(name: str, shared: Path, tmp_path: Path) -> None:
    """Sums may be rounded in another order, and a spike at the very threshold fall the other way: at most one in a thousand does."""
    path = shared / "models" / "spiking" / f"{name}.onnx"
    made = bitc.compile(path, target="portable", out=tmp_path / name, states=CASES[name], c_flags=("-O1",))
    session, oracle = made.session(), onnxruntime.InferenceSession(str(path))
    carried = {arg.name: arg.output for arg in session.get_states()}
    now = {arg.name: np.zeros(arg.shape, arg.dtype) for arg in session.get_states()}
    names = [output.name for output in oracle.get_outputs()]
    inputs = [arg for arg in session.get_inputs() if arg.name not in carried]
    rng, state, far, compared = np.random.default_rng(9), session.new_state(), 0, 0
    moved = 0
    for _ in range(STEPS):
        feed = {arg.name: (2 * rng.standard_normal(arg.shape)).astype(np.float32) for arg in inputs}
        wanted = dict(zip(names, oracle.run(None, {**feed, **now}), strict=True))
        found = dict(zip(names, session.step(feed, state, names), strict=True))
        for key, array in found.items():
            far += int((np.abs(array - wanted[key]) > 1e-3 * (1 + np.abs(wanted[key]))).sum())
            compared += array.size
        moved += int(np.count_nonzero(wanted[names[0]]))
        now = {given: wanted[output] for given, output in carried.items()}
    assert moved > FEWEST_SPIKES
    assert far * 1000 <= compared, f"{far} of {compared}"
