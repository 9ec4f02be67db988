"""Generated C on other machines: 32-bit, big-endian, other instruction sets. Exact outputs are the oracle's bits on all of them."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

import bitc
from bitc.oracle import load_model, model_inputs
from tests.machines.agreement import Case, agreement, compiled, prepare
from tests.machines.machines import AARCH64, MACHINES, Machine, build, run
from tests.networks.published import QUANTIZED
from tests.networks.random_models import random_network

MODELS = Path(__file__).resolve().parents[2] / "models"
OWN = sorted(path.stem for path in MODELS.glob("*.onnx"))
SEEDS = (1, 2, 5)
PUBLISHED = ("kws_dscnn_int8_qop", "mnist_cnn_qdq_u8u8", "floatquant_exec_qonnx_act_weight_fp8")
SAMPLES = 2

for_each_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)

for_each_target = pytest.mark.parametrize("target", ["neon", "neon_dot", "neon_i8mm"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="module")
def own(request: pytest.FixtureRequest, folder: Path) -> Case:
    """One of the project's networks."""
    with np.load(MODELS / "digits_test.npz") as data:
        return prepare(MODELS / f"{request.param}.onnx", folder / request.param, {"x": data["x"]}, SAMPLES)


@pytest.fixture(scope="module")
def random(request: pytest.FixtureRequest, folder: Path) -> Case:
    """A random network; its inputs keep the promise about their values."""
    made = random_network(Random(request.param))
    model = made.net.save(folder / f"random_{request.param}.onnx")
    return prepare(model, folder / f"random_{request.param}", made.feeds, SAMPLES, values=made.values)


@pytest.fixture(scope="module")
def published(request: pytest.FixtureRequest, folder: Path, shared: Path) -> Case:
    """A network trained by others."""
    network = next(network for network in QUANTIZED if str(network) == request.param)
    path = shared / "models" / network.file
    name = model_inputs(load_model(path))[0].name
    return prepare(path, folder / request.param, {name: network.samples(shared)[0]}, SAMPLES)


@pytest.fixture(scope="module")
def small(folder: Path) -> Case:
    """A network whose binary weights are stored as differences."""
    with np.load(MODELS / "digits_test.npz") as data:
        feeds = {"x": data["x"]}
    return prepare(
        MODELS / "mst" / "digits_mst_d20.onnx", folder / "small", feeds, SAMPLES, mst="off", small_weights=9216
    )


@pytest.fixture(scope="module")
def skipping(folder: Path) -> Case:
    """A network whose products of bits skip along trees."""
    with np.load(MODELS / "digits_test.npz") as data:
        feeds = {"x": data["x"]}
    return prepare(MODELS / "mst" / "digits_mst_words50.onnx", folder / "skipping", feeds, SAMPLES, mst="skipping")


def agrees(
    case: Case,
    machine: Machine,
    *,
    target: str = "portable",
    labels: bool = True,
    compiler: tuple[str, ...] | None = None,
) -> None:
    """Build ``case`` for ``target`` and run it on ``machine``, item by item."""
    reason = machine.why_not()
    if reason is not None:
        pytest.skip(reason)
    artifact = compiled(case, target)
    program = build(artifact, machine, 1, compiler)
    for item, inputs in enumerate(case.inputs):
        found = agreement(case, item, run(program, artifact, machine, inputs, 1), labels)
        assert not found.complaints, str(found)


@for_each_machine
@pytest.mark.parametrize("own", OWN, indirect=True)
def test_the_projects_networks(own: Case, machine: Machine) -> None:
    agrees(own, machine)


@for_each_machine
def test_weights_stored_as_differences(small: Case, machine: Machine) -> None:
    agrees(small, machine)


@for_each_machine
def test_products_that_skip(skipping: Case, machine: Machine) -> None:
    agrees(skipping, machine)


@for_each_machine
@pytest.mark.parametrize("random", SEEDS, indirect=True)
def test_random_networks(random: Case, machine: Machine) -> None:
    agrees(random, machine, labels=False)


@for_each_machine
@pytest.mark.parametrize("published", PUBLISHED, indirect=True)
def test_published_networks(published: Case, machine: Machine) -> None:
    agrees(published, machine)


@for_each_target
@pytest.mark.parametrize("own", OWN, indirect=True)
def test_the_projects_networks_on_neon(own: Case, target: str) -> None:
    agrees(own, AARCH64, target=target)


@for_each_target
@pytest.mark.parametrize("random", SEEDS, indirect=True)
def test_random_networks_on_neon(random: Case, target: str) -> None:
    agrees(random, AARCH64, target=target, labels=False)


@for_each_target
@pytest.mark.parametrize("published", PUBLISHED, indirect=True)
def test_published_networks_on_neon(published: Case, target: str) -> None:
    agrees(published, AARCH64, target=target)


@for_each_target
def test_kernels_of_the_target_are_called(target: str, folder: Path) -> None:
    """The variants' own where they have one, else plain NEON's."""
    artifact = bitc.compile(
        MODELS / "digits_mixed_w8_w1.onnx", target=target, out=folder / f"called_{target}", emit=("c",)
    )
    kernels = {layer["kernel"] for layer in artifact.manifest["layers"] if layer["macs"]}
    bits = {"bitc_bconv_acc_neon", "bitc_bconv_bits_neon"}
    assert kernels == {*bits, "bitc_fconv_neon", f"bitc_iconv_u8_i8_{target}"}


@for_each_machine
def test_a_batch_is_its_items(machine: Machine, folder: Path) -> None:
    """The loop over items, whose count is the machine's own size_t."""
    with np.load(MODELS / "digits_test.npz") as data:
        x = data["x"][:5]
    artifact = bitc.compile(MODELS / "digits_mlp_w1a1.onnx", target="portable", out=folder / f"batch_{machine.name}")
    reason = machine.why_not()
    if reason is not None:
        pytest.skip(reason)
    (together,) = run(build(artifact, machine, 5), artifact, machine, [x], 5)
    assert np.array_equal(together, artifact.session().run(None, {"x": x})[0])


@for_each_machine
@pytest.mark.parametrize("own", OWN[:1], indirect=True)
def test_clang(own: Case, machine: Machine) -> None:
    """The same through another compiler, with the C library of the machine's gcc."""
    if machine.clang() is None:
        pytest.skip("no clang here")
    agrees(own, machine, compiler=machine.clang())


def test_a_wrong_answer_is_seen(folder: Path) -> None:
    """The comparison itself: one unit in the last place of an exact output, a value outside its interval, another label."""
    with np.load(MODELS / "digits_test.npz") as data:
        case = prepare(MODELS / "digits_mlp_w1a1.onnx", folder / "seen", {"x": data["x"]}, 1)
    right = case.portable[0][0]
    assert not agreement(case, 0, [right]).complaints
    nudged = right.copy()
    nudged.flat[0] = np.nextafter(nudged.flat[0], np.float32(np.inf))
    assert agreement(case, 0, [nudged]).unlike_portable == 1
    assert len(agreement(case, 0, [-right]).complaints) >= 2
