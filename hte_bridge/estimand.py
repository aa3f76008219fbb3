"""The estimands: one row for each name, from which `compare`, the verbs of a comparison (in R too), reports and pictures follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Reads = Literal["average", "slopes", "groups", "rows", "picture"]


@dataclass(frozen=True)
class Estimand:
    """What a name in the column ``estimand`` stands for.

    Parameters
    ----------
    name : str
    make : str or callable
        What makes its rows, as a function or as its place in ``estimands/`` such as ``"averages.ate"``; it is given what it names among
        ``study``, ``fit``, ``scores``, ``folds`` and ``level``. Empty: rows that others make.
    means : str
        What it is, for a report.
    title : str
        Of the report's block that it stands in; its own name where empty.
    reads : {"rows", "average", "slopes", "groups", "picture"}
        How a report says its rows in words; an ``"average"`` can also be asked of some rows.
    whom : str
        Ends the sentence on an average.
    cites : str
        Key of a work in ``report/citations.py``.
    scored : bool
        Whether its rows are averages or projections of doubly robust scores, of which the page of methods then tells.
    unit : str
        What it is measured in, for pictures.

    Examples
    --------
    A further estimand, which `compare(estimands=["least"])` and `table.least()` then know:

    >>> from hte_bridge.estimand import ESTIMANDS, Estimand
    >>> from hte_bridge.table import Estimate
    >>> def least(scores):
    ...     return Estimate("least", float(scores.gamma.min()))
    >>> ESTIMANDS["least"] = Estimand("least", least, "the least score of all units")
    >>> del ESTIMANDS["least"]
    """

    name: str
    make: str | Callable[..., Any] = ""
    means: str = ""
    title: str = ""
    reads: Reads = "rows"
    whom: str = ""
    cites: str = ""
    scored: bool = False
    unit: str = "effect"

    @property
    def average(self) -> bool:
        """Whether it is one number for all rows, or for some."""
        return self.reads == "average" and bool(self.make)


AVERAGES = "Average effects"
SLOPES = "What goes with the effect"
GROUPS = "Effects by group"
NOISE = "Is there more than noise?"
GAIN = "effect less the average"

ESTIMANDS: dict[str, Estimand] = {
    each.name: each
    for each in (
        Estimand(
            "coefficient",
            means="coefficient of the treatment in a linear regression. Where effects differ between units it is an "
            "average that weighs units by how much their treatment varies given the controls",
            title=AVERAGES, reads="average",
        ),
        Estimand(
            "ate", "averages.ate", "average treatment effect: the mean effect over all units of the sample",
            AVERAGES, "average", " on average", scored=True,
        ),
        Estimand(
            "att", "averages.att", "average effect on the treated: the mean effect over units that were treated",
            AVERAGES, "average", " on average among the treated", scored=True,
        ),
        Estimand(
            "atc", "averages.atc",
            "average effect on the untreated: what treatment would have done to those who did not get it",
            AVERAGES, "average", " on average among the untreated", scored=True,
        ),
        Estimand(
            "ato", "averages.ato",
            "average effect in the overlap: the mean effect weighted by e(x)(1 - e(x)), so by how much units like it "
            "were both treated and untreated; it needs the least extrapolation",
            AVERAGES, "average", " on average where both arms overlap", cites="overlap", scored=True,
        ),
        Estimand(
            "ape", "averages.ape", "average partial effect: the mean effect of one more unit of treatment",
            AVERAGES, "average", " on average", scored=True,
        ),
        Estimand(
            "projection", "registry.projection_rows",
            "best linear projection of the effect on covariates: how the effect moves with one covariate, the "
            "others held fixed, as far as a line can tell",
            SLOPES, "slopes", cites="projection", scored=True,
        ),
        Estimand(
            "gate", "registry.gate_rows", "average effect in groups given beforehand", GROUPS, "groups", scored=True
        ),
        Estimand(
            "gates", "registry.gates_rows", "average effect in groups sorted by an effect predicted for units held out",
            GROUPS, "groups", scored=True,
        ),
        Estimand(
            "clan", "registry.clan_rows",
            "average covariates of the groups with the smallest and the largest predicted effect", GROUPS, unit="mean",
        ),
        Estimand(
            "calibration", "registry.calibration_rows",
            "calibration: does the predicted effect line up with the effect? A slope of 1 is perfect, 0 is noise",
            NOISE, unit="slope",
        ),
        Estimand(
            "autoc", means="area under the targeting curve: do units ranked first gain more than the average?",
            title=NOISE, cites="rate", unit=GAIN,
        ),
        Estimand(
            "qini", means="area under the Qini curve: what ranking is worth when many are treated", title=NOISE,
            cites="rate", unit=f"{GAIN}, weighted",
        ),
        Estimand(
            "rate", "registry.rate_rows", "rank-weighted average effect: do units ranked first gain more than the average?",
            NOISE, cites="rate", unit=f"{GAIN}, weighted",
        ),
        Estimand("toc", title=NOISE, reads="picture", unit=GAIN),
        Estimand("policy", "registry.policy_rows", "value of a treatment rule, held out", unit="value per unit"),
        Estimand("dose", "registry.dose_rows", unit="outcome, or its slope"),
        Estimand("nuisance", "nuisance.nuisance", unit="nuisance"),
        Estimand("trimmed", "nuisance.trimmed"),
        Estimand("sensitivity", "registry.sensitivity_rows"),
        Estimand("difference", means="one engine's estimate less another's, from the same units"),
        Estimand("gain", unit="gain per unit"),
        Estimand("correlation", unit="correlation"),
        Estimand("same_sign", unit="share of units"),
        Estimand("counterfactual", unit="change of the outcome"),
        *(Estimand(name) for name in ("placebo", "gap", "parting")),
    )
}  # fmt: skip


def known(name: str) -> Estimand:
    """The row of a name; of one that there is not, a row that says nothing and is measured in itself."""
    return ESTIMANDS.get(name) or Estimand(name, unit=name.replace("_", " "))


def askable() -> list[str]:
    """Names that ``compare(estimands=...)`` takes."""
    return [name for name, each in ESTIMANDS.items() if each.make]


def averages() -> list[str]:
    """Names of averages, with the coefficient that is set beside them."""
    return [name for name, each in ESTIMANDS.items() if each.reads == "average"]
