"""``straight-through``: the residue vanishes where it is q to the bit, and nowhere else unless trusted."""

from __future__ import annotations

import numpy as np
import pytest
from passes.harness import leaves, op_names, parse, same_meaning, transforms

from bitc.ir import Value, evaluate
from bitc.ir.intervals import evaluate_intervals
from bitc.passes.straight_through import StraightThrough

F32 = np.float32
SIZE = 1 << 16
CONSTANTS = """
          %p = nn.constant {value = dense<f32[]: 1.0>} : f32[]
          %m = nn.constant {value = dense<f32[]: -1.0>} : f32[]
          %o = nn.constant {value = dense<f32[]: 0.0>} : f32[]"""
QS = {
    "sign": "%q = nn.sign %x : f32[SIZE]",
    "where greater": "%c = nn.greater %x, %o : bool[SIZE]\n          %q = nn.where %c, %p, %m : f32[SIZE]",
    "where greater or equal": "%c = nn.greater_equal %x, %o : bool[SIZE]\n          %q = nn.where %c, %p, %m : f32[SIZE]",
}
CLIPS = {
    "max first": "%a = nn.max %x, %m : f32[SIZE]\n          %t = nn.min %a, %p : f32[SIZE]",
    "min first": "%a = nn.min %x, %p : f32[SIZE]\n          %t = nn.max %a, %m : f32[SIZE]",
}


def residue(q: str, clip: str, total: str = "%d, %t") -> str:
    return f"""
        graph @g(%x: f32[{SIZE}]) -> (%y) {{{CONSTANTS}
          {q}
          {clip}
          %d = nn.sub %q, %t : f32[SIZE]
          %y = nn.add {total} : f32[SIZE]
        }}""".replace("SIZE", str(SIZE))


def dense_samples(generator: np.random.Generator, value: Value) -> np.ndarray:
    """float32 numbers of all magnitudes up to 2, all near 0, ±2^-25 (the tie), ±1/2 and ±1, and beyond."""
    bits = generator.integers(0, int(F32(2).view(np.int32)) + 1, value.shape[0] // 2, dtype=np.int64).astype(np.uint32)
    centres = (
        np.asarray([0, 2**-25, 2**-24, 3 * 2**-25, 0.25, 0.5, 1 - 2**-24, 1, 2], F32).view(np.uint32).astype(np.int64)
    )
    near = (centres[:, np.newaxis] + np.arange(-1000, 1001)).clip(0).reshape(-1).astype(np.uint32)
    uniform = generator.uniform(0, 2, value.shape[0] - bits.size - near.size).astype(F32)
    positive = np.concatenate([bits.view(F32), near.view(F32), uniform])
    numbers = positive * generator.choice(np.asarray([-1, 1], F32), positive.shape)
    return np.where(numbers == 0, F32(0), numbers)  # +0.0: what becomes of -0.0 is its own test


@pytest.mark.parametrize("q", QS)
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("order", ["%d, %t", "%t, %d"])
def test_residue_of_a_sign_and_its_clip_vanishes(q: str, clip: str, order: str) -> None:
    after = transforms(
        residue(QS[q], CLIPS[clip], order),
        StraightThrough(),
        f"""
        graph @g(%x: f32[{SIZE}]) -> (%q) {{{_needed(q)}
          {QS[q]}
        }}""".replace("SIZE", str(SIZE)),
        dense_samples,
    )
    assert "nn.sub" not in op_names(after)


def _needed(q: str) -> str:
    return "" if q == "sign" else CONSTANTS


@pytest.mark.parametrize("q", QS)
def test_minus_zero_gives_a_zero_or_a_sign(q: str) -> None:
    """The sign of a zero result may differ, the number may not."""
    before = parse(residue(QS[q], CLIPS["max first"]))
    minus_zero = np.full(SIZE, -0.0, F32)
    same_meaning(before, StraightThrough().run(before), lambda *_: minus_zero, runs=1)


OTHER = {
    "another threshold": (QS["where greater"].replace("%x, %o", "%x, %p"), CLIPS["max first"]),
    "reversed sign": (QS["where greater"].replace("%p, %m", "%m, %p"), CLIPS["max first"]),
    "a wider clip": (QS["sign"], CLIPS["max first"].replace("%x, %m", "%x, %four")),
    "one bound only": (QS["sign"], "%t = nn.max %x, %m : f32[SIZE]"),
    "no clip": (QS["sign"], "%t = nn.neg %x : f32[SIZE]"),
    "the clip of another value": (
        QS["sign"],
        "%n = nn.neg %x : f32[SIZE]\n          " + CLIPS["max first"].replace("%x", "%n"),
    ),
}


@pytest.mark.parametrize("what", OTHER)
def test_other_residues_stay_unless_trusted(what: str) -> None:
    q, clip = OTHER[what]
    four = "%four = nn.constant {value = dense<f32[]: -4.0>} : f32[]\n          "
    text = residue(four + q if "%four" in clip else q, clip)
    leaves(text, StraightThrough())
    trusted = StraightThrough(trust=True).run(parse(text))
    assert "nn.add" not in op_names(trusted)


def test_trust_needs_a_finite_set() -> None:
    leaves(residue("%q = nn.tanh %x : f32[SIZE]", CLIPS["max first"]), StraightThrough(trust=True))


def test_subtraction_the_other_way_round_stays() -> None:
    text = residue(QS["sign"], CLIPS["max first"]).replace("nn.sub %q, %t", "nn.sub %t, %q")
    leaves(text, StraightThrough(trust=True))


def test_another_summand_stays() -> None:
    leaves(residue(QS["sign"], CLIPS["max first"], "%d, %x"), StraightThrough(trust=True))


def test_a_residue_that_broadcasts_stays() -> None:
    leaves(
        """
        graph @g(%x: f32[1,3], %t: f32[2,3]) -> (%y) {
          %q = nn.sign %x : f32[1,3]
          %d = nn.sub %q, %t : f32[2,3]
          %y = nn.add %d, %t : f32[2,3]
        }""",
        StraightThrough(trust=True),
    )


PIECES = """
          %two = nn.constant {value = dense<f32[]: 2.0>} : f32[]
          %below = nn.less %x, %m : bool[SIZE]
          %b = nn.cast %below {to = f32} : f32[SIZE]
          %negative = nn.less %x, %o : bool[SIZE]
          %n = nn.cast %negative {to = f32} : f32[SIZE]
          %inside = nn.less %x, %p : bool[SIZE]
          %i = nn.cast %inside {to = f32} : f32[SIZE]
          %twice = nn.mul %x, %two : f32[SIZE]
          %square = nn.mul %x, %x : f32[SIZE]
          %rising = nn.add %square, %twice : f32[SIZE]
          %minus = nn.neg %x : f32[SIZE]
          %fallen = nn.mul %minus, %x : f32[SIZE]
          %falling = nn.add %fallen, %twice : f32[SIZE]
          %b1 = nn.mul %b, %m : f32[SIZE]
          %nb = nn.sub %p, %b : f32[SIZE]
          %b2 = nn.mul %rising, %nb : f32[SIZE]
          %left = nn.add %b1, %b2 : f32[SIZE]
          %n1 = nn.mul %left, %n : f32[SIZE]
          %nn = nn.sub %p, %n : f32[SIZE]
          %n2 = nn.mul %falling, %nn : f32[SIZE]
          %middle = nn.add %n1, %n2 : f32[SIZE]
          %i1 = nn.mul %middle, %i : f32[SIZE]
          %ni = nn.sub %p, %i : f32[SIZE]
          %i2 = nn.mul %ni, %p : f32[SIZE]
          %t = nn.add %i1, %i2 : f32[SIZE]"""


@pytest.mark.parametrize("q", QS)
def test_the_quadratic_pieces_of_bi_real_net_vanish(q: str) -> None:
    text = residue(QS[q], PIECES)
    before = parse(text)
    after = StraightThrough().run(before)
    assert "nn.less" not in op_names(after)
    same_meaning(before, after, dense_samples)


def test_pieces_of_the_other_sign_stay() -> None:
    leaves(residue(QS["sign"], PIECES.replace("nn.add %square, %twice", "nn.sub %square, %twice")), StraightThrough())


@pytest.mark.parametrize("rounding", ["round", "floor", "ceil"])
@pytest.mark.parametrize("most", [7.0, 1000.5])
def test_what_rounding_took_away_vanishes(rounding: str, most: float) -> None:
    clip = f"""%lo = nn.constant {{value = dense<f32[]: {-most}>}} : f32[]
          %hi = nn.constant {{value = dense<f32[]: {most}>}} : f32[]
          %a = nn.max %x, %lo : f32[SIZE]
          %t = nn.min %a, %hi : f32[SIZE]"""
    text = residue("", clip + f"\n          %q = nn.{rounding} %t : f32[SIZE]")

    rng = np.random.default_rng(0)
    halves = rng.integers(-2002, 2003, SIZE) / 2
    x = np.where(rng.random(SIZE) < 0.5, halves, halves + rng.normal(0, 1, SIZE)).astype(F32)
    before = parse(text)
    after = StraightThrough().run(before)
    assert "nn.sub" not in op_names(after)
    assert np.array_equal(evaluate(before, {"x": x})[0], evaluate(after, {"x": x})[0])  # but for the sign of zeros


def test_rounding_of_what_may_be_infinite_stays() -> None:
    leaves(residue("%q = nn.round %x : f32[SIZE]", "").replace("%t", "%x"), StraightThrough())


def test_a_mask_beside_its_softmax_vanishes() -> None:
    text = f"""
        graph @g(%x: f32[{SIZE}], %z: f32[{SIZE}]) -> (%y) {{{CONSTANTS}
          %c = nn.greater %z, %p : bool[SIZE]
          %q = nn.cast %c {{to = f32}} : f32[SIZE]
          %t = nn.softmax %x {{axis = 0}} : f32[SIZE]
          %d = nn.sub %q, %t : f32[SIZE]
          %y = nn.add %d, %t : f32[SIZE]
        }}""".replace("SIZE", str(SIZE))
    before = parse(text)
    after = StraightThrough().run(before)
    assert "nn.sub" not in op_names(after)
    same_meaning(before, after, dense_samples)


XNOR = """
        graph @g(%x: f32[2,8]) -> (OUTPUTS) {
          %p = nn.constant {value = dense<f32[]: 1.0>} : f32[]
          %m = nn.constant {value = dense<f32[]: -1.0>} : f32[]
          %w = nn.constant {value = dense<f32[8,1]: 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0>} : f32[8,1]
          %a = nn.max %x, %m : f32[2,8]
          %t = nn.min %a, %p : f32[2,8]
          %size = nn.abs %t : f32[2,8]
          %s = nn.reduce_mean %size {axes = [1], keepdims = true} : f32[2,1]
          %sign = nn.sign %t : f32[2,8]
          %q = nn.mul %s, %sign : f32[2,8]
          %d = nn.sub %q, %t : f32[2,8]
          %r = nn.add %d, %t : f32[2,8]
          %y = nn.matmul %r, %w : f32[2,1] loc("node 9 (MatMul)")
        }"""


def test_a_residue_beside_a_scale_of_each_row_leaves_a_rounded_product() -> None:
    before = parse(XNOR.replace("OUTPUTS", "%y"))
    after = StraightThrough().run(before)
    assert "nn.sub" not in op_names(after)
    assert after.attrs["rounded_products"] == ("node 9 (MatMul)",)
    x = np.random.default_rng(0).normal(0, 1, (2, 8)).astype(F32)
    wanted, got = (evaluate(g, {"x": x})[0] for g in (before, after))
    assert np.abs(wanted - got).max() < 1e-6
    interval = evaluate_intervals(before, [x])[before.outputs[0]]
    assert interval.holds(wanted).all()
    assert interval.holds(got).all()


TOKENS = """
        graph @g(%x: f32[2,8]) -> (%y) {
          %c = nn.constant {value = dense<f32[]: 127.0>} : f32[]
          %e = nn.constant {value = dense<f32[]: 1e-05>} : f32[]
          %w = nn.constant {value = dense<f32[8,1]: 1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0>} : f32[8,1]
          %size = nn.abs %x : f32[2,8]
          %most = nn.reduce_max %size {axes = [1], keepdims = true} : f32[2,1]
          %kept = nn.max %most, %e : f32[2,1]
          %i = nn.reciprocal %kept : f32[2,1]
          %s = nn.mul %i, %c : f32[2,1]
          %p = nn.mul %x, %s : f32[2,8]
          %k = nn.round %p : f32[2,8]
          %q = nn.div %k, %s : f32[2,8]
          %d = nn.sub %q, %x : f32[2,8]
          %r = nn.add %x, %d : f32[2,8]
          %y = nn.matmul %r, %w : f32[2,1] loc("node 9 (MatMul)")
        }"""


def test_a_residue_of_a_quantizer_by_the_size_of_its_rows_is_dropped() -> None:
    before = parse(TOKENS)
    after = StraightThrough().run(before)
    assert "nn.sub" not in op_names(after)
    assert after.attrs["rounded_products"] == ("node 9 (MatMul)",)
    x = np.random.default_rng(0).normal(0, 1e4, (2, 8)).astype(F32)
    wanted, got = (evaluate(g, {"x": x})[0] for g in (before, after))
    assert np.abs(wanted - got).max() < 1e-6 * np.abs(x).max()


@pytest.mark.parametrize(
    "text",
    [
        TOKENS.replace("nn.abs %x", "nn.abs %kept").replace("%size = nn.abs %kept", "%size = nn.neg %x"),
        XNOR.replace("OUTPUTS", "%y, %r"),
        XNOR.replace("OUTPUTS", "%y").replace("nn.min %a, %p", "nn.min %a, %x"),
        XNOR.replace("OUTPUTS", "%z").replace(
            '"node 9 (MatMul)")', '"node 9 (MatMul)")\n          %z = nn.mul %r, %y : f32[2,8]'
        ),
    ],
    ids=["a size of nothing", "an output", "no bound", "read by more than products"],
)
def test_a_rounding_residue_stays(text: str) -> None:
    after = StraightThrough().run(parse(text))
    assert "nn.sub" in op_names(after)
    assert "rounded_products" not in after.attrs
