"""Where the length of an interval of the exact kernel comes from: python -m bench.lengths --draws 3.

The variance of an effect is, on average, that at one draw of the scales, plus that between draws of one model, plus that between models. Each is
printed as a share of the whole beside what the interval covers, and what it would without the last two; then each model alone. The last column is the
variance over the squared error: about one where the posterior knows what it does not know.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

import hte_bridge as hb
from bench.cross_section import TEST_POINTS, TEST_SEED, study_of
from bench.edges import every
from bench.metrics import judge
from hte_bridge.arrays import Array
from hte_bridge.engines.deep.canonical import Seen
from hte_bridge.engines.deep.gp.model_average import mixed_posterior
from hte_bridge.engines.deep.gp.posterior import KernelPosterior
from hte_bridge.engines.deep.store.threads import threads

DESIGNS = "nie_wager_B_500,nie_wager_D_500,hahn_nonlinear_het_500,doubleml_500,incomes_500,long_tails_few_500,steps_300,one_step_700"
ALL = "all models"


def parts_of(means: Array, variances: Array, weights: Array, models: Sequence[str]) -> dict[str, float]:
    """Average variance at a draw, between draws of a model and between models, of means and variances (draws, m) with weights (draws,).

    Examples
    --------
    >>> one = np.ones((2, 1))
    >>> parts_of(np.array([[0.0], [2.0]]), one, np.array([0.5, 0.5]), ["a", "a"])
    {'at a draw': 1.0, 'between draws': 1.0, 'between models': 0.0}
    >>> parts_of(np.array([[0.0], [2.0]]), one, np.array([0.5, 0.5]), ["a", "b"])
    {'at a draw': 1.0, 'between draws': 0.0, 'between models': 1.0}
    """
    total, names = weights @ means, np.asarray(models)
    draws, apart = np.zeros(means.shape[1]), np.zeros(means.shape[1])
    for name in dict.fromkeys(models):
        own = names == name
        share = weights[own].sum()
        middle = weights[own] @ means[own] / share
        draws += weights[own] @ (means[own] - middle) ** 2
        apart += share * (middle - total) ** 2
    found = (weights @ variances, draws, apart)
    return dict(
        zip(
            ("at a draw", "between draws", "between models"),
            (float(each.mean()) for each in found),
            strict=True,
        )
    )


def rows_of(design: str, draw: int) -> Iterator[dict[str, Any]]:
    """All models of one draw of a design together, then each alone, given the true mean of the treatment."""
    make, n = every()[design]
    data, test = make(n, seed=draw), make(TEST_POINTS, seed=TEST_SEED)
    study, options = study_of(data), hb.Deep(seed=draw)
    seen = Seen.of(study, hb.Folds.make(study, options.n_folds, draw))
    with threads(1):
        posterior, _, _ = mixed_posterior(seen.study, data.propensity[seen.order.rows], options)
        x = seen.encode(test.frame())
        each = [
            KernelPosterior(posterior.units, (part.weighing(1.0),)).moments(x)
            for part in posterior.components
        ]
    means, sds = (np.array(found) for found in zip(*each, strict=True))
    weights = np.array([part.weight for part in posterior.components])
    labels = [part.model.form.label for part in posterior.components]
    for name in [ALL, *dict.fromkeys(labels)]:
        own = np.array([name in (ALL, label) for label in labels])
        share = weights[own] / weights[own].sum()
        parts = parts_of(means[own], sds[own] ** 2, share, [labels[k] for k in np.flatnonzero(own)])
        mean, within = share @ means[own], np.sqrt(share @ sds[own] ** 2)
        whole = judge(mean, np.sqrt(within**2 + share @ (means[own] - mean) ** 2), test.cate)
        alone = judge(mean, within, test.cate)["coverage"]
        yield {"design": design, "draw": draw, "model": name, "share": weights[own].sum()} | {
            **{key: whole[key] for key in ("mse", "coverage", "length")},
            "at a draw alone": alone,
            **parts,
        }


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over draws by design and model, weighted by the model's share, the parts of the variance as shares of it."""
    parts = ["at a draw", "between draws", "between models"]
    numbers = ["mse", "coverage", "length", "at a draw alone", *parts]
    lines = []
    for (design, model), own in rows.groupby(["design", "model"], sort=False):
        mean = dict(zip(numbers, np.average(own[numbers], axis=0, weights=own["share"]), strict=True))
        variance = sum(mean[part] for part in parts)
        mean |= {part: mean[part] / variance for part in parts} | {"over error": variance / mean["mse"]}
        lines.append(
            {"design": design, "model": model, "share": own["share"].sum() / rows["draw"].nunique()} | mean
        )
    return pd.DataFrame(lines)


def main() -> None:
    """Read the command line, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", default=DESIGNS)
    parser.add_argument("--draws", type=int, default=3)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [
        row
        for design in asked.designs.split(",")
        for draw in range(asked.draws)
        for row in rows_of(design, draw)
    ]
    with pd.option_context("display.width", 250):
        print(table(pd.DataFrame(rows)).to_string(index=False, float_format="%.2f"))


if __name__ == "__main__":
    main()
