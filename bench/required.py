"""What is required of each design, what was published of it, and whether our rows meet it."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import NamedTuple

import pandas as pd

PUBLISHED = {  # MSE of tau, or as said
    "nie_wager_A_500": "MSE .06 (best of 16 learners)",
    "nie_wager_B_500": "MSE .18",
    "nie_wager_C_500": "MSE .04",
    "nie_wager_D_500": "MSE .53",
    "nie_wager_A_1000": "MSE .05",
    "nie_wager_B_1000": "MSE .09",
    "nie_wager_C_1000": "MSE .02",
    "nie_wager_D_1000": "MSE .37",
    "hahn_nonlinear_het_500": "BCF rmse 1.0, coverage .92, length 3.4; causal RF 1.5, .73, 2.8",
    "grf_table1_800": "centred GRF MSE .091",
    "farrell_nonlinear_10000": "ATE coverage .905-.941, length .147-.166",
    "doubleml_500": "pointwise coverage .829-.970",
}


class Against(NamedTuple):
    """A measure of ours divided by an anchor's in the same run."""

    measure: str
    anchor: str


Measure = str | Against
Bounds = dict[Measure, tuple[float, float]]  # measure -> least and most that is allowed


def at_most(bound: float) -> tuple[float, float]:
    """Nothing above it."""
    return -inf, bound


def at_least(bound: float) -> tuple[float, float]:
    """Nothing below it."""
    return bound, inf


OTHER_HAHN: Bounds = {Against("rmse", "bcf"): at_most(1.0), "coverage": at_least(0.92)}
MUST: dict[str, Bounds] = {
    "nie_wager_A_500": {"mse": at_most(0.072), "coverage": at_least(0.93), "worst_decile": at_least(0.80)},
    "nie_wager_B_500": {"mse": at_most(0.21), "coverage": at_least(0.93), "worst_decile": at_least(0.80)},
    "nie_wager_C_500": {"mse": at_most(0.03), "coverage": at_least(0.93), "joint_rejects": at_most(0.07)},
    "nie_wager_D_500": {"mse": at_most(0.38), "coverage": at_least(0.93), "worst_decile": at_least(0.80)},
    "nie_wager_A_1000": {"mse": at_most(0.06), "coverage": at_least(0.93)},
    "nie_wager_B_1000": {"mse": at_most(0.13), "coverage": at_least(0.93)},
    "nie_wager_C_1000": {"mse": at_most(0.025), "coverage": at_least(0.93), "joint_rejects": at_most(0.07)},
    "nie_wager_D_1000": {"mse": at_most(0.40), "coverage": at_least(0.93)},
    "hahn_nonlinear_het_500": {
        "rmse": at_most(0.45),
        "coverage": at_least(0.93),
        "ate_covered": at_least(0.93),
    },
    "dense_500": {"rmse": at_most(0.52), "coverage": at_least(0.93)},
    "dense_2000": {"rmse": at_most(0.33), "coverage": at_least(0.93)},
    "wager_athey_28_500": {Against("mse", "grf"): at_most(1.05), "coverage": at_least(0.92)},
    "wager_athey_28_5000": {Against("mse", "grf"): at_most(1.05), "coverage": at_least(0.92)},
    "grf_table1_800": {Against("mse", "grf"): at_most(1.25), "coverage": at_least(0.92)},
    "grf_table3_additive_4000": {"coverage": at_least(0.92)},
    **{
        f"hahn_{shape}_{effect}_{n}": OTHER_HAHN
        for n in (500, 250)
        for shape in ("nonlinear", "linear")
        for effect in ("het", "constant")
        if (shape, effect, n) != ("nonlinear", "het", 500)
    },
    "farrell_nonlinear_10000": {"ate_covered": at_least(0.93), "ate_length": at_most(0.155)},
    "clustered_800": {"coverage": (0.92, 0.97)},
    "grf_table1_zero_800": {"joint_rejects": at_most(0.07)},
    "dense_constant_500": {"joint_rejects": at_most(0.07)},
    "clustered_constant_800": {"joint_rejects": at_most(0.07)},
}
EDGED: Bounds = {
    "coverage": at_least(0.92),
    "worst_decile": at_least(0.78),
    Against("mse", "grf"): at_most(1.0),
}
WITH_EDGES = ("steps", "one_step", "trees_401ksubs", "trees_fertil2", "trees_cps91")
MUST |= {f"{name}_{n}": EDGED for name in WITH_EDGES for n in (300, 700, 3_000, 10_000)}
PANEL_MUST: dict[str, Bounds] = {
    "linear_500k": {
        "error": at_most(1.0),
        "user_ratio": at_most(1.10),
        "vendor_ratio": at_most(1.10),
        "user_coverage": (0.93, 0.97),
        "vendor_coverage": (0.93, 0.97),
    },
    "constant_20k": {"joint_rejects": at_most(0.07)},
    "nonlinear_500k": {
        "error": at_most(2.0),
        "coverage": (0.93, 0.98),
        "worst_decile": at_least(0.90),
        "seconds": at_most(300),
        "memory_gb": at_most(4.0),
        "user_coverage": (0.93, 0.97),
        "vendor_coverage": (0.93, 0.97),
        "user_ratio": at_most(1.5),
        "vendor_ratio": at_most(1.5),
    },
    "nonlinear_16k": {"error": at_most(15), "coverage": at_least(0.92)},
    "three_way_200k": {"error": at_most(7), "coverage": at_least(0.93), "worst_decile": at_least(0.88)},
    "network_200k": {
        Against("error", "nets"): at_most(1.1),
        "coverage": at_least(0.92),
        "worst_decile": at_least(0.88),
    },
    **{
        name: {"coverage": at_least(0.92)}
        for name in ("shocks_50k", "interaction_50k", "few_users_20k", "moving_50k")
    },
}
SHOWN = {
    "draws": "draws",
    "mse": "MSE",
    "mse_mc": "(MC)",
    "rmse": "rmse",
    "coverage": "coverage",
    "coverage_mc": "(MC)",
    "worst_decile": "worst decile",
    "length": "length",
    "adjusted_length": "size-adj. length",
    "bias_over_sd": "bias / sd",
    "se_over_sd": "se / sd",
    "ate_draws": "ATE draws",
    "ate_covered": "ATE cov.",
    "ate_length": "ATE length",
    "posterior_ate_covered": "posterior ATE cov.",
    "posterior_ate_length": "posterior ATE length",
    "joint_rejects": "joint test",
    "seconds": "seconds",
    "device_seconds": "seconds, CUDA",
}


class Judged(NamedTuple):
    """A required figure of a design beside what was reached."""

    design: str
    label: str
    found: float
    low: float
    high: float
    draws: int

    @property
    def met(self) -> bool:
        """Within the bounds."""
        return self.low <= self.found <= self.high

    @property
    def bound(self) -> str:
        """The bounds in words."""
        if isfinite(self.low) and isfinite(self.high):
            return f"{self.low:g} to {self.high:g}"
        return f"at least {self.low:g}" if isfinite(self.low) else f"at most {self.high:g}"

    def __str__(self) -> str:
        return f"{self.label} {self.found:.3g} {'meets' if self.met else '**misses**'} {self.bound}"


def judged(
    design: str, bounds: Bounds, rows: pd.DataFrame, paired: Mapping[str, pd.DataFrame] | None = None
) -> list[Judged]:
    """Every required figure of a design that was measured.

    ``paired`` holds, by anchor, the rows on the draws that it shares with us; what is set against an anchor is read there.
    """
    found = []
    for measure, (low, high) in bounds.items():
        name, anchor = measure if isinstance(measure, Against) else (measure, "")
        of = {row["engine"]: row for _, row in (paired or {}).get(anchor, rows).iterrows()}
        if "deep" not in of or (anchor and anchor not in of) or pd.isna(of["deep"].get(name)):
            continue
        value = of["deep"][name] / (of[anchor][name] if anchor else 1.0)
        label = SHOWN.get(name, name.replace("_", " ")) + (f" over {anchor}'s" if anchor else "")
        found.append(Judged(design, label, float(value), low, high, int(of["deep"].get("draws", 0))))
    return found


def scoreboard(found: list[Judged]) -> str:
    """How many targets are met, which are not, and all of them by design."""
    if not found:
        return ""
    missed = [each for each in found if not each.met]
    head = f"Of {len(found)} targets {len(found) - len(missed)} are met."
    if missed:
        head += " Missed: " + "; ".join(
            f"{each.design}, {each.label} {each.found:.3g} ({each.bound})" for each in missed
        )
    lines = [
        head + ("." if missed else ""),
        "",
        "| design | draws | reached (target) | |",
        "|---|---|---|---|",
    ]
    for design in dict.fromkeys(each.design for each in found):
        own = [each for each in found if each.design == design]
        reached = "; ".join(f"{each.label} {each.found:.3g} ({each.bound})" for each in own)
        word = "met" if all(each.met for each in own) else "**missed**"
        lines.append(f"| {design} | {own[0].draws} | {reached} | {word} |")
    return "\n".join([*lines, ""])
