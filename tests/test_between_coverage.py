"""Coverage on one's own data: a world that keeps sizes, overlap and clusters, and draws that can be taken up again."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from statsmodels.stats.proportion import proportion_confint

from hte_bridge import Feols, Folds, digest
from hte_bridge.between.coverage import coverage, share_ends
from hte_bridge.between.world import SHAPES, World, split
from hte_bridge.engines.given import Given
from hte_bridge.engines.meta import Meta
from hte_bridge.errors import InvalidOption, NotIdentified, UnreadableFile
from tests.helpers.studies import study_of

STUDY = study_of(n=400, cluster="village")
FIT = Feols().fit(STUDY, Folds.make(STUDY, 5, 1))
WORLD = World.of(STUDY, FIT.heldout, 0.5)


def row_of(table, engine, estimand, term):
    return next(row for row in table.rows if (row.engine, row.estimand, row.term) == (engine, estimand, term))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_effect_is_known(shape):
    tau = WORLD.tau(shape)
    scale = 0.0 if shape == "none" else 0.5 * WORLD.noise.std()
    assert abs(tau.mean() - scale) < 1e-12
    assert abs(tau.std() - scale) < 1e-12


def test_a_draw_is_base_effect_and_residuals_flipped_by_cluster():
    drawn = WORLD.draw("linear", np.random.default_rng(1))
    noise = drawn.outcome - WORLD.base - drawn.treatment * WORLD.tau("linear")
    flips = noise / WORLD.noise
    assert np.abs(np.abs(flips) - 1).max() < 1e-6
    assert max(flips[STUDY.cluster == g].std() for g in range(40)) < 1e-6
    assert 0.3 < drawn.treatment.mean() < 0.7
    assert not np.array_equal(drawn.treatment, STUDY.treatment)


def test_treatment_assigned_by_cluster_stays_so_and_a_dose_stays():
    whole = STUDY.with_(treatment=(STUDY.cluster % 2).astype(float))
    drawn = World.of(whole, FIT.heldout, 0.5).draw("none", np.random.default_rng(1))
    by_village = [np.unique(drawn.treatment[STUDY.cluster == g]) for g in range(40)]
    assert all(len(each) == 1 for each in by_village)
    dose = study_of(n=300, dose=True)
    held = Feols().fit(dose).heldout
    assert World.of(dose, held, 0.5).draw("none", np.random.default_rng(1)).treatment is dose.treatment


def test_clusters_are_left_out_whole():
    kept, judged = split(STUDY, 1)
    assert not set(STUDY.cluster[kept]) & set(STUDY.cluster[judged])
    assert len(kept) + len(judged) == STUDY.n


def test_a_right_model_covers_and_its_table_reads():
    table = coverage(STUDY, [Feols()], draws=25, shapes=["none", "linear"], reference=FIT, seed=1)
    for shape in ("none", "linear"):
        row = row_of(table, "feols", "coverage", f"{shape}: ate")
        assert row.n_obs == 25
        assert row.estimate > 0.95 - 4 * (0.95 * 0.05 / 25) ** 0.5
        assert abs(row_of(table, "feols", "bias", f"{shape}: ate").statistic) < 4
    units = row_of(table, "feols", "coverage", "linear: cate")
    assert (
        units.estimate > 0.95 - 4 * units.std_error
    )  # over draws, of which each has one error for all its units
    counted = [row for row in table.at_level(0.99).rows if row.estimand != "bias"]
    assert all(0 <= row.conf_low < row.estimate for row in counted)  # no draw can be below zero
    assert all(row.estimate <= row.conf_high for row in counted)
    assert all(row.conf_high <= 1 for row in counted if row.estimand == "coverage")
    assert "feols, ate: 95% intervals cover" in table.reading


@pytest.mark.parametrize(("hits", "draws"), [(25, 25), (0, 25), (19, 20), (7, 10)])
def test_a_share_has_wilsons_interval(hits, draws):
    expected = proportion_confint(hits, draws, 0.05, "wilson")
    assert np.abs(np.subtract(share_ends(hits / draws, draws, 0.95), expected)).max() < 1e-12


@dataclass(frozen=True)
class Narrow:
    """feols with effects that are said too surely: its held-out residuals shrunk towards zero."""

    name: str = "narrow"
    inner: Feols = field(default_factory=Feols)

    def fit(self, study, folds=None):
        fit = self.inner.fit(study, folds)
        held = fit.heldout
        shrunk = study.outcome - held.outcome_mean - (study.treatment - held.propensity) * held.cate
        given = {
            "cate": held.cate,
            "outcome_mean": held.outcome_mean + 0.8 * shrunk,
            "propensity": held.propensity,
        }
        return Given(pd.DataFrame(given, index=study.index), name=self.name, held_out=True).fit(study)


def test_intervals_that_are_too_short_are_found():  # the test above is able to fail
    table = coverage(STUDY, [Narrow()], draws=20, shapes=["none"], reference=FIT, seed=1)
    assert row_of(table, "narrow", "coverage", "none: ate").estimate < 0.95 - 4 * (0.95 * 0.05 / 20) ** 0.5
    assert row_of(table, "narrow", "error_ratio", "none: ate").conf_high < 1
    assert "expect intervals that are too short" in table.reading


COUNTS = []


@dataclass(frozen=True)
class Counting:
    """Feols that counts its fits."""

    name: str = "feols"
    shrink: float = 1.0
    inner: Feols = field(default_factory=Feols)

    def fit(self, study, folds=None):
        COUNTS.append(study.n)
        return self.inner.fit(study, folds)


def test_a_run_cut_short_is_taken_up_where_it_ended(tmp_path):
    path, counting = tmp_path / "draws.parquet", Counting()
    COUNTS.clear()
    options = {"shapes": ["none"], "reference": FIT, "seed": 1, "path": path}
    coverage(STUDY, [counting], draws=3, **options)
    longer = coverage(STUDY, [Counting()], draws=5, **options)
    assert len(COUNTS) == 5  # three of five draws were there
    options.pop("path")
    anew = coverage(STUDY, [Feols()], draws=5, **options)
    pd.testing.assert_frame_equal(longer.to_frame(), anew.to_frame(), check_exact=True)
    assert [each.name for each in tmp_path.iterdir()] == ["draws.parquet"]


def test_draws_of_another_call_and_broken_files_are_refused(tmp_path):
    path = tmp_path / "draws.parquet"
    options = {"shapes": ["none"], "reference": FIT, "path": path, "draws": 2}
    coverage(STUDY, [Feols()], seed=1, **options)
    with pytest.raises(UnreadableFile, match="must hold draws of this call"):
        coverage(STUDY, [Feols()], seed=2, **options)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UnreadableFile, match=r"must be a whole Parquet file|must be as it was written"):
        coverage(STUDY, [Feols()], seed=1, **options)


STALE = {
    "an option": (Counting(shrink=0.5), "`feols` had shrink 1.0, now 0.5"),
    "an option of an engine within": (Counting(inner=Feols(seed=3)), "`feols` had inner.seed 0, now 3"),
    "another engine of that name": (Feols(), "`feols` had "),
}


@pytest.mark.parametrize("name", STALE)
def test_draws_of_an_engine_with_other_options_are_not_taken_up(name, tmp_path):
    other, sentence = STALE[name]
    options = {"shapes": ["none"], "reference": FIT, "path": tmp_path / "d.parquet", "draws": 2, "seed": 1}
    first = coverage(STUDY, [Counting()], **options)
    with pytest.raises(UnreadableFile, match=rf"made with other options: {sentence}.*Choose another `path`"):
        coverage(STUDY, [other], **options)
    assert coverage(STUDY, [Counting()], **options).rows == first.rows
    both = coverage(STUDY, [Counting(), replace(STALE["an option"][0], name="half")], **options)
    assert {row.engine for row in both.rows} == {"feols", "half"}
    with pytest.raises(UnreadableFile, match=r"`half` had shrink 0.5, now 1.0"):
        coverage(STUDY, [Counting(name="half")], **options)


OTHER_CALLS = {
    "another study": {"study": study_of(n=400, cluster="village", seed=5)},
    "another seed": {"seed": 2},
    "another level": {"level": 0.9},
    "another reference fit or scale": {"scale": 0.4},
}


@pytest.mark.parametrize("name", OTHER_CALLS)
def test_draws_of_another_call_are_named(name, tmp_path):
    call = {"study": STUDY, "engines": [Feols()], "shapes": ["none"], "draws": 2, "reference": FIT, "seed": 1}
    call["path"] = tmp_path / "d.parquet"
    coverage(**call)
    with pytest.raises(UnreadableFile, match=name):
        coverage(**call | OTHER_CALLS[name])


def test_draws_of_other_code_are_not_taken_up(tmp_path, monkeypatch):
    options = {"shapes": ["none"], "reference": FIT, "path": tmp_path / "d.parquet", "draws": 2, "seed": 1}
    coverage(STUDY, [Feols()], **options)
    monkeypatch.setattr(digest, "code", lambda: "other")
    with pytest.raises(UnreadableFile, match="another version of hte_bridge or of a library"):
        coverage(STUDY, [Feols()], **options)


def test_an_engine_that_cannot_be_told_from_another_needs_no_file(tmp_path):
    odd = replace(Counting(), inner=object())
    with pytest.raises(InvalidOption, match=r"options that can be told from others. One holds a object"):
        coverage(STUDY, [odd], draws=2, reference=FIT, path=tmp_path / "d.parquet")


def test_engines_without_an_interval_or_predictions_say_so():
    study = study_of(n=300)
    table = coverage(study, [Meta("T", LinearRegression())], draws=2, shapes=["none"], seed=1)
    assert "meta-T gives no interval for the cate" in table.reading
    dose = study_of(n=300, dose=True)
    with pytest.raises(NotIdentified, match="None has any: meta-T: The T-learner needs"):
        coverage(dose, [Meta("T", LinearRegression())], draws=2, seed=1)
    table = coverage(dose, [Feols(), Meta("T", LinearRegression())], draws=2, shapes=["none"], seed=1)
    assert "2 draws failed" in row_of(table, "meta-T", "coverage", "none: ape").note
    assert np.isfinite(row_of(table, "feols", "coverage", "none: ape").estimate)


def test_panels_work():
    study = study_of(n=400, fixed_effects="village", cluster="village")
    table = coverage(study, [Feols()], draws=2, shapes=["smooth"], seed=1)
    assert np.isfinite(row_of(table, "feols", "rmse", "smooth: ape").estimate)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"shapes": ["wavy"]}, "`shapes` must be some of none, linear, threshold, smooth. wavy was given"),
        ({"draws": 1}, "`draws` must be a whole number"),
    ],
)
def test_options_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(InvalidOption, match=sentence):
        coverage(STUDY, [Feols()], **options)
    with pytest.raises(InvalidOption, match="names of their own"):
        coverage(STUDY, [Feols(), Feols()])
