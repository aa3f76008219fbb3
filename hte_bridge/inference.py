"""Other errors for the same rows: by pyfixest, by wild bootstrap, by randomisation, and over families of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from hte_bridge.alignment import labels_for
from hte_bridge.arrays import Array, Codes
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified, TooFewClusters, nearest
from hte_bridge.faults import silent
from hte_bridge.lost import inflation
from hte_bridge.scores import Scores, variance_of_treatment
from hte_bridge.shown import spelled
from hte_bridge.study import Study
from hte_bridge.table import Estimate
from hte_bridge.wild import UNFIT
from hte_bridge.wild import wild_bootstrap as wild_bootstrap  # beside its peers

Vcov = str | Mapping[str, str]
Family = Literal["romano-wolf", "holm"]
PLAIN = ("iid", "hetero", "HC1", "HC2", "HC3")


def with_vcov(rows: Sequence[Estimate], study: Study, vcov: Vcov) -> list[Estimate]:
    """The same estimates with errors by pyfixest: from the regression of their pseudo-values on a constant.

    A row with influence values psi has pseudo-values estimate + n psi, whose mean is the estimate; their mean's error
    is the row's, under any vcov that pyfixest knows. CRV3 is the cluster jackknife (MacKinnon, Nielsen and Webb 2023,
    Journal of Econometrics 232(2)), longer by pyfixest's factor G / (G - 1) than the textbook's; two-way clusters as Cameron, Gelbach and Miller (2011), JBES 29(2).

    Parameters
    ----------
    rows : sequence of Estimate
    study : Study
        Names clusters by the columns of its frame.
    vcov : str or mapping
        As pyfixest's: ``"hetero"``, ``"HC3"``, ``{"CRV1": "village"}``, ``{"CRV3": "village"}``, ``{"CRV1": "village +
        year"}``. In place of a name one label for each unit: a Series is matched by its labels, an array by position.
    Returns
    -------
    list of Estimate
        A row without influence values keeps its estimate and says why it has no error.

    Raises
    ------
    InvalidOption
        For a vcov that pyfixest does not know, or a cluster that is not a column.
    """
    kind, named = _vcov(vcov, study)
    frame = _clusters(study, named)
    clusters = [frame[name].to_numpy() for name in frame.columns]
    factor = inflation(
        study, clusters
    )  # what effects took as degrees of freedom, but for those that these clusters hold
    return [
        _refitted(row, frame, kind, named, 1.0 if row.estimand == "coefficient" else factor) for row in rows
    ]


def _vcov(vcov: Vcov, study: Study) -> tuple[str, list[Any]]:
    """Kind and cluster columns of a vcov; a name with a plus in it is one column where the study has it."""
    if isinstance(vcov, str):
        if vcov not in PLAIN:
            raise InvalidOption(
                f"`vcov` must be one of {', '.join(PLAIN)}, or a mapping such as {{'CRV1': 'village'}}. {vcov!r} was given."
            )
        return vcov, []
    kind, names = next(iter(vcov.items()), ("", ""))
    if kind not in ("CRV1", "CRV3") or len(vcov) != 1:
        raise InvalidOption(
            f"`vcov` must be {{'CRV1': columns}} or {{'CRV3': columns}}. {dict(vcov)} was given."
        )
    if not isinstance(names, str) or (study.frame is not None and names in study.frame.columns):
        return kind, [names]
    return kind, [name.strip() for name in names.split("+")]


def _clusters(study: Study, names: Sequence[Any]) -> pd.DataFrame:
    """Cluster codes c0, c1 of the units."""
    frame, codes = study.frame, {}
    for j, name in enumerate(names):
        if not isinstance(name, str) and np.ndim(name):
            labels = pd.Series(labels_for(study, name, "vcov"))
            codes[f"c{j}"] = _known(labels.set_axis(study.index), _label(name))
        elif name == study.names.cluster:
            codes[f"c{j}"] = study.cluster
        elif frame is not None and name in frame.columns:
            codes[f"c{j}"] = _known(frame[name], name)
        else:
            raise InvalidOption(
                f"`vcov` must name columns of the frame. {nearest(str(name), () if frame is None else frame.columns)}"
            )
        if len(np.unique(codes[f"c{j}"])) < 2:
            raise TooFewClusters(len(np.unique(codes[f"c{j}"])))
    return pd.DataFrame(codes, index=range(study.n))


def _label(name: Any) -> str:
    """A cluster's name in the table: that of a column handed over, where it has one."""
    return str(getattr(name, "name", None) or "given") if np.ndim(name) else str(name)


def _known(column: pd.Series, name: str) -> Codes:
    """Codes of the clusters of a column, none of them missing or blank.

    Raises
    ------
    InvalidData
        If some are: rows of unknown cluster are neither one cluster nor each their own.
    """
    blank = column.map(lambda each: isinstance(each, str) and not each.strip()).to_numpy(dtype=bool)
    missing = np.flatnonzero(column.isna().to_numpy(dtype=bool) | blank)
    if len(missing):
        raise InvalidData(
            f"A cluster must be known in every row. {len(missing):,} of {len(column):,} values of `{name}` are missing; the first is in row "
            f"{spelled(column.index[missing[0]])}. Fill them, drop those rows from the data before `Study.from_frame`, or name `{name}` as the study's "
            "`cluster`, which drops them and says so."
        )
    return pd.factorize(column)[0]


def _refitted(row: Estimate, frame: pd.DataFrame, kind: str, names: Sequence[str], factor: float) -> Estimate:
    import pyfixest

    if row.influence is None:
        return row.with_(std_error=np.nan, test=(np.nan, np.nan), interval=(np.nan, np.nan), note=UNFIT)
    used = row.influence != 0 if row.n_obs < len(row.influence) else np.ones(len(row.influence), dtype=bool)
    data = frame[used].assign(pseudo=row.estimate + used.sum() * row.influence[used])
    vcov: Any = {kind: " + ".join(frame.columns)} if names else kind
    with silent():
        line = pyfixest.feols("pseudo ~ 1", data=data, vcov=vcov, fixef_rm="none").tidy().iloc[0]
    clusters = min((data[name].nunique() for name in frame.columns), default=len(data))
    label = f"{kind} ({' + '.join(map(_label, names))})" if names else kind
    return row.with_(
        std_error=factor * float(line["Std. Error"]),
        df=clusters - 1,
        vcov=label,
        n_clusters=clusters,
        test=None,
        interval=None,
    )


def randomisation(
    scores: Scores, *, draws: int = 999, seed: int = 0, level: float = 0.95, known: bool = False
) -> Estimate:
    """Randomisation test of no effect on any unit: the treatment is drawn anew from its propensity.

    Under the sharp null outcomes do not change with the treatment, so that the law of the weighted mean of (W - e) /
    (e (1 - e)) times (Y - m) is known. Exact where the propensity is known and m was not fitted to these treatments.
    Fisher (1935); Zhao and Ding (2021), Journal of Econometrics 225(2), for the studentised statistic.

    Parameters
    ----------
    draws : int, default 999
    seed : int
    known : bool, default False
        Whether the propensity is known, and not estimated: said in the note.

    Raises
    ------
    NotIdentified
        If the treatment is not binary.
    """
    y_residual, w_residual = scores.residuals
    held, w = scores.heldout, scores.treatment
    assert held is not None
    assert w is not None
    if not scores.binary:
        raise NotIdentified(
            "Randomisation needs a treatment of 0 and 1 without fixed effects. Use `with_vcov`."
        )
    rng, e, n_clusters = np.random.default_rng(seed), held.propensity, int(scores.cluster.max()) + 1
    lever = scores.weight * y_residual / variance_of_treatment(held) / scores.weight.sum()
    first = np.zeros(n_clusters)
    first[scores.cluster] = w
    whole = bool((first[scores.cluster] == w).all())  # whole clusters were treated
    chance = np.bincount(scores.cluster, e) / np.bincount(scores.cluster) if whole else e
    observed = _studentised(w_residual * lever, scores.cluster)
    beyond = 0
    for _ in range(draws):
        drawn = rng.random(len(chance)) < chance
        again = (drawn[scores.cluster] if whole else drawn) - e
        beyond += abs(_studentised(again * lever, scores.cluster)) >= abs(observed)
    law = "the known propensity" if known else "the estimated propensity"
    return Estimate(
        "ate",
        float(scores.weight @ scores.gamma / scores.weight.sum()),
        term="randomisation test",
        level=level,
        vcov=f"randomisation, {draws:,} draws",
        n_obs=scores.n,
        n_clusters=n_clusters,
        test=(observed, (1 + beyond) / (1 + draws)),
        note=f"sharp null of no effect on any unit, treatment drawn from {law}",
    )


def _studentised(values: Array, cluster: Codes) -> float:
    totals = np.bincount(cluster, values)
    return float(totals.sum() / np.sqrt(np.maximum(totals @ totals, 1e-300)))


def adjusted(
    rows: Sequence[Estimate],
    cluster: Codes,
    *,
    method: Family = "romano-wolf",
    draws: int = 4999,
    seed: int = 0,
) -> list[Estimate]:
    """p-values that control the chance of any false rejection in a family of rows; said in each row.

    Romano-Wolf's step-down uses the rows' dependence: signs of whole clusters' influence values are turned, the rows
    studentised in each draw. Romano and Wolf (2005), Econometrica 73(4); Holm (1979), Scandinavian Journal of Statistics
    6(2). Intervals stay those of the single row.

    Parameters
    ----------
    rows : sequence of Estimate
        The family: of several outcomes, groups or engines on the same units.
    cluster : array (n,)
        Codes 0..G-1.
    method : {"romano-wolf", "holm"}

    Raises
    ------
    InvalidOption
        For another method.
    """
    if method not in ("romano-wolf", "holm"):
        raise InvalidOption(f"`method` must be 'romano-wolf' or 'holm'. {method!r} was given.")
    usable = [
        j
        for j, row in enumerate(rows)
        if row.std_error > 0 and (method == "holm" or row.influence is not None)
    ]
    out = [
        row if j in usable else row.with_(note="not in the family: no error") for j, row in enumerate(rows)
    ]
    if not usable:
        return out
    family = [rows[j] for j in usable]
    values = _holm(family) if method == "holm" else _romano_wolf(family, cluster, draws, seed)
    for j, row, p in zip(usable, family, values, strict=True):
        note = f"p-value adjusted over {len(family)} rows by {'Holm' if method == 'holm' else 'Romano-Wolf'}"
        out[j] = row.with_(test=(row.statistic, float(p)), note=note)
    return out


def joint_covariance(rows: Sequence[Estimate], cluster: Codes | None) -> Array:
    """Covariance (k, k) of rows: their own variances, with correlations from influence values summed by cluster.

    Parameters
    ----------
    rows : sequence of Estimate
    cluster : array (n,) or None
        Codes of the study's clusters; rows then covary through units that share one. ``None`` where the study is not at hand.

    Returns
    -------
    array
        NaN where a row has no error, and between rows of which one has no influence values.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge import Estimate
    >>> from hte_bridge.inference import joint_covariance
    >>> psi = np.array([0.5, -0.5, 0.1, -0.1])
    >>> row = Estimate("ate", 1.0, std_error=2.0, influence=psi)
    >>> joint_covariance([row, row.with_(std_error=1.0), row.with_(influence=None)], np.arange(4)).tolist()
    [[4.0, 2.0, nan], [2.0, 1.0, nan], [nan, nan, 4.0]]
    """
    error = np.array([row.std_error for row in rows], dtype=np.float64)
    shape = np.full((len(rows), len(rows)), np.nan)
    known = [j for j, row in enumerate(rows) if row.influence is not None and cluster is not None]
    known = [j for j in known if len(rows[j].influence) == len(cluster)]  # type: ignore[arg-type]
    if known:
        totals = np.column_stack([np.bincount(cluster, weights=rows[j].influence) for j in known])  # type: ignore[arg-type]
        unit = np.sqrt((totals**2).sum(axis=0))
        scaled = totals / np.where(unit > 0, unit, 1.0)
        shape[np.ix_(known, known)] = np.clip(scaled.T @ scaled, -1.0, 1.0)
    np.fill_diagonal(shape, 1.0)
    return np.asarray(error[:, None] * shape * error)


def _holm(rows: Sequence[Estimate]) -> Array:
    p = np.array([row.p_value for row in rows])
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(stepped, 1.0)
    return out


def _romano_wolf(rows: Sequence[Estimate], cluster: Codes, draws: int, seed: int) -> Array:
    n_clusters = int(cluster.max()) + 1
    totals = np.column_stack(
        [
            np.bincount(cluster, row.influence, minlength=n_clusters)
            for row in rows
            if row.influence is not None
        ]
    )
    square = (totals**2).sum(axis=0)
    rng, chunk = np.random.default_rng(seed), max(1, 20_000_000 // n_clusters)
    parts = []
    for begin in range(0, draws, chunk):
        size = (min(chunk, draws - begin), n_clusters)
        sums = (1.0 - 2.0 * rng.integers(0, 2, size, dtype=np.int8)) @ totals
        spread = n_clusters / (n_clusters - 1) * (square - sums**2 / n_clusters)
        parts.append(np.abs(sums) / np.sqrt(np.maximum(spread, 1e-300)))
    drawn = np.concatenate(parts)
    # a row's own law may have few df: compare where the p-values lie, on the scale of G - 1 df
    seen = np.array([float(stats.t.isf(max(row.p_value, 1e-300) / 2, n_clusters - 1)) for row in rows])
    order = np.argsort(-seen)
    largest = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]  # over this row and all after it
    p = (1 + (largest >= seen[order]).sum(axis=0)) / (1 + draws)
    out = np.empty(len(rows))
    out[order] = np.maximum.accumulate(p)
    return out
