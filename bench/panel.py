"""Panels of designs.md: our error, coverage and length beside feols and plain networks, on the same draws.

    python bench/panel.py --designs nonlinear_200k,linear_500k --engines deep,feols_true --draws 3 --jobs 2 --out DIR

Every draw is written as it finishes and is not run again; the table is printed from what is there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from bench.cross_section import machine
from bench.forests import causalfe, demeaned, grf
from bench.metrics import apart, of_other_code
from bench.panel_draws import NORMAL, draw_of, evaluated, judge, study_of
from hte_bridge.simulate.panel import Panel

KEY, MERGED = ["design", "engine", "draw"], "panels.parquet"
TRUE_TERMS = {
    "linear": "a + b + U0 + V1",
    "nonlinear": "sin_a + tanh_b + U0V1 + U1_2 + hinge + gate",
}
PUBLISHED = {
    "linear_500k": "feols 12 terms .33 %; dual network 13.8 %",
    "nonlinear_500k": "feols true .24 %, 91 terms 24.2 %; dual network 16.5 %",
    "nonlinear_16k": "grf 46-50 %, coverage .52-.58",
}


def deep(draw: Panel, cluster: str | None, seed: int) -> dict[str, Any]:
    """Our row: effect, average partial effect, recovered effects."""
    import hte_bridge as hb
    from hte_bridge.engines.deep.store.threads import threads
    from hte_bridge.estimands.projection import projection
    from hte_bridge.scores import scores

    study = study_of(draw, cluster)
    began = time.perf_counter()
    fit = hb.Deep(seed=seed).fit(study)
    seconds = time.perf_counter() - began
    chosen = evaluated(study.n)
    with threads(1):
        estimate, std_error = fit.branch.posterior.moments(fit.encode(study.frame.iloc[chosen]))
    found = judge(estimate, std_error, draw.beta_at(study.filled[chosen])) | {"seconds": seconds}
    held = fit.heldout
    moved = study.treatment - held.propensity
    miss = study.outcome - held.outcome_mean - moved * held.cate
    gamma = held.cate + moved / held.treatment_variance * miss
    totals = np.bincount(study.cluster, weights=gamma - gamma.mean())
    doubly = scores(study, held)
    ape_error = float(np.sqrt(totals @ totals) / study.n) * doubly.inflation
    truth = draw.beta_at(study.filled)
    heldout = 100 * np.sqrt(np.mean((held.cate - truth) ** 2)) / (truth.std() if truth.std() > 1e-9 else 1.0)
    found |= {"ape_z": float((gamma.mean() - truth.mean()) / ape_error), "ape_se": ape_error}
    found |= {
        "heldout_error": float(heldout),
        "nugget": fit.info["nugget"],
        "inflation": fit.info["inflation"],
    }
    rows = projection(doubly, study.filled, list(study.filled_names))
    found["joint_rejects"] = float(next(each for each in rows if each.term == "joint").p_value < 0.05)
    found["parts"] = json.dumps(fit.info["seconds"])
    keep = study.index.to_numpy()
    return found | recovered(draw, keep, fit.branch.posterior.recovered)


def recovered(draw: Panel, keep: np.ndarray, effects: Sequence[Any]) -> dict[str, float]:
    """RMSE of each recovered effect over that of feols given the true beta, and its coverage where it has intervals."""
    from hte_bridge.engines.deep.basis.fixed_effects import Elimination, centred, dummies

    codes = np.column_stack([np.unique(column, return_inverse=True)[1] for column in draw.effects[keep].T])
    sizes = [int(column.max()) + 1 for column in codes.T]
    design = dummies(codes, sizes)
    elimination = Elimination.of(sparse.csr_array(design.T @ design), sizes)
    given = elimination.solve(design.T @ (draw.outcome - draw.beta * draw.treatment)[keep])
    wanted = elimination.solve(design.T @ draw.additive[keep])
    found, start = {}, 0
    for f, (name, size) in enumerate(zip(draw.labels, sizes, strict=True)):
        span, start = slice(start, start + size), start + size
        estimate, std_error, component = effects[f]
        ones = np.ones(size)
        truth, floor = (centred(each[span], component, ones) for each in (wanted, given))
        miss = estimate - truth
        found[f"{name}_ratio"] = float(np.sqrt(np.mean(miss**2) / np.mean((floor - truth) ** 2)))
        if np.isfinite(std_error).all():
            found[f"{name}_coverage"] = float((np.abs(miss) <= NORMAL * std_error).mean())
    return found


def feols(terms: str) -> Callable[[Panel, str | None, int], dict[str, Any]]:
    """feols with the treatment interacted with given terms: ``true``, ``linear`` or ``all`` with squares and products; with the covariates themselves."""

    def run(draw: Panel, cluster: str | None, seed: int) -> dict[str, Any]:
        import pyfixest as pf

        x, names = regressors(draw, terms)
        own = [
            f"own{k}" for k in range(draw.covariates.shape[1])
        ]  # those that the effects absorb are dropped
        frame = pd.DataFrame(x * draw.treatment[:, None], columns=names)
        frame = pd.concat(
            [frame, pd.DataFrame(draw.covariates, columns=own), draw.frame()[["y", *draw.labels, "cell"]]],
            axis=1,
        )
        vcov: Any = "hetero" if cluster is None else {"CRV1": cluster}
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the covariates that are dropped
            fit = pf.feols(f"y ~ {' + '.join(names + own)} | {' + '.join(draw.labels)}", frame, vcov=vcov)
        seconds = time.perf_counter() - began
        tidy = fit.tidy()
        terms_of = np.flatnonzero(tidy.index.isin(names))
        at = x[evaluated(draw.n)][:, [names.index(name) for name in tidy.index[terms_of]]]
        std_error = np.sqrt(
            np.einsum("ij,jk,ik->i", at, np.asarray(fit._vcov)[np.ix_(terms_of, terms_of)], at)
        )
        estimate = at @ tidy["Estimate"].to_numpy()[terms_of]
        return judge(estimate, std_error, draw.beta[evaluated(draw.n)]) | {"seconds": seconds}

    return run


def regressors(draw: Panel, terms: str) -> tuple[np.ndarray, list[str]]:
    """Columns of beta(X) and their names; the first is the constant."""
    x = draw.covariates
    shape = draw.name.split(",")[0]
    columns, names = [np.ones(draw.n)], ["base"]
    if terms == "true" and shape == "nonlinear":
        a, b, u0, u1, v0, v1 = x[:, 0], x[:, 1], x[:, 2], x[:, 3], x[:, 7], x[:, 8]
        columns += [np.sin(2 * a), np.tanh(b), u0 * v1, u1**2, np.maximum(0, v0), a * (b > 0)]
        names += [f"term{k}" for k in range(6)]
    elif terms == "true":
        columns += [x[:, k] for k in (0, 1, 2, 8)]
        names += [f"term{k}" for k in range(4)]
    else:
        columns += list(x.T)
        names += [f"x{k}" for k in range(x.shape[1])]
    if terms == "all":
        pairs = [(i, j) for i in range(x.shape[1]) for j in range(i, x.shape[1])]
        columns += [x[:, i] * x[:, j] for i, j in pairs]
        names += [f"x{i}_{j}" for i, j in pairs]
    return np.column_stack(columns), names


def nets(draw: Panel, cluster: str | None, seed: int) -> dict[str, Any]:
    """Average of four plain networks on all rows: an error, no interval."""
    from hte_bridge.engines.deep.basis.data import Rows, unique_rows
    from hte_bridge.engines.deep.basis.networks import TauNetOptions, train

    first, place = unique_rows(draw.covariates)
    sizes = tuple(int(column.max()) + 1 for column in draw.effects.T)
    ones, fold = np.ones(draw.n), np.zeros(draw.n, dtype=np.int64)
    points = draw.covariates[first]
    rows = Rows(draw.outcome, draw.treatment, ones, draw.effects, sizes, fold, place, points)
    z = (points - draw.covariates.mean(axis=0)) / draw.covariates.std(axis=0)
    began = time.perf_counter()
    found = train(rows, z, "plain", 4, seed, TauNetOptions()).tau(z)[place][evaluated(draw.n)]
    none = np.full(len(found), np.nan)
    return judge(found, none, draw.beta[evaluated(draw.n)]) | {"seconds": time.perf_counter() - began}


ENGINES: dict[str, Callable[[Panel, str | None, int], dict[str, Any]]] = {
    "deep": deep,
    "feols_true": feols("true"),
    "feols_linear": feols("linear"),
    "feols_all": feols("all"),
    "nets": nets,
    "grf": grf,
    "demeaned": demeaned,
    "causalfe": causalfe,
}


def run(job: tuple[str, str, int, Path]) -> None:
    """One draw of one design by one engine, written when done."""
    design, engine, seed, out = job
    draw, cluster = draw_of(design, seed)
    record = {"design": design, "engine": engine, "draw": seed, "rows": draw.n}
    record |= ENGINES[engine](draw, cluster, seed) | machine()
    record["memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    target = out / f"panel-{design}-{engine}-{seed}.parquet"
    part = target.with_suffix(".part")
    pd.DataFrame([record]).to_parquet(part)
    part.rename(target)
    shown = {key: round(value, 3) for key, value in record.items() if isinstance(value, float)}
    print(design, engine, seed, shown, flush=True)


def merge(out: Path) -> pd.DataFrame:
    """All draws of a folder: those merged before and single ones, which count before them."""
    files = [*sorted(out.glob("panel-*.parquet")), *out.glob(MERGED)]
    if not files:
        return pd.DataFrame(columns=KEY)
    rows = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    return rows.drop_duplicates(KEY).sort_values(KEY, ignore_index=True)


def compact(out: Path) -> None:
    """Turn the single draws of a folder into one file, so that they can be kept."""
    merge(out).to_parquet(out / "panels.part")
    (out / "panels.part").replace(out / MERGED)
    for path in out.glob("panel-*.parquet"):
        path.unlink()


def table(out: Path) -> pd.DataFrame:
    """Mean over draws of what is there, with the Monte-Carlo error of error and coverage."""
    frame = apart(merge(out))
    numbers = frame.drop(columns=["draw"]).groupby(["design", "engine"])
    means = numbers.mean(numeric_only=True)
    means.insert(0, "draws", numbers.size())
    for name in ("error", "coverage"):
        if name in frame:
            means[f"{name}_mc"] = numbers[name].std() / np.sqrt(means["draws"])
    if "ape_z" in frame:
        hit = (frame["ape_z"].abs() <= NORMAL).where(frame["ape_z"].notna())
        means["ape_covered"] = frame.assign(hit=hit.astype(float)).groupby(["design", "engine"])["hit"].mean()
    for name in ("seconds", "device_seconds"):
        if name in frame:
            means[name] = numbers[name].median()
    means["published"] = [PUBLISHED.get(design, "") for design, _ in means.index]
    return means.reset_index()


def main() -> None:
    """Run what is asked for and not there yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", default="nonlinear_16k")
    parser.add_argument("--engines", default="deep")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--first", type=int, default=1, help="seed of the first draw")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    parser.add_argument("--compact", action="store_true", help="merge the draws into one file")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(of_other_code(merge(options.out)), end="")
    had = set(merge(options.out)[KEY].itertuples(index=False, name=None))
    jobs = [
        (design, engine, seed, options.out)
        for seed in range(options.first, options.first + options.draws)
        for design in options.designs.split(",")
        for engine in options.engines.split(",")
        if (design, engine, seed) not in had
    ]
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.jobs, maxtasksperchild=1) as pool:  # a process each: its peak memory is its own
        for _ in pool.imap_unordered(run, jobs, chunksize=1):
            pass
    if options.compact:
        compact(options.out)
    with pd.option_context("display.width", 250, "display.max_columns", 40, "display.precision", 3):
        print(table(options.out).to_string(index=False))


if __name__ == "__main__":
    main()
