"""A panel read from Parquet by row groups gives what the same sums give in memory."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep import route_files as stream
from hte_bridge.errors import NotIdentified, UnreadableFile
from hte_bridge.simulate.panel import COVARIATES, panel
from tests.helpers.posterior import covered, least_covered

ROLES = {
    "outcome": "y",
    "treatment": "t",
    "covariates": list(COVARIATES),
    "fixed_effects": ["user", "vendor", "period"],
}
OPTIONS = hb.Deep(seed=1, n_folds=2, epochs=4, hidden=(16,))


@pytest.fixture(scope="module")
def draw():
    return panel("linear", n_rows=3_000, n_users=60, n_vendors=25, n_periods=6, seed=4)


@pytest.fixture(scope="module")
def folder(draw, tmp_path_factory):
    path = tmp_path_factory.mktemp("panel")
    frame = draw.frame()
    frame.iloc[:1_700].to_parquet(path / "a.parquet", row_group_size=400)
    frame.iloc[1_700:].to_parquet(path / "b.parquet", row_group_size=400)
    return path


def test_batches_of_any_size_give_the_same_fit(draw, folder, monkeypatch):
    whole = stream.fit_path(OPTIONS, folder, **ROLES)
    monkeypatch.setattr(stream, "BATCH", 300)
    split = stream.fit_path(OPTIONS, folder, **ROLES)
    assert whole.info["rows"] == split.info["rows"] == 3_000
    ours, theirs = whole.cate(draw.frame().head(200)), split.cate(draw.frame().head(200))
    order_of_sums = 1e-7
    assert np.abs(ours.to_numpy() - theirs.to_numpy()).max() < order_of_sums
    found = whole.cate(draw.frame())
    assert np.sqrt(np.mean((found["estimate"] - draw.beta) ** 2)) < 0.1 * draw.beta.std()
    joint = lambda new, draws, seed: whole.surface.draws(
        whole.study.fill(whole.study.encoder.transform(new)), draws, seed
    )
    asked = SimpleNamespace(cate=whole.cate, posterior=joint)
    assert covered(found, draw.beta) > least_covered(asked, draw.frame())
    assert list(whole.effects("vendor").columns)[-2:] == ["component", "note"]
    with pytest.raises(NotIdentified, match="`shop` is not one; it has `user`, `vendor`"):
        whole.effects("shop")
    assert len(whole.effects("user")) == 60


def test_a_sample_finds_the_structure_and_all_rows_enter(draw, folder, monkeypatch):
    monkeypatch.setattr(stream, "SAMPLE", replace(stream.SAMPLE, rows=1_500))
    fit = OPTIONS.fit_path(folder, **ROLES)
    assert fit.info["sample"] < 1_700 < fit.info["rows"]
    assert np.isfinite(fit.cate(draw.frame().head(5)).to_numpy()).all()


def test_a_path_without_files_or_columns_is_said(folder, tmp_path):
    with pytest.raises(UnreadableFile, match="None is at"):
        stream.fit_path(OPTIONS, tmp_path, **ROLES)
    with pytest.raises(UnreadableFile, match="lacks `absent`"):
        stream.fit_path(OPTIONS, folder, **(ROLES | {"outcome": "absent"}))
