"""Which benchmarks of a table of sensitivities are shown: those that matter most, in ten rows."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from hte_bridge.estimate import Estimate

BESIDE = "beside a confounder"
STRONGEST = 3  # covariates whose like are shown
LIKE = re.compile(rf"(?P<end>lowest|highest) effect {BESIDE} like (?P<name>.*)", re.DOTALL)
TIMES = re.compile(rf"coefficient: {BESIDE} (?P<times>[0-9]+) x (?P<name>.*)", re.DOTALL)
VALUE = re.compile(r"(coefficient: )?robustness value: (estimate|interval) to 0")


def concise(rows: Sequence[Estimate]) -> tuple[Estimate, ...]:
    """Robustness values, and of the benchmarks the bound nearer to zero and one time as strong, beside the strongest covariates.

    A covariate is as strong as the furthest that a confounder like it moves any engine's effect. A note says how many there were.

    Parameters
    ----------
    rows : sequence of Estimate
        Of ``sensitivity(benchmarks="all")``, every engine's.
    """
    likes, times = _strength(rows, LIKE), _strength(rows, TIMES)
    kept = [sorted(group, key=lambda name: -group[name])[:STRONGEST] for group in (likes, times)]
    out = []
    for row in rows:
        like, coefficient = LIKE.fullmatch(row.term), TIMES.fullmatch(row.term)
        if like and like["name"] in kept[0] and like["end"] == _nearer(rows, row):
            out.append(_said(row, len(likes)))
        elif coefficient and coefficient["name"] in kept[1] and coefficient["times"] == "1":
            out.append(_said(row, len(times)))
        elif VALUE.fullmatch(row.term) or (not np.isfinite(row.estimate) and not (like or coefficient)):
            out.append(row)
    return tuple(out)


def _said(row: Estimate, found: int) -> Estimate:
    note = f"the {STRONGEST} strongest of {found} covariates; benchmarks='all' has every one"
    return row.with_(note=note) if found > STRONGEST else row


def _strength(rows: Sequence[Estimate], pattern: re.Pattern[str]) -> dict[str, float]:
    """How far a confounder like each covariate moves an effect, relative to the most that any moves it."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        match = pattern.fullmatch(row.term)
        if match:
            found.setdefault(row.engine, {}).setdefault(match["name"], []).append(row.estimate)
    out: dict[str, float] = {}
    for by_name in found.values():
        every = [value for values in by_name.values() for value in values if np.isfinite(value)]
        centre = float(np.median(every)) if every else 0.0
        for name, values in by_name.items():
            moved = max((abs(value - centre) for value in values if np.isfinite(value)), default=np.inf)
            out[name] = max(out.get(name, 0.0), moved)
    return out


def _nearer(rows: Sequence[Estimate], row: Estimate) -> str:
    """Which bound of a pair is nearer to zero: the lowest of a positive effect."""
    name = LIKE.fullmatch(row.term)
    assert name is not None
    ends = [
        each.estimate
        for each in rows
        if each.engine == row.engine and (at := LIKE.fullmatch(each.term)) and at["name"] == name["name"]
    ]
    return "lowest" if sum(ends) >= 0 else "highest"
