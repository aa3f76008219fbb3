"""Several arms: scores of each arm's mean outcome, and all contrasts between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.arrays import Array
from hte_bridge.engine import Engine, HeldOut
from hte_bridge.errors import HteBridgeError, InvalidData, InvalidOption, NotIdentified, nearest
from hte_bridge.estimands.bands import with_joint_band
from hte_bridge.estimands.moments import covariance, joint_test, row_from_influence
from hte_bridge.frames import to_pandas
from hte_bridge.kinds import codes_of, renumbered
from hte_bridge.reading import Role
from hte_bridge.rlink import client
from hte_bridge.scores import Scores
from hte_bridge.scores import scores as scores_of
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate, Table

INDICATOR = "received"  # name of the treatment in the study of one arm against all others


def arm_score(outcome: Array, received: npt.NDArray[np.bool_], heldout: HeldOut, arm: int = 1) -> Array:
    """Doubly robust score (n,) of the mean outcome in one arm: mu + 1{received} / P(received) (Y - mu).

    Parameters
    ----------
    outcome : array (n,)
    received : array (n,)
        Whether the unit received the arm.
    heldout : HeldOut
        Predictions of a binary treatment; the arm is its treated (``arm=1``) or its control (``arm=0``).
    """
    e, side = heldout.propensity, (1 - heldout.propensity if arm else -heldout.propensity)
    mean = heldout.outcome_mean + side * heldout.cate
    probability = e if arm else 1 - e
    return mean + received / probability * (outcome - mean)


def contrasts(
    gamma: Array,
    labels: Sequence[str],
    scores: Scores,
    *,
    means: bool = True,
    level: float = 0.95,
) -> list[Estimate]:
    """Mean outcome in each arm, all differences between arms with a joint band, and the test that all are equal.

    Parameters
    ----------
    gamma : array (n, a)
        Score of each arm; any common column cancels from the differences.
    labels : sequence of str
    scores : Scores
        Weights and clusters.
    means : bool, default True
        Whether the columns are scores of mean outcomes, and not of differences from one arm.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge.estimands.arms import contrasts
    >>> from hte_bridge.scores import Scores
    >>> rows = contrasts(np.array([[1.0, 3.0], [2.0, 3.0], [3.0, 6.0]]), ["a", "b"], Scores(np.zeros(3)))
    >>> [(row.term, row.estimate) for row in rows[:3]]
    [('mean under a', 2.0), ('mean under b', 4.0), ('b - a', 2.0)]
    """
    share = scores.weight / scores.weight.sum()

    def row(values: Array, term: str) -> Estimate:
        estimate = float(share @ values)
        return row_from_influence(
            "arms", estimate, share * (values - estimate), scores, level=level, term=term
        )

    first = [row(column, f"mean under {name}") for column, name in zip(gamma.T, labels, strict=True)]
    pairs = list(combinations(range(len(labels)), 2))
    apart = [row(gamma[:, b] - gamma[:, a], f"{labels[b]} - {labels[a]}") for a, b in pairs]
    influence = np.column_stack([each.influence for each in apart if each.influence is not None])
    cov = covariance(influence, scores)
    base = [j for j, (a, _) in enumerate(pairs) if a == 0]
    test = joint_test(np.array([apart[j].estimate for j in base]), cov[np.ix_(base, base)], apart[0].df)
    equal = apart[0].with_(
        term="equal",
        estimate=np.nan,
        std_error=np.nan,
        influence=None,
        test=test,
        note=f"F test that the {len(labels)} arms have the same mean outcome",
    )
    banded = with_joint_band(apart, cov) if all(each.std_error > 0 for each in apart) else apart
    return [*(first if means else []), *banded, equal]


def arms(
    df: Any,
    engines: Sequence[Engine],
    *,
    outcome: str,
    treatment: str,
    covariates: Sequence[str],
    control: Any = None,
    controls: Sequence[str] | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    n_folds: int = 5,
    seed: int = 0,
    level: float = 0.95,
) -> ArmsTable:
    """Means and contrasts of several arms, for any engine: each arm is fitted against all others.

    With R = 1{arm received}, the engine's m(x), e(x) and tau(x) give E[Y | arm, x] = m + (1 - e) tau, whence the
    doubly robust score of the arm's mean outcome; contrasts are differences of scores on the same units and folds.
    Cattaneo (2010), Journal of Econometrics 155(2), for the scores of multi-valued treatments.

    Parameters
    ----------
    df : frame or path
        As ``Study.from_frame`` takes it.
    treatment : str
        Column with the name of the arm of each unit; contrasts are later minus earlier in its sorted order.
    control : optional
        The arm that comes first in that order, so that the others are set against it.
    controls : sequence of str, optional
        Columns to adjust for along which no effect is asked, as ``Study.from_frame`` takes them.

    Returns
    -------
    ArmsTable
        A ``Table`` that gives its rows one by one too: means, all contrasts with a joint band, and the test that all are equal.

    Raises
    ------
    InvalidData
        If there are fewer than two arms.
    InvalidOption
        If ``control`` is no arm.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import hte_bridge as hb
    >>> rng = np.random.default_rng(1)
    >>> df = pd.DataFrame({"age": rng.integers(20, 60, 300), "offer": rng.choice(["cash", "letter", "none"], 300)})
    >>> df["visits"] = 2.0 * (df["offer"] == "cash") + 0.1 * df["age"] + rng.normal(size=300)
    >>> rows = hb.arms(df, [hb.Feols()], outcome="visits", treatment="offer", covariates=["age"], seed=1)
    >>> [(row.term, round(row.estimate, 1)) for row in rows if " - " in row.term]
    [('letter - cash', -2.1), ('none - cash', -2.0), ('none - letter', 0.1)]
    """
    outcome, treatment = str(outcome), str(treatment)
    rows_of, arm, labels = _received(df, outcome, treatment, cluster, weight)
    if len(labels) < 2:
        raise InvalidData(
            f"`treatment` must name two or more arms. `{treatment}` holds {len(labels)}. Check the column."
        )
    roles: dict[str, Any] = {
        "outcome": outcome,
        "treatment": INDICATOR,
        "covariates": covariates if isinstance(covariates, str) else list(covariates),
        "controls": controls,
        "cluster": cluster,
        "weight": weight,
    }
    order = _control_first(labels, control)
    studies = [
        Study.from_frame(rows_of.assign(**{INDICATOR: (arm == place).astype(np.int64)}), **roles)
        for place in range(len(labels))
    ]
    folds = Folds.make(studies[0], n_folds, seed)  # dealt the same whichever arm is the control
    studies = [studies[place] for place in order]
    names = [str(labels[place]) for place in order]
    out: list[Estimate] = []
    for engine in engines:
        out += _rows_of(engine, studies, folds, names, level)
    return ArmsTable(tuple(out), _meta(studies[0], folds, treatment, level))


def _control_first(labels: npt.NDArray[Any], control: Any) -> list[int]:
    """Places of the arms, the control's first.

    Raises
    ------
    InvalidOption
        If it is none of them.
    """
    order = list(range(len(labels)))
    if control is None:
        return order
    found = [place for place in order if str(labels[place]) == str(control)]
    if not found:
        known = ", ".join(f"`{each}`" for each in labels)
        raise InvalidOption(f"`control` must be an arm. `{control}` is none. The arms are {known}.")
    return [*found, *(place for place in order if place not in found)]


def _meta(study: Study, folds: Folds, treatment: str, level: float) -> dict[str, Any]:
    names = study.names
    return {
        "n": study.n,
        "n_clusters": study.n_clusters if study.clustered else None,
        "cluster": names.cluster,
        "folds": folds.n_folds,
        "seed": folds.seed,
        "level": level,
        "dropped": dict(study.dropped),
        "names": {
            "outcome": names.outcome,
            "treatment": treatment,
            "covariates": list(names.covariates),
            "controls": list(names.controls),
            "cluster": names.cluster,
            "weight": names.weight,
        },
    }


@dataclass(frozen=True, eq=False, repr=False)
class ArmsTable(Table):
    """Rows of several arms: a table, and its rows one by one."""

    def __iter__(self) -> Iterator[Estimate]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Estimate:
        return self.rows[place]


def _received(
    df: Any, outcome: str, treatment: str, cluster: str | None, weight: str | None
) -> tuple[pd.DataFrame, npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Rows whose arm and outcome are known, each one's arm as a code, and the arms' names in order."""
    roles: dict[str, Role] = {name: "number" for name in (outcome, weight) if name is not None}
    roles |= {name: "identity" for name in (treatment, cluster) if name is not None}
    frame = to_pandas(df, roles)
    for role, name in (("outcome", outcome), ("treatment", treatment)):
        if name not in frame.columns:
            raise InvalidData(
                f"`{role}` must name a column of the data. `{name}` is not one. {nearest(name, frame.columns)}"
            )
    codes, labels = codes_of(frame[treatment], "treatment", treatment)
    known = (codes >= 0) & frame[outcome].notna().to_numpy()
    arm, labels = renumbered(codes[known], labels)
    return frame.loc[known], arm, labels


def _rows_of(
    engine: Engine, studies: Sequence[Study], folds: Folds, names: Sequence[str], level: float
) -> list[Estimate]:
    try:
        held = [_heldout(engine, study, folds) for study in studies]
    except HteBridgeError as error:
        return [Estimate.missing("arms", str(error), engine=engine.name, level=level)]
    gamma = np.column_stack(
        [
            arm_score(study.outcome, study.treatment == 1, each)
            for study, each in zip(studies, held, strict=True)
        ]
    )
    base = scores_of(studies[0], held[0])
    return [row.with_(engine=engine.name) for row in contrasts(gamma, names, base, level=level)]


def _heldout(engine: Engine, study: Study, folds: Folds) -> HeldOut:
    fit = engine.fit(study, folds)
    if fit.heldout is None:
        raise NotIdentified(fit.reasons.get("*", "This engine has no held-out predictions for this study."))
    return fit.heldout


def multi_arm_forest(
    study: Study,
    arm: npt.NDArray[np.int64],
    labels: Sequence[str],
    *,
    num_trees: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Estimate]:
    """Contrasts from ``grf::multi_arm_causal_forest``, out-of-bag.

    Parameters
    ----------
    study : Study
        Outcome, covariates, weights and clusters; its treatment is not used.
    arm : array (n,)
        0..a-1 of each unit.
    labels : sequence of str

    Raises
    ------
    RUnavailable
        If R or grf is missing.
    """
    arrays: dict[str, Any] = {
        "X": study.covariates,
        "Y": study.outcome,
        "arm": arm.astype(np.int32),
        "cluster": study.cluster.astype(np.int32) if study.clustered else None,
        "weight": study.weight if study.weighted else None,
    }
    answer = client.call("multi_arm_scores", arrays, {"num.trees": num_trees, "seed": seed})
    from_first = np.asarray(answer["scores"], dtype=np.float64).reshape(study.n, len(labels) - 1)
    base = Scores(from_first[:, 0], study.weight, study.cluster, cluster_name=study.names.cluster)
    gamma = np.column_stack([np.zeros(study.n), from_first])
    rows = contrasts(gamma, labels, base, means=False, level=level)
    return [row.with_(engine="grf", note="multi_arm_causal_forest") for row in rows]
