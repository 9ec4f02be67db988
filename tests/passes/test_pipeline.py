"""Pipelines as text, their errors, and what a run leaves to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes.harness import parse

from bitc.errors import Diagnostic, OptionError, UnsupportedError
from bitc.ir import Graph, Op, TensorType, Value, parse_graph, same_graph
from bitc.ir.ops import lookup
from bitc.passes import KNOWN_PASSES, to_codes
from bitc.passes.assume import SignOfZero
from bitc.passes.base import Pass
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.pipeline import PassFailure, Trace, parse_pipeline, pipeline_text, run_passes
from bitc.passes.straight_through import StraightThrough

BEFORE = """
    graph @g(%x: f32[1,3]) -> (%z) {
      %one = nn.constant {value = dense<f32[]: 1.0>} : f32[]
      %y = nn.mul %x, %one : f32[1,3]
      %w = nn.constant {value = dense<f32[3,2]: 1.0, 2.0, 3.0, 4.0, 5.0, 6.0>} : f32[3,2]
      %z = nn.matmul %y, %w : f32[1,2]
    }"""


@dataclass(frozen=True)
class Everything(Pass):
    """Options of every kind."""

    name: ClassVar[str] = "every-thing"
    flag: bool = False
    count_limit: int = 3
    word: str = "a"

    def run(self, graph: Graph) -> Graph:
        return graph


@dataclass(frozen=True)
class Breaks(Pass):
    """Raises."""

    name: ClassVar[str] = "breaks"

    def run(self, graph: Graph) -> Graph:
        raise KeyError("lost")


@dataclass(frozen=True)
class BreaksRules(Pass):
    """Gives a graph whose op has a wrong type."""

    name: ClassVar[str] = "breaks-rules"

    def run(self, graph: Graph) -> Graph:
        op = Op(lookup("nn.neg"), graph.inputs, {})
        op.results = (Value("bad", TensorType((7,)), op),)
        return Graph(graph.name, graph.inputs, [op], op.results)


@dataclass(frozen=True)
class Refuses(Pass):
    """Complains about the model."""

    name: ClassVar[str] = "refuses"

    def run(self, graph: Graph) -> Graph:
        raise UnsupportedError(Diagnostic("U999", "not this one"))


KNOWN = {kind.name: kind for kind in (Canonicalise, StraightThrough, SignOfZero, Everything, Breaks)}


def test_text_of_passes_shows_only_what_differs_from_the_defaults() -> None:
    passes = (
        Canonicalise(),
        StraightThrough(trust=True),
        Everything(),
        Everything(flag=True, count_limit=-2, word="b"),
    )
    text = "canonicalise,straight-through{trust=true},every-thing,every-thing{flag=true,count-limit=-2,word=b}"
    assert pipeline_text(passes) == text
    assert parse_pipeline(text, KNOWN) == passes


@given(st.lists(st.builds(Everything, st.booleans(), st.integers(), st.sampled_from(["a", "b", "x-y"])), max_size=4))
def test_text_parses_back(passes: list[Pass]) -> None:
    assert parse_pipeline(pipeline_text(passes), KNOWN) == tuple(passes)


def test_spaces_are_free_and_nothing_is_a_pipeline() -> None:
    assert parse_pipeline(" canonicalise ,\n every-thing { flag = true , word = b } ", KNOWN) == (
        Canonicalise(),
        Everything(flag=True, word="b"),
    )
    assert parse_pipeline("", KNOWN) == ()


def test_every_known_pass_and_the_standard_order_parse_back() -> None:
    assert all(name == kind.name for name, kind in KNOWN_PASSES.items())
    for zero in ("exact", "plus"):
        assert parse_pipeline(pipeline_text(to_codes(zero)), KNOWN_PASSES) == to_codes(zero)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("canonicalize", ["no pass 'canonicalize'", "canonicalise, every-thing"]),
        ("canonicalise{}x", ["cannot read the pipeline"]),
        ("canonicalise{", ["cannot read the pipeline"]),
        ("canonicalise,,breaks", ["cannot read the pipeline at ',breaks'"]),
        ("Canonicalise", ["cannot read the pipeline"]),
        ("straight-through{believe=true}", ["no option 'believe'", "options: trust"]),
        ("canonicalise{trust=true}", ["no option 'trust'", "options: none"]),
        ("straight-through{trust=maybe}", ["option trust", "'maybe'", "it takes a bool"]),
        ("straight-through{trust}", ["it takes a bool"]),
        ("every-thing{count-limit=many}", ["option count-limit", "it takes a int"]),
    ],
)
def test_bad_text_is_an_option_error_that_says_what_is_known(text: str, words: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        parse_pipeline(text, KNOWN)
    assert caught.value.exit_code == 2
    for word in words:
        assert word in str(caught.value)


def test_an_option_that_has_no_such_value_is_an_option_error_when_it_runs() -> None:
    (step,) = parse_pipeline("sign-of-zero{zero=up}", KNOWN)
    with pytest.raises(OptionError, match="exact, plus, minus"):
        run_passes(parse(BEFORE), [step])


def test_a_run_records_times_progress_and_snapshots() -> None:
    progress: list[tuple[str, int, int]] = []
    trace = Trace(progress=lambda *step: progress.append(step), snapshots=[])
    graph = parse(BEFORE)
    after = run_passes(graph, [Canonicalise(), Everything()], trace)
    assert [name for name, _ in trace.seconds] == ["canonicalise", "every-thing"]
    assert all(seconds >= 0 for _, seconds in trace.seconds)
    assert progress == [("canonicalise", 0, 2), ("every-thing", 1, 2)]
    assert trace.snapshots is not None
    assert [(name, len(g.ops)) for name, g in trace.snapshots] == [
        ("import", 4),
        ("canonicalise", 2),
        ("every-thing", 2),
    ]
    assert trace.snapshots[0][1] is graph
    assert trace.snapshots[-1][1] is after


@pytest.mark.parametrize(
    ("print_after", "shown"),
    [
        ((), []),
        (("canonicalise",), ["canonicalise"]),
        (("*",), ["import", "canonicalise", "every-thing"]),
        (("import",), ["import"]),
    ],
)
def test_print_after(print_after: tuple[str, ...], shown: list[str]) -> None:
    seen: dict[str, str] = {}
    run_passes(parse(BEFORE), [Canonicalise(), Everything()], Trace(print_after=print_after, show=seen.__setitem__))
    assert list(seen) == shown
    for text in seen.values():
        parse_graph(text)


def test_dumps_are_numbered_and_parse_back_with_their_constants(tmp_path: Path) -> None:
    b_text = BEFORE.replace(
        "f32[3,2]: 1.0, 2.0, 3.0, 4.0, 5.0, 6.0", "f32[3,6]: " + ", ".join(f"{i}.0" for i in range(18))
    )
    graph = parse(b_text.replace("f32[3,2]", "f32[3,6]").replace("f32[1,2]", "f32[1,6]"))
    after = run_passes(graph, [Canonicalise(), Everything()], Trace(dump_dir=tmp_path / "dump"))
    names = sorted(path.name for path in (tmp_path / "dump").iterdir())
    stems = ["00-import.ir", "01-canonicalise.ir", "02-every-thing.ir"]
    assert names == sorted([*stems, *(stem + ".npz" for stem in stems)])
    assert same_graph(read_ir(tmp_path / "dump" / stems[0]), graph)
    assert same_graph(read_ir(tmp_path / "dump" / stems[-1]), after)


def read_ir(path: Path) -> Graph:
    beside = path.with_name(path.name + ".npz")
    constants = dict(np.load(beside)) if beside.exists() else {}
    return parse_graph(path.read_text(encoding="utf-8"), constants, str(path))


@pytest.mark.parametrize(
    ("broken", "words"), [(Breaks(), "KeyError: 'lost'"), (BreaksRules(), "its rule gives f32[1,3]")]
)
def test_a_pass_that_breaks_is_named_and_leaves_a_reproducer(broken: Pass, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "reproducer"
    rest = [broken, Everything(flag=True)]
    with pytest.raises(PassFailure) as caught:
        run_passes(parse(BEFORE), [Canonicalise(), *rest], reproducer_dir=folder)
    message = str(caught.value)
    assert f"pass {broken.name} failed" in message
    assert words in message
    assert str(folder) in message
    assert caught.value.__cause__ is not None
    assert same_graph(read_ir(folder / "before.ir"), Canonicalise().run(parse(BEFORE)))
    assert (folder / "pipeline.txt").read_text() == f"{broken.name},every-thing{{flag=true}}\n"
    assert words in (folder / "traceback.txt").read_text()


def test_the_reproducer_fails_the_same_way(tmp_path: Path) -> None:
    with pytest.raises(PassFailure):
        run_passes(parse(BEFORE), [Canonicalise(), Breaks()], reproducer_dir=tmp_path)
    passes = parse_pipeline((tmp_path / "pipeline.txt").read_text().strip(), KNOWN)
    with pytest.raises(PassFailure, match="pass breaks failed"):
        run_passes(read_ir(tmp_path / "before.ir"), passes)


def test_a_complaint_about_the_model_passes_through(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="not this one"):
        run_passes(parse(BEFORE), [Refuses()], reproducer_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_a_failure_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PassFailure, match="please report it"):
        run_passes(parse(BEFORE), [Breaks()])
    assert list(tmp_path.iterdir()) == []
