"""Turn the results under bench/results into docs/benchmarks.md, losses included.

python -m bench.render [--cross bench/results/cross] [--panel bench/results] [--to docs/benchmarks.md] [--single docs/single_units.md]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from bench.cross_section import merge
from bench.growth import SCORING_JOBS, scoring
from bench.growth import read as growth_rows
from bench.growth import table as growth_table
from bench.metrics import table
from bench.required import MUST, PANEL_MUST, PUBLISHED, SHOWN, Against, Judged, judged, scoreboard
from bench.speed import CORES_MUST
from bench.speed import MUST as SPEED_MUST
from bench.speed import table as speed_table

SPEED = {
    "pairs": "Processor seconds of a whole comparison and of 1,000 effects with intervals, one thread, and the ratio to grf with 2,000 trees "
    "pair by pair (`python -m bench.speed`).",
    "cores": "Seconds on the clock of the same with one and with two folds side by side (`python -m bench.speed --cores 1000`).",
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
from before pairs of the strongest covariates were asked for (the first again: MSE .294 for .295, length 2.02 for 1.99); a draw under `bench/results` that is
removed is measured anew. Those of deep in cross-sections of up to 50,000 rows are of older engines: from before kinds of surface, nuisances without networks, and points in place of rows beyond 3,000. Propensities are estimated unless the design is an experiment.
"""


def number(name: str, value: float) -> str:
    """A cell: counts whole, measures with three significant digits."""
    if pd.isna(value):
        return ""
    return f"{value:.0f}" if name in ("draws", "ate_draws") else f"{value:.3g}"


def asked_of(design: str, rows: pd.DataFrame, draws: pd.DataFrame) -> list[Judged]:
    """Required figures of one cross-section, whose single draws are ``draws``."""
    bounds = MUST.get(design, {})
    anchors = {each.anchor for each in bounds if isinstance(each, Against)} & set(draws["engine"])
    return judged(design, bounds, rows, {anchor: table(shared(draws, anchor)) for anchor in anchors})


def section(design: str, rows: pd.DataFrame, found: list[Judged]) -> str:
    """Heading, what was published and required, and table of one design."""
    used = [name for name in SHOWN if name in rows and rows[name].notna().any()]
    lines = [f"### {design}", ""]
    if design in PUBLISHED:
        lines += [f"Published: {PUBLISHED[design]}.", ""]
    if found:
        lines += [f"Target: {'; '.join(map(str, found))}.", ""]
    lines += ["| engine | " + " | ".join(SHOWN[name] for name in used) + " |", "|---" * (len(used) + 1) + "|"]
    for _, row in rows.iterrows():
        lines.append(f"| {row['engine']} | " + " | ".join(number(name, row[name]) for name in used) + " |")
    return "\n".join([*lines, ""])


def glance(rows: pd.DataFrame) -> str:
    """One line per cross-section: squared error, coverage and worst decile of each engine."""
    lines = ["| design | " + " | ".join(BESIDE.values()) + " |", "|---" * (len(BESIDE) + 1) + "|"]
    for design, own in rows.set_index("engine").groupby("design", sort=False):
        cells = [
            f"{own.loc[name, 'mse']:.3g} / {own.loc[name, 'coverage']:.2f} / {own.loc[name, 'worst_decile']:.2f} ({own.loc[name, 'draws']:.0f})"
            if name in own.index
            else ""
            for name in BESIDE
        ]
        lines.append(f"| {design} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def plain(rows: pd.DataFrame) -> str:
    """A table as it is."""
    head = "| " + " | ".join(rows.columns) + " |\n" + "|---" * len(rows.columns) + "|"
    lines = ("| " + " | ".join(map(written, row)) + " |" for row in rows.itertuples(index=False))
    return "\n".join([head, *lines, ""])


def written(value: object) -> str:
    """A value of a plain table: three significant digits, thousands whole, nothing where there is none."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
    return str(value)


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
BESIDE = {"deep": "`deep`", "grf": "grf", "bcf": "BCF", "econml": "EconML", "feols": "feols"}
PANELS = """## Panels

Error is the root mean squared error of beta as a percentage of the standard deviation of beta, at up to 20,000 rows; coverage and worst decile are over these rows. A ratio is the rmse of recovered effects
over that of feols given the true beta(X).
"""
PANEL_EFFECT = {
    "rows": "rows",
    "error": "error, %",
    "error_mc": "(MC)",
    "bias": "bias, %",
    "coverage": "coverage",
    "coverage_mc": "(MC) ",
    "worst_decile": "worst decile",
    "length": "length",
    "adjusted_length": "size-adj. length",
    "se_over_rmse": "se / rmse",
    "seconds": "seconds",
    "device_seconds": "seconds, CUDA",
    "memory_gb": "GB",
    "published": "published",
}
PANEL_REST = {
    "ape_covered": "APE cov.",
    "ape_se": "APE se",
    "joint_rejects": "joint test",
    "heldout_error": "held-out error, %",
    "nugget": "nugget",
    "inflation": "design effect",
    "user_ratio": "unit ratio",
    "user_coverage": "unit cov.",
    "vendor_ratio": "vendor ratio",
    "vendor_coverage": "vendor cov.",
    "period_ratio": "period ratio",
    "period_coverage": "period cov.",
}
NOTHING = ("constant", "zero", "nie_wager_C")  # in the names of designs whose effect is constant
SIZE = 0.07  # of a test at 5 % where there is nothing to find
BEGIN, END = "<!-- intervals: made by bench/render.py -->", "<!-- end of intervals -->"


def front(rows: pd.DataFrame) -> str:
    """The block of docs/single_units.md: squared error, and coverage of 95 % intervals, of each engine on each design."""
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


def speed(folder: Path) -> list[str]:
    """A whole comparison beside grf's, pair by pair, and two cores beside one, from the files of `bench.speed`."""
    parts = []
    for part, said in SPEED.items():
        file = folder / f"speed-{part}.parquet"
        if file.exists():
            rows = pd.read_parquet(file)
            must = SPEED_MUST if part == "pairs" else dict.fromkeys(rows["n"], CORES_MUST)
            parts += [f"{said}\n", plain(speed_table(rows, must))]
    return parts


def cell(row: pd.Series) -> str:
    """Mean squared error / coverage (draws)."""
    return f"{row['mse']:.3f} / {row['coverage']:.2f} ({row['draws']:.0f})"


def panel_tables(panels: pd.DataFrame) -> list[str]:
    """Effects at rows of the panel; then what is averaged or recovered."""
    keys = ["design", "engine", "draws"]
    parts = []
    for names in (PANEL_EFFECT, PANEL_REST):
        own = panels.dropna(how="all", subset=[name for name in names if name in panels])
        own = own[[name for name in (*keys, *names) if name in own]].dropna(axis=1, how="all")
        parts.append(plain(own.rename(columns=names)))
    return [parts[0], "Average effects and recovered effects:\n", parts[1]]


def render(cross: Path, panel: Path) -> str:
    """The page."""
    found: list[Judged] = []
    body: list[str] = []
    machines = ""
    rows = merge(cross) if cross.is_dir() else pd.DataFrame()
    if not rows.empty:
        device = rows.get("device", pd.Series("", rows.index)).fillna("")
        where = (rows["machine"] + device.map(lambda name: f", {name}" if name else "")).value_counts()
        machines = (
            "Machines: " + ", ".join(f"{name} ({count:,} fits)" for name, count in where.items()) + ".\n"
        )
        summary = table(rows)
        body += ["## Cross-sections\n", nothing_to_find(rows)]
        body += ["Squared error / coverage / worst decile (draws):\n", glance(summary)]
        for design, part in summary.groupby("design", sort=False):
            own = asked_of(str(design), part, rows[rows["design"] == design])
            found += own
            body.append(section(str(design), part, own))
    if any(panel.glob("panel*.parquet")):
        from bench.panel import table as panel_table

        panels = panel_table(panel)
        for design, own in panels.groupby("design", sort=False):
            found += judged(str(design), PANEL_MUST.get(str(design), {}), own)
        body += [PANELS, *panel_tables(panels)]
    if (panel / "panel_forest.parquet").is_file():
        from bench.panel_forest import page

        body.append(page(pd.read_parquet(panel / "panel_forest.parquet")))
    if (panel / "adoption.parquet").is_file():
        from bench.adoption import page as adoption_page

        body.append(adoption_page(pd.read_parquet(panel / "adoption.parquet")))
    if (panel / "edges.parquet").is_file():
        from bench.edges import page as edges_page

        body.append(edges_page(pd.read_parquet(panel / "edges.parquet")))
    from bench.scale_page import page as scale_page

    parts = [
        HEAD,
        machines,
        "## Targets set beforehand, and what was reached\n",
        scoreboard(found),
        *body,
        *growth(panel),
        *speed(panel),
        scale_page(panel),
    ]
    return "\n".join(part for part in parts if part)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cross", type=Path, default=Path("bench/results/cross"))
    parser.add_argument("--panel", type=Path, default=Path("bench/results"))
    parser.add_argument("--to", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument(
        "--single", type=Path, default=Path("docs/single_units.md"), help="page whose block is written anew"
    )
    asked = parser.parse_args()
    asked.to.write_text(render(asked.cross, asked.panel))
    before, rest = asked.single.read_text().split(BEGIN)
    asked.single.write_text(before + front(table(shared(merge(asked.cross)))) + rest.split(END)[1])


if __name__ == "__main__":
    main()
