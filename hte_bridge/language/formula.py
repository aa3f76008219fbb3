"""What a user asks of a study's frame: rows by a condition, columns by a right-hand side in fixest's syntax.

A right-hand side is cut into terms (``terms``), each factor is computed by our own grammar (``expression``), and formulaic, which knows how
factors are coded, sees names of computed columns alone: nothing that a user writes reaches its ``eval``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hte_bridge.alignment import Chosen, Rows, columns_of, finite, labels_for, mask_of, some
from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidOption
from hte_bridge.language.expression import column_called, condition, evaluate, names_columns
from hte_bridge.language.grammar import Token, read, text_of, tokens_of
from hte_bridge.language.pieces import (
    CURVES,
    LARGEST,
    SCALES,
    ask,
    floats,
    levels_of,
    named,
    transform,
    written_out,
)
from hte_bridge.language.terms import Factor, Term, split, terms_of
from hte_bridge.language.values import EXACT, Levels, Number, Text, Truth, Unfit, Value, value_of
from hte_bridge.study import Study

EXAMPLE = "such as 'age + i(town) + log(income)'"
MOST_COLUMNS = 5_000
CONTRASTS = {  # as formulaic and patsy name them -> formulaic's class
    "contr.treatment": "TreatmentContrasts",
    "contr.SAS": "SASContrasts",
    "contr.sum": "SumContrasts",
    "contr.helmert": "HelmertContrasts",
    "contr.diff": "DiffContrasts",
    "contr.poly": "PolyContrasts",
    "Treatment": "TreatmentContrasts",
    "Sum": "SumContrasts",
    "Helmert": "HelmertContrasts",
    "Diff": "DiffContrasts",
    "Poly": "PolyContrasts",
}


def rows_of(study: Study, where: Any) -> Chosen:
    """Rows of a condition such as ``"age > 30"``, of a mask, or all of them."""
    if where is None:
        return Chosen(np.ones(study.n, dtype=bool))
    if isinstance(where, str):
        if study.frame is None:
            raise InvalidOption(
                "A condition needs a study made by Study.from_frame. This one has no frame. Hand over a mask."
            )
        found = condition(where, study.frame)
        return some(Chosen(found.yes, int(found.missing.sum())), "where")
    return mask_of(study, where)


def groups_of(study: Rows, by: Any) -> tuple[Any, str]:
    """Labels (n,) of a column, of an expression on columns such as ``"x > 0"`` or ``"age // 10"``, or as given; and their name.

    Of a condition the labels are itself and its opposite, none where it is unknown.

    Raises
    ------
    InvalidOption
        If the text is no column and cannot be read, or names no column.
    """
    frame = study.frame
    if not isinstance(by, str) or frame is None or by in frame.columns or by.isidentifier():
        return labels_for(study, by, "by"), by if isinstance(by, str) else ""
    try:
        text = read(tokens_of(by))
        value = evaluate(text, frame)
        if not names_columns(text):
            raise Unfit("names no column")
    except Unfit as error:
        raise InvalidOption(
            f"`by` must be a column's name or an expression on columns, such as 'x > 0' or 'age // 10'. {error.sentence(by)}"
        ) from error
    if isinstance(value, Truth):
        labels = np.where(value.yes, by, f"not ({by})").astype(object)
        labels[value.missing] = None
        return pd.Categorical(labels, categories=[f"not ({by})", by]), ""
    if isinstance(value, Levels):
        return pd.Categorical.from_codes(value.codes, value.levels), by
    if not isinstance(value, Number):
        raise InvalidOption(
            f"`by` must be a condition or a number. `{by}` is {value.said}. Compare it with something."
        )
    numbers = np.where(np.isfinite(value.values), value.values, np.nan)  # by zero: of no group
    known = numbers[~np.isnan(numbers)]
    whole = bool((known == np.round(known)).all() and (np.abs(known) < EXACT).all())
    return (pd.Series(numbers).astype("Int64") if whole else pd.Series(numbers)), by


def design_of(study: Study, given: Any, indicators: bool = False) -> tuple[Array, list[str]]:
    """Columns (n, k) and names of a right-hand side on the study's frame, or of columns given; its covariates where there is none.

    Gaps of covariates are set to the mean; with ``indicators`` a column beside each says where.
    """
    if given is None:
        wide = len(study.filled_names if indicators else study.names.covariates)
        return study.filled[:, :wide], list(study.filled_names[:wide])
    if not isinstance(given, str):
        return columns_of(study, given, "formula")
    if study.frame is None:
        raise InvalidOption(
            "A formula needs a study made by Study.from_frame. This one has no frame. Hand over the columns."
        )
    return right_hand_side(given, study.frame)


def right_hand_side(formula: str, frame: pd.DataFrame) -> tuple[Array, list[str]]:
    """Columns (n, k), without an intercept, and their names.

    Parameters
    ----------
    formula : str
        Terms joined by ``+ - : * / ^``; a factor is a column, ``i(town)`` or ``C(town, contr.sum)``, ``poly(age, 2)``, ``bs cr cs cc``,
        ``scale center standardize``, ``I(...)`` of anything that a condition may hold, or a function of ``expression.FUNCTIONS``.
    frame : DataFrame (n, ...)

    Raises
    ------
    InvalidOption
        If the formula cannot be read, names a column that is not there, or meets a missing value.

    Examples
    --------
    >>> right_hand_side("~ x + i(g)", pd.DataFrame({"x": [1.0, 2.0, 3.0], "g": ["a", "b", "a"]}))[1]
    ['x', 'C(g)[T.b]']
    """
    try:
        terms = terms_of(formula)
        if not terms:
            raise Unfit("names no column")
        computed = _computed(terms, frame.reset_index(drop=True))
        _few_enough(terms, computed, len(frame))
        values, names = _coded(terms, computed, len(frame))
    except Unfit as error:
        raise InvalidOption(
            f"`formula` must be a right-hand side {EXAMPLE}. {error.sentence(formula)}"
        ) from error
    return finite(values, names, formula), names


@dataclass(frozen=True, eq=False)
class Computed:
    """A factor's name, what formulaic codes, and how many columns that makes at least."""

    name: str
    values: Any
    width: int = 1


def _computed(terms: list[Term], frame: pd.DataFrame) -> dict[Factor, Computed]:
    """Each factor once."""
    out: dict[Factor, Computed] = {}
    for factor in dict.fromkeys(each for term in terms for each in term):
        try:
            with np.errstate(all="ignore"):
                out[factor] = _factor(factor, frame)
        except Unfit as error:
            error.about = error.about or "".join(piece.written for piece in factor.pieces)
            raise
    return out


def _factor(factor: Factor, frame: pd.DataFrame) -> Computed:
    """The values of one factor."""
    first = factor.pieces[0] if factor.pieces else Token("", "", "")
    if len(factor.pieces) == 1 and first.kind in ("name", "quoted"):
        return _plain(first.said, _known(value_of(column_called(frame, first.said))))
    call, arguments = factor.call, factor.arguments if factor.call else []
    if call == "Q" and len(arguments) == 1 and [piece.kind for piece in arguments[0]] == ["text"]:
        name = text_of(arguments[0][0])
        return _plain(f"Q({name!r})", _known(value_of(column_called(frame, name))))
    if call in ("C", "i", *CURVES, "I") and arguments:
        return {"C": _category, "i": _category, "I": _identity}.get(call, _curve)(factor, frame)
    found = read(factor.pieces)
    return _plain(found.shown(), _known(evaluate(found, frame, SCALES)))


def _known(value: Value) -> Value:
    """The same, if nothing of it is missing: formulaic would take a missing level for the first."""
    if not value.missing.ndim:
        raise Unfit("names no column")
    gaps = np.flatnonzero(value.missing)
    if len(gaps):
        raise Unfit(
            f"has no value in {len(gaps):,} of {value.missing.size:,} rows, the first of them row {gaps[0]}; columns of a formula must have "
            "no missing value: fill it, or leave it out"
        )
    return value


def _plain(name: str, value: Value) -> Computed:
    """Numbers as they are, yes and no as 1 and 0, text and levels as a category."""
    if isinstance(value, Text | Levels):
        levels = levels_of(value)
        return Computed(name, levels, max(len(levels.cat.categories) - 1, 1))
    return Computed(name, floats(value))


def _identity(factor: Factor, frame: pd.DataFrame) -> Computed:
    if len(factor.arguments) != 1:
        raise Unfit("must be given one argument")
    found = read(factor.arguments[0])
    return _plain(f"I({found.shown()})", _known(evaluate(found, frame, SCALES)))


def _category(factor: Factor, frame: pd.DataFrame) -> Computed:
    """``C(x, contrasts, levels=)`` and fixest's ``i(x, ref=)``."""
    from formulaic.transforms import C

    found = read(factor.arguments[0])
    levels = levels_of(_known(evaluate(found, frame, SCALES)))
    options: dict[str, Any] = {}
    shown = [found.shown()]
    for name, pieces in (named(each) for each in factor.arguments[1:]):
        if name == "ref":
            name, pieces = "contrasts", (*tokens_of("contr.treatment(base="), *pieces, *tokens_of(")"))
        contrasts = name in ("", "contrasts")
        options[name or "contrasts"] = _contrasts(pieces) if contrasts else written_out(pieces)
        written = "".join(piece.written for piece in pieces)
        shown.append(written if contrasts else f"{name}={options[name]!r}")
    if set(options) - {"contrasts", "levels", "spans_intercept"}:
        raise Unfit("may be given contrasts, levels and spans_intercept")
    strange = set(levels.cat.categories) - set(options.get("levels", levels.cat.categories))
    if strange:
        raise Unfit(f"is given levels without {sorted(map(str, strange))[0]!r}, which the column holds")
    return Computed(f"C({', '.join(shown)})", C(levels, **options), max(len(levels.cat.categories) - 1, 1))


def _curve(factor: Factor, frame: pd.DataFrame) -> Computed:
    """A polynomial, a spline or a scaled column, by formulaic from numbers that we computed."""
    found = read(factor.arguments[0])
    values = floats(_known(evaluate(found, frame, SCALES)))
    given = [(name, written_out(pieces)) for name, pieces in (named(each) for each in factor.arguments[1:])]
    for name, value in given:
        if name in ("", "df", "degree") and isinstance(value, int) and value > LARGEST:
            raise Unfit(f"asks for {value:,} columns or more; at most {LARGEST:,} are made")
    places = [value for name, value in given if not name]
    options = {name: value for name, value in given if name}
    shown = [
        found.shown(),
        *(repr(value) for value in places),
        *(f"{name}={value!r}" for name, value in options.items()),
    ]
    made = ask(transform(factor.call), values, *places, **options)
    width = np.shape(made)[1] if np.ndim(made) == 2 else len(made) if isinstance(made, Mapping) else 1
    return Computed(f"{factor.call}({', '.join(shown)})", made, width)


def _contrasts(pieces: tuple[Token, ...]) -> Any:
    """Contrasts by name, with what they are given written out."""
    from formulaic.transforms import contrasts

    place = next((k for k, piece in enumerate(pieces) if piece.said == "("), len(pieces))
    name = "".join(piece.said for piece in pieces[:place])
    if name not in CONTRASTS:
        raise Unfit(
            f"has contrasts that are none of {', '.join(CONTRASTS)}; a product with another column is written C(town):x"
        )
    given = [
        (name, written_out(each)) for name, each in (named(part) for part in split(pieces[place + 1 : -1]))
    ]
    made = getattr(contrasts, CONTRASTS[name])
    if name == "Treatment":
        given = [("base" if each in ("", "reference") else each, value) for each, value in given]
    return ask(
        made, *(value for each, value in given if not each), **{each: value for each, value in given if each}
    )


def _few_enough(terms: list[Term], computed: Mapping[Factor, Computed], n: int) -> None:
    """More columns than rows are no projection, and would fill the memory before anyone says so."""
    found = sum(int(np.prod([float(computed[factor].width) for factor in term])) for term in terms)
    if found > min(n, MOST_COLUMNS):
        raise Unfit(
            f"makes {found:,} columns or more of {n:,} rows; at most {min(n, MOST_COLUMNS):,} are possible"
        )


def _coded(terms: list[Term], computed: Mapping[Factor, Computed], n: int) -> tuple[Array, list[str]]:
    """Columns of the terms as formulaic codes them, the intercept left out."""
    from formulaic import Formula, model_matrix
    from formulaic.parser.types import Factor as Coded
    from formulaic.parser.types import Term as CodedTerm

    mark = {
        factor: f"\ue000{place}\ue001" for place, factor in enumerate(computed)
    }  # no user's name holds these
    looked_up = [[Coded(mark[each], eval_method="lookup") for each in term] for term in terms]
    intercept = CodedTerm([Coded("1", eval_method="literal")])
    formula = Formula([intercept, *map(CodedTerm, looked_up)])
    values = {mark[each]: found.values for each, found in computed.items()}
    matrix = ask(model_matrix, formula, pd.DataFrame(index=range(n)), context=values, na_action="ignore")
    own = {mark[each]: found.name for each, found in computed.items()}
    names = [
        re.sub("\ue000[0-9]+\ue001", lambda place: own[place[0]], str(each)) for each in matrix.columns[1:]
    ]
    return np.asarray(matrix, dtype=np.float64)[:, 1:], names
