"""examples/dask_cluster.py: fold work runs on Dask's workers and changes no number."""

import runpy
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "examples" / "dask_cluster.py"
ROWS = 100


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(FILE))


@pytest.mark.slow
@pytest.mark.parametrize(("branch", "most", "task"), [("gram", 0, "train"), ("kernel", ROWS, "predict_fold")])
def test_the_folds_run_on_the_workers_and_the_numbers_are_the_same(example, capsys, branch, most, task):
    pytest.importorskip("distributed", reason='Dask is not installed: pip install "hte-bridge[cluster]"')
    gap, ran = example["main"](quick=True, n=ROWS, kernel_max_rows=most)
    said = capsys.readouterr().out
    assert gap == 0
    assert f"branch {branch}," in said
    folds = ran[ran["task"] != example["SCIKIT"]]
    assert folds["calls"].sum() >= example["QUICK"]["n_folds"]
    assert folds["workers"].min() >= 1
    assert "bit for bit" in said


def test_calls_are_counted_by_task_and_worker(example):
    run = {"worker": "one", "status": "OK"}
    stream = [
        run | {"key": "batch_of_train_2_calls-a1"},
        run | {"key": "mixed_batch_of_train_3_calls-b2", "worker": "two"},
        run | {"key": "batch_of_train_4_calls-c3", "status": "error"},
        run | {"key": "ndarray-d4"},
    ]
    assert example["calls"](stream).to_dict("records") == [{"task": "train", "calls": 5, "workers": 2}]


def test_without_dask_it_says_what_to_install_and_ends_with_status_2(example, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(SystemExit) as raised:
        example["main"](quick=True)
    assert raised.value.code == 2
    assert 'pip install "hte-bridge[cluster]"' in capsys.readouterr().err
