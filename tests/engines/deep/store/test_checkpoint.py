"""A fit that was killed goes on where it was, with the same bits; what does not match, or is broken, is made anew."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from joblib import parallel_config
from scipy import sparse

import hte_bridge as hb
from hte_bridge.digest import fingerprint
from hte_bridge.engines.deep import route_files
from hte_bridge.engines.deep.basis import cells, mixed_model, networks
from hte_bridge.engines.deep.basis.ensemble import ENSEMBLE
from hte_bridge.engines.deep.basis.normal_equations import SUMS, NormalEquations
from hte_bridge.engines.deep.gp import regression
from hte_bridge.engines.deep.nuisance.crossfit import Splits
from hte_bridge.engines.deep.store import checkpoint
from hte_bridge.engines.deep.store.checkpoint import Checkpoint
from hte_bridge.errors import InvalidOption
from hte_bridge.simulate import dense
from hte_bridge.simulate.panel import panel

pytestmark = pytest.mark.usefixtures("blocks_alone")


OPTIONS = hb.Deep(seed=1, n_folds=2, epochs=2, hidden=(8,), kernel_max_rows=0)
ROLES = {
    "outcome": "y",
    "treatment": "t",
    "covariates": ["U0", "V1"],
    "fixed_effects": ["user", "vendor", "period"],
}
NETWORKS, FOLDS = 4, 2  # two kinds of input in each of two folds
WITH_EDGES = {
    "panel": 2,
    "gram": 4,
}  # sums of the account with edges, as many as of the first over all rows: seconds, and not kept


def small_panel():
    return panel("linear", n_rows=400, n_users=20, n_vendors=10, n_periods=4, seed=3).frame()


def panel_study():
    return hb.Study.from_frame(small_panel(), **ROLES)


def cross_section():
    draw = dense(300, seed=5, p=2)
    return hb.Study.from_frame(draw.frame(), outcome="y", treatment="t", covariates=draw.columns)


STUDIES = {"panel": panel_study, "gram": cross_section}


@cache
def plain(name):
    """The fit that never heard of a checkpoint."""
    return OPTIONS.fit(STUDIES[name]())


@pytest.fixture(autouse=True)
def no_kernel_candidate(monkeypatch):
    monkeypatch.setattr(
        regression, "REGRESSION", replace(regression.REGRESSION, most_rows=0)
    )  # it takes seconds


@pytest.fixture
def work(monkeypatch):
    """Counts what is really done: ensembles trained, folds summed, nuisances fitted."""
    done = {"trained": 0, "summed": 0, "centred": 0}
    for module, name, counted in (
        (networks, "train", "trained"),
        (cells, "normal_equations", "summed"),
        (route_files, "normal_equations", "summed"),
        (Splits, "crossfit", "centred"),
        (Splits, "left_out_twice", "centred"),
    ):
        monkeypatch.setattr(module, name, spied(getattr(module, name), counted, done))
    return done


def spied(function, counted, done):
    def spy(*given):
        done[counted] += 1
        if done[counted] == done.get(f"killed at {counted}"):
            raise KeyboardInterrupt
        return function(*given)

    return spy


class Enough(Exception):
    """What follows the sums is of no interest."""


@pytest.fixture
def only_work(work, monkeypatch):
    """A fit up to its sums, and what it did: ensembles trained, folds summed."""

    def stop(*given):
        raise Enough

    def until_the_sums(options, study):
        work.update(trained=0, summed=0)
        with pytest.raises(Enough):
            options.fit(study)
        return work["trained"], work["summed"]

    monkeypatch.setattr(mixed_model, "likelier", stop)
    return until_the_sums


def bits(fit):
    """Every array of the fit: held-out predictions and the posterior."""
    held = {name: getattr(fit.heldout, name) for name in ("cate", "outcome_mean", "propensity")}
    return held | fit.branch.posterior.state()[0]


def assert_same_bits(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert np.array_equal(ours[name], theirs[name], equal_nan=True), name


def no_space(*given, **named):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", STUDIES)
def test_with_without_and_continued_after_a_kill_the_bits_are_the_same(name, work, tmp_path):
    study, without = STUDIES[name](), plain(name)
    kept = replace(OPTIONS, checkpoint=tmp_path)
    work |= {"trained": 0, "killed at trained": 3}
    with pytest.raises(KeyboardInterrupt):
        kept.fit(study)
    assert len(list(tmp_path.glob("network-*.npz"))) == 2
    work |= {"trained": 0, "summed": 0, "centred": 0, "killed at trained": 0}
    fit = kept.fit(study)
    # halves of the two folds, as each is left out in turn; then those that each fold's models see, centred without it
    summed = {"panel": FOLDS, "gram": 2 * FOLDS + 2 * FOLDS}[name] + WITH_EDGES[name]
    assert (work["trained"], work["summed"], work["centred"]) == (NETWORKS - 2, summed, 0)
    assert_same_bits(bits(fit), bits(without))
    assert {**fit.branch.info, "seconds": 0} == {**without.branch.info, "seconds": 0}
    assert fit.branch.notes == without.branch.notes


def test_a_kill_among_the_sums_keeps_the_networks_and_the_first_fold(work, tmp_path):
    kept = replace(OPTIONS, checkpoint=tmp_path)
    work |= {"killed at summed": 2}
    with pytest.raises(KeyboardInterrupt):
        kept.fit(panel_study())
    work |= {"trained": 0, "summed": 0, "killed at summed": 0}
    fit = kept.fit(panel_study())
    assert (work["trained"], work["summed"]) == (0, 1 + WITH_EDGES["panel"])
    assert_same_bits(bits(fit), bits(plain("panel")))


def test_another_outcome_or_option_is_not_served_from_the_folder(only_work, tmp_path):
    study, kept = panel_study(), replace(OPTIONS, checkpoint=tmp_path)
    assert only_work(kept, study) == (NETWORKS, FOLDS)
    changed = study.outcome.copy()
    changed[7] += 1e-9
    others = {
        "outcome": (kept, study.with_(outcome=changed)),
        "weight": (kept, study.with_(weight=np.linspace(1, 2, study.n))),
        "seed": (replace(kept, seed=2), study),
        "epochs": (replace(kept, epochs=3), study),
        "hidden": (replace(kept, hidden=(9,)), study),
    }
    for name, (options, other) in others.items():
        assert only_work(options, other) == (NETWORKS, FOLDS), name
    assert only_work(kept, study) == (0, 0)
    assert only_work(replace(kept, label="other", n_jobs=1), study) == (0, 0)  # these move no number


def test_other_code_is_not_served_from_the_folder(only_work, tmp_path, monkeypatch):
    kept = replace(OPTIONS, checkpoint=tmp_path)
    only_work(kept, panel_study())
    monkeypatch.setattr(checkpoint.digest, "code", lambda: "other code")
    assert only_work(kept, panel_study()) == (NETWORKS, FOLDS)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-200])


def foreign_arrays(path):
    np.savez(path, x=np.arange(3))


def one_array(path):
    with path.open("wb") as file:
        np.save(file, np.arange(3))


def text(path):
    path.write_text("not ours", encoding="utf8")


def of_another_key(path):
    with np.load(path) as held:
        arrays = {name: held[name] for name in held.files}
    arrays["json"] = np.frombuffer(b'{"key": "another", "values": {}}', dtype=np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize("spoil", [truncated, foreign_arrays, one_array, text, of_another_key])
def test_a_broken_or_foreign_file_is_made_anew(only_work, tmp_path, spoil):
    study, kept = panel_study(), replace(OPTIONS, checkpoint=tmp_path)
    only_work(kept, study)
    for pattern in ("network-plain-0-*.npz", "sums-1-*.npz"):
        (path,) = tmp_path.glob(pattern)
        before = path.read_bytes()
        spoil(path)
        assert path.read_bytes() != before
    assert only_work(kept, study) == (1, 1)
    assert only_work(kept, study) == (0, 0)  # whole from then on


def test_a_full_disk_is_said_once_and_the_fit_goes_on(tmp_path, monkeypatch):
    without = plain("panel")
    monkeypatch.setattr(np, "savez", no_space)
    with pytest.warns(UserWarning, match=r"No space left.*The fit goes on") as said:
        fit = replace(OPTIONS, checkpoint=tmp_path).fit(panel_study())
    assert len(said) == 1
    assert_same_bits(bits(fit), bits(without))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_keeps_the_old_file(tmp_path, monkeypatch):
    ours = Checkpoint.of(tmp_path).under("a study")
    old, new = (numbers(value) for value in (1.0, 2.0))
    assert ours.write("sums", SUMS, old) == ""
    monkeypatch.setattr(np, "savez", no_space)
    assert "No space left" in ours.write("sums", SUMS, new)
    assert len(list(tmp_path.iterdir())) == 1
    assert ours.read("sums", SUMS).second[0, 0] == 1.0


def numbers(value):
    """Sums of one level and one feature that are this number."""
    one = np.full((1, 1), value)
    two = np.full((1, 2), value)
    return NormalEquations(one, one, sparse.csr_array(one), two, two, np.full((2, 2), value), n=1, n_levels=1)


@pytest.mark.parametrize("name", STUDIES)
def test_a_path_that_cannot_be_a_folder_is_said(name, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf8")
    with pytest.raises(InvalidOption, match="`checkpoint` must be a folder"):
        replace(OPTIONS, checkpoint=tmp_path / "file").fit(STUDIES[name]())


def test_workers_store_what_they_trained_and_numbers_do_not_move(only_work, tmp_path):
    alone, together = (replace(OPTIONS, checkpoint=tmp_path / str(n), n_jobs=n) for n in (1, 2))
    with parallel_config(backend="threading"):  # processes take seconds to start
        for options in (alone, together):
            assert only_work(options, panel_study()) == (NETWORKS, FOLDS)
    for path in (tmp_path / "1").iterdir():
        with np.load(path) as ours, np.load(tmp_path / "2" / path.name) as theirs:
            assert_same_bits(dict(ours), dict(theirs))


def test_the_work_travels_to_another_process(tmp_path):
    there = pickle.loads(pickle.dumps(Checkpoint.of(tmp_path).under("a study").attempt))
    with pytest.raises(ZeroDivisionError):
        there("net", pickle.loads(pickle.dumps(ENSEMBLE)), divmod, 1, 0)
    made, trouble = there("sums", pickle.loads(pickle.dumps(SUMS)), numbers, 1.0)
    assert (made.n, trouble) == (1, "")
    assert Checkpoint.of(tmp_path).under("a study").read("sums", SUMS).n == 1


# --- streamed from Parquet ------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(route_files, "BATCH", 100)
    monkeypatch.setattr(route_files, "STORED_EVERY", 0.0)
    path = tmp_path / "panel.parquet"
    small_panel().to_parquet(path)
    return path


def surface_bits(fit):
    return fit.surface.state()[0]


def test_a_streamed_pass_goes_on_with_its_next_batch(file, work, tmp_path):
    without = OPTIONS.fit_path(file, **ROLES)
    kept = replace(OPTIONS, checkpoint=tmp_path / "state")
    work |= {"trained": 0, "summed": 0, "killed at summed": 3}
    with pytest.raises(KeyboardInterrupt):
        kept.fit_path(file, **ROLES)
    work |= {"trained": 0, "summed": 0, "killed at summed": 0}
    continued = kept.fit_path(file, **ROLES)
    assert (work["trained"], work["summed"]) == (0, 2)  # two of four batches were there
    again = kept.fit_path(file, **ROLES)
    assert (work["trained"], work["summed"]) == (0, 2)
    for fit in (continued, again):
        assert fit.info["rows"] == 400
        assert_same_bits(surface_bits(fit), surface_bits(without))


def test_a_disk_that_fills_in_the_pass_keeps_the_state_of_before(file, work, tmp_path, monkeypatch):
    without = OPTIONS.fit_path(file, **ROLES)
    kept = replace(OPTIONS, checkpoint=tmp_path / "state")
    work |= {"summed": 0, "killed at summed": 3}
    with pytest.raises(KeyboardInterrupt):
        kept.fit_path(file, **ROLES)
    (old,) = (tmp_path / "state").glob("sums-*.npz")
    before = old.read_bytes()
    work |= {"summed": 0, "killed at summed": 0}
    monkeypatch.setattr(np, "savez", no_space)
    with pytest.warns(UserWarning, match="No space left") as said:
        fit = kept.fit_path(file, **ROLES)
    assert (len(said), work["summed"]) == (1, 2)
    assert old.read_bytes() == before
    assert_same_bits(surface_bits(fit), surface_bits(without))


def test_a_file_that_changed_is_summed_again(file, work, tmp_path):
    kept = replace(OPTIONS, checkpoint=tmp_path / "state")
    kept.fit_path(file, **ROLES)
    frame = small_panel()
    frame["y"] = frame["y"] + 1e-9
    frame.to_parquet(file)
    work |= {"trained": 0, "summed": 0}
    kept.fit_path(file, **ROLES)
    assert (work["trained"], work["summed"]) == (NETWORKS, 4)


# --- the fingerprint ------------------------------------------------------------------------------------------


def test_the_fingerprint_tells_values_apart_and_refuses_what_it_cannot_see():
    base = np.arange(4.0)
    different = [
        base,
        base.astype(np.float32),
        base.reshape(2, 2),
        base[:0],
        np.array(["a", "b"]),
        np.array(["a", "b"], dtype=object),
        ("a", "b"),
        ("ab",),
        {"a": "b"},
        1,
        1.0,
        True,
        "1",
        None,
    ]
    assert len({fingerprint(each) for each in different}) == len(different)
    assert fingerprint(np.asfortranarray(base.reshape(2, 2))) == fingerprint(base.reshape(2, 2))
    with pytest.raises(TypeError, match="a object"):
        fingerprint(object())


def test_sums_come_back_as_they_were(tmp_path):
    ours = Checkpoint.of(tmp_path).under("a study")
    rng = np.random.default_rng(1)
    levels = sparse.random_array((5, 5), density=0.4, rng=rng, format="csr")
    made = NormalEquations(
        *(rng.normal(size=shape) for shape in ((3, 3), (5, 3))),
        levels,
        *(rng.normal(size=shape) for shape in ((3, 2), (5, 2), (2, 2))),
        n=9,
        n_levels=4,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.remember("sums", SUMS, lambda: made)
    back = ours.read("sums", SUMS)
    assert (back.levels != levels).nnz == 0
    for name in ("dense", "cross", "target", "level_target", "second", "n", "n_levels"):
        assert np.array_equal(getattr(back, name), getattr(made, name)), name
