"""What rows about two engines need of a comparison, and a table that says in words what it shows."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import Any, Protocol

from hte_bridge.engine import Fit
from hte_bridge.errors import InvalidOption
from hte_bridge.faults import Guard
from hte_bridge.format import page_width
from hte_bridge.format.neutral import markdown_sentence
from hte_bridge.format.text import WIDEST_NOTE
from hte_bridge.scores import Scores
from hte_bridge.shown import visible
from hte_bridge.study import Folds, Study
from hte_bridge.table import Estimate, Table


class Kept(Protocol):
    """The part of ``Comparison`` that a file keeps, too."""

    @property
    def rows(self) -> tuple[Estimate, ...]:
        """Rows of the table."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """What a reader needs to rebuild the table."""

    @property
    def study(self) -> Study:
        """The study that all engines were fitted to."""

    @property
    def folds(self) -> Folds:
        """The folds that all engines shared."""

    @property
    def fits(self) -> Mapping[str, Fit]:
        """Fits by engine."""

    @property
    def level(self) -> float:
        """Coverage of intervals."""


class Compared(Kept, Protocol):
    """The part of ``Comparison`` that these rows are made of."""

    def scores(self, engine: str) -> Scores:
        """Doubly robust scores of one engine."""


@dataclass(frozen=True, eq=False, repr=False)
class Reading(Table):
    """A table with a paragraph under it, ``reading``: what its rows say, in words."""

    @property
    def reading(self) -> str:
        """The paragraph."""
        return str(self.meta["reading"])

    def to_text(self, *, long: bool | None = None, stars: bool = False, width: int | None = None) -> str:
        """The table, and the paragraph under it."""
        above = super().to_text(long=long, stars=stars, width=width)
        return f"{above}\n\n{fill(visible(self.reading), min(width or page_width(), WIDEST_NOTE))}"

    def to_markdown(self, long: bool | None = None) -> str:
        """The table, and the paragraph under it."""
        return f"{super().to_markdown(long)}\n\n{markdown_sentence(self.reading)}"

    def to_html(self, long: bool | None = None) -> str:
        """The table, and the paragraph under it."""
        return f"{super().to_html(long)}<p>{html.escape(visible(self.reading))}</p>"


KEPT = (
    "n",
    "n_clusters",
    "cluster",
    "names",
    "folds",
    "seed",
    "level",
    "versions",
    "dropped",
    "treated_share",
)


def guard_of(compared: Compared) -> Guard:
    """What an exception does that nobody foresaw: as ``compare`` was asked."""
    return Guard(getattr(compared, "on_error", "row"))


def read(
    rows: Iterable[Estimate], meta: Mapping[str, Any], reading: str, guard: Guard | None = None
) -> Reading:
    """Rows under the comparison's meta, without what is true of its own rows alone; with the tracebacks of ``guard``."""
    kept = {key: meta[key] for key in KEPT if key in meta} | {"reading": reading, "form": "rows"}
    return Reading(tuple(rows), kept if guard is None else guard.noted(kept))


def study_scores(study: Study, value: Any = None) -> Scores:
    """Clusters and weights of a study, for errors of what has no scores of its own; ``gamma`` is ``value`` or zero."""
    import numpy as np

    gamma = np.zeros(study.n) if value is None else value
    return Scores(gamma, study.weight, study.cluster, cluster_name=study.names.cluster)


def able(compared: Compared, least: int = 2) -> dict[str, Fit]:
    """Fits with held-out predictions, by engine.

    Raises
    ------
    InvalidOption
        If there are fewer than ``least``.
    """
    found = {name: fit for name, fit in compared.fits.items() if fit.heldout is not None}
    if len(found) < least:
        said = "; ".join(
            f"{name}: {fit.reasons.get('*', 'no held-out predictions')}"
            for name, fit in compared.fits.items()
            if name not in found
        )
        raise InvalidOption(
            f"Rows about two engines need two with held-out predictions. {len(found)} found ({', '.join(found) or 'none'})"
            f"{f'; {said}' if said else ''}. Add another engine to compare()."
        )
    return found
