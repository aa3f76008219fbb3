"""Passes over rows on disk: the same sums, the same held-out predictions, whoever makes them and in whatever parts."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep import route_stream
from hte_bridge.engines.deep.basis import edges, fixed_effects, networks, residual
from hte_bridge.engines.deep.basis.data import Rows, unique_rows
from hte_bridge.engines.deep.basis.features import Basis, Block
from hte_bridge.engines.deep.basis.normal_equations import eliminate, normal_equations, total
from hte_bridge.engines.deep.passes import models, ordered
from hte_bridge.engines.deep.passes.swept_sums import swept_sums
from hte_bridge.errors import InvalidOption, NotEnoughMemory, NotIdentified, UnreadableFile, WorkersLost
from hte_bridge.simulate.panel import panel
from hte_bridge.stream import Processes
from hte_bridge.stream.workers import Cluster, runner_for

ROUNDING = 1e-9  # of the largest entry


def some_rows(effects: int, n: int = 600) -> Rows:
    """Rows of users sorted, with a vendor and a region above the user, which the user's effect takes up."""
    rng = np.random.default_rng(4)
    user = np.sort(rng.integers(0, 40, n))
    others = np.column_stack([rng.integers(0, 9, n), user % 3])[:, : effects - 1]
    x = np.column_stack([user / 10.0, rng.integers(0, 5, n), rng.normal(size=n)])
    _, place = unique_rows(x)
    codes = np.column_stack([user, others])
    sizes = tuple(int(each) + 1 for each in codes.max(axis=0))
    points = np.empty((place.max() + 1, 3))
    points[place] = x
    t = rng.normal(size=n)
    return Rows(
        x[:, 2] * t + rng.normal(size=n),
        t,
        rng.uniform(0.5, 2, n),
        codes,
        sizes,
        np.zeros(n, dtype=int),
        place,
        points,
    )


@pytest.mark.parametrize("effects", [1, 2, 3])
@pytest.mark.parametrize("most", [3, 512])
def test_sums_net_of_an_effect_are_those_that_eliminate_it(effects, most, monkeypatch):
    monkeypatch.setattr("hte_bridge.engines.deep.passes.swept_sums.MOST_LEVELS", most)
    rows = some_rows(effects)
    blocks = [Block("constant", "constant", ()), Block("linear", "linear", (0, 1, 2), drift=True)]
    basis = Basis.fit(blocks, rows.points, np.zeros(3), np.ones(3))
    drift = np.array([False, True, True, True])
    columns = np.arange(7)
    whole = eliminate(normal_equations(rows, basis, drift), rows.sizes, columns, slopes=False)
    others = rows.effects[:, 1:] if effects > 1 else np.zeros((rows.n, 1), dtype=int)
    less = Rows(
        rows.outcome,
        rows.treatment,
        rows.weight,
        others,
        rows.sizes[1:] or (1,),
        rows.fold,
        rows.point,
        rows.points,
    )
    half = np.searchsorted(rows.effects[:, 0], 20)
    parts = [
        swept_sums(less.at(some), rows.effects[some, 0], basis, drift)
        for some in np.split(np.arange(rows.n), [half])
    ]
    before = {name: each.copy() for name, each in parts[0].arrays().items()}
    for factored in (True, False):
        if not factored:
            monkeypatch.setattr(
                fixed_effects, "ELIMINATION", replace(fixed_effects.ELIMINATION, swept_levels=0)
            )
        found = eliminate(total(parts), less.sizes, columns, slopes=False)
        for name, each in parts[0].arrays().items():  # sums of a fold serve the models of several others
            assert np.array_equal(each, before[name]), name
        assert found.freedom == whole.freedom == rows.n - np.linalg.matrix_rank(rows.dummies().toarray())
        for name in ("gram", "target", "second"):
            ours, theirs = getattr(found, name), getattr(whole, name)
            assert np.abs(ours - theirs).max() < ROUNDING * np.abs(theirs).max(), name


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_networks_that_are_shown_few_batches_are_trained(epochs):
    rows = some_rows(1, n=50)
    options = networks.TauNetOptions(epochs=epochs, hidden=(4,))
    found = networks.train(rows, rows.points, "plain", 1, 0, options)
    assert all(np.isfinite(each).all() for each in found.layers)


# --- a fit from files -------------------------------------------------------------------------------------------

OPTIONS = hb.Deep(seed=1, n_folds=2, epochs=3, hidden=(8,), device="cpu")
ROLES = {"outcome": "y", "treatment": "t", "covariates": ["a", "b", "U0"]}
EFFECTS = {"fixed_effects": ["user", "vendor", "period"], "cluster": "user"}
COLUMNS = ("cate", "outcome_mean", "propensity", "treatment_variance")


@pytest.fixture(scope="module")
def frame():
    return panel("linear", n_rows=1_500, n_users=50, n_vendors=9, n_periods=4, seed=4).frame()


@pytest.fixture(scope="module")
def folder(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("clicks")
    frame.iloc[:700].to_parquet(path / "a.parquet", row_group_size=300)
    frame.iloc[700:].to_parquet(path / "b.parquet")
    return path


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Several blocks in each fold, of studies that count as many rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "FEWEST_ROWS", 150)
        patch.setattr(route_stream, "SAMPLE", replace(route_stream.SAMPLE, in_memory=0))
        yield


@pytest.fixture(scope="module")
def streamed(folder):
    study = hb.Study.from_parquet(folder, **ROLES, **EFFECTS)
    return study, OPTIONS.fit(study, hb.Folds.make(study, 2, 1))


def furthest(one, other):
    """Largest gap between held-out columns, of the column's largest value."""
    gaps = []
    for name in COLUMNS:
        a, b = getattr(one, name), getattr(other, name)
        gaps.append(np.abs(a - b).max() / np.abs(b).max())
    return max(gaps)


def test_a_panel_from_files_is_held_out_as_in_memory(frame, streamed, monkeypatch):
    _, fit = streamed
    monkeypatch.setattr(
        edges, "EDGES", replace(edges.EDGES, most_points=0)
    )  # a study of files has no such account
    memory = hb.Study.from_frame(frame, **ROLES, **EFFECTS)
    whole = OPTIONS.fit(memory, hb.Folds.make(memory, 2, 1))
    assert fit.branch.kind == "stream"
    assert furthest(fit.heldout, whole.heldout) < 1e-7  # the memory route adds the same sums in another order
    assert fit.heldout.lost == whole.heldout.lost
    assert np.abs(fit.info["noise"] / whole.info["noise"] - 1) < 1e-9
    ours, theirs = (each.cate(frame.head(50)) for each in (fit, whole))
    assert np.isfinite(ours.to_numpy()).all()
    assert np.abs(ours["estimate"] - theirs["estimate"]).max() < 0.2 * theirs["std_error"].mean()


def test_a_jump_between_knots_gets_finer_ones(streamed, monkeypatch):
    study, fit = streamed
    monkeypatch.setattr(models, "BREAKS", replace(models.BREAKS, few_rows=0))
    found = OPTIONS.fit(study, fit.folds)
    assert any("jump" in name for name in found.info["variances"])
    assert found.info["noise"] < 0.95 * fit.info["noise"]
    monkeypatch.setattr(route_stream, "forecast", lambda *_: np.inf)  # no room for them
    monkeypatch.setattr(route_stream, "check_memory", lambda *_: None)
    assert np.array_equal(OPTIONS.fit(study, fit.folds).heldout.cate, fit.heldout.cate)


def test_what_no_block_explains_is_read_from_all_rows(frame, tmp_path):
    rng = np.random.default_rng(5)
    rough = frame.assign(y=frame["y"] + 2.0 * rng.normal(size=len(frame)) * frame["t"])
    rough.to_parquet(tmp_path / "a.parquet")
    fit = OPTIONS.fit(hb.Study.from_parquet(tmp_path, **ROLES, **EFFECTS))
    assert 1.5 < fit.info["nugget"] ** 0.5 < 2.5


@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_rows_of_the_same_point_tell_noise_from_what_no_block_explains(spread):
    rng = np.random.default_rng(3)
    point, t = np.repeat(np.arange(2_000), 25), np.repeat(rng.poisson(2.0, 2_000), 25).astype(float)
    left = rng.normal(size=(15, len(t))) + t * spread * rng.normal(size=2_000)[point]
    missed = [
        [residual.nugget(each, t, np.ones(len(t)), None, given)[0] ** 0.5 - spread for each in left]
        for given in (None, point)
    ]
    by_rows, by_points = np.sqrt(np.square(missed).mean(axis=1))
    assert by_points < 0.75 * by_rows


def test_it_answers_as_any_other_fit(frame, streamed, tmp_path):
    _, fit = streamed
    assert "two passes" in fit.diagnostics()["reading"].str.cat()
    assert set(fit.structure().index) == set(ROLES["covariates"])
    with pytest.raises(NotIdentified, match="`user` was swept out"):
        fit.effects("user")
    again = type(fit).load(fit.save(tmp_path / "deep.npz"))
    assert again.cate(frame.head(5)).equals(fit.cate(frame.head(5)))


@pytest.mark.parametrize("cluster", ["cell", None])
def test_effects_that_no_fold_holds_whole_stay_in_the_sums(frame, folder, cluster):
    roles = ROLES | {"fixed_effects": ["user", "vendor"], "cluster": cluster}
    fits = []
    for study in (hb.Study.from_parquet(folder, **roles), hb.Study.from_frame(frame, **roles)):
        fold = np.arange(study.n) % 2 if cluster is None else study.cluster % 2
        fits.append(OPTIONS.fit(study, hb.Folds(fold.astype(np.int64), 2, 1)))
    assert furthest(fits[0].heldout, fits[1].heldout) < 1e-7


def test_levels_that_are_solved_for_step_by_step_give_the_same_predictions(streamed, monkeypatch):
    study, fit = streamed
    monkeypatch.setattr(fixed_effects, "ELIMINATION", replace(fixed_effects.ELIMINATION, swept_levels=0))
    found = OPTIONS.fit(study, fit.folds)
    assert furthest(found.heldout, fit.heldout) < 1e-8
    assert abs(found.info["noise"] / fit.info["noise"] - 1) < 1e-9


def test_workers_give_the_same_bits(streamed, monkeypatch):
    study, fit = streamed
    monkeypatch.setattr(route_stream, "SAMPLE", replace(route_stream.SAMPLE, rest=0))
    again = replace(study, stored=replace(study.stored, runner=Processes(2)))
    found = OPTIONS.fit(again, fit.folds)
    assert len(ordered.blocks_of(np.zeros(1_500, dtype=int), np.arange(1_500), True)) > 4
    for name in COLUMNS:
        assert np.array_equal(getattr(found.heldout, name), getattr(fit.heldout, name)), name


def test_rows_in_other_files_give_the_same_bits(frame, streamed, tmp_path):
    _, fit = streamed
    frame.to_parquet(tmp_path / "one.parquet", row_group_size=77)
    study = hb.Study.from_parquet(tmp_path, **ROLES, **EFFECTS)
    found = OPTIONS.fit(study, hb.Folds.make(study, 2, 1))
    assert np.array_equal(found.heldout.cate, fit.heldout.cate)


def test_files_of_labelled_rows_may_stand_in_any_order(frame, tmp_path):
    found, order = [], np.random.default_rng(3).permutation(len(frame))
    for name, rows in (("one", np.arange(len(frame))), ("other", order)):
        (tmp_path / name).mkdir()
        frame.assign(id=np.arange(len(frame))).iloc[rows].to_parquet(
            tmp_path / name / "a.parquet", index=False
        )
        study = hb.Study.from_parquet(tmp_path / name, **ROLES, **EFFECTS, index="id")
        fit = OPTIONS.fit(study, hb.Folds.make(study, 2, 1))
        back = np.argsort(rows)
        found.append(np.column_stack([getattr(fit.heldout, each)[back] for each in COLUMNS]))
    assert np.abs(found[0] - found[1]).max() < ROUNDING * np.abs(found[0]).max()


def test_few_rows_of_files_are_fitted_as_their_frame_is(frame, tmp_path, monkeypatch):
    monkeypatch.setattr(route_stream, "SAMPLE", replace(route_stream.SAMPLE, in_memory=300))
    few = frame.head(246)
    few.to_parquet(tmp_path / "a.parquet")
    roles = ROLES | {"fixed_effects": ["vendor"], "cluster": "user"}
    found = [
        replace(OPTIONS, epochs=1).fit(door(given, **roles))
        for door, given in ((hb.Study.from_parquet, tmp_path), (hb.Study.from_frame, few))
    ]
    assert np.array_equal(found[0].heldout.cate, found[1].heldout.cate)


def test_a_cross_section_from_files(tmp_path):
    from hte_bridge.simulate import nie_wager

    made = nie_wager(1_500, seed=1, setup="A", d=5)
    made.frame().to_parquet(tmp_path / "visits.parquet")
    study = hb.Study.from_parquet(tmp_path, outcome="y", treatment="t", covariates=made.columns)
    table = hb.compare(study, [OPTIONS], estimands=["ate"], seed=1, n_folds=2, on_error="raise")
    row = table.rows[0]
    assert abs(row.estimate - made.cate.mean()) < 4 * row.std_error
    assert table.fits["deep"].branch.kind == "stream"
    assert table.fits["deep"].heldout.propensity.min() > 0


def test_what_would_not_fit_is_forecast(streamed):
    from hte_bridge.engines.deep.route_stream import check_memory
    from hte_bridge.engines.deep.store.memory import Budget

    made = type("Made", (), {"basis": type("Basis", (), {"size": 3_000}), "drift": np.ones(1_000)})
    made.rows = type("Rows", (), {"n": 10})
    wide = replace(ordered.Ordered(None, (), (100_000,), True))
    with pytest.raises(NotEnoughMemory, match=r"100,000 levels and 4,000 features they would take [\d.]+ GB"):
        check_memory(made, wide, 5, Budget(1e9), 0.0)


def test_a_fit_that_was_killed_goes_on_with_the_same_bits(streamed, tmp_path, monkeypatch):
    from hte_bridge.engines.deep.passes import sums

    study, fit = streamed
    made, real = [], sums.swept_sums

    def counted(*given):
        made.append(1)
        if len(made) == 6:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(sums, "swept_sums", counted)
    kept = replace(OPTIONS, checkpoint=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        kept.fit(study, fit.folds)
    found = kept.fit(study, fit.folds)
    assert len(made) == fit.info["blocks"] + 1  # the one that was begun is begun again
    assert np.array_equal(found.heldout.cate, fit.heldout.cate)
    assert len(list(tmp_path.glob("sums-*"))) == 2  # a file for each fold; blocks' own are gone


def test_a_process_that_is_killed_costs_its_own_work_alone(tmp_path):
    def fails_once(number):  # the first call for 2 ends its process, as the system does where memory runs out
        if number == 2 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    processes = Processes(2)
    assert list(processes.map(fails_once, range(4))) == [0, 1, 4, 9]
    assert (tmp_path / "killed").exists()
    processes.rest()  # they come back when they are asked
    assert processes.map_sum(fails_once, range(4)) == 14


def test_who_makes_the_passes_is_said(frame):
    study = hb.Study.from_frame(frame, **ROLES, **EFFECTS)
    with pytest.raises(InvalidOption, match="`client` is for a study of files"):
        hb.compare(study, ["feols"], client=object())  # before anything is fitted
    with pytest.raises(InvalidOption, match="must be a client of Dask"):
        runner_for(10, client="tcp://here")


class Gone:
    """A client whose scheduler went away."""

    def map(self, *given, **options):
        raise RuntimeError("Cannot send: client is closed")


def test_a_cluster_that_went_away_is_a_sentence():
    with pytest.raises(
        WorkersLost, match=r"must last as long as the fit. It did not .RuntimeError: Cannot send"
    ):
        Cluster(Gone()).map_sum(abs, [1, 2])


def test_scores_are_a_file_in_double_precision(streamed, tmp_path):
    from hte_bridge.comparison import Comparison
    from hte_bridge.scores_file import read_scores

    study, fit = streamed
    table = Comparison((), {}, study, fit.folds, {"deep": fit}, 0.95, {}, "raise")
    file = table.save_scores(tmp_path / "scores.parquet")
    found = read_scores(file)
    assert np.array_equal(found["deep gamma"], table.scores("deep").gamma)
    assert np.array_equal(found["deep cate"], fit.heldout.cate)
    assert np.array_equal(found["fold"], fit.folds.fold)
    with pytest.raises(InvalidOption, match=r"saved as .parquet. `scores.csv` was asked for"):
        table.save_scores(tmp_path / "scores.csv")
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UnreadableFile, match="must be"):
        read_scores(file)
