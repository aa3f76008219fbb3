"""Importing the package is cheap: it starts neither R nor torch."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "rpy2", "pyfixest", "sklearn", "scipy", "pandas", "matplotlib")
SAY = "import json, sys; {code}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"


def modules_after(code: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", SAY.format(code=code)], capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout))


def test_import_starts_neither_r_nor_torch():
    loaded = modules_after("import hte_bridge")
    assert "hte_bridge" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_what_the_test_looks_for_would_be_seen():
    assert "pandas" in modules_after("import hte_bridge; hte_bridge.Study")


@pytest.mark.parametrize("name", ["Study", "Feols", "CausalForest", "compare", "Table"])
def test_no_name_but_deep_starts_torch_or_r(name):
    assert modules_after(f"import hte_bridge; hte_bridge.{name}").isdisjoint({"torch", "rpy2"})


def test_rooms_are_there_without_an_import_of_their_own():
    assert modules_after("import hte_bridge as hb; hb.errors.InvalidOption; hb.simulate; hb.plot") >= {
        "hte_bridge"
    }


FEOLS = """
import numpy as np, pandas as pd, hte_bridge as hb
frame = pd.DataFrame({'y': np.arange(40.0) ** .5, 't': np.arange(40) % 2, 'x': np.arange(40) % 7})
print(hb.compare(hb.Study.from_frame(frame, outcome='y', treatment='t', covariates=['x']), ['feols'], seed=1), file=__import__('io').StringIO())
"""


def test_a_table_of_feols_loads_no_torch_and_starts_no_r():
    loaded = modules_after(FEOLS.strip().replace("\n", "; "))
    assert "pyfixest" in loaded
    assert loaded.isdisjoint({"torch", "rpy2"})


def test_every_public_name_is_there():
    import hte_bridge

    assert all(getattr(hte_bridge, name) is not None for name in hte_bridge.__all__)
    assert set(hte_bridge.__all__) == set(hte_bridge._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'Studdy'"):
        _ = hte_bridge.Studdy
