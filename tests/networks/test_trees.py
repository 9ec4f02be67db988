"""Networks with trees of channels forced on wherever a product can have one: the same bits as without, and what the oracle promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitc.check import check
from bitc.compiler import Options
from tests.networks.building import build, built, outputs
from tests.networks.forced_trees import FORMS, agreements, dense, products_of_bits, verdict

MODELS = Path(__file__).resolve().parents[2] / "models"
NETWORKS = sorted(path.stem for path in MODELS.glob("*.onnx"))
PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "models"
SMALL = (
    "bnn_pynq/lfcW1A1_mnist_sign.onnx",
    "brevitas_exports/brevitas_w1a1_qonnx.onnx",
    "larq_exports/larq_cnn_dorefa2.onnx",
    "larq_exports/larq_cnn_stesign_pad0.onnx",
    "larq_exports/larq_cnn_stesign_pad1.onnx",
    "qonnx_zoo/TFC_1W1A.onnx",
)
SYSTEMS = ("bibench_conv1d_bnn_ts17", "poke_conv3x3_s1_ts17", "reactnet_block_s1_ts17", "tbt_enclayer_w1a1_ts17")


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    with np.load(MODELS / "digits_test.npz") as data:
        return np.asarray(data["x"])[:50]


@pytest.mark.parametrize("form", ["trees", "skipping", "tables"])
@pytest.mark.parametrize("target", ["portable", "avx2"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_bits_with_trees_and_tables(
    name: str, target: str, form: str, digits: np.ndarray, tmp_path: Path
) -> None:
    model = MODELS / f"{name}.onnx"
    session = build(model, target, tmp_path, mst="on" if form == "trees" else form)
    assert any(form in layer["form"] for layer in session.metadata["layers"])
    for got, wanted in zip(outputs(session, {"x": digits}), outputs(built(model, target), {"x": digits}), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", NETWORKS)
def test_check_passes_with_trees(name: str, digits: np.ndarray) -> None:
    report = check(MODELS / f"{name}.onnx", stages=True, inputs={"x": digits[:2]}, options=Options(mst="on"))
    assert report.passed, report.findings


@pytest.mark.parametrize("name", SMALL)
def test_published_networks_keep_their_promises_with_trees(name: str) -> None:
    if not (PUBLISHED / name).is_file():
        pytest.skip("the published networks are not here")
    report = check(PUBLISHED / name, target="portable", n=2, options=Options(mst="on"))
    assert report.passed, report.findings


@pytest.mark.parametrize("name", SYSTEMS)
def test_exported_systems_have_the_bits_of_dense_kernels(name: str, tmp_path: Path) -> None:
    """A share of what :mod:`tests.networks.forced_trees` does with all."""
    model = PUBLISHED / "systems" / f"{name}.onnx"
    if not model.is_file():
        pytest.skip("the published networks are not here")
    assert products_of_bits(model) > 0
    case = dense(model, "avx2", 1, tmp_path)
    for form in FORMS:
        assert verdict(list(agreements(case, "avx2", form))) == "equal", form


@pytest.mark.parametrize("name", NETWORKS)
def test_words_of_32_bits_give_the_same_bits(name: str, digits: np.ndarray, tmp_path: Path) -> None:
    model = MODELS / f"{name}.onnx"
    session = build(model, "portable", tmp_path, mst="on", c_flags=("-DBITC_LANES_32",))
    wanted = outputs(built(model, "portable"), {"x": digits})
    for got, expected in zip(outputs(session, {"x": digits}), wanted, strict=True):
        np.testing.assert_array_equal(got, expected)
