"""What the documents show is what happens: transcripts, IR and C excerpts, error codes, operators, links."""

from __future__ import annotations

import re
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, Example, OutputChecker
from itertools import takewhile
from pathlib import Path

import pytest
from docs.documents import PAGES, ROOT, Block, blocks, in_order, shell, workplace

from bitc.compiler import compile, lower_stages
from bitc.errors import BitcError
from bitc.ir import print_graph
from bitc.operators import markdown
from bitc.toolchain import Compiler
from examples.lif import lif_model
from examples.tiny import tiny_model

TRANSCRIBED = [page for page in PAGES if blocks(page, "console")]
_CODE = re.compile(r'"([A-Z]\d{3})"')
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example network as a file."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    path.write_bytes(tiny_model().SerializeToString(deterministic=True))
    return path


def id_of(item: Path | Block) -> str:
    return item.name if isinstance(item, Path) else str(item)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("page", TRANSCRIBED, ids=id_of)
def test_transcripts_are_what_the_commands_print(page: Path, tmp_path: Path) -> None:
    folder, checker, flags = workplace(tmp_path), OutputChecker(), ELLIPSIS | NORMALIZE_WHITESPACE
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            first, *rest = part.splitlines()
            more = list(takewhile(lambda line: line.startswith("> "), rest))
            command = "\n".join([first, *(line.removeprefix("> ") for line in more)])
            wanted = "\n".join(rest[len(more) :])
            got = shell(command, folder)
            if not checker.check_output(wanted, got, flags):
                pytest.fail(f"{block}: {command}\n{checker.output_difference(Example(command, wanted), got, flags)}")


def abridged(text: str) -> str:
    """The IR without locations, origins, graph attributes, and without steps and places that say nothing."""
    text = re.sub(r' (?:loc|origin)\("[^"]*"\)', "", text)
    text = re.sub(r" attrs \{.*\} \{$", " {", text, flags=re.MULTILINE)
    text = text.replace("strides = [1, 1], ", "").replace(", dilations = [1, 1]", "").replace("at = [0, 0], ", "")
    return "\n".join(line.rstrip() for line in text.splitlines())


def test_ir_excerpts_are_made_by_the_passes(tiny: Path) -> None:
    stages = {name: abridged(print_graph(graph)) for name, graph in lower_stages(tiny, target="portable")}
    excerpts = blocks(ROOT / "ARCHITECTURE.md", "mlir")
    assert [block.title for block in excerpts] == [
        "import",
        "recognise-codes",
        "thresholds",
        "exact-padding",
        "lower",
        "fuse-rows",
    ]
    for block in excerpts:
        missing = in_order(block.text.splitlines(), stages[block.title])
        assert missing is None, f"{block}: not in the IR after {block.title}: {missing}\n{stages[block.title]}"


def test_c_excerpts_are_in_the_generated_files(tiny: Path, tmp_path: Path) -> None:
    compile(tiny, target="portable", out=tmp_path / "tiny_c", emit=("c",))
    compile(tiny, target="portable", out=tmp_path / "tiny_mt", emit=("c",), threads=4)
    lif = tmp_path / "lif.onnx"
    lif.write_bytes(lif_model().SerializeToString(deterministic=True))
    compile(lif, target="portable", out=tmp_path / "lif_c", emit=("c",), states="v=v_out")
    excerpts = [b for page in PAGES for b in blocks(page, "c") if b.title.startswith(("tiny_c/", "tiny_mt/", "lif_c/"))]
    assert {block.title for block in excerpts} == {"tiny_c/tiny.c", "tiny_c/tiny.h", "tiny_mt/tiny.h", "lif_c/lif.h"}
    for block in excerpts:
        text = (tmp_path / block.title).read_text(encoding="utf-8")
        missing = in_order(block.text.splitlines(), text)
        assert missing is None, f"{block}: not in {block.title}: {missing}\n{text}"


@pytest.mark.usefixtures("compiler")
def test_python_of_the_readme_runs(tmp_path: Path) -> None:
    (block,) = blocks(ROOT / "README.md", "python")
    folder = workplace(tmp_path)
    (folder / "example.py").write_text(block.text, encoding="utf-8")
    assert in_order(["x ('N', 1, 8, 8) tensor(float)", "0.986"], shell("python example.py", folder)) is None


def test_the_c_program_of_the_abi_page_compiles_and_runs(compiler: Compiler, tiny: Path, tmp_path: Path) -> None:
    page = ROOT / "docs" / "c-api.md"
    folder = workplace(tmp_path)
    compile(tiny, target="portable", out=folder / "tiny_c", emit=("c",))
    for block in blocks(page):
        if block.title in ("main.c", "CMakeLists.txt"):
            (folder / block.title).write_text(block.text, encoding="utf-8")
    cc = " ".join(compiler.command)
    warnings = "-Wall -Wextra -Wconversion -Wshadow -Wdouble-promotion -pedantic -Werror"
    printed = shell(f"{cc} -std=c11 {warnings} -Itiny_c main.c tiny_c/tiny.c -lm -o strict && ./strict", folder)
    assert re.fullmatch(r"(-?\d+\.\d\d ?){3}\n", printed), printed


def test_the_steps_of_the_abi_page_compile_and_run(compiler: Compiler, tmp_path: Path) -> None:
    c, python = (
        next(
            block
            for block in blocks(ROOT / "docs" / "c-api.md", language)
            if "lif" in block.text and keep in block.text
        )
        for language, keep in (("c", "int main"), ("python", "session.step"))
    )
    folder = workplace(tmp_path)
    (folder / "lif.onnx").write_bytes(lif_model().SerializeToString(deterministic=True))
    compile(folder / "lif.onnx", target="portable", out=folder / "lif_c", states="auto")
    (folder / "steps.c").write_text(c.text, encoding="utf-8")
    cc = " ".join(compiler.command)
    warnings = "-Wall -Wextra -Wconversion -Wshadow -Wdouble-promotion -pedantic -Werror"
    printed = shell(
        f"{cc} -std=c99 {warnings} -Ilif_c steps.c lif_c/lif.c -lm -o steps && ./steps", folder
    ).splitlines()
    first = "import bitc\nimport numpy as np\nx = np.ones((1, 8), np.float32)\n"
    last = (
        "for _ in range(5):\n    (spikes,) = session.step({'x': x}, state)\nprint(spikes, state.arrays()['v'][0, 0])\n"
    )
    (folder / "steps.py").write_text(first + python.text + last, encoding="utf-8")
    spikes, v = re.fullmatch(r"\[\[([\d. ]+)\]\] (\S+)\n", shell("python steps.py", folder)).groups()  # type: ignore[union-attr]
    assert [len(line) for line in printed[:-1]] == [4] * 6
    assert "1" in "".join(printed[:-1])
    assert spikes.replace(".", "").replace(" ", "") == printed[5]
    assert printed[6] == f"{float(v):.2f} 0.00"


def test_the_c_of_the_readme_compiles(compiler: Compiler, tmp_path: Path) -> None:
    (block,) = blocks(ROOT / "README.md", "c")
    model = ROOT / "models" / "digits_cnn_w1a1_residual.onnx"
    compile(model, target="portable", out=tmp_path / "net", emit=("c",))
    parts = block.text.split("\n\n", 2)
    program = f"{parts[0]}\n{parts[1]}\nint call(const float *image, float *scores);\nint call(const float *image, float *scores) {{"
    (tmp_path / "use.c").write_text(f"{program}\n{parts[2]}\nreturn status; }}\n", encoding="utf-8")
    command = f"{' '.join(compiler.command)} -std=c11 -Wall -Wextra -Werror -Inet -c use.c"
    assert shell(f"{command} && echo compiled", workplace(tmp_path)) == "compiled\n"


def test_every_error_code_of_the_source_is_in_the_table_and_no_other() -> None:
    source = {c for path in (ROOT / "bitc").rglob("*.py") for c in _CODE.findall(path.read_text(encoding="utf-8"))}
    table = re.findall(r"^\| ([A-Z]\d{3}) \|", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert table == sorted(source)


def test_exit_codes_of_the_page_are_those_of_the_error_tree() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| [^|]*`(\w+)`", text, re.MULTILINE))
    kinds = {kind.__name__: kind.exit_code for kind in BitcError.__subclasses__()}
    assert {name: int(code) for code, name in rows.items()}.items() <= kinds.items()
    assert {int(code) for code in rows} == set(kinds.values()) - {70}


def test_the_list_of_operators_is_what_bitc_ops_writes() -> None:
    text = (ROOT / "docs" / "SUPPORTED_OPS.md").read_text(encoding="utf-8")
    assert text == markdown(), "write it again: bitc ops --markdown > docs/SUPPORTED_OPS.md"


@pytest.mark.usefixtures("compiler")
def test_python_of_the_page_on_explain_runs(tiny: Path, tmp_path: Path) -> None:
    (block,) = blocks(ROOT / "docs" / "explain.md", "python")
    folder = workplace(tmp_path)
    (folder / "tiny.onnx").write_bytes(tiny.read_bytes())
    (folder / "example.py").write_text(block.text, encoding="utf-8")
    printed = shell("python example.py", folder)
    assert (
        in_order(["stem float32 ...weights...", "conv 1x1 bit...", "scores 1x1 bit...", "tiny_map0 ..."], printed)
        is None
    )


@pytest.mark.parametrize("page", PAGES, ids=id_of)
def test_links_lead_somewhere_and_lines_are_short(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [link for link in _LINK.findall(text) if not (page.parent / link).exists()] == []
    assert [line for line in text.splitlines() if len(line) > 130 and line[0] != "|"] == []
