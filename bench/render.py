"""Turn the results under bench/results into docs/benchmarks.md, losses included.

python -m bench.render [--cross bench/results/cross] [--panel bench/results] [--to docs/benchmarks.md] [--readme README.md]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from math import inf, isfinite
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.cross_section import merge
from bench.growth import SCORING_JOBS, scoring
from bench.growth import read as growth_rows
from bench.growth import table as growth_table
from bench.metrics import table

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
HEAD = """# Benchmarks

Written by `python -m bench.render` from the files under `bench/results`; nothing here is typed by hand. Coverage is that of 95 % intervals of
tau(x) over 1,000 test points, the same in every draw; the worst decile is the lowest coverage among deciles of the true effect, each averaged over draws.
Size-adjusted length multiplies all half-widths by the one constant that makes mean coverage .95. Bias / sd and se / sd are means over forty test points.
MC is the Monte-Carlo error, from the spread between draws. The ATE's columns are of the table's row, from held-out scores, over as many draws as stand beside
them: of ours those made or asked again since no held-out prediction knows a treatment of its fold; those of the posterior's
average (`fit.average`) follow. The joint test's column is how often heterogeneity is claimed at 5 %, over the same draws of ours. Seconds are wall time per fit with one thread, on
machines that ran other work beside it or paused it; those of fits on a CUDA device, which other fits shared, stand apart. Rows are as of the commit that
stored them, save that the panels' errors of averages were multiplied by `Scores.inflation` later, and that from draw 10 on those of `dense_2000` are from before curves
were a candidate for its propensity (the first ten, asked again: MSE .045 as before, length .868 for .848), and from draw 1 on those of `farrell_nonlinear_10000`
from before pairs of the strongest covariates were asked for (the first again: MSE .294 for .295, length 2.02 for 1.99); a file under `bench/results` that is
removed is measured anew. Propensities are estimated unless the design is an experiment.
"""


def number(name: str, value: float) -> str:
    """A cell: counts whole, measures with three significant digits."""
    if pd.isna(value):
        return ""
    return f"{value:.0f}" if name in ("draws", "ate_draws") else f"{value:.3g}"


def verdict(bounds: Bounds, rows: pd.DataFrame, paired: Mapping[str, pd.DataFrame] | None = None) -> str:
    """Which required figures of a design our row meets and misses; empty where nothing is required or run.

    ``paired`` holds, by anchor, the rows on the draws that it shares with us; what is set against an anchor is read there.
    """
    words = []
    for measure, (low, high) in bounds.items():
        name, anchor = measure if isinstance(measure, Against) else (measure, "")
        of = {row["engine"]: row for _, row in (paired or {}).get(anchor, rows).iterrows()}
        if "deep" not in of or (anchor and anchor not in of) or pd.isna(of["deep"].get(name)):
            continue
        found = of["deep"][name] / (of[anchor][name] if anchor else 1.0)
        bound = (
            f"{low:g} to {high:g}"
            if isfinite(low) and isfinite(high)
            else f"{low if isfinite(low) else high:g}"
        )
        label = SHOWN.get(name, name.replace("_", " ")) + (f" over {anchor}'s" if anchor else "")
        words.append(f"{label} {found:.3g} {'meets' if low <= found <= high else '**misses**'} {bound}")
    return "; ".join(words)


def section(design: str, rows: pd.DataFrame, draws: pd.DataFrame) -> str:
    """Heading, verdict and table of one design, whose single draws are ``draws``."""
    used = [name for name in SHOWN if name in rows and rows[name].notna().any()]
    lines = [f"### {design}", ""]
    if design in PUBLISHED:
        lines += [f"Published: {PUBLISHED[design]}.", ""]
    bounds = MUST.get(design, {})
    anchors = {each.anchor for each in bounds if isinstance(each, Against)} & set(draws["engine"])
    if said := verdict(bounds, rows, {anchor: table(shared(draws, anchor)) for anchor in anchors}):
        lines += [f"Required: {said}.", ""]
    lines += ["| engine | " + " | ".join(SHOWN[name] for name in used) + " |", "|---" * (len(used) + 1) + "|"]
    for _, row in rows.iterrows():
        lines.append(f"| {row['engine']} | " + " | ".join(number(name, row[name]) for name in used) + " |")
    return "\n".join([*lines, ""])


def plain(rows: pd.DataFrame) -> str:
    """A table as it is."""
    head = "| " + " | ".join(rows.columns) + " |\n" + "|---" * len(rows.columns) + "|"
    cells = [
        ["" if pd.isna(v) else f"{v:.3g}" if isinstance(v, float) else str(v) for v in row]
        for row in rows.itertuples(index=False)
    ]
    return "\n".join([head, *("| " + " | ".join(row) + " |" for row in cells), ""])


FRONT = {  # designs on the first page, in words
    "nie_wager_A_500": "Nie and Wager A, n = 500",
    "nie_wager_B_500": "Nie and Wager B, n = 500",
    "nie_wager_D_500": "Nie and Wager D, n = 500",
    "hahn_nonlinear_het_500": "Hahn, Murray and Carvalho, n = 500",
    "dense_500": "one index of ten covariates, n = 500",
    "wager_athey_28_500": "Wager and Athey (28), n = 500",
    "grf_table1_800": "Athey, Tibshirani and Wager table 1, n = 800",
    "clustered_800": "40 clusters, n = 800",
    "villages_800": "20 of 40 villages treated, n = 800",
    "villages_4500": "75 of 150 villages treated, n = 4,500",
    "grf_table3_additive_4000": "Athey, Tibshirani and Wager table 3, n = 4,000",
    "uneven_treatment_500": "treated units vary more, n = 500",
    "uneven_covariate_500": "errors that vary with a covariate, n = 500",
    "long_tails_few_500": "one error in a hundred 20 times as wide, n = 500",
    "long_tails_student_500": "errors with Student's t, 3 degrees of freedom, n = 500",
    "survey_500": "dummies, a scale, a count and an age, n = 500",
    "regions_500": "a category of twelve levels, n = 500",
    "incomes_500": "covariates with long tails, n = 500",
    "rare_500": "an event that one unit in ten has, n = 500",
    "count_500": "a count, n = 500",
    "amount_500": "an amount with log-normal errors, n = 500",
    "dose_500": "a continuous treatment, n = 500",
}
BESIDE = {"deep": "`deep`", "grf": "grf", "bcf": "BCF", "feols": "feols"}
NOTHING = ("constant", "zero", "nie_wager_C")  # in the names of designs whose effect is constant
SIZE = 0.07  # of a test at 5 % where there is nothing to find
BEGIN, END = "<!-- intervals: made by bench/render.py -->", "<!-- end of intervals -->"


def front(rows: pd.DataFrame) -> str:
    """The first page's block: squared error, and coverage of 95 % intervals, of each engine on each design."""
    lines = ["| design | " + " | ".join(BESIDE.values()) + " |", "|---" * (len(BESIDE) + 1) + "|"]
    for design, words in FRONT.items():
        own = rows[rows["design"] == design].set_index("engine")
        cells = [cell(own.loc[name]) if name in own.index else "" for name in BESIDE]
        if "deep" in own.index:
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join([BEGIN, *lines, END])


def shared(rows: pd.DataFrame, anchor: str | None = None) -> pd.DataFrame:
    """Rows on the draws that our engine was run on and, if an ``anchor`` is named, rows of both on the draws that both were run on."""
    kept = rows.merge(rows.loc[rows["engine"] == "deep", ["design", "draw"]], on=["design", "draw"])
    if anchor is None:
        return kept
    both = kept[kept["engine"].isin(["deep", anchor])]
    return both.merge(both.loc[both["engine"] == anchor, ["design", "draw"]], on=["design", "draw"])


def nothing_to_find(rows: pd.DataFrame) -> str:
    """How often our joint test claims heterogeneity over all designs whose effect is constant."""
    chosen = rows["design"].map(lambda name: any(word in name for word in NOTHING)) & (
        rows["engine"] == "deep"
    )
    judged = rows[chosen & rows["joint_rejects"].notna()]
    own = judged["joint_rejects"]
    if own.empty:
        return ""
    share, met = own.mean(), "meets" if own.mean() <= SIZE else "**misses**"
    return (
        f"Nothing to find: over the {judged['design'].nunique()} designs with a constant effect the joint test of slopes claims heterogeneity in "
        f"{own.sum():.0f} of {len(own)} draws, {share:.3g} (MC {(share * (1 - share) / len(own)) ** 0.5:.2g}), which {met} {SIZE:g}.\n"
    )


def growth(folder: Path) -> list[str]:
    """Time and memory against rows, the ratio to grf, and new rows scored, from the files of `bench.growth`."""
    rows = growth_rows(folder)
    if rows.empty:
        return []
    parts = [
        "## Time and memory\n",
        "One fit, one thread (`python -m bench.growth`):\n",
        plain(growth_table(rows)),
    ]
    if (rows["part"] == "scoring").any():
        parts += [f"New rows scored with intervals, {SCORING_JOBS} cores:\n", plain(scoring(rows))]
    return [*parts, "![Seconds and peak memory of one fit against its rows](growth.png)\n"]


def cell(row: pd.Series) -> str:
    """Mean squared error / coverage (draws)."""
    return f"{row['mse']:.3f} / {row['coverage']:.2f} ({row['draws']:.0f})"


def render(cross: Path, panel: Path) -> str:
    """The page."""
    parts = [HEAD]
    rows = merge(cross) if cross.is_dir() else pd.DataFrame()
    if not rows.empty:
        device = rows.get("device", pd.Series("", rows.index)).fillna("")
        where = (rows["machine"] + device.map(lambda name: f", {name}" if name else "")).value_counts()
        parts.append(
            "Machines: " + ", ".join(f"{name} ({count:,} fits)" for name, count in where.items()) + ".\n"
        )
        parts.append("## Cross-sections\n")
        parts.append(nothing_to_find(rows))
        for design, part in table(rows).groupby("design", sort=False):
            parts.append(section(str(design), part, rows[rows["design"] == design]))
    if any(panel.glob("panel-*.parquet")):
        from bench.panel import table as panel_table

        panels = panel_table(panel)
        parts.append("## Panels\n")
        for design, own in panels.groupby("design", sort=False):
            if said := verdict(PANEL_MUST.get(str(design), {}), own):
                parts.append(f"* {design}: {said}.")
        parts += ["", plain(panels)]
    parts += growth(panel)
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cross", type=Path, default=Path("bench/results/cross"))
    parser.add_argument("--panel", type=Path, default=Path("bench/results"))
    parser.add_argument("--to", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument(
        "--readme", type=Path, default=Path("README.md"), help="page whose block is written anew"
    )
    asked = parser.parse_args()
    asked.to.write_text(render(asked.cross, asked.panel))
    before, rest = asked.readme.read_text().split(BEGIN)
    asked.readme.write_text(before + front(table(shared(merge(asked.cross)))) + rest.split(END)[1])


if __name__ == "__main__":
    main()
