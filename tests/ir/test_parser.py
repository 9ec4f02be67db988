"""Errors of the parser: where, what, and what was probably meant. And the bounds it keeps."""

from __future__ import annotations

import numpy as np
import pytest

from bitc.ir import CodeType, DType, IrSyntaxError, Layout, Levels, parse_graph, print_graph

GOOD = """\
// a comment
graph @g(%x: f32[2,3], %c: code<{-1,1} * 0.5>[2,3]@nhwc64) -> (%z) {
  %k = nn.constant {value = dense<f32[3]: 1.0, 2, -inf>} : f32[3]
  %y = nn.add %x, %k : f32[2,3]@nhwc  loc("Add") origin("sum")
  %z = nn.softmax %y {axis = 1} : f32[2,3]   // the default of log stays away
}
"""


def failure(text: str, constants: dict[str, np.ndarray] | None = None) -> str:
    """The message of the error, without the file name."""
    with pytest.raises(IrSyntaxError) as caught:
        parse_graph(text, constants, filename="f")
    return str(caught.value)


def test_the_good_text() -> None:
    graph = parse_graph(GOOD)
    x, c = graph.inputs
    assert c.type == CodeType((2, 3), Levels(-1, 2, 2), 0.5, Layout.NHWC64)
    assert (x.origin, graph.ops[1].result.origin, graph.ops[1].loc) == ("x", "sum", "Add")
    assert graph.ops[1].result.type.layout is Layout.NHWC, "a written layout is kept"
    assert graph.ops[2].attrs == {"axis": 1, "log": False}, "defaults are filled in"
    assert graph.ops[0].result.constant is not None
    assert not graph.ops[0].result.constant.flags.writeable


def test_an_error_shows_its_line_with_carets() -> None:
    assert failure(GOOD.replace("nn.softmax", "nn.sofmax")) == (
        "f:5:8: unknown op nn.sofmax; did you mean nn.softmax?\n"
        "    %z = nn.sofmax %y {axis = 1} : f32[2,3]   // the default of log stays away\n"
        "         ^^^^^^^^^"
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "underlined", "problem"),
    [
        # syntax
        ("graph @g(", "graph g(", 2, "g", "unexpected 'g'; expected a graph name such as @net"),
        ("%x, %k", "%x %k", 4, "%k", "unexpected '%k'; expected ',', ':' or '{'"),
        ("-> (%z)", "-> (z)", 2, "z", "unexpected 'z'; expected ')' or a value such as %x"),
        ("{axis = 1}", "{axis 1}", 5, "1", "unexpected '1'; expected '='"),
        ("%y = nn", "%y = $nn", 4, "$", "unexpected '$'; expected a name"),
        # names
        ("nn.add %x, %k", "nn.add %x, %kk", 4, "%kk", "unknown value %kk; did you mean %k?"),
        ("nn.add %x, %k", "nn.add %x, %z", 4, "%z", "%z is used before it is defined"),
        ("%z = nn", "%y = nn", 5, "%y", "%y is defined twice"),
        ("%c: code", "%x: code", 2, "%x", "%x is defined twice"),
        ("-> (%z)", "-> (%zz)", 2, "%zz", "unknown value %zz; did you mean %z?"),
        # types
        (
            "1} : f32[2,3]",
            "1} : f32[2,4]",
            5,
            "f32[2,4]",
            "the type is written as f32[2,4], but nn.softmax gives f32[2,3]",
        ),
        ("1} : f32[2,3]", "1} : f32[2,3], f32[1]", 5, "f32[2,3], f32[1]", "nn.softmax has 1 results, not 2 types"),
        ("%z = nn", "%z, %w = nn", 5, "nn.softmax", "nn.softmax has 1 results, not 2 names"),
        ("@nhwc ", "@nhcw ", 4, "@nhcw", "unknown layout @nhcw; did you mean @nhwc?"),
        ("%x: f32", "%x: f33", 2, "f33", "unknown dtype f33; did you mean f32?"),
        ("%x: f32[2,3]", "%x: f32[2,-3]", 2, "-3", "a dimension is not negative"),
        ("{-1,1}", "{-1,1,2}", 2, "{-1,1,2}", "levels are two or more whole numbers at equal distance, ascending"),
        ("{-1,1}", "{5..3}", 2, "{5..3}", "levels are two or more"),
        ("{-1,1}", "{0..9:2}", 2, "{0..9:2}", "levels are two or more"),
        # attributes
        ("axis = 1", "axes = 1", 5, "axes", "nn.softmax has no attribute axes (it has axis, log); did you mean axis?"),
        ("axis = 1", "axis = true", 5, "true", "attribute axis must be a whole number"),
        ("axis = 1", "axis = 1.0", 5, "1.0", "attribute axis must be a whole number"),
        ("axis = 1", "axis = 1, log = 1", 5, "1", "attribute log must be true or false"),
        ("axis = 1", "axis = 1, axis = 1", 5, "axis", "attribute axis is given twice"),
        ("axis = 1", "log = false", 5, "nn.softmax", "nn.softmax needs attribute axis"),
        ("axis = 1", "axis = 1, log = flase", 5, "flase", "unknown word flase; did you mean false?"),
        ("axis = 1", "axis = 2", 5, "nn.softmax", "nn.softmax: axis 2 is outside rank 2"),
        ('loc("Add")', 'loc("\\x")', 4, '"\\x"', "a bad quoted string"),
        ('origin("sum")', 'origin("a", "b")', 4, 'origin("a", "b")', "needs 1 strings, got 2"),
        ("nn.add %x, %k", "nn.add %x", 4, "nn.add", "nn.add takes operands ('a', 'b'), got 1"),
        # arrays
        ("f32[3]: 1.0", "f32[4]: 1.0", 3, "[4]", "shape [4] has 4 elements, 3 are given"),
        ("dense<f32[3]: 1.0", "dense<u8[3]: 1.0", 3, "1.0", "1.0 is no whole number"),
        ("dense<f32[3]: 1.0", "dense<u8[3]: 256", 3, "256", "256 is out of the range of u8"),
        ("dense<f32[3]: 1.0", "dense<f32[3]: 1e39", 3, "1e39", "1e39 is out of the range of f32"),
        ("dense<f32[3]: 1.0", "dense<f32[3]: nan:0x1", 3, "nan:0x1", "nan:0x1 is not a NaN of f32"),
        ("dense<f32[3]: 1.0", "dense<f32[3]: true", 3, "true", "true is no f32"),
        ("dense<f32[3]: 1.0", "dense<bool[3]: 1", 3, "1", "1 is no bool; write true or false"),
    ],
)
def test_errors_are_located(old: str, new: str, line: int, underlined: str, problem: str) -> None:
    assert GOOD.count(old) >= 1
    message, shown, carets = failure(GOOD.replace(old, new, 1)).split("\n")
    column = carets.index("^")
    assert message.startswith(f"f:{line}:{column - 1}: {problem}")
    assert shown[column : column + carets.count("^")] == underlined


def test_an_unfinished_text_says_where_it_ends() -> None:
    message, shown, carets = failure(GOOD.rstrip().removesuffix("}").rstrip()).split("\n")
    assert message.startswith("f:5:78: the text ends; expected ',', 'loc', 'origin', '}', a layout such as @nhwc")
    assert carets.index("^") == len(shown)


def test_constants_are_found_by_key_and_checked() -> None:
    array = np.arange(20, dtype=np.float32)
    key = "sha256:0123456789abcdef"
    text = "graph @g() -> (%k) {\n  %k = nn.constant {value = dense<" + key + " f32[20]>} : f32[20]\n}\n"
    assert parse_graph(text, {key: array}).ops[0].result.constant is not None
    assert failure(text).startswith(f"f:2:35: no constant {key} among the 0 that came with the text")
    assert failure(text, {key: array.reshape(4, 5)}).startswith(f"f:2:59: the constant {key} is float32[4, 5]")
    assert failure(text, {key: array.astype(np.int32)}).startswith(f"f:2:59: the constant {key} is int32[20]")


def test_a_region_sees_only_its_own_values() -> None:
    text = (
        "graph @g(%x: f32[2]) -> (%y) {\n"
        "  %y = q.map %x {body = graph @b(%p: f32[2]) -> (%q) {\n"
        "    %q = nn.add %p, %x : f32[2]\n"
        "  }} : f32[2]\n}\n"
    )
    assert failure(text).startswith("f:3:21: unknown value %x")
    assert parse_graph(text.replace("%p, %x", "%p, %p")).ops[0].attrs["body"].ops[0].name == "nn.add"


def test_long_lines_are_cut_around_the_place() -> None:
    pads = ", ".join(["0"] * 400)
    lines = failure(f"graph @g() -> () attrs {{a = [{pads}, oops, {pads}]}} {{\n}}\n").splitlines()
    assert max(map(len, lines)) <= 130
    column = lines[2].index("^")
    assert lines[1][column : column + 4] == "oops"


def test_tabs_keep_the_caret_in_place() -> None:
    lines = failure("graph @g() -> () {\n\t%y = nn.nothing : f32[1]\n}").splitlines()
    assert lines[1].startswith("  \t%y")
    assert lines[2].startswith("  \t     ^")


@pytest.mark.parametrize("opening", ["[", "{a = graph @g() -> () attrs "])
def test_deep_nesting_is_an_error_not_a_crash(opening: str) -> None:
    message = failure("graph @g() -> () attrs {a = " + opening * 5000)
    assert "brackets nest deeper than 128" in message


def test_brackets_in_strings_and_comments_do_not_nest() -> None:
    text = 'graph @g() -> () attrs {a = "' + "[" * 500 + '"} { // ' + "{" * 500 + "\n}\n"
    assert parse_graph(text).attrs["a"] == "[" * 500


def test_a_thousand_digits_are_an_error() -> None:
    assert "number of that many digits" in failure("graph @g() -> () attrs {a = " + "9" * 5000 + "} {\n}")


def test_many_ops_do_not_nest() -> None:
    lines = [f"  %{i} = nn.relu %{i - 1 if i else 'x'} : f32[2]" for i in range(3000)]
    text = "graph @g(%x: f32[2]) -> (%2999) {\n" + "\n".join(lines) + "\n}\n"
    graph = parse_graph(text)
    assert len(graph.ops) == 3000
    assert print_graph(graph) == text


def test_whole_numbers_fit_float_attributes_and_stay_whole() -> None:
    text = "graph @g(%x: f32[2]) -> (%y) {\n  %y = nn.pad %x {pads = [1, 0], value = 2} : f32[3]\n}\n"
    assert type(parse_graph(text).ops[0].attrs["value"]) is int
    assert print_graph(parse_graph(text)) == text


def test_dtypes_as_attributes() -> None:
    text = "graph @g(%x: f32[2]) -> (%y) {\n  %y = nn.cast %x {to = i8} : i8[2]\n}\n"
    assert parse_graph(text).ops[0].attrs["to"] is DType.I8
    assert "attribute to must be a dtype" in failure(text.replace("to = i8", 'to = "i8"'))
