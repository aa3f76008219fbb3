"""Several outcomes: each one's own estimates, and p-values that allow for all of them."""

import re

import numpy as np
import pandas as pd
import pyfixest
import pytest

import hte_bridge as hb
from hte_bridge.errors import InvalidData, InvalidOption

N, OUTCOMES = 240, ["y", "y2", "y3", "y4"]
RNG = np.random.default_rng(3)
FRAME = pd.DataFrame({"x": RNG.normal(size=N), "d": RNG.integers(0, 2, N), "village": np.arange(N) % 40})
SHARED = RNG.normal(size=N)
for place, effect in enumerate([0.5, 0.3, 0.15, 0.0]):
    FRAME[OUTCOMES[place]] = effect * FRAME["d"] + SHARED + RNG.normal(size=N)
STUDY = hb.Study.from_frame(FRAME, outcome="y", treatment="d", covariates=["x"], cluster="village")
TABLE = hb.compare_outcomes(STUDY, OUTCOMES, ["feols"], estimands=["ate"], seed=1)


def rows(table, estimand):
    return [row for row in table.rows if row.estimand == estimand]


def test_estimates_and_errors_are_each_outcome_s_own():
    for name, row in zip(OUTCOMES, rows(TABLE, "ate"), strict=True):
        study = hb.Study.from_frame(FRAME, outcome=name, treatment="d", covariates=["x"], cluster="village")
        (alone,) = rows(hb.compare(study, ["feols"], estimands=["ate"], seed=1), "ate")
        assert row.term == name
        assert row.estimate == alone.estimate
        assert row.std_error == alone.std_error
        assert row.p_value >= alone.p_value - 0.02  # chance of the draws
        assert "p-value adjusted over 4 rows by Romano-Wolf" in row.note


def test_the_regression_s_p_values_are_those_of_wildrwolf():
    pytest.importorskip("wildboottest")
    fits = [pyfixest.feols(f"{name} ~ d + x", FRAME, vcov={"CRV1": "village"}) for name in OUTCOMES]
    theirs = pyfixest.rwolf(fits, "d", reps=4999, seed=1).loc["RW Pr(>|t|)"].to_numpy(dtype=float)
    found = [row for row in rows(TABLE, "coefficient") if "no covariates" not in row.term]
    ours = np.array([row.p_value for row in found])
    assert [row.term for row in found] == [f"{name}: d" for name in OUTCOMES]
    assert np.abs(ours - theirs).max() < 0.03  # two bootstraps of 5,000 draws, one with the null imposed


def test_p_values_are_romano_and_wolf_s_step_down_written_out():
    found = rows(TABLE, "ate")
    totals = np.array([np.bincount(STUDY.cluster, row.influence) for row in found])
    seen = np.abs([row.statistic for row in found])
    rng = np.random.default_rng(11)
    drawn = []
    for _ in range(4000):  # signs of clusters are turned, each draw is studentised
        turned = rng.choice([-1.0, 1.0], 40) * totals
        drawn.append(np.abs(turned.sum(axis=1)) / (np.sqrt(40 * 40 / 39) * turned.std(axis=1)))
    order = np.argsort(-seen)
    p, before = np.empty(4), 0.0
    for step, place in enumerate(order):
        largest = np.array(drawn)[:, order[step:]].max(axis=1)
        before = p[place] = max(before, (1 + (largest >= seen[place]).sum()) / 4001)
    assert np.abs(p - [row.p_value for row in found]).max() < 0.03  # two sets of draws


def test_holm_and_one_question_is_one_family():
    table = hb.compare_outcomes(STUDY, ["y", "y4"], ["feols"], estimands=["ate"], method="holm", seed=1)
    first, second = (rows(each, "ate")[0] for each in table.tables.values())
    found = [row.p_value for row in rows(table, "ate")]
    assert found[0] == pytest.approx(min(2 * min(first.p_value, second.p_value), 1))


def test_an_outcome_missing_in_some_rows_is_studied_on_the_others():
    gaps = FRAME.assign(y2=FRAME["y2"].where(FRAME.index % 6 != 0))
    study = hb.Study.from_frame(gaps, outcome="y", treatment="d", covariates=["x"])
    table = hb.compare_outcomes(study, ["y", "y2"], ["feols"], estimands=["ate"], seed=1)
    first, second = rows(table, "ate")
    assert (first.n_obs, second.n_obs) == (N, N * 5 // 6)
    assert len(second.influence) == N
    assert table.tables["y2"].study.dropped == {"missing outcome y2": N // 6}
    assert "Outcome y, y2, treatment d" in str(table)


def test_under_no_effect_any_rejection_is_rare():
    rng, any_one, alone, draws = np.random.default_rng(7), 0, 0, 120
    from hte_bridge.inference import adjusted
    from hte_bridge.table import Estimate

    for seed in range(draws):
        psi = rng.normal(size=(60, 6)) / 60
        family = [
            Estimate(
                "ate", float(each.sum()), float((each @ each) ** 0.5), influence=each - each.mean(), df=59
            )
            for each in psi.T
        ]
        any_one += min(row.p_value for row in adjusted(family, np.arange(60), draws=499, seed=seed)) < 0.05
        alone += min(row.p_value for row in family) < 0.05
    band = 4 * (0.05 * 0.95 / draws) ** 0.5
    assert any_one / draws < 0.05 + band
    assert alone / draws > 0.05 + band  # each by itself would be caught


def test_rows_in_another_order_have_the_same_lots():
    """Signs were drawn by the place of a row: adjusted p-values moved with the order of the file."""
    tables = [
        hb.compare_outcomes(
            hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"]),
            [name for name in frame.columns if name.startswith("y")],
            ["feols"],
            estimands=["ate"],
            draws=199,
            seed=1,
        )
        for frame in (FRAME, FRAME.sample(frac=1.0, random_state=1))
    ]
    one, other = ([row.p_value for row in table.rows] for table in tables)
    assert np.allclose(one, other, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("outcomes", "error", "sentence"),
    [
        (["y"], InvalidOption, "`outcomes` must be two columns or more"),
        ("y", InvalidOption, "`outcomes` must be two columns or more"),
        (["y", "y"], InvalidOption, "each once"),
        (["y", "yy"], InvalidOption, "`yy` is not one. The nearest"),
        (["y", "x"], InvalidData, "An outcome must not be the treatment, a covariate or a control. `x` is."),
        (["y", "vast"], InvalidData, "`outcome vast` must be below 1e+50 in size"),
        (["y", "town"], InvalidData, "`outcome` must be numeric. `town` holds text"),
    ],
)
def test_sentences(outcomes, error, sentence):
    study = hb.Study.from_frame(
        FRAME.assign(town="a", vast=FRAME["y"] * 1e200), outcome="y", treatment="d", covariates=["x"]
    )
    with pytest.raises(error, match=re.escape(sentence)):
        hb.compare_outcomes(study, outcomes, ["feols"])
