"""The deep engine: networks for nuisances and structure, a Bayesian last layer for the effect.

Y = mu(x) + (T - e(x)) tau(x) + error in a cross-section (Robinson, 1988, Econometrica 56(4)), or another account of the outcome where the
evidence is very strong (``forms.py``); fixed effects stay in the model of a panel. The prior's scales come from the marginal likelihood and are integrated over, so the posterior's variance holds the misfit that the
data have not ruled out: 95 % intervals cover 95 % *across the covariate points* (Wahba, 1983, JRSS-B 45; Nychka, 1988, JASA 83).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hte_bridge.crossfit import check_folds
from hte_bridge.engines.deep.canonical import Seen
from hte_bridge.engines.deep.fit import DeepFit, check_other_folds, check_size
from hte_bridge.engines.deep.threads import threads
from hte_bridge.errors import InvalidOption
from hte_bridge.options import between, whole
from hte_bridge.study import Folds, Study

if TYPE_CHECKING:
    from hte_bridge.engines.deep.stream import StreamFit

__all__ = ["Deep", "DeepFit"]

Device = Literal["auto", "cpu", "cuda", "mps"]
LEAST = {  # of options that are whole numbers
    "seed": 0,
    "n_folds": 2,
    "kernel_max_rows": 0,
    "scale_rows": 50,
    "draws": 1,
    "n_nets": 1,
    "epochs": 1,
}


@dataclass(frozen=True)
class Deep:
    """Options of the deep engine.

    Parameters
    ----------
    seed : int
        Same seed, same numbers, whatever the thread count.
    n_folds : int
        Of folds of its own, where none are handed over.
    label : str, optional
        Name in the table; ``"deep"`` by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the networks of panels and large samples are trained; on ``"cuda"`` also the search for the kernel's scales from 400 rows on,
        products of features and factors of the Gram matrix, in double precision. Numbers are the same from fit to fit on one device, and differ by
        rounding between devices; a fit predicts on the CPU, wherever it was made.
    kernel_max_rows : int
        Cross-sections up to this size use the exact kernel, larger ones random features on the Gram matrix.
    scale_rows : int
        Rows on which the kernel's scales are found, where there are more.
    draws : int
        Draws of the scales that the posterior is mixed over; fewer above 1,000 rows, where scales are better known.
    effect_rate : float
        Rate of the priors on the sds of the parts of the effect that vary, in units of 1 / sd(Y): lower lets it vary more.
    n_nets, epochs, hidden
        Networks averaged per fold; passes over the data at most; width of each hidden layer.
    n_jobs : int, optional
        Folds fitted side by side, by joblib; by default one, or what ``joblib.parallel_config`` says. The numbers are the same.
    checkpoint : path, optional
        Folder in which long fits (panels, many rows, Parquet files) leave finished work every few minutes, and from which
        they continue after a kill with the same numbers. Files of other data, options or versions are left alone.

    Examples
    --------
    >>> Deep(seed=1).name
    'deep'
    """

    seed: int = 0
    n_folds: int = 5
    label: str | None = None
    device: Device = "auto"
    kernel_max_rows: int = 3_000
    scale_rows: int = 1_000
    draws: int = 32
    effect_rate: float = 10.0
    n_nets: int = 1
    epochs: int = 60
    hidden: tuple[int, ...] = (64, 64)
    n_jobs: int | None = None
    checkpoint: str | Path | None = None

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda", "mps"):
            raise InvalidOption(f"`device` must be auto, cpu, cuda or mps. {self.device!r} was given.")
        for name, least in LEAST.items():
            whole(name, getattr(self, name), least)
        between("effect_rate", self.effect_rate, 0, inf, "above 0 and finite", (False, False))
        if isinstance(self.hidden, str | int) or not self.hidden:
            raise InvalidOption(
                f"`hidden` must be the widths of the networks' layers, such as (64, 64). {self.hidden!r} was given."
            )
        for width in self.hidden:
            whole("hidden", width)
        if self.n_jobs == 0 or not isinstance(self.n_jobs, int | None):
            raise InvalidOption(
                f"`n_jobs` must be a number of folds to fit side by side, or -1 for all cores. {self.n_jobs!r} was given."
            )
        if not isinstance(self.checkpoint, str | Path | None):
            raise InvalidOption(f"`checkpoint` must be the path of a folder. {self.checkpoint!r} was given.")

    @property
    def name(self) -> str:
        """Name in the table's column ``engine``."""
        return self.label or "deep"

    def fit(self, study: Study, folds: Folds | None = None) -> DeepFit:
        """Fit the study: a panel where it has fixed effects, else the exact kernel or, with many rows, the Gram form.

        With the exact kernel this makes the cross-fitted predictions, which the rows of a table need. The posterior from all rows, most of the
        time, is made when the fit is first asked for it: by ``cate``, ``posterior``, ``average``, ``structure``, ``diagnostics`` or ``save``.

        Raises
        ------
        DidNotConverge
            If no usable fit was found, with what to look for.
        InvalidData
            If a value is so large that its square overflows, or the folds are those of other units.
        NotIdentified
            If the treatment of a cross-section does not vary without some fold.
        InvalidOption
            If the device asked for is not there.
        """
        check_size(study)
        folds = folds or Folds.make(study, self.n_folds, self.seed)
        check_folds(folds, study.n)
        if study.fixed_effects.shape[1]:
            from hte_bridge.engines.deep.panel import fit_panel as fit
        elif study.n > self.kernel_max_rows:
            from hte_bridge.engines.deep.gram import fit_gram as fit
        else:
            from hte_bridge.engines.deep.kernel_branch import fit_kernel as fit
        if not study.fixed_effects.shape[1]:
            check_other_folds(study, folds)
        with threads(1):  # more would move last bits; folds side by side (`n_jobs`) do not
            seen = Seen.of(study, folds)
            branch = fit(seen.study, seen.order.folds(folds), self)
            return DeepFit(self, study, folds, replace(branch, heldout=seen.order.back(branch.heldout)))

    def fit_path(
        self,
        path: str | Path,
        *,
        outcome: str,
        treatment: str,
        covariates: Sequence[str],
        fixed_effects: Sequence[str],
    ) -> StreamFit:
        """Fit a panel that is larger than memory from a Parquet file or folder, read by row groups.

        No clusters, no weights and no held-out rows: the posterior of the effect and of averages, not a table.

        Raises
        ------
        UnreadableFile
            If there is no Parquet file at ``path``, or one lacks a column.
        InvalidData
            If a sample of the rows breaks a rule of ``Study.from_frame``.
        """
        from hte_bridge.engines.deep import stream

        with threads(1):
            return stream.fit_path(
                self,
                path,
                outcome=outcome,
                treatment=treatment,
                covariates=covariates,
                fixed_effects=fixed_effects,
            )
