"""What stands under a table: what a reader needs to rebuild it, a sentence a line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hte_bridge.format.words import sentence
from hte_bridge.shown import first_names

if TYPE_CHECKING:
    from hte_bridge.estimate import Estimate

QUIET_VERSIONS = ("numpy", "pandas")  # named in the report, not under the printed table


def notes(rows: Sequence[Estimate], meta: Mapping[str, Any], where: str = "") -> list[str]:
    """What a reader needs to rebuild the table: a sentence a line, warnings first; ``where`` the errors stand."""
    lines = [f"Warning: {each}" for each in meta.get("warnings") or ()]
    lines += [
        _model(meta.get("names") or {}),
        _sample(rows, meta),
        _overlap(meta),
        _errors(rows, where),
        _joint(rows),
    ]
    made = [
        f"{meta['folds']} folds{meta.get('folds_by') or ''}" if meta.get("folds") else "",
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
    for role, word in (
        ("covariates", "covariates"),
        ("controls", "controls"),
        ("fixed_effects", "fixed effects"),
    ):
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
    if meta.get("n_second_clusters"):
        parts.append(
            f"{meta['n_second_clusters']:,} clusters ({(meta.get('names') or {}).get('second_cluster')})"
        )
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


def _errors(rows: Sequence[Estimate], where: str) -> str:
    """Which law each interval comes from: vcov and degrees of freedom, by estimand where they differ."""
    used = [row for row in rows if row.vcov and row.std_error > 0]
    laws = {
        vcov: [row for row in used if row.vcov == vcov] for vcov in dict.fromkeys(row.vcov for row in used)
    }
    said = []
    for vcov, members in laws.items():
        users = dict.fromkeys(row.estimand for row in members)
        if any(row.estimand in users for row in used if row.vcov != vcov):
            users = _told_apart(members, used)
        of = f" ({', '.join(users)})" if len(laws) > 1 else ""
        said.append(f"{vcov}, {_law(members)}{of}")
    head = f"Standard errors {where}".strip()
    return f"{head}: {'; '.join(said)}" if said else head * bool(where)


def _told_apart(members: Sequence[Estimate], used: Sequence[Estimate]) -> dict[str, None]:
    """Names of the rows of one law where another has rows of the same estimand: by engine, or else the fewer by their terms."""
    law = members[0].vcov
    engines = dict.fromkeys((row.engine, row.estimand) for row in members)
    if not any((row.engine, row.estimand) in engines for row in used if row.vcov != law):
        return dict.fromkeys(f"{engine} {estimand}" for engine, estimand in engines)
    estimands = dict.fromkeys(row.estimand for row in members)
    count = Counter(row.vcov for row in used if row.estimand in estimands)  # in order of first appearance
    if count.most_common(1)[0][0] == law:
        return estimands
    return dict.fromkeys(f"{row.estimand} {row.term}".strip() for row in members)


def _joint(rows: Sequence[Estimate]) -> str:
    """That intervals and p-values of some rows hold together."""
    joint = dict.fromkeys(row.estimand for row in rows if ", joint over " in row.vcov and row.std_error > 0)
    of = f" of {', '.join(joint)}" if len({row.estimand for row in rows}) > len(joint) else ""
    return (
        f"Intervals and p-values{of} are adjusted: they hold for all rows of an engine at once (sup-t)"
        if joint
        else ""
    )


def _law(rows: Sequence[Estimate]) -> str:
    low, high = min(row.df for row in rows), max(row.df for row in rows)
    if math.isinf(low):
        return "normal"
    if math.isinf(high):
        return f"t with {low:,.0f} df or more"
    ends = [f"{each:,.0f}" for each in (low, high)]
    return f"t with {' to '.join(dict.fromkeys(ends))} df"
