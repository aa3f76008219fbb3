"""Covariates of any type -> numeric columns, and new rows by the same map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidData, InvalidNewData, nearest
from hte_bridge.frames import to_pandas
from hte_bridge.kinds import Kind, is_blank, kind_of, to_float
from hte_bridge.language.recipes import Recipe
from hte_bridge.language.values import Unfit
from hte_bridge.levels import from_plain, to_plain
from hte_bridge.normal_score import NormalScore
from hte_bridge.reading import Role
from hte_bridge.shown import first_names, spelled

MOST_LEVELS = 100


@dataclass(frozen=True)
class ColumnCode:
    """How one covariate becomes columns: itself, 0/1, its rank, or an indicator for each level but the first.

    A number with a ``score`` becomes two: itself and its normal score.
    """

    name: str
    kind: Kind
    levels: tuple[Any, ...] = ()
    score: NormalScore | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the encoded columns."""
        if self.kind == "category":
            return tuple(f"{self.name}[{level}]" for level in self.levels[1:])
        return (self.name,) if self.score is None else (self.name, f"{self.name} (normal score)")

    @classmethod
    def of(cls, column: pd.Series, name: str, role: str = "A covariate") -> ColumnCode:
        """Learn the code of a column; ``role`` is what its sentences call it."""
        kind = kind_of(column, name)
        if kind not in ("category", "ordered"):
            return cls(name, kind)
        seen = {each for each in column.dropna().unique() if not is_blank(each)}
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = tuple(each for each in column.dtype.categories if each in seen)
        else:
            levels = tuple(sorted(seen))
        if len(levels) < 2:
            raise InvalidData(
                f"{role} must vary. All known values of `{name}` are `{levels[0]}` in the rows used. Leave it out."
                if levels
                else f"{role} must have values. `{name}` is missing in every row. Leave it out."
            )
        if len(levels) > MOST_LEVELS and kind == "category":
            raise InvalidData(
                f"A category must have at most {MOST_LEVELS} levels. `{name}` has {len(levels):,}. Group its "
                "levels, use it as a fixed effect, or turn it into a number."
            )
        return cls(name, kind, levels)

    def encode(self, column: pd.Series) -> Array:
        """Columns (m, k) for the values of ``column``; missing stays NaN."""
        found = kind_of(column, self.name, InvalidNewData) if column.notna().any() else self.kind
        numeric = ("number", "boolean")
        if (self.kind in numeric) != (found in numeric):
            raise InvalidNewData(
                f"`{self.name}` must be a {self.kind} as in the study. It is a {found} here. Convert it first."
            )
        if self.kind in numeric:
            values = to_float(column)[:, None]
            if np.isinf(values).any():
                row = column.index[int(np.flatnonzero(np.isinf(values[:, 0]))[0])]
                raise InvalidData(
                    f"`{self.name}` must be finite or missing. {int(np.isinf(values).sum()):,} of {len(values):,} "
                    f"values are infinite; the first is in row {spelled(row)}. Recode them as missing, or drop those rows."
                )
            if self.kind == "boolean" and found == "number":
                self._yes_no(column, values[:, 0])
            return self.with_score(values)
        place = {level: float(code) for code, level in enumerate(self.levels)}
        found_codes, labels = pd.factorize(column)
        unseen = [each for each in labels if each not in place and not is_blank(each)]
        if unseen:
            shown = ", ".join(f"`{each}`" for each in unseen[:5])
            raise InvalidNewData(
                f"`{self.name}` must hold levels that the study has seen. {len(unseen)} it has not: {shown}. "
                "Recode them to a known level, or fit again with rows of theirs."
            )
        codes = np.array([*(place.get(each, np.nan) for each in labels), np.nan])[found_codes]
        if self.kind == "ordered":
            return codes[:, None]
        indicators = (codes[:, None] == np.arange(1, len(self.levels))).astype(np.float64)
        indicators[np.isnan(codes)] = np.nan
        return indicators

    def _yes_no(self, column: pd.Series, values: Array) -> None:
        """Refuse numbers (m,) other than 0 and 1 where the study holds yes and no."""
        wrong = np.flatnonzero(~np.isnan(values) & (values != 0) & (values != 1))
        if len(wrong):
            raise InvalidNewData(
                f"`{self.name}` must be yes or no, or 1 or 0, as in the study. {len(wrong):,} of {len(values):,} values are not; the first is "
                f"{values[wrong[0]]:g}, in row {spelled(column.index[wrong[0]])}. Recode them."
            )

    @property
    def note(self) -> str:
        """What a reader should know of how the column is taken, or an empty string.

        Examples
        --------
        >>> ColumnCode("size", "ordered", ("S", "M", "L")).note
        '`size` enters as one rank (S = 0, M = 1, L = 2), as its labels have an order; pandas.read_stata gives all labels one: read with order_categoricals=False where it means nothing'
        """
        if self.kind == "ordered" and len(self.levels) > 2:
            ranks = first_names([f"{level} = {rank}" for rank, level in enumerate(self.levels)])
            return (
                f"`{self.name}` enters as one rank ({ranks}), as its labels have an order; pandas.read_stata gives all labels "
                "one: read with order_categoricals=False where it means nothing"
            )
        if self.kind == "category" and all(
            isinstance(each, str) and _is_number(each) for each in self.levels
        ):
            return (
                f"`{self.name}` holds numbers as text and enters as a category of {len(self.levels):,} levels; turn it into "
                "numbers where their size means something"
            )
        return ""

    def with_score(self, values: Array) -> Array:
        """Columns (m, k) with the normal score behind them, where there is one."""
        return values if self.score is None else np.column_stack([values, self.score(values[:, 0])])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Encoder:
    """The map from a frame to covariate columns, learned once and kept for new rows.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": [30, 40], "town": ["b", "a"]})
    >>> encoder = Encoder.of(frame, ["age", "town"])
    >>> encoder.names
    ('age', 'town[b]')
    >>> encoder.transform(frame)
    array([[30.,  1.],
           [40.,  0.]])
    """

    columns: tuple[ColumnCode, ...]
    recipes: tuple[Recipe, ...] = ()

    @classmethod
    def of(cls, frame: pd.DataFrame, covariates: Sequence[str], role: str = "A covariate") -> Encoder:
        """Learn the code of each covariate from a frame."""
        return cls(tuple(ColumnCode.of(frame[name], name, role) for name in covariates))

    def __add__(self, other: Encoder) -> Encoder:
        return Encoder(self.columns + other.columns, self.recipes + other.recipes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the encoded columns, in order."""
        return tuple(name for column in self.columns for name in column.names)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the columns that a frame must have."""
        return tuple(column.name for column in self.columns)

    @property
    def owner(self) -> npt.NDArray[np.int64]:
        """Of each encoded column (p,) the place of the covariate that it belongs to."""
        return np.repeat(np.arange(len(self.columns)), [len(column.names) for column in self.columns])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of how covariates are taken."""
        return tuple(column.note for column in self.columns if column.note)

    def frame(self, new: Any) -> pd.DataFrame:
        """New rows as a frame; from a CSV file, covariates are read as what the study holds them for."""
        roles: dict[str, Role] = {}
        for code in self.columns:
            if code.kind in ("number", "boolean"):
                roles[code.name] = "number"
            elif all(isinstance(each, str) for each in code.levels):
                roles[code.name] = "text"
        for recipe in self.recipes:
            roles |= {name: "number" if kind == "number" else "text" for name, kind in recipe.needs.items()}
        return self._computed(to_pandas(new, roles))

    def _computed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """New rows with the columns that a formula computes; those that have them, and not what they are made of, keep them."""
        further: dict[str, Any] = {}
        for recipe in self.recipes:
            missing = [name for name in recipe.needs if name not in frame.columns]
            if missing and all(name in frame.columns for name in recipe.makes):
                continue
            if missing:
                raise InvalidNewData(
                    f"New data must have each column that the formula names. `{missing[0]}` is missing. "
                    f"{nearest(missing[0], frame.columns)} Add it, or rename."
                )
            try:
                further |= recipe.columns(frame)
            except Unfit as error:
                raise InvalidNewData(
                    f"New data must be such that the formula can be computed. {error.sentence(recipe.makes[0])} Recode them, or leave "
                    "those rows out."
                ) from error
        return frame.assign(**further) if further else frame

    def scored(self, covariates: Array) -> tuple[Encoder, Array]:
        """Each number with long tails with its normal score behind it: the map, and the encoded covariates (n, p) so widened.

        Examples
        --------
        >>> wide = np.exp(np.random.default_rng(1).normal(size=(500, 1)))
        >>> encoder, both = Encoder((ColumnCode("income", "number"),)).scored(wide)
        >>> encoder.names, both.shape
        (('income', 'income (normal score)'), (500, 2))
        """
        codes, columns, start = [], [], 0
        for code in self.columns:
            own = covariates[:, start : start + len(code.names)]
            start += len(code.names)
            score = NormalScore.of(own[:, 0]) if code.kind == "number" else None
            codes.append(replace(code, score=score))
            columns.append(codes[-1].with_score(own))
        return Encoder(tuple(codes), self.recipes), np.asfortranarray(np.hstack(columns))

    def transform(self, new: Any) -> Array:
        """Covariates (m, p) of new rows, Fortran order, missing as NaN; further columns are left alone.

        Raises
        ------
        InvalidNewData
            If a covariate is missing, of another type, or has a level that the study has not seen.
        """
        frame = self.frame(new)
        for name in self.sources:
            if name not in frame.columns:
                raise InvalidNewData(
                    f"New data must have each covariate of the study. `{name}` is missing. "
                    f"{nearest(name, frame.columns)} Add it, or rename."
                )
        blocks = [column.encode(frame[column.name]) for column in self.columns]
        stacked = np.hstack(blocks) if blocks else np.empty((len(frame), 0))
        return np.asfortranarray(stacked)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values from which ``from_json`` rebuilds the map."""
        return [
            {"name": c.name, "kind": c.kind, "levels": [to_plain(each) for each in c.levels]}
            for c in self.columns
        ] + [{"recipe": recipe.to_json()} for recipe in self.recipes]

    @classmethod
    def from_json(cls, state: list[dict[str, Any]]) -> Encoder:
        """Rebuild what ``to_json`` wrote."""
        recipes = tuple(Recipe.from_json(c["recipe"]) for c in state if "recipe" in c)
        return cls(
            tuple(
                ColumnCode(c["name"], c["kind"], tuple(from_plain(each) for each in c["levels"]))
                for c in state
                if "recipe" not in c
            ),
            recipes,
        )


@dataclass(frozen=True, eq=False)
class MeanFill:
    """Missing covariates for engines that need numbers: the study's weighted mean, and an indicator.

    Columns with gaps in the same rows, as those of one category have, share their indicator: ``flagged`` is the first of them.

    Examples
    --------
    >>> fill = MeanFill.of(np.array([[1.0], [np.nan], [3.0]]), np.ones(3))
    >>> fill.transform(np.array([[np.nan]]))
    array([[2., 1.]])
    >>> MeanFill.of(np.array([[1.0, 2.0], [np.nan, np.nan]]), np.ones(2)).flagged
    array([0])
    """

    means: Array
    flagged: npt.NDArray[np.int64]

    @classmethod
    def of(cls, covariates: Array, weight: Array) -> MeanFill:
        """Learn means of the columns (p,) and where they have gaps."""
        seen = ~np.isnan(covariates)
        total = np.maximum(seen.T @ weight, np.finfo(float).tiny)
        first: dict[bytes, int] = {}
        for j in np.flatnonzero(~seen.all(axis=0)).tolist():
            first.setdefault(np.packbits(seen[:, j]).tobytes(), j)
        flagged = np.array(list(first.values()), dtype=np.int64)
        return cls(np.where(seen, covariates, 0.0).T @ weight / total, flagged)

    def transform(self, covariates: Array) -> Array:
        """Columns (m, p + flagged): gaps filled, then one indicator for each column that had gaps."""
        gaps = np.isnan(covariates)
        filled = np.where(gaps, self.means, covariates)
        return np.asfortranarray(np.hstack([filled, gaps[:, self.flagged].astype(np.float64)]))
