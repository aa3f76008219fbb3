"""Options of `hte-bridge compare`, each with its line of help, and what their texts mean."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from hte_bridge.errors import InvalidOption

Data = Annotated[
    Path,
    typer.Argument(
        help="Parquet, CSV or Stata file, one row per unit, or a folder of Parquet files.",
        show_default=False,
    ),
]
Outcome = Annotated[str, typer.Option(help="Column of the outcome.")]
Treatment = Annotated[str | None, typer.Option(help="Column of the treatment: 0 and 1, a dose, or arms.")]
Covariates = Annotated[
    str | None, typer.Option(help="Columns along which effects may differ: a,b,c, or all that are left.")
]
Controls = Annotated[
    str | None,
    typer.Option(
        help="Columns to adjust for along which no effect is asked: a,b,c, or all; of an adoption not_yet or never."
    ),
]
FixedEffects = Annotated[str | None, typer.Option(help="Columns of fixed effects: a,b.")]
Cluster = Annotated[str | None, typer.Option(help="Column of the clusters; a,b for two ways.")]
Weight = Annotated[str | None, typer.Option(help="Column of sampling weights.")]
Propensity = Annotated[str | None, typer.Option(help="Known propensity: a column, or one number.")]
Index = Annotated[
    str | None,
    typer.Option(
        help="Of a folder: columns that label rows, a,b, by which folds are dealt whatever the files' order."
    ),
]
Dose = Annotated[bool, typer.Option("--dose", help="The treatment's few whole values are a dose.")]
TreatmentType = Annotated[
    str | None, typer.Option(help="binary, continuous, or arms: each value against --control.")
]
Control = Annotated[str | None, typer.Option(help="Of several arms the one that the others are set against.")]
Unit = Annotated[str | None, typer.Option(help="Of a staggered adoption: column of the units.")]
Period = Annotated[str | None, typer.Option(help="Of a staggered adoption: column of the periods.")]
FirstTreated = Annotated[
    str | None,
    typer.Option(help="Of a staggered adoption: period in which a unit is first treated; 0 or empty: never."),
]
Anticipation = Annotated[
    float, typer.Option(help="Of a staggered adoption: periods before treatment that may react to it.")
]
Engines = Annotated[str, typer.Option(help="Of feols, grf, deep.")]
Level = Annotated[float, typer.Option(help="Coverage of the intervals.")]
Seed = Annotated[int, typer.Option(help="For folds and engines.")]
Folds = Annotated[int, typer.Option(help="Number of folds.")]
Out = Annotated[Path | None, typer.Option(help="Folder for tables, plots and report.")]


def names(text: str | None, option: str) -> list[str]:
    """Column names between commas; one that holds a comma is quoted.

    Raises
    ------
    InvalidOption
        If a name between two commas is empty, or holds a line break and stands in no quotes.

    Examples
    --------
    >>> names('age, "income, net"', "--covariates")
    ['age', 'income, net']
    """
    if text is None:
        return []
    try:
        found = [each.strip() for each in next(csv.reader([text], skipinitialspace=True), [])]
    except csv.Error as error:
        raise InvalidOption(
            f"`{option}` must be names between commas. {text!r} has a line break outside of quotes. Put the name that holds it in double quotes."
        ) from error
    if not all(found):
        raise InvalidOption(
            f"`{option}` must be names between commas. {text!r} has an empty one. Write them as a,b,c."
        )
    return found


def several(text: str | None, option: str) -> list[str] | str:
    """Column names between commas; ``all`` alone stands for every column without another role.

    Examples
    --------
    >>> several("all", "--covariates"), several("age,town", "--controls")
    ('all', ['age', 'town'])
    """
    return "all" if text == "all" else names(text, option)


def number_or_name(text: str | None) -> float | str | None:
    """A known propensity: one number, or the name of a column.

    Examples
    --------
    >>> number_or_name("0.5"), number_or_name("e")
    (0.5, 'e')
    """
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text
