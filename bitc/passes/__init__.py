"""Passes: IR to IR, one a file. This module knows them all by name and the order they run in."""

from bitc.passes.assume import DropAssumptions, SignOfZero
from bitc.passes.base import Pass
from bitc.passes.bound_scales import BoundScales
from bitc.passes.canonicalise import Canonicalise
from bitc.passes.contracts import StateContracts
from bitc.passes.cse import CommonSubexpressions
from bitc.passes.dense import DenseToConv
from bitc.passes.equal_channels import EqualChannels
from bitc.passes.flatten_ranks import FlattenRanks
from bitc.passes.fuse_maps import FuseMaps
from bitc.passes.fuse_rows import FuseRows
from bitc.passes.integer_chains import IntegerChains
from bitc.passes.integers import StoreIntegers
from bitc.passes.keep_planes import KeepPlanes
from bitc.passes.known_values import KnownValues
from bitc.passes.layout import Layouts
from bitc.passes.lower import Lower
from bitc.passes.measured import NOTHING, Measured
from bitc.passes.minifloats import RecogniseMinifloats
from bitc.passes.mst_reorder import MstReorder
from bitc.passes.narrow_products import NarrowProducts
from bitc.passes.padding import ExactPadding
from bitc.passes.pads import AbsorbPads
from bitc.passes.pull_scales import PullScales
from bitc.passes.recognise import RecogniseCodes
from bitc.passes.repeats import HoistRepeats
from bitc.passes.softmax_comparisons import CompareSoftmax
from bitc.passes.split_planes import SplitPlanes
from bitc.passes.split_products import SplitProducts
from bitc.passes.store_deltas import StoreDeltas
from bitc.passes.straight_through import StraightThrough
from bitc.passes.thresholds import Thresholds
from bitc.passes.two_bases import TwoBases
from bitc.passes.views import SinkViews
from bitc.passes.volumes import FlattenVolumes

__all__ = ["KNOWN_PASSES", "Pass", "to_codes", "to_kernels"]


def to_codes(
    sign_zero: str = "exact", isa: str = "portable", measured: Measured = NOTHING, mst: str = "auto"
) -> tuple[Pass, ...]:
    """The passes from the imported ``nn`` graph to a ``q`` graph in which every product that can be is one of codes or integers.

    ``isa`` names the kernels whose costs decide between forms; ``measured`` times count before them. ``mst``: whether products run along
    trees of channels (:class:`MstReorder`).
    """
    return (
        Canonicalise(),
        SignOfZero(sign_zero),
        FlattenVolumes(),
        CommonSubexpressions(),
        RecogniseMinifloats(),
        HoistRepeats(),
        StraightThrough(),
        CompareSoftmax(),
        KnownValues(),
        SinkViews(),
        Canonicalise(),
        IntegerChains(),
        AbsorbPads(),
        DenseToConv(),
        SinkViews(),
        Canonicalise(),
        BoundScales(),
        PullScales(isa),
        TwoBases(),
        RecogniseCodes(isa),
        NarrowProducts(),
        StateContracts(),
        SplitPlanes(isa, measured=measured),
        StoreIntegers(isa),
        IntegerChains(),
        CommonSubexpressions(),
        Thresholds(),
        AbsorbPads(),
        FlattenRanks(),
        ExactPadding(),
        DropAssumptions(),
        SplitProducts(),
        Canonicalise(),
        MstReorder(isa, mst),
        EqualChannels(isa),
    )


def to_kernels(
    *, bit_block: int, byte_rows: bool, float_block: int, integers: str, small_weights: int = 0
) -> tuple[Pass, ...]:
    """The passes from a ``q`` graph to kernel calls, with constants in the order of the target's kernels (see :class:`Lower`);
    ``small_weights``: of how many bytes those of bits may be to become differences, 0 for none (:class:`StoreDeltas`)."""
    stored = (StoreDeltas(small_weights),) if small_weights else ()
    return (
        FuseMaps(),
        Layouts(),
        Lower(bit_block, byte_rows, float_block, integers),
        *stored,
        KeepPlanes(),
        FuseRows(),
    )


KNOWN_PASSES: dict[str, type[Pass]] = {
    kind.name: kind
    for kind in (
        Canonicalise,
        SignOfZero,
        FlattenVolumes,
        CommonSubexpressions,
        RecogniseMinifloats,
        HoistRepeats,
        StraightThrough,
        CompareSoftmax,
        KnownValues,
        SinkViews,
        IntegerChains,
        AbsorbPads,
        DenseToConv,
        BoundScales,
        PullScales,
        TwoBases,
        RecogniseCodes,
        NarrowProducts,
        SplitPlanes,
        StoreIntegers,
        StateContracts,
        Thresholds,
        FlattenRanks,
        ExactPadding,
        DropAssumptions,
        SplitProducts,
        MstReorder,
        EqualChannels,
        FuseMaps,
        Layouts,
        Lower,
        StoreDeltas,
        KeepPlanes,
        FuseRows,
    )
}
