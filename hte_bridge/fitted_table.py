"""A table together with the study, folds and fits that made it: their scores, pictures, files, and rows of every engine in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.crossed import two_way
from hte_bridge.engine import Fit
from hte_bridge.estimands.sequential import How, comparable
from hte_bridge.faults import Guard, OnError
from hte_bridge.fitting import fit_of
from hte_bridge.predicting import beside, grid_of
from hte_bridge.rows import distinct, engine_rows, engine_scores, verbs
from hte_bridge.scores import Scores
from hte_bridge.scores_file import write_scores
from hte_bridge.sealed import file_names
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate, Table, check_level

if TYPE_CHECKING:
    from hte_bridge.between.compared import Reading


class Asked(Protocol):
    """A comparison that tests statements about rows."""

    def hypothesis(
        self, text: str | Sequence[str], table: Table | None = None, *, level: float | None = None
    ) -> Table:
        """Each statement with its error."""


@dataclass(frozen=True, eq=False, repr=False)
class Answer(Table):
    """What a verb of a comparison gives: a ``Table`` of which hypotheses can be tested.

    Parameters
    ----------
    asked : Asked
        The comparison that was asked.
    """

    asked: Asked = field(default=None)  # type: ignore[assignment]

    def where(self, **values: str) -> Answer:
        """Rows whose columns have these values, such as ``engine="grf"``."""
        return Answer(super().where(**values).rows, self.meta, self.asked)

    def at_level(self, level: float) -> Answer:
        """The same rows with intervals of another coverage; see ``Table.at_level``."""
        return Answer(super().at_level(level).rows, self.meta, self.asked)

    def hypothesis(self, text: str | Sequence[str], *, level: float | None = None) -> Table:
        """Statements about these rows, such as ``"gate[new] = 2 * gate[old]"``, each with its error; see ``Comparison.hypothesis``."""
        return self.asked.hypothesis(text, self, level=level)


@verbs
@dataclass(frozen=True, eq=False, repr=False)
class FittedTable(Table):
    """A ``Table`` that keeps its study, folds and fits; its fields are those of ``Comparison``."""

    study: Study = field(default=None)  # type: ignore[assignment]
    folds: Folds = field(default=None)  # type: ignore[assignment]
    fits: Mapping[str, Fit] = field(default_factory=dict)
    level: float = 0.95
    _scores: dict[str, Scores] = field(default_factory=dict, repr=False)
    on_error: OnError = "row"

    def fit(self, engine: str) -> Fit:
        """The fit of one engine.

        Raises
        ------
        InvalidOption
            If no engine of that name ran.
        """
        return fit_of(self.fits, engine)

    def scores(self, engine: str) -> Scores:
        """Doubly robust scores of one engine, made once.

        Raises
        ------
        NotIdentified
            If the engine has no held-out predictions for this study, with the engine's own reason.
        """
        if engine not in self._scores:
            self._scores[engine] = engine_scores(self.fit(engine))
        return self._scores[engine]

    def save_scores(self, path: str | Path) -> Path:
        """Write what each engine says of each unit, a row for each in the study's order: ``row`` (its label), ``fold``, and by engine ``NAME gamma``
        (the doubly robust score), ``NAME cate``, ``NAME outcome_mean``, ``NAME propensity``, ``NAME treatment_variance``.

        One Parquet file in double precision with a checksum, for other programs; ``save`` to ``.hte`` is what answers again.

        Raises
        ------
        InvalidOption
            If the path does not end in ``.parquet``.
        NotIdentified
            If no engine has held-out predictions.
        UnwritableFolder
            If the folder cannot be written or is full; nothing half-written stays.
        """
        held = {name: self.scores(name) for name, fit in self.fits.items() if fit.heldout is not None}
        return write_scores(Path(path), self.study, self.folds, held)

    def cate(self, new: Any, engine: str, level: float | None = None) -> pd.DataFrame:
        """``estimate std_error conf_low conf_high`` of one engine at the rows of ``new``.

        ``new`` is a frame with the covariates, such as ``hb.datagrid(study, age=[20, 40])``; or, in short, ``{"age": [20, 40]}``, every
        combination of these values with all else typical: then the covariates stand before the estimates.
        """
        rows, grid = grid_of(self.study, new)
        found = self.fit(engine).cate(rows, level=self.level if level is None else level)
        return beside(found, grid)

    def heldout_cate(self, *engines: str) -> list[Array]:
        """Held-out CATE (n,) of engines, as it may be drawn or compared across folds: each fold moved to the mean of all.

        Every fold is predicted by a model of its own; that one fold's predictions lie above another's is no effect that differs.
        """
        return comparable(self.folds, *(self.fit(engine) for engine in engines))

    def plot(self) -> Any:
        """The usual four pictures, as an array of Axes: effects, sorted CATE, agreement, overlap; ``plot.usual``."""
        from hte_bridge.plot import usual

        return usual(self)

    def report(self, path: str | Path, **options: Any) -> Path:
        """One self-contained HTML page: tables, pictures, readings, methods, BibTeX; ``report.report``."""
        from hte_bridge.report import report

        return report(self, path, **options)

    def differences(self, level: float | None = None) -> Reading:
        """Engine minus engine for every shared row, with its own error; see ``between.differences``."""
        from hte_bridge.between.differences import differences

        return differences(self, level=level)

    def race(self, *, ranking: How = "sequential", level: float | None = None) -> Reading:
        """Which CATE predicts best held-out, and what one adds to another; see ``between.race``."""
        from hte_bridge.between.race import race

        return race(self, ranking=ranking, level=level)

    def agreement(self, depth: int = 2, level: float | None = None) -> Reading:
        """Correlation, signs and top fifths of each two engines, and where they part; see ``between.agreement``."""
        from hte_bridge.between.agreement import agreement

        return agreement(self, depth=depth, level=level)

    def explain_gap(
        self, engine: str = "grf", baseline: str = "feols", level: float | None = None
    ) -> Reading:
        """Why an engine's average effect differs from the coefficient of another; see ``between.explain_gap``."""
        from hte_bridge.between.explain_gap import explain_gap

        level = self.level if level is None else level
        return explain_gap(self.study, self.fit(engine), coefficient=self.fit(baseline), level=level)

    def per_engine(self, estimand: str, make: Callable[[Fit, Scores], list[Estimate]]) -> Answer:
        """The rows that ``make`` gives for each engine; one that cannot answer gets a row that says why."""
        rows: list[Estimate] = []
        guard = Guard(self.on_error)
        for name, fit in self.fits.items():
            own = lambda fit, name=name: make(fit, self.scores(name))
            rows += engine_rows(name, fit, estimand, own, self.level, guard)
        meta = {key: value for key, value in guard.noted(self.meta).items() if key != "later"}  # said once
        return Answer(distinct(rows), meta, self)

    def hypothesis(
        self, text: str | Sequence[str], table: Table | None = None, *, level: float | None = None
    ) -> Table:
        """Statements about rows (of ``table``, or these), such as ``"ate[grf] = ate[deep]"``, each with its error; ``between.hypothesis``.

        In brackets stands an engine, a term or the label at its end; where no engine is named, every one that has the rows is tested. The
        answers of verbs take them too: ``table.gate("region").hypothesis("gate[new] = 2 * gate[old]")``.
        """
        from hte_bridge.between.compared import study_scores
        from hte_bridge.between.hypothesis import hypothesis

        given, scores = self if table is None else table, study_scores(self.study)
        level = check_level(self.level if level is None else level)
        rows: list[Estimate] = []
        for each in [text] if isinstance(text, str) else text:
            rows += hypothesis(given.rows, each, scores, level=level, crossed=two_way(self.study))
        meta = {key: value for key, value in self.meta.items() if key not in ("notes", "form", "later")}
        return Table(distinct(rows), meta | {"form": "rows"})

    def save(
        self,
        path: str | Path,
        fits: bool = False,
        *,
        columns: Sequence[str] | str | None = None,
        rankings: bool = True,
    ) -> Path:
        """Write the table; as ``.hte`` with its study, folds and fits, so that ``hb.load`` gives back a comparison that answers again.

        A ``.hte`` file holds data of people: the columns that the study names, one row for each unit, with the labels of its index, and
        what each engine predicts of each unit. Other columns of the data are not in it, unless ``columns`` names them. It holds no code.

        Parameters
        ----------
        path : path
            ``.hte``, or ``.parquet``, ``.csv`` or ``.xlsx`` for the rows alone.
        fits : bool, default False
            Also each engine that can be saved, in a file beside ``path``: ``t.parquet`` gets the neighbours ``t.grf.rds`` (R's own file)
            and ``t.deep.npz``; `CausalForestFit.load` and `DeepFit.load` read them. What cannot be part of a file's name is ``_`` there.
        columns : sequence of str or "all", optional
            Further columns of the data that a ``.hte`` file keeps, so that ``gate("income")`` can be asked of it.
        rankings : bool, default True
            Whether a ``.hte`` file keeps the ranking of each engine by earlier folds, made where it was not asked for before (it
            fits each engine once for every fold but the first): ``gates``, ``rate`` and ``policy`` need it.

        Raises
        ------
        InvalidOption
            If ``columns`` names what is no column of the data.
        UnwritableFolder
            If the folder cannot be written; nothing half-written stays.
        """
        if Path(path).suffix.lower() == ".hte":
            from hte_bridge.saved.write import save

            return save(self, Path(path), columns, rankings)
        path = super().save(path)
        if fits:
            for name, fit in zip(file_names(self.fits), self.fits.values(), strict=True):
                ending = getattr(fit, "ending", None)  # feols has none: it is fitted again in a moment
                if ending is not None:
                    fit.save(path.with_name(f"{path.stem}.{name}{ending}"))  # type: ignore[attr-defined]
        return path
