"""The page is well-formed, holds its pictures, and a model's names stay text."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx

from bitc.report import report
from bitc.report.page import page
from tests.networks.onnx_net import Net

HOSTILE = "</title><script>alert(1)</script>\"'&"


def network(folder: Path, name: str, groups: int = 1) -> Path:
    rng, net = np.random.default_rng(0), Net()
    w = rng.choice(np.array([-1, 1], np.float32), (12, 4 // groups, 3, 3))
    x = net.node("Sign", net.input("x", [1, 4, 6, 6]))
    net.output(net.node("Conv", x, net.constant(w), kernel_shape=[3, 3], group=groups))
    model = net.model()
    model.graph.node[-1].name = name
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def pictures(text: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_pictures_of_distances_and_of_the_tree(tmp_path: Path) -> None:
    bars, tree = pictures(page(report(network(tmp_path, "conv"))))
    name = "{http://www.w3.org/2000/svg}"
    assert len(bars.findall(f"{name}rect")) == 1
    assert len(tree.findall(f"{name}circle")) == 12
    assert len(tree.findall(f"{name}line")) == 11
    for line in tree.findall(f"{name}line"):
        assert float(line.attrib["y2"]) > float(line.attrib["y1"])


def test_of_groups_the_first_is_drawn(tmp_path: Path) -> None:
    _, tree = pictures(page(report(network(tmp_path, "conv", groups=2))))
    assert len(tree.findall("{http://www.w3.org/2000/svg}circle")) == 6


def test_names_of_the_model_stay_text(tmp_path: Path) -> None:
    text = page(report(network(tmp_path, HOSTILE)))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert text.count("</title><style>") == 1
    assert pictures(text)


def test_a_network_without_bits_has_no_pictures(tmp_path: Path) -> None:
    net = Net()
    net.output(net.node("MatMul", net.input("x", [1, 3]), net.constant(np.array([[0.1], [0.37], [0.7]], np.float32))))
    assert pictures(page(report(net.save(tmp_path / "net.onnx")))) == []
