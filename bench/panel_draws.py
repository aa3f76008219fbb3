"""Designs of ``bench.panel``: their draws, their studies, and how an effect is judged against the true one."""

from __future__ import annotations

from typing import Any

import numpy as np

from hte_bridge.simulate.panel import Panel, adoption, panel

EVALUATED = 20_000  # rows at which beta is judged
NORMAL = 1.959963984540054
SMALL = {"n_users": 200, "n_vendors": 50}
DESIGNS: dict[str, dict[str, Any]] = {
    "linear_500k": {"beta": "linear", "n_rows": 500_000},
    "nonlinear_500k": {"beta": "nonlinear", "n_rows": 500_000},
    "nonlinear_200k": {"beta": "nonlinear", "n_rows": 200_000},
    "linear_200k": {"beta": "linear", "n_rows": 200_000},
    "nonlinear_16k": {"beta": "nonlinear", "n_rows": 16_000} | SMALL,
    "smooth_50k": {"beta": "smooth", "n_rows": 50_000},
    "three_way_200k": {"beta": "three_way", "n_rows": 200_000},
    "network_200k": {"beta": "network", "n_rows": 200_000},
    "threshold_700": {"beta": "threshold", "n_rows": 700, "n_users": 60, "n_vendors": 20, "n_periods": 8},
    "threshold_3k": {"beta": "threshold", "n_rows": 3_000, "n_users": 100, "n_vendors": 30, "n_periods": 8},
    "threshold_10k": {"beta": "threshold", "n_rows": 10_000} | SMALL,
    "constant_50k": {"beta": "constant", "n_rows": 50_000},
    "constant_20k": {"beta": "constant", "n_rows": 20_000},
    "shocks_50k": {"beta": "nonlinear", "n_rows": 50_000, "shock": 0.5, "cluster": "cell"},
    "interaction_50k": {"beta": "nonlinear", "base": "interaction", "n_rows": 50_000},
    "few_users_20k": {"beta": "nonlinear", "n_rows": 20_000, "n_users": 30, "cluster": "user"},
    "moving_50k": {"beta": "nonlinear", "n_rows": 50_000, "moving": 0.5},
    "staggered_3k": {"adoption": "staggered", "cluster": "user"},
    "once_3k": {"adoption": "once", "cluster": "user"},
    "two_periods_2k": {
        "adoption": "once",
        "n_units": 1_000,
        "n_periods": 2,
        "correlation": 0.0,
        "cluster": "user",
    },
    "states_1k": {
        "adoption": "staggered",
        "n_units": 48,
        "n_periods": 20,
        "correlation": 0.8,
        "cluster": "user",
    },
    "nonlinear_2k": {"beta": "nonlinear", "n_rows": 2_000, "n_users": 60, "n_vendors": 20, "n_periods": 8},
}


def draw_of(design: str, seed: int) -> tuple[Panel, str | None]:
    """The panel of a design, and the column of its clusters."""
    options = dict(DESIGNS[design])
    cluster = options.pop("cluster", None)
    if "adoption" in options:
        return adoption(options.pop("adoption"), **options, seed=seed), cluster
    return panel(**options, seed=seed), cluster


def evaluated(n: int) -> np.ndarray:
    """Rows at which beta is judged."""
    return np.arange(0, n, max(1, n // EVALUATED))


def judge(estimate: np.ndarray, std_error: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Error as % of the sd of beta (of one where beta is constant), coverage, worst decile, lengths."""
    miss, spread = estimate - truth, float(truth.std())
    scale = spread if spread > 1e-9 else 1.0
    found = {
        "error": 100 * float(np.sqrt(np.mean(miss**2))) / scale,
        "bias": 100 * float(miss.mean()) / scale,
    }
    if not np.isfinite(std_error).all():
        return found
    hit = np.abs(miss) <= NORMAL * std_error
    edges = np.quantile(truth, np.linspace(0, 1, 11)[1:-1])
    decile = np.searchsorted(edges, truth)
    needed = float(np.quantile(np.abs(miss) / std_error, 0.95))
    length = 2 * NORMAL * float(std_error.mean())
    return found | {
        "coverage": float(hit.mean()),
        "worst_decile": float(min(hit[decile == k].mean() for k in np.unique(decile))),
        "length": length,
        "adjusted_length": length * needed / NORMAL,
        "se_over_rmse": float(np.sqrt(np.mean(std_error**2)) / np.sqrt(np.mean(miss**2))),
    }


def study_of(draw: Panel, cluster: str | None) -> Any:
    """The study of a draw."""
    import hte_bridge as hb

    return hb.Study.from_frame(
        draw.frame(),
        outcome="y",
        treatment="t",
        covariates=list(draw.columns),
        fixed_effects=list(draw.labels),
        cluster=cluster,
    )
