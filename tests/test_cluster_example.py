"""examples/dask_cluster.py: the workers of Dask make the passes, and change no number."""

import runpy
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "examples" / "dask_cluster.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(FILE))


@pytest.mark.slow
def test_workers_of_dask_make_the_same_table(example, capsys):
    pytest.importorskip("distributed", reason='Dask is not installed: pip install "hte-bridge[cluster]"')
    gap = example["main"](quick=True)
    assert gap <= example["SAME"]
    assert "Both tables hold the same numbers" in capsys.readouterr().out


def test_without_dask_it_says_what_to_install_and_ends_with_status_2(example, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(SystemExit) as raised:
        example["main"](quick=True)
    assert raised.value.code == 2
    assert 'pip install "hte-bridge[cluster]"' in capsys.readouterr().err
