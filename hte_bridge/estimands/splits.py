"""Repeated sample splits: rows that do not hang on one split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hte_bridge.engine import Engine
from hte_bridge.errors import InvalidOption
from hte_bridge.progress import steps
from hte_bridge.study import Folds, Study
from hte_bridge.table import Ends, Estimate

Split = Callable[[Study, Folds], list[Estimate]]


def median_of(draws: Sequence[Sequence[Estimate]], *, level: float = 0.95) -> list[Estimate]:
    """Rows whose estimate, interval ends and p-value are medians over splits, adjusted for the choice of split.

    The ends are medians of ends of coverage 1 - (1 - level) / 2, and the p-value is twice the median p-value, so that
    the nominal error holds whatever the dependence between splits. Chernozhukov, Demirer, Duflo and Fernandez-Val
    (2025), Econometrica 93(4), theorem 3.2.

    Parameters
    ----------
    draws : sequence of lists of Estimate
        The same rows for each split.
    level : float

    Examples
    --------
    >>> from hte_bridge import Estimate
    >>> from hte_bridge.estimands.splits import median_of
    >>> rows = median_of([[Estimate("ate", 1.0, 0.5)], [Estimate("ate", 2.0, 0.5)], [Estimate("ate", 3.0, 0.5)]])
    >>> rows[0].estimate, round(rows[0].conf_high - rows[0].conf_low, 2)
    (2.0, 2.24)
    """
    out = []
    for each in zip(*draws, strict=True):
        rows = tuple(each)
        p = min(1.0, 2 * _middle(row.p_value for row in rows))
        out.append(
            rows[0].with_(
                estimate=_middle(row.estimate for row in rows),
                std_error=_middle(row.std_error for row in rows),
                test=(_middle(row.statistic for row in rows), p),
                interval=Ends(Medians(rows), level),
                level=level,
                influence=None,
                note=f"median of {len(draws)} splits; interval and p-value adjusted for splitting",
            )
        )
    return out


def _middle(values: Iterable[float]) -> float:
    return float(np.median(np.fromiter(values, dtype=np.float64)))


@dataclass(frozen=True, eq=False)
class Medians:
    """Median ends of a row over splits, at any level: those of coverage 1 - (1 - level) / 2, of its band where it has one."""

    rows: tuple[Estimate, ...]

    def __call__(self, level: float) -> tuple[float, float]:
        """Ends at a level."""
        inner = [row.at_level(1 - (1 - level) / 2) for row in self.rows]
        return _middle(row.conf_low for row in inner), _middle(row.conf_high for row in inner)


def repeated(
    study: Study,
    engine: Engine,
    make: Callable[[Study, Engine, Folds], list[Estimate]],
    *,
    n_splits: int = 11,
    n_folds: int = 2,
    seed: int = 0,
    level: float = 0.95,
) -> list[Estimate]:
    """Rows of ``make`` for each of several splits, by their medians.

    Parameters
    ----------
    make : function of study, engine and folds
        Returns rows that are valid for the one split it is given, such as ``gates`` of a sequential ranking.
    n_splits : int, default 11
    n_folds : int, default 2
        Folds of each split; with two, the first learns the ranking and the second is judged.
    seed : int
        Split s uses ``seed + s``.

    Raises
    ------
    InvalidOption
        For fewer than one split.
    """
    if n_splits < 1:
        raise InvalidOption(
            f"`n_splits` must be 1 or more. {n_splits} was given. Use an odd number, such as 11."
        )
    draws = [
        make(study, engine, Folds.make(study, n_folds, seed + s))
        for s in steps(range(n_splits), "splits", total=n_splits)
    ]
    return median_of(draws, level=level)
