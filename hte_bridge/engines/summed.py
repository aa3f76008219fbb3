"""Regressions of a study of files, part by part: columns net of effects become one small triangle, which holds all that least squares ask.

Each row's columns less its levels' coefficients (``stream.levels``) are what ``sweeping.within`` leaves; the triangle R of their QR factorisation has
the same products, so that coefficients, ranks and collinear columns are found on its few rows by the code that finds them on all rows. One more
pass gives residuals, influence values and sums by cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hte_bridge.arrays import Array, Codes
from hte_bridge.crossfit import within_effects
from hte_bridge.engine import HeldOut
from hte_bridge.engines.regressed import EXACT, Chosen, Design, Regression, small_sample
from hte_bridge.engines.summed_passes import Kept, LevelSums, Triangle, stacked
from hte_bridge.errors import NotIdentified
from hte_bridge.lost import nested
from hte_bridge.scaling import EPS, Standard, power, slopes, tolerance
from hte_bridge.stream import Runner, Store, parts_of, rows_of
from hte_bridge.stream.levels import Levels, at_rows
from hte_bridge.stream.standard import Columns, standard_of
from hte_bridge.stream.store import new_name
from hte_bridge.study import Folds, Study
from hte_bridge.sweeping import ABSORBED


@dataclass(frozen=True, eq=False)
class Swept:
    """Columns net of effects on some rows: their triangle R (k, k) under the weights, which (k,) the effects leave anything of, coefficients (L, k)
    of the levels, and the sum of weights."""

    factor: Array
    live: npt.NDArray[np.bool_]
    levels: Array
    weight: float


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of a study's rows, made part by part and kept on disk row after row, read in standard units.

    Parameters
    ----------
    study : Study
    name : str
        Of the columns in the study's store.
    standard : Standard
        Their means, spreads, and what of them may be rounding.
    largest : array (k,)
        Largest size.
    """

    study: Study
    name: str
    standard: Standard
    largest: Array

    @classmethod
    def of(cls, study: Study, raw: Columns) -> Table:
        """Of a function from slices of rows to columns (m, k), with their standard."""
        name, store = new_name(), store_of(study)
        with store.writing(
            name, (raw(slice(0, 1)).shape[1], study.n), float
        ) as out:  # transposed: row after row
            for part in parts_of(study.n):
                out[:, part.rows] = raw(part.rows).T
        standard, largest = standard_of(lambda rows: store.read_rows(name, rows), study.weight)
        return cls(study, name, standard, largest)

    def raw(self, rows: slice) -> Array:
        """Columns (m, k) as they were given."""
        return store_of(self.study).read_rows(self.name, rows)

    def at(self, rows: slice) -> Array:
        """Columns (m, k) in standard units."""
        return self.kept().at(rows)

    def kept(self, weight: str = "") -> Kept:
        """The columns as a pass reads them, under the study's weights or others that lie in its store."""
        store, names = store_of(self.study), self.names
        effects = names["fixed_effects"] if self.study.effect_levels else None
        return Kept(store, self.name, weight or names["weight"], effects, self.effects[1], self.standard)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Where the study's arrays lie."""
        return rows_of(self.study).names

    @cached_property
    def effects(self) -> tuple[Codes, tuple[int, ...]]:
        """Codes (n, F) and numbers of levels; one level for all, a constant, without effects."""
        sizes = tuple(len(levels) for levels in self.study.effect_levels)
        if sizes:
            return self.study.fixed_effects, sizes
        return np.zeros((self.study.n, 1), dtype=np.int64), (1,)

    def swept(self, rows: npt.NDArray[np.bool_] | None = None) -> Swept:
        """Net of effects, on all rows or those of a mask (n,): two passes, which the study's own runner makes."""
        (codes, sizes), store, own = self.effects, store_of(self.study), new_name()
        every = np.asarray(self.study.weight) if rows is None else np.where(rows, self.study.weight, 0.0)
        held = slice(None) if rows is None else np.flatnonzero(rows)
        system = Levels.of(codes[held], every[held], sizes)
        if rows is not None:
            store.put(own, every)
        kept = self.kept("" if rows is None else own)
        levels, squares = self._levels(kept, system)
        del system
        at_levels = new_name()
        store.put(at_levels, levels.T)
        runner, parts = runner_of(self.study), parts_of(self.study.n)
        factor = runner.map_sum(Triangle(kept, at_levels), parts, stacked)
        store.drop(at_levels)
        store.drop(own)
        left = np.linalg.norm(factor, axis=0)
        live = left > ABSORBED * np.sqrt(squares)
        return Swept(np.where(live, factor, 0.0), live, levels, float(every.sum()))

    def _levels(self, kept: Kept, system: Levels) -> tuple[Array, Array]:
        """Coefficients (L, k) of the levels and sums of squares (k,)."""
        k = len(self.largest)
        sums, squares = np.zeros((sum(kept.sizes), k)), np.zeros(k)
        for places, here, square in runner_of(self.study).map(LevelSums(kept), parts_of(self.study.n)):
            sums[places] += here
            squares += square
        return system.solve(sums, squares), squares

    def net(self, swept: Swept, rows: slice) -> Array:
        """Columns (m, k) of some rows net of effects."""
        codes, sizes = self.effects
        return np.where(
            swept.live, self.at(rows) - at_rows(swept.levels, np.asarray(codes[rows]), sizes), 0.0
        )


def runner_of(study: Study) -> Runner:
    """Who makes the passes of a study of files."""
    assert study.stored is not None
    return study.stored.runner


def store_of(study: Study) -> Store:
    """Where a study of files keeps its columns."""
    assert study.stored is not None
    return study.stored.store


@dataclass(frozen=True, eq=False)
class Summed:
    """A study's regression columns net of effects: outcome, treatment and its products with the covariates if asked for, then the controls."""

    table: Table
    swept: Swept
    design: Design

    @classmethod
    def of(cls, study: Study, products: bool = False) -> Summed:
        """The counterpart of ``Design.of``.

        Raises
        ------
        NotIdentified
            If the effects determine the outcome.
        """
        along, beside = study.filled, study.adjusted.filled
        covariates, _ = standard_of(lambda rows: np.asarray(along[rows]), study.weight)
        mean = float(np.average(study.treatment, weights=study.weight))

        def raw(rows: slice) -> Array:
            own = np.asarray(study.treatment[rows])[:, None] - mean
            if products:
                own = np.column_stack([own, own * covariates(np.asarray(along[rows]))])
            return np.column_stack([study.outcome[rows], own, beside[rows]])

        table, m = Table.of(study, raw), 2 + (along.shape[1] if products else 0)
        swept = table.swept()
        scale = np.linalg.norm(swept.factor, axis=0) / swept.weight**0.5
        if not scale[0] > 0:
            raise NotIdentified(
                f"The outcome must vary within the fixed effects. They determine `{study.names.outcome}`. Leave out an effect."
            )
        live, whole = scale > 0, scale * power(table.standard.scale)
        rounding = EPS * table.largest[live] / whole[live]
        columns = swept.factor / np.where(live, scale, 1.0)
        unit = np.where(live, whole[0] / np.where(live, whole, 1.0), 0.0)[1:m]
        design = Design(columns[:, 0], columns[:, 1:m], columns[:, m:], unit, tolerance(rounding), covariates)
        return cls(table, swept, design)

    def regress(self, vcov: str, plain: Sequence[bool]) -> list[Regression]:
        """``Design.regress``, for each of some regressions beside the controls or without: one pass for all."""
        study, size = self.table.study, np.linalg.norm(self.swept.factor, axis=0) / self.swept.weight**0.5
        lines = [_Line.of(self, study, bare) for bare in plain]
        scale = np.where(size > 0, size, 1.0)
        for part in parts_of(study.n):
            net = self.table.net(self.swept, part.rows) / scale
            for line in lines:
                line.take(net, study, part.rows)
        return [line.done(study, vcov) for line in lines]


@dataclass(eq=False)
class _Line:
    """One regression while its rows pass: coefficients on the columns, the map from rows to what they move, and sums."""

    chosen: Chosen
    places: Codes
    slopes: Array
    lever: Array
    spread: Array
    estimate: Array
    influence: Array
    share: Array
    totals: list[Array]
    ways: list[Codes]
    squares: Array
    residual: float = 0.0
    largest: float = 0.0

    @classmethod
    def of(cls, summed: Summed, study: Study, plain: bool) -> _Line:
        design, total = summed.design, summed.swept.weight
        chosen = design.chosen(study, 1.0, plain)
        m, controls = design.own.shape[1], np.flatnonzero(chosen.kept)
        own = np.arange(1, 2 if plain else 1 + m)
        places = np.concatenate([1 + m + controls, own])[chosen.there]
        q, r = np.linalg.qr(chosen.columns / total**0.5)
        inverse = np.linalg.inv(r)
        along = q.T @ design.outcome / total**0.5
        back = chosen.back(inverse, design.unit)
        ways = clusters_of(study)
        return cls(
            chosen,
            places,
            inverse @ along,
            inverse @ back.T / total,
            back @ back.T / total,
            back @ along,
            np.empty(study.n),
            np.empty(study.n),
            [np.zeros((int(codes.max()) + 1, len(back))) for codes in ways],
            ways,
            np.zeros((len(back), len(back))),
        )

    def take(self, net: Array, study: Study, rows: slice) -> None:
        weight = np.asarray(study.weight[rows])
        columns = net[:, self.places]
        left = net[:, 0] - columns @ self.slopes
        moved = (weight * left)[:, None] * (columns @ self.lever)
        self.influence[rows] = moved[:, 0]
        self.share[rows] = weight * (columns @ self.lever[:, 0]) ** 2
        self.squares += moved.T @ moved
        self.estimate = self.estimate + moved.sum(axis=0)  # zero but for rounding, which this takes out
        self.residual += float(weight @ left**2)
        self.largest = max(self.largest, float(np.abs(np.sqrt(weight) * left).max()))
        for codes, totals in zip(self.ways, self.totals, strict=True):
            for j, column in enumerate(moved.T):
                totals[:, j] += np.bincount(codes[rows], weights=column, minlength=len(totals))

    def done(self, study: Study, vcov: str) -> Regression:
        factors, df = small_sample(
            study, len(self.places), vcov, [nested_in(study, way) for way in self.ways[:2]]
        )
        if study.clustered:
            signs = (1, 1, -1)[: len(self.ways)]
            parts = zip(signs, factors, self.totals, strict=True)
            covariance = np.asarray(sum(sign * factor * (total.T @ total) for sign, factor, total in parts))
        elif vcov == "iid":
            covariance = factors[0] * self.residual / (study.n - 1) * self.spread
        else:
            covariance = factors[0] * self.squares
        note = self.chosen.note
        if self.largest < EXACT:
            covariance = np.full_like(covariance, np.nan)
            note = "; ".join(filter(None, [note, "no interval: the regression fits every outcome exactly"]))
        named = [each for each in (study.names.cluster, study.names.second_cluster) if each is not None]
        said = f"CRV1 ({' + '.join(named)})" if study.clustered else vcov
        share = self.share / self.share.sum()
        return Regression(
            self.estimate, covariance, self.influence, share, df, said, self.chosen.untold, note
        )


def clusters_of(study: Study) -> list[Codes]:
    """Codes (n,) by which errors are summed: clusters, of two ways both and their cells; none without clusters."""
    if not study.clustered:
        return []
    if study.second_cluster is None:
        return [study.cluster]
    size = int(study.second_cluster.max()) + 1
    cells = np.unique(study.cluster * size + study.second_cluster, return_inverse=True)[1].reshape(-1)
    return [study.cluster, study.second_cluster, cells]


def nested_in(study: Study, cluster: Codes) -> list[bool]:
    """Of each effect whether its levels lie in one cluster each."""
    return [nested(codes, cluster) for codes in study.fixed_effects.T]


def heldout_panel(study: Study, folds: Folds) -> HeldOut:
    """Interacted linear model with effects, cross-fitted: ``feols._heldout_panel`` part by part."""
    cate, left, dose = (np.empty(study.n) for _ in range(3))
    along, beside = study.filled, study.adjusted.filled
    moves, _ = standard_of(lambda rows: np.asarray(along[rows]), study.weight)
    x, _ = standard_of(lambda rows: np.asarray(beside[rows]), study.weight)
    both, _ = standard_of(
        lambda rows: np.column_stack([study.outcome[rows], study.treatment[rows]]), study.weight
    )
    unit, k = power(both.scale), beside.shape[1]

    def raw(rows: slice) -> Array:
        pair = (np.column_stack([study.outcome[rows], study.treatment[rows]]) - both.centre) / unit
        return np.column_stack(
            [pair, x(np.asarray(beside[rows])), pair[:, 1:] * moves(np.asarray(along[rows]))]
        )

    table = Table.of(study, raw)
    scale, models = np.where(table.standard.scale > 0, power(table.standard.scale), 0.0), []
    for number in range(folds.n_folds):
        r = table.swept(folds.fold != number).factor * scale
        y, d, xs, dx, ones = r[:, :1], r[:, 1:2], r[:, 2 : 2 + k], r[:, 2 + k :], np.ones(len(r))
        beta, first = slopes(np.column_stack([d, xs, dx]), y, ones), slopes(xs, d, ones)
        models.append((beta.reshape(-1), first.reshape(-1)))
    betas, firsts = (np.column_stack(each) for each in zip(*models, strict=True))
    for part in parts_of(study.n):
        columns, fold = table.raw(part.rows), np.asarray(folds.fold[part.rows])
        beta, own = betas[:, fold], columns[:, 2 : 2 + k]
        tau = beta[0] + np.einsum("ij,ji->i", moves(np.asarray(along[part.rows])), beta[k + 1 :])
        cate[part.rows] = tau * unit[0] / unit[1]
        mean = np.einsum("ij,ji->i", own, beta[1 : k + 1])
        left[part.rows] = unit[0] * (columns[:, 0] - mean - tau * columns[:, 1])
        dose[part.rows] = unit[1] * (columns[:, 1] - np.einsum("ij,ji->i", own, firsts[:, fold]))
    return within_effects(study, cate, left, dose, np.ones(study.n))
