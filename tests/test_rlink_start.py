"""How R starts: whose library is first, what start-up files can do, and how long it may take."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.errors import RUnavailable
from hte_bridge.rlink import client, process, versions


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working directory and home of its own, and a worker started there."""
    client.shutdown()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield tmp_path
    client.shutdown()


def grf_version():
    return client.call("package_versions", options={"packages": ["grf"]})["grf"]


def other_library(folder):
    """A library with a package that calls itself grf."""
    package = folder / "other" / "grf"
    (package / "Meta").mkdir(parents=True)
    (package / "DESCRIPTION").write_text("Package: grf\nVersion: 2.3.9\n")
    return package.parent


@pytest.mark.r
@pytest.mark.parametrize("name", [".Renviron", "environment"])
def test_no_other_library_comes_before_ours(name, home, monkeypatch):
    ours = versions.library_path()
    if ours is None:
        pytest.skip("grf is in R's own library, there is none of ours")
    other = other_library(home)
    if name == ".Renviron":
        Path(".Renviron").write_text(f"R_LIBS={other}\nR_LIBS_USER={other}\n")
    else:
        monkeypatch.setenv("R_LIBS", str(other))
    found = client.worker().describe()["libraries"]
    assert Path(found[0]).resolve() == ours.resolve()
    assert str(other) in found  # still looked in, after ours: the user's grf is found where we have none
    assert grf_version() == versions.PINNED["grf"]


@pytest.mark.r
@pytest.mark.parametrize("code", ["Sys.sleep(600)", "quit('no')", "stop('no')", "cat('printed\\n')"])
def test_profiles_of_the_user_are_not_run(code, home, monkeypatch):
    Path(".Rprofile").write_text(code + "\n")
    Path("own.R").write_text(code + "\n")
    Path(".Renviron").write_text("R_PROFILE_USER=own.R\n")
    monkeypatch.setenv("HTE_BRIDGE_R_SECONDS", "20")
    assert client.call("evaluate", options={"code": "1 + 1"}) == 2


SITE = {
    "waits": ("cat('waiting for the drive\\n'); Sys.sleep(600)", r"R must start within 3 seconds.*R_PROFILE names"),
    "quits": ("quit('no')", r"must start and say its settings.*start-up file of the site.*it may call `quit\(\)`"),
    "fails": ("stop('no drive')", r"must start and say its settings.*start-up file of the site"),
}  # fmt: skip


@pytest.mark.r
@pytest.mark.parametrize("name", SITE)
def test_a_profile_of_the_site_that_does_not_end_is_said(name, home, monkeypatch):
    code, sentence = SITE[name]
    Path("site.R").write_text(code + "\n")
    monkeypatch.setenv("R_PROFILE", str(home / "site.R"))
    monkeypatch.setenv("HTE_BRIDGE_R_SECONDS", "3")
    with pytest.raises(RUnavailable, match=sentence):
        client.worker()


def test_a_wrong_home_of_r_is_said(home, monkeypatch):
    monkeypatch.setenv("R_HOME", "/nonexistent")
    with pytest.raises(
        RUnavailable, match=r"`R_HOME` must be the folder of an R, or unset. It is `/nonexistent`"
    ):
        client.worker()


@pytest.mark.parametrize("seconds", ["soon", "0", "nan", "1e300"])
def test_a_deadline_is_a_number_of_seconds(seconds, home, monkeypatch):
    monkeypatch.setenv("HTE_BRIDGE_R_SECONDS", seconds)
    with pytest.raises(
        RUnavailable, match="HTE_BRIDGE_R_SECONDS must be the seconds that R may take to start"
    ):
        client.worker()


def test_no_room_for_temporary_files_is_said(home, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(process.tempfile, "TemporaryFile", full)
    with pytest.raises(RUnavailable, match=r"temporary folder that can be written.*No space left.*TMPDIR"):
        client.worker()


@pytest.mark.r
def test_a_grf_other_than_the_pinned_is_said_in_the_table(monkeypatch):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.normal(size=100), "d": rng.integers(0, 2, 100)})
    frame["y"] = frame["d"] + rng.normal(size=100)
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"])
    forest = hb.CausalForest(num_trees=50, seed=1)
    assert forest.fit(study).notes == ()
    monkeypatch.setitem(versions.PINNED, "grf", "0.1")
    table = hb.compare(study, [forest], estimands=["ate"])
    assert f"made with grf {grf_version()}, not the pinned 0.1" in table.rows[0].note


def test_the_pinned_version_is_that_of_the_lock():
    lock = json.loads((Path(__file__).parents[1] / "renv.lock").read_text())["Packages"]
    assert {name: lock[name]["Version"] for name in versions.PINNED} == versions.PINNED


@pytest.mark.r
def test_packages_that_r_attaches_are_there(home, monkeypatch):
    monkeypatch.setenv("R_DEFAULT_PACKAGES", "NULL")
    assert client.call("evaluate", options={"code": "var(c(1, 2, 3))"}) == 1
    assert "R_DEFAULT_PACKAGES" in os.environ  # the caller's environment stays as it is
