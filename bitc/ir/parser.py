"""The inverse of :mod:`bitc.ir.printer`: text to graph, by the grammar in ``grammar.lark`` and the registry of ops.

Every op's types are inferred anew and compared with the written ones, so a text that parses is a graph that type-checks. Layouts are
nobody's inference and are taken from the text. Each error shows its line with carets.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from bitc.ir.attributes import MAX_DEPTH, declared_kinds, fits, kind_words
from bitc.ir.graph import Graph, Op, Value, result_types
from bitc.ir.literals import parse_element, parse_float
from bitc.ir.ops import REQUIRED, OpDecl, all_ops, declared
from bitc.ir.types import BufferType, CodeType, DType, Layout, Levels, TensorType, Type

_Node = Token | Tree[Token]

_MAX_BRACKETS = 4 * MAX_DEPTH
_BRACKETS = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|[\[{(]|[\]})]')
_SHOWN_COLUMNS = 110

_WORDS = {
    "VALUE": "a value such as %x",
    "SYMBOL": "a graph name such as @net",
    "AT": "a layout such as @nhwc",
    "NAME": "a name",
    "STRING": "a quoted string",
    "DIGEST": "a hash such as sha256:0123456789abcdef",
    "FLOAT": "a number",
    "INT": "a whole number",
    "$END": "the end of the text",
}


class IrSyntaxError(ValueError):
    """A text that is no graph. ``line`` and ``column`` count from 1; the message shows the place."""

    def __init__(self, problem: str, text: str, start: int, end: int, filename: str) -> None:
        before = text[:start]
        self.problem = problem
        self.line = before.count("\n") + 1
        self.column = start - (before.rfind("\n") + 1) + 1
        line = text.split("\n", self.line)[self.line - 1]
        carets = max(1, min(end, start - self.column + 1 + len(line)) - start)
        shift = max(0, min(self.column - 1 - _SHOWN_COLUMNS // 2, len(line) - _SHOWN_COLUMNS))
        shown = line[shift : shift + _SHOWN_COLUMNS]
        pad = re.sub(r"[^\t]", " ", shown[: self.column - 1 - shift])
        mark = "^" * min(carets, max(1, len(shown) - len(pad)))
        super().__init__(f"{filename}:{self.line}:{self.column}: {problem}\n  {shown}\n  {pad}{mark}")


def parse_graph(text: str, constants: Mapping[str, np.ndarray] | None = None, filename: str = "<text>") -> Graph:
    """The graph that ``text`` describes; ``constants`` holds the arrays that it names by hash (see ``print_graph``).

    Raises :class:`IrSyntaxError`, and nothing else, for whatever is wrong with the text.
    """
    elaborator = _Elaborator(text, constants or {}, filename)
    elaborator.check_depth()
    try:
        tree = _grammar().parse(text)
    except UnexpectedInput as error:
        raise elaborator.syntax_error(error) from None
    return elaborator.graph(_trees(tree)[0])


@cache
def _grammar() -> Lark:
    grammar = resources.files("bitc.ir").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def _trees(tree: Tree[Token]) -> list[Tree[Token]]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _tokens(tree: _Node | None) -> list[Token]:
    return [child for child in tree.children if isinstance(child, Token)] if isinstance(tree, Tree) else []


def _near(word: str, known: Iterable[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


class _Elaborator:
    """Gives meaning to a syntax tree, and knows the text for its errors."""

    def __init__(self, text: str, constants: Mapping[str, np.ndarray], filename: str) -> None:
        self._text = text
        self._constants = constants
        self._filename = filename

    def error(self, at: _Node, problem: str) -> IrSyntaxError:
        """The error at a token or tree."""
        start, end = (at.start_pos, at.end_pos) if isinstance(at, Token) else (at.meta.start_pos, at.meta.end_pos)
        return self._error(start or 0, end or 0, problem)

    def _error(self, start: int, end: int, problem: str) -> IrSyntaxError:
        return IrSyntaxError(problem, self._text, start, end, self._filename)

    def check_depth(self) -> None:
        """Bounds the recursion of everything below by the depth of brackets."""
        depth = 0
        for match in _BRACKETS.finditer(self._text):
            depth += (match[0] in "[{(") - (match[0] in "]})")
            if depth > _MAX_BRACKETS:
                raise self._error(match.start(), match.end(), f"brackets nest deeper than {_MAX_BRACKETS}")

    def syntax_error(self, error: UnexpectedInput) -> IrSyntaxError:
        """What lark found, in plain words."""
        patterns = {terminal.name: terminal.pattern.value for terminal in _grammar().terminals}
        if isinstance(error, UnexpectedToken):
            expected, token = error.accepts or error.expected, error.token
            end = token.type == "$END"
            found = "the text ends" if end else f"unexpected {token.value!r}"
            start = len(self._text.rstrip()) if end else token.start_pos or 0
            stop = start + (1 if end else len(token))
        else:
            assert isinstance(error, UnexpectedCharacters)
            start = error.pos_in_stream or 0
            stop, expected, found = start + 1, error.allowed, f"unexpected {self._text[start]!r}"
        words = sorted({_WORDS.get(name) or repr(patterns[name]) for name in expected})
        hope = words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]
        return self._error(start, stop, f"{found}; expected {hope}")

    def graph(self, tree: Tree[Token]) -> Graph:
        """``graph @name(inputs) -> (outputs) attrs {...} { ops }``"""
        symbol, inputs, outputs, attrs, *ops = tree.children
        scope: dict[str, Value] = {}
        made_inputs = [self._input(child, scope) for child in _trees(inputs)] if isinstance(inputs, Tree) else []
        later = {self._name(token) for op in ops if isinstance(op, Tree) for token in _tokens(op.children[0])}
        made_ops = [self._op(op, scope, later) for op in ops if isinstance(op, Tree)]
        made_outputs = [self._value(token, scope, set()) for token in _tokens(outputs)]
        assert isinstance(symbol, Token)
        return Graph(self._name(symbol), made_inputs, made_ops, made_outputs, self._attributes(attrs, None))

    def _input(self, tree: Tree[Token], scope: dict[str, Value]) -> Value:
        token, type_tree, origin = tree.children
        assert isinstance(token, Token)
        assert isinstance(type_tree, Tree)
        name = self._name(token)
        value = Value(name, self._type(type_tree), None, name)
        if isinstance(origin, Tree):
            (value.origin,) = self._strings(origin, 1)
        self._define(token, value, scope)
        return value

    def _op(self, tree: Tree[Token], scope: dict[str, Value], later: Collection[str]) -> Op:
        results, name, operands, attrs, types, loc, origin = tree.children
        assert isinstance(name, Token)
        assert isinstance(types, Tree)
        decl = declared(str(name))
        if decl is None:
            raise self.error(name, f"unknown op {name}{_near(name, all_ops())}")
        reads = [self._value(token, scope, later) for token in _tokens(operands)]
        op = Op(
            decl, reads, self._attributes(attrs, decl, name), self._strings(loc, 1)[0] if isinstance(loc, Tree) else ""
        )
        written = [self._type(child) for child in _trees(types)]
        inferred = self._inferred(op, name)
        tokens = _tokens(results)
        for have, what in ((len(tokens), "names"), (len(written), "types")):
            if have != len(inferred):
                raise self.error(
                    name if what == "names" else types, f"{name} has {len(inferred)} results, not {have} {what}"
                )
        for want, have_type, at in zip(inferred, written, _trees(types), strict=True):
            if str(_plain(want)) != str(_plain(have_type)):
                raise self.error(at, f"the type is written as {have_type}, but {name} gives {want}")
        origins = self._strings(origin, len(tokens)) if isinstance(origin, Tree) else [""] * len(tokens)
        names = [self._name(token) for token in tokens]
        op.results = tuple(Value(n, t, op, o) for n, t, o in zip(names, written, origins, strict=True))
        for token, value in zip(tokens, op.results, strict=True):
            self._define(token, value, scope)
        return op

    def _inferred(self, op: Op, at: Token) -> tuple[Type, ...]:
        try:
            return result_types(op.decl, op.operands, op.attrs)
        except (
            ValueError,
            ArithmeticError,
            LookupError,
            TypeError,
        ) as error:  # a rule may stumble over what nobody but a text writes
            raise self.error(at, str(error)) from None

    def _define(self, token: Token, value: Value, scope: dict[str, Value]) -> None:
        if value.name in scope:
            raise self.error(token, f"{token} is defined twice")
        scope[value.name] = value

    def _value(self, token: Token, scope: Mapping[str, Value], later: Collection[str]) -> Value:
        name = self._name(token)
        if name in scope:
            return scope[name]
        if name in later:
            raise self.error(token, f"{token} is used before it is defined")
        raise self.error(token, f"unknown value {token}{_near(name, scope, '%')}")

    def _attributes(self, tree: object, decl: type[OpDecl] | None, op_name: Token | None = None) -> dict[str, Any]:
        """All attributes: those written, checked against ``decl``, and its defaults. Without ``decl`` any name goes."""
        written: dict[str, Any] = {}
        for pair in _trees(tree) if isinstance(tree, Tree) else []:
            key_token, value_node = pair.children
            assert isinstance(key_token, Token)
            assert value_node is not None
            key = self._string(key_token) if key_token.type == "STRING" else str(key_token)
            if key in written:
                raise self.error(key_token, f"attribute {key} is given twice")
            if decl is not None and key not in decl.attrs:
                known = ", ".join(decl.attrs) or "none"
                raise self.error(
                    key_token, f"{decl.name} has no attribute {key} (it has {known}){_near(key, decl.attrs)}"
                )
            written[key] = self._attr(value_node)
            kind = declared_kinds(decl).get(key) if decl is not None else None
            if kind is not None and not fits(written[key], kind):
                raise self.error(value_node, f"attribute {key} must be {kind_words(kind)}")
        if decl is None:
            return written
        missing = [key for key, default in decl.attrs.items() if default is REQUIRED and key not in written]
        if missing and op_name is not None:
            raise self.error(op_name, f"{decl.name} needs attribute {missing[0]}")
        return {key: written.get(key, default) for key, default in decl.attrs.items()}

    def _attr(self, node: _Node) -> Any:
        if isinstance(node, Token):
            return self._scalar(node)
        match node.data:
            case "list":
                return tuple(self._attr(child) for child in node.children if child is not None)
            case "array":
                return self._array(node)
            case "constant":
                return self._constant(node)
            case "graph":
                return self.graph(node)
        return self._levels(node)

    def _scalar(self, token: Token) -> object:
        match token.type:
            case "INT":
                return self._int(token)
            case "FLOAT":
                return self._float(token)
            case "STRING":
                return self._string(token)
            case "AT":
                return self._layout(token)
        words = {"true": True, "false": False, "none": None} | {str(dtype): dtype for dtype in DType}
        if token not in words:
            raise self.error(token, f"unknown word {token}{_near(token, words)}")
        return words[str(token)]

    def _array(self, tree: Tree[Token]) -> np.ndarray:
        element, dims, *rest = tree.children
        assert isinstance(element, Token)
        assert isinstance(dims, Tree)
        texts = [child for child in rest if isinstance(child, Token)]
        dtype, shape = self._dtype(element), self._dims(dims)
        if len(texts) != TensorType(shape).size:
            raise self.error(dims, f"shape {list(shape)} has {TensorType(shape).size} elements, {len(texts)} are given")
        array = np.empty(len(texts), dtype.numpy)
        for index, token in enumerate(texts):
            try:
                array[index : index + 1] = parse_element(token, dtype)
            except ValueError as error:
                raise self.error(token, str(error)) from None
        array = array.reshape(shape)
        array.flags.writeable = False
        return array

    def _constant(self, tree: Tree[Token]) -> np.ndarray:
        key, element, dims = tree.children
        assert isinstance(key, Token)
        assert isinstance(element, Token)
        assert isinstance(dims, Tree)
        if key not in self._constants:
            raise self.error(key, f"no constant {key} among the {len(self._constants)} that came with the text")
        array = self._constants[str(key)]
        if array.dtype != self._dtype(element).numpy or array.shape != self._dims(dims):
            raise self.error(element, f"the constant {key} is {array.dtype}{list(array.shape)}")
        array = array.view()
        array.flags.writeable = False
        return array

    def _type(self, tree: Tree[Token]) -> Type:
        match tree.data:
            case "tensor":
                element, dims, layout = tree.children
                assert isinstance(element, Token)
                assert isinstance(dims, Tree)
                return TensorType(self._dims(dims), self._dtype(element), self._layout(layout))
            case "codes":
                levels, scale, dims, layout = tree.children
                assert isinstance(levels, Tree)
                assert isinstance(dims, Tree)
                factor = self._float(scale) if isinstance(scale, Token) else 1.0
                return CodeType(self._dims(dims), self._levels(levels), factor, self._layout(layout))
        element, dims = tree.children
        assert isinstance(element, Token)
        assert isinstance(dims, Tree)
        return BufferType(self._dims(dims), self._dtype(element))

    def _dims(self, tree: Tree[Token]) -> tuple[int, ...]:
        for token in _tokens(tree):
            if token.startswith("-"):
                raise self.error(token, "a dimension is not negative")
        return tuple(self._int(token) for token in _tokens(tree))

    def _levels(self, tree: Tree[Token]) -> Levels:
        numbers = [self._int(token) for token in _tokens(tree)]
        if tree.data == "spanned":
            lo, hi, step = (*numbers, 1)[:3]
        else:
            lo, hi, step = numbers[0], numbers[-1], numbers[1] - numbers[0]
        count = (hi - lo) // step + 1 if step > 0 else 0
        members = [lo + step * i for i in range(len(numbers))]
        even = tree.data == "spanned" or (count == len(numbers) and numbers == members)
        if not even or count < 2 or lo + step * (count - 1) != hi:
            raise self.error(tree, "levels are two or more whole numbers at equal distance, ascending")
        return Levels(lo, step, count)

    def _layout(self, token: object) -> Layout:
        if not isinstance(token, Token):
            return Layout.ROW_MAJOR
        known = {str(layout): layout for layout in Layout}
        if token[1:] not in known:
            raise self.error(token, f"unknown layout {token}{_near(token[1:], known, '@')}")
        return known[token[1:]]

    def _dtype(self, token: Token) -> DType:
        known = {str(dtype): dtype for dtype in DType}
        if token not in known:
            raise self.error(token, f"unknown dtype {token}{_near(token, known)}")
        return known[str(token)]

    def _int(self, token: Token) -> int:
        try:
            return int(token)
        except ValueError:
            raise self.error(token, "a number of that many digits is not read") from None

    def _float(self, token: Token) -> float:
        try:
            return float(parse_float(token)[0])
        except ValueError as error:
            raise self.error(token, str(error)) from None

    def _name(self, token: Token) -> str:
        """The name behind ``%`` or ``@``, unquoted."""
        return self._string(token, token[1:]) if token[1:].startswith('"') else str(token[1:])

    def _string(self, token: Token, quoted: str | None = None) -> str:
        try:
            return str(json.loads(quoted if quoted is not None else token))
        except ValueError as error:
            raise self.error(token, f"a bad quoted string: {error}") from None

    def _strings(self, tree: Tree[Token], count: int) -> list[str]:
        tokens = _tokens(tree)
        if len(tokens) != count:
            raise self.error(tree, f"needs {count} strings, got {len(tokens)}")
        return [self._string(token) for token in tokens]


def _plain(type: Type) -> Type:
    """The type without a chosen layout."""
    return type if isinstance(type, BufferType) else type.with_layout(Layout.ROW_MAJOR)
