"""R's package and Python give the same table; the parity page passes."""

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.frames import to_pandas

ROOT = Path(__file__).parent.parent
TOLERANCE = 1e-8  # what the page promises; sums in another order differ by 1e-15
SEED = 3

pytestmark = pytest.mark.r

SCRIPT = """
library(htebridge)
arguments <- commandArgs(trailingOnly = TRUE)
df <- utils::read.csv(arguments[1])
df$town <- factor(df$town, levels = c("south", "north"))
forest <- hte_causal_forest(num.trees = 100, seed = 5, num.threads = 1)
study <- hte_study(df, outcome = "y", treatment = "d", covariates = c("x", "z", "town"), cluster = "village",
  weight = "w")
table <- hte_compare(study, list(hte_feols(), forest), seed = 3)
hte_save(table, arguments[2])
hte_save(differences(table), arguments[3])
utils::write.csv(cate(table, engine = "grf", newdata = df[1:20, ]), arguments[4], row.names = FALSE)
dose <- hte_study(df, outcome = "y", treatment = "dose", covariates = c("x", "z"))
hte_save(hte_compare(dose, list(hte_feols(), forest), seed = 3), arguments[5])
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """R with the package installed in a library of its own, and this Python."""
    library = tmp_path_factory.mktemp("r-library")
    ours = Path(sys.prefix) / "r-library"
    paths = os.pathsep.join(filter(None, [str(library), str(ours), os.environ.get("R_LIBS", "")]))
    environment = os.environ | {"R_LIBS": paths, "HTE_BRIDGE_PYTHON": sys.executable}
    command = ["R", "CMD", "INSTALL", "--no-docs", "--no-test-load", "--no-byte-compile", "-l", str(library)]
    said = subprocess.run([*command, str(ROOT / "r")], env=environment, capture_output=True, text=True)
    if "ERROR: dependenc" in said.stderr:
        pytest.skip("an R package that htebridge imports is not installed")
    assert said.returncode == 0, said.stderr
    return environment


def experiment() -> pd.DataFrame:
    """Clusters with labels, a category whose levels are not sorted, gaps, weights, and a dose."""
    rng, n = np.random.default_rng(SEED), 400
    frame = pd.DataFrame(rng.normal(size=(n, 2)), columns=["x", "z"])
    frame.loc[::17, "z"] = np.nan
    frame["town"] = rng.choice(["north", "south"], n)
    frame["village"] = [f"v{k}" for k in rng.permutation(np.arange(n) % 30)]
    frame["w"] = rng.uniform(0.5, 2, n)
    frame["d"] = rng.integers(0, 2, n)
    frame["dose"] = rng.normal(size=n) + frame["x"] / 2
    frame["y"] = frame["d"] * (1 + frame["x"]) + rng.normal(size=n)
    return frame


@pytest.fixture(scope="module")
def from_r(environment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    (folder / "script.R").write_text(SCRIPT)
    experiment().to_csv(folder / "data.csv", index=False, float_format="%.17g")
    names = ("data.csv", "table.parquet", "differences.parquet", "cate.csv", "dose.parquet")
    files = [str(folder / name) for name in names]
    command = ["Rscript", "--vanilla", str(folder / "script.R"), *files]
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return folder


@pytest.fixture(scope="module")
def from_python():
    frame = experiment()
    frame["town"] = pd.Categorical(frame["town"], categories=["south", "north"])
    roles = {"outcome": "y", "covariates": ["x", "z", "town"], "cluster": "village", "weight": "w"}
    engines = [hb.Feols(), hb.CausalForest(num_trees=100, seed=5, num_threads=1)]
    study = hb.Study.from_frame(frame, treatment="d", **roles)
    dose = hb.Study.from_frame(frame, outcome="y", treatment="dose", covariates=["x", "z"])
    return frame, hb.compare(study, engines, seed=3), hb.compare(dose, engines, seed=3)


OF_PAGES = """
library(htebridge)
grDevices::pdf(NULL)
arguments <- commandArgs(trailingOnly = TRUE)
setwd(arguments[1])
# the options that a page gives are checked by the engines themselves; what is fitted is quick
hte_causal_forest <- function(...) { htebridge::hte_causal_forest(...); hte_feols(label = "grf") }
hte_deep <- function(...) { htebridge::hte_deep(...); hte_feols(label = "deep") }
for (page in arguments[-1]) source(page, local = new.env(parent = globalenv()), print.eval = TRUE)
"""
INSTALLS = re.compile(r"install\.packages|hte_install\(")


def r_code_of(page):
    """The R of a page, blocks that install left out."""
    found = re.findall(r"^( *)```r\n(.*?)^\1```", page.read_text(encoding="utf8"), re.MULTILINE | re.DOTALL)
    return "\n".join(code for _, block in found if not INSTALLS.search(code := textwrap.dedent(block)))


def test_r_code_of_the_pages_runs_as_it_stands(environment, tmp_path):
    files = []
    for name in ("README.md", "docs/start.md", "docs/howto/from_r.md"):
        files.append(tmp_path / f"{Path(name).stem}.R")
        files[-1].write_text(r_code_of(ROOT / name))
        assert "hte_compare(" in files[-1].read_text()
    (tmp_path / "run.R").write_text(OF_PAGES)
    command = ["Rscript", "--vanilla", str(tmp_path / "run.R"), str(tmp_path), *map(str, files)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout[-500:] + said.stderr


def assert_same(theirs: pd.DataFrame, ours: pd.DataFrame) -> None:
    words = ["engine", "estimand", "term", "vcov", "n_obs", "n_clusters", "note"]
    pd.testing.assert_frame_equal(theirs[words], ours[words])
    for name in ("estimate", "std_error", "conf_low", "conf_high", "df"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=0, atol=TOLERANCE)


def test_the_table_is_the_same_row_for_row(from_r, from_python):
    theirs = hb.Table.load(from_r / "table.parquet")
    assert {row.engine for row in theirs.rows if np.isfinite(row.std_error)} == {"feols", "grf"}
    assert_same(theirs.to_frame(), from_python[1].to_frame())


def test_a_dose_is_the_same_with_its_treatment_variance(from_r, from_python):
    assert_same(hb.Table.load(from_r / "dose.parquet").to_frame(), from_python[2].to_frame())


def test_differences_of_engines_are_the_same(from_r, from_python):
    from hte_bridge.between.differences import differences

    theirs = hb.Table.load(from_r / "differences.parquet").to_frame()
    assert_same(theirs, differences(from_python[1]).to_frame())


def test_effects_at_new_rows_are_the_same(from_r, from_python):
    theirs = to_pandas(from_r / "cate.csv")
    assert list(theirs.columns) == ["estimate", "std.error", "conf.low", "conf.high"]
    ours = from_python[1].cate(from_python[0].head(20), "grf")
    np.testing.assert_allclose(theirs.to_numpy(), ours.to_numpy(), rtol=0, atol=TOLERANCE)


def parity():
    spec = importlib.util.spec_from_file_location("parity", ROOT / "bench" / "parity.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["parity"] = module
    spec.loader.exec_module(module)
    return module


def test_every_line_of_the_parity_page_passes():
    page = parity()
    found = page.lines()
    verdicts = {(line.what, line.term): line.verdict for line in found}
    assert set(verdicts.values()) <= {"pass", "not run"}, verdicts  # "not run": fixest is not installed
    assert sum(verdict == "pass" for verdict in verdicts.values()) >= 12


def test_a_line_of_parity_can_fail():
    line = parity().Line("f", "t", (1.0, 0.5), (1.0, 0.5 + 1e-6))
    assert line.verdict == "FAIL"
