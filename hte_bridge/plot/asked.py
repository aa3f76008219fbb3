"""What a picture needs, asked of a table: held-out effects, an effect along a column, rows of a verb, what engines lean on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.errors import HteBridgeError, InvalidOption, nearest
from hte_bridge.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = TypeVar("Rows")
STEPS = 41  # points of a line along a column
MOST_LEVELS = 12  # of a category, by frequency
GROUPS = 5
KNOWN = "known"  # stands for all engines where the design says the propensity
BUDGETS = tuple(np.round(np.arange(0.1, 1.01, 0.1), 1))


def fitted(table: Table, what: str) -> Any:
    """The table, if it has its study and fits.

    Raises
    ------
    InvalidOption
        If it holds rows alone, as one read from a file does.
    """
    if getattr(table, "fits", None):
        return table
    raise InvalidOption(
        f"{what} needs the study and the fits of a comparison. This table holds its rows alone, as one read from a file does. "
        "Call compare() again, or hand over the numbers themselves."
    )


def held(table: Table, what: str) -> dict[str, Any]:
    """Held-out predictions by engine.

    Raises
    ------
    InvalidOption
        If no engine has any.
    """
    found = {name: fit.heldout for name, fit in fitted(table, what).fits.items() if fit.heldout is not None}
    if not found:
        raise InvalidOption(
            f"{what} needs an engine with held-out predictions. None of {', '.join(fitted(table, what).fits)} has any; "
            "the notes of the table say why."
        )
    return found


def effects(table: Table) -> dict[str, pd.DataFrame]:
    """Held-out CATE of each engine, one row a unit, each fold moved to the mean of all."""
    asked = fitted(table, "A picture of the CATE")
    return {
        name: pd.DataFrame({"estimate": asked.heldout_cate(name)[0]})
        for name in held(table, "A picture of the CATE")
    }


def two(table: Table, names: tuple[str, str] | None) -> tuple[Array, Array, tuple[str, str]]:
    """Held-out CATEs of two engines: those named, or the last two of the table."""
    found = list(held(table, "A picture of two engines"))
    for name in names or ():
        if name not in found:
            offer = nearest(name, found).replace("The columns are", "The engines are")
            raise InvalidOption(
                f"`names` must be engines with held-out predictions. `{name}` is not. {offer}"
            )
    if len(found) < 2:
        raise InvalidOption(
            f"A picture of two engines needs two with held-out predictions. {found[0]} alone has any. Add another to compare()."
        )
    first, second = names or (found[-2], found[-1])
    pair = fitted(table, "A picture of two engines").heldout_cate(first, second)
    return pair[0], pair[1], (first, second)


def along(table: Table, column: str) -> tuple[dict[str, pd.DataFrame], pd.Series, str]:
    """The CATE along a column: frames by engine, the column's values, and the name of the axis.

    A covariate is moved for a unit that is typical in the others, with pointwise intervals; of another column of the data the
    held-out effects of the units are taken, which have none.

    Raises
    ------
    InvalidOption
        If the study has no such column, or no engine predicts.
    """
    asked = fitted(table, "A picture of the CATE along a column")
    study = asked.study
    if column in study.encoder.sources:
        new, frames = profile(study, column), {}
        said = []
        for engine in asked.fits:
            try:
                frames[engine] = asked.cate(new, engine)
            except HteBridgeError as error:  # an engine that predicts nowhere else is absent
                said.append(f"{engine}: {error}")
        if not frames:
            raise InvalidOption(
                f"A picture along `{column}` needs an engine that predicts. None does: {'; '.join(said)}"
            )
        return frames, new[column], f"{column}, others typical" if len(study.encoder.sources) > 1 else column
    frame = study.frame
    if frame is None or column not in frame:
        offer = nearest(column, study.encoder.sources if frame is None else map(str, frame.columns))
        raise InvalidOption(f"A picture along a column needs one of the data. `{column}` is not. {offer}")
    return effects(table), frame[column].reset_index(drop=True), column


def profile(study: Any, name: str) -> pd.DataFrame:
    """New rows along one covariate, the others at their median or most frequent value.

    Numbers run from the 2nd to the 98th percentile, through what was seen; categories are their most frequent levels.
    """
    columns = study.frame[list(study.encoder.sources)]
    numeric = [key for key in columns if pd.api.types.is_numeric_dtype(columns[key])]
    typical = {
        key: column.dropna().quantile(interpolation="nearest") if key in numeric else column.mode().iloc[0]
        for key, column in columns.items()
    }
    seen = columns[name].dropna()
    if name in numeric and not pd.api.types.is_bool_dtype(seen):
        steps: Any = seen.quantile(np.linspace(0.02, 0.98, STEPS), interpolation="nearest").unique()
    else:
        steps = seen.value_counts().index[:MOST_LEVELS].sort_values()
    rows = columns.iloc[np.zeros(len(steps), dtype=int)].reset_index(drop=True)
    for key in columns:
        value = pd.Series(steps) if key == name else pd.Series([typical[key]] * len(steps))
        rows[key] = value.astype(columns[key].dtype)
    return rows


def rows_about(table: Rows, estimands: Sequence[str], ask: Callable[[Any], Table]) -> Rows | Table:
    """Rows of some estimands where the table has any; of a comparison without them, those that ``ask`` gives."""
    if not isinstance(table, Table) or any(row.estimand in estimands for row in table.rows):
        return table
    return ask(table) if getattr(table, "fits", None) else table


def predicted_groups(table: Table) -> pd.DataFrame:
    """Mean predicted effect of fifths of the units, by each engine's held-out CATE, beside their effect by scores."""
    asked, parts = fitted(table, "A picture of calibration"), []
    for name, frame in effects(table).items():
        cate = frame["estimate"].to_numpy()
        place = np.searchsorted(np.unique(np.quantile(cate, np.linspace(0, 1, GROUPS + 1)[1:-1])), cate)
        rows = asked.gate(place).where(engine=name).rows
        weight = asked.study.weight
        means = {
            str(group): float(np.average(cate[place == group], weights=weight[place == group]))
            for group in np.unique(place)
        }
        parts += [
            (name, means[row.term], row.estimate, row.conf_low, row.conf_high)
            for row in rows
            if row.term in means
        ]
    return pd.DataFrame(parts, columns=["engine", "predicted", "estimate", "conf_low", "conf_high"])


def propensities_of(table: Table) -> tuple[dict[str, Array], Array]:
    """Propensities by engine, or the known ones of the study alone, and its treatment.

    Raises
    ------
    InvalidOption
        If the treatment is a dose, or has fixed effects, so that no propensity is a probability.
    """
    asked = fitted(table, "A picture of overlap")
    study = asked.study
    if not study.binary or study.fixed_effects.shape[1]:
        raise InvalidOption(
            "A picture of overlap needs a treatment of 0 and 1 without fixed effects. "
            f"`{study.names.treatment}` is {'a dose' if not study.binary else 'within fixed effects'}. Draw `coefficients` or "
            "`cate_sorted`."
        )
    if study.propensity is not None:
        return {KNOWN: study.propensity}, study.treatment
    found = held(table, "A picture of overlap")
    return {name: each.propensity for name, each in found.items()}, study.treatment


def leaned_on(table: Table, engine: str | None) -> tuple[pd.Series, pd.Series | None, str]:
    """Importance of covariates by an engine that knows it, its error where there is one, and the engine."""
    fits = fitted(table, "A picture of importance").fits
    for name in [engine] if engine is not None else list(fits)[::-1]:
        fit = fitted(table, "A picture of importance").fit(name)
        if hasattr(fit, "structure"):
            found = fit.structure()
            return found["importance"], found["std_error"], name
        if hasattr(fit, "importance"):
            names = fitted(table, "A picture of importance").study.names.covariates
            return pd.Series(fit.importance, index=list(names)), None, name
    raise InvalidOption(
        f"A picture of importance needs an engine that weighs covariates: deep or grf. The table has {', '.join(fits)}. "
        "Add one to compare(), or read `projection`."
    )


def paired(table: Table) -> pd.DataFrame:
    """Strength of pairs of covariates, by an engine that knows it."""
    fits = fitted(table, "A picture of pairs").fits
    for fit in list(fits.values())[::-1]:
        found = fit.structure().attrs.get("pairs") if hasattr(fit, "structure") else None
        if found is not None:
            return found
    raise InvalidOption(
        f"A picture of pairs needs an engine that looks for them: deep. The table has {', '.join(fits)}. Add it to compare()."
    )


def numbers_of(table: Table, column: str) -> Array:
    """A column of numbers of the study's data (n,).

    Raises
    ------
    InvalidOption
        If the data have no such column.
    """
    frame = fitted(table, f"The column `{column}`").study.frame
    if frame is None or column not in frame:
        offer = nearest(column, [] if frame is None else map(str, frame.columns))
        raise InvalidOption(f"A column must be one of the data. `{column}` is not. {offer}")
    return np.asarray(frame[column], dtype=np.float64)


def second(given: str | Axes | None, ax: Axes | None) -> tuple[str | None, Axes | None]:
    """A column and axes, whichever of them the second argument was."""
    return (given, ax) if given is None or isinstance(given, str) else (None, given)
