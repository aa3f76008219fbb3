"""Covariates that are computed from a frame's columns, ``log(dist)`` or ``C(region)``: how, so that new rows are computed the same way.

Values are those of our own grammar (``expression``); formulaic makes polynomials and splines, whose knots and norms are kept. Nothing that a user
writes is run as code.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.language.expression import column_called, evaluate
from hte_bridge.language.grammar import Read, read, text_of, tokens_of
from hte_bridge.language.pieces import CURVES, LARGEST, ask, floats, levels_of, named, transform, written_out
from hte_bridge.language.terms import Factor, Term
from hte_bridge.language.values import Levels, Text, Unfit, Value, value_of

MOST = 200  # columns of one product


@dataclass(frozen=True, eq=False)
class Part:
    """One factor of a term.

    Parameters
    ----------
    shown : str
        Its name.
    written : str
        What is computed, in the grammar of ``expression``; of a plain column its name.
    call : str
        ``"C"`` for a category, a curve's name, or empty.
    arguments : tuple
        Of a curve: name (empty for a place) and value of each.
    levels : tuple
        Of a category: those of the study, the one that is left out first.
    state : mapping
        What a curve learned from the study's rows.
    plain : bool
        Whether it is one column as it stands.
    """

    shown: str
    written: str
    call: str = ""
    arguments: tuple[tuple[str, Any], ...] = ()
    levels: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)
    plain: bool = False

    @classmethod
    def of(cls, factor: Factor) -> Part:
        """Read a factor; what it needs to learn of the rows is learned when it is computed first."""
        first = factor.pieces[0] if factor.pieces else None
        if first is not None and len(factor.pieces) == 1 and first.kind in ("name", "quoted"):
            return cls(first.said, first.said, plain=True)
        call = factor.call
        if call == "Q" and [piece.kind for each in factor.arguments for piece in each] == ["text"]:
            name = text_of(factor.arguments[0][0])
            return cls(name, name, plain=True)
        if call in ("C", "i") and factor.arguments:
            return cls._category(factor)
        if call in CURVES and factor.arguments:
            return cls._curve(factor)
        inner = factor.arguments[0] if call == "I" and len(factor.arguments) == 1 else factor.pieces
        text = read(inner).shown()
        return cls(f"I({text})" if call == "I" else text, text)

    @classmethod
    def _category(cls, factor: Factor) -> Part:
        text = read(factor.arguments[0]).shown()
        given = dict(named(each) for each in factor.arguments[1:])
        if set(given) - {"ref"} or len(given) < len(factor.arguments) - 1:
            raise Unfit(
                "may be given ref=, the level that is left out; other contrasts are no other covariates"
            )
        first = tuple(written_out(pieces) for pieces in given.values())
        shown = "".join(f", ref={each!r}" for each in first)
        return cls(f"C({text}{shown})", text, "C", tuple(("ref", each) for each in first))

    @classmethod
    def _curve(cls, factor: Factor) -> Part:
        text = read(factor.arguments[0]).shown()
        given = tuple(
            (name, written_out(pieces)) for name, pieces in (named(each) for each in factor.arguments[1:])
        )
        for name, value in given:
            if name in ("", "df", "degree") and isinstance(value, int) and value > LARGEST:
                raise Unfit(f"asks for {value:,} columns or more; at most {LARGEST:,} are made")
        said = [text, *(f"{name}={value!r}" if name else repr(value) for name, value in given)]
        return cls(f"{factor.call}({', '.join(said)})", text, factor.call, given)

    @property
    def text(self) -> Read:
        """What is computed, read."""
        return read(tokens_of(self.written))

    def value(self, frame: pd.DataFrame) -> Value:
        """The factor's value before it is coded."""
        if self.plain:
            return value_of(column_called(frame, self.written))
        with np.errstate(all="ignore"):
            return evaluate(self.text, frame)

    def series(self, frame: pd.DataFrame) -> pd.Series | None:
        """The factor as one column: numbers, or a category; ``None`` of a curve."""
        if self.call in CURVES:
            return None
        value = self.value(frame)
        if self.call == "C" or isinstance(value, Text | Levels):
            found = levels_of(value)
            for _, first in self.arguments:
                others = [each for each in found.cat.categories if each != first]
                if len(others) < len(found.cat.categories):
                    found = found.cat.reorder_categories([first, *others])
            return found
        return pd.Series(floats(value))

    def check(self, frame: pd.DataFrame) -> None:
        """The level that is to be left out is one of the study's.

        Raises
        ------
        Unfit
            If it is not.
        """
        for _, first in self.arguments if self.call == "C" else ():
            if first not in list(levels_of(self.value(frame)).cat.categories):
                raise Unfit(f"has no level {first!r}", self.shown)

    def curve(self, frame: pd.DataFrame) -> dict[str, Array]:
        """The columns (n,) of a curve by name, missing where what it is made of is."""
        values = floats(self.value(frame))
        there = ~np.isnan(values)
        places = [value for name, value in self.arguments if not name]
        options = {name: value for name, value in self.arguments if name}
        made = ask(transform(self.call), values[there], *places, _state=self.state, **options)
        parts = (
            dict(made)
            if isinstance(made, Mapping)
            else dict(enumerate(np.asarray(made).reshape(there.sum(), -1).T, 1))
        )
        out = {}
        for name, part in parts.items():
            column = np.full(len(values), np.nan)
            column[there] = np.asarray(part, dtype=np.float64)
            out[self.shown if len(parts) == 1 else f"{self.shown}[{name}]"] = column
        return out

    def coded(self, frame: pd.DataFrame, whole: bool) -> tuple[Part, dict[str, Array]]:
        """The part with its levels learned, and its columns (n,) by name; ``whole``: an indicator of the first level too."""
        series = self.series(frame)
        if series is None:
            return self, self.curve(frame)
        if not isinstance(series.dtype, pd.CategoricalDtype):
            return self, {self.shown: series.to_numpy(dtype=np.float64)}
        levels = self.levels or tuple(series.cat.categories)
        strange = [each for each in series.cat.categories if each not in levels]
        if strange:
            raise Unfit(f"holds the level {strange[0]!r}, which the study has not seen")
        codes = series.cat.set_categories(list(levels)).cat.codes.to_numpy()
        gap = codes < 0
        out = {
            f"{self.shown}[{level}]": np.where(gap, np.nan, (codes == place).astype(np.float64))
            for place, level in enumerate(levels)
            if whole or place
        }
        return Part(self.shown, self.written, self.call, self.arguments, levels, self.state, self.plain), out

    def to_json(self) -> dict[str, Any]:
        """Plain values from which ``from_json`` rebuilds the part."""
        held = {"arguments": self.arguments, "levels": self.levels, "state": _plain(self.state)}
        return {
            "shown": self.shown,
            "written": self.written,
            "call": self.call,
            "plain": self.plain,
            "held": repr({key: _plain(each) for key, each in held.items()}),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Part:
        """Rebuild what ``to_json`` wrote."""
        held = ast.literal_eval(said["held"])
        return cls(
            said["shown"],
            said["written"],
            said["call"],
            tuple(tuple(each) for each in held["arguments"]),
            tuple(held["levels"]),
            held["state"],
            said["plain"],
        )


@dataclass(frozen=True, eq=False)
class Recipe:
    """How the columns of one term are made.

    Parameters
    ----------
    parts : tuple of Part
    whole : tuple of bool
        Of each part, if it is a category in a product: whether its first level has an indicator too.
    makes : tuple of str
        Names of the columns.
    needs : mapping of str to str
        The frame's columns that it is computed from, and whether they are read as ``"number"`` or ``"text"``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from hte_bridge.language.recipes import Recipe
    >>> from hte_bridge.language.terms import terms_of
    >>> (term,) = terms_of("log(x)")
    >>> recipe, columns = Recipe.of(term, (False,), pd.DataFrame({"x": [1.0, np.e]}))
    >>> recipe.makes, [round(float(each)) for each in columns["log(x)"]]
    (('log(x)',), [0, 1])
    """

    parts: tuple[Part, ...]
    whole: tuple[bool, ...]
    makes: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, term: Term, whole: tuple[bool, ...], frame: pd.DataFrame) -> tuple[Recipe, dict[str, Any]]:
        """Learn a term's recipe from a frame, and its columns (n,)."""
        parts = tuple(Part.of(factor) for factor in term)
        for part in parts:
            part.check(frame)
        recipe = cls(parts, whole)
        learned, columns = recipe._made(frame)
        return cls(learned, whole, tuple(columns), _needs(parts, frame)), columns

    @property
    def plain(self) -> bool:
        """Whether the term is one column of the frame as it stands."""
        return len(self.parts) == 1 and self.parts[0].plain

    def columns(self, frame: pd.DataFrame) -> dict[str, Any]:
        """The term's columns (m,) of other rows.

        Raises
        ------
        Unfit
            If what it is computed from has levels that the study has not seen, or cannot be computed.
        """
        return self._made(frame)[1]

    def _made(self, frame: pd.DataFrame) -> tuple[tuple[Part, ...], dict[str, Any]]:
        rows = frame.reset_index(drop=True)
        if len(self.parts) == 1:
            (part,) = self.parts
            series = part.series(rows)
            found = part.curve(rows) if series is None else {part.shown: series.array}
            return self.parts, found
        learned, out = [], {"": np.ones(len(rows))}
        for part, whole in zip(self.parts, self.whole, strict=True):
            own, columns = part.coded(rows, whole)
            learned.append(own)
            out = {
                f"{left}:{right}".lstrip(":"): one * other
                for left, one in out.items()
                for right, other in columns.items()
            }
            if len(out) > MOST:
                raise Unfit(f"makes {len(out):,} columns or more; at most {MOST:,} are made")
        return tuple(learned), out

    def to_json(self) -> dict[str, Any]:
        """Plain values from which ``from_json`` rebuilds the recipe."""
        parts = [part.to_json() for part in self.parts]
        return {"parts": parts, "whole": self.whole, "makes": self.makes, "needs": dict(self.needs)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Recipe:
        """Rebuild what ``to_json`` wrote."""
        parts = tuple(Part.from_json(each) for each in said["parts"])
        return cls(parts, tuple(said["whole"]), tuple(said["makes"]), said["needs"])


def recipes_of(terms: list[Term], frame: pd.DataFrame) -> tuple[list[str], list[Recipe], pd.DataFrame]:
    """Names of the columns of all terms, the recipes of those that are computed, and the frame with them.

    A category in a product has an indicator for its first level too where the product without it is no term (Wilkinson and Rogers, 1973, Applied
    Statistics 22(3)).

    Raises
    ------
    Unfit
        For what cannot be computed, with the part of the formula that is to blame.
    """
    there: set[frozenset[Factor]] = {frozenset(term) for term in terms} | {frozenset()}
    chosen: list[str] = []
    recipes: list[Recipe] = []
    further: dict[str, Any] = {}
    for term in terms:
        whole = tuple(frozenset(term) - {factor} not in there for factor in term)
        try:
            recipe, columns = Recipe.of(term, whole, frame)
        except Unfit as error:
            error.about = error.about or ":".join("".join(p.written for p in each.pieces) for each in term)
            raise
        chosen += recipe.makes
        if recipe.plain:
            continue
        recipes.append(recipe)
        further |= columns
    twice = next((name for name in further if name in frame.columns), None)
    if twice is not None:
        raise Unfit("is the name of a column of the data already; rename that column", twice)
    return chosen, recipes, frame.assign(**further)


def _needs(parts: tuple[Part, ...], frame: pd.DataFrame) -> dict[str, str]:
    out: dict[str, str] = {}
    for part in parts:
        names = (
            [part.written]
            if part.plain
            else [token.said for token in part.text.meant.values() if token.kind in ("name", "quoted")]
        )
        for name in names:
            if name in frame.columns:
                text = isinstance(value_of(frame[name]), Text | Levels)
                out[name] = "text" if text else "number"
    return out


def _plain(value: Any) -> Any:
    """Numbers, text, lists and mappings of Python alone, whose repr is a literal."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list | np.ndarray):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value
