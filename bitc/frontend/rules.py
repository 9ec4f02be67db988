"""What a handler demands of a node and what it makes of it, read from its source: no list beside the code that could disagree with it.

A handler refuses a form with ``n.unsupported("rule", ...)`` and appends ops with ``n.emit("nn.op", ...)``, itself or through functions of
the frontend. :func:`findings` follows the handler's syntax tree for one op type, with everything that is constant for that op type
filled in (``n.op_type``, tables looked up with it, constant arguments of helpers), and collects both.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

from bitc.frontend.node import Handler, Node, find_handler

_EMITTING = {"emit", "emit_multi"}
_UNKNOWN = object()


@dataclass(frozen=True, slots=True)
class Findings:
    """``rules``: restrictions in order of appearance, what is known only for a node in {braces}; ``ops``: the ``nn`` ops it makes."""

    rules: tuple[str, ...]
    ops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Stub:
    """Stands for a node of which only the op type is known."""

    op_type: str


@cache
def findings(handler: Handler, op_type: str) -> Findings:
    """What ``handler`` demands and makes for nodes of ``op_type``. Raises ``LookupError`` for what has no name in the source."""
    reader = _Reader(_Stub(op_type))
    assert isinstance(handler, FunctionType)
    reader.read(handler, [], {})
    return Findings(tuple(reader.rules), tuple(reader.ops))


@dataclass(slots=True)
class _Reader:
    """Walks functions of the frontend, each once for the same constant arguments."""

    node: _Stub
    rules: dict[str, None] = field(default_factory=dict)
    ops: dict[str, None] = field(default_factory=dict)
    _seen: set[tuple[FunctionType, str]] = field(default_factory=set)

    def read(self, function: FunctionType, arguments: Sequence[object], keywords: Mapping[str, object]) -> None:
        """Follow ``function``, called with these arguments (``_UNKNOWN`` where they are not constant)."""
        bound = _bound(function, arguments, keywords, self.node)
        key = function, repr(sorted(bound.items()))
        if key in self._seen:
            return
        self._seen.add(key)
        scope = _Scope(function, bound)
        for node in scope.live(scope.tree):
            if isinstance(node, ast.Call):
                self._call(node, scope)

    def _call(self, call: ast.Call, scope: _Scope) -> None:
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if isinstance(call.func, ast.Attribute) and isinstance(scope.value(call.func.value), _Stub):
            if method == "unsupported":
                self.rules |= dict.fromkeys(scope.texts(call.args[0]))
                return
            if method in _EMITTING:
                self.ops |= dict.fromkeys(scope.texts(call.args[0]))
                return
            callee, arguments = getattr(Node, method, None), [self.node]
        else:
            callee, arguments = scope.value(call.func), []
        arguments += map(scope.value, call.args)
        if callee is find_handler:
            self._read_other(scope.value(call), arguments)
            return
        if scope.holds(call.func, find_handler):  # read where it was found, as the op type it is for
            return
        if isinstance(callee, FunctionType) and callee.__module__.startswith("bitc.frontend"):
            named = {word.arg: scope.value(word.value) for word in call.keywords if word.arg}
            self.read(callee, arguments, named)
            return
        for argument in arguments:  # a helper handed to map, reduce and the like
            if isinstance(argument, FunctionType) and argument.__module__.startswith("bitc.frontend"):
                self.read(argument, [], {})

    def _read_other(self, handler: object, arguments: Sequence[object]) -> None:
        """Follow the handler of another op type, which takes this node's place."""
        if isinstance(handler, FunctionType):
            other = _Reader(_Stub(str(arguments[1])), self.rules, self.ops, self._seen)
            other.read(handler, [], {})


def _bound(
    function: FunctionType, arguments: Sequence[object], keywords: Mapping[str, object], node: _Stub
) -> dict[str, object]:
    """Parameters that are constant. A helper that takes a Node takes the one at hand, perhaps with other operands."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    defaults = inspect.signature(function).parameters
    found = {name: p.default for name, p in defaults.items() if p.default is not inspect.Parameter.empty}
    found |= dict(zip(names[: code.co_argcount], arguments, strict=False))
    found |= {name: value for name, value in keywords.items() if name in names}
    found |= {name: node for name, wanted in function.__annotations__.items() if wanted == "Node" and name in names}
    return {name: value for name, value in found.items() if value is not _UNKNOWN}


class _Scope:
    """A function's syntax tree, with the values of names that are constant in it."""

    def __init__(self, function: FunctionType, bound: Mapping[str, object]) -> None:
        self.tree = _tree_of(function)
        code = function.__code__
        assigned = {part.id for part in ast.walk(self.tree) if isinstance(part, ast.Name) and _stores(part)}
        parameters = {part.arg for part in ast.walk(self.tree) if isinstance(part, ast.arg)}
        hidden = assigned | (parameters - bound.keys())
        self._where = f"{code.co_filename}:{code.co_firstlineno}"
        self._names: dict[str, Any] = {name: v for name, v in function.__globals__.items() if name not in hidden}
        self._names |= dict(inspect.getclosurevars(function).nonlocals) | dict(bound)
        self._hidden = hidden

    def live(self, node: ast.AST) -> Iterator[ast.AST]:
        """``node`` and all below it, without branches that are not taken for this op type."""
        yield node
        if isinstance(node, ast.If | ast.IfExp) and (test := self.value(node.test)) is not _UNKNOWN:
            taken: Any = node.body if test else node.orelse
            children: Sequence[ast.AST] = taken if isinstance(taken, list) else [taken]
        else:
            children = list(ast.iter_child_nodes(node))
        for child in children:
            yield from self.live(child)

    def value(self, expression: ast.expr) -> Any:
        """The value of an expression that is constant for this op type, else ``_UNKNOWN``."""
        if isinstance(expression, ast.Name) and expression.id in self._hidden:
            assigned = self._assigned(expression.id)
            return _UNKNOWN if assigned is None else self.value(assigned)
        parts = list(ast.walk(expression))
        if any(isinstance(part, ast.Starred | ast.Lambda) for part in parts):
            return _UNKNOWN
        if not self._hidden.isdisjoint(part.id for part in parts if isinstance(part, ast.Name)):
            return _UNKNOWN
        code = compile(ast.Expression(expression), self._where, "eval")
        try:
            return eval(code, self._names)
        except (NameError, AttributeError, TypeError, ValueError, LookupError):
            return _UNKNOWN

    def holds(self, expression: ast.expr, function: object) -> bool:
        """Whether ``expression`` is a variable that holds what ``function`` gave."""
        assigned = self._assigned(expression.id) if isinstance(expression, ast.Name) else None
        return isinstance(assigned, ast.Call) and self.value(assigned.func) is function

    def _assigned(self, name: str) -> ast.expr | None:
        """What a local variable that is assigned once is assigned."""
        targets = [n for n in ast.walk(self.tree) if isinstance(n, ast.Name) and n.id == name and _stores(n)]
        plain = [n for n in ast.walk(self.tree) if isinstance(n, ast.Assign) and n.targets == targets]
        return plain[0].value if len(targets) == len(plain) == 1 else None

    def texts(self, expression: ast.expr) -> list[str]:
        """The texts an expression may have: both of a choice that is made by the node. Raises ``LookupError`` as :meth:`text`."""
        if isinstance(expression, ast.IfExp) and self.value(expression.test) is _UNKNOWN:
            return [*self.texts(expression.body), *self.texts(expression.orelse)]
        return [self.text(expression)]

    def text(self, expression: ast.expr) -> str:
        """A rule's text, with what is not constant as ``{source}``. Raises ``LookupError`` where there is no text."""
        value = self.value(expression)
        if isinstance(value, str):
            return value
        match expression:
            case ast.JoinedStr(values=parts):
                return "".join(map(self.text, parts))
            case ast.FormattedValue(value=inner):
                known = self.value(inner)
                return "{" + ast.unparse(inner) + "}" if known is _UNKNOWN else str(known)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.text(left) + self.text(right)
            case ast.Name(id=name) if (assigned := self._assigned(name)) is not None:
                return self.text(assigned)
        raise LookupError(f"{self._where}: no text can be read from {ast.unparse(expression)}")


def _stores(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _tree_of(function: FunctionType) -> ast.AST:
    """The definition of ``function`` in the syntax tree of its file."""
    code = function.__code__
    return _definitions(code.co_filename)[code.co_firstlineno]


@cache
def _definitions(file: str) -> dict[int, ast.AST]:
    """The functions in a file by the line they, or their decorators, begin in."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]
    return {_first_line(node): node for node in reversed(nodes)}


def _first_line(node: ast.FunctionDef | ast.Lambda) -> int:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return decorators[0].lineno if decorators else node.lineno
