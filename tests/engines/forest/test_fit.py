"""hb.CausalForest: its options, its fit, its file."""

import json
import pickle
import re
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge import free_memory
from hte_bridge.engine import Engine, Fit
from hte_bridge.engines.forest import CausalForest, CausalForestFit
from hte_bridge.errors import (
    InvalidNewData,
    InvalidOption,
    NotEnoughMemory,
    RUnavailable,
    UnreadableFile,
    UnwritableFolder,
)
from hte_bridge.rlink import client, memory
from hte_bridge.sealed import OPEN, seal

N = 300


def frame(seed=0):
    rng = np.random.default_rng(seed)
    df = pd.DataFrame(
        {
            "age of": rng.normal(size=N),
            "region": rng.choice(["north", "south", "west"], N),
            "village": rng.integers(0, 25, N),
            "weight": rng.uniform(0.5, 2, N),
        },
        index=np.arange(N) + 1000,
    )
    df["d"] = (rng.random(N) < 0.5) * 1.0
    df["y"] = df["age of"] * df["d"] + rng.normal(size=N)
    df.loc[df.index[::9], "age of"] = np.nan
    return df


DF = frame()
ROLES = {"outcome": "y", "treatment": "d", "covariates": ["age of", "region"]}
STUDY = hb.Study.from_frame(DF, **ROLES, cluster="village")
SMALL = CausalForest(num_trees=100, seed=3)


@pytest.fixture(scope="module")
def fit():
    return SMALL.fit(STUDY)


BAD = {
    "num_trees": (0, "`num_trees` must be a whole number, 1 or more. 0 was given."),
    "min_node_size": (2.5, "`min_node_size` must be a whole number"),
    "mtry": (0, "`mtry` must be a whole number"),
    "ci_group_size": (True, "`ci_group_size` must be a whole number"),
    "seed": (-1, "`seed` must be a whole number, 0 to 2,147,483,647. -1 was given."),
    "num_threads": (0, "`num_threads` must be a whole number"),
    "sample_fraction": (0.6, "`sample_fraction` must be above 0 and at most 0.5. 0.6 was given."),
    "honesty_fraction": (1.0, "`honesty_fraction` must be strictly between 0 and 1"),
    "alpha": (0.5, "`alpha` must be at least 0 and below 0.5"),
    "imbalance_penalty": (-1, "`imbalance_penalty` must be at least 0"),
    "honesty": ("yes", "`honesty` must be True or False. 'yes' was given."),
    "tune_parameters": (("depth",), "`tune_parameters` must be 'none', 'all' or a tuple of sample.fraction"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_option_is_refused_before_r_is_asked(name):
    value, sentence = BAD[name]
    with pytest.raises(InvalidOption, match=re.escape(sentence)):
        CausalForest(**{name: value})


def test_limits_depend_on_the_group_size_as_in_grf():
    assert CausalForest(ci_group_size=1, sample_fraction=0.8).sample_fraction == 0.8


def test_it_is_an_engine_with_a_name():
    assert isinstance(SMALL, Engine)
    assert (CausalForest().name, CausalForest(label="forest 2").name) == ("grf", "forest 2")


@pytest.mark.r
def test_defaults_are_those_of_grf():
    code = "f <- formals(grf::causal_forest); f[vapply(f, function(x) is.atomic(x) && length(x) == 1, TRUE)]"
    said = client.call("evaluate", options={"code": code})
    ours = CausalForest().grf_options
    shared = set(said) & set(ours)
    assert {name: said[name] for name in shared} == {name: ours[name] for name in shared}
    every = set(client.call("evaluate", options={"code": "names(formals(grf::causal_forest))"}))
    from_study = {"X", "Y", "W", "Y.hat", "W.hat", "sample.weights", "clusters", "compute.oob.predictions"}
    assert every == from_study | set(ours)


CLASHES = {
    "equalised and weighted": (
        {"equalize_cluster_weights": True},
        {"cluster": "village", "weight": "weight"},
        "`equalize_cluster_weights` must be False where the study has weights",
    ),
    "two propensities": ({"propensity": 0.4}, {"propensity": 0.5}, "`propensity` must be given once"),
    "short nuisance": (
        {"outcome_mean": np.zeros(5)},
        {},
        "`outcome_mean` must have one value for each of the study's 300 rows. It has shape (5,).",
    ),
    "nuisance with gaps": (
        {"propensity": np.where(np.arange(N) == 4, np.nan, 0.5)},
        {},
        "`propensity` must be finite. 1 of 300 values are not; the first is in row 4.",
    ),
}


@pytest.mark.parametrize("name", CLASHES)
def test_options_that_clash_with_the_study_are_refused(name):
    options, roles, sentence = CLASHES[name]
    with pytest.raises(InvalidOption, match=re.escape(sentence)):
        replace(SMALL, **options).fit(hb.Study.from_frame(DF, **ROLES, **roles))


def test_a_forest_that_cannot_fit_is_refused_before_it_is_grown(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 10_000_000)
    monkeypatch.setattr(client, "call", lambda *_, **__: 14.0 * N)  # bytes of one tree
    with pytest.raises(
        NotEnoughMemory, match=r"10,000 trees on 300 rows would take about 0.3 GiB.*`num_trees=200`"
    ):
        CausalForest(num_trees=10_000).fit(STUDY)


def test_no_forecast_where_there_is_room(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 2**35)
    monkeypatch.setattr(client, "call", lambda *_, **__: pytest.fail("R was asked"))
    memory.check(STUDY.covariates, STUDY.outcome, STUDY.treatment, 2000, {})


def test_a_container_limits_what_is_free(monkeypatch, tmp_path):
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    limit.write_text("1000\n")
    used.write_text("400\n")
    monkeypatch.setattr(free_memory, "CGROUP", (limit, used))
    assert free_memory.available() == 600
    limit.write_text("max\n")
    assert free_memory.available() > 600


@pytest.mark.r
def test_the_forecast_is_near_what_a_forest_takes(monkeypatch):
    x = np.asfortranarray(np.random.default_rng(0).normal(size=(2000, 5)))
    sized = {"seed": 1, "num.threads": 1}
    monkeypatch.setattr(memory, "PROBE_ROWS", 1000)
    half = memory.forecast(x, x[:, 0], x[:, 1], 100, sized)
    arrays = {"X": x, "Y": x[:, 0], "W": x[:, 1]}
    whole = memory.COPIES * 100 * client.call("forest_tree_bytes", arrays, {**sized, "num.trees": 100})
    assert 0.8 < half / whole < 1.25  # scaled from half the rows and a fifth of the trees


@pytest.mark.r
def test_the_override_grows_it_all_the_same(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 1)
    with pytest.raises(NotEnoughMemory, match="Use fewer rows"):
        SMALL.fit(STUDY)
    assert replace(SMALL, memory_override=True).fit(STUDY).heldout.n == N


@pytest.mark.r
def test_a_fit_keeps_the_contract(fit):
    assert isinstance(fit, Fit)
    assert (fit.engine, fit.rows(0.95), fit.notes, fit.reasons) == ("grf", [], (), {})
    assert fit.heldout.n == fit.study.n == N
    assert fit.heldout.treatment_variance is None
    assert json.loads(json.dumps(dict(fit.info)))["options"]["num_trees"] == 100
    assert all(fit.info[name] for name in ("grf", "R", "compiler", "rpy2", "cate"))


@pytest.mark.r
def test_cate_of_new_rows_has_their_index_and_grf_s_variance(fit):
    new = DF.iloc[[5, 2, 0]]
    table = fit.cate(new, level=0.9)
    assert table.index.equals(new.index)
    assert list(table.columns) == ["estimate", "std_error", "conf_low", "conf_high"]
    half = 1.6448536269514722 * table["std_error"]
    assert np.allclose(table["conf_high"] - table["estimate"], half, rtol=1e-12)
    assert len(fit.cate(new.iloc[:1])) == 1
    assert fit.variance.shape == (N,)
    assert (fit.variance > 0).all()
    assert fit.importance.sum() == pytest.approx(1)
    with pytest.raises(
        InvalidNewData, match=r"`region` must hold levels that the study has seen. 1 it has not: `east`"
    ):
        fit.cate(new.assign(region="east"))


@pytest.mark.r
def test_single_trees_have_no_interval():
    table = replace(SMALL, ci_group_size=1).fit(STUDY).cate(DF)
    assert table["estimate"].notna().all()
    assert table[["std_error", "conf_low", "conf_high"]].isna().all(axis=None)


@pytest.mark.r
def test_known_propensities_and_numbers_given_are_used():
    known = SMALL.fit(hb.Study.from_frame(DF, **ROLES, propensity=0.4)).heldout
    given = replace(SMALL, propensity=0.4).fit(hb.Study.from_frame(DF, **ROLES)).heldout
    assert np.array_equal(known.propensity, np.full(N, 0.4))
    assert np.array_equal(known.cate, given.cate)


@pytest.mark.r
def test_equalised_clusters_are_noted():
    fit = replace(SMALL, equalize_cluster_weights=True).fit(STUDY)
    assert fit.notes == (
        "trees weigh clusters equally (equalize_cluster_weights); the rows average over units",
    )


@pytest.mark.r
def test_too_few_trees_are_said():
    with pytest.raises(
        InvalidOption, match="`num_trees` must be large enough that each unit is left out by some"
    ):
        CausalForest(num_trees=2, seed=1).fit(STUDY)


@pytest.mark.r
def test_tuning_is_recorded():
    quick = {"tune_num_trees": 50, "tune_num_reps": 10, "tune_num_draws": 20}
    fit = replace(SMALL, tune_parameters=("alpha", "mtry"), **quick).fit(STUDY)
    assert set(fit.info["tuned"]) == {
        "sample.fraction", "mtry", "min.node.size", "honesty.fraction", "honesty.prune.leaves", "alpha",
        "imbalance.penalty",
    }  # fmt: skip


@pytest.mark.r
def test_the_same_numbers_after_death_pickling_and_reload(fit, tmp_path):
    before = fit.cate(DF)
    again = pickle.loads(pickle.dumps(fit))
    path = fit.save(tmp_path / "forest.rds")
    client.shutdown()
    pd.testing.assert_frame_equal(fit.cate(DF), before, check_exact=True)
    pd.testing.assert_frame_equal(again.cate(DF), before, check_exact=True)
    loaded = CausalForestFit.load(path)
    pd.testing.assert_frame_equal(loaded.cate(DF), before, check_exact=True)
    client.shutdown()
    pd.testing.assert_frame_equal(loaded.cate(DF), before, check_exact=True)  # read again
    assert np.array_equal(loaded.variance, fit.variance)


@pytest.mark.r
def test_a_saved_fit_brings_its_study(tmp_path):
    study = hb.Study.from_frame(DF, **ROLES, cluster="village", weight="weight", propensity=0.5)
    fit = SMALL.fit(study)
    loaded = CausalForestFit.load(fit.save(tmp_path / "new" / "forest.rds"))
    for name in ("outcome", "treatment", "covariates", "cluster", "weight", "propensity", "cluster_levels"):
        assert np.array_equal(getattr(loaded.study, name), getattr(study, name), equal_nan=True), name
    assert loaded.study.names == study.names
    assert loaded.study.index.equals(study.index)
    for name in ("cate", "outcome_mean", "propensity"):
        assert np.array_equal(getattr(loaded.heldout, name), getattr(fit.heldout, name)), name
    same = [each.name for each in fields(fit.options)]
    assert [getattr(loaded.options, name) for name in same] == [getattr(fit.options, name) for name in same]
    assert loaded.info == json.loads(json.dumps(dict(fit.info)))


@pytest.mark.r
def test_unreadable_files_are_said(fit, tmp_path):
    whole = fit.save(tmp_path / "forest.rds")
    cut, older, other, newer = (tmp_path / f"{name}.rds" for name in ("cut", "older", "other", "newer"))
    cut.write_bytes(whole.read_bytes()[:500])
    older.write_bytes(whole.read_bytes()[: -len(OPEN)])
    attribute = "x <- list(); attr(x, 'hte_bridge') <- '{\"version\": 99, \"units\": {}}'"
    for path, made in ((other, "x <- 1:3"), (newer, attribute)):
        client.call("evaluate", options={"code": f"{made}; saveRDS(x, '{path}', version = 2); 1"})
        path.write_bytes(path.read_bytes() + OPEN)
        seal(path)
    for path, found in (
        (cut, "It has none: it is truncated"),
        (older, "It has none: it is truncated, of another kind, or of an older"),
        (other, "It is an R file of something else"),
        (newer, "of format 4 or older. It is of format 99.*Upgrade"),
    ):
        with pytest.raises(UnreadableFile, match=found):
            CausalForestFit.load(path)
    with pytest.raises(UnreadableFile, match="There is no `"):
        CausalForestFit.load(tmp_path / "absent.rds")
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableFolder, match="The output folder must be one that can be written"):
        fit.save(tmp_path / "file" / "forest.rds")
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "cut.rds",
        "file",
        "forest.rds",
        "newer.rds",
        "older.rds",
        "other.rds",
    ]


def test_without_r_the_fit_says_what_is_missing(monkeypatch, tmp_path):
    client.shutdown()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("R_HOME", raising=False)
    with pytest.raises(RUnavailable, match="R must be installed for this engine"):
        SMALL.fit(STUDY)
    client.shutdown()
