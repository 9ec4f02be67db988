"""The arithmetic of ``benchmarks/suite.py``: slopes of chains, and tables that keep each peer with its own run of bitc."""

from __future__ import annotations

import pytest

from benchmarks.suite import slopes, tables
from bitc.bench import Result, Row, Times


def result(case: str, mine: float, theirs: float | None) -> Result:
    peer = (
        Row("other", None, refusal="no")
        if theirs is None
        else Row("other", Times(theirs, theirs, 0.0, 5), mine / theirs)
    )
    rows = (Row("bitc", Times(mine, mine - 8, 0.01, 5)), peer)
    return Result(case, "avx2", 1_000_000, 5, 1, (0,), "", rows, None)


def test_a_layer_in_a_chain_costs_what_each_further_one_adds() -> None:
    mine, theirs = slopes(result("c", 20.0, 100.0), result("c@chain9", 100.0, 420.0), "bitc-avx2")
    assert (mine["peer"], mine["case"], mine["median_us"], mine["gops"]) == ("bitc-avx2", "c@chain", 10.0, 200.0)
    assert (theirs["peer"], theirs["median_us"], theirs["bitc_ratio"]) == ("other", 40.0, 0.25)


def test_a_peer_that_refuses_has_no_slope() -> None:
    (mine,) = slopes(result("c", 20.0, None), result("c@chain9", 100.0, None), "bitc")
    assert mine["median_us"] == 10.0


def test_tables_put_ratios_of_the_same_rounds_in_one_row() -> None:
    lines = [*result("a", 10.0, 100.0).lines("bitc-avx2-w1a1"), *result("b", 30.0, None).lines("bitc-avx2")]
    lines += result("a", 20.0, 50.0).lines("bitc-avx2-int8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables(lines)]
    assert rows[0] == ["case", "bitc", "÷ other", "bitc µs", "GOPS", "spread", "other µs"]
    assert rows[2:] == [
        ["a", "avx2-w1a1", "0.100", "10.0", "200", "1.0%", "100.0"],
        ["b", "avx2", "", "30.0", "67", "1.0%", ""],
        ["a", "avx2-int8", "0.400", "20.0", "100", "1.0%", "50.0"],
    ]


def test_nothing_measured_is_an_empty_table() -> None:
    assert len(list(tables([{"peer": "bitc", "case": "a", "error": "no"}]))) == 2


@pytest.mark.parametrize("note", ["slope over 9 layers", "5 interleaved rounds, spread 2.0%; not pinned: denied"])
def test_notes_without_or_after_a_spread(note: str) -> None:
    line = {"peer": "bitc", "case": "a", "median_us": 1.0, "min_us": 1.0, "note": note}
    row = list(tables([line]))[2].split("|")[5].strip()
    assert row == ("2.0%" if "spread" in note else "")
