"""The paragraph for a paper's data section, and what a reader needs to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hte_bridge.estimand import known
from hte_bridge.format.words import listed
from hte_bridge.report.citations import giving, is_kernel, works
from hte_bridge.table import Table

ENGINES = {
    "feols": "a linear regression (feols)",
    "grf": "a causal forest (grf)",
    "deep": "a Bayesian linear model of features, some of which neural networks found (deep)",
}
KERNEL = "a Gaussian process, with nuisances stacked from Gaussian processes, linear models and neural networks (deep)"
LISTED = 10  # covariates named before the rest is counted


def methods(table: Table) -> str:
    """What was done, in the order of the work, with the sources in brackets."""
    meta, names = table.meta, table.meta.get("names") or {}
    engines = giving(table)
    said = [_question(names, meta)]
    if engines:
        said.append(f"Effects come from {listed([_engine(name, table) for name in engines])}")
    if any(known(row.estimand).scored for row in table.rows):
        whole = ", which keep clusters whole," if meta.get("n_clusters") else ""
        folds = f" {meta['folds']} folds{whole} or out-of-bag votes" if meta.get("folds") else " folds"
        said.append(
            "Every engine's predictions for a unit come from models that did not see it, by"
            f"{folds}; one doubly robust score per unit is built from them by the same formula for each engine, and "
            "averages and projections of these scores give the rows"
        )
    if meta.get("n_clusters"):
        by = f" by {meta['cluster']}" if meta.get("cluster") else ""
        said.append(f"Standard errors are clustered{by} ({meta['n_clusters']:,} clusters)")
    if meta.get("dropped"):
        total = sum(meta["dropped"].values())
        said.append(
            f"{total:,} rows were dropped ({'; '.join(f'{k}: {v:,}' for k, v in meta['dropped'].items())})"
        )
    cited = [work.short for work in works(table)]
    said.append(f"Methods follow {listed(cited)}" if cited else "")
    return " ".join(f"{each}." for each in said if each)


def _engine(name: str, table: Table) -> str:
    return KERNEL if name == "deep" and is_kernel(table) else ENGINES.get(name, name)


def _question(names: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
    if not names:
        return ""
    share = meta.get("treated_share")
    units = f" in {meta['n']:,} units" if meta.get("n") else ""
    treated = f", {share:.1%} of them treated" if share is not None else ""
    covariates, controls = (list(names.get(role) or ()) for role in ("covariates", "controls"))
    effects = list(names.get("fixed_effects") or ())
    given = f", given {listed(_short(covariates))}" if covariates else ""
    given += f", adjusted for {listed(_short(controls, 'controls'))} too" if controls else ""
    absorbed = f", with fixed effects of {listed(effects)}" if effects else ""
    weighted = f", weighted by {names['weight']}" if names.get("weight") else ""
    return f"We estimate the effect of {names['treatment']} on {names['outcome']}{units}{treated}{given}{absorbed}{weighted}"


def rebuild(table: Table) -> list[tuple[str, str]]:
    """Names and values of all that decides the numbers: columns, sample, folds, seed, options, versions."""
    meta, names = table.meta, table.meta.get("names") or {}
    pairs = [(role.replace("_", " "), _plain(names.get(role))) for role in names]
    for key in ("n", "n_clusters", "treated_share", "folds", "seed", "level"):
        pairs.append((key.replace("_", " "), _plain(meta.get(key))))
    pairs += [(f"dropped: {reason}", f"{count:,}") for reason, count in (meta.get("dropped") or {}).items()]
    pairs += [
        (f"propensity, {engine}", f"{low:.4f} to {high:.4f}")
        for engine, (low, high) in (meta.get("propensity") or {}).items()
    ]
    pairs += [
        (f"options, {engine}", _plain({key: value for key, value in info.items() if key != "traceback"}))
        for engine, info in (meta.get("engines") or {}).items()
    ]
    pairs += [(f"seconds, {engine}", f"{value:g}") for engine, value in (meta.get("seconds") or {}).items()]
    pairs += [(f"version, {name}", str(value)) for name, value in (meta.get("versions") or {}).items()]
    return [(name, value) for name, value in pairs if value]


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_plain(each)}" for key, each in value.items() if each is not None)
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _short(names: Sequence[str], what: str = "covariates") -> list[str]:
    more = len(names) - LISTED
    return [*names[:LISTED], f"{more} more {what}"] if more > 1 else list(names)
