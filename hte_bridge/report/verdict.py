"""The answer first, in three sentences by rules: is there an effect; does it differ and for whom; would another engine say so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hte_bridge.errors import HteBridgeError
from hte_bridge.estimate import Estimate
from hte_bridge.format.figures import figures_of
from hte_bridge.format.words import listed
from hte_bridge.report.reading import contrasts
from hte_bridge.table import Table

ALPHA = 0.05
MAIN = ("ate", "ape", "ato", "att", "coefficient")  # the first that the table has is the answer
NO_RANKING = "so nobody is said to gain more than others"
EFFECTS = ("ate", "ape")


def answer(table: Table) -> list[str]:
    """Three sentences on a table, or fewer where it has no rows for them.

    An effect is there only where the interval of every engine excludes zero on one side; effects differ only where every engine's test
    says so; a covariate is named only where its slope, adjusted for reading all of them (Holm 1979), is off zero for every engine.
    """
    said = [
        each for part in contrasts(table) for each in (effect(part), differs(part.rows), engines_agree(part))
    ]
    return [f"{each}." for each in said if each]


def effect(table: Table) -> str:
    """Whether there is an effect: only where every interval there is excludes zero, on the same side."""
    names = table.meta.get("names") or {}
    outcome = f"`{names['outcome']}`" if names.get("outcome") else "the outcome"
    treatment = f"`{names['treatment']}`" if names.get("treatment") else "the treatment"
    rows = _main(table.rows)
    if not rows:
        return "Whether there is an effect these data cannot tell: no engine gives an average effect"
    by = figures_of([row for row in rows if row.std_error > 0] or rows, kept=2, least=0)
    live = [row for row in rows if math.isfinite(row.conf_low) and math.isfinite(row.conf_high)]
    kind = rows[0].estimand.upper() if rows[0].estimand != "coefficient" else "coefficient"
    if not live:
        sizes = listed([f"{by.text(row.estimate)} ({row.engine})" for row in rows])
        return f"Whether {treatment} changes {outcome} cannot be told: {kind} {sizes}, with no interval that can be defended"
    level = f"{100 * live[0].level:g} %"
    sizes = listed(
        [
            f"{by.text(row.estimate)} [{by.text(row.conf_low)}, {by.text(row.conf_high)}]{f' ({row.engine})' if row.engine else ''}"
            for row in live
        ]
    )
    sides = {_side(row) for row in live}
    numbers = f"{kind} {sizes}, {level} intervals"
    if sides in ({1}, {-1}):
        verb = "raises" if sides == {1} else "lowers"
        return f"There is an effect: on average {treatment} {verb} {outcome}, and no interval holds zero ({numbers})"
    if 1 in sides and -1 in sides:
        return f"Whether {treatment} raises or lowers {outcome} cannot be told: engines contradict each other ({numbers})"
    some = "every interval holds zero" if sides == {0} else "the intervals of some engines hold zero"
    return f"Whether {treatment} changes {outcome} on average cannot be told: {some} ({numbers})"


def differs(rows: Sequence[Estimate]) -> str:
    """Whether effects differ, and for whom: no ranking where no heterogeneity is found by every test there is."""
    tests = _tests(rows)
    if not tests:
        return f"Whether the effect differs between units this table does not test, {NO_RANKING}"
    shown = f"{tests[0][1]}, p = {listed([_p(row) for row, _ in tests])}"
    found = [row.p_value < ALPHA for row, _ in tests]
    if not any(found):
        return f"That the effect differs between units is not found ({shown}), {NO_RANKING}; that is no proof that all gain alike"
    if not all(found):
        return f"Whether the effect differs between units cannot be told: engines' tests disagree ({shown}), {NO_RANKING}"
    named = _covariates(rows, [row.engine for row, _ in tests])
    whom = (
        f"it is {listed(named)}" if named else "for whom, no single covariate says once all are allowed for"
    )
    return f"The effect differs between units ({shown}): {whom}"


def engines_agree(table: Table) -> str:
    """Whether engines differ by more than chance: by paired differences where the units are there, by nothing else."""
    rows = _main(table.rows)
    if len({row.engine for row in rows}) < 2:
        return ""
    low, high = (pick(rows, key=lambda row: row.estimate) for pick in (min, max))
    by = figures_of([row for row in rows if row.std_error > 0] or rows, kept=2, least=0)
    span = f"estimates run from {by.text(low.estimate)} ({low.engine}) to {by.text(high.estimate)} ({high.engine})"
    paired = [row for row in _differences(table, rows[0].estimand) if math.isfinite(row.p_value)]
    if not paired:
        return f"Whether engines would disagree this table cannot test: {span}; `differences()` of the comparison can"
    least = min(paired, key=lambda row: row.p_value)
    p = min(1.0, least.p_value * len(paired))
    adjusted = f"p = {_number(p)}{f', adjusted for {len(paired)} pairs' if len(paired) > 1 else ''}"
    size = f"{least.engine} is {figures_of([least], kept=2, least=0).text(least.estimate)}, {adjusted}"
    if p < ALPHA:
        return f"Engines disagree by more than chance: {size}; {span}"
    return f"Another engine would not answer otherwise, as far as these data tell: {span} ({size})"


def _main(rows: Sequence[Estimate]) -> list[Estimate]:
    """Rows of the one average that answers, over all units."""
    for name in MAIN:
        found = [row for row in rows if row.estimand == name and math.isfinite(row.estimate)]
        found = [row for row in found if row.term == found[0].term]
        if found:
            return found
    return []


def _side(row: Estimate) -> int:
    return 1 if row.conf_low > 0 else -1 if row.conf_high < 0 else 0


def _tests(rows: Sequence[Estimate]) -> list[tuple[Estimate, str]]:
    """The table's tests of effects that differ: of all slopes, else of groups, else of a ranking; one kind, every engine."""
    kinds = (
        ("projection", "joint", "joint test of all slopes"),
        ("gates", "equal", "test that sorted groups are equal"),
        ("gate", "equal", "test that groups are equal"),
        ("rate", "autoc", "test of the ranking"),
    )
    for estimand, term, what in kinds:
        found = [row for row in rows if row.estimand == estimand and row.term.split(": ")[-1] == term]
        live = [(row, what) for row in found if math.isfinite(row.p_value)]
        if live:
            return live
    return []


def _covariates(rows: Sequence[Estimate], engines: Sequence[str]) -> list[str]:
    """Covariates with which the effect goes, by the slopes of every engine, each family adjusted after Holm (1979)."""
    slopes = [
        row for row in rows if row.estimand == "projection" and row.term not in ("(Intercept)", "joint")
    ]
    sides: dict[str, set[int]] = {}
    for engine in engines:
        own = sorted(
            (row for row in slopes if row.engine == engine and math.isfinite(row.p_value)),
            key=lambda row: row.p_value,
        )
        running = 0.0
        for k, row in enumerate(own):
            running = max(running, row.p_value * (len(own) - k))
            side = (1 if row.estimate > 0 else -1) if running < ALPHA else 0
            sides.setdefault(row.term, set()).add(side)
    return [
        f"{'larger' if each == {1} else 'smaller'} where `{term}` is larger"
        for term, each in sides.items()
        if each in ({1}, {-1})
    ]


def _differences(table: Table, estimand: str) -> Sequence[Estimate]:
    """Paired differences of one average, where the table has its units; a sentence of ours why not is no fault of the page."""
    asked: Any = table
    if not getattr(table, "fits", None):
        return []
    try:
        made = asked.differences()
    except HteBridgeError:
        return []
    return [row for row in made.rows if row.estimand == estimand and "less" not in row.term]


def _p(row: Estimate) -> str:
    return f"{_number(row.p_value)}{f' ({row.engine})' if row.engine else ''}"


def _number(p: float) -> str:
    return f"{p:.3f}" if p >= 0.0005 else "below 0.001"
