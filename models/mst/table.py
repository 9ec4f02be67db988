"""The table of a training run, from ``DATA_mst.json``: ``python -m mst.table digits_mst.json`` in models/."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEAD = (
    "| variant | accuracy, mean (each seed) | against the twin | d by layer | words of 32 touched by an edge | depth |"
)
RULE = "|---|---|---:|---|---|---|"


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row a variant, accuracies over its seeds, points against the twin of the same seed, trees of the first seed."""
    right = {(run["variant"], run["seed"]): 100 * run["correct"] / run["test_images"] for run in runs}
    lines = [HEAD, RULE]
    for variant in dict.fromkeys(run["variant"] for run in runs):
        mine = [run for run in runs if run["variant"] == variant]
        found = [right[variant, run["seed"]] for run in mine]
        apart = [right[variant, run["seed"]] - right["twin", run["seed"]] for run in mine]
        each = ", ".join(f"{accuracy:.1f}" for accuracy in found)
        trees = (" / ".join(f"{d:.3f}" for d in mine[0][key]) for key in ("distances", "word_distances"))
        depths = " / ".join(map(str, mine[0]["depths"]))
        accuracy = f"{_mean(found):.2f} % ({each})"
        lines.append(f"| {variant} | {accuracy} | {_mean(apart):+.2f} | {' | '.join(trees)} | {depths} |")
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(table(json.loads(Path(name).read_text())["runs"]))
