"""The unit and the place of a column change nothing but the unit of what is reported: every row of feols follows it exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, Ridge

import hte_bridge as hb
from hte_bridge.scaling import Line, independent
from hte_bridge.sweeping import within

EXACT = 1e-9  # values are rounded at 1e-16 of their size, and at 1e-12 of their spread when 1e9 away: a thousandfold for sums
SCALES = (1e-12, 1e-6, 1e-3, 1e5, 1e9, 1e12)
ESTIMANDS = {
    "cross-section": [
        "ate",
        "att",
        "atc",
        "ato",
        "projection",
        "gates",
        "calibration",
        "nuisance",
        "sensitivity",
    ],
    "dose": ["ape", "ato", "projection", "dose", "nuisance", "sensitivity"],
    "panel": ["ape", "ato", "projection", "sensitivity"],
}


def frame_of(kind):
    rng = np.random.default_rng(7)
    n = 400
    frame = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n), "w": rng.uniform(1, 3, n)})
    frame["d"] = rng.binomial(1, 1 / (1 + np.exp(-0.5 * frame.x)))
    if kind == "dose":
        frame["d"] = 1.0 + rng.gamma(2.0, 1.0, n) + 0.3 * frame.x
    if kind == "panel":  # few rows tie users to years: plain sweeps take thousands
        frame["user"] = rng.integers(0, 60, n)
        frame["year"] = np.clip(np.arange(n) % 60 // 8 + rng.integers(0, 3, n), 0, 9)
        frame["user"] = np.arange(n) % 60
    frame["y"] = frame.d * (1 + frame.x) + frame.z + rng.normal(size=n)
    return frame


def figures(frame, kind):
    """Every number of the comparison, each over the power of the units that it carries, by name."""
    effects = {"fixed_effects": ["user", "year"]} if kind == "panel" else {"weight": "w"}
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x", "z"], **effects)
    table = hb.compare(study, [hb.Feols()], seed=1, n_folds=3, estimands=ESTIMANDS[kind])
    cate = table.cate(frame.head(5), engine="feols")
    gap = hb.explain_gap(study, table.fits["feols"])
    rows = {(row.estimand, row.term): row for row in [*table.rows, *gap.rows]}
    return rows, cate


@pytest.fixture(scope="module")
def plain():
    return {kind: (frame_of(kind), *figures(frame_of(kind), kind)) for kind in ESTIMANDS}


def unit_of(row, column, factor):
    """What a row is multiplied by where a column is: effects are in units of the outcome over those of the treatment."""
    scaled = {"y": factor, "d": 1 / factor}.get(column, 1.0)
    if row.estimand == "projection":
        return scaled * (1 / factor if row.term == column else 1.0)
    if row.estimand == "dose":
        return factor if column == "y" else 1.0
    if row.estimand == "nuisance":
        return factor**2 if column == "d" and "variance" in row.term else 1.0
    if row.estimand in ("calibration",) or "R2" in row.term or "robustness value" in row.term:
        return 1.0
    return scaled


def follows(one, other, column, factor, moved=False):
    """The other rows are the one rows in the new unit."""
    for key, row in one.items():
        if column == "d" and row.estimand == "dose":
            continue  # its terms name doses
        again, unit = other[key], unit_of(row, column, factor)
        if row.estimand == "gap" and not row.std_error > 0:
            continue  # nothing but rounding
        if moved and (row.term == "(Intercept)" or "R2" in row.term):
            continue
        size = max(abs(row.estimate), row.std_error if row.std_error > 0 else 0.0)
        assert again.estimate == pytest.approx(unit * row.estimate, abs=EXACT * unit * size, nan_ok=True), key
        assert again.std_error == pytest.approx(unit * row.std_error, rel=EXACT, nan_ok=True), key
        assert again.p_value == pytest.approx(row.p_value, rel=1e-6, abs=1e-9, nan_ok=True), key
        assert again.note == row.note, key


CASES = [
    (kind, column, factor)
    for kind in ("cross-section", "panel")
    for column in ("x", "y")
    for factor in SCALES
]
CASES += [("dose", "d", factor) for factor in SCALES] + [("dose", "x", 1e9), ("dose", "y", 1e-12)]


@pytest.mark.parametrize(("kind", "column", "factor"), CASES)
def test_rows_follow_the_unit_of_a_column(plain, kind, column, factor):
    frame, rows, cate = plain[kind]
    again, cate_again = figures(frame.assign(**{column: frame[column] * factor}), kind)
    follows(rows, again, column, factor)
    unit = {"y": factor, "d": 1 / factor}.get(column, 1.0)
    for name in ("estimate", "std_error"):
        np.testing.assert_allclose(cate_again[name], unit * cate[name], rtol=EXACT)


@pytest.mark.parametrize(("place", "spread"), [(2010.0, 5.0), (1.6e9, 1e5), (1.6e12, 1e8)])
@pytest.mark.parametrize("kind", ["cross-section", "panel"])
def test_rows_follow_the_place_of_a_covariate(kind, place, spread):
    frame = frame_of(kind)
    there = frame.assign(x=place + spread * frame.x)
    back = frame.assign(x=(there.x - place) / spread)  # what rounding left of x is the same in both
    (rows, cate), (again, cate_again) = figures(back, kind), figures(there, kind)
    scaled = {
        key: row.with_(estimate=row.estimate / spread, std_error=row.std_error / spread)
        if key == ("projection", "x")
        else row
        for key, row in rows.items()
    }
    follows(scaled, again, "", 1.0, moved=True)
    for name in ("estimate", "std_error"):
        np.testing.assert_allclose(cate_again[name], cate[name], rtol=EXACT)


def test_a_year_and_its_square_are_two_columns_and_twice_a_year_is_one():
    frame = frame_of("cross-section").assign(year=2010 + np.arange(400) % 11)
    squared = frame.assign(both=frame.year**2)
    centred = frame.assign(year=frame.year - 2015, both=(frame.year - 2015) ** 2)
    tables = [
        hb.compare(
            hb.Study.from_frame(each, outcome="y", treatment="d", covariates=["x", "year", "both"]),
            [hb.Feols()],
            seed=1,
        )
        for each in (squared, centred)
    ]
    rows = [{(row.estimand, row.term): row for row in table.rows} for table in tables]
    for key in (("coefficient", "d"), ("ate", ""), ("ato", ""), ("projection", "x"), ("projection", "both")):
        assert rows[0][key].estimate == pytest.approx(rows[1][key].estimate, rel=1e-7)
        assert rows[0][key].std_error == pytest.approx(rows[1][key].std_error, rel=1e-7)
    twice = hb.Study.from_frame(
        frame.assign(both=2 * frame.year + 3), outcome="y", treatment="d", covariates=["x", "year", "both"]
    )
    made = hb.compare(twice, [hb.Feols()], seed=1)
    assert made.rows[0].note == "feols left out both: collinear with the effects or other covariates"
    assert "must not repeat each other" in next(row.note for row in made.rows if row.estimand == "projection")


def test_a_dose_that_covariates_determine_is_refused():
    frame = frame_of("dose")
    frame["d"] = 2 * frame.x + frame.z
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x", "z"])
    with pytest.raises(hb.errors.NotIdentified, match="must vary beyond the covariates and effects"):
        hb.Feols().fit(study)


def test_sweeps_reach_what_dummies_give_in_a_sparse_panel():
    frame = frame_of("panel")
    effects = frame[["user", "year"]].to_numpy()
    dummies = np.hstack([codes[:, None] == np.arange(codes.max() + 1) for codes in effects.T]).astype(float)
    table = frame[["y", "x"]].to_numpy() * [1e12, 1e-12] + [0.0, 1.0]
    root = np.sqrt(frame.w.to_numpy())[:, None]
    left = table - dummies @ np.linalg.lstsq(root * dummies, root * table, rcond=None)[0]
    swept = within(table, effects, frame.w.to_numpy())
    np.testing.assert_allclose(swept[:, 0] / 1e12, left[:, 0] / 1e12, atol=1e-11)


def test_collinear_columns_share_and_the_later_is_left_out():
    x = np.random.default_rng(1).normal(size=(50, 2)) * [1e-9, 1e9]
    both = np.column_stack([x[:, 0], 3 * x[:, 0], x[:, 1]])
    assert independent(both).tolist() == [True, False, True]
    line = Line.fit(both, x[:, :1] + 1e-9 * x[:, 1:] * 1e-9)
    np.testing.assert_allclose(line.predict(both), x[:, :1] + 1e-9 * x[:, 1:] * 1e-9, rtol=1e-9, atol=1e-20)


@pytest.mark.parametrize(("column", "factor"), [("y", 1e150), ("y", 1e-200), ("x", 1e200), ("d", 1e-60)])
def test_sizes_whose_squares_are_no_numbers_are_refused(column, factor):
    frame = frame_of("dose")
    frame[column] *= factor
    with pytest.raises(
        hb.errors.InvalidData, match=rf"{column}` must .* so that sums of squares can be formed"
    ):
        hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x", "z"])


@pytest.mark.parametrize("kind", ["cross-section", "panel"])
def test_the_other_arm_the_order_and_the_place_of_the_outcome_change_nothing(plain, kind):
    frame, rows, _ = plain[kind]
    shuffled, _ = figures(frame.sample(frac=1, random_state=1), kind)
    follows(rows, shuffled, "", 1.0)
    moved, _ = figures(frame.assign(y=frame.y + 1e3), kind)
    follows({key: row for key, row in rows.items() if row.estimand != "gap"}, moved, "", 1.0)
    swapped, _ = figures(frame.assign(d=1 - frame.d), kind)
    for key, row in rows.items():
        if key[0] in ("coefficient", "ate", "ape", "ato", "projection") and key[1] != "joint":
            assert swapped[key].estimate == pytest.approx(-row.estimate, rel=EXACT), key
            assert swapped[key].std_error == pytest.approx(row.std_error, rel=EXACT), key
    if kind == "cross-section":
        assert swapped["att", ""].estimate == pytest.approx(-rows["atc", ""].estimate, rel=EXACT)


@pytest.mark.parametrize("learner", [LinearRegression(), Ridge(10.0)], ids=["ols", "ridge"])
def test_learners_of_meta_do_not_see_units(learner):
    frame, found = frame_of("cross-section"), []
    for factor in (1.0, 1e-9, 1e12):
        scaled = frame.assign(x=frame.x * factor)
        study = hb.Study.from_frame(scaled, outcome="y", treatment="d", covariates=["x", "z"])
        found.append(hb.Meta("T", learner).fit(study, hb.Folds(np.arange(400) % 3, 3, 0)).heldout.cate)
    np.testing.assert_allclose(found[1], found[0], rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(found[2], found[0], rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("kind", ESTIMANDS)
def test_all_rows_twice_with_half_the_weight_are_the_same_rows(kind):
    frame, effects = frame_of(kind), {"fixed_effects": ["user", "year"]} if kind == "panel" else {}
    found = []
    for times in (1, 2):
        both = pd.concat([frame.assign(w=frame.w / times)] * times)
        study = hb.Study.from_frame(
            both, outcome="y", treatment="d", covariates=["x", "z"], weight="w", **effects
        )
        fit = hb.Feols().fit(study, hb.Folds(np.tile(np.arange(400) % 3, times), 3, 0))
        held = fit.heldout
        found.append(
            [fit.rows(0.95)[0].estimate, held.cate[:400], held.outcome_mean[:400], held.propensity[:400]]
        )
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=EXACT, atol=EXACT)
