"""Size and coverage of rows about two engines: python bench/between.py [--draws 4000] [--only NAME ...].

True scores, or cheap learners where the learning is the claim. Beside each stands a naive version that must fail.
Writes bench/results/between.parquet and docs/between.md.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from inference import Claim, measure
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from hte_bridge import Feols, Folds, Meta, Stack, Study, compare
from hte_bridge.between.agreement import agreement
from hte_bridge.between.agreement import correlation as correlation_of
from hte_bridge.between.compared import study_scores
from hte_bridge.between.differences import difference
from hte_bridge.between.explain_gap import explain_gap
from hte_bridge.between.race import race
from hte_bridge.crossfit import PredictedFit
from hte_bridge.engine import HeldOut
from hte_bridge.estimands.averages import ate
from hte_bridge.scores import Scores, scores
from hte_bridge.table import Estimate

ROOT = Path(__file__).parent.parent
PARQUET, PAGE = ROOT / "bench" / "results" / "between.parquet", ROOT / "docs" / "between.md"
N, CLUSTERS = 400, 40
SLOW, SLOWER = ("learned", "race", "leaf", "stack"), 500  # claims that fit engines, and their draws
Rng = np.random.Generator


def experiment(rng: Rng, effect: float = 1.0, clusters: bool = False, known: bool = True) -> Study:
    """400 units, four covariates, treatment by coin, effect 1 + effect * x0."""
    x = rng.normal(size=(N, 4))
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(4)])
    group = np.arange(N) % CLUSTERS
    frame["d"] = rng.integers(0, 2, N)
    frame["y"] = x[:, 1] + x[:, 2] ** 2 + (1 + effect * x[:, 0]) * frame["d"] + rng.normal(size=N)
    frame["g"] = group
    if clusters:
        frame["y"] += 0.7 * rng.normal(size=CLUSTERS)[group]
    return Study.from_frame(
        frame,
        outcome="y",
        treatment="d",
        covariates=[f"x{j}" for j in range(4)],
        cluster="g" if clusters else None,
        propensity=0.5 if known else None,
    )


def unpaired(row: Estimate, other: Estimate) -> float:
    """p-value were the two rows of different units."""
    error = (row.std_error**2 + other.std_error**2) ** 0.5
    return Estimate("ate", row.estimate - other.estimate, error, df=min(row.df, other.df)).p_value


def known_scores(rng: Rng, paired: bool) -> bool:
    """Two engines that score the same units with the same mean, 40 clusters of ten."""
    cluster = np.arange(N) % CLUSTERS
    shared = rng.normal(size=N) + rng.normal(size=CLUSTERS)[cluster]
    own = [0.3 * rng.normal(size=CLUSTERS)[cluster] + 0.3 * rng.normal(size=N) for _ in range(2)]
    first, second = (Scores(1 + shared + each, cluster=cluster, cluster_name="g") for each in own)
    if paired:
        return difference(ate(first), ate(second), first).p_value < 0.05
    return unpaired(ate(first), ate(second)) < 0.05


def without_clusters(rng: Rng, honest: bool) -> bool:
    """The same, by villages that both engines err about together."""
    cluster = np.arange(N) % CLUSTERS
    gap = [rng.normal(size=CLUSTERS)[cluster] + 0.5 * rng.normal(size=N) for _ in range(2)]
    named = {"cluster": cluster, "cluster_name": "g"} if honest else {}
    first, second = (Scores(1 + each, **named) for each in gap)
    return difference(ate(first), ate(second), first).p_value < 0.05


def learned(rng: Rng, estimand: str, term: str, paired: bool) -> bool:
    """feols against a T-learner with ridge, propensity known: both rows estimate the same number."""
    study = experiment(rng)
    # against the coefficient the learner must see the curve: two lines are the same to first order, and never told apart
    learner = make_pipeline(PolynomialFeatures(2), Ridge(1.0)) if term else Ridge(100.0)
    table = compare(study, [Feols(), Meta("T", learner)], seed=1, estimands=["ate", "ato"])
    if paired:
        rows = [r for r in table.differences().rows if (r.estimand, r.term) == (estimand, term)]
        return rows[0].p_value < 0.05
    mine = next(r for r in table.rows if r.engine == "meta-T" and r.estimand == estimand)
    theirs = next(
        r for r in table.rows if r.engine == "feols" and r.estimand == ("coefficient" if term else estimand)
    )
    return unpaired(mine, theirs) < 0.05


def unknown(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """No effect at new rows: nothing here asks for one."""
    return np.full(len(frame), np.nan), np.full(len(frame), np.nan)


@dataclass(frozen=True, eq=False)
class Told:
    """An engine that is told its held-out predictions; ``Given`` without its checks for leaks, which cost a forest."""

    held: HeldOut
    name: str = "truth"

    def fit(self, study: Study, folds: Folds | None = None) -> PredictedFit:
        """The predictions."""
        return PredictedFit(self.name, study, self.held, unknown)


def truth(cate: np.ndarray, propensity: np.ndarray, base: np.ndarray) -> Told:
    """The true nuisances."""
    return Told(HeldOut(cate, base + propensity * cate, propensity))


def weighting(rng: Rng, honest: bool, curved: bool) -> bool:
    """Whether the interval of the part that weighting explains covers it; zero for a constant effect."""
    x = rng.normal(size=N)
    e = 1 / (1 + np.exp(-x))
    tau = x**2 if curved else np.ones(N)
    frame = pd.DataFrame({"d": (rng.random(N) < e) * 1.0, "x": x})
    frame["y"] = x + tau * frame["d"] + rng.normal(size=N)
    study = Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    rows = explain_gap(study, truth(tau, e, x), rows="complete").rows
    row = next(each for each in rows if each.term == "weighting")
    if not honest:  # as if the two estimates were of different units
        row = replace(row, std_error=rows[-1].std_error * 2**0.5)
    return row.conf_low <= (CURVED if curved else 0.0) <= row.conf_high


def overlap_part() -> float:
    """E[x^2] - E[e (1 - e) x^2] / E[e (1 - e)], x standard normal and e its logit, by quadrature."""
    x, weight = np.polynomial.hermite_e.hermegauss(80)
    overlap = weight * np.exp(-x) / (1 + np.exp(-x)) ** 2
    return float(1.0 - (overlap @ x**2) / overlap.sum())


CURVED = overlap_part()


def adds(rng: Rng, heldout: bool) -> bool:
    """feols said to add to a constant effect where the effect is constant."""
    study = experiment(rng, effect=0.0)
    engines = [Feols(), Meta("T", Ridge(1e9), label="flat")]
    if not heldout:
        fit = Feols().fit(study)
        held = fit.heldout
        cate = fit.cate(study.frame)["estimate"].to_numpy()
        engines[0] = Told(HeldOut(cate, held.outcome_mean, held.propensity), name="feols")
    row = next(
        r
        for r in race(compare(study, engines, seed=1, estimands=["ate"]), ranking="heldout").rows
        if r.engine == "feols" and r.term == "beyond constant"
    )
    return row.conf_low > 0


def parting(rng: Rng, honest: bool) -> bool:
    """Two CATEs that differ by noise are said to part in the first leaf of the tree."""
    study = experiment(rng, clusters=True)
    noise, flat = rng.normal(size=N), np.zeros(N)
    told = [Told(HeldOut(cate, flat, flat + 0.5), name=name) for name, cate in (("a", flat), ("b", noise))]
    table = compare(study, told, seed=int(rng.integers(1 << 30)), estimands=["ate"])
    if not honest:  # grown and measured on the same units
        from sklearn.tree import DecisionTreeRegressor

        leaf = (
            DecisionTreeRegressor(max_depth=2, min_samples_leaf=20, random_state=0)
            .fit(study.filled, noise)
            .apply(study.filled)
        )
        means = {each: noise[leaf == each] for each in np.unique(leaf)}
        far = max(means.values(), key=lambda values: abs(values.mean()))
        return abs(far.mean()) / (far.std(ddof=1) / len(far) ** 0.5) > 1.96
    rows = [row for row in agreement(table).rows if row.estimand == "parting"]
    return rows[int(rng.integers(len(rows)))].p_value < 0.05


def correlation(rng: Rng, honest: bool) -> bool:
    """The interval of a correlation of .6 between CATEs that move by village."""
    cluster = np.arange(N) % CLUSTERS
    common = rng.normal(size=CLUSTERS)[cluster] * 0.7 + rng.normal(size=N) * 0.51**0.5
    other = rng.normal(size=CLUSTERS)[cluster] * 0.7 + rng.normal(size=N) * 0.51**0.5
    study = experiment(rng, clusters=honest)
    pair = (common, 0.6 * common + 0.8 * other)
    row = correlation_of(*pair, study_scores(study), 0.95)
    return row.conf_low <= 0.6 <= row.conf_high


def stacked(rng: Rng, heldout: bool) -> bool:
    """The average effect of a stack, propensity learned."""
    study = experiment(rng, known=False)
    if heldout:
        fit = Stack([Feols(), Meta("T", Ridge(100.0))], n_folds=2).fit(study, Folds.make(study, 3, 1))
        row = ate(scores(study, fit.heldout))
    else:
        row = ate(scores(study, in_sample(study)))
    return row.conf_low <= 1.0 <= row.conf_high


def in_sample(study: Study) -> HeldOut:
    """Nearest neighbours that have seen the units they predict."""
    from sklearn.neighbors import KNeighborsRegressor

    x, t = study.filled, study.treatment
    mu = [KNeighborsRegressor(2).fit(x[t == arm], study.outcome[t == arm]).predict(x) for arm in (0.0, 1.0)]
    return HeldOut(mu[1] - mu[0], (mu[0] + mu[1]) / 2, np.full(study.n, 0.5))


SIZE = "rejections of a true null at 5 %"
COVER = "coverage of 95 % intervals"
CLAIMS = (
    Claim("difference of two ate, known scores", SIZE, 0.04, 0.06, lambda r: known_scores(r, True), lambda r: known_scores(r, False), "errors added as if unpaired"),
    Claim("difference of two ate, errors by village", SIZE, 0.04, 0.06, lambda r: without_clusters(r, True), lambda r: without_clusters(r, False), "clusters ignored"),
    Claim("difference of two ate, learned", SIZE, 0.03, 0.07, lambda r: learned(r, "ate", "", True), lambda r: learned(r, "ate", "", False), "errors added as if unpaired"),
    Claim("difference of two ato, learned", SIZE, 0.03, 0.07, lambda r: learned(r, "ato", "", True), lambda r: learned(r, "ato", "", False), "errors added as if unpaired"),
    Claim("ate less coefficient, learned", SIZE, 0.03, 0.07, lambda r: learned(r, "ate", "ate less coefficient", True), lambda r: learned(r, "ate", "ate less coefficient", False), "errors added as if unpaired"),
    Claim("gap: weighting, constant effect", COVER, 0.93, 0.97, lambda r: weighting(r, True, False), lambda r: weighting(r, False, False), "errors added as if unpaired"),
    Claim("gap: weighting, effect x^2", COVER, 0.93, 0.97, lambda r: weighting(r, True, True), lambda r: weighting(r, False, True), "errors added as if unpaired"),
    Claim("race: adds to a constant where none is", "false claims by a 95 % interval, at most 7 %", 0.0, 0.07, lambda r: adds(r, True), lambda r: adds(r, False), "predictions in-sample"),
    Claim("agreement: a leaf of pure noise", SIZE, 0.03, 0.07, lambda r: parting(r, True), lambda r: parting(r, False), "grown and measured on the same units"),
    Claim("agreement: correlation of .6, by village", COVER, 0.93, 0.97, lambda r: correlation(r, True), lambda r: correlation(r, False), "clusters ignored"),
    Claim("stack: ate", COVER, 0.93, 0.97, lambda r: stacked(r, True), lambda r: stacked(r, False), "predictions in-sample"),
)  # fmt: skip


def page(frame: pd.DataFrame) -> str:
    """The table as markdown."""
    lines = [
        "# Rows about two engines: size and coverage",
        "",
        "Made by `python bench/between.py`. Each claim stands beside a naive version that fails it.",
        "",
        "Two limits. Where two rows agree to first order they are told apart less often than the level says: `ate` of a",
        "T-learner of ridge lines less the coefficient was rejected in 1 of 200 data sets (the line below has a learner that",
        "sees the curve). And *adds* was meant to be claimed falsely in at most 2.5 %, as its interval is two-sided; it is",
        "claimed in some 5 %, so a bare exclusion of zero is evidence at the 5 % level and no more.",
        "",
        "| claim | counted | bounds | rate (Monte-Carlo error) | naive version | its rate | draws |",
        "|:--|:--|:--|--:|:--|--:|--:|",
    ]
    for row in frame.itertuples():
        lines.append(
            f"| {row.claim} | {row.counted} | {row.low:g} to {row.high:g} | {row.rate:.3f} ({row.mc_error:.3f}) | "
            f"{row.naive} | {row.naive_rate:.3f} | {row.draws:,} |"
        )
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> int:
    """Measure, write, and return 1 where a claim fails or its naive version holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", nargs="*", help="claims whose name holds one of these words; other lines stay"
    )
    options = parser.parse_args(arguments)
    chosen = [c for c in CLAIMS if not options.only or any(word in c.name for word in options.only)]
    for claim in chosen:
        slow = any(word in claim.name for word in SLOW)
        keep(measure([claim], min(options.draws, SLOWER) if slow else options.draws, options.seed))
    frame = pd.read_parquet(PARQUET)
    PAGE.write_text(page(frame), encoding="utf8")
    return int(not frame["holds"].all() or bool(frame["naive_holds"].any()))


def keep(made: pd.DataFrame) -> None:
    """Put a claim's line into the file, in the place of an earlier one."""
    PARQUET.parent.mkdir(parents=True, exist_ok=True)
    found = pd.read_parquet(PARQUET) if PARQUET.exists() else made.iloc[:0]
    names = [claim.name for claim in CLAIMS]
    frame = pd.concat([found[~found["claim"].isin(made["claim"])], made] if len(found) else [made])
    frame = frame[frame["claim"].isin(names)].sort_values("claim", key=lambda each: each.map(names.index))
    frame.reset_index(drop=True).to_parquet(PARQUET)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
