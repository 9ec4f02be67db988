"""Passes: IR to IR, one a file. This module knows them all by name and the order they run in."""

from bitc.passes.assume import DropAssumptions, SignOfZero
from bitc.passes.base import Pass
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.contracts import StateContracts
from bitc.passes.dense import DenseToConv
from bitc.passes.padding import ExactPadding
from bitc.passes.pads import AbsorbPads
from bitc.passes.recognise import RecogniseCodes
from bitc.passes.straight_through import StraightThrough
from bitc.passes.thresholds import Thresholds
from bitc.passes.views import SinkViews

__all__ = ["KNOWN_PASSES", "Pass", "to_codes"]


def to_codes(sign_zero: str = "exact") -> tuple[Pass, ...]:
    """The passes from the imported ``nn`` graph to a ``q`` graph in which every product that can be is one of codes."""
    return (
        Canonicalise(),
        SignOfZero(sign_zero),
        StraightThrough(),
        SinkViews(),
        Canonicalise(),
        AbsorbPads(),
        DenseToConv(),
        SinkViews(),
        Canonicalise(),
        RecogniseCodes(),
        StateContracts(),
        Thresholds(),
        AbsorbPads(),
        ExactPadding(),
        DropAssumptions(),
        Canonicalise(),
    )


KNOWN_PASSES: dict[str, type[Pass]] = {
    kind.name: kind
    for kind in (
        Canonicalise,
        SignOfZero,
        StraightThrough,
        SinkViews,
        AbsorbPads,
        DenseToConv,
        RecogniseCodes,
        StateContracts,
        Thresholds,
        ExactPadding,
        DropAssumptions,
    )
}
