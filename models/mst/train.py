"""Train the example networks of the tree recipe, each beside an unconstrained twin of the same schedule.

    python -m mst.train                     # in models/: scikit-learn's digits, three seeds; writes models/mst/
    python -m mst.train --mnist FOLDER      # idx .gz files
    python -m mst.train --cifar10 FOLDER    # the binary version's data_batch_1..5.bin and test_batch.bin

A *base* of plain signs is trained once a seed. From it every variant goes on for the same epochs, data order and learning
rate: the ``twin`` (plain signs again), the trees of each distance, tied words, the loss. The networks of the first seed, but
for the loss, are written as ``DATA_mst_VARIANT.onnx``, with accuracy and golden values beside them as in the folder above;
``DATA_mst.json`` has all runs.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from common import (
    GOLDEN_IMAGES,
    SPLIT_SEED,
    Dataset,
    batches,
    cifar10_dataset,
    digits_dataset,
    export_onnx,
    mnist_dataset,
    run_onnxruntime,
)
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from .layers import Signs, TreeProjection, TreeSchedule, clamp, freeze, tree_distance, trees_of
from .network import Network
from .projection import distance, tree_of

RENEW_LOSS_TREES = 20
LOWEST_RATE = 1e-5


@dataclass(frozen=True, slots=True)
class Plan:
    """Epochs of the base and of what follows, learning rates of both (Adam, cosine), images a step."""

    base_epochs: int
    epochs: int
    batch: int
    base_rate: float = 3e-3
    rate: float = 4e-3


PLANS = {"digits": Plan(20, 30, 32), "mnist": Plan(6, 6, 100), "cifar10": Plan(60, 60, 100)}


@dataclass(frozen=True, slots=True)
class Variant:
    """How the base goes on: ``method`` is twin, tree (the projection), words (tied by 32) or loss; ``amount`` its distance or weight."""

    name: str
    method: str = "twin"
    amount: float = 0.0


TWIN = Variant("twin")
TREES = tuple(Variant(f"d{percent:02}", "tree", percent / 100) for percent in (30, 20, 10))
OTHERS = (Variant("words50", "words", 0.5), Variant("loss", "loss", 0.02))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trained network: images it gets right, and mean distance and depth of the tree grown on each layer's final signs."""

    variant: str
    seed: int
    correct: int
    test_images: int
    distances: tuple[float, ...]
    word_distances: tuple[float, ...]
    depths: tuple[int, ...]


# ------------------------------------------------------------------------------------------------------------ training


def train(
    network: Network,
    dataset: Dataset,
    plan: Plan,
    epochs: int,
    rate: float,
    seed: int,
    penalty: Callable[[], Tensor],
    after_step: Callable[[], None],
) -> None:
    """Train in place for ``epochs``; ``penalty`` is added to the cross-entropy, ``after_step`` called once a step. Ends in eval mode."""
    steps = epochs * -(-len(dataset.train_x) // plan.batch)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=LOWEST_RATE)
    network.train()
    for epoch in range(epochs):
        for x, y in batches(dataset, plan.batch, 1000 * seed + epoch):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(x), y) + penalty()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            after_step()
    network.eval()


def base_network(dataset: Dataset, plan: Plan, seed: int) -> Network:
    """Plain signs, trained from scratch; the binary layers hold the real latents."""
    torch.manual_seed(seed)
    network = Network(dataset.train_x.shape[1], dataset.image_size)
    layers = list(network.binary)
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", Signs())
    train(network, dataset, plan, plan.base_epochs, plan.base_rate, seed, _nothing, lambda: clamp(layers))
    for layer in layers:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    return network


def follow(base: Network, variant: Variant, dataset: Dataset, plan: Plan, seed: int) -> Network:
    """A copy of ``base`` that has gone on as ``variant`` says, its binary weights frozen to ±1."""
    network = copy.deepcopy(base)
    layers: Sequence[nn.Module] = list(network.binary)
    constrained = variant.method in ("tree", "words")
    word = 32 if variant.method == "words" else 1
    for layer in layers:
        module = TreeProjection(layer.weight, word) if constrained else Signs()
        parametrize.register_parametrization(layer, "weight", module)
    penalty, after_step = _nothing, lambda: clamp(layers)
    if constrained:
        steps = plan.epochs * -(-len(dataset.train_x) // plan.batch)
        after_step = TreeSchedule(layers, steps, variant.amount).step
    elif variant.method == "loss":
        penalty = _tree_loss(layers, variant.amount)
    train(network, dataset, plan, plan.epochs, plan.rate, 100 + seed, penalty, after_step)
    freeze(network)
    return network


def _nothing() -> Tensor:
    return torch.zeros(())


def _tree_loss(layers: Sequence[nn.Module], weight: float) -> Callable[[], Tensor]:
    def penalties() -> Iterator[Tensor]:
        while True:
            trees = trees_of(layers)
            for _ in range(RENEW_LOSS_TREES):
                yield weight * tree_distance(layers, trees)

    return penalties().__next__


# ------------------------------------------------------------------------------------------------------ export, measure


def export(network: Network, dataset: Dataset) -> onnx.ModelProto:
    """The network with its ±1 weights as int8 constants under a ``Cast``: a quarter of the bytes of floats."""
    model = export_onnx(network, dataset.image_size, dataset.train_x.shape[1], fold_norms=False)
    for tensor in [t for t in model.graph.initializer if _is_signs(t)]:
        name, values = tensor.name, onnx.numpy_helper.to_array(tensor).astype(np.int8)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}.int8"))
        cast = onnx.helper.make_node("Cast", [tensor.name], [name], name=f"{name}.cast", to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
    onnx.checker.check_model(model, full_check=True)
    return model


def _is_signs(tensor: onnx.TensorProto) -> bool:
    values = onnx.numpy_helper.to_array(tensor)
    return values.ndim == 4 and bool((np.abs(values) == 1).all())


def outcome(network: Network, model: onnx.ModelProto, dataset: Dataset, variant: Variant, seed: int) -> Outcome:
    """What the exported network gets right, and the trees of its weights."""
    logits = np.concatenate([run_onnxruntime(model, part) for part in np.array_split(dataset.test_x, 10)])
    correct = int((logits.argmax(axis=1) == dataset.test_y).sum())
    layers = [TreeProjection.rows(layer.weight) for layer in network.binary]
    trees = [tree_of(rows) for rows in layers]
    words = [distance(rows, tree_of(rows, 32), 32) for rows in layers]
    near = [distance(rows, tree) for rows, tree in zip(layers, trees, strict=True)]
    depths = tuple(len(tree.levels) for tree in trees)
    return Outcome(variant.name, seed, correct, len(logits), tuple(near), tuple(words), depths)


def write(model: onnx.ModelProto, found: Outcome, dataset: Dataset, folder: Path) -> None:
    """``DATA_mst_VARIANT.onnx``, ``.json`` and ``_golden.npz``."""
    path = folder / f"{dataset.name}_mst_{found.variant}.onnx"
    content = model.SerializeToString()
    path.write_bytes(content)
    golden = dataset.test_x[:GOLDEN_IMAGES]
    logits, classes = run_onnxruntime(model, golden), dataset.test_y[:GOLDEN_IMAGES]
    np.savez_compressed(folder / f"{path.stem}_golden.npz", x=golden, logits=logits, y=classes)
    facts = {
        "network": path.stem,
        "sha256": sha256(content).hexdigest(),
        "size_bytes": len(content),
        "accuracy": found.correct / found.test_images,
        **asdict(found),
        "train_images": len(dataset.train_x),
        "split_seed": SPLIT_SEED,
        "versions": {p: version(p) for p in ("torch", "onnx", "onnxruntime", "numpy", "scikit-learn")},
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="train on MNIST (idx .gz files) instead of digits")
    parser.add_argument("--cifar10", type=Path, metavar="FOLDER", help="train on CIFAR-10 (binary version)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--variants", nargs="+", default=[v.name for v in (TWIN, *TREES, *OTHERS)])
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", default=Path(__file__).parent)
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # the order of float sums, so the trained weights, would depend on the number of threads
    dataset = _dataset(args.mnist, args.cifar10)
    plan, variants = PLANS[dataset.name], [v for v in (TWIN, *TREES, *OTHERS) if v.name in args.variants]
    outcomes: list[Outcome] = []
    for seed in args.seeds:
        base = base_network(dataset, plan, seed)
        for variant in variants:
            network = follow(base, variant, dataset, plan, seed)
            model = export(network, dataset)
            outcomes.append(outcome(network, model, dataset, variant, seed))
            print(outcomes[-1], flush=True)
            if seed == args.seeds[0] and variant.method != "loss":
                write(model, outcomes[-1], dataset, args.output)
    table = {"plan": asdict(plan), "runs": [asdict(found) for found in outcomes]}
    (args.output / f"{dataset.name}_mst.json").write_text(json.dumps(table, indent=1) + "\n")


def _dataset(mnist: Path | None, cifar10: Path | None) -> Dataset:
    if cifar10 is not None:
        return cifar10_dataset(cifar10)
    return mnist_dataset(mnist) if mnist is not None else digits_dataset()


if __name__ == "__main__":
    main()
