"""Pieces of a formula that are computed by formulaic from numbers of ours, what may be written beside a column, and how a value becomes a category."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.language.grammar import Token, text_of
from hte_bridge.language.kleene import numbers
from hte_bridge.language.values import Dates, Levels, Number, Truth, Unfit, Value

LARGEST = 1_000  # columns of one spline or polynomial
CURVES = (
    "poly",
    "bs",
    "cr",
    "cs",
    "cc",
    "scale",
    "center",
    "standardize",
)  # formulaic's, of one column of numbers


def transform(name: str) -> Callable[..., Any]:
    from formulaic.transforms import TRANSFORMS

    found: Callable[..., Any] = TRANSFORMS[name]
    return found


def scaled(name: str) -> Callable[[Array], Array]:
    return lambda values: np.asarray(ask(transform(name), values), dtype=np.float64)


SCALES = {name: scaled(name) for name in ("scale", "center", "standardize")}  # may stand inside an expression


def ask(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What formulaic answers; its complaints end our sentence."""
    from formulaic.errors import FormulaicError

    try:
        return function(*arguments, **options)
    except (FormulaicError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Unfit(f"cannot be made: {said.rstrip('.')}") from error


def named(pieces: tuple[Token, ...]) -> tuple[str, tuple[Token, ...]]:
    """The name, or an empty string, and the tokens of an argument."""
    if len(pieces) > 2 and pieces[0].kind == "name" and pieces[1].said == "=":
        return pieces[0].said, pieces[2:]
    return "", pieces


def written_out(pieces: tuple[Token, ...]) -> Any:
    """A number, text, yes or no, or a list of them, written out."""
    words = []
    for piece in pieces:
        fixed = (
            piece.said in ("True", "False", "None")
            if piece.kind == "name"
            else piece.said in ("-", "[", "]", "(", ")", ",")
        )
        if piece.kind not in ("number", "text") and not (piece.kind in ("name", "sign") and fixed):
            raise Unfit(
                f"has an argument `{piece.written}`; beside the column only numbers and text, written out, may stand"
            )
        words.append(repr(text_of(piece)) if piece.kind == "text" else piece.said)
    try:
        found = ast.literal_eval(" ".join(words))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unfit("has an argument that cannot be read") from error
    return found


def floats(value: Value) -> Array:
    return numbers(value).values


def levels_of(value: Value) -> pd.Series:
    """A category of the levels that occur, in their order."""
    if isinstance(value, Levels):
        codes = pd.Categorical.from_codes(value.codes, value.levels, ordered=value.ordered)
        found = codes.remove_unused_categories()
    elif isinstance(value, Truth):
        found = pd.Categorical(value.yes)
    elif isinstance(value, Number):
        whole = (value.values == np.round(value.values)) & (np.abs(value.values) < 2**53)
        plain = value.values.astype(np.int64) if bool(np.all(whole)) else value.values
        found = pd.Categorical(plain if value.exact is None else value.exact)
    elif isinstance(value, Dates):
        raise Unfit("holds dates; turn them into a number or a category")
    else:
        found = pd.Categorical(value.values)
    return pd.Series(found)
