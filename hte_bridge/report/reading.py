"""A table in plain language: what each block asks, what its rows say, and what its intervals mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hte_bridge.estimand import ESTIMANDS, known
from hte_bridge.format.figures import Figures, figures_of
from hte_bridge.format.words import listed
from hte_bridge.table import Estimate, Table

ALPHA = 0.05
LONGEST = 12  # sentences on a block without a reading of its own


@dataclass(frozen=True)
class Block:
    """Rows that answer one question.

    Parameters
    ----------
    title : str
    rows : tuple of Estimate
    means : tuple of (str, str)
        Estimand, and what it is.
    reading : tuple of str
        Sentences on these very numbers.
    """

    title: str
    rows: tuple[Estimate, ...]
    means: tuple[tuple[str, str], ...]
    reading: tuple[str, ...]


def blocks(table: Table) -> list[Block]:
    """The table cut into questions; estimands that are not known here have a block under their own name."""
    there = dict.fromkeys(row.estimand for row in table.rows)
    titles = {name: known(name).title or name.replace("_", " ").capitalize() for name in there}
    order = dict.fromkeys([*(each.title for each in ESTIMANDS.values() if each.title), *titles.values()])
    parts = [
        (title, Table(tuple(row for row in table.rows if titles[row.estimand] == title), table.meta))
        for title in order
    ]
    return [block(title, part) for title, part in parts if part.rows]


def block(title: str, table: Table) -> Block:
    """A whole table as the answer to one question."""
    return Block(title, table.rows, meanings(table.rows), tuple(readings(table.rows, table.meta)))


def meanings(rows: Sequence[Estimate]) -> tuple[tuple[str, str], ...]:
    """Each estimand of the rows with what it is."""
    return tuple(
        (name, _stop(known(name).means))
        for name in dict.fromkeys(row.estimand for row in rows)
        if known(name).means
    )


def contrasts(table: Table) -> list[Table]:
    """Of a table of several arms the rows of each contrast, as those of one treatment; of another the table itself."""
    if not table.meta.get("arms"):
        return [table]
    control, *others = table.meta["arms"]
    out = []
    for arm in others:
        name, said = f"{arm} - {control}", f"{arm} against {control}"
        rows = [
            row for row in table.rows if row.term == name or row.term.startswith((f"{name}: ", f"{name}, "))
        ]
        own = tuple(row.with_(term=row.term[len(name) + 2 :]) for row in rows)
        names = dict(table.meta.get("names") or {}) | {"treatment": said}
        out.append(Table(own, dict(table.meta) | {"arms": None, "names": names}))
    return out


def readings(rows: Sequence[Estimate], meta: Mapping[str, Any]) -> list[str]:
    """Sentences on the rows of one block; a table that brings its own paragraph is read by that."""
    if meta.get("reading"):
        return [str(meta["reading"])]
    if meta.get("arms"):
        return [
            said for part in contrasts(Table(tuple(rows), meta)) for said in readings(part.rows, part.meta)
        ]
    said = []
    for name in dict.fromkeys(row.estimand for row in rows):
        members, how = [row for row in rows if row.estimand == name], known(name).reads
        if how == "average":
            live = [row for row in members if math.isfinite(row.estimate)]
            said += [average([row for row in live if row.term == live[0].term], meta)] if live else []
        elif how == "slopes":
            said += [_slopes([row for row in members if row.term == "joint" and math.isfinite(row.p_value)])]
        elif how == "groups":
            said += [groups([row for row in members if row.engine == each]) for each in _engines(members)]
        elif how != "picture":  # a curve is read in its picture
            said += [plainly(row) for row in members if math.isfinite(row.estimate)][:LONGEST]
        said += [
            f"{row.engine or 'The table'} gives no {name}{f' ({row.term})' if row.term else ''}: {row.note}"
            for row in members
            if not math.isfinite(row.estimate) and row.test is None and row.note
        ]
    return [_stop(each) for each in said if each]


def average(rows: Sequence[Estimate], meta: Mapping[str, Any]) -> str:
    """One average effect by every engine, in words: sizes, and whose interval holds zero."""
    names = meta.get("names") or {}
    outcome, treatment = names.get("outcome") or "the outcome", names.get("treatment") or "the treatment"
    first = rows[0]
    unit = "one more unit of " if meta.get("treatment") == "continuous" or first.estimand == "ape" else ""
    term = f", {first.term}" if first.term and first.term != treatment else ""
    by = _figures([row for row in rows if row.std_error > 0] or [first])
    sizes = [f"{by.text(row.estimate)} ({row.engine})" for row in rows]
    verb = (
        "moves"
        if len({row.estimate > 0 for row in rows}) > 1
        else "raises"
        if first.estimate > 0
        else "lowers"
    )
    if verb == "lowers":
        sizes = [size.removeprefix("-") for size in sizes]
    head = f"{first.estimand}{term}: {unit}{treatment} {verb} {outcome} by {listed(sizes)}{known(first.estimand).whom}"
    return f"{head}; {_zero(rows)}"


def _zero(rows: Sequence[Estimate]) -> str:
    """Which intervals hold zero, and what that says."""
    bare = [row.engine for row in rows if not math.isfinite(row.conf_low)]
    live = [row for row in rows if row.engine not in bare]
    holds = [row.engine for row in live if row.conf_low <= 0 <= row.conf_high]
    level = f"{100 * rows[0].level:g} % "
    said = [f"{listed(bare)} {_has(bare)} no interval, so that says nothing about chance"] if bare else []
    if holds:
        said.append(
            f"the {level}interval of {listed(holds)} holds zero: no effect, and any effect inside it, fits the data"
        )
    elif live:
        said.append(
            f"no {level}interval holds zero" if len(live) > 1 else f"the {level}interval does not hold zero"
        )
    return "; ".join(said)


def _has(names: Sequence[str]) -> str:
    return "have" if len(names) > 1 else "has"


def groups(rows: Sequence[Estimate]) -> str:
    """Effects of one engine's groups: where they run from and to, and whether they differ."""
    live = [row for row in rows if math.isfinite(row.estimate) and " - " not in row.term]
    if not live:
        return ""
    low, high = min(live, key=lambda row: row.estimate), max(live, key=lambda row: row.estimate)
    clear = sum(not row.conf_low <= 0 <= row.conf_high for row in live if math.isfinite(row.conf_low))
    tests = [row for row in rows if row.term.split(": ")[-1] == "equal" and math.isfinite(row.p_value)]
    verdict = (
        "differ by more than chance"
        if tests and tests[0].p_value < ALPHA
        else "are not told apart by the data"
    )
    equal = f"; groups {verdict} (test of equality, p = {tests[0].p_value:.3f})" if tests else ""
    by = _figures(live)
    return (
        f"{low.engine} {low.estimand}: from {by.text(low.estimate)} ({low.term}) to "
        f"{by.text(high.estimate)} ({high.term}); {clear} of {len(live)} intervals lie off zero{equal}"
    )


def _engines(rows: Sequence[Estimate]) -> list[str]:
    return list(dict.fromkeys(row.engine for row in rows))


def plainly(row: Estimate) -> str:
    """Any other row in words."""
    name = " ".join(filter(None, [row.engine, row.estimand, row.term]))
    by = _figures([row])
    return f"{name}: {by.text(row.estimate)}{_verdict(row, by)}"


def _verdict(row: Estimate, by: Figures) -> str:
    if not (math.isfinite(row.conf_low) and math.isfinite(row.conf_high)):
        return "; it has no interval, so it says nothing about chance"
    ends = f" ({100 * row.level:g} % interval {by.text(row.conf_low)} to {by.text(row.conf_high)})"
    if row.conf_low <= 0 <= row.conf_high:
        return f"{ends}, not told from zero"
    return f"{ends}, zero lies outside"


def _slopes(rows: Sequence[Estimate]) -> str:
    """The joint tests of all engines in one sentence."""
    if not rows:
        return ""
    found = [row.p_value < ALPHA for row in rows]
    shown = f"joint test of all slopes, p = {listed([f'{row.p_value:.3f} ({row.engine})' for row in rows])}"
    if all(found):
        return (
            f"projection: the effect moves with the covariates ({shown}). Which one, the single rows suggest; they are not adjusted for "
            "reading several of them"
        )
    if any(found):
        return (
            f"projection: engines' tests disagree on whether the effect moves with the covariates ({shown})"
        )
    return f"projection: no linear pattern in the effect stands out from noise ({shown}). That is no proof that everybody gains alike"


BANDS = {
    "feols": "those of feols hold if the effect is linear in the covariates",
    "grf": "those of grf contain sampling noise but not the forest's bias, and cover less than they say where effects vary",
    "deep": "those of deep are posterior, made to cover on average over the units' covariates and not at each point, and lean on a prior",
}


def intervals(rows: Sequence[Estimate], bands: bool = False) -> list[str]:
    """What the intervals of these rows mean, by how they were formed; with ``bands`` also those drawn around CATEs."""
    labels = {row.vcov.split(" ")[0].lower() for row in rows if row.vcov and row.std_error > 0}
    levels = sorted({row.level for row in rows})
    said = [
        f"A {' or '.join(f'{100 * each:g} %' for each in levels)} interval is made so that, over repeated samples, it "
        "holds the truth so often. It covers chance from sampling, not a wrong design: effects are causal only as "
        "far as treatment is as good as random given the covariates."
    ]
    if any(label.startswith(("crv", "cluster")) for label in labels) or any("(" in row.vcov for row in rows):
        said.append(
            "Clustered errors let units of a cluster move together; what counts is the number of clusters."
        )
    if labels & {"hetero", "hc0", "hc1", "hc2", "hc3"}:
        said.append("Heteroskedasticity-robust errors let the noise differ between units.")
    if "posterior" in labels:
        said.append(
            "Posterior intervals come from the engine's own model of the effect and lean on its prior."
        )
    engines = dict.fromkeys(row.engine for row in rows if math.isfinite(row.estimate) and row.engine in BANDS)
    if bands and engines:
        said.append(f"Bands around CATEs are pointwise: {'; '.join(BANDS[name] for name in engines)}.")
    if any(not math.isfinite(row.std_error) and row.test is None for row in rows):
        said.append("A dash stands where no interval can be defended; the footnote says why.")
    return said


def _figures(rows: Sequence[Estimate]) -> Figures:
    """Two digits of the smallest error: a sentence needs no third."""
    return figures_of(rows, kept=2, least=0)


def _stop(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."
