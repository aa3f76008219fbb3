"""How intervals are judged: coverage, worst decile, length, size-adjusted length, error, and their Monte-Carlo errors.

A draw is reduced to ``judge``'s few numbers; ``summarise`` puts draws of one design and engine together. Test points are the same in
every draw of a design, so that bias and spread at a point can be told apart (``probes`` of them are kept).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from hte_bridge import digest
from hte_bridge.arrays import Array

NORMAL = float(stats.norm.ppf(0.975))
MULTIPLES = np.geomspace(0.1, 10, 93)  # of the half-width, at which coverage is kept: a step is five per cent
PROBES = 40


def of_other_code(rows: pd.DataFrame) -> str:
    """A line that says how many draws of a folder were made by code other than this; empty where none was.

    Examples
    --------
    >>> of_other_code(pd.DataFrame({"code": ["a"]}))
    '1 of 1 draws there were made by other code, and stand as they are: delete them to make them anew.\\n'
    """
    own = int((rows["code"] == digest.code()).sum()) if "code" in rows else 0
    if own == len(rows):
        return ""
    return (
        f"{len(rows) - own:,} of {len(rows):,} draws there were made by other code, and stand as they are: delete them to make "
        "them anew.\n"
    )


def judge(estimate: Array, std_error: Array, truth: Array) -> dict[str, Any]:
    """Measures of one draw over its test points (m,).

    Examples
    --------
    >>> found = judge(np.array([1.0, 2.0]), np.array([1.0, 0.1]), np.array([1.5, 3.0]))
    >>> found["coverage"], found["mse"]
    (0.5, 0.625)
    """
    miss = estimate - truth
    found: dict[str, Any] = {
        "mse": float(np.mean(miss**2)),
        "bias": float(miss.mean()),
        "correlation": float(np.corrcoef(estimate, truth)[0, 1])
        if min(truth.std(), estimate.std()) > 1e-12
        else np.nan,
    }
    probes = np.linspace(0, len(truth) - 1, PROBES).astype(int)
    found |= {"probe_miss": miss[probes].tolist(), "probe_error": std_error[probes].tolist()}
    if not np.isfinite(std_error).all():
        return found
    distance = np.abs(miss) / np.maximum(std_error, 1e-12)
    hit = distance <= NORMAL
    decile = deciles(truth)
    return found | {
        "coverage": float(hit.mean()),
        "by_decile": [float(hit[decile == k].mean()) for k in range(decile.max() + 1)],
        "length": float(2 * NORMAL * std_error.mean()),
        "coverage_at": [float((distance <= NORMAL * each).mean()) for each in MULTIPLES],
    }


def deciles(truth: Array) -> npt.NDArray[np.int64]:
    """Decile (m,) of each true effect: ten groups, fewer where values tie, one where the effect is constant."""
    edges = np.unique(np.quantile(truth, np.linspace(0.1, 0.9, 9)))
    groups = np.searchsorted(edges, truth, side="left")
    return np.unique(groups, return_inverse=True)[1]


def monte_carlo(values: Array) -> float:
    """Standard error of a mean over draws."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def summarise(draws: pd.DataFrame) -> dict[str, float]:
    """One row of the table from the draws of one design and engine.

    The worst decile is the lowest of the deciles' coverages, each averaged over draws first: the minimum within each draw would
    measure noise. Size-adjusted length: all half-widths times the one constant that makes mean coverage .95.
    """
    found = {
        "draws": float(len(draws)),
        "mse": float(draws["mse"].mean()),
        "mse_mc": monte_carlo(draws["mse"].to_numpy()),
    }
    found |= {"rmse": found["mse"] ** 0.5, "correlation": float(draws["correlation"].mean())}
    misses, errors = (np.array(draws[name].tolist(), dtype=float) for name in ("probe_miss", "probe_error"))
    if len(draws) > 2:
        spread = np.maximum(misses.std(axis=0, ddof=1), 1e-12)
        found["bias_over_sd"] = float(np.mean(np.abs(misses.mean(axis=0)) / spread))
        found["se_over_sd"] = float(np.mean(errors.mean(axis=0) / spread))
    covered = draws.dropna(subset=["coverage"]) if "coverage" in draws else draws.iloc[:0]
    if len(covered):
        at = np.array(covered["coverage_at"].tolist(), dtype=float).mean(axis=0)
        scale = float(np.interp(0.95, at, MULTIPLES)) if at[-1] >= 0.95 else float("nan")
        found |= {
            "coverage": float(covered["coverage"].mean()),
            "coverage_mc": monte_carlo(covered["coverage"].to_numpy()),
            "worst_decile": float(np.array(covered["by_decile"].tolist(), dtype=float).mean(axis=0).min()),
            "length": float(covered["length"].mean()),
            "adjusted_length": float(covered["length"].mean()) * scale,
        }
    for name in (
        "ate_covered",
        "ate_length",
        "joint_rejects",
        "seconds",
        "device_seconds",
        "posterior_ate_covered",
        "posterior_ate_length",
    ):
        if name in draws and draws[name].notna().any():
            found[name] = float(draws[name].astype(float).mean())
    if "ate_covered" in found:
        found["ate_draws"] = float(draws["ate_covered"].notna().sum())
    return found


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per design, n and engine."""
    groups = apart(results).groupby(["design", "n", "engine"], sort=False)
    return pd.DataFrame(
        [dict(zip(("design", "n", "engine"), key, strict=True)) | summarise(part) for key, part in groups]
    )


def apart(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the seconds of fits on a CUDA device in a column of their own, ``device_seconds``.

    Examples
    --------
    >>> rows = pd.DataFrame({"seconds": [9.0, 2.0], "device": ["", "H200"]})
    >>> apart(rows)[["seconds", "device_seconds"]].to_numpy().tolist()
    [[9.0, nan], [nan, 2.0]]
    """
    if "device" not in rows or "seconds" not in rows:
        return rows
    there = rows["device"].fillna("") != ""
    seconds = {"seconds": rows["seconds"].where(~there), "device_seconds": rows["seconds"].where(there)}
    return rows.assign(**seconds)
