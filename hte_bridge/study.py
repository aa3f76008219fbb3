"""What is studied: checked columns as arrays, and folds that respect clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge import checks, columns, parts
from hte_bridge.alignment import positions_of
from hte_bridge.arrays import Array, Codes
from hte_bridge.encode import Encoder, MeanFill
from hte_bridge.folds import Folds
from hte_bridge.frames import names_of
from hte_bridge.keys import row_keys
from hte_bridge.labelled import NOTE
from hte_bridge.language.written import read_formula
from hte_bridge.roles import Names, Roles
from hte_bridge.shown import study_text
from hte_bridge.stream import Stored, mean_fill, scanned
from hte_bridge.taking import taken

__all__ = ["Codes", "Folds", "Names", "Study", "TreatmentType"]

TreatmentType = Literal["binary", "continuous", "arms"]
UNDEFENDED = 4.0  # effective clusters below which no error from residuals is reported (docs/few_clusters.md)
SHORT = 12.0  # and below which a warning says that intervals are too short


@dataclass(frozen=True, eq=False)
class Study:
    """Outcome, treatment and covariates of n units, checked once, the same rows for every engine; ``from_frame`` or ``from_parquet`` makes one.

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
    controls : array (n, c), optional
        Encoded columns that outcome mean and propensity are learned on beside the covariates, along which no effect is asked for;
        ``control_encoder`` made them.
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
    controls: Array | None = field(default=None, repr=False)
    control_encoder: Encoder = field(default=Encoder(()), repr=False)
    second_cluster: Codes | None = field(default=None, repr=False)
    stored: Stored | None = field(default=None, repr=False)

    @classmethod
    def from_frame(
        cls,
        df: Any,
        *,
        outcome: str,
        treatment: str | None = None,
        covariates: Sequence[str] | str = (),
        controls: Sequence[str] | str | None = None,
        fixed_effects: Sequence[str] | str | None = None,
        cluster: str | Sequence[str] | None = None,
        weight: str | None = None,
        propensity: str | float | None = None,
        treatment_type: TreatmentType | None = None,
        control: Any = None,
        unit: str | None = None,
        period: str | None = None,
        first_treated: str | None = None,
        anticipation: float = 0,
        base_period: str = "varying",
    ) -> Study:
        """Check the columns of a frame and take them as arrays.

        Rows with a missing outcome, treatment, cluster or effect (blank text is missing), of weight zero, or alone in their effect are dropped and
        counted in ``dropped``. Missing covariates stay. Nothing handed in is changed.

        Parameters
        ----------
        df : frame or path
            pandas, polars, DuckDB or pyarrow table, or the path of a Parquet, CSV or Stata file; see ``frames.to_pandas``.
        outcome, treatment : str
            Numeric or yes/no columns. The treatment is 0/1, or a dose. Names that are not text are taken as text.
        covariates : sequence of str, or "all"
            Columns along which effects may differ: numbers, yes/no, text, or categories (an ordered one enters as its rank). ``"all"`` are
            those without another role.
        controls : sequence of str, or "all", optional
            Columns to adjust for along which no effect is asked for: outcome mean and propensity are learned on covariates and controls, the
            effect on the covariates alone. Of any kind, as covariates are; new rows need none. Of an adoption ``"not_yet"``, the default, or
            ``"never"``: the units that adopters are compared with.
        fixed_effects : sequence of str, optional
            Effects in the model, such as person and year.
        cluster : str or two of them, optional
            Units of a cluster share a fold, and every interval allows for their dependence. With two, such as village and year, errors are by
            both (Cameron, Gelbach and Miller, 2011), folds by what hangs together by either where that leaves enough, else by the first.
        weight : str, optional
            Sampling weights, of any scale: they are divided by their mean.
        propensity : str, float or mapping, optional
            Known probability of treatment in an experiment: a column, or one number. Of several arms one for each, by its name.
        treatment_type : {"binary", "continuous", "arms"}, optional
            Needed only where a numeric treatment has three to ten whole values. ``"arms"`` sets each of three values or more, of any kind,
            against ``control``, by default the first: an ``ArmsStudy`` (docs/howto/arms.md).
        control : optional
            Of several arms the one that the others are set against.
        unit, period, first_treated : str, optional
            Of a panel in which units adopt a treatment at different times, for good: an ``Adoption`` (docs/howto/adoption.md). Missing, infinite
            or 0 in ``first_treated`` is never treated. ``covariates`` may be empty and count at the period before treatment, and
            ``treatment`` may be left out.
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

            when = {"unit": unit, "period": period, "first_treated": first_treated}
            other = {"fixed_effects": fixed_effects, "weight": weight, "propensity": propensity}
            refuse_other_roles(when, other)
            design: dict[str, Any] = {role: str(name) for role, name in when.items()} | {"cluster": cluster}
            design |= {"controls": "not_yet" if controls is None else controls, "treatment": treatment}
            design |= {"anticipation": anticipation, "base_period": base_period, "outcome": outcome}
            return cast(
                Any, adopt(df, covariates=covariates, **design)
            )  # an Adoption, typed as the usual case
        columns.named_treatment(treatment, None if treatment_type == "arms" else control)
        if treatment_type == "arms":
            from hte_bridge.several_arms import several_arms

            roles: dict[str, Any] = {"covariates": covariates, "controls": controls, "weight": weight}
            roles |= {"fixed_effects": fixed_effects, "cluster": cluster, "propensity": propensity}
            roles |= {"outcome": outcome, "treatment": treatment, "control": control}
            return cast(Any, several_arms(cls.from_frame, df, **roles))
        named = Roles.of(outcome, treatment, covariates, controls, fixed_effects, cluster, weight, propensity)
        return cls(**taken(df, named, propensity, treatment_type)).checked()

    def checked(self) -> Study:
        """The study itself, if it keeps the rules that ``from_frame`` names."""
        columns.covariate_values(self)
        checks.measurable(self)
        checks.identified(self)
        return self

    @classmethod
    def from_parquet(
        cls,
        data: Any,
        *,
        outcome: str,
        treatment: str,
        covariates: Sequence[str] | str = (),
        controls: Sequence[str] | str | None = None,
        fixed_effects: Sequence[str] | str | None = None,
        cluster: str | Sequence[str] | None = None,
        weight: str | None = None,
        propensity: str | float | None = None,
        treatment_type: Literal["binary", "continuous"] | None = None,
        index: str | Sequence[str] | None = None,
        work: str | Path | None = None,
    ) -> Study:
        """A study of data larger than memory: read once, checked by the rules of ``from_frame``, its columns kept on disk as numbers.

        Roles as in ``from_frame``, types as in the files' schema, rows in the order of the files' paths (docs/howto/big.md).

        Parameters
        ----------
        data : path, pyarrow.dataset.Dataset or DuckDB relation
            A Parquet file, or a folder of them, also one partitioned as ``year=2020/...``.
        index : str or sequence of str, optional
            Columns that label rows, to which chance belongs; by default pandas' index in the files, else the place of a row (docs/howto/big.md).
        work : path, optional
            Where the columns are kept, 8 bytes a number, until the study is gone; by default the system's folder for temporary files.

        Raises
        ------
        InvalidData, UnreadableFile, UnwritableFolder
            As ``from_frame`` does, and if files differ in a column's type; for a file that is truncated or foreign; for a full disk.
        """
        named = Roles.of(outcome, treatment, covariates, controls, fixed_effects, cluster, weight, propensity)
        return cls(**scanned(data, named, propensity, treatment_type, work, names_of(index))).checked()

    @classmethod
    def from_formula(
        cls,
        formula: str,
        df: Any,
        *,
        treatment: str,
        controls: Sequence[str] | str | None = None,
        **roles: Any,
    ) -> Study:
        """A study by one formula: outcome, covariates, and fixed effects behind a bar.

        Parameters
        ----------
        formula : str
            ``"got ~ age + C(region) + log(dist) | village"``. Terms are joined by ``+ : *``; a term is a column, ``C(x)`` or
            ``i(x, ref=)``, ``poly bs cr cc scale center`` of one, or what conditions may hold (``I(age**2)``, ``log log1p sqrt exp`` and the
            like). It is read by a grammar of our own: nothing of it runs as code. New rows are computed as the study's were.
        df : frame or path
        treatment : str
        controls : str or sequence of str, optional
            ``"~ income + log(size)"``, or names.
        **roles
            ``cluster``, ``weight``, ``propensity``, ``treatment_type`` as in ``from_frame``.

        Raises
        ------
        InvalidOption, InvalidData
            If the formula cannot be read, with the part that is to blame; as ``from_frame`` does.

        Examples
        --------
        >>> import pandas as pd
        >>> from hte_bridge import Study
        >>> frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "d": [0, 1, 1, 0], "x": [0.1, 0.4, 0.2, 0.9]})
        >>> Study.from_formula("y ~ x + log(x)", frame, treatment="d").names.covariates
        ('x', 'log(x)')
        """
        frame, named, recipes, further = read_formula(formula, df, treatment, controls, roles)
        return cls.from_frame(frame, treatment=treatment, **named, **roles).computed(recipes, further)

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

        ``checks.effective_clusters`` says why they matter.
        """
        return checks.effective_clusters(self)

    @property
    def undefended(self) -> bool:
        """Whether errors from residuals are too small by far to be reported (docs/few_clusters.md)."""
        return self.effective_clusters < UNDEFENDED

    @cached_property
    def filler(self) -> MeanFill:
        """The rule for missing covariates in engines that need numbers."""
        return (MeanFill.of if self.stored is None else mean_fill)(self.covariates, self.weight)

    @cached_property
    def filled(self) -> Array:
        """Covariates (n, q) without gaps: weighted mean, and an indicator for each column with gaps."""
        return self.fill(self.covariates) if self.stored is None else self.stored.filled(self)

    def fill(self, covariates: Array) -> Array:
        """Encoded covariates (m, p) of any rows as ``filled`` ones (m, q)."""
        return self.filler.transform(covariates)

    @property
    def filled_names(self) -> tuple[str, ...]:
        """Names of the columns of ``filled``."""
        flagged = [f"{parts.source(self, j)} missing" for j in self.filler.flagged.tolist()]
        return (*self.names.covariates, *flagged)

    @property
    def covariate_of(self) -> tuple[int, ...]:
        """Of each column of ``filled`` the place of the covariate that it belongs to."""
        return parts.covariate_of(self)

    @property
    def score_columns(self) -> tuple[tuple[int, int], ...]:
        """Places among the columns of ``filled`` of each number that has a normal score beside it, and of that score."""
        return parts.score_columns(self)

    @property
    def scored(self) -> Study:
        """The study with the normal score of each number that has long tails behind it; itself where none has."""
        return parts.scored(self)

    @cached_property
    def adjusted(self) -> Study:
        """The study with its controls among the covariates, as outcome mean and propensity are learned on it; itself without controls."""
        if self.controls is None:
            return self
        return parts.adjusted(self) if self.stored is None else self.stored.adjusted(self)

    def without(self, name: str) -> Study:
        """The study less one covariate or control, by its name in the frame."""
        return parts.without(self, name)

    @property
    def fill_note(self) -> str:
        """What was done to missing covariates, or an empty string."""
        if self.controls is not None:
            return self.adjusted.fill_note
        return parts.fill_note(self) if len(self.filler.flagged) else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of how a file and its columns are taken, whatever the engine."""
        of_file = "" if self.frame is None else self.frame.attrs.get(NOTE, "")
        return (*([of_file] if of_file else []), *self.encoder.notes, *self.control_encoder.notes)

    def with_(self, **changes: Any) -> Study:
        """Another study with some columns replaced, such as a simulated ``outcome``."""
        return replace(self, **changes)

    def computed(self, recipes: Any, further: Any) -> Study:
        """The study with recipes by which covariates, and controls, of new rows are computed."""
        own = replace(self.encoder, recipes=recipes)
        return self.with_(encoder=own, control_encoder=replace(self.control_encoder, recipes=further))

    def subset(self, rows: Any) -> Study:
        """Another study of some rows; codes are renumbered.

        Integer positions, or a mask of yes and no: a Series is matched by the labels of ``index``, an array goes by position. Rows of
        which a mask says nothing (missing) are left out.
        """
        return parts.subset(self, positions_of(self, rows))
