"""A table's rows engine by engine, as the models that table-makers and broom's users expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from hte_bridge.estimate import Estimate, HasRows

STATS = {"N": "Observations", "clusters": "Clusters", "folds": "Folds", "seed": "Seed"}


@dataclass(frozen=True, eq=False)
class Model:
    """Rows of one engine as a column of a regression table, through the plug-in attributes of maketables.

    Parameters
    ----------
    engine : str
    rows : tuple of Estimate
    meta : mapping
        Of the table.
    stand_in : str
        Estimand whose row takes the treatment's name, so that it stands beside a regression's coefficient.
    """

    engine: str
    rows: tuple[Estimate, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)
    stand_in: str = ""

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        names = [self._name(row) for row in self.rows]
        values = {
            "b": [row.estimate for row in self.rows],
            "se": [row.std_error for row in self.rows],
            "t": [row.statistic for row in self.rows],
            "p": [row.p_value for row in self.rows],
            "ci95l": [row.conf_low if row.level == 0.95 else np.nan for row in self.rows],
            "ci95u": [row.conf_high if row.level == 0.95 else np.nan for row in self.rows],
        }
        return pd.DataFrame(values, index=pd.Index(names, name="Coefficient"))

    def _name(self, row: Estimate) -> str:
        treatment = (self.meta.get("names") or {}).get("treatment")
        if row.estimand == self.stand_in and treatment:
            return str(treatment)
        if row.estimand == "coefficient":
            return row.term
        return (
            f"{row.estimand}, {row.term}" if row.term else row.estimand
        )  # a colon would read as an interaction

    def __maketables_stat__(self, key: str) -> Any:
        if key == "N":
            return max((row.n_obs for row in self.rows), default=0) or self.meta.get("n")
        if key == "clusters":
            return self.meta.get("n_clusters")
        if key == "se_type":
            return ", ".join(dict.fromkeys(row.vcov for row in self.rows if row.vcov)) or None
        return self.meta.get(key) if key in STATS else None

    @property
    def __maketables_depvar__(self) -> str:
        return str((self.meta.get("names") or {}).get("outcome", "outcome"))

    @property
    def __maketables_fixef_string__(self) -> str | None:
        return "+".join((self.meta.get("names") or {}).get("fixed_effects") or ()) or None

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        return dict(STATS)

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        return ["N", *(["clusters"] if self.meta.get("n_clusters") else [])]


def models(table: HasRows, stand_in: str = "ate") -> list[Model]:
    """One model per engine, of its rows that have an estimate; see ``Table.models``."""
    engines = dict.fromkeys(row.engine for row in table.rows)
    live = [row for row in table.rows if np.isfinite(row.estimate)]
    made = [
        Model(name, tuple(row for row in live if row.engine == name), table.meta, stand_in)
        for name in engines
    ]
    return [Model(each.engine, _one_name_each(each), each.meta, stand_in) for each in made if each.rows]


def _one_name_each(model: Model) -> tuple[Estimate, ...]:
    """Rows without those whose name the stand-in takes."""
    taken = {model._name(row) for row in model.rows if row.estimand == model.stand_in}
    return tuple(row for row in model.rows if row.estimand == model.stand_in or model._name(row) not in taken)


def glance(rows: Sequence[Estimate], meta: Mapping[str, Any]) -> pd.DataFrame:
    """One line per engine: sizes, folds, seed, range of the propensity, seconds, and how many rows it could give."""
    lines = []
    for engine in dict.fromkeys(row.engine for row in rows):
        own = [row for row in rows if row.engine == engine]
        low, high = (meta.get("propensity") or {}).get(engine, (np.nan, np.nan))
        lines.append(
            {
                "engine": engine,
                "n_obs": max(row.n_obs for row in own) or meta.get("n", 0),
                "n_clusters": max(row.n_clusters for row in own),
                "folds": meta.get("folds"),
                "seed": meta.get("seed"),
                "propensity_low": low,
                "propensity_high": high,
                "rows": len(own),
                "rows_without_interval": sum(not row.std_error > 0 and row.test is None for row in own),
                "seconds": (meta.get("seconds") or {}).get(engine, np.nan),
            }
        )
    return pd.DataFrame(lines)
