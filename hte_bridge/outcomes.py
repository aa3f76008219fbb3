"""Several outcomes of one treatment: a comparison for each, and p-values that allow for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hte_bridge import checks, columns
from hte_bridge.comparing import compare
from hte_bridge.comparison import Comparison
from hte_bridge.engine import Engine
from hte_bridge.errors import InvalidData, InvalidOption, nearest
from hte_bridge.estimands.moments import placed
from hte_bridge.faults import OnError
from hte_bridge.inference import Family, adjusted
from hte_bridge.keys import lots
from hte_bridge.rows import distinct
from hte_bridge.study import Study
from hte_bridge.table import Estimate, Table
from hte_bridge.warned import of_several


@dataclass(frozen=True, eq=False, repr=False)
class OutcomesTable(Table):
    """Rows of all outcomes, and the comparison of each.

    Parameters
    ----------
    tables : mapping of str to Comparison
        By outcome; their own p-values are not adjusted. ``table["y2"]`` is that of one, which answers every verb.
    study : Study
        As it was handed in; the rows' influence values are on its units.
    """

    tables: Mapping[str, Comparison] = field(default_factory=dict)
    study: Study = field(default=None)  # type: ignore[assignment]

    def __getitem__(self, outcome: str) -> Comparison:
        """The comparison of one outcome.

        Raises
        ------
        InvalidOption
            If it is none of them.
        """
        if outcome not in self.tables:
            offer = nearest(str(outcome), self.tables, kind="They")
            raise InvalidOption(f"An outcome must be one of the table's. `{outcome}` is none. {offer}")
        return self.tables[outcome]

    def save(
        self, path: str | Path, *, columns: Sequence[str] | str | None = None, rankings: bool = True
    ) -> Path:
        """Write the table; as ``.hte`` with the study, folds and fits of each outcome, which ``hb.load`` gives back; as ``Comparison.save``."""
        if Path(path).suffix.lower() != ".hte":
            return super().save(path)
        from hte_bridge.saved.write import save_outcomes

        return save_outcomes(self, Path(path), columns, rankings)


def compare_outcomes(
    study: Study,
    outcomes: Sequence[str],
    engines: Sequence[Engine | str] = ("feols", "grf", "deep"),
    *,
    estimands: Sequence[str] | None = None,
    method: Family = "romano-wolf",
    draws: int = 4999,
    level: float = 0.95,
    seed: int = 0,
    n_folds: int = 5,
    on_error: OnError = "row",
) -> OutcomesTable:
    """Compare engines on several outcomes of one study; p-values allow for the family of outcomes.

    A family is what one engine says of one question, an estimand and a term, about all outcomes: Romano and Wolf's (2005, Econometrica 73(4))
    step-down by a multiplier bootstrap of the joint influence of clusters (``inference.adjusted``), which controls the chance of any false rejection
    in it. Estimates, errors and intervals are those of the single outcome. An outcome that is missing in some rows is studied on the others.

    Parameters
    ----------
    study : Study
        Made by ``Study.from_frame``; its own outcome counts where it is named.
    outcomes : sequence of str
        Columns of the study's frame, two or more.
    engines, estimands, level, seed, n_folds, on_error
        As ``compare`` takes them.
    method : {"romano-wolf", "holm"}
    draws : int

    Returns
    -------
    OutcomesTable
        Terms begin with the outcome; ``tables`` holds the comparison of each, which answers further questions.

    Raises
    ------
    InvalidOption
        If there are fewer than two outcomes, or one is no column.
    InvalidData
        If an outcome is not numeric, does not vary, or is another role's column.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import hte_bridge as hb
    >>> rng = np.random.default_rng(1)
    >>> frame = pd.DataFrame(rng.normal(size=(200, 3)), columns=["x", "y", "y2"]).assign(d=rng.integers(0, 2, 200))
    >>> study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    >>> table = hb.compare_outcomes(study, ["y", "y2"], ["feols"], estimands=["ate"], seed=1)
    >>> [row.term for row in table.rows if row.estimand == "ate"]
    ['y', 'y2']
    """
    names = [str(each) for each in ([outcomes] if isinstance(outcomes, str) else outcomes)]
    _check(study, names)
    tables: dict[str, Comparison] = {}
    rows: list[tuple[str, Estimate]] = []
    for name in names:
        own, kept = _of(study, name)
        made = compare(
            own, engines, estimands=estimands, level=level, seed=seed, n_folds=n_folds, on_error=on_error
        )
        tables[name] = made
        rows += [(name, placed(row, kept)) for row in made.rows]
    meta = {key: value for key, value in tables[names[0]].meta.items() if key != "later"}  # of one outcome
    meta["names"] = dict(meta["names"]) | {"outcome": ", ".join(names)}
    meta["warnings"] = of_several({name: table.meta for name, table in tables.items()})
    options: dict[str, Any] = {"method": method, "draws": draws, "seed": seed}
    return OutcomesTable(distinct(_families(rows, study, options)), meta, tables, study)


def _check(study: Study, names: Sequence[str]) -> None:
    if not isinstance(study, Study):
        raise InvalidOption(
            "`study` must have one treatment of 0 and 1, or a dose. A study of several arms or of an adoption was given. Make a study of "
            "one arm beside the control (in Python study.studies['arm'])."
        )
    if study.frame is None:
        raise InvalidOption(
            "`outcomes` need a study made by Study.from_frame, which keeps its frame. This one has none. Make it from the frame."
        )
    if len(names) < 2 or len(set(names)) < len(names):
        raise InvalidOption(
            f"`outcomes` must be two columns or more, each once. {', '.join(names) or 'None'} was given. Name them in a list, or use "
            "hb.compare for one."
        )
    taken = {study.names.treatment, *study.encoder.sources, *study.control_encoder.sources}
    for name in names:
        if name not in study.frame.columns:
            raise InvalidOption(
                f"`outcomes` must name columns of the study's frame. `{name}` is not one. {nearest(name, study.frame.columns)}"
            )
        if name in taken:
            raise InvalidData(
                f"An outcome must not be the treatment, a covariate or a control. `{name}` is. Leave it out of one of the two."
            )


def _of(study: Study, name: str) -> tuple[Study, np.ndarray[Any, Any]]:
    """The study of another outcome, and the rows (n,) that know it."""
    assert study.frame is not None
    kept = study.frame[name].notna().to_numpy()
    part = study if kept.all() else study.subset(kept)
    assert part.frame is not None
    values = columns.outcome_values(part.frame, name)
    dropped = dict(part.dropped)
    if not kept.all():
        dropped[f"missing outcome {name}"] = int((~kept).sum())
    own = part.with_(outcome=values, names=replace(part.names, outcome=name), dropped=dropped)
    columns.covariate_values(own)
    checks.measurable(own)
    return own, kept


def _families(rows: list[tuple[str, Estimate]], study: Study, options: dict[str, Any]) -> list[Estimate]:
    """Each engine's rows of one question about all outcomes together, in the order of the first outcome's."""
    families: dict[tuple[str, str, str], list[tuple[str, Estimate]]] = {}
    for name, row in rows:
        families.setdefault((row.engine, row.estimand, row.term), []).append((name, row))
    out: list[Estimate] = []
    for family in families.values():
        usable = [row for _, row in family if row.std_error > 0 and row.influence is not None]
        made = iter(
            adjusted(usable, lots(study.cluster, study.keys), **options) if len(usable) > 1 else usable
        )
        for name, row in family:
            found = next(made) if row.std_error > 0 and row.influence is not None else row
            plain = row.estimand not in ("coefficient", "projection", "gate") and not row.term
            out.append(found.with_(term=name if plain else f"{name}: {row.term}"))
    return out
