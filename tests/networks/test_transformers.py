"""Transformers by script: decoders of BitNet's shape, step by step, and BERT layers with attention on bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.networks import CASES
from bitc.check import check
from bitc.codegen.targets import TARGETS, supported_here
from bitc.compiler import compile
from bitc.session import Session
from models.bitnet import SHAPES, Shape, bitnet

pytestmark = pytest.mark.usefixtures("compiler")
TINY = SHAPES["tiny"]


def built(model: onnx.ModelProto, folder: Path, target: str = "portable") -> Session:
    folder.mkdir(exist_ok=True)
    onnx.save(model, folder / "net.onnx")
    return compile(folder / "net.onnx", target=target, out=folder / target).session()


def products(session: Session) -> set[str]:
    """The forms of the products with weights."""
    return {layer["form"] for layer in session.metadata["layers"] if layer["macs"] and layer["op"] != "k.matmul"}


@pytest.mark.parametrize("target", ["portable", "avx2"])
@pytest.mark.parametrize(("past", "tokens"), [(7, 1), (7, 5), (0, 128)])
def test_a_decoder_lies_inside_its_intervals(target: str, past: int, tokens: int, tmp_path: Path) -> None:
    if not supported_here(TARGETS[target]):
        pytest.skip(f"this CPU has no {target}")
    onnx.save(bitnet(TINY, past=past, tokens=tokens), tmp_path / "net.onnx")
    found = check(tmp_path / "net.onnx", target=target, n=2)
    assert found.passed, found.findings


@pytest.mark.parametrize("shape", [TINY, Shape(48, 1, 3, 3, 80), Shape(64, 1, 4, 1, 96)])
def test_steps_are_the_prompt(shape: Shape, tmp_path: Path) -> None:
    """Three tokens one by one, keys and values handed on, give what they give together, but for codes that round the other way."""
    x = np.random.default_rng(5).standard_normal((3, shape.width)).astype(np.float32)
    together = built(bitnet(shape, past=0, tokens=3), tmp_path / "prompt").run(None, {"x": x})[0]
    kept: dict[str, np.ndarray] = {}
    for step in range(3):
        session = built(bitnet(shape, past=step), tmp_path / f"step{step}")
        hidden, *new = session.run(None, {"x": x[step : step + 1], **kept})
        names = [f"past_{value.name}" for value in session.get_outputs()[1:]]
        kept = {
            name: np.concatenate([kept[name], side], axis=1) if name in kept else side
            for name, side in zip(names, new, strict=True)
        }
        np.testing.assert_allclose(hidden[0], together[step], rtol=0, atol=0.05)
        assert np.corrcoef(hidden[0], together[step])[0, 1] > 0.9999


def test_every_weight_of_a_decoder_is_two_bits(tmp_path: Path) -> None:
    onnx.save(bitnet(TINY, past=7), tmp_path / "net.onnx")
    manifest = compile(tmp_path / "net.onnx", target="avx2", out=tmp_path / "out", emit=("c",)).manifest
    of_weights = [layer for layer in manifest["layers"] if layer["macs"] and layer["op"] != "k.matmul"]
    assert {layer["form"] for layer in of_weights} == {"int8 x 2 bit"}
    assert sum(layer["macs"] for layer in of_weights) == TINY.ternary_weights


def test_attention_on_bits(tmp_path: Path) -> None:
    """No product of the layer is of floats, and GELU with all that follows it is a threshold on the sums before it."""
    case = CASES["bert_bits"]
    onnx.save(case.model(small=True), tmp_path / "net.onnx")
    found = check(tmp_path / "net.onnx", target="portable", n=2)
    assert found.passed, found.findings
    artifact = compile(tmp_path / "net.onnx", target="portable", out=tmp_path / "out", emit=("c",))
    forms = [layer["form"] for layer in artifact.manifest["layers"] if layer["macs"]]
    assert sorted(forms) == ["1 plane x 2 planes", "1x1 bit", *["2 planes x 1 bit"] * 5, "2 planes x 2 planes"]
    assert "bitc_ferf" not in artifact.source.read_text()


def test_attention_that_compares_its_softmax_has_none(tmp_path: Path) -> None:
    """BiViT's: what is left of exponentials is that of GELU's erf."""
    file = Path(__file__).resolve().parents[3] / "shared/models/systems/bivit_block_sab_1w1a_ts17.onnx"
    if not file.is_file():
        pytest.skip("the exported systems are not beside this checkout (../shared/models/systems)")
    artifact = compile(file, target="portable", out=tmp_path / "out", emit=("c",))
    layers = artifact.manifest["layers"]
    assert "k.softmax" not in {layer["op"] for layer in layers}
    assert {layer["form"] for layer in layers if layer["macs"]} == {
        "2 planes x 1 bit",
        "2 planes x 2 planes",
        "1 plane x 2 planes",
    }
    assert "softmax" not in artifact.source.read_text()
