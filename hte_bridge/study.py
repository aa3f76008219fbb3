"""What is studied: checked columns as arrays, and folds that respect clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge import checks, columns
from hte_bridge.alignment import positions_of
from hte_bridge.arrays import Array, Codes
from hte_bridge.encode import Encoder, MeanFill
from hte_bridge.errors import InvalidData
from hte_bridge.frames import names_of, to_pandas
from hte_bridge.keys import deal_clusters, deal_rows, row_keys, seeded
from hte_bridge.kinds import codes_of, renumbered
from hte_bridge.options import whole
from hte_bridge.reading import Role
from hte_bridge.shown import Arrays, study_text
from hte_bridge.sweeping import within

TreatmentType = Literal["binary", "continuous"]
UNDEFENDED = 4.0  # effective clusters below which no error from residuals is reported (docs/few_clusters.md)
SHORT = 12.0  # and below which a warning says that intervals are too short


@dataclass(frozen=True)
class Names:
    """Names of the columns in the frame handed in; ``covariates`` are the encoded ones."""

    outcome: str
    treatment: str
    covariates: tuple[str, ...]
    fixed_effects: tuple[str, ...] = ()
    cluster: str | None = None
    weight: str | None = None
    propensity: str | None = None


@dataclass(frozen=True, eq=False)
class Study:
    """Outcome, treatment and covariates of n units, checked once, the same rows for every engine.

    Parameters
    ----------
    outcome, treatment : array (n,)
        Y and W; a binary treatment holds 0 (control) and 1 (treated).
    covariates : array (n, p)
        Encoded columns, Fortran order, missing as NaN.
    fixed_effects : array (n, F)
        Codes 0..L-1 of each effect; F = 0 without.
    cluster : array (n,)
        Codes 0..G-1; each unit its own where no cluster was named.
    weight : array (n,)
        Sampling weights, positive, of mean one in the study that ``from_frame`` made.
    propensity : array (n,), optional
        Known probability of treatment, in (0, 1).

    See Also
    --------
    Study.from_frame : the way to make one.
    """

    outcome: Array
    treatment: Array
    covariates: Array
    fixed_effects: Codes
    cluster: Codes
    weight: Array
    propensity: Array | None
    names: Names
    encoder: Encoder
    effect_levels: tuple[npt.NDArray[Any], ...]
    cluster_levels: npt.NDArray[Any]
    dropped: Mapping[str, int]
    index: pd.Index
    binary: bool
    frame: pd.DataFrame | None = field(default=None, repr=False)
    key: npt.NDArray[np.uint64] | None = field(default=None, repr=False)

    @classmethod
    def from_frame(
        cls,
        df: Any,
        *,
        outcome: str,
        treatment: str | None = None,
        covariates: Sequence[str] = (),
        fixed_effects: Sequence[str] | str | None = None,
        cluster: str | None = None,
        weight: str | None = None,
        propensity: str | float | None = None,
        treatment_type: TreatmentType | None = None,
        unit: str | None = None,
        period: str | None = None,
        first_treated: str | None = None,
        controls: Any = None,
        anticipation: float = 0,
        base_period: str = "varying",
    ) -> Study:
        """Check the columns of a frame and take them as arrays.

        Rows with a missing outcome, treatment, cluster or effect (blank text is missing), of weight zero, or alone in their
        effect are dropped and counted in ``dropped``. Missing covariates stay. Nothing handed in is changed.

        Parameters
        ----------
        df : frame or path
            pandas, polars, DuckDB or pyarrow table, or the path of a Parquet, CSV or Stata file; see ``frames.to_pandas``.
        outcome, treatment : str
            Numeric or yes/no columns. The treatment is 0/1, or a dose. Names that are not text are taken as text.
        covariates : sequence of str
            Numbers, yes/no, text, or categories (an ordered one enters as its rank).
        fixed_effects : sequence of str, optional
            Effects in the model, such as person and year.
        cluster : str, optional
            Units of a cluster share a fold, and every interval allows for their dependence.
        weight : str, optional
            Sampling weights, of any scale: they are divided by their mean.
        propensity : str or float, optional
            Known probability of treatment in an experiment: a column, or one number.
        treatment_type : {"binary", "continuous"}, optional
            Needed only where a numeric treatment has three to ten whole values.
        unit, period, first_treated : str, optional
            Of a panel in which units adopt a treatment at different times, for good: an ``Adoption`` (docs/adoption.md). Missing, infinite
            or 0 in ``first_treated`` is never treated. ``covariates`` may be empty and count at the period before treatment, and
            ``treatment`` may be left out.
        controls : {"not_yet", "never"}, optional
            Of an adoption: adopters are compared with units not treated yet, the default, or never.
        anticipation : float, default 0
            Of an adoption: how many periods before treatment units may react to it.
        base_period : {"varying", "universal"}, default "varying"
            Of an adoption: effects before treatment are against the period before each, or all against the last one.

        Raises
        ------
        InvalidData
            With the sentence of the first rule that the data break.

        Examples
        --------
        >>> import pandas as pd
        >>> from hte_bridge import Study
        >>> frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "d": [0, 1, 1, 0], "x": [0.1, 0.4, 0.2, 0.9]})
        >>> study = Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
        >>> study.n, study.binary, study.names.covariates
        (4, True, ('x',))
        """
        if first_treated is not None or unit is not None or period is not None:
            from hte_bridge.adoption import adopt, refuse_other_roles

            refuse_other_roles(
                {"unit": unit, "period": period, "first_treated": first_treated},
                {"fixed_effects": fixed_effects, "weight": weight, "propensity": propensity},
            )
            design: dict[str, Any] = {"anticipation": anticipation, "base_period": base_period}
            design |= {"controls": "not_yet" if controls is None else controls, "treatment": treatment}
            places: dict[str, Any] = {
                "unit": str(unit),
                "period": str(period),
                "first_treated": str(first_treated),
            }
            # typed as the usual case: `adoption.adopt` is the door whose type is an Adoption
            return cast(
                Any, adopt(df, outcome=outcome, covariates=covariates, cluster=cluster, **places, **design)
            )
        if treatment is None:
            raise InvalidData(
                "`treatment` must name a column of the data. None was given. Name it, or, where units adopt at different times, name "
                "`unit`, `period` and `first_treated`."
            )
        outcome, treatment = str(outcome), str(treatment)
        cluster, weight = (None if name is None else str(name) for name in (cluster, weight))
        effects, chosen = names_of(fixed_effects), names_of(covariates)
        if isinstance(propensity, tuple):  # a name of two levels, as other roles may have
            propensity = str(propensity)
        known = propensity if isinstance(propensity, str) else None
        of_file: dict[str, Role] = {
            name: "number" for name in (outcome, treatment, weight, known) if name is not None
        }
        of_file |= {name: "identity" for name in (*effects, cluster) if name is not None}
        frame = to_pandas(df, of_file)
        columns.roles(frame, outcome, treatment, chosen, effects, cluster, weight, known)
        absorbed = {name: codes_of(frame[name], "fixed_effects", name) for name in effects}
        group = {} if cluster is None else {cluster: codes_of(frame[cluster], "cluster", cluster)}
        keep, dropped = columns.complete_rows(frame, outcome, treatment, weight, absorbed, group)
        rows = frame if keep.all() else frame.loc[keep]
        y = columns.outcome_values(rows, outcome)
        w, binary = columns.treatment_values(rows, treatment, treatment_type)
        encoder = Encoder.of(rows, chosen)
        x = encoder.transform(rows)
        columns.covariate_values(x, encoder, y, w, outcome, treatment)
        labels = [renumbered(codes[keep], levels) for codes, levels in absorbed.values()]
        codes = np.column_stack([code for code, _ in labels]) if labels else np.empty((len(rows), 0))
        place, group_levels = columns.cluster_codes(keep, *group.values())
        study = cls(
            outcome=y,
            treatment=w,
            covariates=x,
            fixed_effects=codes.astype(np.int64),
            cluster=place,
            weight=columns.weight_values(rows, weight),
            propensity=columns.propensity_values(rows, propensity, binary, treatment),
            names=Names(outcome, treatment, encoder.names, tuple(effects), cluster, weight, known),
            encoder=encoder,
            effect_levels=tuple(levels for _, levels in labels),
            cluster_levels=group_levels,
            dropped=dropped,
            index=rows.index,
            binary=binary,
            frame=rows,
            key=row_keys(frame.index)[keep],
        )
        checks.measurable(study)
        checks.identified(study)
        return study

    def __repr__(self) -> str:
        return study_text(self)

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.outcome)

    @property
    def clustered(self) -> bool:
        """Whether a cluster was named."""
        return self.names.cluster is not None

    @property
    def weighted(self) -> bool:
        """Whether weights were named."""
        return self.names.weight is not None

    @property
    def n_clusters(self) -> int:
        """Number of clusters; n where none was named."""
        return len(self.cluster_levels)

    @property
    def keys(self) -> npt.NDArray[np.uint64]:
        """Key of each unit (n,), of its label in the frame handed in, by which folds are dealt."""
        return row_keys(self.index) if self.key is None else self.key

    @cached_property
    def effective_clusters(self) -> float:
        """Clusters of equal size that would hold the treatment's variation as evenly: one over the sum of squared shares.

        A cluster's share is its part of the sum of squares of the treatment net of the fixed effects, its partial leverage. With two
        treated units among fifty nearly all of it lies in two clusters, whose residuals are fitted almost exactly: errors
        by cluster are far too small, and more untreated units do not help (Carter, Schnepel and Steigerwald, 2017, Review of
        Economics and Statistics 99(4); MacKinnon and Webb, 2018, Econometrics Journal 21(2)). Without clusters each row is its own.

        Examples
        --------
        >>> import pandas as pd
        >>> from hte_bridge import Study
        >>> frame = pd.DataFrame({"y": range(50), "d": [1, 1] + 48 * [0], "x": [k % 7 for k in range(50)]})
        >>> study = Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
        >>> round(study.effective_clusters, 2)
        2.17
        """
        moved = self.treatment / np.abs(self.treatment).max()
        moved = moved - np.average(moved, weights=self.weight)
        if self.fixed_effects.shape[1]:
            moved = within(moved, self.fixed_effects, self.weight, tolerance=1e-6)
        held = np.bincount(self.cluster, weights=self.weight * moved**2)
        return float(held.sum() ** 2 / max(held @ held, np.finfo(float).tiny))

    @cached_property
    def filler(self) -> MeanFill:
        """The rule for missing covariates in engines that need numbers."""
        return MeanFill.of(self.covariates, self.weight)

    @cached_property
    def filled(self) -> Array:
        """Covariates (n, q) without gaps: weighted mean, and an indicator for each column with gaps."""
        return self.fill(self.covariates)

    def fill(self, covariates: Array) -> Array:
        """Encoded covariates (m, p) of any rows as ``filled`` ones (m, q)."""
        return self.filler.transform(covariates)

    @property
    def filled_names(self) -> tuple[str, ...]:
        """Names of the columns of ``filled``."""
        flagged = [f"{self._source(j)} missing" for j in self.filler.flagged.tolist()]
        return (*self.names.covariates, *flagged)

    @property
    def covariate_of(self) -> tuple[int, ...]:
        """Of each column of ``filled`` the place of the covariate that it belongs to: indicators of one category share theirs, as do a
        number and its normal score.

        Examples
        --------
        >>> import pandas as pd
        >>> from hte_bridge import Study
        >>> frame = pd.DataFrame({"y": [1.0, 2, 4, 3], "d": [0, 1, 1, 0], "town": list("abca"), "x": [1.0, 2, 3, 5]})
        >>> Study.from_frame(frame, outcome="y", treatment="d", covariates=["town", "x"]).covariate_of
        (0, 0, 1)
        """
        own = [place for place, code in enumerate(self.encoder.columns) for _ in code.names]
        flags = len(self.encoder.columns) + np.arange(len(self.filler.flagged))
        return (*own, *flags.tolist())

    @property
    def score_columns(self) -> tuple[tuple[int, int], ...]:
        """Places among the columns of ``filled`` of each number that has a normal score beside it, and of that score."""
        owner = self.covariate_of
        own = [place for place, code in enumerate(self.encoder.columns) if code.score is not None]
        return tuple((owner.index(place), owner.index(place) + 1) for place in own)

    @property
    def scored(self) -> Study:
        """The study with the normal score of each number that has long tails behind it; itself where none has."""
        encoder, covariates = self.encoder.scored(self.covariates)
        if all(code.score is None for code in encoder.columns):
            return self
        names = replace(self.names, covariates=encoder.names)
        return self.with_(covariates=covariates, encoder=encoder, names=names)

    def _source(self, column: int) -> str:
        """Name of the covariate that an encoded column belongs to."""
        return self.encoder.sources[self.covariate_of[column]]

    @property
    def fill_note(self) -> str:
        """What was done to missing covariates, or an empty string."""
        if not len(self.filler.flagged):
            return ""
        gaps = np.isnan(self.covariates)
        named = ", ".join(dict.fromkeys(self._source(j) for j in np.flatnonzero(gaps.any(axis=0)).tolist()))
        return (
            f"missing covariates ({named}; {int(gaps.any(axis=1).sum()):,} rows) are set to the mean, with an "
            "indicator"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of how columns are taken, whatever the engine."""
        return self.encoder.notes

    def with_(self, **changes: Any) -> Study:
        """Another study with some columns replaced, such as a simulated ``outcome``."""
        return replace(self, **changes)

    def subset(self, rows: Any) -> Study:
        """Another study of some rows; codes are renumbered.

        Integer positions, or a mask of yes and no: a Series is matched by the labels of ``index``, an array goes by position. Rows of
        which a mask says nothing (missing) are left out.
        """
        chosen = positions_of(self, rows)
        if not len(chosen):
            raise InvalidData("A subset must keep at least one row. None is left. Widen the condition.")
        group, cluster = np.unique(self.cluster[chosen], return_inverse=True)
        parts = [np.unique(column[chosen], return_inverse=True) for column in self.fixed_effects.T]
        codes = np.column_stack([code for _, code in parts]) if parts else np.empty((len(chosen), 0))
        return replace(
            self,
            outcome=self.outcome[chosen],
            treatment=self.treatment[chosen],
            covariates=np.asfortranarray(self.covariates[chosen]),
            fixed_effects=codes.astype(np.int64),
            cluster=cluster,
            cluster_levels=self.cluster_levels[group],
            weight=self.weight[chosen],
            propensity=None if self.propensity is None else self.propensity[chosen],
            effect_levels=tuple(
                levels[kept] for levels, (kept, _) in zip(self.effect_levels, parts, strict=True)
            ),
            index=self.index[chosen],
            frame=None if self.frame is None else self.frame.iloc[chosen],
            key=self.keys[chosen],
        )


@dataclass(frozen=True, eq=False, repr=False)
class Folds(Arrays):
    """Which fold holds each unit out; a cluster never straddles two folds.

    Examples
    --------
    >>> import numpy as np
    >>> from hte_bridge import Folds
    >>> folds = Folds(np.array([0, 1, 0, 1]), n_folds=2, seed=0)
    >>> [test.tolist() for train, test in folds]
    [[0, 2], [1, 3]]
    """

    fold: Codes
    n_folds: int
    seed: int

    @classmethod
    def make(cls, study: Study, n_folds: int = 5, seed: int = 0) -> Folds:
        """Folds of near equal size: clusters are shuffled and dealt; without clusters, arm by arm.

        With fixed effects and no cluster, the units of the effect with most levels stay together; if it has fewer levels than
        ``n_folds``, there is a fold for each level. The shuffle belongs to
        the index labels (see ``keys.row_keys``): rows in another order that bring their labels, or clusters under other names, keep
        their folds under the same seed.

        Raises
        ------
        InvalidOption
            If the seed is negative or there are fewer than two folds.
        InvalidData
            If there are fewer clusters, or units of an arm, than folds.
        """
        whole("seed", seed, 0)
        whole("n_folds", n_folds, 2, advice="Five is usual.")
        checks.enough_for_folds(study, n_folds)
        chance = seeded(study.keys, seed)
        if study.clustered:
            return cls(deal_clusters(study.cluster, chance, n_folds), n_folds, seed)
        if study.fixed_effects.shape[1]:
            widest = study.fixed_effects[:, int(study.fixed_effects.max(axis=0).argmax())]
            n_folds = min(n_folds, int(widest.max()) + 1)
            return cls(deal_clusters(widest, chance, n_folds), n_folds, seed)
        return cls(deal_rows(chance, n_folds, study.treatment if study.binary else None), n_folds, seed)

    def __iter__(self) -> Iterator[tuple[Codes, Codes]]:
        for number in range(self.n_folds):
            held = self.fold == number
            yield np.flatnonzero(~held), np.flatnonzero(held)
