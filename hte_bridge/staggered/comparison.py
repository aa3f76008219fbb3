"""Engines on an adoption in one table, and the questions it can answer next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from hte_bridge.adoption import Adoption
from hte_bridge.alignment import columns_of
from hte_bridge.between.hypothesis import hypothesis
from hte_bridge.errors import HteBridgeError, InvalidOption
from hte_bridge.estimate import Estimate, check_level
from hte_bridge.faults import Guard, OnError
from hte_bridge.fitted_table import Answer
from hte_bridge.fitting import fit_of
from hte_bridge.language.formula import right_hand_side
from hte_bridge.predicting import beside, grid_of
from hte_bridge.rows import distinct, verbs
from hte_bridge.scores import Scores
from hte_bridge.staggered.asked import ByFamily
from hte_bridge.staggered.fits import AdoptionFit
from hte_bridge.staggered.lines import difference, joint, wald_row
from hte_bridge.staggered.questions import (
    family_of,
    gate_rows,
    pairwise_rows,
    pretrend_rows,
    projection_rows,
    row_labels,
    some_of,
    some_rows,
    sorted_rows,
)
from hte_bridge.staggered.stack import stack_of
from hte_bridge.study import Folds
from hte_bridge.table import Table

Between = Literal["engines", "event_times", "cohorts", "periods", "groups"]
PAIRED = {"event_times": "att_event", "cohorts": "att_group", "periods": "att_calendar"}


@verbs
@dataclass(frozen=True, eq=False, repr=False)
class AdoptionComparison(ByFamily):
    """What ``compare`` returns for an adoption: a ``Table`` that keeps its study and fits.

    Parameters
    ----------
    study : Adoption
    fits : mapping of str to AdoptionFit
        By the name in the column ``engine``; an engine that could not run is absent.
    level : float
        Coverage of the intervals of further rows.
    folds : Folds, optional
        Of the rows of the stack; none where no engine learns from it.

    Examples
    --------
    >>> import hte_bridge as hb
    >>> import numpy as np
    >>> import pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> unit, period = np.repeat(np.arange(60), 4), np.tile(np.arange(1, 5), 60)
    >>> frame = pd.DataFrame({"id": unit, "t": period, "first": np.array([0, 3, 4])[unit % 3], "old": unit % 2})
    >>> frame["y"] = (period >= frame["first"]) * (frame["first"] > 0) * (1 + frame["old"]) + rng.normal(size=240)
    >>> study = hb.Study.from_frame(frame, outcome="y", unit="id", period="t", first_treated="first")
    >>> table = hb.compare(study, [hb.Feols()], estimands=["att_event"])
    >>> [row.term for row in table.rows]
    ['-2', '-1', '0', '1', 'overall']
    >>> [row.term for row in table.gate("old").rows]
    ['old = 0', 'old = 1', 'old = 1 - old = 0', 'equal']
    >>> [row.term for row in table.att_simple("old > 0").rows], table.gate("old > 0").rows[1].term
    (['old > 0'], 'old > 0')
    """

    study: Adoption = field(default=None)  # type: ignore[assignment]
    fits: Mapping[str, AdoptionFit] = field(default_factory=dict)
    level: float = 0.95
    folds: Folds | None = None
    on_error: OnError = "row"

    def fit(self, engine: str) -> AdoptionFit:
        """The fit of one engine.

        Raises
        ------
        InvalidOption
            If no engine of that name ran.
        """
        return fit_of(self.fits, engine)

    def hypothesis(
        self, text: str | Sequence[str], table: Table | None = None, *, level: float | None = None
    ) -> Table:
        """Statements about rows (of ``table``, or these), such as ``"att_event[2] = att_event[0]"``; see ``Comparison.hypothesis``."""
        given, level = self if table is None else table, check_level(self.level if level is None else level)
        of_units, said = Scores(np.zeros(self.study.n), cluster=self.study.cluster), np.atleast_1d(text)
        rows = [row for each in said for row in hypothesis(given.rows, str(each), of_units, level=level)]
        meta = {key: value for key, value in self.meta.items() if key != "notes"}
        return Table(distinct(rows), meta | {"form": "rows"})

    def per_engine(self, estimand: str, make: Callable[[AdoptionFit], list[Estimate]]) -> Answer:
        """The rows that ``make`` gives for each engine; one that cannot answer gets a row that says why."""
        guard, rows = Guard(self.on_error), list[Estimate]()
        for name, fit in self.fits.items():
            rows += guarded(name, fit, estimand, partial(make, fit), self.level, guard)
        return Answer(tuple(rows), guard.noted(self.meta), self)

    def cate(
        self, new: Any, engine: str, event_time: float | None = None, level: float | None = None
    ) -> pd.DataFrame:
        """``estimate std_error conf_low conf_high`` of one engine at the rows of ``new``, pointwise; see ``AdoptionFit.cate``.

        ``{"age": [20, 40]}`` is short for ``hb.datagrid(study, age=[20, 40])``, which then stands before the estimates.
        """
        rows, grid = grid_of(self.study, new)
        found = self.fit(engine).cate(rows, self.level if level is None else level, event_time)
        return beside(found, grid)

    def average(self, estimand: str = "att_simple", where: Any = None, *, term: str | None = None) -> Answer:
        """An aggregation, of the units of a condition alone: their own adopters against their own comparison units; ``term`` names them.

        ``where`` is a condition such as ``"size > 0"`` on values at the base period, or one yes or no for each unit, by label. Each
        aggregation is a verb too: ``table.att_event("size > 0")``.
        """
        of, (member, note) = family_of(estimand, "estimand"), some_rows(self.study, where)
        own = where if isinstance(where, str) else "" if where is None else "subset"
        head = own if term is None else term
        return self.per_engine(of, lambda fit: some_of(fit, of, member, head, note, self.level))

    def estimand(self, name: str) -> Answer:
        """Rows of an aggregation by its name, as ``average``."""
        return self.average(name)

    def bands(self, of: str | Sequence[str] = "att_event") -> Answer:
        """The rows of aggregations with intervals that hold jointly: multiplier bootstrap of influence values, by cluster."""
        rows: list[Estimate] = []
        for each in [of] if isinstance(of, str) else of:
            rows += self.per_engine(each, partial(self._banded, family_of(each))).rows
        return Answer(tuple(rows), self.meta, self)

    def _banded(self, of: str, fit: AdoptionFit) -> list[Estimate]:
        return joint(fit.family(of, self.level), self.study)

    def gate(
        self,
        by: Any,
        bins: int | Sequence[float] | None = None,
        *,
        of: str = "att_simple",
        joint: bool = True,
    ) -> Answer:
        """An aggregation in each group of a column at the base period, groups less the first, and a test of equality.

        Parameters
        ----------
        by : str, Series or mapping
            A column's name, an expression on columns such as ``"x > 0"`` or ``"age // 10"``, or one label for each unit.
        bins : int or sequence of float, optional
            For a number: how many intervals, or their borders.
        of : str
            ``att_simple``, ``att_event``, ``att_group``, ``att_calendar`` or ``att_gt``.
        joint : bool
            Whether intervals hold for all groups and terms at once.
        """
        (labels, name), of = row_labels(self.study, by, bins), family_of(of)
        make = lambda fit: gate_rows(fit, labels, name, of, self.level, joint)
        return self.per_engine("gate", make)

    def gates(self, groups: int = 5, *, of: str = "att_simple", joint: bool = True) -> Answer:
        """An aggregation in groups sorted by the held-out effect, fold by fold: those predicted to gain least and most."""
        if isinstance(groups, bool) or not isinstance(groups, int) or groups < 2:
            raise InvalidOption(f"`groups` must be a whole number, 2 or more. {groups!r} was given.")
        of = family_of(of)

        def make(fit: AdoptionFit) -> list[Estimate]:
            cate, fold = self._sorting(fit)
            return sorted_rows(fit, cate, fold, groups, of, self.level, joint)

        return self.per_engine("gates", make)

    def _sorting(self, fit: AdoptionFit) -> tuple[Any, Any]:
        """Held-out effects (N,) that rank the rows of the stack, and their folds."""
        if not self.study.names.covariates:
            raise InvalidOption(
                "Sorting by a predicted effect needs covariates. The study has none. Name some."
            )
        stack = stack_of(self.study)
        folds = Folds.make(stack) if self.folds is None else self.folds
        learned = fit.stack_fit
        if learned is None:  # linear within cells: its interacted line, fitted to the other folds
            from hte_bridge.engines.feols import Feols

            learned = Feols(plain=False).fit(stack, folds)
        if learned.heldout is None:
            raise InvalidOption(learned.reasons.get("*", "This engine has no held-out predictions."))
        return learned.heldout.cate, folds.fold

    def projection(self, formula: Any = None, *, event_time: float | None = None) -> Answer:
        """Best linear projection of the effect on adopters on a right-hand side such as ``"lpop + i(region)"``; by default the covariates.

        Over all treated cells, or those of one ``event_time``. In place of a formula: the columns themselves, along the study's rows.
        """
        study = self.study
        if formula is None:
            design, names = study.filled, list(study.filled_names)
        elif isinstance(formula, str):
            design, names = right_hand_side(formula, study.stacked[study.frame.columns])
        else:
            given, names = columns_of(study, formula, "formula")
            design = given[study.base_rows]
        return self.per_engine(
            "projection",
            lambda fit: projection_rows(study, _scored(fit), design, names, event_time, self.level),
        )

    def pretrends(self, by: Any = None, bins: int | Sequence[float] | None = None) -> Answer:
        """Tests that effects before treatment are zero, jointly, or in each group of a column: leads, cells, and the largest lead."""
        if by is None:
            return self.per_engine("pretrend", lambda fit: pretrend_rows(fit, self.level))
        labels, name = row_labels(self.study, by, bins)

        def make(fit: AdoptionFit) -> list[Estimate]:
            rows: list[Estimate] = []
            for g, each in enumerate(labels.categories):
                head = f"{name} = {each}" if name else str(each)
                rows += pretrend_rows(fit, self.level, np.asarray(labels.codes) == g, head)
            return rows

        return self.per_engine("pretrend", make)

    def differences(
        self, between: Between = "engines", *, by: Any = None, level: float | None = None
    ) -> Table:
        """Differences with the covariance of both sides.

        Parameters
        ----------
        between : {"engines", "event_times", "cohorts", "periods", "groups"}
            Engine less engine for every row that both have; or, engine by engine, event times, cohorts, calendar periods or groups of
            the column ``by`` less each other, with joint intervals and a test that all are the same.
        """
        level = self.level if level is None else level
        if between == "engines":
            return Table(tuple(_engine_rows(self, level)), self.meta)
        if between == "groups":
            if by is None:
                raise InvalidOption(
                    "`by` must name the column whose groups are compared. None was given. Write by='column'."
                )
            kept = [
                row
                for row in self.gate(by).rows
                if " - " in row.term or row.term == "equal" or not np.isfinite(row.estimate)
            ]
            return Table(tuple(row.at_level(level) for row in kept), self.meta)
        if between not in PAIRED:
            raise InvalidOption(
                f"`between` must be one of {', '.join(get_args(Between))}. {between!r} was given."
            )
        of = PAIRED[between]
        return self.per_engine(of, lambda fit: pairwise_rows(fit, of, level, True))

    def plot(self, by: Any = None, engine: str | None = None, ax: Any = None) -> Any:
        """Effects by event time with joint bands: engines side by side, or for one engine the groups of a column ``by``."""
        from hte_bridge.plot.event_times import event_times

        if by is None:
            table = self.bands("att_event")
            rows = [row for row in table.rows if engine in (None, row.engine) and row.term != "overall"]
            return event_times(
                {row.engine: [each for each in rows if each.engine == row.engine] for row in rows}, ax
            )
        name = engine or next(iter(self.fits))
        labels, column = row_labels(self.study, by, None)
        rows = gate_rows(self.fit(name), labels, column, "att_event", self.level, True)
        heads = [f"{column} = {each}" if column else str(each) for each in labels.categories]
        series = {
            head: [
                row.with_(term=row.term[len(head) + 2 :])
                for row in rows
                if row.term.startswith(f"{head}: ") and not row.term.endswith("overall")
            ]
            for head in heads
        }
        return event_times(series, ax, title=name if len(self.fits) > 1 else "")

    def save(self, path: str | Path, *, columns: Sequence[str] | str | None = None) -> Path:
        """Write the table; as ``.hte`` with its panel, folds and fits, so that ``hb.load`` gives back what answers again.

        The file holds the columns that the study names, one row for each unit and period; ``columns`` names further ones, or ``"all"``.
        """
        if Path(path).suffix.lower() != ".hte":
            return super().save(path)
        from hte_bridge.saved.write import save_adoption

        return save_adoption(self, Path(path), columns)

    def report(self, path: str | Path, **options: Any) -> Path:
        """One self-contained HTML page: the table, the picture of event times, readings; options as of ``report.report``."""
        from hte_bridge.report import report

        more = dict(options.pop("more", None) or {})
        if any(np.isfinite(row.estimate) for row in self.rows):
            more = {"Effects by periods since treatment began": lambda ax: self.plot(ax=ax), **more}
        return report(Table(self.rows, self.meta), path, more=more, **options)


def _scored(fit: AdoptionFit) -> Any:
    if fit.scored is None:
        raise InvalidOption(fit.why)
    return fit.scored


def guarded(
    name: str, fit: AdoptionFit, estimand: str, make: Callable[[], list[Estimate]], level: float, guard: Guard
) -> list[Estimate]:
    """Rows under the engine's name and notes; a sentence in place of numbers it cannot give."""
    try:
        if fit.scored is None:
            return [Estimate.missing(estimand, fit.why, engine=name, level=level)]
        with guard(name, f"`{estimand}` of `{name}`"):
            note = {"note": "; ".join(fit.notes)} if fit.notes else {}
            return [row.with_(engine=name, **note) for row in make()]
    except HteBridgeError as error:
        return [Estimate.missing(estimand, str(error), engine=name, level=level)]


def _engine_rows(table: AdoptionComparison, level: float) -> list[Estimate]:
    """Engine less engine, row by row, and joint tests by estimand."""
    engines = list(dict.fromkeys(row.engine for row in table.rows if row.engine in table.fits))
    if len(engines) < 2:
        raise InvalidOption(
            f"Differences need rows of two engines. The table has {', '.join(engines) or 'none'}. Add another to compare()."
        )
    mine = {
        name: {(row.estimand, row.term): row.at_level(level) for row in table.rows if row.engine == name}
        for name in engines
    }
    out: list[Estimate] = []
    for first, second in combinations(engines, 2):
        label = f"{second} - {first}"
        made: dict[str, list[Estimate]] = {}
        for key in [key for key in mine[second] if key in mine[first]]:
            row = difference(mine[second][key], mine[first][key], table.study, engine=label)
            made.setdefault(key[0], []).append(row)
        for estimand, rows in made.items():
            out += rows
            if sum(row.std_error > 0 for row in rows) > 1:
                out.append(
                    wald_row(estimand, rows, table.study, "the two engines agree on all terms", "joint")
                )
    return out
