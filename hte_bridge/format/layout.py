"""A table as strings: cells, notes beneath it and numbered footnotes, before any format writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hte_bridge.format.figures import DASH, Figures, figures
from hte_bridge.shown import first_names, visible

if TYPE_CHECKING:
    from hte_bridge.estimate import Estimate, HasRows

STARS = ((0.01, "***"), (0.05, "**"), (0.1, "*"))
QUIET_VERSIONS = ("numpy", "pandas")  # named in the report, not under the printed table


@dataclass(frozen=True)
class Layout:
    """A table as strings: what every format writes.

    Parameters
    ----------
    heads : tuple of str
    cells : tuple of tuple of str
        One tuple per row, as many cells as heads.
    marks : tuple of tuple of int
        Numbers of the footnotes of each row.
    footnotes : tuple of str
        Footnote k is number k + 1.
    notes : tuple of str
        Sentences under the table that are true of all of it.
    breaks : tuple of int
        Rows before which a new estimand begins.
    """

    heads: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    marks: tuple[tuple[int, ...], ...]
    footnotes: tuple[str, ...]
    notes: tuple[str, ...]
    breaks: tuple[int, ...]


def layout(table: HasRows, stars: bool = False) -> Layout:
    """Cells, notes and footnotes of a table; engines that answer the same question stand together."""
    rows = together(table.rows)
    engine_notes = table.meta.get("notes") or {}
    footnotes: list[str] = []
    marks = []
    written = [cells(row, each, stars) for row, each in zip(rows, figures(rows), strict=True)]
    for row in rows:
        sentences = row_notes(row, engine_notes.get(row.engine, ()))
        footnotes += [each for each in sentences if each not in footnotes]
        marks.append(tuple(sorted({footnotes.index(each) + 1 for each in sentences})))
    return Layout(
        heads=("engine", "estimand", "term", "estimate", "std. error", f"{coverage(rows)} interval", "p"),
        cells=tuple(written),
        marks=tuple(marks),
        footnotes=tuple(map(_line, footnotes)),
        notes=(*map(_line, notes(rows, table.meta)), *([star_note()] if stars else [])),
        breaks=_breaks([row.estimand for row in rows]),
    )


def _line(text: str) -> str:
    """A sentence as one line: R's messages have several."""
    return visible(" ".join(text.split()))


def _breaks(estimands: Sequence[str]) -> tuple[int, ...]:
    """Where another estimand begins, unless both have a single row."""
    changed = [i for i in range(1, len(estimands)) if estimands[i] != estimands[i - 1]]
    return tuple(
        i for i in changed if max(estimands.count(estimands[i]), estimands.count(estimands[i - 1])) > 1
    )


def together(rows: Sequence[Estimate]) -> list[Estimate]:
    """Rows ordered by estimand, then term, then engine, each in order of first appearance."""
    estimands = list(dict.fromkeys(row.estimand for row in rows))
    keys = list(dict.fromkeys((row.estimand, row.term) for row in rows))
    keys.sort(key=lambda key: estimands.index(key[0]))
    order = {key: i for i, key in enumerate(keys)}
    return sorted(rows, key=lambda row: order[row.estimand, row.term])


def cells(row: Estimate, by: Figures, stars: bool) -> tuple[str, ...]:
    """One row as strings."""
    ends = (by.text(row.conf_low), by.text(row.conf_high))
    star = next((mark for bound, mark in STARS if row.p_value < bound), "") if stars else ""
    return (
        visible(row.engine),
        visible(row.estimand),
        visible(row.term),
        by.text(row.estimate) + star,
        by.error(row.std_error),
        _test(row) or (DASH if DASH in ends else f"[{ends[0]}, {ends[1]}]"),
        p_value(row.p_value),
    )


def _test(row: Estimate) -> str:
    """The statistic of a row that is a test and nothing else, in the place of its interval."""
    only = row.test is not None and not math.isfinite(row.estimate) and math.isfinite(row.statistic)
    return f"statistic {row.statistic:.3g}" if only else ""


def p_value(value: float) -> str:
    """Three decimals, or that it is smaller.

    Examples
    --------
    >>> p_value(0.0312), p_value(1e-9)
    ('0.031', '<0.001')
    """
    if not math.isfinite(value):
        return DASH
    return "<0.001" if value < 0.0005 else f"{value:.3f}"


def listed(names: Sequence[str]) -> str:
    """Words in a row.

    Examples
    --------
    >>> listed(["age", "sex", "school"])
    'age, sex and school'
    """
    named = list(map(str, names))
    return ", ".join(named[:-1]) + f" and {named[-1]}" if len(named) > 1 else "".join(named)


def coverage(rows: Sequence[Estimate]) -> str:
    """``"95 %"``, or nothing where rows differ in their level."""
    levels = {row.level for row in rows}
    return f"{100 * levels.pop():g} %" if len(levels) == 1 else "conf."


def row_notes(row: Estimate, of_engine: Sequence[str]) -> list[str]:
    """A row's notes as footnotes: those its engine says of every row apart from its own."""
    own = row.note
    said = [note for note in of_engine if note in own]
    for note in said:
        own = own.replace(note, "")
    own = "; ".join(part.strip() for part in own.split("; ") if part.strip(" ;"))
    return [sentence(each) for each in [own, *said] if each]


def sentence(text: str) -> str:
    """Text with a capital and a stop; a symbol and an engine's name keep their case.

    Examples
    --------
    >>> sentence("overlap is weak"), sentence("n = 100"), sentence("grf: few trees")
    ('Overlap is weak.', 'n = 100.', 'grf: few trees.')
    """
    text = text.strip()
    kept = text[1:2] == " " or text.split(" ")[0].endswith(":")  # a symbol or an engine's name
    first = text[:1] if kept else text[:1].upper()
    return (first + text[1:]).rstrip(".") + "." if text else ""


def notes(rows: Sequence[Estimate], meta: Mapping[str, Any]) -> list[str]:
    """What a reader needs to rebuild the table: a sentence a line, warnings first."""
    lines = [f"Warning: {each}" for each in meta.get("warnings") or ()]
    lines += [_model(meta.get("names") or {}), _sample(rows, meta), _overlap(meta), _errors(rows)]
    made = [
        f"{meta['folds']} folds" if meta.get("folds") else "",
        f"seed {meta['seed']}" if "seed" in meta else "",
    ]
    versions = [f"{k} {v}" for k, v in (meta.get("versions") or {}).items() if k not in QUIET_VERSIONS]
    lines += [", ".join(filter(None, made)), f"Versions: {', '.join(versions)}" if versions else ""]
    return [sentence(line) for line in lines if line]


def _model(names: Mapping[str, Any]) -> str:
    """``outcome got, treatment any; covariates age, distvct``."""
    if not names:
        return ""
    parts = [f"outcome {names.get('outcome')}, treatment {names.get('treatment')}"]
    for role, word in (("covariates", "covariates"), ("fixed_effects", "fixed effects")):
        if named := list(names.get(role) or ()):
            parts.append(f"{word} {first_names(named)}")
    parts += [f"{role} {names[role]}" for role in ("weight", "propensity") if names.get(role)]
    return "; ".join(parts)


def _sample(rows: Sequence[Estimate], meta: Mapping[str, Any]) -> str:
    n = meta.get("n")
    parts = [f"n = {n:,}"] if n else []
    if meta.get("n_clusters"):
        by = f" ({meta['cluster']})" if meta.get("cluster") else ""
        parts.append(f"{meta['n_clusters']:,} clusters{by}")
    if meta.get("treated_share") is not None:
        parts.append(f"treated {meta['treated_share']:.1%}")
    dropped = meta.get("dropped") or {}
    if dropped:
        reasons = "; ".join(f"{reason}: {count:,}" for reason, count in dropped.items())
        parts.append(f"{sum(dropped.values()):,} rows dropped ({reasons})")
    others = sorted({row.n_obs for row in rows if row.n_obs and n and row.n_obs != n})
    if others:
        parts.append(f"some rows use {', '.join(f'{each:,}' for each in others[:6])} units")
    return ", ".join(parts)


def _overlap(meta: Mapping[str, Any]) -> str:
    ranges = meta.get("propensity") or {}
    said = [f"{low:.3f} to {high:.3f} ({engine})" for engine, (low, high) in ranges.items()]
    return f"Propensity {', '.join(said)}" if said else ""


def _errors(rows: Sequence[Estimate]) -> str:
    """Which law each interval comes from: vcov and degrees of freedom, by estimand where they differ."""
    used = [row for row in rows if row.vcov and row.std_error > 0]
    laws = {
        vcov: [row for row in used if row.vcov == vcov] for vcov in dict.fromkeys(row.vcov for row in used)
    }
    said = []
    for vcov, members in laws.items():
        users = dict.fromkeys(row.estimand for row in members)
        shared = any(row.estimand in users and row.vcov != vcov for row in used)
        if shared:  # the same estimand by another law too: the engine tells them apart
            users = dict.fromkeys(f"{row.engine} {row.estimand}" for row in members)
        where = f" ({', '.join(users)})" if len(laws) > 1 else ""
        said.append(f"{vcov}, {_law(members)}{where}")
    return f"Standard errors: {'; '.join(said)}" if said else ""


def _law(rows: Sequence[Estimate]) -> str:
    low, high = min(row.df for row in rows), max(row.df for row in rows)
    if math.isinf(low):
        return "normal"
    if math.isinf(high):
        return f"t with {low:,.0f} df or more"
    return f"t with {low:,.0f} df" if low == high else f"t with {low:,.0f} to {high:,.0f} df"


def star_note() -> str:
    """What the stars mean."""
    return ", ".join(f"{mark} p < {bound:g}" for bound, mark in STARS) + "."
