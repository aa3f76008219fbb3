"""Posterior of the exact kernel with and without edges, beside grf's, on the same draws: python -m bench.edges --out FOLDER.

Only what intervals of ``cate`` come from is run: the treatment's mean, cross-fitted, and the posterior from all rows; no held-out models. Of each draw
every variant is one file, written as it is done and not done again; the last lines print coverage, worst decile, error and length by design.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

import hte_bridge as hb
import hte_bridge.simulate as sim
from bench.cross_section import TEST_POINTS, TEST_SEED, designs, edged, merge, study_of
from bench.metrics import judge, summarise
from hte_bridge.engines.deep.canonical import Seen
from hte_bridge.engines.deep.gp import modes, search
from hte_bridge.engines.deep.gp.kinds.edged import Edged
from hte_bridge.engines.deep.gp.kinds.smooth import Smooth
from hte_bridge.engines.deep.gp.model_average import mixed_posterior
from hte_bridge.engines.deep.gp.outcome_models import MODEL_PRIORS
from hte_bridge.engines.deep.route_gp import centred
from hte_bridge.engines.deep.store.threads import threads
from hte_bridge.simulate import CrossSection
from hte_bridge.simulate.sample import draw as drawn

KERNEL_ROWS = 3_000  # beyond, another model takes over
COLUMNS = {"smooth": "no edges", "both": "deep", "grf": "grf"}  # variants on the page
FURTHER = 400  # rows of designs that are here alone: surfaces that no other bench has


def product(n: int, *, seed: int) -> CrossSection:
    """An effect that is a product of two normal covariates, randomised; the interaction without edges that a forest finds hardest."""
    rng = np.random.default_rng(seed)
    x, half = rng.normal(size=(n, 6)), np.full(n, 0.5)
    return drawn("product", rng, x, base=x[:, 2], cate=1 + x[:, 0] * x[:, 1], propensity=half, centre=0.5)


def bump(n: int, *, seed: int) -> CrossSection:
    """An effect that peaks at one place of a map, randomised."""
    rng = np.random.default_rng(seed)
    x, half = rng.random((n, 5)), np.full(n, 0.5)
    tau = 2.5 * np.exp(-((x[:, 0] - 0.6) ** 2 + (x[:, 1] - 0.4) ** 2) / 0.06)
    return drawn("bump", rng, x, base=x[:, 2], cate=tau, propensity=half, centre=0.5)


def every() -> dict[str, tuple[Callable[..., CrossSection], int]]:
    """Designs of the cross-section bench that the exact kernel takes, two more, and small experiments."""
    found = {name: each for name, each in designs().items() if each[1] <= KERNEL_ROWS}
    found |= {"product_400": (product, FURTHER), "bump_400": (bump, FURTHER)}
    for n in (60, 100, 150):
        found[f"steps_{n}"] = (partial(sim.steps, p=5), n)
        found[f"wager_athey_28_{n}"] = (partial(sim.wager_athey_28, d=4), n)
    return found


@contextmanager
def variant(name: str) -> Iterator[None]:
    """Run the body with the engine as the variant has it: ``both`` as it is, ``smooth`` without edges, ``even`` with slopes as large beforehand
    along each covariate, whatever its length; ``,odds=0`` or ``,rate=1`` behind it set the odds of a smooth effect beside an edged mean, or an edged
    effect's rate."""
    asked, was = search.search_kinds, (MODEL_PRIORS.unlike_log_odds, MODEL_PRIORS.edged_rate)
    if name.startswith("smooth"):
        search.search_kinds = modes.search
    for kind in (Smooth, Edged):
        kind.has_lengths = not name.startswith("even")
    object.__setattr__(MODEL_PRIORS, "unlike_log_odds", number(name, "odds", was[0]))
    object.__setattr__(MODEL_PRIORS, "edged_rate", number(name, "rate", was[1]))
    try:
        yield
    finally:
        search.search_kinds = asked
        Smooth.has_lengths = Edged.has_lengths = True
        object.__setattr__(MODEL_PRIORS, "unlike_log_odds", was[0])
        object.__setattr__(MODEL_PRIORS, "edged_rate", was[1])


def number(name: str, part: str, default: float) -> float:
    """A number that a variant's name sets.

    Examples
    --------
    >>> number("both,odds=0,rate=2", "rate", 1.0), number("both", "rate", 1.0)
    (2.0, 1.0)
    """
    return float(dict(each.split("=") for each in name.split(",")[1:]).get(part, default))


def run(design: str, draw: int, variants: list[str], known: bool) -> Iterator[dict[str, Any]]:
    """Each variant's posterior on one draw of a design, judged at the design's test points."""
    make, n = every()[design]
    data, test = make(n, seed=draw), make(TEST_POINTS, seed=TEST_SEED)
    study = study_of(data)
    options = hb.Deep(seed=draw)
    folds = hb.Folds.make(study, options.n_folds, draw)
    seen = Seen.of(study, folds)
    if known or variants == ["grf"]:
        propensity = data.propensity[seen.order.rows]
    else:
        propensity = centred(seen.study, seen.order.folds(folds), options).mean
    for each in variants:
        began = time.process_time()
        forms = "{}"
        if each == "grf":
            asked = hb.CausalForest(num_trees=2_000, seed=draw).fit(study).cate(test.frame())
            mean, sd = asked["estimate"].to_numpy(), asked["std_error"].to_numpy()
        else:
            with variant(each):
                posterior, info, _ = mixed_posterior(seen.study, propensity, options)
            mean, sd = posterior.moments(seen.encode(test.frame()))
            forms = str(info["forms"])
        said = {"forms": forms, "cpu_seconds": time.process_time() - began}
        yield {"design": design, "n": n, "draw": draw, "engine": each} | judge(mean, sd, test.cate) | said


def run_and_write(design: str, draw: int, variants: list[str], known: bool, out: Path) -> str:
    """Run a draw and write a file for each variant."""
    began = time.perf_counter()
    with warnings.catch_warnings(), threads(1):
        warnings.simplefilter("ignore")
        for row in run(design, draw, variants, known):
            path = out / f"{design}__{row['engine']}__{draw:04d}.parquet"
            pd.DataFrame([row]).to_parquet(path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)
    return f"{design} draw {draw}: {time.perf_counter() - began:.1f} s"


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for each design and variant."""
    named = ("draws", "mse", "mse_mc", "coverage", "worst_decile", "length", "adjusted_length")
    lines = []
    for (design, engine), own in rows.groupby(["design", "engine"], sort=True):
        found = summarise(own)
        lines.append(
            {"design": design, "variant": engine}
            | {name: found[name] for name in named if name in found}
            | {"seconds": own["cpu_seconds"].mean()}
        )
    return pd.DataFrame(lines)


def page(rows: pd.DataFrame) -> str:
    """Section of docs/benchmarks.md: of each design squared error, coverage, worst decile and length, without edges, with them, and grf's."""
    lines = ["| design | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for design, own in table(rows).set_index("variant").groupby("design", sort=True):
        cells = [
            "{mse:.3f} / {coverage:.2f} / {worst_decile:.2f} / {length:.2f} ({draws:.0f})".format(
                **own.loc[name]
            )
            if name in own.index
            else ""
            for name in COLUMNS
        ]
        lines.append(f"| {design} | " + " | ".join(cells) + " |")
    head = (
        "## Surfaces with edges\n\nIntervals of `cate` from the exact kernel without and with edges, and grf's (`python -m bench.edges`): "
        "squared error / coverage / worst decile / length (draws), given the true mean of the treatment (`--known`).\n"
    )
    return "\n".join([head, *lines, ""])


def main() -> None:
    """Read the command line, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", default="all", help="names with commas, or: all, edged, smooth, few")
    parser.add_argument("--variants", default="smooth both", help="with spaces between")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--most-rows", type=int, default=KERNEL_ROWS)
    parser.add_argument(
        "--known",
        action="store_true",
        help="the true treatment's mean in place of an estimate",
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e6, help="start no draw after this many minutes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--to", type=Path, help="a file for all draws together, such as bench/results/edges.parquet"
    )
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    names = [each for each in chosen(asked.designs) if every()[each][1] <= asked.most_rows]
    variants, until = asked.variants.split(), time.monotonic() + 60 * asked.minutes
    wanted = []
    for k in range(asked.first, asked.first + asked.draws):
        for design in names:
            left = [v for v in variants if not (asked.out / f"{design}__{v}__{k:04d}.parquet").exists()]
            wanted += [(design, k, left)] if left else []
    jobs = (
        joblib.delayed(run_and_write)(*each, asked.known, asked.out)
        for each in wanted
        if time.monotonic() < until
    )
    pool = joblib.Parallel(
        n_jobs=asked.jobs, return_as="generator_unordered", pre_dispatch="1*n_jobs", batch_size=1
    )
    for number, line in enumerate(pool(jobs), 1):
        print(f"[{number}/{len(wanted)}] {line}", flush=True)
    rows = merge(asked.out)
    if asked.to is not None:
        rows.drop(columns="forms").to_parquet(asked.to, compression="zstd")
    if not rows.empty:
        with pd.option_context("display.width", 250, "display.max_rows", 400, "display.precision", 3):
            print(table(rows).to_string(index=False))


def chosen(asked: str) -> list[str]:
    """Names of the designs asked for; the dearest first, so that no process is left with one at the end."""
    if asked not in ("all", "edged", "smooth", "few"):
        return asked.split(",")
    few = [name for name, (_, n) in every().items() if n <= 150]
    groups = {"all": list(every()), "edged": [name for name in edged() if name in every()], "few": few}
    groups["smooth"] = [name for name in every() if name not in groups["edged"] + few]
    return sorted(groups[asked], key=lambda name: -every()[name][1])


if __name__ == "__main__":
    main()
