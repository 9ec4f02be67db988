"""The generated text: reproducible, clean, self-contained, with names that cannot break it; and the library has no state."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from codegen.build import NAME, build, generated, lowered
from codegen.nets import NETS, Net, convolutions, free_batch, prepared
from elftools.elf.elffile import ELFFile
from runtime.harness import ARM, COMPILERS, compiler_for, why_not

import bitc
from bitc.codegen import TARGETS, generate
from bitc.ir import Graph
from bitc.toolchain import STRICT_WARNINGS

HOSTILE = ["*/ int x; /*", "int", "y", "batch", "tail\\", "a.b", "a/b", 'quote"??/', "né", "_Bool", ""]


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_same_graph_same_bytes(net: object) -> None:
    assert callable(net)
    first, second = (generated(lowered(prepared(net()), TARGETS["avx512"]), TARGETS["avx512"]) for _ in range(2))
    assert first.files == second.files
    assert set(first.files) == {
        "net.h", "net.c", "net_kernels.h", "net_weights.h", "README.md", "CMakeLists.txt", "manifest.json",
    }  # fmt: skip


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("target", list(TARGETS))
def test_clean_under_strict_warnings(compiler: str, target: str, tmp_path: Path) -> None:
    if target in ARM and (reason := why_not(target)) is not None:
        pytest.skip(reason)
    made = generated(lowered(prepared(convolutions()), TARGETS[target]), TARGETS[target])
    for name, text in made.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    flags = ["-std=c99", "-fsyntax-only", "-O1", *STRICT_WARNINGS, *TARGETS[target].cflags]
    done = subprocess.run(
        [*compiler_for(target, compiler), *flags, str(tmp_path / "net.c")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[:2000]


def test_manifest_states_ports_sizes_and_layers(tmp_path: Path) -> None:
    graph = prepared(free_batch())
    graph = Graph(graph.name, graph.inputs, graph.ops, graph.outputs, {**graph.attrs, "model_sha256": "00ff"})
    made = generated(lowered(graph, TARGETS["portable"]), TARGETS["portable"])
    library = build(made, TARGETS["portable"], tmp_path)
    manifest = json.loads(library.ffi.string(library.lib.net_metadata()))
    assert manifest == json.loads(made.files["manifest.json"]) == made.manifest
    assert manifest["bitc"] == bitc.__version__
    assert manifest["inputs"] == [{"name": "x0", "field": "x0", "dtype": "float32", "shape": ["N", 4, 6, 6]}]
    assert manifest["outputs"][0]["shape"] == ["N", 3]
    assert manifest["arena_bytes"] == made.arena_bytes > 0
    products = [layer for layer in manifest["layers"] if layer["macs"]]
    assert [(layer["form"], layer["macs"]) for layer in products] == [
        ("1x1 bit", 36 * 40 * 4 * 9),
        ("1x1 bit", 3 * 40 * 36),
    ]
    header = made.files["net.h"]
    assert f"#define NET_ARENA_BYTES {made.arena_bytes}\n" in header
    assert f"#define NET_WEIGHT_BYTES {made.weight_bytes}\n" in header
    assert '#define NET_MODEL_SHA256 "00ff"\n' in header


def test_names_of_the_model_cannot_break_the_text(tmp_path: Path) -> None:
    n = Net(0)
    for name in HOSTILE:
        value = n.input(1, 3)
        value.name = name
    total = n.inputs[0]
    for value in n.inputs[1:]:
        total = n.b.add("nn.add", total, value, loc='node "*/ #error\\')
    graph = n.graph(total, model_name="evil */ name ??/\\")
    graph.outputs[0].name = "return"
    made = generated(lowered(graph, TARGETS["portable"]), TARGETS["portable"])
    library = build(made, TARGETS["portable"], tmp_path)
    inputs = [np.full((1, 3), i, np.float32) for i in range(len(HOSTILE))]
    assert library.run(inputs)[0].tolist() == [[sum(range(len(HOSTILE)))] * 3]
    fields = [port["field"] for port in made.manifest["inputs"] + made.manifest["outputs"]]
    assert len(set(fields)) == len(fields)


def test_the_banner_names_version_model_and_options() -> None:
    k = lowered(prepared(free_batch()), TARGETS["portable"])
    made = generate(k, name="3 nets!", target=TARGETS["portable"], options={"sign-zero": "plus"})
    assert set(made.files) >= {"n3_nets.h", "n3_nets.c"}
    for name in ("n3_nets.h", "n3_nets.c", "n3_nets_weights.h", "n3_nets_kernels.h"):
        banner = made.files[name].splitlines()[:4]
        assert f"bitc {bitc.__version__}" in banner[0]
        assert banner[3] == "/* Options: sign-zero=plus */"


def test_only_kernels_that_are_called_are_pasted() -> None:
    kernels = generated(lowered(prepared(free_batch()), TARGETS["portable"]), TARGETS["portable"]).files[
        "net_kernels.h"
    ]
    assert "bitc_bconv_bits_portable" in kernels
    assert "bitc_fconv" not in kernels
    assert '#include "' not in kernels
    assert kernels.count("#define BITC_BASE_H") == 1


@pytest.mark.parametrize("target", ["portable", "avx2"])
def test_the_library_has_no_state_and_calls_no_library(target: str, tmp_path: Path) -> None:
    made = generated(lowered(prepared(convolutions()), TARGETS[target]), TARGETS[target])
    for name, text in made.files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    flags = ["-std=c99", "-O2", "-fPIC", *TARGETS[target].cflags]
    subprocess.run(["gcc", *flags, "-c", "-o", str(tmp_path / "net.o"), str(tmp_path / "net.c")], check=True)
    with (tmp_path / "net.o").open("rb") as stream:
        elf = ELFFile(stream)
        sizes = {s.name: s["sh_size"] for s in elf.iter_sections()}
        symbols = list(elf.get_section_by_name(".symtab").iter_symbols())
    assert sum(size for name, size in sizes.items() if name.startswith((".bss", ".tbss"))) == 0
    # .data.rel.ro holds constant structs with pointers to constant tables; the loader fills them in once, then they are read-only
    writable = {name for name, size in sizes.items() if size and name.startswith(".data") and ".rel.ro" not in name}
    assert not writable
    undefined = {s.name for s in symbols if s["st_shndx"] == "SHN_UNDEF" and s.name}
    assert undefined <= {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_"}
    public = {s.name for s in symbols if s["st_info"]["bind"] == "STB_GLOBAL" and s["st_shndx"] != "SHN_UNDEF"}
    assert public == {f"{NAME}_run", f"{NAME}_metadata"}
