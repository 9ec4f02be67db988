"""``integer-chains``: each identity before and after, and the values that forbid it."""

from __future__ import annotations

import numpy as np
import pytest
from passes.harness import EDGES, Inputs, any_input, leaves, op_names, same_meaning, transforms

from bitc.ir import Builder, DType, Graph, TensorType, Value
from bitc.passes.integer_chains import IntegerChains

F32 = np.float32


def hard_floats(generator: np.random.Generator, value: Value) -> np.ndarray:
    """Floats with infinities and NaN among them; other dtypes as they come."""
    numbers = any_input(generator, value)
    if numbers.dtype != F32:
        return numbers
    special = np.asarray([*EDGES, np.nan, np.inf, -np.inf], F32)
    return np.where(generator.random(value.shape) < 0.5, generator.choice(special, value.shape), numbers)


def bytes_(generator: np.random.Generator, value: Value) -> np.ndarray:
    """Every byte as often as there is room, or the least 16-bit numbers, in some order."""
    assert isinstance(value.type, TensorType)
    limits = np.iinfo(value.type.dtype.numpy)
    numbers = np.resize(np.arange(limits.min, limits.max + 1), value.type.size)
    return generator.permutation(numbers).astype(value.type.dtype.numpy).reshape(value.shape)


REWRITES: dict[str, tuple[str, str, Inputs]] = {
    "casts there and back": (
        """
        graph @g(%q: u8[512]) -> (%y) {
          %a = nn.cast %q {to = f32} : f32[512]
          %b = nn.cast %a {to = i32} : i32[512]
          %y = nn.cast %b {to = f32} : f32[512]
        }""",
        """
        graph @g(%q: u8[512]) -> (%y) {
          %y = nn.cast %q {to = f32} : f32[512]
        }""",
        bytes_,
    ),
    "a zero point added and taken away": (
        """
        graph @g(%q: i8[256]) -> (%y) {
          %z = nn.constant {value = dense<f32[]: 100.0>} : f32[]
          %a = nn.cast %q {to = f32} : f32[256]
          %b = nn.add %a, %z : f32[256]
          %c = nn.sub %b, %z : f32[256]
          %y = nn.saturate %c {to = i8, lo = -128, hi = 127} : i8[256]
        }""",
        """
        graph @g(%q: i8[256]) -> (%q) {
        }""",
        bytes_,
    ),
    "a quantizer of dequantized codes": (
        """
        graph @g(%q: u8[256]) -> (%y) {
          %s = nn.constant {value = dense<f32[]: 0.0173>} : f32[]
          %z = nn.constant {value = dense<f32[]: 131.0>} : f32[]
          %a = nn.cast %q {to = f32} : f32[256]
          %b = nn.sub %a, %z : f32[256]
          %c = nn.mul %b, %s : f32[256]
          %d = nn.div %c, %s : f32[256]
          %e = nn.round %d : f32[256]
          %f = nn.add %e, %z : f32[256]
          %g = nn.saturate %f {to = u8, lo = 0, hi = 255} : u8[256]
          %h = nn.cast %g {to = f32} : f32[256]
          %y = nn.mul %h, %s : f32[256]
        }""",
        """
        graph @g(%q: u8[256]) -> (%y) {
          %s = nn.constant {value = dense<f32[]: 0.0173>} : f32[]
          %h = nn.cast %q {to = f32} : f32[256]
          %y = nn.mul %h, %s : f32[256]
        }""",
        bytes_,
    ),
    "a pool, a pad and a reshape between two quantizers of one scale": (
        """
        graph @g(%q: u8[1,4,8,8]) -> (%y) {
          %s = nn.constant {value = dense<f32[]: 0.3>} : f32[]
          %a = nn.cast %q {to = f32} : f32[1,4,8,8]
          %b = nn.mul %a, %s : f32[1,4,8,8]
          %c = nn.max_pool %b {kernel = [2, 2], strides = [2, 2], pads = [0, 0, 0, 0], dilations = [1, 1]} : f32[1,4,4,4]
          %d = nn.pad %c {pads = [0, 0, 1, 0, 0, 0, 0, 1], value = 0.9} : f32[1,4,5,5]
          %e = nn.reshape %d {shape = [1, 100]} : f32[1,100]
          %f = nn.div %e, %s : f32[1,100]
          %g = nn.round %f : f32[1,100]
          %y = nn.saturate %g {to = u8, lo = 0, hi = 255} : u8[1,100]
        }""",
        """
        graph @g(%q: u8[1,4,8,8]) -> (%y) {
          %c = nn.max_pool %q {kernel = [2, 2], strides = [2, 2], pads = [0, 0, 0, 0], dilations = [1, 1]} : u8[1,4,4,4]
          %d = nn.pad %c {pads = [0, 0, 1, 0, 0, 0, 0, 1], value = 3.0} : u8[1,4,5,5]
          %y = nn.reshape %d {shape = [1, 100]} : u8[1,100]
        }""",
        bytes_,
    ),
    "a concatenation of equal scales": (
        """
        graph @g(%p: u8[2,128], %q: u8[2,128]) -> (%y) {
          %s = nn.constant {value = dense<f32[]: 0.3>} : f32[]
          %a = nn.cast %p {to = f32} : f32[2,128]
          %b = nn.mul %a, %s : f32[2,128]
          %c = nn.cast %q {to = f32} : f32[2,128]
          %d = nn.mul %c, %s : f32[2,128]
          %e = nn.concat %b, %d {axis = 1} : f32[2,256]
          %f = nn.div %e, %s : f32[2,256]
          %g = nn.round %f : f32[2,256]
          %y = nn.saturate %g {to = u8, lo = 0, hi = 255} : u8[2,256]
        }""",
        """
        graph @g(%p: u8[2,128], %q: u8[2,128]) -> (%y) {
          %y = nn.concat %p, %q {axis = 1} : u8[2,256]
        }""",
        bytes_,
    ),
    "the bit width hidden in a clip of integers": (
        """
        graph @g(%x: f32[64]) -> (%y) {
          %lo = nn.constant {value = dense<i8[]: -1>} : i8[]
          %hi = nn.constant {value = dense<i8[]: 1>} : i8[]
          %r = nn.round %x : f32[64]
          %a = nn.saturate %r {to = i8, lo = -128, hi = 127} : i8[64]
          %b = nn.max %a, %lo : i8[64]
          %y = nn.min %b, %hi : i8[64]
        }""",
        """
        graph @g(%x: f32[64]) -> (%y) {
          %r = nn.round %x : f32[64]
          %y = nn.saturate %r {to = i8, lo = -1, hi = 1} : i8[64]
        }""",
        hard_floats,
    ),
    "clamps that the range of a quantizer repeats": (
        """
        graph @g(%x: f32[64]) -> (%y) {
          %s = nn.constant {value = dense<f32[]: 0.023529412>} : f32[]
          %six = nn.constant {value = dense<f32[]: 6.1>} : f32[]
          %a = nn.relu %x : f32[64]
          %b = nn.min %a, %six : f32[64]
          %c = nn.div %b, %s : f32[64]
          %d = nn.round %c : f32[64]
          %y = nn.saturate %d {to = u8, lo = 0, hi = 255} : u8[64]
        }""",
        """
        graph @g(%x: f32[64]) -> (%y) {
          %s = nn.constant {value = dense<f32[]: 0.023529412>} : f32[]
          %c = nn.div %x, %s : f32[64]
          %d = nn.round %c : f32[64]
          %y = nn.saturate %d {to = u8, lo = 0, hi = 255} : u8[64]
        }""",
        hard_floats,
    ),
    "a clamp of numbers that are on its side": (
        """
        graph @g(%p: i16[256], %q: i16[256]) -> (%y) {
          %c = nn.constant {value = dense<i32[]: 1073741824>} : i32[]
          %a = nn.cast %p {to = i32} : i32[256]
          %b = nn.cast %q {to = i32} : i32[256]
          %d = nn.mul %a, %b : i32[256]
          %y = nn.min %c, %d : i32[256]
        }""",
        """
        graph @g(%p: i16[256], %q: i16[256]) -> (%y) {
          %a = nn.cast %p {to = i32} : i32[256]
          %b = nn.cast %q {to = i32} : i32[256]
          %y = nn.mul %a, %b : i32[256]
        }""",
        bytes_,
    ),
    "a shift of what is saturated, through a wider dtype": (
        """
        graph @g(%x: f32[64]) -> (%y) {
          %c = nn.constant {value = dense<i32[]: 7>} : i32[]
          %r = nn.round %x : f32[64]
          %a = nn.saturate %r {to = i8, lo = -7, hi = 7} : i8[64]
          %b = nn.cast %a {to = i32} : i32[64]
          %d = nn.add %b, %c : i32[64]
          %y = nn.cast %d {to = u8} : u8[64]
        }""",
        """
        graph @g(%x: f32[64]) -> (%y) {
          %r = nn.round %x : f32[64]
          %c = nn.constant {value = dense<f32[]: 7.0>} : f32[]
          %a = nn.add %r, %c : f32[64]
          %y = nn.saturate %a {to = u8, lo = 0, hi = 14} : u8[64]
        }""",
        hard_floats,
    ),
    "a shift between two saturations": (
        """
        graph @g(%x: f32[64]) -> (%y) {
          %c = nn.constant {value = dense<f32[]: 7.0>} : f32[]
          %r = nn.round %x : f32[64]
          %a = nn.saturate %r {to = i8, lo = -9, hi = 7} : i8[64]
          %b = nn.cast %a {to = f32} : f32[64]
          %d = nn.add %c, %b : f32[64]
          %y = nn.saturate %d {to = u8, lo = 0, hi = 12} : u8[64]
        }""",
        """
        graph @g(%x: f32[64]) -> (%y) {
          %r = nn.round %x : f32[64]
          %c = nn.constant {value = dense<f32[]: 7.0>} : f32[]
          %a = nn.add %r, %c : f32[64]
          %y = nn.saturate %a {to = u8, lo = 0, hi = 12} : u8[64]
        }""",
        hard_floats,
    ),
    "a cast of whole numbers, clamped before": (
        """
        graph @g(%x: f32[64]) -> (%y) {
          %lo = nn.constant {value = dense<f32[]: -2.0>} : f32[]
          %hi = nn.constant {value = dense<f32[]: 3.0>} : f32[]
          %a = nn.max %x, %lo : f32[64]
          %b = nn.min %a, %hi : f32[64]
          %c = nn.round %b : f32[64]
          %y = nn.cast %c {to = i8} : i8[64]
        }""",
        """
        graph @g(%x: f32[64]) -> (%y) {
          %c = nn.round %x : f32[64]
          %y = nn.saturate %c {to = i8, lo = -2, hi = 3} : i8[64]
        }""",
        any_input,
    ),
    "rounding twice": (
        """
        graph @g(%x: f32[64]) -> (%y) {
          %a = nn.floor %x : f32[64]
          %y = nn.round %a : f32[64]
        }""",
        """
        graph @g(%x: f32[64]) -> (%y) {
          %y = nn.floor %x : f32[64]
        }""",
        hard_floats,
    ),
}


@pytest.mark.parametrize("name", REWRITES)
def test_identities(name: str) -> None:
    before, after, inputs = REWRITES[name]
    transforms(before, IntegerChains(), after, inputs)


STAYS = {
    "another scale behind": """
        graph @g(%q: u8[256]) -> (%y) {
          %s = nn.constant {value = dense<f32[]: 0.3>} : f32[]
          %t = nn.constant {value = dense<f32[]: 0.301>} : f32[]
          %a = nn.cast %q {to = f32} : f32[256]
          %b = nn.mul %a, %s : f32[256]
          %c = nn.div %b, %t : f32[256]
          %d = nn.round %c : f32[256]
          %y = nn.saturate %d {to = u8, lo = 0, hi = 255} : u8[256]
        }""",
    "a narrower range behind": """
        graph @g(%q: u8[256]) -> (%y) {
          %a = nn.cast %q {to = f32} : f32[256]
          %y = nn.saturate %a {to = u8, lo = 0, hi = 254} : u8[256]
        }""",
    "a falling function before a pool": """
        graph @g(%q: u8[1,1,4,4]) -> (%y) {
          %a = nn.cast %q {to = f32} : f32[1,1,4,4]
          %b = nn.neg %a : f32[1,1,4,4]
          %c = nn.max_pool %b {kernel = [2, 2], strides = [2, 2], pads = [0, 0, 0, 0], dilations = [1, 1]} : f32[1,1,2,2]
          %d = nn.neg %c : f32[1,1,2,2]
          %y = nn.saturate %d {to = u8, lo = 0, hi = 255} : u8[1,1,2,2]
        }""",
    "a cast of a zero that may be negative": """
        graph @g(%x: f32[64]) -> (%y) {
          %a = nn.sign %x : f32[64]
          %b = nn.saturate %a {to = i8, lo = -1, hi = 1} : i8[64]
          %y = nn.cast %b {to = f32} : f32[64]
        }""",
    "a scale divided away where a product rounds": """
        graph @g(%q: u8[256]) -> (%y) {
          %s = nn.constant {value = dense<f32[]: 3e-22>} : f32[]
          %a = nn.cast %q {to = f32} : f32[256]
          %b = nn.mul %a, %s : f32[256]
          %c = nn.mul %b, %b : f32[256]
          %y = nn.div %c, %s : f32[256]
        }""",
    "a relu whose zero is no end of the range": """
        graph @g(%x: f32[64]) -> (%y) {
          %z = nn.constant {value = dense<f32[]: 3.0>} : f32[]
          %a = nn.relu %x : f32[64]
          %b = nn.round %a : f32[64]
          %c = nn.add %b, %z : f32[64]
          %y = nn.saturate %c {to = u8, lo = 0, hi = 255} : u8[64]
        }""",
    "a relu before a falling function": """
        graph @g(%x: f32[64]) -> (%y) {
          %a = nn.relu %x : f32[64]
          %b = nn.round %a : f32[64]
          %c = nn.neg %b : f32[64]
          %y = nn.saturate %c {to = i8, lo = 0, hi = 127} : i8[64]
        }""",
    "a clamp of floats at zero": """
        graph @g(%x: f32[64]) -> (%y) {
          %c = nn.constant {value = dense<f32[]: 0.0>} : f32[]
          %a = nn.relu %x : f32[64]
          %y = nn.max %a, %c : f32[64]
        }""",
}


@pytest.mark.parametrize("name", STAYS)
def test_what_is_no_identity_stays(name: str) -> None:
    leaves(STAYS[name], IntegerChains())


@pytest.mark.parametrize("seed", range(12))
def test_random_quantizers_keep_every_bit(seed: int) -> None:
    """Q(DQ(q)) with scales from equal to a little apart: where anything goes, nothing changes."""
    random = np.random.default_rng(seed)
    b = Builder()
    q = b.input("q", TensorType((256,), DType.U8))
    scale, zero = F32(random.lognormal(-3, 2)), F32(random.integers(0, 256))
    other = scale if seed % 3 == 0 else F32(scale * (1 + random.choice([1e-7, 1e-3, 4e-3])))
    x = b.add("nn.sub", b.add("nn.cast", q, to=DType.F32), b.constant(np.asarray(zero)))
    x = b.add("nn.div", b.add("nn.mul", x, b.constant(np.asarray(scale))), b.constant(np.asarray(other)))
    x = b.add("nn.add", b.add("nn.round", x), b.constant(np.asarray(zero)))
    graph = Graph("g", [q], b.ops, [b.add("nn.saturate", x, to=DType.U8, lo=0, hi=255)])
    after = IntegerChains().run(graph)
    assert other != scale or op_names(after) == []
    same_meaning(graph, after, bytes_, runs=1)
