"""Calls of R functions: what crosses the bridge, what R's faults become."""

import pickle
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest

from hte_bridge.errors import RError, RUnavailable, RWarning, RWorkerDied
from hte_bridge.free_memory import available
from hte_bridge.rlink import client, transport, versions
from hte_bridge.rlink.kept import Kept
from tests.helpers.numbers import NUMBERS


def evaluate(code):
    return client.call("evaluate", options={"code": code})


@pytest.fixture
def fresh():
    """A worker started inside the test, and none of its making after it."""
    client.shutdown()
    yield
    client.shutdown()


@pytest.mark.r
@pytest.mark.parametrize("name", NUMBERS)
def test_arrays_cross_and_return_as_they_were(name):
    sent = NUMBERS[name]
    back = client.call("identity", {"x": sent})
    assert back.shape == sent.shape
    assert back.tobytes("F") == sent.astype(back.dtype).tobytes("F")  # to the bit, NaN and -0 too
    assert back.dtype.kind == ("f" if name == "large integers" else sent.dtype.kind)


@pytest.mark.r
def test_options_cross_and_return_as_they_were():
    options = {"a": 1, "b": 0.5, "c": "é ~ if", "d": True, "e": None, "f": {"g": ["x", "y"], "h": [1, "z"]}}
    assert client.call("list", options=options) == options


@pytest.mark.r
def test_r_values_that_python_lacks():
    value = evaluate(
        "list(na = NA, text = c('a', NA), logical = c(TRUE, NA), integer = c(1L, NA), null = NULL)"
    )
    assert (value["na"], value["text"], value["null"]) == (None, ["a", None], None)
    assert np.array_equal(value["logical"], [1, np.nan], equal_nan=True)
    assert np.array_equal(value["integer"], [1, np.nan], equal_nan=True)
    with pytest.raises(
        RError, match="must return numbers, text or lists of them; it returned a value of R type CLO"
    ):
        evaluate("function(x) x")


@pytest.mark.r
def test_an_error_of_r_has_its_message_and_call_and_leaves_the_worker():
    before = client.worker().number
    with pytest.raises(RError, match=r"R stopped with an error in f\(2\): no 2") as caught:
        evaluate("f <- function(x) stop('no ', x); f(2)")
    assert (caught.value.message, caught.value.call) == ("no 2", "f(2)")
    assert evaluate("1 + 1") == 2
    assert client.worker().number == before


@pytest.mark.r
def test_a_warning_of_r_is_said_once():
    with pytest.warns(RWarning) as said:
        assert evaluate("for (i in 1:3) warning('twice'); warning('other'); 3") == 3
    assert [str(each.message) for each in said] == ["twice", "other"]


@pytest.mark.r
def test_what_r_prints_breaks_nothing():
    assert evaluate("cat('x'); print(1:9); message('m'); system('echo shell; echo error >&2'); 5") == 5


DEATHS = {
    "segfault": ("tools::pskill(Sys.getpid(), 11)", "SIGSEGV .a crash in compiled code"),
    "out of memory": ("tools::pskill(Sys.getpid(), 9)", "SIGKILL .killed, often because memory ran out"),
    "quit": ("quit('no')", r"`quit\(\)` was called in R"),
    "quit with a status": ("cat('last words'); quit('no', 3)", "exit status 3. It last printed: last words "),
}


@pytest.mark.r
@pytest.mark.parametrize("name", DEATHS)
def test_a_death_of_r_is_said_and_the_next_call_works(name):
    code, sentence = DEATHS[name]
    before = client.worker().number
    with pytest.raises(RWorkerDied, match=f"R must run until it answers.*`evaluate`: {sentence}.*Call again"):
        evaluate(code)
    assert evaluate("1 + 1") == 2
    assert client.worker().number > before


@pytest.mark.r
def test_a_worker_killed_while_idle_is_replaced_unasked():
    client.worker().process.kill()
    assert evaluate("1 + 1") == 2


@pytest.mark.r
def test_temporary_files_of_r_go_with_it(fresh):
    folder = Path(client.worker().hello["temporary"])
    assert folder.is_dir()
    with pytest.raises(RWorkerDied):
        evaluate("tools::pskill(Sys.getpid(), 9)")
    assert not folder.exists()


@pytest.mark.r
def test_a_missing_package_is_said_with_the_command():
    with pytest.raises(RUnavailable, match=r"package nosuchpackage must be installed.*install.packages"):
        evaluate("nosuchpackage::f()")


@pytest.mark.r
def test_an_old_r_is_refused(fresh, monkeypatch):
    monkeypatch.setattr(versions, "OLDEST_R", (99, 1))
    with pytest.raises(
        RUnavailable, match=r"R must be 99.1 or newer. \d.* was found in /.* Install a newer one"
    ):
        evaluate("1")
    monkeypatch.undo()
    assert evaluate("1") == 1


def test_an_old_grf_is_refused():
    with pytest.raises(RUnavailable, match=r"package grf must be 2.3 or newer. 1.2.0 was found"):
        versions.check({"r": "4.2.2", "home": "/r", "packages": {"grf": "1.2.0"}})
    versions.check({"r": "4.2.2", "home": "/r", "packages": {"grf": ""}})  # said when it is needed


def test_a_missing_r_is_said_with_the_command(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("R_HOME", raising=False)
    with pytest.raises(
        RUnavailable, match=r"R must be installed.*no `R` on the PATH.*Install it: .*`hte-bridge setup`"
    ):
        evaluate("1")


def test_without_rpy2_and_rscript_the_command_that_brings_r_is_said(fresh, monkeypatch, tmp_path):
    (tmp_path / "rpy2").mkdir()
    (tmp_path / "rpy2" / "__init__.py").write_text("raise ImportError('libR.so: no such file')")
    (tmp_path / "R").write_text("#!/bin/sh\n")
    (tmp_path / "R").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        RUnavailable, match=r"R must be installed.*no `Rscript` on the PATH.*`hte-bridge setup`"
    ):
        evaluate("1")


def test_a_worker_that_ends_at_once_is_said(fresh, monkeypatch, tmp_path):
    (tmp_path / "rpy2").mkdir()
    (tmp_path / "rpy2" / "__init__.py").write_text("import os; print('boom', flush=True); os._exit(7)")
    (tmp_path / "R").write_text("#!/bin/sh\n")
    (tmp_path / "R").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        RUnavailable, match=r"R must start. Its process ended at once .exit status 7.. It last printed: boom"
    ):
        evaluate("1")


@pytest.mark.r
def test_our_library_comes_first(fresh, monkeypatch, tmp_path):
    monkeypatch.setenv("HTE_BRIDGE_R_LIBRARY", str(tmp_path))
    assert client.worker().describe()["libraries"][0] == str(tmp_path)
    assert versions.library_to_make() == tmp_path


@pytest.mark.r
def test_a_kept_object_is_made_again_where_its_worker_is_gone():
    kept = Kept("forest_read", {}, {"path": "/nowhere"})  # keeps NULL
    kept.make()
    assert client.call("held", options={"handle": kept._handle.name}) is None
    before = client.worker().number
    client.shutdown()
    assert kept.call("held") is None
    assert kept._handle.number > before
    assert pickle.loads(pickle.dumps(kept))._handle is None


@pytest.mark.r
def test_a_kept_object_is_dropped_when_python_forgets_it():
    kept = Kept("forest_read", {}, {"path": "/nowhere"})
    kept.make()
    name = kept._handle.name
    del kept
    evaluate("1")
    with pytest.raises(RError, match=f"object '{name}' not found"):
        client.call("held", options={"handle": name})


def test_columns_cross_a_socket_without_a_file_of_that_name():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sent = [
            transport.Column("d", (2,), memoryview(np.array([1.0, 2.0]))),
            transport.Column("i", (0,), memoryview(b"")),
        ]
        transport.send(ours, {"a": 1}, sent)
        header, columns = transport.receive(theirs)
        assert header["a"] == 1
        assert list(columns[0].values) == [1.0, 2.0]
        assert columns[1].shape == (0,)
        ours.close()
        with pytest.raises(transport.Disconnected):
            transport.receive(theirs)


def test_a_compiler_signs_its_work(tmp_path):
    file = tmp_path / "lib.so"
    file.write_bytes(b"\x7fELF\0\0GCC: (Debian 12.2.0-14) 12.2.0\0rest")
    assert versions.compiler(str(file)) == "GCC: (Debian 12.2.0-14) 12.2.0"
    other = tmp_path / "other.so"
    other.write_bytes(b"\x7fELF nothing")
    assert versions.compiler(str(other)) == ""


def test_threads_are_the_share_of_this_process(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert client.threads() == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert client.threads() >= 1
    assert available() > 0


@pytest.mark.r
def test_no_warning_is_left_over_a_start_and_an_end(fresh):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.worker()
        client.shutdown()
        client.shutdown()


def test_a_process_that_serves_r_starts_no_r(monkeypatch):
    monkeypatch.setenv("HTE_BRIDGE_NO_R", "1")
    with pytest.raises(RUnavailable, match="serves an R session"):
        client.Worker.start()
