"""Further questions to one engine's scores: groups, projection, pre-trends, event times against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hte_bridge.adoption import Adoption
from hte_bridge.alignment import Chosen, mask_of, numbers_of, some
from hte_bridge.arrays import Array
from hte_bridge.errors import InvalidData, InvalidOption, NotIdentified, nearest
from hte_bridge.estimands.group_labels import labels_of
from hte_bridge.estimands.groups import group_names
from hte_bridge.estimands.ties import FLAT, group_shares, varies
from hte_bridge.estimate import Estimate
from hte_bridge.language.expression import condition
from hte_bridge.language.formula import groups_of
from hte_bridge.scaling import Standard
from hte_bridge.staggered.aggregate import FAMILIES, OVERALL, Terms
from hte_bridge.staggered.effects import Effect, Scored
from hte_bridge.staggered.fits import AdoptionFit, chosen_cells
from hte_bridge.staggered.lines import difference, joint, largest_row, line, lines, wald_row
from hte_bridge.staggered.pointwise import slopes

Mask = npt.NDArray[np.bool_]


class StackRows:
    """The rows of the stack with the user's columns at the base period, as columns and labels are looked up in."""

    def __init__(self, study: Adoption) -> None:
        self.frame: pd.DataFrame | None = study.stacked[study.frame.columns]
        self.index = study.stacked.index
        self.dropped: Mapping[str, int] = {}


def row_labels(study: Adoption, by: Any, bins: int | Sequence[float] | None) -> tuple[Any, str]:
    """Group (N,) of each row of the stack, and the column's name: its value at the base period, or of a Series by row or by unit.

    ``by`` may be an expression on columns such as ``"x > 0"``.

    Raises
    ------
    InvalidOption, InvalidData
        If there is no such column, or labels are not by unit.
    """
    values, name = groups_of(StackRows(study), by) if isinstance(by, str) else labelled(study, by, "by")
    return labels_of(values, bins), name


def labelled(study: Adoption, by: Any, what: str) -> tuple[Any, str]:
    """What is labelled by row or by unit along the rows of the stack (N,), and its name.

    Raises
    ------
    InvalidOption, InvalidData
        If it has no labels, or they are neither rows nor units.
    """
    if isinstance(by, Mapping):
        by = pd.Series(by)
    if not isinstance(by, pd.Series):
        raise InvalidOption(
            f"`{what}` must be a column's name, an expression on columns, or a Series or mapping with one value for each unit. A "
            f"{type(by).__name__} was given. Label it by `{study.names.unit}`."
        )
    if by.index.equals(study.index):
        return by.to_numpy()[study.base_rows], str(by.name or "")
    if (
        by.index.is_unique and study.index.isin(by.index).all()
    ):  # by row, in another order or with further rows
        return by.reindex(study.index).to_numpy()[study.base_rows], str(by.name or "")
    if not by.index.is_unique:
        raise InvalidData(
            f"`{what}` must have one value for each unit. {by.index[by.index.duplicated()][0]} stands twice. Keep one."
        )
    at = by.reindex(study.unit_levels)
    if at.isna().all():
        raise InvalidData(
            f"`{what}` must be labelled by `{study.names.unit}`. None of its labels is a unit. Set its index to the units."
        )
    return at.to_numpy()[study.places], ""


def some_rows(study: Adoption, where: Any) -> tuple[Mask | None, str]:
    """Rows (N,) of the stack that a condition takes in at the base period, or all; and how many units it says nothing of.

    Raises
    ------
    InvalidOption, InvalidData
        If the condition cannot be read, holds other than yes and no, or takes no unit.
    """
    if where is None:
        return None, ""
    stack = StackRows(study)
    if isinstance(where, str) and stack.frame is not None:
        found = condition(where, stack.frame)
        chosen = Chosen(found.yes, int(found.missing.sum()))
        unknown = found.missing
    else:
        values = numbers_of(stack, np.asarray(labelled(study, where, "where")[0]), "where")
        chosen, unknown = mask_of(stack, values), np.isnan(values)
    of_units = np.bincount(study.places, weights=chosen.rows, minlength=study.n) > 0
    lost = len(np.unique(study.places[unknown]))
    some(Chosen(of_units, lost), "where")
    said = f"{lost:,} units whose condition is unknown before some treatment are in neither" if lost else ""
    return chosen.rows, said


def some_of(
    fit: AdoptionFit, of: str, member: Mask | None, head: str, note: str, level: float
) -> list[Estimate]:
    """Rows of one aggregation among some rows of the stack, under a name for these."""
    if member is None:
        return [row if not head else row.with_(term=f"{head}: {row.term}") for row in fit.family(of, level)]
    terms = FAMILIES[of](fit.study, fit.effects_of(member))
    rows = lines(of, _headed(head, terms), fit.study, level)
    return [row.with_(note="; ".join(filter(None, (row.note, note)))) for row in rows]


def family_of(name: str, what: str = "of") -> str:
    """The name of an aggregation, checked; ``what`` is what the argument is called."""
    if name not in FAMILIES:
        offer = nearest(name, FAMILIES, kind="They")
        raise InvalidOption(f"`{what}` must be one of {', '.join(FAMILIES)}. `{name}` is not. {offer}")
    return name


def gate_rows(
    fit: AdoptionFit,
    labels: Any,
    name: str,
    of: str,
    level: float,
    band: bool,
    estimand: str = "gate",
) -> list[Estimate]:
    """One aggregation in each group, differences of groups, and the test that they are equal.

    A group's effect is that of its own adopters against its own comparison units.
    """
    study = fit.study
    used = labels.remove_unused_categories()
    levels, codes = [str(each) for each in used.categories], np.asarray(used.codes)
    if len(levels) < 1:
        raise InvalidData(
            "Groups must be made of values. This column has none in the cells' units. Name another."
        )
    made: list[Terms] = [FAMILIES[of](study, fit.effects_of(codes == g)) for g in range(len(levels))]
    heads = [f"{name} = {each}" if name else each for each in levels]
    rows = [
        row
        for head, terms in zip(heads, made, strict=True)
        for row in lines(estimand, _headed(head, terms), study, level)
    ]
    apart = _apart(estimand, heads, rows, study)
    tested = [
        _equal(estimand, heads, made, term, study, level)
        for term in (dict.fromkeys(t for each in made for t in each))
    ]
    return [*(joint(rows, study) if band else rows), *(joint(apart, study) if band else apart), *tested]


def _headed(head: str, terms: Terms) -> Terms:
    """Terms under the name of a group; the one of all treated cells bears it alone."""
    return {
        head if term == OVERALL and len(terms) == 1 else f"{head}: {term}": each
        for term, each in terms.items()
    }


def _apart(estimand: str, heads: Sequence[str], rows: Sequence[Estimate], study: Adoption) -> list[Estimate]:
    """Each group less the first, term by term."""
    by_term = {row.term: row for row in rows}
    out = []
    for head in heads[1:]:
        for row in rows:
            if row.term == head or row.term.startswith(f"{head}: "):
                rest = row.term[len(head) :]
                first = by_term.get(heads[0] + rest)
                if first is not None:
                    out.append(difference(row, first, study, term=f"{head} - {heads[0]}{rest}"))
    return out


def _equal(
    estimand: str, heads: Sequence[str], made: Sequence[Terms], term: str, study: Adoption, level: float
) -> Estimate:
    """Wald test that an effect is the same in all groups."""
    name = "equal" if max(map(len, made)) == 1 else f"equal: {term}"
    there = [
        line(estimand, head, each[term], study, level)
        for head, each in zip(heads, made, strict=True)
        if term in each
    ]
    live = [row for row in there if row.std_error > 0]
    if len(live) < 2:
        return Estimate.missing(estimand, "fewer than two groups can be compared", term=name, level=level)
    off = [difference(row, live[0], study) for row in live[1:]]
    return wald_row(estimand, off, study, f"the {len(live)} groups have the same effect", name)


def sorted_rows(
    fit: AdoptionFit, cate: Array, fold: npt.NDArray[np.int64], groups: int, of: str, level: float, band: bool
) -> list[Estimate]:
    """One aggregation in groups of rows sorted by a held-out effect, within each cell and fold, and highest less lowest."""
    study = fit.study
    names = group_names(groups)
    cell = np.repeat(np.arange(len(study.cells)), np.diff(study.starts))
    within = np.unique(fold * len(study.cells) + cell, return_inverse=True)[1]
    if not varies(cate, within):
        return [
            Estimate.missing("gates", FLAT, term=term, level=level) for term in (*names, "highest - lowest")
        ]
    share = group_shares(cate, within, np.ones(len(cate)), groups)
    codes = np.where(share.max(axis=1) > 0, share.argmax(axis=1), -1)
    labels = pd.Categorical.from_codes(codes, pd.Index(names), ordered=True)
    rows = gate_rows(fit, labels, "", of, level, band, estimand="gates")
    ends = {row.term: row for row in rows}
    kept = [row for row in rows if " - " not in row.term]
    top = [
        difference(
            plain(row),
            plain(ends[names[0] + row.term[len(names[-1]) :]]),
            study,
            term=f"highest - lowest{row.term[len(names[-1]) :]}",
        )
        for row in kept
        if row.term.startswith(names[-1])
    ]
    return [*kept, *top]


def plain(row: Estimate) -> Estimate:
    """A row of a band with its own interval and p-value."""
    return row.with_(interval=None, test=None, vcov=row.vcov.partition(",")[0])


def projection_rows(
    study: Adoption,
    scored: Scored,
    design: Array,
    names: Sequence[str],
    event_time: float | None,
    level: float,
) -> list[Estimate]:
    """Coefficients of the effect on adopters on an intercept and columns ``design`` (N, k), and the test that all slopes are zero."""
    z = np.column_stack([np.ones(len(design)), design])
    size = Standard.of(z, centred=False).scale
    unit = np.where(size > 0, size, 1.0)
    beta, carried, influence, wide = slopes(study, scored, chosen_cells(study, event_time), z / unit)
    rows = []
    for j, name in enumerate(["(Intercept)", *names]):
        own = (float(beta[j] / unit[j]), influence[:, j] / unit[j], carried.lever, carried.members)
        part = Effect(*own, "", wide[:, j] / unit[j])
        rows.append(line("projection", name, part, study, level))
    said = f"all {len(names)} slopes are zero" if len(names) > 1 else "the slope is zero"
    return [*rows, wald_row("projection", rows[1:], study, said, "joint")] if len(names) else rows


def pretrend_rows(
    fit: AdoptionFit, level: float, member: Mask | None = None, head: str = ""
) -> list[Estimate]:
    """Tests that effects before treatment are zero: of leads, of cells, and by the largest lead.

    Raises
    ------
    NotIdentified
        If no cohort is seen twice before treatment.
    """
    study, effects = fit.study, fit.effects if member is None else fit.effects_of(member)
    early = [not cell.post and cell.event_time < -study.design.anticipation for cell in study.cells]
    if not any(early):
        raise NotIdentified(
            "A test of trends before treatment needs a cohort that is seen in three periods or more, two of them before its treatment is "
            "foreseen. There is none. Add earlier periods."
        )
    before = [
        each if is_early else Effect(np.nan, each.influence, each.lever, each.members, "later")
        for each, is_early in zip(effects, early, strict=True)
    ]
    leads = {term: each for term, each in FAMILIES["att_event"](study, before).items() if not each.lost}
    cells = {term: each for term, each in FAMILIES["att_gt"](study, before).items() if each.lost != "later"}
    lead_rows, cell_rows = (lines("pretrend", each, study, level) for each in (leads, cells))
    under = f"{head}: " if head else ""
    return [
        wald_row("pretrend", lead_rows, study, f"all {len(lead_rows)} leads are zero", f"{under}leads"),
        wald_row(
            "pretrend",
            cell_rows,
            study,
            f"all {len(cell_rows)} effects before treatment are zero",
            f"{under}cells",
        ),
        largest_row(
            "pretrend", lead_rows, study, f"all {len(lead_rows)} leads are zero", f"{under}largest lead"
        ),
    ]


def pairwise_rows(fit: AdoptionFit, of: str, level: float, band: bool) -> list[Estimate]:
    """Each term of an aggregation less each earlier one, and the test that all are the same."""
    study = fit.study
    terms = {term: each for term, each in FAMILIES[of](study, fit.effects).items() if term != OVERALL}
    if of == "att_event":
        terms = {term: each for term, each in terms.items() if float(term) >= 0}
    rows = [row for row in lines(of, terms, study, level) if not terms[row.term].lost]
    out = [
        difference(second, first, study, term=f"{second.term} - {first.term}")
        for first, second in combinations(rows, 2)
    ]
    live = [row for row in rows if row.std_error > 0]
    if len(live) < 2:
        return [*out, Estimate.missing(of, "fewer than two terms can be compared", term="equal", level=level)]
    off = [difference(row, live[0], study) for row in live[1:]]
    tested = wald_row(of, off, study, f"all {len(live)} terms are the same", "equal")
    return [*(joint(out, study) if band else out), tested]
