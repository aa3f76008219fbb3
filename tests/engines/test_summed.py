"""feols from sums over parts and levels: pyfixest's coefficients and errors, and the held-out scores, of the same rows in memory."""

import pickle
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.engines import summed
from hte_bridge.errors import HteBridgeError
from hte_bridge.simulate.panel import panel
from hte_bridge.stream import Serial, levels, parts_of
from hte_bridge.stream.levels import Levels, at_rows, level_sums
from hte_bridge.sweeping import within

EXACT = 1e-8  # what the table must keep of pyfixest's numbers at any size
ROLES = {
    "outcome": "y",
    "treatment": "t",
    "covariates": ["a", "b", "town"],
    "fixed_effects": ["user", "vendor", "period"],
    "cluster": "user",
}
DESIGNS = {
    "one way": {},
    "two ways, weights": {"cluster": ["user", "vendor"], "weight": "w"},
    "no cluster": {"cluster": None},
    "a covariate that an effect absorbs": {"covariates": ["a", "group"], "cluster": "vendor"},
    "one effect": {"fixed_effects": ["user"], "cluster": "vendor"},
    "no effect": {"fixed_effects": None},
    "an experiment": {"fixed_effects": None, "treatment": "d", "weight": "w", "controls": ["group"]},
    "neither": {"fixed_effects": None, "cluster": None, "weight": "w"},
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    df = panel(n_rows=900, n_users=50, n_vendors=8, n_periods=12, seed=1).frame()
    rng = np.random.default_rng(2)
    df["town"], df["w"] = rng.choice(["x", "y", "z", ""], len(df)), rng.choice([1.0, 2.0], len(df))
    df["group"], df["d"] = df["user"] % 7, (df["t"] > 1).astype(int)
    df.loc[7, "b"] = np.nan
    return df


@pytest.fixture(scope="module")
def file(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("summed") / "rows.parquet"
    frame.to_parquet(path)
    return path


@pytest.mark.parametrize("vcov", ["hetero", "iid"])
@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_coefficients_errors_and_influence_are_pyfixests(frame, file, design, vcov):
    if vcov == "iid" and design.get("cluster", "user") is not None:
        pytest.skip("clusters have their own error")
    roles = ROLES | design
    held = hb.Feols(vcov=vcov).fit(hb.Study.from_frame(frame, **roles))
    streamed = hb.Feols(vcov=vcov).fit(hb.Study.from_parquet(file, **roles))
    for one, other in zip(held.rows(0.95), streamed.rows(0.95), strict=True):
        assert abs(one.estimate - other.estimate) < EXACT
        assert abs(one.std_error - other.std_error) < EXACT
        assert (one.df, one.vcov, one.note, one.n_obs, one.n_clusters) == (
            other.df,
            other.vcov,
            other.note,
            other.n_obs,
            other.n_clusters,
        )
        assert np.abs(one.influence - other.influence).max() < EXACT
        assert np.abs(one.share - other.share).max() < EXACT
    if vcov == "hetero":
        assert np.abs(held.cate(frame[:9]) - streamed.cate(frame[:9])).max(axis=None) < EXACT
        for name in ("cate", "outcome_mean", "propensity", "treatment_variance"):
            if getattr(held.heldout, name) is None:
                continue
            assert np.abs(getattr(held.heldout, name) - getattr(streamed.heldout, name)).max() < EXACT, name
        assert held.heldout.lost == streamed.heldout.lost


@dataclass
class Elsewhere(Serial):
    """Makes passes as another process does: of what it is sent it knows the bytes alone."""

    sent: list[int] = field(default_factory=list)

    def map(self, function, items):
        work = pickle.dumps(function)
        self.sent.append(len(work))
        return (pickle.loads(pickle.dumps(pickle.loads(work)(item))) for item in items)


@pytest.mark.parametrize("design", ["two ways, weights", "no effect"])
def test_passes_may_be_made_elsewhere_and_what_is_sent_there_is_small(file, design, monkeypatch):
    monkeypatch.setattr(summed, "parts_of", lambda n: parts_of(n, 200))
    here = hb.Study.from_parquet(file, **ROLES | DESIGNS[design])
    there = here.with_(stored=replace(here.stored, runner=Elsewhere()))
    one, other = (hb.Feols().fit(study) for study in (here, there))
    assert [(row.estimate, row.std_error) for row in one.rows(0.95)] == [
        (row.estimate, row.std_error) for row in other.rows(0.95)
    ]
    assert np.array_equal(one.heldout.cate, other.heldout.cate)
    sent = there.stored.runner.sent
    assert len(sent) >= 2
    assert max(sent) < 5_000


@pytest.mark.parametrize("dense", [levels.DENSE, 0], ids=["factored", "by conjugate gradients"])
@pytest.mark.parametrize("connected", [True, False], ids=["connected", "in two parts"])
def test_what_levels_leave_is_what_sweeps_leave(monkeypatch, dense, connected):
    monkeypatch.setattr(levels, "DENSE", dense)
    rng = np.random.default_rng(3)
    effects = np.column_stack([rng.integers(0, size, 600) for size in (40, 9, 5)])
    if not connected:
        effects[:, 1:] = effects[:, 1:] // 2 * 2 + (effects[:, :1] % 2)
    sizes = tuple((effects.max(axis=0) + 1).tolist())
    values, weight = rng.normal(size=(600, 3)), rng.uniform(0.5, 2, 600)
    values[:, 2] = effects[:, 0]  # of which the widest effect leaves rounding alone
    sums = np.zeros((sum(sizes), 3))
    level_sums(values, effects, weight, sizes, sums)
    found = Levels.of(effects, weight, sizes).solve(sums, weight @ values**2)
    left = values - at_rows(found, effects, sizes)
    assert np.abs(left - within(values, effects, weight)).max() < 1e-10


def test_a_treatment_that_effects_determine_is_refused_as_in_memory(frame, tmp_path):
    frame = frame.assign(t=frame["user"] % 3 + 0.0)
    frame.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(HteBridgeError) as held:
        hb.Study.from_frame(frame, **ROLES, treatment_type="continuous")
    with pytest.raises(HteBridgeError) as streamed:
        hb.Study.from_parquet(tmp_path / "rows.parquet", **ROLES, treatment_type="continuous")
    assert str(held.value) == str(streamed.value)
