"""feols' own rows of an adoption against the same regression written out: a column for each unit, solved by lstsq."""

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb

UNITS, PERIODS = 50, 7


def panel():
    """Cohorts 3 and 4, one unit of 5, the others never; x stays within units; some rows are not seen, of some adopters the one before treatment."""
    rng = np.random.default_rng(0)
    start = rng.choice([0.0, 3, 4], UNITS)
    start[0] = 5
    unit, period = np.repeat(np.arange(UNITS), PERIODS), np.tile(np.arange(1, PERIODS + 1), UNITS)
    frame = pd.DataFrame(
        {"id": unit, "t": period, "g": start[unit], "x": rng.normal(size=UNITS).round(3)[unit]}
    )
    treated = (frame["g"] > 0) & (frame["t"] >= frame["g"])
    frame["y"] = rng.normal(size=UNITS)[unit] + 0.2 * period * (1 + frame["x"]) + treated * (1 + frame["x"])
    frame["y"] += rng.normal(size=len(frame)) * 0.5
    return frame[rng.random(len(frame)) > 0.1]


def written_out(frame, never, covariate):
    """Coefficients of the pairs of cohort and period and their errors by unit (CRV1; effects of units are nested and not counted)."""
    cohorts, periods = sorted(set(frame["g"]) - {0.0}), sorted(set(frame["t"]))
    pairs = [(g, t) for g in cohorts for t in periods if t != g - 1 and (never or t > g - 1)]
    dummies = [((frame["g"] == g) & (frame["t"] == t)).astype(float) for g, t in pairs]
    others = []
    if covariate:
        x = frame["x"] - frame["x"].mean()
        of_adopters = frame["g"].gt(0)
        net = x - x.groupby(frame["g"]).transform("mean").where(of_adopters, 0.0)
        others = [each * net for each in dummies] + [(frame["t"] == t) * x for t in periods[1:]]
    effects = [pd.get_dummies(frame[each]).to_numpy(float) for each in ("id", "t")]
    columns = np.column_stack([*dummies, *others, *effects])
    y = frame["y"].to_numpy()
    slope = np.linalg.lstsq(columns, y, rcond=None)[0]
    scores = (
        pd.DataFrame(columns * (y - columns @ slope)[:, None])
        .groupby(frame["id"].to_numpy())
        .sum()
        .to_numpy()
    )
    bread = np.linalg.pinv(columns.T @ columns)
    n_units = frame["id"].nunique()
    taken = np.linalg.matrix_rank(columns) - n_units + 1
    small = n_units / (n_units - 1) * (len(frame) - 1) / (len(frame) - taken)
    error = np.linalg.norm(scores @ bread[:, : len(pairs)], axis=0) * small**0.5
    return {pair: (slope[j], error[j]) for j, pair in enumerate(pairs)}


@pytest.mark.parametrize("covariate", [False, True])
@pytest.mark.parametrize("controls", ["never", "not_yet"])
def test_the_saturated_regression_is_the_one_written_out(controls, covariate):
    frame = panel()
    adopters = frame.query("g > 0")
    assert set(adopters["id"]) - set(adopters.query("t == g - 1")["id"])
    study = hb.Study.from_frame(
        frame,
        outcome="y",
        unit="id",
        period="t",
        first_treated="g",
        covariates=["x"] if covariate else [],
        controls=controls,
    )
    rows = {
        row.term: row
        for row in hb.compare(study, [hb.Feols()], on_error="raise").where(estimand="coefficient").rows
    }
    wanted = written_out(frame, controls == "never", covariate)
    assert rows.keys() == {f"{g:g}, {t:g}" for g, t in wanted}
    for (g, t), (estimate, error) in wanted.items():
        row = rows[f"{g:g}, {t:g}"]
        assert row.estimate == pytest.approx(estimate, abs=1e-9)
        if g == 5:  # one unit: its error is not known
            assert np.isnan(row.std_error)
        else:
            assert row.std_error == pytest.approx(error, rel=1e-6)
