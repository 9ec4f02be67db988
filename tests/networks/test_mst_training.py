"""The recipe of models/mst/: the projection is the optimum it says it is, and the networks trained with it are what their table says."""

from __future__ import annotations

import doctest
import importlib
import json
from dataclasses import replace
from hashlib import sha256
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from onnx import numpy_helper
from scipy.sparse.csgraph import minimum_spanning_tree

from bitc.report import report
from models.mst import projection
from models.mst.projection import Edges, distance, price_for, project, project_words, tree_of
from models.mst.table import table
from tests.networks.building import built, outputs, right_answers
from tests.networks.published import mnist

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
TRAINED = sorted((ROOT / "models" / "mst").glob("*.onnx"))
RNG = np.random.default_rng(0)
F32 = np.float32


def random_edges(channels: int) -> Edges:
    parent = np.array([0, *(RNG.integers(0, c) for c in range(1, channels))])
    return Edges.of_parents(parent, np.array([1, *RNG.choice([-1, 1], channels - 1)], F32))


def test_examples_in_the_module() -> None:
    assert doctest.testmod(projection) == (0, 5)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_the_projection_is_the_best_of_all_signs(channels: int) -> None:
    candidates = np.array(list(product((-1, 1), repeat=channels)), F32)[:, :, np.newaxis]
    for _ in range(20):
        edges, price = random_edges(channels), float(RNG.uniform(0, 1.5))
        latent = RNG.normal(size=(channels, 30)).astype(F32)

        def gain(
            signs: np.ndarray, latent: np.ndarray = latent, edges: Edges = edges, price: float = price
        ) -> np.ndarray:
            c = edges.children
            parts = signs[..., c, :] != edges.sign[c, np.newaxis] * signs[..., edges.parent[c], :]
            return np.asarray((latent * signs).sum(axis=-2) - 2 * price * parts.sum(axis=-2))

        best = gain(np.broadcast_to(candidates, (len(candidates), channels, 30))).max(axis=0)
        assert gain(project(latent, edges, price)) == pytest.approx(best, abs=1e-5)


def test_the_price_steers_the_distance() -> None:
    latent = RNG.uniform(-1, 1, (32, 200)).astype(F32)
    edges = tree_of(np.sign(latent))

    def distance_at(price: float) -> float:
        return distance(project(latent, edges, price), edges)

    distances = [distance_at(price) for price in (0, 0.1, 0.3, 1.0, 100.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] == distance(np.sign(latent), edges)
    assert distances[-1] == 0
    assert distance_at(price_for(distance_at, 0.2)) == pytest.approx(0.2, abs=0.002)


@pytest.mark.parametrize("word", [1, 4])
def test_trees_are_minimal_for_words_too(word: int) -> None:
    signs = RNG.choice(np.array([-1, 1], F32), (20, 48))
    signs[3], signs[7] = -signs[5], signs[5]
    edges = tree_of(signs, word)
    differ = (signs[:, np.newaxis] != signs).reshape(20, 20, -1, word)
    near, far = differ.any(axis=3).sum(axis=2), (~differ).any(axis=3).sum(axis=2)
    ours = distance(signs, edges, word) * 19 * 48 / word
    assert round(ours) == round(minimum_spanning_tree(np.minimum(near, far) + 1.0).sum() - 19)
    assert len(edges.children) == 19


def test_words_part_as_wholes_and_only_where_it_wins() -> None:
    latent = RNG.uniform(-1, 1, (16, 64)).astype(F32)
    signs = np.where(latent >= 0, F32(1), F32(-1))
    edges = tree_of(signs, 8)
    shares = []
    for price in (0.5, 2.0, 100.0):
        found = project_words(latent, edges, price, 8, signs)
        tied = found[edges.children] == edges.sign[edges.children, np.newaxis] * found[edges.parent[edges.children]]
        whole = tied.reshape(15, 8, 8).all(axis=2)
        assert distance(found, edges, 8) == pytest.approx(1 - whole.mean())
        shares.append(1 - whole.mean())
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.5
    assert shares[-1] == 0


def test_levels_of_the_tree_and_siblings_side_by_side() -> None:
    edges = random_edges(40)
    depth = {0: 0}
    for channel in range(1, 40):
        depth[channel] = depth[int(edges.parent[channel])] + 1
    assert sorted(np.concatenate(edges.levels).tolist()) == list(range(1, 40))
    for number, level in enumerate(edges.levels, 1):
        assert {depth[int(channel)] for channel in level} == {number}
        assert (np.diff(edges.parent[level]) >= 0).all()


def test_there_are_trained_networks() -> None:
    assert {path.stem for path in TRAINED} >= {f"digits_mst_{v}" for v in ("twin", "d30", "d20", "d10")}


@pytest.mark.parametrize("model", TRAINED, ids=lambda path: path.stem)
def test_trained_networks_are_what_is_stated(model: Path) -> None:
    facts = json.loads(model.with_suffix(".json").read_text())
    assert sha256(model.read_bytes()).hexdigest() == facts["sha256"]
    trees = [layer.tree for layer in report(model).layers if layer.tree is not None]
    assert [tree.mean_distance for tree in trees] == pytest.approx(facts["distances"], abs=1e-9)
    if facts["variant"].startswith("d"):
        wanted = int(facts["variant"][1:]) / 100
        assert [tree.mean_distance for tree in trees] == pytest.approx([wanted] * 3, abs=0.002)


def held_out(model: Path, split_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The images that the network of ``model`` has not seen, and their classes."""
    if model.stem.startswith("digits"):
        with np.load(ROOT / "models" / "digits_test.npz") as data:
            return data["x"], data["y"]
    if not (SHARED / "data/mnist").is_dir():
        pytest.skip("MNIST is not beside this checkout (../shared/data/mnist)")
    images, labels = mnist(SHARED)
    last = np.random.default_rng(split_seed).permutation(len(images))[-2000:]
    return (images[last, None] / 127.5 - 1).astype(F32), labels[last]


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("model", TRAINED, ids=lambda path: path.stem)
def test_trained_networks_keep_their_accuracy(model: Path) -> None:
    facts = json.loads(model.with_suffix(".json").read_text())
    x, y = held_out(model, facts["split_seed"])
    found = right_answers(outputs(built(model, "portable"), {"x": x})[0], y)
    assert abs(found - facts["correct"]) <= 1


@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_the_page_has_the_tables(data: str) -> None:
    runs = json.loads((ROOT / "models" / "mst" / f"{data}_mst.json").read_text())["runs"]
    assert table(runs) in (ROOT / "docs" / "mst.md").read_text(encoding="utf-8")


def test_a_schedule_brings_a_convolution_to_its_distance() -> None:
    torch = pytest.importorskip("torch", reason="the recipe's layers are PyTorch's")
    from torch.nn.utils import parametrize

    from models.mst.layers import TreeProjection, TreeSchedule, freeze

    torch.manual_seed(0)
    for word, target in ((1, 0.2), (8, 0.5)):
        layer = torch.nn.Conv2d(8, 16, 3, bias=False)
        parametrize.register_parametrization(layer, "weight", TreeProjection(layer.weight, word))
        schedule = TreeSchedule([layer], steps=100, distance=target, renew=10)
        optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
        for _ in range(100):
            optimizer.zero_grad()
            (layer(torch.randn(4, 8, 6, 6)) ** 2).mean().backward()
            optimizer.step()
            schedule.step()
        layer.eval()
        freeze(layer)
        assert (layer.weight.abs() == 1).all()
        rows = TreeProjection.rows(layer.weight)
        assert distance(rows, tree_of(rows, word), word) <= target + 0.02


def test_gradients_go_straight_through() -> None:
    torch = pytest.importorskip("torch", reason="the recipe's layers are PyTorch's")
    from models.mst.layers import Signs, TreeProjection

    latent = torch.randn(6, 4, 3, 3, requires_grad=True)
    for module in (Signs(), TreeProjection(latent)):
        factors = torch.randn(6, 4, 3, 3)
        (gradient,) = torch.autograd.grad((module(latent) * factors).sum(), latent)
        assert torch.equal(gradient, factors)


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, imported as it is run: in models/."""
    pytest.importorskip("torch", reason="the script trains with PyTorch")
    monkeypatch.syspath_prepend(str(ROOT / "models"))
    return importlib.import_module("mst.train")


@pytest.mark.parametrize("method", ["twin", "tree", "words", "loss"])
def test_what_is_exported_is_what_was_trained(train: ModuleType, method: str) -> None:
    import torch

    full = train.digits_dataset()
    dataset = replace(full, train_x=full.train_x[:96], train_y=full.train_y[:96])
    plan = train.Plan(base_epochs=1, epochs=2, batch=16)
    base = train.base_network(dataset, plan, seed=5)
    network = train.follow(base, train.Variant("any", method, 0.3), dataset, plan, seed=5)
    model = train.export(network, dataset)
    signs = [numpy_helper.to_array(t) for t in model.graph.initializer if t.name.endswith(".int8")]
    assert [s.shape for s in signs] == [tuple(layer.weight.shape) for layer in network.binary]
    assert all(s.dtype == np.int8 and set(np.unique(s)) == {-1, 1} for s in signs)
    with torch.no_grad():
        wanted = network(torch.from_numpy(dataset.test_x[:20])).numpy()
    assert (
        np.argmax(wanted, axis=1).tolist() == train.run_onnxruntime(model, dataset.test_x[:20]).argmax(axis=1).tolist()
    )
    assert train.outcome(network, model, dataset, train.Variant("any", method), 5).test_images == 500


def test_cifar10_is_read_from_its_binary_version(train: ModuleType, tmp_path: Path) -> None:
    records = RNG.integers(0, 256, (3, 3073), np.uint8)
    records[:, 0] = [0, 9, 4]
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]:
        (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    found = train.cifar10_dataset(tmp_path)
    assert (found.train_x.shape, found.test_x.shape, found.image_size) == ((15, 3, 32, 32), (3, 3, 32, 32), 32)
    assert found.test_y.tolist() == [0, 9, 4]
    assert found.test_x[1, 2, 31, 30] == pytest.approx(records[1, 1 + 2 * 1024 + 31 * 32 + 30] / 127.5 - 1)
    (tmp_path / "test_batch.bin").write_bytes(records.tobytes()[:-1])
    with pytest.raises(ValueError, match="binary version"):
        train.cifar10_dataset(tmp_path)
