"""Rows of an engine: its own and those made from its scores, with its notes, and without the errors that its study cannot defend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import wraps
from inspect import isfunction, signature
from typing import Any, TypeVar

import numpy as np

from hte_bridge.checks import effective_by_way
from hte_bridge.crossed import crossed
from hte_bridge.engine import NO_ERROR, Fit
from hte_bridge.errors import HteBridgeError, NotIdentified
from hte_bridge.estimands.large import spilled
from hte_bridge.faults import Fault, Guard
from hte_bridge.scores import Scores
from hte_bridge.scores import scores as scores_of
from hte_bridge.study import SHORT, UNDEFENDED, Study
from hte_bridge.table import Estimate, Table

Kind = TypeVar("Kind")
JOINTS = (" - ", " & ")  # between the names of two engines
BARE: dict[str, Any] = {"std_error": np.nan, "test": None, "interval": None, "influence": None}
OTHER_ERRORS = ("with_vcov", "wild_bootstrap", "randomisation", "adjusted")  # as they were asked for
INNER = ("fit", "scores", "per_engine", "save")  # no questions: what they raise says enough


def engine_scores(fit: Fit) -> Scores:
    """Scores of a fit, or the engine's reason for having none."""
    if fit.heldout is None:
        raise NotIdentified(fit.reasons.get("*", "This engine has no held-out predictions for this study."))
    return scores_of(fit.study, fit.heldout)


def engine_rows(
    name: str, fit: Fit, estimand: str, make: Callable[[Fit], list[Estimate]], level: float, guard: Guard
) -> list[Estimate]:
    """Rows of one estimand under the engine's name and notes; a sentence in place of numbers it cannot give.

    Whatever else goes wrong is a row too, and ``guard`` keeps its traceback.
    """
    size = {"n_obs": fit.study.n, "n_clusters": fit.study.n_clusters, "level": level, "engine": name}
    reason = fit.reasons.get(estimand) or (fit.reasons.get("*") if fit.heldout is None else None)
    if reason:
        return [Estimate.missing(estimand, reason, **size)]
    try:
        with guard(name, f"`{estimand}` of `{name}`"):
            return [spilled(under(name, fit, row), fit.study.outcome) for row in make(fit)]
    except HteBridgeError as error:
        return [Estimate.missing(estimand, str(error), **size)]


def distinct(rows: Iterable[Estimate]) -> tuple[Estimate, ...]:
    """Rows of which no two have the same engine, estimand and term: a repeated term is numbered.

    Examples
    --------
    >>> [row.term for row in distinct([Estimate("gate", 1.0, term="a"), Estimate("gate", 2.0, term="a")])]
    ['a', 'a (2)']
    """
    out: list[Estimate] = []
    taken: set[tuple[str, str, str]] = set()
    seen: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        key = (row.engine, row.estimand, row.term)
        while key in taken:
            seen[row.engine, row.estimand, row.term] += 1
            number = seen[row.engine, row.estimand, row.term] + 1
            key = (row.engine, row.estimand, f"{row.term} ({number})".strip())
        taken.add(key)
        out.append(row if key[2] == row.term else row.with_(term=key[2]))
    return tuple(out)


def again_by_engine(
    table: Table, verb: str, again: Callable[[list[Estimate]], list[Estimate]], guard: Guard
) -> Table:
    """The rows with other errors, one engine at a time: where that fails, its estimates stay and say why."""
    made: dict[str, Iterator[Estimate]] = {}
    for name in dict.fromkeys(row.engine for row in table.rows):
        rows = [row for row in table.rows if row.engine == name]
        try:
            with guard(name, f"`{verb}` of `{name}`"):
                made[name] = iter(again(rows))
        except Fault as fault:
            made[name] = iter([row.with_(**BARE, note=str(fault)) for row in rows])
    return Table(tuple(next(made[row.engine]) for row in table.rows), guard.noted(table.meta))


def verbs(comparison: type[Kind]) -> type[Kind]:
    """The class with its questions guarded: what fails in one outside the engines is a sentence too (``faults.Fault``)."""
    for name, method in list(vars(comparison).items()):
        if isfunction(method) and not name.startswith("_") and name not in INNER:
            setattr(comparison, name, _asked(method))
    return comparison


def _asked(method: Callable[..., Any]) -> Callable[..., Any]:
    takes = signature(method)

    @wraps(method)
    def asked(self: Any, *args: Any, **options: Any) -> Any:
        takes.bind(self, *args, **options)  # an argument that there is not is the caller's fault
        with Guard(self.on_error)(method.__name__, f"`{method.__name__}`"):
            answer = method(self, *args, **options)
            if not isinstance(answer, Table):
                return answer
            answer = without_errors(answer, self.fits)
            if method.__name__ in OTHER_ERRORS or getattr(self.study, "second_cluster", None) is None:
                return answer
            return replace(answer, rows=tuple(crossed(answer.rows, self.study)))

    return asked


def without_errors(table: Table, fits: Mapping[str, Fit]) -> Table:
    """A verb's rows, also those of two engines, with no error where that of an engine in them cannot be defended."""
    whys = {name: fit.info[NO_ERROR] for name, fit in fits.items() if NO_ERROR in fit.info}
    if not whys:
        return table
    rows = []
    for row in table.rows:
        why = next((said for name, said in whys.items() if _names(row, name)), "")
        said = {} if why in row.note else {"note": why}
        rows.append(row.with_(**BARE, **said) if why else row)
    return replace(table, rows=tuple(rows))


def _names(row: Estimate, engine: str) -> bool:
    """Whether a row is one of the engine, alone or beside another."""
    ends = [f"{engine}{joint}" for joint in JOINTS], [f"{joint}{engine}" for joint in JOINTS]
    return (
        row.engine == engine or row.engine.startswith(tuple(ends[0])) or row.engine.endswith(tuple(ends[1]))
    )


def under(name: str, fit: Fit, row: Estimate) -> Estimate:
    """A row under the engine's name, with the engine's notes added to its own; without an error where its study cannot defend one."""
    of_row = getattr(fit, "notes_of", None)
    notes = [note for note in (fit.notes if of_row is None else of_row(row)) if note]
    changes = dict[str, Any]()
    few = fit.study.undefended and "randomisation" not in row.vcov
    if few and (row.std_error > 0 or row.test is not None or row.interval is not None):
        notes.append(too_few(fit.study))
    if few or NO_ERROR in fit.info:
        changes = dict(BARE)
    if notes:
        changes["note"] = "; ".join(notes)
    return row.with_(engine=name, **changes)


def too_few(study: Study) -> str:
    """Why rows of this study have no error, or that theirs are too small; empty with enough clusters."""
    found = study.effective_clusters
    if found >= SHORT:
        return ""
    what, count = (f"clusters of `{study.names.cluster}`" if study.clustered else "units"), study.n_clusters
    if study.second_cluster is not None and found < effective_by_way(study)[0]:
        what, count = f"clusters of `{study.names.second_cluster}`", int(study.second_cluster.max()) + 1
    lies_in = f"few {what}, as in {found:.1f} of equal size (of {count:,})"
    panel = bool(study.fixed_effects.shape[1])
    return few_words(lies_in, study.names.treatment, found >= UNDEFENDED, panel=panel)


def few_words(lies_in: str, treatment: str, defended: bool, *, panel: bool) -> str:
    """The sentence for a treatment whose variation lies in few clusters; ``lies_in`` says in how many."""
    lies = f"the variation of `{treatment}` lies in {lies_in}, and errors from their residuals are too small"
    if not defended:
        way = (
            "compare the estimate with placebo treatments of untreated units (Conley and Taber, 2011)"
            if panel
            else "`randomisation()` tests without them"
        )
        return f"no interval: {lies} by far; {way}"
    return f"intervals are too short: {lies}"
