"""A study as one formula, ``got ~ age + C(region) + log(dist) | village``: which text is what, and the frame with what it computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd

from hte_bridge.errors import InvalidOption
from hte_bridge.frames import to_pandas
from hte_bridge.language.grammar import Token, tokens_of
from hte_bridge.language.recipes import Recipe, recipes_of
from hte_bridge.language.terms import CLOSE, OPEN, terms_of
from hte_bridge.language.values import Unfit
from hte_bridge.roles import of_file

EXAMPLE = "such as 'got ~ age + C(region) + log(dist) | village'"
Found = TypeVar("Found")


@dataclass(frozen=True)
class Written:
    """The three parts of a formula, as text: outcome, covariates, and names of fixed effects.

    Examples
    --------
    >>> from hte_bridge.language.written import Written
    >>> Written.of("got ~ age + log(dist) | village + year")
    Written(outcome='got', covariates='age + log ( dist )', effects=('village', 'year'))
    """

    outcome: str
    covariates: str
    effects: tuple[str, ...] = ()

    @classmethod
    def of(cls, formula: str) -> Written:
        """Cut a formula.

        Raises
        ------
        InvalidOption
            If it has no left side, or effects that are no names of columns.
        """
        return _said("formula", formula, EXAMPLE, lambda: cls._cut(formula))

    @classmethod
    def _cut(cls, formula: str) -> Written:
        sides = _between("~", tokens_of(formula))
        if len(sides) != 2 or not sides[0]:
            raise Unfit("has not one outcome on the left of one `~`")
        parts = _between("|", sides[1])
        if len(parts) > 2:
            raise Unfit("has more than one `|`; fixed effects are joined by `+`")
        effects = [_name(each) for each in _between("+", parts[1])] if len(parts) == 2 else []
        return cls(_text(sides[0]), _text(parts[0]), tuple(effects))


def computed(
    right: str, frame: pd.DataFrame, role: str, example: str = EXAMPLE
) -> tuple[list[str], tuple[Recipe, ...], pd.DataFrame]:
    """Names of the columns of a right-hand side, how they are computed, and the frame with them.

    Raises
    ------
    InvalidOption
        With what cannot be read or computed, and what may be written.
    """

    def made() -> tuple[list[str], tuple[Recipe, ...], pd.DataFrame]:
        chosen, recipes, wider = recipes_of(terms_of(right), frame)
        return chosen, tuple(recipes), wider

    return _said(role, right, example, made)


def _said(role: str, text: str, example: str, make: Callable[[], Found]) -> Found:
    if not isinstance(text, str):
        raise InvalidOption(
            f"`{role}` must be text {example}. A {type(text).__name__} was given. Write it in quotes."
        )
    try:
        return make()
    except Unfit as error:
        raise InvalidOption(f"`{role}` must be a formula {example}. {error.sentence(text)}") from error


def _between(sign: str, pieces: list[Token]) -> list[list[Token]]:
    """Tokens between signs that stand in no parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for piece in pieces:
        if piece.kind in ("sign", "other"):
            depth += (piece.said in OPEN) - (piece.said in CLOSE)
        if piece.kind == "sign" and piece.said == sign and not depth:
            parts.append([])
        else:
            parts[-1].append(piece)
    return parts


def _name(pieces: list[Token]) -> str:
    if len(pieces) != 1 or pieces[0].kind not in ("name", "quoted"):
        raise Unfit(
            "must be the name of a column, as fixed effects are; several are joined by `+`", _text(pieces)
        )
    return pieces[0].said


def _text(pieces: list[Token]) -> str:
    return " ".join(piece.written for piece in pieces)


def only(names: list[str], given: Any) -> str:
    """The one column of a left side.

    Raises
    ------
    InvalidOption
        If there are none or several.
    """
    if len(names) != 1:
        raise InvalidOption(
            f"`formula` must have one outcome on its left. `{given}` makes {len(names)} columns. Name one, or see hb.compare_outcomes."
        )
    return names[0]


def read_formula(
    formula: str, data: Any, treatment: str, controls: Any, roles: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any], tuple[Recipe, ...], tuple[Recipe, ...]]:
    """The frame with what a formula computes, the roles that it names, and the recipes of covariates and of controls.

    Raises
    ------
    InvalidOption
        With what cannot be read or computed.
    """
    cut = Written.of(formula)
    frame = to_pandas(data, of_file(treatment, cut.effects, roles))
    left, _, frame = computed(cut.outcome, frame, "formula")
    chosen, recipes, frame = computed(cut.covariates, frame, "formula")
    further: tuple[Recipe, ...] = ()
    if isinstance(controls, str) and controls.lstrip().startswith("~"):
        controls, further, frame = computed(controls, frame, "controls", "such as '~ income + log(size)'")
    named: dict[str, Any] = {"covariates": chosen, "controls": controls, "fixed_effects": cut.effects}
    return frame, named | {"outcome": only(left, cut.outcome)}, recipes, further
