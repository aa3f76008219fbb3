"""The wheel: what it carries, and what it does in a process without R, rpy2 and the checkout. `scripts/wheel.sh` does it in full."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TRY = """
import sys
import numpy as np, pandas as pd, hte_bridge as hb
frame = pd.DataFrame({"y": np.random.default_rng(1).normal(size=60), "t": np.arange(60) % 2, "x": np.arange(60.0)})
table = hb.compare(hb.Study.from_frame(frame, outcome="y", treatment="t", covariates=["x"]), ["feols", "grf"], seed=1)
assert hb.__file__.startswith(sys.argv[1]), hb.__file__
print("torch" in sys.modules, table.to_frame().query("engine == 'feols'")["std_error"].notna().any())
print(set(table.to_frame().query("engine == 'grf'")["std_error"].isna()))
print(" ".join(table.to_frame().query("engine == 'grf'")["note"]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the tree, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "hte_bridge", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT,
        capture_output=True,
    )
    if listed.returncode:
        pytest.skip("this tree is no checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        copy = folder / "tree" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    said = subprocess.run([*command, "-w", str(folder), str(folder / "tree")], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    (file,) = folder.glob("*.whl")
    zipfile.ZipFile(file).extractall(folder / "unpacked")
    return folder / "unpacked"


def test_it_carries_what_is_no_python(wheel):
    package, about = wheel / "hte_bridge", next(wheel.glob("*.dist-info"))
    for name in (
        "py.typed",
        "rlink/bridge.R",
        "rlink/files.R",
        "rlink/setup/renv.lock",
        "rlink/setup/restore.R",
    ):
        assert (package / name).is_file(), name
    assert list(package.glob("report/*.html"))
    assert list(package.glob("data/*.csv"))
    assert (about / "licenses" / "LICENSE").is_file()
    said = (about / "METADATA").read_text()
    assert "License-Expression: MIT" in said
    of_rpy2 = [line for line in said.splitlines() if line.startswith("Requires-Dist: rpy2")]
    assert of_rpy2
    assert all("extra ==" in line for line in of_rpy2)


def test_without_r_feols_answers_without_torch_and_grf_says_what_brings_it(wheel, tmp_path):
    (tmp_path / "rpy2.py").write_text("raise ImportError('not installed')")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("R_", "HTE_BRIDGE"))
    }
    environment |= {"PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(tmp_path), str(wheel)])}
    said = subprocess.run(
        [sys.executable, "-c", TRY, str(wheel)], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    torch_and_errors, dashes, note = said.stdout.strip().split("\n", 2)
    assert torch_and_errors == "False True"
    assert dashes == "{True}"
    assert "R must be installed" in note
    assert "`hte-bridge setup`" in note
