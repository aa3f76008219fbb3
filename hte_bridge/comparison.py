"""What ``compare`` returns: a table with its fits, and the questions that it can answer next, one verb each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hte_bridge import inference
from hte_bridge.alignment import Units, known_numbers_of, labels_for, numbers_of
from hte_bridge.by_name import ByName
from hte_bridge.engine import Fit
from hte_bridge.errors import InvalidOption, NotIdentified
from hte_bridge.estimand import ESTIMANDS
from hte_bridge.estimands.benchmarks import concise
from hte_bridge.estimands.calibration import best_linear_predictor, calibration
from hte_bridge.estimands.counterfactual import counterfactual, named, roi
from hte_bridge.estimands.doses import Shape, dose_curve, local_slopes
from hte_bridge.estimands.group_labels import labels_of
from hte_bridge.estimands.groups import gate
from hte_bridge.estimands.moments import placed
from hte_bridge.estimands.nuisance import nuisance, trimmed
from hte_bridge.estimands.policy import Tree, check_prices, check_rule, policy, rule_value, tree_policy
from hte_bridge.estimands.projection import projection
from hte_bridge.estimands.ranking import GRID, Target, rate_by_fold, toc_by_fold
from hte_bridge.estimands.registry import (
    check_names,
    clan_rows,
    gates_rows,
    make_rows,
    repeated_rows,
    sensitivity_rows,
)
from hte_bridge.estimands.regression import HC
from hte_bridge.estimands.sensitivity import benchmark, placebo_outcome, placebo_treatment
from hte_bridge.estimands.sequential import How, folds_of
from hte_bridge.estimands.sequential import ranking as ranking_of
from hte_bridge.faults import Guard
from hte_bridge.frames import to_pandas
from hte_bridge.keys import lots
from hte_bridge.language.formula import design_of, groups_of, rows_of
from hte_bridge.lost import inflation
from hte_bridge.options import whole
from hte_bridge.rows import again_by_engine, verbs
from hte_bridge.scores import Scores
from hte_bridge.table import Estimate, Table


@verbs
@dataclass(frozen=True, eq=False, repr=False)
class Comparison(ByName):
    """What ``compare`` returns: a ``Table`` that keeps its study, folds and fits.

    Parameters
    ----------
    study : Study
    folds : Folds
    fits : mapping of str to Fit
        By the name in the column ``engine``; an engine that could not run is absent.
    level : float
        Coverage of the intervals of further rows.
    on_error : {"row", "raise"}
        What an exception does that nobody foresaw; as it was given to ``compare``.
    """

    def average(self, estimand: str = "ate", where: Any = None, *, term: str | None = None) -> Table:
        """``ate``, ``att``, ``atc``, ``ato`` or ``ape`` on some rows; ``term`` names them.

        ``where`` is a condition such as ``"age > 30"`` (docs/estimands.md says what may stand in one) or one yes or no for each unit:
        a Series is matched by its labels, an array by position. Rows of which it is unknown are neither in nor out; a note counts them.
        """
        averages = [name for name, each in ESTIMANDS.items() if each.average]
        if estimand not in averages:
            raise InvalidOption(f"`estimand` must be one of {', '.join(averages)}. {estimand!r} was given.")
        chosen = rows_of(self.study, where)
        own = where if isinstance(where, str) else "" if where is None else "subset"
        said = {"term": own if term is None else term} | ({"note": chosen.note} if chosen.note else {})

        def make(fit: Fit, scores: Scores) -> list[Estimate]:
            inside = np.zeros(scores.n, dtype=bool)
            inside[chosen.rows] = True
            some = scores.where(chosen.rows)
            made = make_rows(estimand, self.study, fit, some, self.folds, self.level)
            return [placed(row, inside).with_(**said) for row in made]

        return self.per_engine(estimand, make)

    def estimand(self, name: str) -> Table:
        """Rows of any name that ``compare(estimands=[...])`` takes, with the options that it has there; each is a verb too, as ``table.atc("age > 30")``.

        Examples
        --------
        >>> import hte_bridge as hb
        >>> from hte_bridge.simulate import grf_table1
        >>> df = grf_table1(200, seed=1).frame()
        >>> study = hb.Study.from_frame(df, outcome="y", treatment="t", covariates=["x1", "x2"])
        >>> table = hb.compare(study, [hb.Feols()], estimands=["ate"], seed=1)
        >>> table.estimand("atc").rows[0].estimate == table.atc().rows[0].estimate
        True
        >>> table.atc("x1 > 0.5").rows[0].term
        'x1 > 0.5'
        """
        check_names([name])
        return self.per_engine(
            name, lambda fit, scores: make_rows(name, self.study, fit, scores, self.folds, self.level)
        )

    def gate(self, by: Any, bins: int | Sequence[float] | None = None, *, joint: bool = True) -> Table:
        """Effect in each group of a column, with joint bands and a test of equality; ``groups.gate``.

        ``by`` is a column's name, an expression on columns such as ``"x > 0"`` or ``"age // 10"`` (docs/estimands.md says what may stand in
        one), or one label for each unit: a Series is matched by its labels, an array by position.
        """
        values, name = groups_of(self.study, by)
        labels = labels_of(values, bins)
        return self.per_engine(
            "gate", lambda fit, scores: gate(scores, labels, name=name, level=self.level, joint=joint)
        )

    def gates(
        self, groups: int = 5, *, ranking: How = "sequential", joint: bool = True, monotone: bool = False
    ) -> Table:
        """Effect in groups sorted by the predicted effect, fold by fold; ``groups.gates``."""
        options = {"groups": groups, "joint": joint, "monotone": monotone, "level": self.level}
        make = lambda fit, scores: gates_rows(fit, scores, self.folds, ranking, **options)
        return self.per_engine("gates", make)

    def clan(self, groups: int = 5, *, ranking: How = "sequential") -> Table:
        """Covariates of those who gain most and least; ``groups.clan``."""
        options: dict[str, Any] = {"level": self.level, "groups": groups}
        make = lambda fit, scores: clan_rows(fit, scores, self.folds, ranking, **options)
        return self.per_engine("clan", make)

    def projection(
        self, formula: Any = None, *, vcov: HC = "HC3", overlap: bool = False, indicators: bool = False
    ) -> Table:
        """Best linear projection of the CATE on a right-hand side such as ``"age + i(town) + log(income)"``.

        In place of a formula: the columns themselves, as a frame (a pandas one is matched by the labels of its index, others by
        position) or as a pair of an array (n, k) and k names. Without one, the covariates, their gaps set to the mean; with ``indicators``
        also columns that say where there was a gap.
        """
        design, names = design_of(self.study, formula, indicators)
        options: dict[str, Any] = {"level": self.level, "vcov": vcov, "overlap": overlap}
        return self.per_engine("projection", lambda fit, scores: projection(scores, design, names, **options))

    def calibration(self, method: str = "grf", *, ranking: How | None = None) -> Table:
        """Calibration test: ``"grf"``'s, or the best linear predictor by ``"regression"`` or ``"horvitz-thompson"``."""
        if method not in ("grf", "regression", "horvitz-thompson"):
            raise InvalidOption(
                f"`method` must be 'grf', 'regression' or 'horvitz-thompson'. {method!r} was given."
            )

        def make(fit: Fit, scores: Scores) -> list[Estimate]:
            options: dict[str, Any] = {"fold": folds_of(fit, self.folds), "level": self.level}
            if method != "grf":
                return best_linear_predictor(scores, horvitz_thompson=method == "horvitz-thompson", **options)
            ranked = None if ranking is None else ranking_of(fit, self.folds, ranking)
            return calibration(scores, ranked, **options)

        return self.per_engine("calibration", make)

    def rate(self, targets: Sequence[Target] = ("autoc", "qini"), *, ranking: How = "sequential") -> Table:
        """Is there heterogeneity that the engine finds? RATE, by default from sequential folds; ``ranking.rate_by_fold``."""
        ranked = lambda fit: ranking_of(fit, self.folds, ranking)
        return self.per_engine(
            "rate", lambda fit, scores: rate_by_fold(scores, ranked(fit), targets=targets, level=self.level)
        )

    def toc(self, grid: Sequence[float] = GRID, *, ranking: How = "sequential") -> Table:
        """Targeting operator characteristic, with a band for the curve; ``ranking.toc_by_fold``."""
        ranked = lambda fit: ranking_of(fit, self.folds, ranking)
        return self.per_engine(
            "toc", lambda fit, scores: toc_by_fold(scores, ranked(fit), grid=grid, level=self.level)
        )

    def policy(
        self,
        *,
        cost: Any = 0.0,
        budget: float | Sequence[float] | None = None,
        rule: Any = None,
        tree: Tree | None = None,
        depth: int = 2,
        ranking: How = "sequential",
    ) -> Table:
        """Whom to treat and what it is worth: learned threshold or budget, a tree, or a ``rule`` of your own.

        ``cost`` and ``rule`` are a column's name or one value for each unit (Series by label, arrays by position); ``cost`` may be one number.
        """
        price = numbers_of(self.study, cost, "cost")
        check_prices(price, budget, self.study.n)
        given = None if rule is None else check_rule(numbers_of(self.study, rule, "rule"), self.study.n)

        def make(fit: Fit, scores: Scores) -> list[Estimate]:
            if given is not None:
                return rule_value(scores, given, cost=price, level=self.level, name="given rule")
            if tree is not None:
                x, names, fold = self.study.filled, self.study.filled_names, self.folds.fold
                return tree_policy(
                    scores, x, fold, names, cost=price, depth=depth, tree=tree, level=self.level
                )
            ranked = ranking_of(fit, self.folds, ranking)
            return policy(scores, ranked, cost=price, budget=budget, level=self.level)

        return self.per_engine("policy", make)

    def counterfactual(
        self, *, to: Any = None, add: Any = None, scale: Any = None, by: Any = None, value: Any = 1.0
    ) -> Table:
        """Change of the outcome, in total and by segment, had the treatment been another; ``counterfactual``.

        Each argument is a column's name or one value for each unit (Series by label, arrays by position); all but ``by`` may be one number.
        """
        segment = None if by is None else labels_for(self.study, by, "by")
        change = {
            name: known_numbers_of(self.study, each, name)
            for name, each in (("to", to), ("add", add), ("scale", scale), ("value", value))
        }
        return self.per_engine(
            "counterfactual",
            lambda fit, scores: counterfactual(scores, segment=segment, level=self.level, **change),
        )

    def roi(self, *, value: Any, cost: Any, add: Any = 1.0, by: Any = None) -> Table:
        """Return on spending for more treatment, in total and by segment; ``counterfactual.roi``.

        Each argument is a column's name or one value for each unit (Series by label, arrays by position); all but ``by`` may be one number.
        """
        segment = None if by is None else labels_for(self.study, by, "by")
        money = {
            name: known_numbers_of(self.study, each, name)
            for name, each in (("value", value), ("cost", cost), ("add", add))
        }
        return self.per_engine(
            "roi", lambda fit, scores: roi(scores, segment=segment, level=self.level, **money)
        )

    def what_if(self, rows: Any, change: Any, labels: Any = None) -> Table:
        """Change of the outcome of named units (rows of covariates), from each engine's own CATE interval.

        ``change`` and ``labels`` are columns of ``rows`` by name or one value for each row (Series by label, arrays by position).

        Examples
        --------
        What the outcome of two people would gain, had both got the treatment that they did not get:

        >>> import pandas as pd
        >>> import hte_bridge as hb
        >>> from hte_bridge.simulate import grf_table1
        >>> df = grf_table1(200, seed=1).frame()
        >>> study = hb.Study.from_frame(df, outcome="y", treatment="t", covariates=["x1", "x2"])
        >>> table = hb.compare(study, [hb.Feols()], estimands=["ate"], seed=1)
        >>> people = pd.DataFrame({"who": ["Ada", "Ben"], "x1": [0.1, 0.9], "x2": [0.5, 0.9]})
        >>> gain = table.what_if(people, change=1, labels="who")
        >>> [(row.term, round(row.estimate, 1)) for row in gain.rows]
        [('Ada', 1.7), ('Ben', 3.4)]
        """
        units = Units(to_pandas(rows))
        steps = known_numbers_of(units, change, "change")
        names = None if labels is None else list(labels_for(units, labels, "labels"))
        return self.per_engine(
            "counterfactual",
            lambda fit, scores: named(fit, units.frame, steps, labels=names, level=self.level),
        )

    def dose(
        self,
        at: Sequence[float] | None = None,
        *,
        shape: Shape = "spline",
        slopes: bool = False,
        pieces: int = 4,
    ) -> Table:
        """Curve of the outcome in a dose, or its local slopes, of a spline or bins with so many ``pieces``; ``doses.dose_curve``."""
        whole("pieces", pieces, 2)
        x, fold = self.study.adjusted.filled, self.folds.fold
        if self.study.fixed_effects.shape[1]:
            raise NotIdentified("A dose curve needs a study without fixed effects. Read `ape`.")
        if slopes:
            make = lambda fit, scores: local_slopes(scores, x, fold, at=at, pieces=pieces, level=self.level)
        else:
            make = lambda fit, scores: dose_curve(
                scores, x, fold, at=at, shape=shape, pieces=pieces, level=self.level
            )
        return self.per_engine("dose", make)

    def nuisance(self) -> Table:
        """Held-out fit, calibration and range of each engine's nuisances."""
        return self.per_engine("nuisance", lambda fit, scores: nuisance(scores, level=self.level))

    def trimmed(self, edge: float | None = 0.1) -> Table:
        """Effect where the propensity lies in [edge, 1 - edge] (Crump et al.); ``None`` takes the best edge."""
        return self.per_engine("trimmed", lambda fit, scores: trimmed(scores, edge=edge, level=self.level))

    def sensitivity(self, *, benchmarks: bool | Literal["all"] = False) -> Table:
        """How strong a confounder must be; with ``benchmarks``, beside ones like the covariates that matter most (refits).

        ``True``: ten rows, beside confounders like the three covariates that move the effects most. ``"all"``: every covariate, both
        bounds, and a coefficient's confounders two and three times as strong.
        """
        if benchmarks not in (True, False, "all"):
            raise InvalidOption(f"`benchmarks` must be True, False or 'all'. {benchmarks!r} was given.")
        make = lambda fit, scores: (
            sensitivity_rows(self.study, fit, scores, self.level, benchmarks=bool(benchmarks))
            + (benchmark(fit, self.folds, level=self.level) if benchmarks else [])
        )
        made = self.per_engine("sensitivity", make)
        return replace(made, rows=concise(made.rows)) if benchmarks is True else made

    def placebo(self, outcome: Any = None, *, seed: int = 0) -> Table:
        """Effect of a treatment drawn by lot, or on an ``outcome`` it cannot have changed (refits): none must be found.

        ``outcome`` is a column's name or one number for each unit: a Series is matched by its labels, an array by position.
        """
        if outcome is None:
            options: dict[str, Any] = {"seed": seed, "level": self.level}
            return self.per_engine("placebo", lambda fit, _: placebo_treatment(fit, self.folds, **options))
        name = outcome if isinstance(outcome, str) else ""
        values = numbers_of(self.study, outcome, "outcome")
        return self.per_engine(
            "placebo", lambda fit, scores: placebo_outcome(fit, self.folds, values, name, level=self.level)
        )

    def repeated(
        self, estimand: str = "gates", *, n_splits: int = 11, n_folds: int = 2, seed: int = 0
    ) -> Table:
        """Rows of one name over several splits (refits): medians, intervals and p-values adjusted; ``splits.repeated``."""
        check_names([estimand])
        options = {"n_splits": n_splits, "n_folds": n_folds, "seed": seed}
        return self.per_engine(
            estimand, lambda fit, scores: repeated_rows(estimand, fit, level=self.level, **options)
        )

    def with_vcov(self, vcov: Any, table: Table | None = None) -> Table:
        """The rows (of ``table``, or these) with errors by pyfixest: ``{"CRV3": "village"}``, ``"hetero"``; ``inference``.

        Examples
        --------
        The jackknife over clusters, for a table that was made without them:

        >>> import hte_bridge as hb
        >>> from hte_bridge.simulate import clustered
        >>> df = clustered(200, seed=1).frame()
        >>> study = hb.Study.from_frame(df, outcome="y", treatment="t", covariates=["x1", "x2"])
        >>> table = hb.compare(study, [hb.Feols()], estimands=["ate"], seed=1)
        >>> again = table.with_vcov({"CRV3": "cluster"})
        >>> again.rows[0].vcov, again.rows[0].n_clusters, again.rows[0].estimate == table.rows[0].estimate
        ('CRV3 (cluster)', 40, True)
        """
        again = lambda rows: inference.with_vcov(rows, self.study, vcov)
        return again_by_engine(self if table is None else table, "with_vcov", again, Guard(self.on_error))

    def adjusted(
        self, table: Table | None = None, *, method: inference.Family = "romano-wolf", seed: int = 0
    ) -> Table:
        """The rows (of ``table``, or these) as one family: p-values that allow for all of them; ``inference.adjusted``."""
        given = self if table is None else table
        rows = inference.adjusted(
            given.rows, lots(self.study.cluster, self.study.keys), method=method, seed=seed
        )
        return Table(tuple(rows), given.meta)

    def wild_bootstrap(self, table: Table | None = None, *, draws: int = 999, seed: int = 0) -> Table:
        """The rows (of ``table``, or these) by the wild cluster bootstrap, for few clusters.

        Examples
        --------
        >>> import hte_bridge as hb
        >>> from hte_bridge.simulate import clustered
        >>> df = clustered(200, seed=1, n_clusters=12).frame()
        >>> study = hb.Study.from_frame(df, outcome="y", treatment="t", covariates=["x1"], cluster="cluster")
        >>> table = hb.compare(study, [hb.Feols()], estimands=["ate"], seed=1)
        >>> again = table.wild_bootstrap(table.where(estimand="ate"), draws=199, seed=1)
        >>> again.rows[0].vcov, again.rows[0].estimate == table.where(estimand="ate").rows[0].estimate
        ('wild cluster bootstrap, all 4,096 draws of signs', True)
        """
        options: dict[str, Any] = {"draws": draws, "seed": seed, "factor": inflation(self.study)}
        options["weight"] = self.study.weight
        again = lambda rows: inference.wild_bootstrap(
            rows, lots(self.study.cluster, self.study.keys), **options
        )
        return again_by_engine(
            self if table is None else table, "wild_bootstrap", again, Guard(self.on_error)
        )

    def randomisation(self, *, draws: int = 999, seed: int = 0) -> Table:
        """Randomisation test of no effect on any unit, treatment redrawn from each engine's propensity."""
        known = self.study.propensity is not None
        options: dict[str, Any] = {"draws": draws, "seed": seed, "known": known, "level": self.level}
        study, order = (
            self.study,
            np.argsort(self.study.keys, kind="stable"),
        )  # lots belong to rows, wherever they stand
        own = lambda scores: replace(scores, cluster=lots(study.cluster, study.keys)).where(order)
        return self.per_engine("ate", lambda fit, scores: [inference.randomisation(own(scores), **options)])
