"""The coefficient of a treatment by pyfixest, from columns that it is given swept, standardised and orthogonal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.errors import NotIdentified
from hte_bridge.faults import silent
from hte_bridge.scaling import EPS, Mask, Standard, directions, independent, tolerance
from hte_bridge.study import Study
from hte_bridge.sweeping import within

HETERO = "hetero"
EXACT = 1e-10  # of the outcome's spread: residuals below are rounding


@dataclass(frozen=True, eq=False)
class Regression:
    """What is kept of one pyfixest model: coefficients (k,) of the treatment and its products, their covariance (k, k), the influence values
    (n,) of the treatment's, its share (n,) in the treatment's variation net of the rest, law, directions (k, u) of the coefficients that the data do not tell, and note."""

    coefficients: Array
    covariance: Array
    influence: Array
    share: Array
    df: float
    vcov: str
    untold: Array
    note: str = ""

    @property
    def std_error(self) -> float:
        """Of the treatment's coefficient."""
        return float(self.covariance[0, 0] ** 0.5)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Columns (n, k) of a regression that are independent, which controls (q,) are kept, which of these and the treatment's columns (q', m) are
    ``there``, directions that the data do not tell, and a note on what was left out."""

    columns: Array
    kept: Mask
    there: Mask
    untold: Array
    note: str

    def back(self, inverse: Array, unit: Array) -> Array:
        """The map (m, k) from coefficients on a basis to those of the treatment's columns in the study's units."""
        first = int(self.kept.sum())
        own = self.there[first:]
        out = np.zeros((len(own), inverse.shape[1]))
        out[own] = inverse[first:]
        return out * unit[: len(own), None]


@dataclass(frozen=True, eq=False)
class Design:
    """Columns of a regression net of effects and means, each over its own spread: outcome (n,), own (n, m), controls (n, q).

    pyfixest's tolerances, of its sweeps and of its rank, are absolute: they must not see dollars or years. ``own`` holds the treatment, and
    its products with the standardised covariates where an effect along them is asked for; ``controls`` hold covariates and the study's controls. ``unit`` (m,) takes a coefficient of ``own`` back
    to the study's units; ``covariates`` is the standard of the covariates.
    """

    outcome: Array
    own: Array
    controls: Array
    unit: Array
    tolerance: float
    covariates: Standard

    @classmethod
    def of(cls, study: Study, products: bool = False) -> Design:
        """From a study; with ``products``, those of the treatment with the standardised covariates.

        Raises
        ------
        NotIdentified
            If the effects determine the outcome.
        """
        covariates = Standard.of(study.filled, study.weight)
        own = study.treatment[:, None] - np.average(study.treatment, weights=study.weight)
        if products:
            own = np.column_stack([own, own * covariates(study.filled)])
        m = 1 + own.shape[1]
        raw = np.column_stack([study.outcome, own, study.adjusted.filled])
        swept = within(raw, study.fixed_effects, study.weight) if study.fixed_effects.shape[1] else raw
        standard = Standard.of(swept, study.weight)
        scale = standard.scale
        if not scale[0] > 0:
            raise NotIdentified(
                f"The outcome must vary within the fixed effects. They determine `{study.names.outcome}`. Leave out an effect."
            )
        live = scale > 0
        rounding = EPS * np.abs(raw).max(axis=0)[live] / scale[live]
        columns = standard(swept)
        unit = np.where(live, scale[0] / np.where(live, scale, 1.0), 0.0)[1:m]
        return cls(columns[:, 0], columns[:, 1:m], columns[:, m:], unit, tolerance(rounding), covariates)

    def regress(self, study: Study, vcov: str, plain: bool = False) -> Regression:
        """Coefficients of ``own`` beside the controls; of the treatment alone if ``plain``.

        pyfixest is given an orthonormal basis of the columns, so that its normal equations lose nothing to near collinearity; coefficients
        and covariance are mapped back.

        Raises
        ------
        NotIdentified
            If covariates and effects determine the treatment, or there are no more rows than coefficients.
        """
        root = np.sqrt(study.weight / study.weight.mean())[:, None]
        chosen = self.chosen(study, root, plain)
        basis, inverse = orthogonal(chosen.columns, study.weight)
        model = pyfixest_model(
            self.outcome,
            basis,
            study.fixed_effects,
            study.weight if study.weighted else None,
            study.cluster if study.clustered else None,
            vcov,
            study.second_cluster,
        )
        return _mapped(study, model, chosen.back(inverse, self.unit), vcov, chosen.note, chosen.untold)

    def chosen(self, study: Study, root: Array | float, plain: bool = False) -> Chosen:
        """The columns that are independent, those of the controls first; of the treatment alone if ``plain``.

        Raises
        ------
        NotIdentified
            As ``regress`` does.
        """
        controls, own = (self.controls[:, :0], self.own[:, :1]) if plain else (self.controls, self.own)
        kept = independent(root * controls, self.tolerance)
        _room(study, int(kept.sum()) + 1)
        columns = np.column_stack([controls[:, kept], own])
        there = independent(root * columns, self.tolerance)
        first = int(kept.sum())
        if not there[first]:
            raise NotIdentified(
                "The treatment must vary beyond the covariates and effects. feols dropped "
                f"`{study.names.treatment}` as collinear with them. Leave out the covariate that determines it."
            )
        _room(study, int(there.sum()))
        gone = [name for name, stays in zip(study.adjusted.filled_names, kept, strict=False) if not stays]
        note = (
            f"feols left out {', '.join(gone)}: collinear with the effects or other covariates"
            if gone
            else ""
        )
        untold = np.zeros((own.shape[1], 0)) if there[first:].all() else self._untold(root)
        return Chosen(columns[:, there], kept, there, untold, note)

    def _untold(self, root: Array | float) -> Array:
        every = root * np.column_stack([self.controls, self.own])
        _, values, right = np.linalg.svd(np.linalg.qr(every, mode="r"))
        lost = np.append(values, np.zeros(len(right) - len(values))) <= self.tolerance * values.max()
        size = np.where(self.unit > 0, self.unit, 1.0)
        return directions(right[lost][:, self.controls.shape[1] :].T * size[:, None])


def _mapped(study: Study, model: Any, back: Array, vcov: str, note: str, untold: Array) -> Regression:
    """The model's coefficients on the basis, mapped back (k, b)."""
    found, spread, place = on_basis(model, back.shape[1])
    covariance = back @ spread @ back.T
    if np.abs(model._u_hat).max() < EXACT:
        covariance = np.full_like(covariance, np.nan)
        note = "; ".join(filter(None, [note, "no interval: the regression fits every outcome exactly"]))
    ways = [each for each in (study.names.cluster, study.names.second_cluster) if each is not None]
    fewest = study.n_clusters
    if study.second_cluster is not None:
        fewest = min(fewest, int(study.second_cluster.max()) + 1)
    df = fewest - 1 if study.clustered else getattr(model, "_df_t", study.n - len(place) - 1)
    lever = np.asarray(model._bread)[:, place] @ back[0]
    told = (np.asarray(model._X) @ lever) ** 2  # pyfixest's columns hold the root of the weights
    return Regression(
        back @ found,
        covariance,
        model._scores @ lever,
        told / told.sum(),
        float(df),
        f"CRV1 ({' + '.join(ways)})" if study.clustered else vcov,
        untold,
        note,
    )


def _room(study: Study, columns: int) -> None:
    """There are rows beyond the coefficients, so that residuals tell of the error."""
    levels = [len(each) for each in study.effect_levels]
    taken = columns + (sum(levels) - len(levels) + 1 if levels else 1)
    if study.n <= taken:
        raise NotIdentified(
            f"A regression needs more rows than coefficients. {study.n:,} rows meet {taken:,} coefficients (treatment, covariates and "
            "effects), so that it fits every outcome. Name fewer covariates."
        )


def orthogonal(columns: Array, weight: Array) -> tuple[Array, Array]:
    """A basis (n, k) of independent columns, orthogonal under the weights and of mean square one, and the map (k, k) from coefficients on it
    to those on the columns."""
    root = np.sqrt(weight / weight.sum())[:, None]
    q, r = np.linalg.qr(root * columns)
    return q / root, np.linalg.inv(r)


def on_basis(model: Any, k: int) -> tuple[Array, Array, list[int]]:
    """Coefficients (k,) on the basis, their covariance (k, k), and their places in the model."""
    place = [model._coefnames.index(f"q{j}") for j in range(k)]
    return np.asarray(model._beta_hat)[place], np.asarray(model._vcov)[np.ix_(place, place)], place


def pyfixest_model(
    outcome: Array,
    basis: Array,
    effects: npt.NDArray[np.int64],
    weight: Array | None,
    cluster: npt.NDArray[np.int64] | None,
    vcov: str = HETERO,
    second: npt.NDArray[np.int64] | None = None,
) -> Any:
    """pyfixest's model of the outcome (n,) on the columns q0, q1, ... of a basis (n, k) and effects (n, F); errors by cluster where there is one, by both where there are two."""
    import pyfixest

    names = [f"q{j}" for j in range(basis.shape[1])]
    swept = [f"f{j}" for j in range(effects.shape[1])]
    columns: dict[str, Any] = {"y": outcome} | dict(zip(names, basis.T, strict=True))
    columns |= dict(zip(swept, effects.T, strict=True))
    columns |= {"c": cluster, "c2": second, "w": weight}
    with silent():
        return pyfixest.feols(
            f"y ~ {' + '.join(names)}" + (f" | {' + '.join(swept)}" if swept else ""),
            data=pd.DataFrame({name: column for name, column in columns.items() if column is not None}),
            vcov=vcov if cluster is None else {"CRV1": "c" if second is None else "c + c2"},
            weights=None if weight is None else "w",
            copy_data=False,
            store_data=False,
            fixef_rm="none",
        )


def small_sample(
    study: Study, columns: int, vcov: str, held: Sequence[Sequence[bool]]
) -> tuple[list[float], float]:
    """pyfixest's factors of a covariance for so many columns beside effects, one for each way of clustering and their cells, and the degrees
    of freedom; ``held`` says of each way which effects' levels lie within its clusters."""
    from pyfixest.utils.utils import get_ssc, ssc

    sizes = [len(levels) for levels in study.effect_levels]
    inside = [any(way[f] for way in held) for f in range(len(sizes))]
    given: dict[str, Any] = {"ssc_dict": ssc(), "N": study.n, "k": columns + (not sizes), "n_fe": len(sizes)}
    given |= {"k_fe": sum(sizes), "vcov_sign": 1, "k_fe_nested": 0, "n_fe_fully_nested": 0}
    if not study.clustered:
        factor, _, df = get_ssc(**given, G=1 if vcov == "iid" else study.n, vcov_type=vcov)
        return [float(factor[0])], float(df)
    given["k_fe_nested"] = sum(size for size, each in zip(sizes, inside, strict=True) if each)
    given["n_fe_fully_nested"] = sum(inside)
    fewest = study.n_clusters
    if study.second_cluster is not None:
        fewest = min(fewest, int(study.second_cluster.max()) + 1)
    factor, _, _ = get_ssc(**given, G=fewest, vcov_type="CRV")
    return [float(factor[0])] * (1 if study.second_cluster is None else 3), float(fewest - 1)
