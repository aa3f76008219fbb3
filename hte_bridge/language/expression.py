"""Conditions and computed columns: a tree is walked and each node computed here; a node that is not listed is refused.

So there are no attributes, subscripts, assignments, lambdas or calls beyond ``FUNCTIONS``, and no name that is not a column.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd

from hte_bridge.errors import InvalidOption, nearest
from hte_bridge.language.grammar import Read, Token, read, text_of, tokens_of
from hte_bridge.language.kleene import among, compare, compute, numbers
from hte_bridge.language.values import Number, Truth, Unfit, Value, literal, value_of

EXAMPLE = "such as \"age > 30 and town in ['a', 'b']\""
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "arcsinh": np.arcsinh,
    "asinh": np.arcsinh,
    "ceil": np.ceil,
    "cos": np.cos,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "round": np.round,
    "sign": np.sign,
    "sin": np.sin,
    "sqrt": np.sqrt,
    "tan": np.tan,
}
SIGN_OF: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
STRANGE = {  # name of a node -> what is said of it
    "Subscript": "asks for a part by square brackets",
    "List": "has a list outside of `in`",
    "Tuple": "has a comma outside of a list",
    "Starred": "holds a star without a left side",
}
QUESTIONS = {"isna": True, "isnull": True, "notna": False, "notnull": False}  # of any value: is it missing?


def evaluate(
    text: Read, frame: pd.DataFrame, further: Mapping[str, Callable[..., Any]] | None = None
) -> Value:
    """The value of a text on a frame, (n,), or one value where no column is named.

    Parameters
    ----------
    text : Read
    frame : DataFrame (n, ...)
    further : mapping, optional
        Functions of one array (n,) beyond ``FUNCTIONS``.

    Raises
    ------
    Unfit
        For what the grammar does not hold; ``about`` is the part of the text that it says something of.
    """
    return _Walk(text, frame, {**FUNCTIONS, **(further or {})}).of(text.tree)


@dataclass(frozen=True, eq=False)
class _Walk:
    text: Read
    frame: pd.DataFrame
    functions: Mapping[str, Callable[..., Any]]

    def of(self, node: ast.expr) -> Value:
        """Value of a node."""
        try:
            method = self.NODES.get(type(node))
            if method is None:
                raise Unfit(
                    STRANGE.get(type(node).__name__, f"is no part of the grammar ({type(node).__name__})")
                )
            return method(self, node)
        except Unfit as error:
            error.about = error.about or self.text.shown(node)
            raise

    def condition(self, node: ast.expr) -> Truth:
        """Value of a node that must be yes or no."""
        value = self.of(node)
        if isinstance(value, Truth):
            return value
        raise Unfit(
            f"holds {value.said} and is no condition; compare it with something", self.text.shown(node)
        )

    def _name(self, node: ast.Name) -> Value:
        token = self.text.meant[node.id]
        if token.kind == "text":
            return literal(text_of(token))
        return value_of(column_called(self.frame, token.said))

    def _constant(self, node: ast.Constant) -> Value:
        if node.value is None:
            raise Unfit("is no value to compare or compute with; ask isna(x) or notna(x)")
        return literal(cast(float, node.value))

    def _logic(self, node: ast.BoolOp) -> Value:
        parts = [self.condition(each) for each in node.values]
        out = parts[0]
        for each in parts[1:]:
            out = out & each if isinstance(node.op, ast.And) else out | each
        return out

    def _unary(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not | ast.Invert):
            return ~self.condition(node.operand)
        sign = -1 if isinstance(node.op, ast.USub) else 1
        if isinstance(node.operand, ast.Constant) and type(node.operand.value) in (int, float):
            return literal(sign * cast(float, node.operand.value))
        return compute("*", literal(sign), self.of(node.operand))

    def _binary(self, node: ast.BinOp) -> Value:
        if type(node.op) not in SIGN_OF:
            raise Unfit("holds an operator that is no part of the grammar")
        return compute(SIGN_OF[type(node.op)], self.of(node.left), self.of(node.right))

    def _compare(self, node: ast.Compare) -> Value:
        lefts = [node.left, *node.comparators[:-1]]
        parts = [self._pair(*each) for each in zip(lefts, node.ops, node.comparators, strict=True)]
        out = parts[0]
        for each in parts[1:]:
            out = out & each
        return out

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Truth:
        """One comparison of a chain."""
        if isinstance(op, ast.In | ast.NotIn):
            held = among(self.of(left), self._listed(right))
            return held if isinstance(op, ast.In) else ~held
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise Unfit("asks `is` of something else than None; equality is written `==`")
            gone = self.of(left).missing
            return Truth(gone, ~gone) if isinstance(op, ast.Is) else Truth(~gone, gone)
        return compare(SIGN_OF[type(op)], self.of(left), self.of(right))

    def _listed(self, node: ast.expr) -> list[Any]:
        if not isinstance(node, ast.List | ast.Tuple):
            raise Unfit("asks for membership in something that is no list; write in ['a', 'b']")
        return [self._item(each) for each in node.elts]

    def _item(self, node: ast.expr) -> Any:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            found = self._item(node.operand)
            if type(found) in (int, float):
                return -found
        elif isinstance(node, ast.Constant) and node.value is not None:
            return node.value
        elif isinstance(node, ast.Name) and self.text.meant[node.id].kind == "text":
            return text_of(self.text.meant[node.id])
        raise Unfit("has a list of something else than numbers or text; ask isna(x) for what is missing")

    def _call(self, node: ast.Call) -> Value:
        token = self.text.meant.get(getattr(node.func, "id", ""), Token("", "", ""))
        if token.kind != "name" or (token.said not in self.functions and token.said not in QUESTIONS):
            names = ", ".join(sorted({*self.functions, *QUESTIONS}))
            raise Unfit(f"is not one of the functions: {names}", self.text.shown(node.func))
        if node.keywords or any(isinstance(each, ast.Starred) for each in node.args) or not node.args:
            raise Unfit("must be given its arguments by place, one at least")
        if token.said in QUESTIONS:
            gone = self._only(node).missing
            return Truth(gone, ~gone) if QUESTIONS[token.said] else Truth(~gone, gone)
        return self._applied(token.said, node)

    def _only(self, node: ast.Call) -> Value:
        if len(node.args) != 1:
            raise Unfit("must be given one argument")
        return self.of(node.args[0])

    def _applied(self, name: str, node: ast.Call) -> Number:
        """A function of numbers; unknown where an argument is."""
        function = self.functions[name]
        if name in ("minimum", "maximum"):
            given = [numbers(self.of(each)).values for each in node.args]
            if len(given) < 2:
                raise Unfit("must be given two arguments or more")
        elif name == "round" and len(node.args) == 2:
            digits = self._item(node.args[1])
            if type(digits) is not int or abs(digits) > 15:
                raise Unfit("must be given a number of digits from -15 to 15")
            given = [numbers(self.of(node.args[0])).values]
            return Number(np.round(given[0], digits))
        else:
            given = [numbers(self._only(node)).values]
        with np.errstate(all="ignore"):
            out = function(*given[:2])
            for each in given[2:]:
                out = function(out, each)
        return Number(np.asarray(out, dtype=np.float64))

    NODES: ClassVar[dict[type, Callable[[_Walk, Any], Value]]] = {
        ast.Name: _name,
        ast.Constant: _constant,
        ast.BoolOp: _logic,
        ast.UnaryOp: _unary,
        ast.BinOp: _binary,
        ast.Compare: _compare,
        ast.Call: _call,
    }


def column_called(frame: pd.DataFrame, name: str) -> pd.Series:
    """A column by its name, or by its name as text where that names one alone.

    Raises
    ------
    Unfit
        With the nearest names, if there is none.
    """
    if name in frame.columns:
        return frame[name]
    alike = [each for each in frame.columns if str(each) == name]
    if len(alike) != 1:
        raise Unfit(f"is not one of the columns. {nearest(name, frame.columns)}".rstrip("."), f"{name}")
    return frame[alike[0]]


def names_columns(text: Read) -> bool:
    """Whether a text names a column."""
    called = {id(node.func) for node in ast.walk(text.tree) if isinstance(node, ast.Call)}
    names = [node for node in ast.walk(text.tree) if isinstance(node, ast.Name) and id(node) not in called]
    return any(text.meant[each.id].kind != "text" for each in names)


def condition(text: str, frame: pd.DataFrame, what: str = "where") -> Truth:
    """Which rows of a frame satisfy a condition, which do not, and of which it is unknown.

    Parameters
    ----------
    text : str
        Columns by name (in backticks where the name is no identifier), numbers, text in quotes, True and False; ``== != < <= > >=``,
        chained too; ``in`` and ``not in`` lists; ``and or not`` (``& | ~``, with the same precedence, as in pandas); ``+ - * / // % **``;
        ``FUNCTIONS``; ``isna`` and ``notna``. Text in quotes is compared with text, levels, or dates (ISO 8601).
    frame : DataFrame (n, ...)

    Raises
    ------
    InvalidOption
        For anything else, with the part that is not understood.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [20, 40, None], "town": ["a", "b", "b"]})
    >>> found = condition("age > 30 or town == 'a'", frame)
    >>> found.yes, found.missing
    (array([ True,  True, False]), array([False, False,  True]))
    """
    try:
        found = read(tokens_of(text))
        value = evaluate(found, frame)
        if not isinstance(value, Truth):
            raise Unfit(f"holds {value.said} and is no condition; compare it with something")
        if not names_columns(found):
            raise Unfit("names no column")
    except Unfit as error:
        raise InvalidOption(f"`{what}` must be a condition {EXAMPLE}. {error.sentence(text)}") from error
    return value
