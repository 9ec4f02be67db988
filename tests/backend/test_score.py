"""The page with the score of the node tests: complete, consistent with itself, and above the bar."""

from __future__ import annotations

from collections import Counter

from backend.node_suite import (
    DISPUTED,
    DISPUTES,
    LATE,
    NOTHING_LEFT,
    PAGE,
    PASSED,
    Outcome,
    cases,
    recorded,
    write_page,
)


def test_the_page_says_what_the_shards_check() -> None:
    """Its counts and lists follow from the results it records, so an edit of one alone is noticed."""
    outcomes = [Outcome(name, result) for name, result in recorded().items()]
    assert {outcome.name for outcome in outcomes} == {case.name for case in cases()}
    assert PAGE.read_text(encoding="utf-8") == write_page(outcomes)


def test_more_than_a_thousand_pass() -> None:
    counts = Counter(recorded().values())
    assert counts[PASSED] + counts[LATE] + counts[NOTHING_LEFT] >= 1000
    assert counts[NOTHING_LEFT] < 50  # they say little of compiled code


def test_refusals_have_a_code_and_disputes_are_the_known_ones() -> None:
    results = recorded()
    assert {name for name, result in results.items() if result == DISPUTED} == set(DISPUTES)
    others = set(results.values()) - {PASSED, LATE, NOTHING_LEFT, DISPUTED}
    assert all(result[0] in "UO" and result[1:4].isdigit() for result in others), others
