"""Several arms in one table: a comparison for each arm beside the control, and what the contrasts say together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from inspect import signature
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from hte_bridge import chances
from hte_bridge.between.compared import study_scores
from hte_bridge.between.differences import difference
from hte_bridge.between.hypothesis import hypothesis
from hte_bridge.comparison import Comparison
from hte_bridge.crossed import NEGATIVE, two_way, variance
from hte_bridge.engine import Fit
from hte_bridge.errors import InvalidOption
from hte_bridge.estimand import averages
from hte_bridge.estimands.moments import covariance, placed
from hte_bridge.faults import OnError
from hte_bridge.inference import Family, adjusted
from hte_bridge.keys import lots
from hte_bridge.rows import distinct
from hte_bridge.several_arms import ArmsStudy
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate, Table, check_level
from hte_bridge.warned import of_several

Verb = Callable[..., Table]


def _each(method: Callable[..., Any]) -> Verb:
    """A verb of a comparison, asked of every contrast: what has a value for each unit of the study goes to the units of each."""

    @wraps(method)
    def asked(self: ArmsComparison, *args: Any, **options: Any) -> Table:
        signature(method).bind(self, *args, **options)
        if any(isinstance(each, Table) for each in (*args, *options.values())):
            raise InvalidOption(
                f"`{method.__name__}` of a table needs one contrast. Several were asked. Ask it of one, table['arm'].{method.__name__}()."
            )

        def of(arm: str, table: Comparison) -> Table:
            own = [self.own(arm, each) for each in args]
            named = {name: self.own(arm, each) for name, each in options.items()}
            found: Table = getattr(table, method.__name__)(*own, **named)
            return found

        return self.per_contrast(of)

    return asked


@dataclass(frozen=True, eq=False, repr=False)
class ArmsComparison(Table):
    """What ``compare`` returns for several arms: rows of each arm against the control, the contrast in the column ``term``.

    Every verb of a comparison is asked of all contrasts at once, or of one: ``table["b"].gate("age")``. Influence values are on the units of the
    whole study, zero outside a contrast, so that what sets contrasts against each other knows that they share the control's units.

    Parameters
    ----------
    study : ArmsStudy
    tables : mapping of str to Comparison
        By arm, the control's not among them.
    folds : Folds
        Of the whole study: one split for all contrasts.
    level : float
        Coverage of the intervals of further rows.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import hte_bridge as hb
    >>> rng = np.random.default_rng(1)
    >>> df = pd.DataFrame({"age": rng.integers(20, 60, 300), "offer": rng.choice(["cash", "letter", "none"], 300)})
    >>> df["visits"] = 2.0 * (df["offer"] == "cash") + 0.1 * df["age"] + rng.normal(size=300)
    >>> roles = {"outcome": "visits", "treatment": "offer", "covariates": ["age"], "control": "none"}
    >>> study = hb.Study.from_frame(df, **roles, treatment_type="arms")
    >>> table = hb.compare(study, ["feols"], estimands=["ate"], seed=1)
    >>> [(row.term, round(row.estimate, 1)) for row in table.where(estimand="ate").rows]
    [('cash - none', 2.0), ('letter - none', -0.1)]
    >>> [row.term for row in table.differences().where(estimand="ate").rows]
    ['(letter - none) - (cash - none)']
    """

    study: ArmsStudy = field(default=None)  # type: ignore[assignment]
    tables: Mapping[str, Comparison] = field(default_factory=dict)
    folds: Folds = field(default=None)  # type: ignore[assignment]
    level: float = 0.95
    on_error: OnError = "row"

    def contrast(self, arm: Any) -> Comparison:
        """The comparison of one arm and the control: all verbs of a study with one treatment.

        Raises
        ------
        InvalidOption
            If it is the control, or no arm.
        """
        return self.tables[self.study.place_of(arm)]

    def __getitem__(self, arm: Any) -> Comparison:
        return self.contrast(arm)

    def own(self, arm: str, value: Any) -> Any:
        """Of an array with a value for each unit of the study those of a contrast's units; anything else as it is."""
        plain = isinstance(value, list | np.ndarray) and np.ndim(value) >= 1
        return np.asarray(value)[self.study.rows[arm]] if plain and len(value) == self.study.n else value

    def per_contrast(self, make: Callable[[str, Comparison], Table]) -> Table:
        """The rows that ``make`` gives for each contrast, with the contrast in the term."""
        made = {arm: make(arm, table) for arm, table in self.tables.items()}
        return Table(rows_of(self.study, made), self.meta)

    def cate(self, new: Any, engine: str, level: float | None = None) -> pd.DataFrame:
        """``estimate std_error conf_low conf_high`` of one engine at the rows of ``new``, contrast by contrast: first level of the index."""
        made = {
            self.study.contrast(arm): table.cate(new, engine, level) for arm, table in self.tables.items()
        }
        return pd.concat(made, names=["contrast"])

    @property
    def fits(self) -> dict[str, Fit]:
        """All fits, such as ``"grf (b - placebo)"``; those of one contrast are ``table["b"].fits``."""
        return {
            f"{engine} ({self.study.contrast(arm)})": fit
            for arm, table in self.tables.items()
            for engine, fit in table.fits.items()
        }

    def save(
        self, path: str | Path, *, columns: Sequence[str] | str | None = None, rankings: bool = True
    ) -> Path:
        """Write the table; as ``.hte`` with the studies, folds and fits of all contrasts, so that ``hb.load`` gives back what answers again.

        Options as of ``Comparison.save``; ``table["b"].save("b.hte")`` writes one contrast.
        """
        if Path(path).suffix.lower() != ".hte":
            return super().save(path)
        from hte_bridge.saved.write import save_arms

        return save_arms(self, Path(path), columns, rankings)

    def report(self, path: str | Path, **options: Any) -> Path:
        """One self-contained HTML page of all contrasts; ``table["b"].report(path)`` has the pictures of one. ``report.report``."""
        from hte_bridge.report import report

        return report(Table(self.rows, self.meta), path, **options)

    def plot(self, ax: Any = None) -> Any:
        """Effects of all contrasts with their intervals; ``table["b"].plot()`` draws the pictures of one. ``plot.coefficients``."""
        from hte_bridge.plot import coefficients

        known = {row.estimand for row in self.rows if np.isfinite(row.estimate)}
        return coefficients(self, ax, estimands=[each for each in averages() if each in known] or None)

    def differences(
        self, between: Literal["contrasts", "engines"] = "contrasts", *, level: float | None = None
    ) -> Table:
        """Contrast less contrast, engine by engine, for every row that both have; or engine less engine within each contrast.

        The error of contrast less contrast is that of the difference of their influence values on the units of the whole study: units of the
        control, which both share, count once.
        """
        level = check_level(self.level if level is None else level)
        if between == "engines":
            return self.per_contrast(lambda _, table: table.differences(level=level))
        if between != "contrasts":
            raise InvalidOption(f"`between` must be 'contrasts' or 'engines'. {between!r} was given.")
        return Table(tuple(_less(self.study, self.tables, level)), self._plain)

    def adjusted(self, table: Table | None = None, *, method: Family = "romano-wolf", seed: int = 0) -> Table:
        """The rows (of ``table``, or these) of all contrasts as one family; ``inference.adjusted``."""
        given = self if table is None else table
        return Table(
            tuple(
                adjusted(
                    given.rows,
                    lots(self.study.whole.cluster, self.study.whole.keys),
                    method=method,
                    seed=seed,
                )
            ),
            given.meta,
        )

    def hypothesis(
        self, text: str | Sequence[str], table: Table | None = None, *, level: float | None = None
    ) -> Table:
        """Statements about rows of all contrasts, such as ``"ate[b - placebo] = 2 * ate[a - placebo]"``; see ``Comparison.hypothesis``."""
        given = self if table is None else table
        level, scores = check_level(self.level if level is None else level), study_scores(self.study.whole)
        said = [text] if isinstance(text, str) else text
        ways = two_way(self.study.whole)
        rows = [
            row for each in said for row in hypothesis(given.rows, each, scores, level=level, crossed=ways)
        ]
        return Table(distinct(rows), self._plain)

    @property
    def _plain(self) -> dict[str, Any]:
        """The meta of rows that are not an engine's own."""
        return {key: value for key, value in self.meta.items() if key != "notes"} | {"form": "rows"}

    average = _each(Comparison.average)
    gate = _each(Comparison.gate)
    gates = _each(Comparison.gates)
    clan = _each(Comparison.clan)
    projection = _each(Comparison.projection)
    calibration = _each(Comparison.calibration)
    rate = _each(Comparison.rate)
    toc = _each(Comparison.toc)
    policy = _each(Comparison.policy)
    counterfactual = _each(Comparison.counterfactual)
    roi = _each(Comparison.roi)
    what_if = _each(Comparison.what_if)
    nuisance = _each(Comparison.nuisance)
    trimmed = _each(Comparison.trimmed)
    sensitivity = _each(Comparison.sensitivity)
    placebo = _each(Comparison.placebo)
    repeated = _each(Comparison.repeated)
    with_vcov = _each(Comparison.with_vcov)
    wild_bootstrap = _each(Comparison.wild_bootstrap)
    randomisation = _each(Comparison.randomisation)
    race = _each(Comparison.race)
    agreement = _each(Comparison.agreement)
    explain_gap = _each(Comparison.explain_gap)


def compare_arms(study: ArmsStudy, each: Callable[..., Comparison], folds: Folds) -> ArmsComparison:
    """The comparison of every arm with the control, on the parts of one split.

    Parameters
    ----------
    study : ArmsStudy
    each : function of a study and ``folds``
    folds : Folds
        Of all units.
    """
    tables = {}
    for arm, own in study.studies.items():
        part = Folds(folds.fold[study.rows[arm]], folds.n_folds, folds.seed)
        tables[arm] = each(own, folds=part)
    return _together(study, tables, folds)


def extended(table: ArmsComparison, each: Callable[[Comparison], Comparison]) -> ArmsComparison:
    """The same contrasts after ``each`` of them was given more rows."""
    return _together(table.study, {arm: each(own) for arm, own in table.tables.items()}, table.folds)


def _together(study: ArmsStudy, tables: Mapping[str, Comparison], folds: Folds) -> ArmsComparison:
    first = next(iter(tables.values()))
    rows = rows_of(study, tables)
    return ArmsComparison(rows, _meta(study, tables), study, tables, folds, first.level, first.on_error)


def rows_of(study: ArmsStudy, tables: Mapping[str, Table]) -> tuple[Estimate, ...]:
    """Rows of contrasts in one table: engine by engine, the contrast before the term, influence values on all units."""
    out: list[Estimate] = []
    for arm, table in tables.items():
        name, mask = study.contrast(arm), study.rows[arm]
        for row in table.rows:
            fits = row.influence is None or len(row.influence) == int(mask.sum())
            whole = placed(row, mask) if fits else row.with_(influence=None, share=None)
            out.append(whole.with_(term=_termed(name, row, study)))
    engines = list(dict.fromkeys(row.engine for row in out))
    return distinct(sorted(out, key=lambda row: engines.index(row.engine)))


def _termed(contrast: str, row: Estimate, study: ArmsStudy) -> str:
    """The contrast before a row's term, and in place of the treatment's name."""
    treatment = study.whole.names.treatment
    if row.estimand == "coefficient" and row.term.partition(", ")[0] == treatment:
        return contrast + row.term.removeprefix(treatment)
    return f"{contrast}: {row.term}" if row.term else contrast


def _less(study: ArmsStudy, tables: Mapping[str, Comparison], level: float) -> Sequence[Estimate]:
    """Rows of each two contrasts, the later less the earlier."""
    scores = study_scores(study.whole)
    out: list[Estimate] = []
    for first, second in combinations(tables, 2):
        label = f"({study.contrast(second)}) - ({study.contrast(first)})"
        own, others = study.rows[second], study.rows[first]
        known = {(row.engine, row.estimand, row.term): row for row in tables[first].rows}
        for row in tables[second].rows:
            other = known.get((row.engine, row.estimand, row.term))
            if other is None or (not np.isfinite(row.estimate) and row.test is not None):  # a joint test
                continue
            mine, theirs = placed(row, own), placed(other, others)
            made = difference(_scaled(mine, study.whole), _scaled(theirs, study.whole), scores, level=level)
            term = _termed(label, row, study)
            out.append(_by_both(made, study.whole).with_(engine=row.engine, term=term))
    return out


def _scaled(row: Estimate, whole: Study) -> Estimate:
    """The row with influence values that sum to its error: what effects, HC3 or a small sample add to it is in them."""
    if row.influence is None or not row.std_error > 0:
        return row
    live, scores = row.influence != 0, study_scores(whole)
    if whole.second_cluster is None:
        found = covariance(row.influence[live, None], scores.where(live))[0, 0]
    else:
        found = variance(row.influence, whole)
    return row.with_(influence=row.influence * (row.std_error / found**0.5)) if found > 0 else row


def _by_both(row: Estimate, whole: Study) -> Estimate:
    """The row with its error by both clusters of a study that has two."""
    if whole.second_cluster is None or row.influence is None:
        return row
    found = variance(row.influence, whole)
    changes = {} if found > 0 else {"note": NEGATIVE}
    label = f"CRV1 ({whole.names.cluster} + {whole.names.second_cluster})"
    return row.with_(std_error=found**0.5 if found > 0 else np.nan, vcov=label, **changes)


BY_LOT = re.compile(r"such as propensity=[0-9.e-]*[0-9]")  # of one treatment; arms have a chance each


def _shares(study: ArmsStudy) -> str:
    """The chances that the shares of arms would be, as an argument."""
    count = np.bincount(study.arm)
    shares = {name: float(f"{count[k] / study.n:.2g}") for k, name in enumerate(study.labels) if k}
    return f"propensity={shares!r}"


def _meta(study: ArmsStudy, tables: Mapping[str, Comparison]) -> dict[str, Any]:
    """All that a reader needs to rebuild the table, as plain values."""
    whole: Study = study.whole
    first = next(iter(tables.values()))
    meta = {key: value for key, value in first.meta.items() if key != "later"}  # of one contrast
    warnings = of_several({study.contrast(arm): table.meta for arm, table in tables.items()})
    meta |= {
        "n": whole.n,
        "n_clusters": whole.n_clusters if whole.clustered else None,
        "treated_share": None,
        "treatment": "arms",
        "arms": list(study.labels),
        "control": study.control,
        "propensity": {},
        "dropped": dict(whole.dropped),
        "warnings": [
            *(f"data: {each}" for each in study.notes),
            *(BY_LOT.sub(f"such as {_shares(study)}", each) for each in warnings),
        ],
        "notes": {
            engine: list(
                dict.fromkeys(
                    each for table in tables.values() for each in table.meta["notes"].get(engine, ())
                )
            )
            for engine in first.meta["notes"]
        },
        "seconds": {
            engine: round(sum(table.meta["seconds"].get(engine, 0.0) for table in tables.values()), 2)
            for engine in first.meta["seconds"]
        },
    }
    treatment = f"treatment={whole.names.treatment!r},"
    more = f" treatment_type='arms', control={study.control!r},"
    meta["code"] = meta["code"].replace(treatment, treatment + more, 1)
    if study.propensity is not None:
        of_first = meta["names"]["propensity"]
        meta["code"] = meta["code"].replace(
            f"propensity={of_first!r}", f"propensity={dict(study.propensity)!r}"
        )
        meta["names"] = {
            **meta["names"],
            "propensity": chances.written(study.propensity),
        }
    return meta
